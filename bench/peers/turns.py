"""Starts the workers of a model, compares their outputs, and lets them take turns.

A worker that does not run is stopped by a signal, so that no pool that spins between runs takes a
core from another. In each round each engine has one burst; the order is turned round by round. A
round in which other processes (or other guests of the machine) took CPU time is followed by one
more, up to three times as many in all.
"""
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

from .engines import ENGINES

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT = 300  # seconds that a conversion or a start may take
# Of the largest value of an output. A result that is further from all others does not count.
TOLERANCE = 1e-3
CALM = 0.1  # of a CPU: what others may take during a burst
PATIENCE = 3
TICK = 1 / os.sysconf("SC_CLK_TCK")


def last_line(path):
    with open(path, errors="replace") as f:
        lines = f.read().strip().splitlines()
    return lines[-1][:300] if lines else "it died"


def used_by_all():
    """Seconds of CPU that anything has taken: all but idling, and what the host stole."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, *rest = map(int, f.readline().split()[1:9])
    return TICK * (user + nice + system + sum(rest))


def used_by(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return TICK * (int(fields[11]) + int(fields[12]))


class Worker:
    def __init__(self, name, file, threads, folder, cpus):
        self.name, self.results = name, []
        self.errors = os.path.join(folder, name + ".err")
        with open(self.errors, "w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "peers.worker", name, file, str(threads), folder,
                 ",".join(map(str, cpus))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=HERE)
        self.info = self.read()
        self.stop()

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def read(self):
        if not select.select([self.process.stdout], [], [], LIMIT)[0]:
            self.process.kill()
            raise RuntimeError(f"over {LIMIT} s")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise RuntimeError(last_line(self.errors))
        return json.loads(line)

    def burst(self, seconds):
        """Whether nobody else took the CPUs meanwhile."""
        pid, began = self.process.pid, time.perf_counter()
        others = used_by(pid) - used_by_all()
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        self.results.append(self.read())
        self.stop()
        others += used_by_all() - used_by(pid)
        return others < CALM * (time.perf_counter() - began) + 2 * TICK

    def close(self):
        self.process.kill()
        self.process.wait()

    def least(self):
        return min(r["min_ms"] for r in self.results)


def stamp(name, model):
    """Of what a converted file depends on: the model, the engine's version (ours: its library)."""
    h = hashlib.sha256(f"{model} {os.stat(model).st_mtime_ns}".encode())
    if name == "lathe":
        with open(ENGINES[name].library(), "rb") as f:
            h.update(f.read())
    else:
        h.update(ENGINES[name].version().encode())
    return h.hexdigest()[:12]


def convert(name, model, out, folder):
    """The seconds it took to write the engine's form of the model."""
    errors = os.path.join(folder, name + ".err")
    with open(errors, "w") as f:
        try:
            done = subprocess.run([sys.executable, "-m", "peers.worker", "--convert", name, model,
                                   out, folder], stdout=subprocess.PIPE, stderr=f, text=True,
                                  cwd=HERE, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"over {LIMIT} s") from None
    if done.returncode != 0:
        raise RuntimeError(last_line(errors))
    return json.loads(done.stdout)["seconds"]


class Conversions:
    """Models in the forms that engines read, in a folder that outlives the program. A failure is
    known in this run only: it may have been the machine's, or that of a library made anew since."""

    def __init__(self, folder):
        self.folder, self.failed = folder, {}
        os.makedirs(folder, exist_ok=True)

    def forget(self, prefix):
        for old in os.listdir(self.folder):
            path = os.path.join(self.folder, old)
            if old.startswith(prefix):
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

    def seconds(self, note):
        """Of a conversion that came to its end; None: there is none."""
        if not os.path.exists(note):
            return None
        with open(note) as f:
            return json.load(f).get("seconds")

    def find(self, name, model, folder):
        """The file that the engine is to read, and the seconds it took to make."""
        engine = ENGINES[name]
        if not hasattr(engine, "convert"):
            return model, None
        prefix = f"{os.path.basename(model)[:-len('.onnx')]}@{name}-"
        out = os.path.join(self.folder, prefix + stamp(name, model) + engine.suffix)
        note = out + ".json"
        if out in self.failed:
            raise RuntimeError(self.failed[out])
        seconds = self.seconds(note)
        if seconds is None:
            self.forget(prefix)  # of other stamps, and what one that was stopped has left
            try:
                seconds = convert(name, model, out, folder)
            except RuntimeError as e:
                self.failed[out] = str(e)
                raise
            with open(note + ".new", "w") as f:
                json.dump({"seconds": seconds}, f)
            os.replace(note + ".new", note)
        return out, seconds


def difference(folder, name, reference):
    """Largest |a-b| over largest |b|, worst of the outputs; None: their number or size differs."""
    worst = 0.0
    with np.load(os.path.join(folder, name + ".npz")) as got, \
            np.load(os.path.join(folder, reference + ".npz")) as want:
        if len(got.files) != len(want.files):
            return None
        for key in want.files:
            a, b = got[key].astype(np.float64).ravel(), want[key].astype(np.float64).ravel()
            if a.size != b.size:
                return None
            if b.size > 0:
                error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)
                worst = max(worst, error if error == error else np.inf)
    return float(worst)


class Row:
    """What came out for one model at one thread count; by engine."""

    def __init__(self, model, kind, threads):
        self.model, self.kind, self.threads = model, kind, threads
        self.ms, self.median, self.error, self.fault, self.convert_s = {}, {}, {}, {}, {}
        self.disturbed = False  # too few calm rounds
        self.work = None        # GFLOP and GB of one run, where known (bench/ops)

    def best_peer(self):
        peers = [p for p in self.ms if p != "lathe"]
        return min(peers, key=self.ms.get) if peers else None

    def ratio(self, peer=None):
        """Above 1: Lathe is so many times as fast. None: one of the two has no time."""
        peer = peer or self.best_peer()
        return self.ms[peer] / self.ms["lathe"] if peer in self.ms and "lathe" in self.ms else None


def start(row, names, model, threads, cpus, conversions, folder):
    """A worker for each engine that can run the model."""
    workers = []
    for name in names:
        try:
            file, row.convert_s[name] = conversions.find(name, model, folder)
            workers.append(Worker(name, file, threads, folder, cpus))
        except RuntimeError as e:
            row.fault[name] = str(e)
    return workers


def judge(row, workers, folder):
    """Leaves out whose results are wrong: they agree with nobody's. If none agree, the first peer
    is right. (No fixed reference: sums over millions of values go wrong in one or another.)"""
    least = {}
    for w in workers:
        found = [difference(folder, w.name, other.name) for other in workers if other is not w]
        least[w.name] = min((d for d in found if d is not None), default=None)
        if w.name == "lathe":
            row.error["lathe"] = least["lathe"]
    if all(d is None or d > TOLERANCE for d in least.values()):
        trusted = next((w.name for w in workers if w.name != "lathe"), "lathe")
        least[trusted] = 0.0
    for w in [w for w in workers if least[w.name] is None or least[w.name] > TOLERANCE]:
        row.fault[w.name] = "outputs of another shape" if least[w.name] is None else \
            f"wrong by {least[w.name]:.1e}"
        w.close()
        workers.remove(w)


def take_turns(workers, rounds, seconds):
    """Whether there were enough calm rounds."""
    calm = 0
    for i in range(PATIENCE * rounds):
        order = workers[i % len(workers):] + workers[:i % len(workers)]
        calm += all([w.burst(seconds) for w in order])
        if calm == rounds:
            break
    return calm == rounds


def measure(name, kind, model, inputs, engines, threads, rounds, seconds, conversions):
    """One model at one thread count; without rounds only that the results agree."""
    row = Row(name, kind, threads)
    cpus = sorted(os.sched_getaffinity(0))[-threads:]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(os.path.join(folder, "inputs.npz"), **inputs)
        workers = start(row, engines, os.path.abspath(model), threads, cpus, conversions,
                        folder)
        try:
            judge(row, workers, folder)
            row.disturbed = not take_turns(workers, rounds, seconds)
        finally:
            for w in workers:
                w.close()
    for w in workers if rounds > 0 else []:
        row.ms[w.name] = w.least()
        row.median[w.name] = sorted(r["median_ms"] for r in w.results)[len(w.results) // 2]
    return row
