#!/usr/bin/env python3
"""`lathe watch` as a service, from outside: service.py BUILD. Starts, reloads, drains, and what it says meanwhile."""
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

BUILD = os.path.abspath(sys.argv[1])
LATHE = os.path.join(BUILD, "src", "lathe")
WATCH = """
watch: {name: game, sample: {fps: 4, max_fps: 4}}
signal: {activity: {from: motion, threshold: 2, min_area: 0.0001}}
event: {motion: {when: activity}}
"""


def write(path, text):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.replace(path + ".new", path)


def service(streams, sink='{to: jsonl, path: all.jsonl}'):
    lines = "".join(f"  {name}: {{url: \"{url}\", watch: watch.yaml}}\n" for name, url in streams.items())
    return f"streams:\n{lines}sinks:\n  all: {sink}\n"


def until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s" % (seconds, what))
        time.sleep(0.05)


def text(path):
    if not os.path.exists(path):
        return ""
    with open(path) as f:
        return f.read()


def records(path):
    return [json.loads(line) for line in text(path).splitlines()]


def catches(pid, number):
    """Whether a process has a handler for a signal: proc(5), SigCgt."""
    with open(f"/proc/{pid}/status") as f:
        caught = next(line for line in f if line.startswith("SigCgt:"))
    return int(caught.split()[1], 16) >> (number - 1) & 1


class Run:
    def __init__(self, *arguments, **options):
        self.error = open("stderr", "w")
        self.process = subprocess.Popen([LATHE, "watch", *arguments], stdout=subprocess.PIPE, stderr=self.error, text=True, **options)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds):
        out = self.process.communicate(timeout=seconds)[0]
        self.error.close()
        return self.process.returncode, out


def test_life():
    """Streams come and go with the file; what is wrong in it changes nothing; SIGTERM ends all in order."""
    secret = "rtsp://me:tellnobody@127.0.0.1:1/x"
    write("service.yaml", service({"a": "game.mp4", "b": "game.mp4", "c": secret}))
    run = Run("service.yaml")
    until(lambda: {r["stream"] for r in records("all.jsonl") if r["event"] == "motion"} == {"a", "b"}, "motion in a and b")
    write("service.yaml", service({"a": "game.mp4", "c": secret, "d": "game.mp4"}))
    until(lambda: "reload: 1 added, 1 removed, 0 changed, 2 as they were" in text("stderr"), "a reload")
    write("service.yaml", "streams: nonsense\n")
    until(lambda: "service.yaml:1:10: 'streams' must be a map (key: value); all goes on as it was" in text("stderr"), "a refusal")
    said = text("stderr").count("all goes on")
    run.signal(signal.SIGHUP)
    until(lambda: text("stderr").count("all goes on") == said + 1, "another after SIGHUP")
    until(lambda: any(r["stream"] == "d" and r["event"] == "motion" for r in records("all.jsonl")), "motion in d")
    run.signal(signal.SIGTERM)
    code, out = run.wait(40)
    assert code == 0, code
    found = records("all.jsonl")
    for name in "abd":
        ends = [r for r in found if r["stream"] == name and r["event"] == "motion" and r["kind"] == "end"]
        assert ends and ends[-1]["reason"] == "stopped", (name, ends)
        assert [r["event"] for r in found if r["stream"] == name and r["kind"] == "state"] == ["stream.up", "stream.end"], name
    errors = text("stderr")
    assert "tellnobody" not in errors + out + text("all.jsonl")
    for line in ("a                up", "c                down: refused"):
        assert line in errors, errors
    assert out.count("a ") > 0 and "motion" in out


def test_second_signal():
    """A sink that nobody answers: the drain is bounded, and ends at once when asked again; its records wait for the next start."""
    write("service.yaml", service({"a": "game.mp4"}, '{to: webhook, url: "http://127.0.0.1:1/"}'))
    run = Run("service.yaml", "--events", "told.jsonl")
    until(lambda: records("told.jsonl"), "an event")
    until(lambda: text("stderr").count("sink 'all': ") == 1 and "records wait" in text("stderr"), "word of the sink")
    run.signal(signal.SIGTERM)
    time.sleep(0.5)
    run.signal(signal.SIGTERM)
    code, _ = run.wait(60)
    assert code == 128 + signal.SIGTERM, code  # asked once it is 0, ten seconds later
    waiting = len(records("told.jsonl"))
    write("service.yaml", service({"a": "game.mp4"}))  # the same name, another place
    run = Run("service.yaml")
    until(lambda: sum(r["event"] == "motion" for r in records("all.jsonl")) >= waiting, "what had waited")
    run.signal(signal.SIGTERM)
    assert run.wait(40)[0] == 0


def test_hangs():
    """Nobody takes what it prints, as where a disk hangs: asked once, it ends all the same."""
    out, full = os.pipe()
    os.set_blocking(full, False)
    try:
        while os.write(full, b"x" * 4096):
            pass
    except BlockingIOError:
        pass
    os.set_blocking(full, True)
    with open("stderr", "w") as error:
        process = subprocess.Popen([LATHE, "watch", "watch.yaml", "game.mp4"], stdout=full, stderr=error)
    until(lambda: catches(process.pid, signal.SIGTERM), "a beginning")
    time.sleep(5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 128 + signal.SIGALRM, process.returncode
    assert "given up" in text("stderr"), text("stderr")
    os.close(out)
    os.close(full)


def test_videos():
    """Several videos are several streams; one that is not there is an error, and spoils nothing."""
    os.link("game.mp4", "second.mp4")
    run = Run("watch.yaml", "game.mp4", "second.mp4", "--events", "both.jsonl")
    code, out = run.wait(60)
    assert code == 0, code
    both = records("both.jsonl")
    times = {n: [(r["kind"], r["t_start"]) for r in both if r["stream"] == n] for n in ("game.mp4", "second.mp4")}
    assert times["game.mp4"] == times["second.mp4"] and times["game.mp4"], times
    assert "second.mp4" in out
    run = Run("watch.yaml", "game.mp4", "none.mp4")
    code, out = run.wait(60)
    assert code == 1 and "motion" in out, (code, out)
    assert "none.mp4         failed" in text("stderr"), text("stderr")


def clip_parts(folder):
    return {name: json.loads(text(os.path.join(folder, name))) for name in sorted(os.listdir(folder)) if name.endswith(".json")}


def test_clips():
    """Events become videos: of files, and of what comes over the network; at SIGTERM as far as they came. A folder that is not there is made."""
    port = 20000 + os.getpid() % 20000
    write("watch.yaml", WATCH.replace("when: activity", "when: activity, clip: {pre: 1s, post: 1s}"))
    streams = {"quick": "game.mp4", "live": f"udp://127.0.0.1:{port}"}
    write("service.yaml", service(streams).replace("game.mp4\"", "game.mp4\", offline: true")
          + "service: {clips: some/where/clips}\n")
    run = Run("service.yaml")
    sender = subprocess.Popen([os.path.join(BUILD, "tests", "live_sender"), f"udp://127.0.0.1:{port}?pkt_size=1316", "mpegts", "game.mp4"],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    until(lambda: any(r["stream"] == "live" and "clip" in r for r in records("all.jsonl")), "an event of the live stream")
    until(lambda: os.path.isdir("some/where/clips") and clip_parts("some/where/clips"), "a clip")
    time.sleep(2)
    assert "clips: made the folder" in text("stderr"), text("stderr")
    run.signal(signal.SIGTERM)
    assert run.wait(40)[0] == 0
    sender.stdin.close()
    sender.wait()
    named = {r["clip"] for r in records("all.jsonl") if r["event"] == "motion"}
    there = {"clips/" + p["clip"] for p in clip_parts("some/where/clips").values()}
    assert named == there and all(os.path.getsize(os.path.join("some/where", n)) > 1000 for n in named), (named, there)
    assert {p["stream"] for p in clip_parts("some/where/clips").values()} == {"quick", "live"}
    ids = {e["id"] for p in clip_parts("some/where/clips").values() for e in p["events"]}
    assert ids == {r["id"] for r in records("all.jsonl") if r["event"] == "motion"}
    write("file", "")
    write("service.yaml", service({"a": "game.mp4"}) + "service: {clips: file}\n")
    run = Run("service.yaml")
    code, _ = run.wait(60)
    assert code not in (0, -signal.SIGSEGV) and "is no folder" in text("stderr"), (code, text("stderr"))


def test_sinks():
    """A change of sinks alone is told, and so is that records are lost, at once, and on /metrics."""
    write("service.yaml", service({"a": "rtsp://127.0.0.1:1/x"}))
    run = Run("service.yaml")
    until(lambda: "down" in text("stderr"), "a stream that is down")
    write("service.yaml", service({"a": "rtsp://127.0.0.1:1/x"}, "{to: jsonl, path: other.jsonl}"))
    until(lambda: "1 as they were; sinks: 0 added, 0 removed, 1 changed" in text("stderr"), "a reload of sinks")
    run.signal(signal.SIGTERM)
    assert run.wait(40)[0] == 0
    assert text("stderr").count("reload:") == 1


def test_full_disk():
    write("service.yaml", service({"a": "game.mp4"}, '{to: webhook, url: "http://127.0.0.1:1/"}') +
          'service: {page: "127.0.0.1:0", evidence_bytes: 0}\n')

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))

    run = Run("service.yaml", preexec_fn=limit, restore_signals=False)
    until(lambda: "records were lost for the sinks: outbox" in text("stderr") and "http://" in text("stderr"), "a loss")
    address = text("stderr").split("page: ")[1].split()[0]
    metrics = urllib.request.urlopen(address + "/metrics").read().decode()
    lost = next(line for line in metrics.splitlines() if line.startswith("lathe_watch_outbox_lost_total"))
    assert int(lost.split()[1]) > 0, lost
    run.signal(signal.SIGTERM)
    time.sleep(0.3)
    run.signal(signal.SIGTERM)
    run.wait(40)
    assert text("stderr").count("were lost for the sinks") < 6, text("stderr")


def test_refused():
    """What a service cannot begin with."""
    for name, body, error in (("none.yaml", None, "none.yaml"), ("empty.yaml", "service: {workers: 1}\n", "no 'streams' in it"),
                              ("taken.yaml", service({"a": "game.mp4"}, "{to: jsonl}"), "'path' is missing")):
        if body:
            write(name, body)
        run = Run(name)
        code, _ = run.wait(60)
        assert code not in (0, -signal.SIGSEGV) and error in text("stderr"), (name, code, text("stderr"))


def main():
    failed = 0
    for test in (test_life, test_second_signal, test_hangs, test_videos, test_clips, test_sinks, test_full_disk, test_refused):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            subprocess.run([os.path.join(BUILD, "game", "game"), "--seconds", "15", "--size", "320x180", "-o", "."],
                           check=True, stdout=subprocess.DEVNULL)
            write("watch.yaml", WATCH)
            try:
                test()
                print(f"{test.__name__}: passed")
            except (AssertionError, subprocess.TimeoutExpired) as e:
                failed += 1
                print(f"{test.__name__}: FAILED: {e}\n{text('stderr')}")
            os.chdir("/")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
