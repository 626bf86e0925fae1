#!/usr/bin/env python3
"""Holds frames' resizing and colours against OpenCV: frames.py BUILD. One line a case; the last line is
"frames: N passed, N failed".

A case passes if no byte is more than one level off: resizing of gray pictures against cv2.resize (INTER_LINEAR,
INTER_AREA), colours at full size against cv2.cvtColor, the formats of OpenCV's chroma as 4:4:4 with each sample given
four times, since OpenCV takes the nearest sample where we interpolate.
"""
import os
import subprocess
import sys

import cv2
import numpy as np

I444, GRAY, RGB24, BGR24 = 2, 4, 5, 6
BILINEAR, AREA = 0, 1
BT601 = 0


def run(program, fmt, planes, size, box, filter_, out, channels, full=1):
    w, h = size
    args = [fmt, w, h, BT601, full, *box, filter_, *out, channels]
    done = subprocess.run([program, *map(str, args)], input=b"".join(p.tobytes() for p in planes),
                          stdout=subprocess.PIPE, check=True)
    shape = (out[1], out[0], channels) if channels == 3 else (out[1], out[0])
    return np.frombuffer(done.stdout, np.uint8).reshape(shape)


def pictures(random, w, h, channels):
    """Noise, and something smooth."""
    shape = (h, w, channels) if channels > 1 else (h, w)
    noise = random.integers(0, 256, shape, dtype=np.uint8)
    y, x = np.mgrid[0:h, 0:w]
    smooth = (127.5 + 127.5 * np.sin(x / 9.0) * np.cos(y / 13.0)).astype(np.uint8)
    if channels > 1:
        smooth = np.stack([np.roll(smooth, 5 * c, 1) for c in range(channels)], -1)
    return {"noise": noise, "smooth": np.ascontiguousarray(smooth)}


def resizes(program, random):
    sizes = [((1920, 1080), (640, 360)), ((1920, 1080), (178, 100)), ((1280, 720), (640, 384)), ((160, 48), (320, 48)),
             ((60, 26), (111, 48)), ((97, 61), (41, 29)), ((33, 7), (100, 100)), ((640, 480), (1, 1)), ((5, 5), (5, 5)),
             ((500, 300), (499, 299)), ((1000, 40), (30, 39))]
    for channels, fmt in ((1, GRAY), (3, RGB24)):
        for size, out in sizes:
            for name, picture in pictures(random, *size, channels).items():
                for filter_, cv in ((BILINEAR, cv2.INTER_LINEAR), (AREA, cv2.INTER_AREA)):
                    if filter_ == AREA and (out[0] > size[0] or out[1] > size[1]):
                        continue  # OpenCV has another rule there
                    got = run(program, fmt, [picture], size, (0, 0, *size), filter_, out, channels)
                    yield (f"resize {'area' if filter_ else 'bilinear'} {size} to {out}, {channels} channels, {name}",
                           got, cv2.resize(picture, out, interpolation=cv))
    picture = pictures(random, 200, 120, 1)["noise"]  # a box
    got = run(program, GRAY, [picture], (200, 120), (30, 20, 100, 60), AREA, (33, 20), 1)
    # the box's own edge does not blur: what lies outside is not in it
    yield "box, area", got, cv2.resize(np.ascontiguousarray(picture[20:80, 30:130]), (33, 20), interpolation=cv2.INTER_AREA)


def colours(program, random):
    w, h = 64, 48
    i420 = random.integers(0, 256, (h * 3 // 2, w), dtype=np.uint8)
    y = i420[:h]
    np.maximum(y, 16, out=y)  # what is blacker than black, OpenCV clamps before it adds the chroma
    u, v = (np.kron(i420[h:].reshape(2, h // 2, w // 2)[k], np.ones((2, 2), np.uint8)) for k in (0, 1))
    size, whole = (w, h), (0, 0, w, h)
    got = run(program, I444, [y, u, v], size, whole, BILINEAR, size, 3, full=0)
    yield "BT.601, 16 to 235", got, cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420)
    crcb = np.ascontiguousarray(np.stack([y, v, u], -1))
    got = run(program, I444, [y, u, v], size, whole, BILINEAR, size, 3, full=1)
    yield "BT.601, 0 to 255", got, cv2.cvtColor(crcb, cv2.COLOR_YCrCb2RGB)
    rgb = random.integers(0, 256, (h, w, 3), dtype=np.uint8)
    yield "RGB to gray", run(program, RGB24, [rgb], size, whole, BILINEAR, size, 1), cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    yield "BGR to gray", run(program, BGR24, [rgb], size, whole, BILINEAR, size, 1), cv2.cvtColor(rgb, cv2.COLOR_BGR2GRAY)
    yield "BGR to RGB", run(program, BGR24, [rgb], size, whole, BILINEAR, size, 3), rgb[:, :, ::-1]


def main():
    program = os.path.join(os.path.abspath(sys.argv[1]), "tests", "frame-run")
    random = np.random.default_rng(20261121)
    passed = failed = 0
    for cases in (resizes, colours):
        for name, got, want in cases(program, random):
            off = np.abs(got.astype(int) - want.astype(int))
            good = off.max() <= 1
            passed, failed = passed + good, failed + (not good)
            print(f"{'ok  ' if good else 'FAIL'} {name}: {off.max()} off at most, {np.mean(off > 0) * 100:.2f} % of bytes differ")
    print(f"frames: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
