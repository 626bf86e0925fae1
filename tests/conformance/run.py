#!/usr/bin/env python3
"""Runs `lathe run` on the tests of list.txt: run.py BUILD [PATTERN...] [options].

Each test is a model with inputs and expected outputs from the ONNX backend suite. One process a
test: `lathe run MODEL --inputs A.pb B.pb --outputs DIR`; exit status 0 ran, 3 refused as not
supported. ONNX_SUITE_OPTIONS has more options for `lathe run`, such as --guard. Outputs must have the expected dtype and shape, and values within the tolerance of the
test, at least rtol 1e-3 (bfloat16 2^-6, float16 2^-9) and atol 1e-5.

expected_failures.txt names the tests that are known not to pass, each with its reason. Any other
test that does not pass is a failure. PATTERNs (regular expressions) choose among the tests.

The last line: "onnx suite: P passed, F failed, K known failures".
"""
import argparse
import glob
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
EXTRA = os.environ.get("ONNX_SUITE_OPTIONS", "").split()
sys.path.insert(0, HERE)
import suite as onnx_suite  # noqa: E402

os.environ["LATHE_CACHE"] = ""  # compile, each time


def difference(want, got, rtol, atol):
    """None, or in what the two arrays differ."""
    import numpy as np
    if want.dtype != got.dtype:
        return f"dtype {got.dtype}, expected {want.dtype}"
    if want.shape != got.shape:
        return f"shape {got.shape}, expected {want.shape}"
    if want.dtype.kind in "biu" and (want == got).all():
        return None
    if want.dtype.kind == "b":
        return f"{int((want != got).sum())} of {want.size} differ"
    if want.dtype.name == "bfloat16":
        rtol = max(rtol, 2.0 ** -6)
    elif want.dtype.name == "float16":
        rtol = max(rtol, 2.0 ** -9)
    with np.errstate(all="ignore"):
        a, b = got.astype(np.float64), want.astype(np.float64)
        ok = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
        if ok.all():
            return None
        return f"{int((~ok).sum())} of {ok.size} differ, max abs {np.nanmax(np.abs(a - b)):.4g}"


def read(path):
    import onnx
    from onnx import numpy_helper
    proto = onnx.TensorProto()
    with open(path, "rb") as f:
        proto.ParseFromString(f.read())
    return numpy_helper.to_array(proto)


def numbered(folder, kind):
    files = glob.glob(os.path.join(folder, kind + "_*.pb"))
    return sorted(files, key=lambda f: int(re.search(r"_(\d+)\.pb$", f)[1]))


def run_set(program, model, folder, rtol, atol, timeout):
    """(verdict, detail) of one set of inputs: pass, wrong, unsupported, error, crash, timeout."""
    with tempfile.TemporaryDirectory() as out:
        command = [program, "run", model, *EXTRA, "--inputs", *numbered(folder, "input"), "--outputs", out]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, timeout=timeout)
        except subprocess.TimeoutExpired:
            return "timeout", f"after {timeout} s"
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = lines[-1][:300] if lines else ""
        if done.returncode < 0:
            return "crash", f"{signal.Signals(-done.returncode).name} {said}"
        if done.returncode == 3:
            return "unsupported", said
        if done.returncode != 0:
            return "error", said or f"exit status {done.returncode}"
        for i, want in enumerate(numbered(folder, "output")):
            path = os.path.join(out, f"output_{i}.pb")
            if not os.path.exists(path):
                return "wrong", f"output {i} was not written"
            try:
                why = difference(read(want), read(path), rtol, atol)
            except Exception as e:  # whatever a malformed file makes the reader raise
                return "wrong", f"output {i}: {type(e).__name__}: {e}"
            if why is not None:
                return "wrong", f"output {i}: {why}"
    return "pass", ""


def run_test(job):
    program, folder, name, rtol, atol, timeout = job
    sets = sorted(glob.glob(os.path.join(folder, "set_*")))
    verdict = ("error", "the test has no data")
    for s in sets:
        verdict = run_set(program, os.path.join(folder, "model.onnx"), s, max(rtol, 1e-3),
                          max(atol, 1e-5), timeout)
        if verdict[0] != "pass":
            break
    return name, *verdict


def read_list(name):
    with open(os.path.join(HERE, name)) as f:
        lines = [line.split("#")[0].strip() for line in f]
    return [line for line in lines if line]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("patterns", nargs="*")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--all", action="store_true", help="show known failures too")
    parser.add_argument("--report", help="write test, verdict and detail as tab-separated lines")
    a = parser.parse_args()
    program = os.path.abspath(os.path.join(a.build, "src", "lathe"))
    if not os.path.exists(program):
        sys.exit(f"onnx suite: no program {program}")

    names = read_list("list.txt")
    folder = os.path.abspath(os.path.join(a.build, "onnx-suite"))
    tolerances = onnx_suite.prepare(folder, set(names))
    known = dict(line.split(None, 1) for line in read_list("expected_failures.txt"))
    for name in sorted(set(known) - set(names)):
        print(f"{name}: in expected_failures.txt but not in list.txt")
    if a.patterns:
        names = [n for n in names if any(re.search(p, n) for p in a.patterns)]

    jobs = [(program, os.path.join(folder, n), n, *tolerances[n], a.timeout)
            for n in names if n in tolerances]
    rows = [(n, "error", "the onnx package has no such test") for n in names if n not in tolerances]
    with multiprocessing.Pool(a.workers) as pool:
        for row in pool.imap_unordered(run_test, jobs):
            name, verdict, detail = row
            rows.append(row)
            if verdict == "pass" and name in known:
                print(f"{name}: passes now; take it out of expected_failures.txt")
            elif verdict in ("crash", "timeout") or (verdict != "pass" and name not in known):
                print(f"FAIL {name}: {verdict}: {detail}", flush=True)
            elif verdict != "pass" and a.all:
                print(f"{name}: {verdict}: {detail}", flush=True)
    if a.report:
        with open(a.report, "w") as f:
            f.writelines("\t".join(row) + "\n" for row in sorted(rows))
    passed = sum(v == "pass" for _, v, _ in rows)
    # A crash or a hang is never a known failure.
    excused = sum(v not in ("pass", "crash", "timeout") and n in known for n, v, _ in rows)
    failed = len(rows) - passed - excused
    print(f"onnx suite: {passed} passed, {failed} failed, {excused} known failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
