#!/usr/bin/env python3
"""What bench/zoo and bench/ops keep of models converted for an engine, by ours: conversions.py LATHE_BUILD ROOT. A failure
is not kept, nor what an earlier one left; a success is, and is not made again. Exit status 77: no NumPy."""
import os
import shutil
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    sys.exit(77)

BUILD, ROOT = map(os.path.abspath, sys.argv[1:3])
os.environ["LATHE_BUILD"] = BUILD
sys.path.insert(0, os.path.join(ROOT, "bench"))
from peers import turns  # noqa: E402


def replace(path, old):
    """New bytes, as old as before: no other model, to those who look at its time."""
    time = os.stat(path).st_mtime_ns if os.path.exists(path) else 10**18
    shutil.copyfile(old, path)
    os.utime(path, ns=(time, time))


def fails(conversions, model, folder):
    try:
        conversions.find("lathe", model, folder)
    except RuntimeError as e:
        return str(e)
    raise AssertionError("converted")


def main():
    with tempfile.TemporaryDirectory() as folder:
        cache, model = os.path.join(folder, "cache"), os.path.join(folder, "m.onnx")
        np.savez(os.path.join(folder, "inputs.npz"))
        replace(model, __file__)
        run = turns.Conversions(cache)
        said = fails(run, model, folder)
        assert "m.onnx" in said, said
        replace(model, os.path.join(ROOT, "tests/data/classify.onnx"))
        assert fails(run, model, folder) == said  # known in this run
        name = os.path.basename(next(iter(run.failed)))
        assert name + ".json" not in os.listdir(cache)
        os.mkdir(os.path.join(cache, name + ".work"))
        with open(os.path.join(cache, name + ".json"), "w") as f:
            f.write('{"error": "an earlier form of the cache"}')
        out, seconds = turns.Conversions(cache).find("lathe", model, folder)
        assert sorted(os.listdir(cache)) == [name, name + ".json"], os.listdir(cache)
        made = os.stat(out)
        assert made.st_size > 0 and seconds > 0
        assert turns.Conversions(cache).find("lathe", model, folder) == (out, seconds)
        assert os.stat(out) == made
        assert turns.Conversions(cache).find("ort", model, folder) == (model, None)


main()
