#!/usr/bin/env python3
"""Reads drawn pictures with PP-OCR's models: read.py BUILD. One line a picture; the last line is
"reading: N passed, N failed".

`lathe read --demo` draws them, so the truth is known. A picture passes if each of its lines is
found, as many as MINIMUM says are read exactly, and it is written with what was read drawn in. (The
models themselves take a few characters for others: 1 for l, 0 for O, and leave out a space.) All is
read twice: the second time from the disk cache, which holds the detector once for each picture,
the recogniser for any width and for the shortest lines.
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, ".models", "rapidocr_onnxruntime", "models")
MINIMUM = {"sign": (5, 4), "screen": (5, 3), "receipt": (8, 7)}  # lines, of them exact


def read(program, folder, cache):
    """What is printed about each picture."""
    done = subprocess.run([program, "read", "--demo", folder, "--out", folder,
                           "--det", os.path.join(MODELS, "ch_PP-OCRv4_det_infer.onnx"),
                           "--rec", os.path.join(MODELS, "ch_PP-OCRv4_rec_infer.onnx")],
                          env=dict(os.environ, LATHE_CACHE=cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise ValueError(f"status {done.returncode}: {done.stderr.strip()}")
    parts = re.split(r"^\S*/(\w+)\.png \(.*$", done.stdout, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def without_times(pictures):
    return {name: re.sub(r" *[\d.]+ ms", " ms", said) for name, said in pictures.items()}


def judge_cache(first, second, cache):
    """Line and whether it is right: what was kept, and what came of it."""
    kept = sum(name.endswith(".lathe") for name in os.listdir(cache))
    wanted = len(MINIMUM) + 2  # a detector for each size; the recogniser for any width, and for the shortest lines
    good = kept == wanted and without_times(first) == without_times(second)
    return good, f"{kept} modules, {wanted} wanted; read from them: {'the same' if good else 'see above'}"


def judge(said, folder, name):
    lines, exact = MINIMUM[name]
    found = re.findall(r"^ +\d+ +\d+ +([01]\.\d{3}) +[\d.]+ ms  .*  (= truth|!= \".*\")$", said, re.M)
    right = sum(truth == "= truth" for _, truth in found)
    picture = os.path.join(folder, f"{name}.png.read.png")
    with open(picture, "rb") as f:
        drawn = f.read(4) == b"\x89PNG"
    good = len(found) == lines and right >= exact and drawn
    return good, f"{len(found)} of {lines} lines found, {right} exact, at least {exact} wanted"


def main():
    program = os.path.join(os.path.abspath(sys.argv[1]), "src", "lathe")
    failed = 0
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        try:
            pictures = read(program, folder, cache)
            again = read(program, folder, cache)
        except (OSError, ValueError) as e:
            pictures, again = {}, {}
            print(f"lathe read: {e}")
        for name in [*MINIMUM, "cache"]:
            try:
                good, text = judge_cache(pictures, again, cache) if name == "cache" else judge(pictures[name], folder, name)
            except (KeyError, OSError) as e:
                good, text = False, f"missing: {e}"
            failed += not good
            print(f"{'ok  ' if good else 'FAIL'} {name:16} {text}")
            if not good:
                print(pictures.get(name, ""))
    print(f"reading: {len(MINIMUM) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
