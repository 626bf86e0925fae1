#!/usr/bin/env python3
"""Template matching beside OpenCV's: ncc.py BUILD [ROUNDS]. CSV to stdout.

Our searches and cv2.matchTemplate (TM_CCOEFF_NORMED, one thread; with a mask as well) with cv2.minMaxLoc take turns, ROUNDS
times; the least time of each counts. Needs numpy and opencv-python-headless (.venv of `scripts/setup check`).
"""
import subprocess
import sys
import time

import cv2
import numpy as np


def least_ms(work):
    best = 1e9
    for _ in range(20):
        start = time.perf_counter()
        work()
        best = min(best, (time.perf_counter() - start) * 1e3)
    return best


def machine():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown CPU")


def peer(width, height, side, masked):
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:height, 0:width]
    picture = (80 + x // 8 % 64 + y // 8 % 32 + random.integers(0, 64, (height, width))).astype(np.uint8)
    template = picture[height // 3:height // 3 + side, width // 3:width // 3 + side].copy()
    mask = np.full((side, side), 255, np.uint8)
    mask[:, :side // 4] = 0
    extra = {"mask": mask} if masked else {}
    return least_ms(lambda: cv2.minMaxLoc(cv2.matchTemplate(picture, template, cv2.TM_CCOEFF_NORMED, **extra)))


def main():
    cv2.setNumThreads(1)
    rows, rounds = {}, int(sys.argv[2]) if len(sys.argv) > 2 else 5
    for _ in range(rounds):
        out = subprocess.run([f"{sys.argv[1]}/bench/ncc", "20"], stdout=subprocess.PIPE, text=True, check=True).stdout
        for line in out.splitlines():
            case, times = tuple(map(int, line.split(",")[:4])), list(map(float, line.split(",")[4:]))
            both = times + [peer(*case)]
            rows[case] = [min(a, b) for a, b in zip(rows.get(case, both), both)]
    print(f"# one thread, least of {20 * rounds} rounds; {machine()}; OpenCV {cv2.__version__} matchTemplate and minMaxLoc")
    print("picture,template,masked,exact_ms,coarse_ms,plain_ms,opencv_ms,exact_ratio,coarse_ratio")
    for (w, h, side, masked), (exact, coarse, plain, cv) in rows.items():
        print(f"{w}x{h},{side}x{side},{masked},{exact:.4f},{coarse:.4f},{plain or ''},{cv:.4f},{cv / exact:.2f},{cv / coarse:.1f}")


if __name__ == "__main__":
    main()
