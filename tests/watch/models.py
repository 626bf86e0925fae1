#!/usr/bin/env python3
"""Models that a watch names, good and hostile: models.py BUILD. The last line is "watch models: N passed, N failed".

Small models are made here: a classifier of colours, detectors of three kinds of head that see one thing, and models that are none or give
what is no number. A good one must be read right; of a hostile one there must be a refusal, or a counted error and nothing seen.
"""
import json
import os
import subprocess
import sys
import tempfile

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 64
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def save(path, nodes, weights, output, inputs=(("x", [1, 3, SIZE, SIZE]),), metadata=None, kind=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes, "made", [helper.make_tensor_value_info(n, kind, d) for n, d in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.asarray(v, np.int64 if n == "shape" else np.float32), n) for n, v in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, path)


def classifier(path, scale=20.0, **more):
    """Which channel has most."""
    save(path, [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Reshape", ["p", "shape"], ["f"]),
                helper.make_node("MatMul", ["f", "w"], ["y"])], {"shape": [1, 3], "w": np.full((3, 3), scale) if not np.isfinite(scale) else scale * np.eye(3)}, [1, 3], **more)


def constant(path, y, **more):
    """Whatever it is shown: x enters by zero."""
    y = np.asarray(y, np.float32)
    save(path, [helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0), helper.make_node("Mul", ["m", "zero"], ["z"]),
                helper.make_node("Add", ["z", "c"], ["y"])], {"zero": 0.0, "c": y}, list(y.shape), **more)


def columns(rows):
    return np.array(rows, np.float32).T[None]


def make(folder):
    def at(n):
        return os.path.join(folder, n + ".onnx")
    names = {"names": "{0: 'red', 1: 'green', 2: 'blue'}"}
    classifier(at("colours"), metadata=names)
    classifier(at("numbers"))
    classifier(at("misnamed"), metadata={"names": "{0: 'red', 1: 'green'}"})
    classifier(at("badly_named"), metadata={"names": "{0: 'red', 1"})
    classifier(at("nan"), scale=float("nan"), metadata=names)
    classifier(at("infinite"), scale=float("inf"), metadata=names)
    one = [32, 32, 16, 16]
    constant(at("v8"), columns([[*one, 0.1, 0.9, 0.2]] * 2 + [[10, 10, 4, 4, 0.05, 0.02, 0.03]] * 40), metadata=names)
    constant(at("v5"), [[[*one, 0.95, 0.1, 0.9, 0.2]] * 3 + [[10, 10, 4, 4, 0.01, 1, 1, 1]] * 40], metadata=names)
    constant(at("end"), [[[24, 24, 40, 40, 0.8, 1]] + [[0, 0, 0, 0, 0, 0]] * 9], metadata=names)
    constant(at("nan_scores"), columns([[*one, 0.1, float("nan"), 0.2]] * 42), metadata=names)
    constant(at("nan_boxes"), columns([[float("nan"), 32, 16, 16, 0.1, 0.9, 0.2]] * 42), metadata=names)
    constant(at("logits"), columns([[*one, -3, 5, 2]] * 42), metadata=names)
    constant(at("flat"), [[1.0, 2.0, 3.0]], metadata=names)
    save(at("two_inputs"), [helper.make_node("Add", ["x", "b"], ["y"])], {}, [1, 3, SIZE, SIZE],
         (("x", [1, 3, SIZE, SIZE]), ("b", [1, 3, SIZE, SIZE])))
    save(at("last_channels"), [helper.make_node("Relu", ["x"], ["y"])], {}, [1, SIZE, SIZE, 3], (("x", [1, SIZE, SIZE, 3]),))
    save(at("huge"), [helper.make_node("Relu", ["x"], ["y"])], {}, [1, 3, 100000, 100000], (("x", [1, 3, 100000, 100000]),))
    with open(at("garbage"), "wb") as f:
        f.write(bytes(range(256)) * 4)
    with open(os.path.join(folder, "names.txt"), "w") as f:
        f.write("rot\ngruen\nblau\n")


# signal, what must be seen (label: or None), or what must be said
SEEN = {
    "{from: class, model: colours.onnx}": ("green", 0.9),
    "{from: class, model: numbers.onnx}": ("1", 0.9),
    "{from: class, model: numbers.onnx, names: names.txt}": ("gruen", 0.9),
    "{from: class, model: colours.onnx, input: {channels: bgr, fit: stretch, mean: 0, std: 1}}": ("green", 0.9),
    "{from: object, model: v8.onnx}": ("green", 0.9),
    "{from: object, model: v5.onnx}": ("green", 0.855),
    "{from: object, model: end.onnx}": ("green", 0.8),
}
SAID = {
    "{from: class, model: misnamed.onnx}": "no classifier of 2 classes",
    "{from: class, model: nan.onnx}": "no finite number",
    "{from: class, model: infinite.onnx}": "no finite number",
    "{from: class, model: v8.onnx}": "no classifier",
    "{from: object, model: nan_scores.onnx}": "no finite number",
    "{from: object, model: nan_boxes.onnx}": "no finite number",
    "{from: object, model: logits.onnx}": "above 1",
    "{from: object, model: flat.onnx}": "no detector of 3 classes",
    "{from: object, model: colours.onnx}": "no detector",
}
REFUSED = {
    "{from: class}": "'model' is missing",
    "{from: class, model: badly_named.onnx}": "no list of labels",
    "{from: class, model: nowhere.onnx}": "no file",
    "{from: class, model: garbage.onnx}": "garbage.onnx",
    "{from: class, model: names.txt}": "names.txt",
    "{from: object, model: two_inputs.onnx}": "has one input",
    "{from: object, model: last_channels.onnx}": "is another",
    "{from: object, model: huge.onnx}": "at most 4096",
    "{from: object, model: v8.onnx, input: {size: 320}}": "its input is 64 x 64",
    "{from: icon, method: embed, refs: p.png, model: nan.onnx}": "no finite number",
    "{from: icon, method: embed, refs: p.png, model: colours.onnx, output: nowhere}": "nothing defines it",
    "{from: icon, method: embed, refs: p.png, margin: 0.1}": "'margin' is to 'others'",
    "{from: icon, method: embed, refs: p.png, model: two_inputs.onnx}": "has one input",
    "{from: audio}": "it has no sound",
    "{from: audio, model: colours.onnx}": "has inputs 'input', 'state' and 'sr'",
}


def watch(build, folder, signal):
    with open(os.path.join(folder, "w.yaml"), "w") as f:
        f.write("watch: {name: m, reference_size: [96, 64]}\nsignal:\n  seen: %s\n" % signal)
        f.write("event:\n  e: {when: \"%s\"}\n" % ("seen == 'x'" if "class," in signal or "class}" in signal else "seen"))
    done = subprocess.run([os.path.join(build, "src", "lathe"), "watch", os.path.join(folder, "w.yaml"), os.path.join(folder, "p.png"),
                           "--record", os.path.join(folder, "s.jsonl")], env=dict(os.environ, LATHE_CACHE="", LATHE_MODELS=os.path.join(ROOT, ".models")),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout + done.stderr


def observed(folder):
    with open(os.path.join(folder, "s.jsonl")) as f:
        return json.loads(f.readline())["signals"]["seen"]


def check_seen(code, folder, want):
    if code != 0:
        return False
    o = observed(folder)
    found = o.get("found", [{"label": o.get("text"), "score": o.get("score")}])
    place = "found" not in o or np.allclose(found[0]["box"], [36, 24, 24, 16], atol=14)
    return len(found) == 1 and found[0]["label"] == want[0] and abs(found[0]["score"] - want[1]) < 0.1 and place


def main():
    build = os.path.abspath(sys.argv[1])
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        make(folder)
        cv2.imwrite(os.path.join(folder, "p.png"), np.full((64, 96, 3), (30, 240, 20), np.uint8))
        for rows, kind in ((SEEN, 0), (SAID, 1), (REFUSED, 2)):
            for signal, want in rows.items():
                code, said = watch(build, folder, signal)
                try:
                    good = (check_seen(code, folder, want) if kind == 0 else
                            code == 0 and want in said and observed(folder) == {"unknown": "error"} if kind == 1 else
                            code not in (0, None) and code > 0 and want in said)
                except (OSError, ValueError, KeyError, IndexError) as e:
                    good, said = False, said + repr(e)
                if not good:
                    print(f"FAIL {signal}: wanted {want}: status {code}: {said}")
                passed += good
                failed += not good
    print(f"watch models: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
