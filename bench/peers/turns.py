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
LIMIT = 300  # seconds that a conversion may take
START = 60  # .. that loading and the first run may, or a burst
# Of the largest value of an output. A result that is further from all others does not count.
TOLERANCE = 1e-3
# In less than f32, as a vector relative to its length. Networks of many layers are up to 0.2 off in any engine; what has
# nothing to do with the right result is 1.4 off.
LOW_TOLERANCE = 0.3
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

    def wait_until_ready(self):
        self.read()
        self.stop()

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def read(self):
        if not select.select([self.process.stdout], [], [], START)[0]:
            self.process.kill()
            raise RuntimeError(f"over {START} s")
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
    if hasattr(ENGINES[name], "library"):
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


def largest(x):
    return np.abs(x).max()


def difference(folder, name, reference, size=largest):
    """Size of a-b over that of b, worst of the outputs; None: their number or size differs."""
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
                error = size(a - b) / max(size(b), 1e-30)
                worst = max(worst, error if error == error else np.inf)
    return float(worst)


class Row:
    """What came out for one model at one thread count; by engine."""

    def __init__(self, model, kind, threads, contest):
        self.model, self.kind, self.threads, self.contest = model, kind, threads, contest
        self.ms, self.median, self.error, self.fault, self.convert_s = {}, {}, {}, {}, {}
        self.disturbed = False  # too few calm rounds
        self.work = None        # GFLOP and GB of one run, where known (bench/ops)

    def best_peer(self):
        peers = [p for p in self.ms if p not in (self.contest.ours, self.contest.plain)]
        return min(peers, key=self.ms.get) if peers else None

    def ratio(self, peer=None):
        """Above 1: Lathe is so many times as fast. None: one of the two has no time."""
        peer, ours = peer or self.best_peer(), self.contest.ours
        return self.ms[peer] / self.ms[ours] if peer in self.ms and ours in self.ms else None


def start(row, names, model, threads, cpus, conversions, folder):
    """A worker for each engine that can run the model."""
    workers = []
    for name in names:
        try:
            file, row.convert_s[name] = conversions.find(name, model, folder)
            workers.append(Worker(name, file, threads, folder, cpus))
        except RuntimeError as e:
            row.fault[name] = str(e)
    for w in list(workers):  # they have begun at once: most of a start is Python's imports
        try:
            w.wait_until_ready()
        except RuntimeError as e:
            row.fault[w.name] = str(e)
            workers.remove(w)
    return workers


def errors_of_each_other(row, names, folder):
    """If none agree, the first peer is right. (No fixed reference: sums over millions of values go
    wrong in one or another.)"""
    for name in names:
        found = [difference(folder, name, other) for other in names if other != name]
        row.error[name] = min((d for d in found if d is not None), default=None)
    held = dict(row.error)
    if all(d is None or d > TOLERANCE for d in held.values()):
        held[next((n for n in names if n != "lathe"), "lathe")] = 0.0
    return held, TOLERANCE


def errors_of_plain(row, names, folder):
    for name in names:
        row.error[name] = 0.0 if name == row.contest.plain else \
            difference(folder, name, row.contest.plain, np.linalg.norm)
    return row.error, LOW_TOLERANCE


def judge(row, workers, folder):
    """Leaves out whose results are wrong: they agree with nobody's, or not with those in f32."""
    names = [w.name for w in workers]
    by_plain = row.contest.plain in names
    error, most = (errors_of_plain if by_plain else errors_of_each_other)(row, names, folder)
    for w in [w for w in workers if error[w.name] is None or error[w.name] > most]:
        row.fault[w.name] = "outputs of another shape" if error[w.name] is None else \
            f"wrong by {error[w.name]:.1e}"
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


def measure(case, inputs, contest, engines, threads, rounds, seconds, conversions):
    """One model at one thread count; without rounds only that the results agree."""
    row = Row(case.name, case.kind, threads, contest)
    cpus = sorted(os.sched_getaffinity(0))[-threads:]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(os.path.join(folder, "inputs.npz"), **inputs)
        workers = start(row, engines, os.path.abspath(case.file), threads, cpus, conversions,
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
