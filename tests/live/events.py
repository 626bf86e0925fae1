#!/usr/bin/env python3
"""Generated games sent live, and the events that are told of them: events.py BUILD [--faults N] [TRANSPORT..].

One line for each transport (all: rtsp, rtmp, hls, srt, udp); the last line is "live events: N passed, N failed". Without faults the
events have to be those of the file, which have to be those that are in the game: precision and recall of 0.99 and 0.98. With faults,
which all transports have at once, no event may be told that is none (live_events.c says what is judged).
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import generated  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TRANSPORTS = ("rtsp", "rtmp", "hls", "srt", "udp")
MINIMUM = (0.99, 0.98)  # precision, recall


def start(build, *arguments):
    return subprocess.Popen([os.path.join(build, "tests", "live_events"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(run, transport):
    """Whether it is well, and what it said."""
    out, errors = run.communicate()
    scores = re.findall(r"precision ([\d.]+), recall ([\d.]+)", out)
    good = run.returncode == 0 and scores and all(float(s[i]) >= MINIMUM[i] for s in scores for i in (0, 1))
    print(f"{'ok  ' if good else 'FAIL'} {transport}\n{out}{'' if good else errors}", end="", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("transports", nargs="*")
    parser.add_argument("--faults", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", default="101")
    o = parser.parse_args()
    build, chosen = os.path.abspath(o.build), o.transports or TRANSPORTS
    os.environ.setdefault("LATHE_MODELS", os.path.join(ROOT, ".models"))
    with tempfile.TemporaryDirectory() as folder:
        if not os.environ.get("LATHE_CACHE"):
            os.environ["LATHE_CACHE"] = os.path.join(folder, "cache")  # one for all
        game, small = os.path.join(folder, "game"), os.path.join(folder, "small")
        options = ["--seed", o.seed, "--seconds", str(o.seconds or (30 if o.faults else 12))]
        generated.game(build, game, *options)
        generated.variant(game, "every.yaml", generated.every)
        generated.variant(game, "spans.yaml", generated.spans)
        if o.faults:
            generated.game(build, small, "--size", "640x360", *options)
            running = [(start(build, game, "spans.yaml", t, "--faults", str(o.faults), small), t) for t in chosen]
            good = sum(finish(*run) for run in running)
        else:
            good = sum(finish(start(build, game, "every.yaml", t), t) for t in chosen)
    print(f"live events: {good} passed, {len(chosen) - good} failed")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
