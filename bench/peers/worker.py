"""A process that holds one model in one engine.

    python -m peers.worker ENGINE FILE THREADS FOLDER CPUS

FOLDER has the inputs, inputs.npz; the outputs of the first run go to ENGINE.npz there. It writes
lines of JSON: first how loading went, then one for every line on standard input. Such a line is a
number of seconds: the model runs that long, but at least thrice, or twice if once takes longer.

    {"load_s": 0.41, "first_s": 0.02, "rss_mb": 213}
    {"min_ms": 8.86, "median_ms": 8.91, "runs": 23}

    python -m peers.worker --convert ENGINE MODEL OUT FOLDER
        writes the engine's form of a model, then says {"seconds": 0.9}
"""
import json
import os
import resource
import statistics
import sys
import time

import numpy as np

from .engines import ENGINES


def memory_mb():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) // 1024 for line in f if line.startswith("VmRSS"))


def burst(run, seconds):
    """The first run does not count: it fills the caches that the others' bursts have emptied."""
    times, stop = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < stop:
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
        if times[0] > 1e3 * seconds and len(times) == 2:
            break
    kept = times[1:]
    return {"min_ms": min(kept), "median_ms": statistics.median(kept), "runs": len(kept)}


def limit_memory():
    """Half of the machine's: an engine that goes on taking more would have others ended (ncnn, YOLOv8n)."""
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    resource.setrlimit(resource.RLIMIT_AS, (half, half))


def serve(say, name, file, threads, folder, cpus):
    limit_memory()
    # Before any thread: those of the engine inherit it.
    os.sched_setaffinity(0, [int(c) for c in cpus.split(",")])
    os.environ["OMP_NUM_THREADS"] = threads
    with np.load(os.path.join(folder, "inputs.npz")) as held:
        inputs = {key: held[key] for key in held.files}
    began = time.perf_counter()
    engine = ENGINES[name](file, int(threads), inputs)
    loaded = time.perf_counter()
    engine.run()
    first = time.perf_counter()
    np.savez(os.path.join(folder, name + ".npz"), *engine.outputs())
    say({"load_s": loaded - began, "first_s": first - loaded, "rss_mb": memory_mb()})
    for line in sys.stdin:
        say(burst(engine.run, float(line)))


def convert(say, name, model, out, folder):
    with np.load(os.path.join(folder, "inputs.npz")) as held:
        inputs = {key: held[key] for key in held.files}
    began = time.perf_counter()
    ENGINES[name].convert(model, out, inputs)
    say({"seconds": time.perf_counter() - began})


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print do not get into the lines

    def say(what):
        out.write(json.dumps(what) + "\n")
        out.flush()

    if sys.argv[1] == "--convert":
        convert(say, *sys.argv[2:])
    else:
        serve(say, *sys.argv[1:])


if __name__ == "__main__":
    main()
