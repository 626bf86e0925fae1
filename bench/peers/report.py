"""Tables of rows (turns.Row), their CSV, and what became slower since the stored one.

A ratio is the peer's time over Lathe's: above 1 Lathe is faster.
"""
import csv
import math
import os

from .engines import ENGINES, NAMES
from .turns import Row

SLOWER = 0.9  # of the stored ratio: said


def machine():
    with open("/proc/cpuinfo") as f:
        lines = f.readlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    level = "avx512" if "avx512f" in flags else "avx2" if "avx2" in flags else "other"
    return f"{names[0] if names else 'unknown CPU'} ({level}), {len(names)} CPUs", level


def versions(engines):
    return ", ".join(f"{NAMES[e]} {ENGINES[e].version()}" for e in engines)


def number(x):
    return "-" if x is None else f"{x:.3g}" if x < 100 else f"{x:.0f}"


def of_roofline(row, peak):
    """Share of what `lathe peak` measured: arithmetic, or reading where the data lies."""
    if not row.work or "lathe" not in row.ms:
        return None
    gflop, gbyte = row.work
    one = next(p for p in peak["runs"] if p["threads"] == row.threads)
    size = 1e9 * gbyte  # L1 and L2 are each core's own; some room is left for what else is read
    level = "L1" if size < 24e3 * row.threads else "L2" if size < 400e3 * row.threads else \
        "L3" if size < 24e6 else "DRAM"
    bound = max(gflop / one["gflops"], gbyte / one[level + "_read_gbs"])
    return 1e3 * bound / row.ms["lathe"]


def print_fields(first, times, ratios, rest):
    print("{:18}{:>4}".format(*first) + "".join(f"{x:>9}" for x in times)
          + "".join(f"{x:>7}" for x in ratios) + "".join(f"{x:>9}" for x in rest), flush=True)


def print_head(engines, peak):
    print_fields(("model", "thr"), engines, ["/" + e for e in engines if e != "lathe"] + ["/best"],
                 ["error", "compile"] + ["of peak"] * bool(peak))


def print_row(row, engines, peak):
    ratios = [row.ratio(e) for e in engines if e != "lathe"] + [row.ratio()]
    error, seconds = row.error.get("lathe"), row.convert_s.get("lathe")
    share = of_roofline(row, peak) if peak else None
    print_fields((row.model, row.threads), [number(row.ms.get(e)) for e in engines],
                 ["-" if r is None else f"{r:.2f}" for r in ratios],
                 ["-" if error is None else f"{error:.0e}",
                  "-" if seconds is None else f"{seconds:.2f} s"]
                 + ["-" if share is None else f"{share:.0%}"] * bool(peak))


def mean(rows, peer=None):
    ratios = [r.ratio(peer) for r in rows]
    ratios = [r for r in ratios if r is not None]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def print_means(rows, engines, kinds):
    """Geometric means by class."""
    peers = [e for e in engines if e != "lathe"]
    print(f"\n{'geometric mean of ratios':28}{'thr':>4}{'models':>8}"
          + "".join(f"{'/' + p:>7}" for p in peers) + f"{'/best':>7}{'least':>7}")
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


COLUMNS = ["model", "class", "threads", *(e + "_ms" for e in ENGINES), "best_peer", "ratio",
           "compile_s", "lathe"]


def read(path):
    """{(model, threads): row as text} and the comment above."""
    if not os.path.exists(path):
        return {}, None
    with open(path) as f:
        comment = f.readline().strip()
        return {(r["model"], int(r["threads"])): r for r in csv.DictReader(f)}, comment


def stored_rows(path):
    for text in read(path)[0].values():
        row = Row(text["model"], text["class"], int(text["threads"]))
        row.ms = {e: float(text[e + "_ms"]) for e in ENGINES if text[e + "_ms"]}
        if text["compile_s"]:
            row.convert_s["lathe"] = float(text["compile_s"])
        yield row


def print_slower(rows, path):
    stored, _ = read(path)
    for r in rows:
        old, ratio = stored.get((r.model, r.threads)), r.ratio()
        if old and old["ratio"] and (ratio is None or ratio < SLOWER * float(old["ratio"])):
            print(f"slower than stored: {r.model}, {r.threads} threads: ratio "
                  f"{'none' if ratio is None else f'{ratio:.2f}'}, was {float(old['ratio']):.2f}")


def text_of(row):
    ratio, seconds = row.ratio(), row.convert_s.get("lathe")
    times = [f"{row.ms[e]:.4g}" if e in row.ms else "" for e in ENGINES]
    return dict(zip(COLUMNS, [
        row.model, row.kind, row.threads, *times, row.best_peer() or "",
        "" if ratio is None else f"{ratio:.3f}", "" if seconds is None else f"{seconds:.2f}",
        ENGINES["lathe"].version()]))


def write(rows, path):
    """Replaces these rows of the file. Rows of another machine or of other peers' versions go."""
    peers = versions([e for e in ENGINES if e != "lathe"])
    comment = f"# f32, batch 1, least times; {machine()[0]}; {peers}"
    out, held = read(path)
    out = out if held == comment else {}
    out.update({(r.model, r.threads): text_of(r) for r in rows})
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="") as f:
        f.write(comment + "\n")
        table = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(out[key] for key in sorted(out))
