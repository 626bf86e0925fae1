"""Tables of rows (turns.Row), their CSV, and what became slower since the stored one.

A ratio is the peer's time over Lathe's: above 1 Lathe is faster.
"""
import csv
import math
import os

from .engines import ENGINES, NAMES

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


def head(engines):
    peers = [e for e in engines if e != "lathe"]
    names = ["model", "thr", *engines, *("/" + p for p in peers), "/best", "error", "compile"]
    return names, "{:18}{:>4}" + "{:>9}" * len(engines) + "{:>7}" * (len(peers) + 1) + "{:>9}{:>9}"


def line(row, engines):
    names, layout = head(engines)
    error = row.error.get("lathe")
    ratios = [row.ratio(p) for p in engines if p != "lathe"] + [row.ratio()]
    seconds = row.convert_s.get("lathe")
    return layout.format(row.model, row.threads, *(number(row.ms.get(e)) for e in engines),
                         *("-" if r is None else f"{r:.2f}" for r in ratios),
                         "-" if error is None else f"{error:.0e}",
                         "-" if seconds is None else f"{seconds:.2f} s")


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


def print_faults(rows):
    said = {(r.model, e, text) for r in rows for e, text in r.fault.items()}
    if said:
        print("\nwhat did not run, or not right:")
    for model, engine, text in sorted(said, key=lambda x: (x[1], x[0])):
        print(f"    {NAMES[engine]}, {model}: {text}")


COLUMNS = ["model", "class", "threads", "lathe_ms", "ort_ms", "ov_ms", "ncnn_ms", "best_peer", "ratio",
           "compile_s", "lathe"]


def read(path):
    """{(model, threads): row as text} and the comment above."""
    if not os.path.exists(path):
        return {}, None
    with open(path) as f:
        comment = f.readline().strip()
        return {(r["model"], int(r["threads"])): r for r in csv.DictReader(f)}, comment


def print_slower(rows, path):
    stored, _ = read(path)
    for r in rows:
        old, ratio = stored.get((r.model, r.threads)), r.ratio()
        if old and old["ratio"] and (ratio is None or ratio < SLOWER * float(old["ratio"])):
            print(f"slower than stored: {r.model}, {r.threads} threads: ratio "
                  f"{'none' if ratio is None else f'{ratio:.2f}'}, was {float(old['ratio']):.2f}")


def write(rows, path, engines):
    """Replaces these rows of the file. Rows of another machine or of other peers' versions go."""
    name, _ = machine()
    comment = f"# f32, batch 1, least times; {name}; {versions([e for e in ENGINES if e != 'lathe'])}"
    stored, held = read(path)
    out = stored if held == comment else {}
    for r in rows:
        def ms(e):
            return f"{r.ms[e]:.4g}" if e in r.ms else ""
        seconds = r.convert_s.get("lathe")
        out[r.model, r.threads] = dict(zip(COLUMNS, [
            r.model, r.kind, r.threads, ms("lathe"), ms("ort"), ms("ov"), ms("ncnn"), r.best_peer() or "",
            "" if r.ratio() is None else f"{r.ratio():.3f}", "" if seconds is None else f"{seconds:.2f}",
            ENGINES["lathe"].version()]))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="") as f:
        f.write(comment + "\n")
        table = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(out[key] for key in sorted(out))
