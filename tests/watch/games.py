#!/usr/bin/env python3
"""Watches generated games: games.py BUILD [SEED..]. One line a game; the last line is "games: N passed, N failed".

The game's truth is known (game/truth.h). A game passes if precision and recall are both at least what MINIMUM says, with
starts at most one sample off; if what was recorded of it, replayed, gives the same records to the byte; if libav in processes of its
own (--isolate) gives the same samples; and if so does
the same game in another container. With seeds, all thirty-second games, printing the scores, for measuring.
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, ".models")
MINIMUM = (0.99, 0.98)  # precision, recall
GAMES = {  # options of game/game; other fonts, layouts, colours and scripts by the seed
    "plain": ["--seed", "101", "--seconds", "12"],
    "spoken": ["--seed", "103", "--seconds", "16", "--voice", "SAID"],
    "noisy": ["--seed", "102", "--seconds", "12", "--noise", "4", "--bitrate", "1M"],
}


def call(command, cache):
    env = dict(os.environ, LATHE_CACHE=cache, LATHE_MODELS=MODELS)
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise ValueError(f"{' '.join(command)}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def scores(said):
    """Precision and recall of all events, and the largest error of a start."""
    found = re.search(r"^all +\d+ +\d+ +\d+ +([\d.]+) +([\d.]+) +[\d.]+ +([\d.]+)$", said, re.M)
    if not found:
        raise ValueError("no scores in: " + said)
    return tuple(float(v) for v in found.groups())


def read(path):
    with open(path, "rb") as f:
        return f.read()


def watch(build, folder, cache, video, *more):
    return call([os.path.join(build, "src", "lathe"), "watch", os.path.join(folder, "game.yaml"), video, "--expect",
                 os.path.join(folder, "events.jsonl"), *more], cache)


def say(folder):
    path = os.path.join(folder, "said.wav")
    call(["espeak-ng", "-v", "en-us", "-w", path, "He is in the final ten, and what an incredible shot from the hill."], "")
    return path


def judge(build, folder, cache, options):
    options = [say(folder) if o == "SAID" else o for o in options]
    call([os.path.join(build, "game", "game"), *options, "-o", folder], cache)
    samples, first, second = (os.path.join(folder, n) for n in ("samples.jsonl", "first.jsonl", "second.jsonl"))
    said = watch(build, folder, cache, os.path.join(folder, "game.mp4"), "--record", samples, "--events", first)
    precision, recall, off = scores(said)
    call([os.path.join(build, "src", "lathe"), "watch", os.path.join(folder, "game.yaml"), "--replay", samples, "--events",
          second], cache)
    # Recorded or not, the same signals are seen where they matter.
    lazy = scores(watch(build, folder, cache, os.path.join(folder, "game.mp4")))
    same = read(first) == read(second)
    apart = os.path.join(folder, "apart.jsonl")
    watch(build, folder, cache, os.path.join(folder, "game.mp4"), "--record", apart, "--isolate")
    alike = read(samples) == read(apart)
    good = precision >= MINIMUM[0] and recall >= MINIMUM[1] and off <= 0.5 and same and alike and lazy == (precision, recall, off)
    if not good:
        sys.stdout.write(said)
    return good, (f"precision {precision:.3f}, recall {recall:.3f}, starts at most {off:.3f} s off; replayed: "
                  f"{'the same' if same else 'OTHER RECORDS'}; isolated: {'the same' if alike else 'OTHER SAMPLES'}; without recording: "
                  f"{'the same' if lazy == (precision, recall, off) else lazy}")


def main():
    build = os.path.abspath(sys.argv[1])
    games = {f"seed {s}": ["--seed", s] for s in sys.argv[2:]} or GAMES
    failed = 0
    with tempfile.TemporaryDirectory() as cache:
        for name, options in games.items():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    good, what = judge(build, folder, cache, options)
                except (OSError, ValueError) as e:
                    good, what = False, str(e)
            print(f"{'ok  ' if good else 'FAIL'} {name:8} {what}")
            sys.stdout.flush()
            failed += not good
    print(f"games: {len(games) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
