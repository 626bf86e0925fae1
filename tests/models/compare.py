#!/usr/bin/env python3
"""Runs real models in `lathe run` and in onnxruntime on the same inputs: compare.py BUILD [NAME...].

The models are those of .models (scripts/setup check, tests/models/make.py). Inputs are seeded and
go to the program as .npy files. One line a model; the last line is "models: N passed, N failed".

A model passes if every element of every output has |got - want| <= tolerance * max(1, max |want|)
of that output, in every case. Cases of one model have different shapes, or carry the state of the
case before: each runtime its own, so that errors may add up as they do in use.
"""
import os
import subprocess
import sys
import tempfile
import time
import zlib

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, ".models")
OCR = "rapidocr_onnxruntime/models/"


def images(name, *shapes):
    return lambda random: [{name: random.random(s, np.float32)} for s in shapes]


def file_bytes(random):
    """The start, middle and end of a file as byte values, 256 where there is none."""
    text = random.integers(32, 127, (1, 2048))
    short = random.integers(0, 256, (1, 2048))
    short[:, 1000:] = 256
    return [{"bytes": text.astype(np.int32)}, {"bytes": short.astype(np.int32)}]


def sentences(random):
    """Batches of token ids; the second has sentences of different length."""
    feeds = []
    for n, t in ((1, 7), (3, 24)):
        mask = np.ones((n, t), np.int64)
        for row in range(1, n):
            mask[row, t - 5 * row:] = 0
        feeds.append({"input_ids": random.integers(0, 30000, (n, t)) * mask,
                      "attention_mask": mask})
    return feeds


def speech(steps):
    """Windows of a changing tone in noise, 16 kHz, 64 samples of context; the state is carried."""
    def make(random):
        feeds = []
        for k in range(steps):
            at = np.arange(512 * k - 64, 512 * k + 512) / 16000
            wave = 0.4 * np.sin(2 * np.pi * (150 + 40 * k) * at) * (k % 3 > 0)
            wave = wave + 0.02 * random.standard_normal(at.shape)
            feeds.append({"input": wave[None].astype(np.float32), "sr": np.array(16000, np.int64),
                          "state": np.zeros((2, 1, 128), np.float32) if k == 0 else None})
        return feeds
    return make


# name: file, tolerance, inputs of the cases, {input: the output of the case before}
TABLE = {
    "ocr_det": (OCR + "ch_PP-OCRv4_det_infer.onnx", 2e-5,
                images("x", (1, 3, 320, 320), (1, 3, 224, 480)), {}),
    "ocr_rec": (OCR + "ch_PP-OCRv4_rec_infer.onnx", 2e-5,
                images("x", (2, 3, 48, 320), (1, 3, 48, 160)), {}),
    "ocr_cls": (OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx", 2e-5,
                images("x", (2, 3, 48, 192), (1, 3, 48, 192)), {}),
    "nudenet": ("nudenet/320n.onnx", 2e-5, images("images", (1, 3, 320, 320)), {}),
    "silero_vad": ("silero_vad/data/silero_vad.onnx", 2e-5, speech(6), {"state": 1}),
    "silero_vad_half": ("silero_vad/data/silero_vad_half.onnx", 2e-5, speech(6), {"state": 1}),
    "silero_vad_16k": ("silero_vad/data/silero_vad_16k_op15.onnx", 2e-5, speech(6), {"state": 1}),
    "magika": ("magika/models/standard_v3_3/model.onnx", 2e-5, file_bytes, {}),
    "minilm": ("made/minilm.onnx", 2e-5, sentences, {}),
    "resnet50": ("made/resnet50.onnx", 2e-5, images("input", (1, 3, 224, 224)), {}),
    "mobilenetv2": ("made/mobilenetv2.onnx", 2e-5, images("input", (2, 3, 224, 224)), {}),
}


class Lathe:
    def __init__(self, program, path, names):
        self.program, self.path, self.names = program, path, names

    def run(self, feeds):
        """The outputs in order."""
        with tempfile.TemporaryDirectory() as folder:
            inputs = []
            for name in self.names:
                inputs.append(f"{name}={os.path.join(folder, name)}.npy")
                np.save(os.path.join(folder, name + ".npy"), feeds[name])
            done = subprocess.run([self.program, "run", self.path, "--inputs", *inputs,
                                   "--outputs", folder], capture_output=True, text=True,
                                  timeout=100)
            if done.returncode:
                raise ValueError(f"exit status {done.returncode}: {done.stderr.strip()[:300]}")
            outputs = []
            while os.path.exists(file := os.path.join(folder, f"output_{len(outputs)}.pb")):
                outputs.append(numpy_helper.to_array(onnx.load_tensor(file)))
            return outputs


def difference(got, want):
    """The largest over the outputs, in the measure of the tolerances."""
    if len(got) != len(want):
        raise ValueError(f"{len(got)} outputs instead of {len(want)}")
    worst = 0.0
    for k, (g, w) in enumerate(zip(got, want)):
        if g.shape != w.shape or g.dtype != w.dtype:
            raise ValueError(f"output {k}: {g.dtype}{g.shape} instead of {w.dtype}{w.shape}")
        g, w = g.astype(np.float64), w.astype(np.float64)
        if not np.isfinite(g).all() or not np.isfinite(w).all():
            raise ValueError(f"output {k}: not finite")
        if w.size:
            worst = max(worst, np.abs(g - w).max() / max(1.0, np.abs(w).max()))
    return worst


def compare(program, name):
    """The number of cases and the largest difference."""
    file, _, make, carried = TABLE[name]
    path = os.path.join(MODELS, file)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: warnings are about the models
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    lathe = Lathe(program, path, names)
    cases = make(np.random.default_rng(zlib.crc32(name.encode())))
    worst, got, want = 0.0, None, None
    for case in cases:
        case = {n: case[n] for n in names}
        ours, theirs = dict(case), dict(case)
        for n, output in carried.items():
            if got is not None:
                ours[n], theirs[n] = got[output], want[output]
        want = session.run(None, theirs)
        got = lathe.run(ours)
        worst = max(worst, difference(got, want))
    return len(cases), worst


def main():
    program = os.path.join(os.path.abspath(sys.argv[1]), "src", "lathe")
    failed = 0
    names = sys.argv[2:] or list(TABLE)
    for name in names:
        start, limit = time.time(), TABLE[name][1]
        try:
            count, worst = compare(program, name)
            good = worst <= limit
            text = f"{count} cases, difference {worst:.1e}, allowed {limit:.0e}"
        except Exception as e:  # whatever goes wrong with one model, the others are run
            good, text = False, str(e)
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name:16} {text} ({time.time() - start:.1f} s)",
              flush=True)
    print(f"models: {len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
