"""What bench/zoo and bench/ops have in common: options, one case after another, the report."""
import argparse
import json
import os
import subprocess
import sys
from collections import namedtuple

from . import report, turns
from .engines import BUILD, CONTESTS
from .inputs import inputs_of
from .venv import PEERS, ROOT

# A file to time; `work` is GFLOP, GB read and GB written of one run, or None.
Case = namedtuple("Case", "name kind file work", defaults=[None])


def arguments(text, kinds):
    parser = argparse.ArgumentParser(description=text,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--class", dest="kind", choices=kinds)
    parser.add_argument("--precision", choices=CONTESTS, default="f32")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--burst", type=float, default=0.2, help="seconds (0.2)")
    parser.add_argument("--peers", help="some of them, separated by commas")
    parser.add_argument("--csv", help="instead of the file of bench/results")
    parser.add_argument("--save", action="store_true", help="write the rows there")
    parser.add_argument("--stored", action="store_true", help="only print what is there")
    return parser.parse_args()


def chosen(cases, a):
    unknown = set(a.names) - {c.name for c in cases}
    if unknown:
        sys.exit(f"there is no {', '.join(sorted(unknown))}")
    return [c for c in cases if (not a.names or c.name in a.names) and a.kind in (None, c.kind)]


def measured(cases, a, contest, engines):
    conversions = turns.Conversions(os.path.join(PEERS, "cache"))
    for case in cases:
        if not os.path.exists(case.file):
            print(f"{case.name}: not there; `make peers` exports it")
            continue
        for threads in map(int, a.threads.split(",")):
            yield turns.measure(case, inputs_of(case.file), contest, engines, threads, a.rounds,
                                a.burst, conversions)


def peaks(cases):
    """What `lathe peak` says, if a share of it is wanted."""
    if not any(c.work for c in cases):
        return None
    done = subprocess.run([os.path.join(BUILD, "src/lathe"), "peak", "--json"], text=True,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def run(text, name, cases, kinds, peers):
    """`peers`: those of them that there are in the precision take part unasked."""
    a = arguments(text, kinds)
    contest = CONTESTS[a.precision]
    chosen_peers = a.peers.split(",") if a.peers else \
        [p for p in contest.peers if p.partition("_")[0] in peers.split(",")]
    engines = [contest.ours, *chosen_peers, *[contest.plain] * bool(contest.plain)]
    machine, level = report.machine()
    suffix = "" if a.precision == "f32" else "_" + a.precision
    path = a.csv or os.path.join(ROOT, "bench/results", f"{name}_{level}{suffix}.csv")
    cases = chosen(cases, a)
    peak, work = peaks(cases), {c.name: c.work for c in cases}
    if a.stored:
        print(report.read(path)[1])
    else:
        print(f"# {a.precision}, batch 1, least ms of {a.rounds} rounds; {machine}; "
              + report.versions(engines))
    report.print_head(contest, engines, peak)
    rows = []
    for row in report.stored_rows(path, contest) if a.stored else \
            measured(cases, a, contest, engines):
        row.work = work.get(row.model)
        rows.append(row)
        report.print_row(row, engines, peak)
    report.print_means(rows, contest, engines, kinds)
    report.print_faults(rows)
    report.print_disturbed(rows)
    report.print_slower(rows, path)
    if a.save and not a.stored:
        report.write(rows, path, contest)
