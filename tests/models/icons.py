#!/usr/bin/env python3
"""Icons by correlation and by embedding, on the generated game's icons as games really show them: icons.py BUILD [PICTURES].

A clip shows one icon a picture, or none, on a random ground: as it is; compressed; animated (turned by up to 17 degrees, 0.8 to 1.15 of
its size); in other colours (skins); all of these at once. `lathe watch` looks for each of the seven icons by both methods, by
their defaults, with the others named as `others`. Printed is precision / recall of each. The last line is "icons: N passed, N failed":
what embedding is for must be so.
"""
import json
import os
import subprocess
import sys
import tempfile

import cv2
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, ".models")
SIDE, CELL = 32, 44  # of an icon, of the region it stands in
WAYS = ("plain", "compressed", "animated", "skins", "all")
LEAST = {"embed": (0.98, 0.9), "ncc": (0.98, 0.0)}  # precision, recall, in each way


def ground(random, side):
    n = int(random.integers(3, 9))
    patches = random.integers(20, 200, 3) + random.normal(0, 40, (n, n, 3))
    smooth = cv2.resize(patches.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + random.normal(0, 4, smooth.shape), 0, 255)


def picture(random, icon, way):
    out = ground(random, CELL)
    if icon is not None:
        animated, skin = way in ("animated", "all"), way in ("skins", "all")
        angle, scale = (random.uniform(-17, 17), random.uniform(0.8, 1.15)) if animated else (0, 1)
        turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), angle, scale)
        turn[:, 2] += (CELL - SIDE) / 2 + random.uniform(-1.5, 1.5, 2)
        rgba = icon.astype(np.float32)
        rgba[:, :, :3] *= rgba[:, :, 3:] / 255  # colours mix with the ground, not with what is transparent
        rgba = cv2.warpAffine(rgba, turn, (CELL, CELL), flags=cv2.INTER_LINEAR)
        alpha = rgba[:, :, 3:] / 255
        colour = rgba[:, :, :3] / np.maximum(alpha, 1e-3)
        if skin:
            hsv = cv2.cvtColor(np.clip(colour, 0, 255).astype(np.uint8), cv2.COLOR_BGR2HSV)
            hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + int(random.integers(0, 180))) % 180
            colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * random.uniform(0.6, 1.2)
        out = out * (1 - alpha) + np.clip(colour, 0, 255) * alpha
    quality = int(random.integers(15, 40)) if way in ("compressed", "all") else 90
    return cv2.imdecode(cv2.imencode(".jpg", np.clip(out, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)


def write_watch(folder, names):
    lines = [f"watch: {{name: icons, reference_size: [{CELL}, {CELL}], sample: {{fps: 2, max_fps: 2}}}}", "signal:"]
    for n in names:
        others = ", ".join(f"{o}.png" for o in names if o != n)
        lines.append(f"  ncc_{n}: {{from: icon, template: {n}.png, scales: [0.9, 1, 1.1], max_age: 0s}}")
        lines.append(f"  embed_{n}: {{from: icon, method: embed, refs: {n}.png, others: [{others}], max_age: 0s}}")
    lines.append("event:")
    lines += [f"  {n}: {{when: 'ncc_{n} || embed_{n}'}}" for n in names]
    with open(os.path.join(folder, "w.yaml"), "w") as f:
        f.write("\n".join(lines) + "\n")


def seen(build, folder, clip):
    env = dict(os.environ, LATHE_MODELS=MODELS, LATHE_CACHE=os.path.join(folder, "cache"))
    out = os.path.join(folder, "s.jsonl")
    done = subprocess.run([os.path.join(build, "src", "lathe"), "watch", os.path.join(folder, "w.yaml"), clip, "--record", out],
                          env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip())
    with open(out) as f:
        return [json.loads(line)["signals"] for line in f], done.stdout


def judge(method, truth, samples, names):
    """Precision and recall by the defaults' thresholds, each picture by itself."""
    right = wrong = missed = 0
    for icon, s in zip(truth, samples):
        for n in names:
            o = s[f"{method}_{n}"]
            score, second = o.get("score", 0), o.get("second", 0)
            yes = "unknown" not in o and (score >= 0.8 if method == "ncc" else score >= 0.5 and score - second >= 0.03)
            right += yes and icon == n
            wrong += yes and icon != n
            missed += not yes and icon == n
    return right / max(1, right + wrong), right / (right + missed)


def main():
    build = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 12
    random = np.random.default_rng(5)
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.path.join(build, "tests", "icon-pictures"), folder, str(SIDE)], check=True)
        names = sorted(n[:-4] for n in os.listdir(folder) if n.endswith(".png"))
        icons = {n: cv2.imread(os.path.join(folder, n + ".png"), cv2.IMREAD_UNCHANGED) for n in names}
        write_watch(folder, names)
        for way in WAYS:
            truth = [n for n in [*names, None] for _ in range(count)]
            clip = os.path.join(folder, "clip.avi")
            video = cv2.VideoWriter(clip, cv2.VideoWriter_fourcc(*"MJPG"), 2, (CELL, CELL))
            video.set(cv2.VIDEOWRITER_PROP_QUALITY, 95)
            for n in truth:
                video.write(picture(random, icons.get(n), way))
            video.release()
            samples, said = seen(build, folder, clip)
            if len(samples) != len(truth):
                raise ValueError(f"{len(samples)} samples of {len(truth)} pictures")
            row = {m: judge(m, truth, samples, names) for m in ("ncc", "embed")}
            for m, (precision, recall) in row.items():
                good = precision >= LEAST[m][0] and recall >= LEAST[m][1]
                passed += good
                failed += not good
                print(f"{'ok  ' if good else 'FAIL'} {way:10} {m:5} precision {precision:.3f} recall {recall:.3f}")
    print("\n".join(line for line in said.split("\n") if line.split()[:1] in (["embed_skull"], ["ncc_skull"])))
    print(f"icons: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
