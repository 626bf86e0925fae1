#!/usr/bin/env python3
"""A service that runs for long: soak.py BUILD [--minutes 60] [--out soak.csv]. Its memory has to stay what it is.

Five streams of 720p, one through each transport, two of them decoded fully and three at keyframes, with faults all the time (a
connection that is cut, garbage, a stall, another size, a clock that jumps); records to a file that is rotated and to a webhook that
is away at times; a store, evidence, and the page with somebody who looks at it. Every five seconds a line of CSV says what
the process takes. Judged is each minute's mean after ten minutes (a sixth of the time): within 2 % of their mean.

Models of text are looked for in .models or $LATHE_MODELS, as ever.
"""
import argparse
import http.server
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import generated  # noqa: E402
import transmit  # noqa: E402

FULL = ("rtsp", "rtmp")  # decoded fully
STEP = 5                 # seconds between looks
WITHIN = 0.02
FAULTS = {  # of the relay, of the sender; an RTSP server has its own
    "rtsp": (["cut 0", "cut 2", "stall 1.5", "stall 5", "garbage 3000", "corrupt 10"], []),
    "rtmp": (["cut 0", "cut 2", "stall 1.5", "stall 5", "garbage 3000", "corrupt 10"], ["cut 0.5", "middle 0.3", "jump 9", "change"]),
    "hls": (["cut 0", "cut 2", "stall 1.5", "garbage 3000", "corrupt 10"], ["change"]),
    "srt": (["cut 2", "stall 1.5", "stall 5", "corrupt 10", "lose 20"], ["cut 0.5", "middle 0.3", "jump 9", "jump -30", "change"]),
    "udp": (["cut 2", "stall 1.5", "stall 5", "garbage 3000", "lose 20"], ["middle 0.3", "jump 9", "jump -30", "change"]),
}


class Hook(http.server.BaseHTTPRequestHandler):
    away, got = False, 0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        Hook.got += not Hook.away
        self.send_response(503 if Hook.away else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


def memory(pid):
    """Resident and proportional kB, threads, open files, CPU seconds."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        size = {k: int(v) for k, v in re.findall(r"^(\w+): +(\d+) kB", f.read(), re.M)}
    with open(f"/proc/{pid}/stat") as f:
        stat = f.read().rsplit(")", 1)[1].split()
    return (size["Rss"], size["Pss"], int(stat[17]), len(os.listdir(f"/proc/{pid}/fd")),
            (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"))


class Look(threading.Thread):
    """Somebody who has the page open."""

    def __init__(self, port, streams):
        super().__init__(daemon=True)
        self.at, self.streams, self.answers, self.refusals = f"http://127.0.0.1:{port}", streams, 0, 0

    def get(self, path):
        try:
            with urllib.request.urlopen(self.at + path, timeout=10) as answer:
                answer.read()
            self.answers += 1
        except OSError:  # 404: no picture yet
            self.refusals += 1

    def run(self):
        for i in range(1 << 30):
            self.get("/api/streams")
            self.get(f"/snapshot/{self.streams[i // 20 % len(self.streams)]}.jpg")
            if i % 5 == 0:
                self.get("/metrics")
                self.get("/api/search?limit=20&q=" + urllib.parse.quote("kind:event since:1h"))
            time.sleep(2)


def service(sends, hook, port):
    lines = "".join(f"  {s.transport}: {{url: \"{s.url}\", watch: game/soak.yaml, keyframes: {str(s.transport not in FULL).lower()}}}\n"
                    for s in sends)
    return (f"streams:\n{lines}sinks:\n  all: {{to: jsonl, path: all.jsonl, rotate: 1000000}}\n"
            f"  hook: {{to: webhook, url: \"http://127.0.0.1:{hook}/\"}}\n"
            f"service: {{store: seen.db, page: \"127.0.0.1:{port}\", evidence: pictures, evidence_bytes: 5000000}}\n")


def disturb(sends, dice):
    send = dice.choice(sends)
    relay, sender = FAULTS[send.transport]
    fault = dice.choice(relay + sender)
    (send.relay if fault in relay else send.sender)(fault)


def watch(lathe, sends, minutes, out, dice):
    rows, start, next_fault = [], time.monotonic(), 30
    out.write("seconds,rss_kb,pss_kb,threads,files,cpu_s\n")
    while time.monotonic() - start < 60 * minutes and lathe.poll() is None:
        time.sleep(STEP)
        now = time.monotonic() - start
        rows.append((now, *memory(lathe.pid)))
        out.write("%.0f,%d,%d,%d,%d,%.1f\n" % rows[-1])
        out.flush()
        if now > next_fault:
            disturb(sends, dice)
            next_fault = now + dice.uniform(5, 25)
        Hook.away = now % 600 > 540
    return rows


def judge(rows, minutes):
    """Means of minutes after a sixth of the time; how far the farthest is from their mean, of all."""
    after = [r for r in rows if r[0] > 10 * minutes]
    means = []
    for m in range(int(after[0][0] // 60), int(after[-1][0] // 60)):
        values = [r[1] for r in after if r[0] // 60 == m]
        means.append(sum(values) / len(values))
    mean = sum(means) / len(means)
    most, least = max(means), min(means)
    single = [r[1] for r in after]
    print(f"resident: {mean / 1024:.1f} MB, minutes {100 * (least / mean - 1):+.2f} % to {100 * (most / mean - 1):+.2f} %, single looks "
          f"{100 * (min(single) / mean - 1):+.2f} % to {100 * (max(single) / mean - 1):+.2f} %; first minute {means[0] / 1024:.1f}, last "
          f"{means[-1] / 1024:.1f}; threads {after[-1][3]}, files {after[-1][4]}, "
          f"{(after[-1][5] - after[0][5]) / (after[-1][0] - after[0][0]):.2f} cores")
    return max(most / mean - 1, 1 - least / mean) <= WITHIN


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", default="soak.csv")
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    build, out = os.path.abspath(o.build), open(o.out, "w")
    os.environ.setdefault("LATHE_MODELS", os.path.join(os.path.dirname(build), ".models"))
    dice, port = random.Random(o.seed), transmit.free_port(transmit.socket.SOCK_STREAM)
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        options = ["--seed", "41", "--seconds", "60"]
        films = [generated.game(build, "game", *options), generated.game(build, "small", "--size", "640x360", *options)]
        generated.variant("game", "soak.yaml", generated.lighter)
        sends = [transmit.start(build, t, films, folder) for t in transmit.TRANSPORTS]
        with open("service.yaml", "w") as f:
            f.write(service(sends, hook.server_address[1], port))
        with open("stderr", "w") as errors:
            lathe = subprocess.Popen([os.path.join(build, "src", "lathe"), "watch", "service.yaml"], stdout=subprocess.DEVNULL, stderr=errors,
                                     preexec_fn=transmit.die_with_parent)
        looker = Look(port, [s.transport for s in sends])
        looker.start()
        try:
            rows = watch(lathe, sends, o.minutes, out, dice)
            lathe.send_signal(signal.SIGTERM)
            code = lathe.wait(60)
        finally:
            lathe.kill()
            for s in sends:
                s.__exit__()
        with open("stderr") as f:
            print("".join(f.readlines()[-2 * len(sends):]), end="")
        print(f"status {code}; {Hook.got} records to the webhook; the page answered {looker.answers} times, {looker.refusals} not")
        good = judge(rows, o.minutes) and code == 0
        os.chdir("/")
    print("soak:", "passed" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
