#!/usr/bin/env python3
"""The commands as a user calls them: cli.py LATHE DATA, on the small models in DATA. Each test_*
function is a test; needs nothing but Python."""
import os
import struct
import subprocess
import sys
import tempfile

LATHE, DATA = sys.argv[1:3]
CLASSIFY = os.path.join(DATA, "classify.onnx")
CONTROL = os.path.join(DATA, "control.onnx")


class Result:
    def __init__(self, args):
        done = subprocess.run([LATHE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.args, self.status, self.out, self.err = args, done.returncode, done.stdout, done.stderr


def lathe(*args, status=0):
    r = Result(args)
    assert r.status == status, f"{args}: status {r.status}, not {status}\n{r.out}{r.err}"
    if status != 0 and not r.out:
        assert r.err.startswith("lathe"), f"{args}: no error message\n{r.err}"
    return r


def has(text, *parts):
    for part in parts:
        assert part in text, f"'{part}' is missing in:\n{text}"


def write_npy(path, shape, values):
    header = repr({"descr": "<f4", "fortran_order": False, "shape": tuple(shape)})
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        f.write(struct.pack(f"<{len(values)}f", *values))


def test_check_right(tmp):
    r = lathe("check", CLASSIFY)
    has(r.out, "0 wrong, 0 not compared", "softmax")
    assert "first bad" not in r.out
    has(lathe("check", CLASSIFY, "--every", "--samples", "0").out, "6 right, 0 wrong")
    has(lathe("check", CONTROL).out, "2 right")


def test_check_expected(tmp):
    """An altered expected value: the layer that it belongs to is named, and the status is 1."""
    lathe("run", CLASSIFY, "--outputs", tmp)
    has(lathe("check", CLASSIFY, "--expected", tmp).out, "1 layers: 1 right")
    path = os.path.join(tmp, "output_0.pb")
    with open(path, "rb") as f:
        data = f.read()
    with open(path, "wb") as f: # the last element
        f.write(data[:-4] + struct.pack("<f", 7))
    r = lathe("check", CLASSIFY, "--expected", tmp, status=1)
    has(r.out, "first bad layer: softmax 'scores' -> 'scores' f32[1,10]", "1 of 10 elements wrong",
        "worst element [0,9]", "expected 7", "1 wrong")
    write_npy(os.path.join(tmp, "logits.npy"), [1, 10], [1.0] * 10) # an inner layer, before it
    r = lathe("check", CLASSIFY, "--expected", tmp, status=1)
    has(r.out, "first bad layer: gemm 'logits'", "2 wrong")
    lathe("check", CLASSIFY, "--expected", tmp, "--tolerance", "1e9")
    write_npy(os.path.join(tmp, "logits.npy"), [2, 5], [1.0] * 10)
    has(lathe("check", CLASSIFY, "--expected", tmp, status=1).out, "another type or shape")


def test_check_refuses(tmp):
    has(lathe("check", CLASSIFY, "--expected", tmp, status=1).err, "holds no expected values")
    module = os.path.join(tmp, "m.lathe")
    lathe("compile", CLASSIFY, "-o", module)
    has(lathe("check", module, status=1).err, "module file")
    has(lathe("check", CLASSIFY, "--tolerance", "x", status=1).err, "'x' is no number")
    lathe("check", os.path.join(DATA, "bad_op.onnx"), status=3)


def test_run(tmp):
    has(lathe("run", CLASSIFY).out, "scores f32[1,10]")
    module = os.path.join(tmp, "m.lathe")
    lathe("compile", CLASSIFY, "-o", module)
    assert lathe("run", module, "--seed", "5").out == lathe("run", CLASSIFY, "--seed", "5").out
    lathe("run", CLASSIFY, "--nonsense", status=1)
    lathe("run", status=1)


def main():
    failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        with tempfile.TemporaryDirectory() as tmp:
            try:
                test(tmp)
                print(f"{name}: passed")
            except AssertionError as e:
                failed += 1
                print(f"{name}: FAILED: {e}")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
