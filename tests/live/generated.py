"""Generated games for tests of live streams, and variants of their watches."""
import os
import re
import subprocess


def game(build, folder, *options):
    """A transport stream with a keyframe a second; its path."""
    subprocess.run([os.path.join(build, "game", "game"), "--gop", "1s", "--name", "game.ts", *options, "-o", folder], check=True,
                   stdout=subprocess.DEVNULL)
    return os.path.join(folder, "game.ts")


def every(text):
    """However slow the machine is, no sample is left out."""
    return text.replace("policy: newest", "policy: every")


def lighter(text):
    """Two samples a second, without the arrow on the map, which costs more than all the rest."""
    text = re.sub(r"max_fps: \d+", "max_fps: 2", text)
    text = re.sub(r"  player: .*?\]\]\}\}\n", "", text, flags=re.S)
    return re.sub(r"  in_\w+: .*\n", "", text)


def spans(text):
    """Likewise; kills have an end, and shields end as soon, though samples are rare."""
    text = re.sub(r"(  kill: .*), emit: point", r"\1", lighter(text))
    return text.replace("release: [8, 8]", "release: [3, 3]")


def variant(folder, name, change):
    """Writes FOLDER/NAME."""
    with open(os.path.join(folder, "game.yaml")) as f, open(os.path.join(folder, name), "w") as to:
        to.write(change(f.read()))
