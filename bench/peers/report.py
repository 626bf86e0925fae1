"""Tables of rows (turns.Row), their CSV, and what became slower since the stored one.

A ratio is the peer's time over Lathe's: above 1 Lathe is faster.
"""
import csv
import math
import os

from .engines import ENGINES, NAMES
from .turns import Row

SLOWER = 0.9  # of the stored ratio: said
# In the names of files of rows: what the machine is, whatever a precision makes of it.
LEVELS = {"amx": "amx_bf16", "avx512": "avx512f", "avx2": "avx2"}


def machine():
    with open("/proc/cpuinfo") as f:
        lines = f.readlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    level = next((level for level, flag in LEVELS.items() if flag in flags), "other")
    return f"{names[0] if names else 'unknown CPU'} ({level}), {len(names)} CPUs", level


def versions(engines):
    return ", ".join(f"{NAMES[e]} {ENGINES[e].version()}" for e in engines)


def number(x):
    return "-" if x is None else f"{x:.3g}" if x < 100 else f"{x:.0f}"


def of_roofline(row, peak):
    """Share of what `lathe peak` measured: arithmetic, or reading and writing where the data lies."""
    ours = row.contest.ours
    if not row.work or ours not in row.ms:
        return None
    gflop, read, written = row.work
    one = next(p for p in peak["runs"] if p["threads"] == row.threads)
    # L1 and L2 are each core's own; a quarter is left for what else is read.
    size = {"L1": peak["l1"] * row.threads, "L2": peak["l2"] * row.threads, "L3": peak["l3"]}
    level = next((k for k, room in size.items() if 1e9 * (read + written) < 0.75 * room), "DRAM")
    both = min(read, written)  # a copy counts what it reads and what it writes
    seconds = 2 * both / one[level + "_copy_gbs"] + (read - both) / one[level + "_read_gbs"] \
        + (written - both) / one[level + "_write_gbs"]
    rates = [one["gflops"]]
    if row.contest.precision == "bf16":
        rates += [one[key] for key in ("bf16_gflops", "tile_bf16_gflops") if key in one]
    bound = max(gflop / max(rates), seconds)
    return 1e3 * bound / row.ms[ours]


def print_fields(first, times, ratios, rest):
    print("{:18}{:>4}".format(*first) + "".join(f"{x:>9}" for x in times)
          + "".join(f"{x:>7}" for x in ratios) + "".join(f"{x:>9}" for x in rest), flush=True)


def label(engine, contest):
    """In the head of a column."""
    return contest.plain and "f32" if engine == contest.plain else engine.removesuffix("_bf16")


def print_head(contest, engines, peak):
    labels = {e: label(e, contest) for e in engines}
    others = [labels[e] for e in engines if e != contest.ours]
    shown = engines if contest.plain else [contest.ours]
    print_fields(("model", "thr"), labels.values(), ["/" + x for x in others] + ["/best"],
                 ["error" if e == contest.ours else labels[e] + " err" for e in shown
                  if e != contest.plain] + ["compile"] + ["of peak"] * bool(peak))


def print_row(row, engines, peak):
    ours, plain = row.contest.ours, row.contest.plain
    ratios = [row.ratio(e) for e in engines if e != ours] + [row.ratio()]
    errors = [row.error.get(e) for e in (engines if plain else [ours]) if e != plain]
    seconds = row.convert_s.get(ours)
    share = of_roofline(row, peak) if peak else None
    print_fields((row.model, row.threads), [number(row.ms.get(e)) for e in engines],
                 ["-" if r is None else f"{r:.2f}" for r in ratios],
                 ["-" if error is None else f"{error:.0e}" for error in errors]
                 + ["-" if seconds is None else f"{seconds:.2f} s"]
                 + ["-" if share is None else f"{share:.0%}"] * bool(peak))


def mean(rows, peer=None):
    ratios = [r.ratio(peer) for r in rows]
    ratios = [r for r in ratios if r is not None]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def print_means(rows, contest, engines, kinds):
    """Geometric means by class."""
    peers = [e for e in engines if e != contest.ours]
    print(f"\n{'geometric mean of ratios':28}{'thr':>4}{'models':>8}"
          + "".join(f"{'/' + label(p, contest):>7}" for p in peers) + f"{'/best':>7}{'least':>7}")
    for kind, name in [*kinds.items(), (None, "all")]:
        for threads in sorted({r.threads for r in rows}):
            some = [r for r in rows if r.threads == threads and kind in (None, r.kind)
                    and r.ratio() is not None]
            if some:
                means = [mean(some, p) for p in peers] + [mean(some), min(r.ratio() for r in some)]
                print(f"{name:28}{threads:>4}{len(some):>8}"
                      + "".join("      -" if m is None else f"{m:7.2f}" for m in means))


def print_disturbed(rows):
    names = [f"{r.model} ({r.threads})" for r in rows if r.disturbed]
    if names:
        print("\nother processes took CPU time, read with care: " + ", ".join(names))


def print_faults(rows):
    said = {(r.model, e, text) for r in rows for e, text in r.fault.items()}
    if said:
        print("\nwhat did not run, or not right:")
    for model, engine, text in sorted(said, key=lambda x: (x[1], x[0])):
        print(f"    {NAMES[engine]}, {model}: {text}")


def engines_of(contest):
    """All of its columns, whoever takes part today."""
    return [contest.ours, *contest.peers, *[contest.plain] * bool(contest.plain)]


def columns(contest):
    engines = engines_of(contest)
    extra = ["f32_ratio", *(e + "_error" for e in engines if e != contest.plain)]
    return ["model", "class", "threads", *(e + "_ms" for e in engines), "best_peer", "ratio",
            *extra * bool(contest.plain), "compile_s", "lathe"]


def read(path):
    """{(model, threads): row as text} and the comment above."""
    if not os.path.exists(path):
        return {}, None
    with open(path) as f:
        comment = f.readline().strip()
        return {(r["model"], int(r["threads"])): r for r in csv.DictReader(f)}, comment


def stored_rows(path, contest):
    for text in read(path)[0].values():
        row = Row(text["model"], text["class"], int(text["threads"]), contest)
        row.ms = {e: float(text[e + "_ms"]) for e in engines_of(contest) if text[e + "_ms"]}
        row.error = {e: float(text[e + "_error"]) for e in engines_of(contest)
                     if text.get(e + "_error")}
        if text["compile_s"]:
            row.convert_s[contest.ours] = float(text["compile_s"])
        yield row


def print_slower(rows, path):
    stored, _ = read(path)
    for r in rows:
        old, ratio = stored.get((r.model, r.threads)), r.ratio()
        if old and old["ratio"] and (ratio is None or ratio < SLOWER * float(old["ratio"])):
            print(f"slower than stored: {r.model}, {r.threads} threads: ratio "
                  f"{'none' if ratio is None else f'{ratio:.2f}'}, was {float(old['ratio']):.2f}")


def optional(form, x):
    return "" if x is None else format(x, form)


def text_of(row):
    """By column."""
    text = {e + "_ms": optional(".4g", row.ms.get(e)) for e in engines_of(row.contest)}
    text.update({e + "_error": optional(".1e", row.error.get(e)) for e in engines_of(row.contest)})
    text.update({
        "model": row.model, "class": row.kind, "threads": row.threads,
        "best_peer": row.best_peer() or "", "ratio": optional(".3f", row.ratio()),
        "f32_ratio": optional(".3f", row.ratio(row.contest.plain)) if row.contest.plain else "",
        "compile_s": optional(".2f", row.convert_s.get(row.contest.ours)),
        "lathe": ENGINES[row.contest.ours].version()})
    return {column: text[column] for column in columns(row.contest)}


def write(rows, path, contest):
    """Replaces these rows of the file. Rows of another machine or of other peers' versions go."""
    comment = (f"# {contest.precision}, batch 1, least times; {machine()[0]}; "
               f"{versions(contest.peers)}")
    out, held = read(path)
    out = out if held == comment else {}
    out.update({(r.model, r.threads): text_of(r) for r in rows})
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="") as f:
        f.write(comment + "\n")
        table = csv.DictWriter(f, columns(contest), lineterminator="\n")
        table.writeheader()
        table.writerows(out[key] for key in sorted(out))
