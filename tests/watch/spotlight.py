#!/usr/bin/env python3
"""The spotlight over generated games, from outside: spotlight.py BUILD.

What is shown is compared with who should have been by the games' truth."""
import os
import re
import signal
import subprocess
import sys
import tempfile

from service import BUILD, Run, records, text, until, write

LENGTHS = (20, 24, 28)  # seconds: one look, three scripts
RULES = 'score: "60 * rate(kill, 6s) + match.age", require: match, min_dwell: 2s, margin: 4, stale: 5s'
EVENTS = """event:
  match: {when: "screen == 'play'", confirm: [2, 3], release: [4, 5]}
  kill: {when: "screen == 'play' && skull", confirm: [2, 3], release: [4, 5], emit: point}
"""
STEP = 0.25  # s between samples


def make_games():
    for seconds in LENGTHS:
        folder = f"game{seconds}"
        subprocess.run([os.path.join(BUILD, "game", "game"), "--seed", "21", "--seconds", str(seconds), "--size", "640x360",
                        "-o", folder], check=True, stdout=subprocess.DEVNULL)
    write_watch(RULES)


def write_watch(rules):
    """The first game's watch, with what needs no model alone, at a fixed rate."""
    whole = text("game20/game.yaml")
    whole = whole.replace("fps: 2, max_fps: 10", f"fps: {1 / STEP:g}, max_fps: {1 / STEP:g}")
    head = whole[:whole.index("\nsignal:")]
    signals = "".join(line for line in whole.splitlines(True) if re.match("  (skull|screen): ", line))
    write("game20/spot.yaml", f"{head}\nsignal:\n{signals}{EVENTS}" + (f"spotlight: {{{rules}}}\n" if rules else ""))


def spotlights(lines):
    return [r for r in lines if r["event"] == "spotlight"]


def truth(seconds):
    """When its match is on, and its kills, as the first sample behind them shows."""
    def seen(t):
        return -(-t // STEP) * STEP
    found = records(f"game{seconds}/events.jsonl")
    match = [(seen(r["t_start"]), seen(r["t_end"])) for r in found if r["event"] == "match"]
    return match[0], [seen(r["t_start"]) for r in found if r["event"] == "kill"]


def expected():
    """[(t, stream, previous)] by doc/watch.md, read plainly.

    Starts are known at their second sample, ends at their fourth."""
    games = {f"game{s}/game.mp4": truth(s) for s in LENGTHS}
    shown, since, out = None, 0, []
    for i in range(int(max(LENGTHS) / STEP)):
        t = i * STEP
        score = {n: 10 * sum(k + STEP <= t < k + 6 for k in kills) + t - match[0]
                 for n, (match, kills) in games.items() if match[0] + STEP <= t < match[1] + 3 * STEP}
        best = min((n for n in score if n != shown), key=lambda n: (-score[n], n), default=None)
        if shown in score and (best is None or t - since < 2 or score[best] < score[shown] + 4):
            continue
        if shown is None and best is None:
            continue
        out.append((t, best, shown))
        shown, since = best, t
    return out


def videos(*more):
    names = [f"game{s}/game.mp4" for s in LENGTHS]
    return Run("game20/spot.yaml", *names, *more)


def test_videos():
    """Several files: whoever is read first, the choices are those of the truth, and the same each time."""
    want = expected()
    said = []
    for threads in ("1", "2"):
        code, out = videos("--events", f"events{threads}.jsonl", "--threads", threads).wait(100)
        assert code == 0, (code, text("stderr"))
        found = spotlights(records(f"events{threads}.jsonl"))
        said.append(found)
        assert len(re.findall("^spotlight  ", out, re.M)) == len(found), out
    assert said[0] == said[1], said
    got = [(r["t"], r["stream"] or None, r["previous"]) for r in said[0]]
    assert [g[1:] for g in got] == [w[1:] for w in want], (got, want)
    assert all(abs(g[0] - w[0]) <= 2 * STEP for g, w in zip(got, want)), (got, want)
    assert {g[1] for g in got} >= {f"game{s}/game.mp4" for s in LENGTHS} and len(got) >= 6, got  # it was worth asking
    assert {r["cause"] for r in said[0]} >= {"first", "better", "require"}, said[0]
    assert len({r["id"] for r in said[0]}) == len(got)
    code, _ = videos("rtsp://127.0.0.1:1/x").wait(20)
    assert code != 0 and "cannot share one spotlight" in text("stderr"), text("stderr")


def service(more=""):
    streams = "".join(f"  g{s}: {{url: game{s}/game.mp4, watch: game20/spot.yaml{more}}}\n" for s in LENGTHS)
    return f"streams:\n{streams}sinks:\n  all: {{to: jsonl, path: all.jsonl}}\nservice: {{evidence_bytes: 0}}\n"


def in_service(video):
    return video and "g" + re.match(r"game(\d+)", video)[1]


def test_service():
    """The same choices in a service, in its sinks; ids are the same when it is watched again."""
    write("service.yaml", service(", offline: true"))
    ids = []
    for _ in range(2):
        run = Run("service.yaml")
        until(lambda: sum(r["event"] == "stream.end" for r in records("all.jsonl")) == len(LENGTHS), "the end of all", 60)
        run.signal(signal.SIGTERM)
        assert run.wait(10)[0] == 0
        found = spotlights(records("all.jsonl"))
        got = [(r["stream"], r["previous"]) for r in found]
        assert got == [(in_service(n) or "", in_service(p)) for _, n, p in expected()], got
        assert all(r["wall"] is None and r["kind"] == "state" for r in found)
        ids.append([r["id"] for r in found])
        os.remove("all.jsonl")
    assert ids[0] == ids[1]


def newest():
    return spotlights(records("all.jsonl"))[-1]


def test_reload():
    """By the clock; the section changes while it runs, and what is wrong in it changes nothing."""
    write("service.yaml", service())
    write_watch('score: 5, margin: 1000, min_dwell: 0s, stale: 1h')
    run = Run("service.yaml")
    until(lambda: spotlights(records("all.jsonl")), "a first choice")
    write_watch('score: "5 + skull", margin: 1000')
    until(lambda: "spot.yaml:" in text("stderr"), "a refusal")
    line = [n for n, l in enumerate(text("game20/spot.yaml").splitlines(), 1) if l.startswith("spotlight")][0]
    said = f"spot.yaml:{line}:25: this is true or false where a number is wanted; all goes on as it was"
    assert said in text("stderr"), text("stderr")
    write_watch('score: 6, margin: 1000, min_dwell: 0s, stale: 1h')
    until(lambda: "3 changed" in text("stderr"), "a reload")
    until(lambda: sum(r["event"] == "match" for r in records("all.jsonl")) > 0, "a match")
    found = spotlights(records("all.jsonl"))  # it stayed through that
    assert len(found) == 1 and found[0]["cause"] == "first" and found[0]["wall"] and found[0]["t"] is None, found
    write_watch('score: 6, require: "match && !match", stale: 1h')
    until(lambda: newest()["stream"] == "", "that none may be shown")  # one after the other, with their samples
    assert newest()["cause"] == "require", newest()
    write_watch('score: 7, stale: 1h')
    until(lambda: newest()["value"] == 7, "that one may again")
    assert newest()["cause"] == "first", newest()
    write_watch(None)
    until(lambda: newest()["stream"] == "", "that nobody competes")
    assert newest()["cause"] == "gone", newest()
    found = spotlights(records("all.jsonl"))
    assert all(a["stream"] == (b["previous"] or "") for a, b in zip(found, found[1:])), found
    run.signal(signal.SIGTERM)
    assert run.wait(10)[0] == 0


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_games()
        for test in (test_videos, test_service, test_reload):
            try:
                test()
                print(f"{test.__name__}: passed")
            except (AssertionError, subprocess.TimeoutExpired) as e:
                failed += 1
                print(f"{test.__name__}: FAILED: {e}\n{text('stderr')}")
            for name in ("all.jsonl", "service.yaml.outbox"):
                if os.path.exists(name):
                    os.remove(name)
        os.chdir("/")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
