#!/usr/bin/env python3
"""What memory a live stream of 720p takes, by transport: memory.py BUILD [--streams 4] [TRANSPORT..].

A service with one stream, and with so many more, each fully decoded and looked at once a second; after half a minute, the difference of what
is resident, for each stream more. (Of files: bench/streams.)
"""
import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import generated  # noqa: E402
import transmit  # noqa: E402


def rarer(text):
    return generated.lighter(text).replace("fps: 2", "fps: 1")


def resident(pid):
    """MB: resident, and counting what others share by its part."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        size = {k: int(v) / 1024 for k, v in re.findall(r"^(\w+): +(\d+) kB", f.read(), re.M)}
    return size["Rss"], size["Pss"]


def measure(build, folder, transport, n):
    with contextlib.ExitStack() as stack:
        sends = []
        for i in range(n):
            own = os.path.join(folder, f"{transport}{n}_{i}")
            os.makedirs(own)
            sends.append(stack.enter_context(transmit.start(build, transport, [os.path.join(folder, "game", "game.ts")], own)))
        config = os.path.join(folder, "service.yaml")
        with open(config, "w") as f:
            f.write("streams:\n" + "".join(f"  s{i}: {{url: \"{s.url}\", watch: game/rare.yaml}}\n" for i, s in enumerate(sends)))
        with open(os.path.join(folder, "stderr"), "w") as errors:
            lathe = subprocess.Popen([os.path.join(build, "src", "lathe"), "watch", config], stdout=subprocess.DEVNULL, stderr=errors,
                                     preexec_fn=transmit.die_with_parent)
        time.sleep(30)
        if lathe.poll() is not None:
            with open(os.path.join(folder, "stderr")) as f:
                raise OSError(f.read())
        found = resident(lathe.pid)
        lathe.terminate()
        lathe.wait(20)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("transports", nargs="*")
    parser.add_argument("--streams", type=int, default=4)
    o = parser.parse_args()
    build = os.path.abspath(o.build)
    os.environ.setdefault("LATHE_MODELS", os.path.join(os.path.dirname(build), ".models"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("LATHE_CACHE", os.path.join(folder, "cache"))
        generated.game(build, os.path.join(folder, "game"), "--seconds", "30")
        generated.variant(os.path.join(folder, "game"), "rare.yaml", rarer)
        measure(build, folder, "rtsp", 2)  # models are compiled
        for transport in o.transports or transmit.TRANSPORTS:
            one, more = measure(build, folder, transport, 1), measure(build, folder, transport, 1 + o.streams)
            print(f"{transport}: one {one[0]:.0f} MB; each more {(more[0] - one[0]) / o.streams:.1f} MB resident, "
                  f"{(more[1] - one[1]) / o.streams:.1f} MB by its part", flush=True)


if __name__ == "__main__":
    main()
