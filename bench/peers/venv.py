"""The benchmarks run in the environment that `make peers` has set up."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = os.path.join(ROOT, ".peers")


def enter(text=None):
    """Starts the program anew in it; without it there is nothing but this help text."""
    folder = os.path.join(PEERS, "venv")
    python = os.path.join(folder, "bin/python")
    if not os.path.exists(python):
        if text and {"-h", "--help"} & set(sys.argv[1:]):
            print(text)
            sys.exit(0)
        sys.exit("run `make peers` first: it brings the other runtimes and the models")
    if not os.path.samefile(sys.prefix, folder):
        os.execv(python, [python, *sys.argv])
