#!/usr/bin/env python3
"""The commands as a user calls them: cli.py LATHE DATA SOURCES, on the small models in DATA; SOURCES
is src/tools. Each test_* function is a test; needs nothing but Python."""
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

LATHE, DATA, SOURCES = map(os.path.abspath, sys.argv[1:4])
CACHE = tempfile.TemporaryDirectory() # not the user's
ENVIRONMENT = dict(os.environ, LATHE_CACHE=CACHE.name)
CLASSIFY = os.path.join(DATA, "classify.onnx")
CONTROL = os.path.join(DATA, "control.onnx")


class Result:
    def __init__(self, args):
        done = subprocess.run([LATHE, *args], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.args, self.status, self.out, self.err = args, done.returncode, done.stdout, done.stderr


class Skipped(Exception):
    """What a test needs is not on this machine."""


def lathe(*args, status=0):
    r = Result(args)
    assert r.status == status, f"{args}: status {r.status}, not {status}\n{r.out}{r.err}"
    if status != 0 and not r.out:
        assert r.err.startswith("lathe"), f"{args}: no error message\n{r.err}"
    return r


def has(text, *parts):
    for part in parts:
        assert part in text, f"'{part}' is missing in:\n{text}"


def write_npy(path, shape, values):
    header = repr({"descr": "<f4", "fortran_order": False, "shape": tuple(shape)})
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        f.write(struct.pack(f"<{len(values)}f", *values))


def write_png(path, rows):
    """rows of (r, g, b)"""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    data = b"".join(b"\0" + b"".join(bytes(p) for p in row) for row in rows)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


def output(tmp, count):
    """The floats of the first output: raw_data ends the file."""
    with open(os.path.join(tmp, "output_0.pb"), "rb") as f:
        return struct.unpack(f"<{count}f", f.read()[-4 * count:])


def near(got, want):
    assert len(got) == len(want) and all(abs(g - w) < 1e-4 for g, w in zip(got, want)), f"{got}, not {want}"


def test_check_right(tmp):
    r = lathe("check", CLASSIFY)
    has(r.out, "0 wrong, 0 not compared", "softmax")
    assert "first bad" not in r.out
    has(lathe("check", CLASSIFY, "--every", "--samples", "0").out, "6 right, 0 wrong")
    has(lathe("check", CONTROL).out, "2 right")


def test_check_expected(tmp):
    """An altered expected value: the layer that it belongs to is named, and the status is 1."""
    lathe("run", CLASSIFY, "--outputs", tmp)
    has(lathe("check", CLASSIFY, "--expected", tmp).out, "1 layers: 1 right")
    path = os.path.join(tmp, "output_0.pb")
    with open(path, "rb") as f:
        data = f.read()
    with open(path, "wb") as f: # the last element
        f.write(data[:-4] + struct.pack("<f", 7))
    r = lathe("check", CLASSIFY, "--expected", tmp, status=1)
    has(r.out, "first bad layer: softmax 'scores' -> 'scores' f32[1,10]", "1 of 10 elements wrong",
        "worst element [0,9]", "expected 7", "1 wrong")
    write_npy(os.path.join(tmp, "logits.npy"), [1, 10], [1.0] * 10) # an inner layer, before it
    r = lathe("check", CLASSIFY, "--expected", tmp, status=1)
    has(r.out, "first bad layer: gemm 'logits'", "2 wrong")
    lathe("check", CLASSIFY, "--expected", tmp, "--tolerance", "1e9")
    write_npy(os.path.join(tmp, "logits.npy"), [2, 5], [1.0] * 10)
    has(lathe("check", CLASSIFY, "--expected", tmp, status=1).out, "another type or shape")


def test_check_refuses(tmp):
    has(lathe("check", CLASSIFY, "--expected", tmp, status=1).err, "holds no expected values")
    module = os.path.join(tmp, "m.lathe")
    lathe("compile", CLASSIFY, "-o", module)
    has(lathe("check", module, status=1).err, "module file")
    has(lathe("check", CLASSIFY, "--tolerance", "x", status=1).err, "'x' is no number")
    lathe("check", CLASSIFY, "--tolerance", "0", status=1)
    lathe("check", os.path.join(DATA, "bad_op.onnx"), status=3)
    for precision in "f32-fast", "bf16", "bf16-all":
        r = lathe("check", CLASSIFY, "--precision", precision)
        has(r.out, "0 wrong", precision + " against f32, 4 random inputs", "cosine", "top 1")
    lathe("check", CLASSIFY, "--precision", "bf16-all", "--error", "0", status=1)
    one_line(lathe("check", CLASSIFY, "--precision", "f64", status=1), "use f32, f32-fast, bf16 or bf16-all")


def test_run(tmp):
    has(lathe("run", CLASSIFY).out, "scores f32[1,10]")
    module = os.path.join(tmp, "m.lathe")
    lathe("compile", CLASSIFY, "--bind", "N=1", "H=16", "W=16", "-o", module) # what run takes: open sizes sum in another order
    assert lathe("run", module, "--seed", "5").out == lathe("run", CLASSIFY, "--seed", "5").out
    text = lathe("inspect", module, "--program").out
    assert "precision f32\n" in text and "kernel" in text.lower(), text
    low = os.path.join(tmp, "low.lathe")
    lathe("compile", CLASSIFY, "-o", low, "--precision", "bf16")
    assert "precision bf16\n" in lathe("inspect", low, "--program").out
    assert "precision bf16-all\n" in lathe("inspect", CLASSIFY, "--program", "--precision", "bf16-all").out
    for command in "compile", "inspect", "check":
        has(lathe(command, module, "-o", tmp, status=1).err if command == "compile" else lathe(command, module, status=1).err,
            "is a module file")
    lathe("run", CLASSIFY, "--nonsense", status=1)
    lathe("run", status=1)


def test_compile_into(tmp):
    """A link stays one and its target is new; what is no regular file is written into."""
    plain, target, link, fifo = (os.path.join(tmp, n) for n in ("plain", "target", "link", "fifo"))
    lathe("compile", CLASSIFY, "-o", plain)
    with open(plain, "rb") as f:
        want = f.read()
    with open(target, "wb") as f:
        f.write(b"old")
    os.symlink("target", link)
    lathe("compile", CLASSIFY, "-o", link)
    assert os.path.islink(link)
    with open(target, "rb") as f:
        assert f.read() == want
    os.mkfifo(fifo)
    writer = subprocess.Popen([LATHE, "compile", CLASSIFY, "-o", fifo], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    with open(fifo, "rb") as f:
        assert f.read() == want
    assert writer.wait() == 0 and sorted(os.listdir(tmp)) == ["fifo", "link", "plain", "target"]
    has(lathe("compile", CLASSIFY, "-o", tmp, status=1).err, "Is a directory")


def test_output_fails(tmp):
    """What cannot be printed is an error of every command; a closed pipe is a quiet end."""
    if not os.path.exists("/dev/full"):
        raise Skipped("no /dev/full")
    for args in ["run", CLASSIFY], ["inspect", CLASSIFY, "--asm"], ["bench", CLASSIFY, "--seconds", "0.01", "--json"], \
            ["check", CLASSIFY], ["compile", CLASSIFY, "-o", os.path.join(tmp, "m")], ["completion", "bash"], \
            ["run", "--help"], ["--help"]:
        with open("/dev/full", "w") as full:
            done = subprocess.run([LATHE, *args], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1, f"{args}: {done.returncode}"
        has(done.stderr, "writing the output failed")
    has(done.stderr, "No space left on device") # of longer outputs only the fact is known
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run([LATHE, "--help"], stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    assert done.returncode in (1, -signal.SIGPIPE) and not done.stderr, done


def test_declared_outputs(tmp):
    """What a file says of its outputs must be so; sizes may be left from before an input's was opened."""
    has(lathe("run", os.path.join(DATA, "bad_output_type.onnx"), status=1).err, "output 'y'", "i64[2]", "give f32[2]")
    has(lathe("run", os.path.join(DATA, "bad_output_shape.onnx"), status=1).err, "output 'y'", "f32[9,9]", "give f32[2,3]")
    has(lathe("run", os.path.join(DATA, "stale_output.onnx"), "--bind", "N=4").out, "y f32[4,3]")
    has(lathe("run", os.path.join(DATA, "stale_output.onnx")).out, "y f32[1,3]")


def one_line(r, *parts):
    assert r.err.count("\n") == 1 and not r.out, f"{r.args}: {r.out}{r.err}"
    has(r.err, *parts)


def test_bind(tmp):
    """Open dims by name, of models and of module files alike."""
    module, fixed = os.path.join(tmp, "m.lathe"), os.path.join(tmp, "f.lathe")
    lathe("compile", CLASSIFY, "-o", module)
    lathe("compile", CLASSIFY, "-o", fixed, "--bind", "N=2", "H=4", "W=4")
    given = "--bind", "N=3", "H=5", "W=6"
    for path in CLASSIFY, module:
        r = lathe("run", path, *given)
        has(r.out, "scores f32[3,10]")
        assert not r.err, r.err
        lathe("bench", path, *given, "--seconds", "0.01", "--json")
        one_line(lathe("run", path, "--bind", "bogus=1", status=1), "bogus", "open dim")
        one_line(lathe("run", path, "--bind", "x.dim1=4", status=1), "x.dim1")
        one_line(lathe("run", path, "--bind", "N=3", "N=4", status=1), "'N'", "3", "4")
    assert lathe("run", module, *given).out == lathe("run", CLASSIFY, *given).out
    has(lathe("run", module, "--bind", "bogus=1", status=1).err, "'N', 'H', 'W'")
    has(lathe("run", fixed, "--bind", "N=2", status=1).err, "all are fixed")
    has(lathe("run", fixed).out, "scores f32[2,10]")
    has(lathe("run", fixed, "--bind", "x.dim0=2").out, "scores f32[2,10]") # as it is: no contradiction
    has(lathe("run", fixed, "--bind", "x.dim0=3", status=1).err, "'x.dim0' is 2, not 3")
    has(lathe("bench", module, "--bind", "N=3", "--batch", "2", status=1).err, "--batch 2")
    image = os.path.join(tmp, "x.npy")
    write_npy(image, [2, 3, 4, 4], [0.5] * 96)
    has(lathe("run", module, "--inputs", image, "--bind", "N=2").out, "scores f32[2,10]")
    one_line(lathe("run", module, "--inputs", image, "--bind", "N=3", status=1), "'x'", "f32[2,3,4,4]", "dim 0", "3")


def test_bind_either_name(tmp):
    """Sizes that must be equal become one, which either name binds; and one that must be a number."""
    model, module = os.path.join(DATA, "two_names.onnx"), os.path.join(tmp, "m.lathe")
    lathe("compile", model, "-o", module)
    for name in "N", "M":
        r = lathe("run", module, "--bind", f"{name}=3")
        has(r.out, "y f32[3,8]", "z f32[5,8]")
        assert not r.err, r.err
    has(lathe("run", module, "--bind", "N=3", "M=3", "K=5").out, "y f32[3,8]")
    one_line(lathe("run", module, "--bind", "N=3", "M=4", status=1), "'M' is 3, not 4")
    one_line(lathe("run", module, "--bind", "K=6", status=1), "'K' is 5, not 6")
    x = os.path.join(tmp, "x.npy")
    write_npy(x, [2, 8], [0.5] * 16)
    has(lathe("run", module, "--inputs", x, "--bind", "M=2").out, "y f32[2,8]")
    one_line(lathe("run", module, "--inputs", x, "--bind", "M=4", status=1), "dim 0 is 4")


def test_open_size_of_one(tmp):
    """It is not broadcast: the message says what to do, and that works."""
    model, module = os.path.join(DATA, "two_names.onnx"), os.path.join(tmp, "m.lathe")
    lathe("compile", model, "-o", module)
    files = []
    for name, rows in ("x", 1), ("c", 3), ("d", 5), ("row", 1):
        files.append(os.path.join(tmp, f"{name}.npy"))
        write_npy(files[-1], [rows, 8], [0.5] * 8 * rows)
    x, c, d, row = files
    for args in [model, "--symbolic"], [module]:
        one_line(lathe("run", *args, "--inputs", x, c, d, status=1), "'c'", "is 3", "N = M = 1", "with --bind or without --symbolic")
        one_line(lathe("run", *args, "--inputs", c, c, row, status=1), "'d'", "5", "with --bind or without --symbolic")
    has(lathe("run", model, "--inputs", x, c, row).out, "y f32[3,8]", "z f32[5,8]")
    bound = "N=1", "M=3", "K=1"
    lathe("compile", model, "-o", module, "--bind", *bound)
    has(lathe("run", module, "--inputs", x, c, row).out, "y f32[3,8]", "z f32[5,8]")
    has(lathe("run", module, "--inputs", x, "--inputs", c, "--inputs", row).out, "y f32[3,8]", "z f32[5,8]")


def test_options_of_modules(tmp):
    """Each option of run and bench either works with a compiled module or is refused, by its name."""
    x, module = os.path.join(tmp, "x.npy"), os.path.join(tmp, "m.lathe")
    write_npy(x, [1, 3, 4, 4], [0.5] * 48)
    lathe("compile", CLASSIFY, "-o", module)
    refused = {"--target": ["avx2"], "--precision": ["bf16"], "--work-limit": ["1G"],
               "--symbolic": [], "--no-cache": [], "--costs": ["c"]}
    works = {"--inputs": [x], "--seed": ["1"], "--mean": ["0"], "--scale": ["1"], "--bgr": [], "--bind": ["H=4"],
             "--threads": ["1"], "--memory-limit": ["1G"]}
    own = {"run": {"--outputs": [tmp], "--npy": [], "--verbose": [], "--guard": []},
           "bench": {"--batch": ["1"], "--seconds": ["0.01"], "--top": ["1"], "--json": ["--seconds", "0.01"]}}
    for command, options in parsed_options().items():
        if command not in own:
            continue
        accepted = dict(works, **own[command])
        assert options == refused.keys() | accepted.keys(), f"{command}: {options}"
        for name, values in accepted.items():
            short = ["--seconds", "0.01", "--json"] if command == "bench" else []
            lathe(command, module, name, *values, *[o for o in short if name not in ("--seconds", "--json")])
        for name, values in refused.items():
            one_line(lathe(command, module, name, *values, status=1), f"{name} has no effect on a compiled module")


def test_npy_outputs(tmp):
    """What --outputs writes with --npy is what it writes without."""
    lathe("run", CLASSIFY, "--outputs", tmp, "--npy")
    assert os.listdir(tmp) == ["output_0.npy"], os.listdir(tmp)
    with open(os.path.join(tmp, "output_0.npy"), "rb") as f:
        data = f.read()
    assert data[:6] == b"\x93NUMPY" and b"'shape': (1, 10)" in data, data
    lathe("run", CLASSIFY, "--outputs", tmp)
    near(struct.unpack("<10f", data[-40:]), output(tmp, 10))


def test_option_values(tmp):
    lathe("run", CLASSIFY, "--inputs") # as scripts do for a model without inputs
    for option in "--bind", "--seed":
        one_line(lathe("run", CLASSIFY, option, status=1), f"{option} needs a value")
    one_line(lathe("run", CLASSIFY, "--bind", "--verbose", status=1), "--bind needs a value")
    for big in "2147483648", "99999999999999999999":
        one_line(lathe("run", CLASSIFY, "--bind", f"N={big}", status=1), f"N={big}", "out of range")
    one_line(lathe("run", CLASSIFY, "--seed", "99999999999999999999", status=1), "--seed", "out of range")
    for batch in "0", "-1":
        one_line(lathe("bench", CLASSIFY, "--batch", batch, status=1), "--batch: at least 1")
    one_line(lathe("bench", CLASSIFY, "--seconds", "-1", status=1), "--seconds: at least 0")
    one_line(lathe("bench", CLASSIFY, "--top", "-1", status=1), "--top: at least 0")
    one_line(lathe("check", CLASSIFY, "--samples", "-1", status=1), "--samples: at least 0")
    one_line(lathe("check", CLASSIFY, "--samples", "4294967297", status=1), "--samples: at most")
    one_line(lathe("check", CLASSIFY, "--tolerance", "-1", status=1), "--tolerance: at least 0")
    one_line(lathe("run", CLASSIFY, "--threads", "0", status=1), "--threads: at least 1")
    lathe("inspect", CLASSIFY, "--kernel", "conv")
    one_line(lathe("inspect", CLASSIFY, "--kernel", "zzz", status=1), "'zzz'", "no kernel")


ANYWHERE = "--target", "avx2" # where 8 channels are whole vectors, so that images may lie in blocks


def test_costs(tmp):
    """A table is made, goes on from where it was, is used, and is refused where it is damaged."""
    table, module = os.path.join(tmp, "t.costs"), os.path.join(tmp, "m.lathe")
    one_line(lathe("costs", CLASSIFY, status=1), "-o FILE is missing")
    has(lathe("costs", CLASSIFY, "-o", table, "--rounds", "1", *ANYWHERE).out, CLASSIFY, " 0 known, 0 failed")
    with open(table) as f:
        text = f.read()
    assert text.startswith("lathe costs 1\ntarget ") and text.count('"conv(') >= 2, text
    has(lathe("costs", CLASSIFY, CLASSIFY, "-o", table, *ANYWHERE).out, "0 measured")
    with open(table) as f:
        assert f.read() == text
    lathe("compile", CLASSIFY, "-o", module, "--costs", table, *ANYWHERE)
    with open(table, "w") as f:
        f.write(text.replace("\ntarget", "\n-1 \"x\"\ntarget", 1))
    one_line(lathe("compile", CLASSIFY, "-o", module, "--costs", table, status=1), f"{table}:2:1: a cost before")
    one_line(lathe("costs", CLASSIFY, "-o", table, status=1), f"{table}:2:1: a cost before")


def test_costs_by_two(tmp):
    """Two that measure at once into one table lose none of the other's rows."""
    table = os.path.join(tmp, "both.costs")
    sizes = ["H=16", "W=16"], ["H=32", "W=32"]

    def command(size, path, rounds):
        return ["costs", CLASSIFY, *ANYWHERE, "--bind", *size, "-o", path, "--rounds", str(rounds)]

    def rows(path):
        with open(path) as f:
            return {line.split('"')[1] for line in f if line[0].isdigit()}

    both = [subprocess.Popen([LATHE, *command(size, table, 1 + 30 * k)], env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL) for k, size in enumerate(sizes)]
    assert [p.wait() for p in both] == [0, 0]
    alone = []
    for k, size in enumerate(sizes):
        one = os.path.join(tmp, f"{k}.costs")
        lathe(*command(size, one, 1))
        alone.append(rows(one))
    assert alone[0] - alone[1] and alone[1] - alone[0], alone
    assert rows(table) == alone[0] | alone[1], f"lost: {(alone[0] | alone[1]) - rows(table)}"


def test_given_twice(tmp):
    for command, option, value in (("run", "--seed", ["1"]), ("bench", "--json", []), ("compile", "-o", [tmp + "/m"])):
        one_line(lathe(command, CLASSIFY, option, *value, option, *value, status=1), f"{option} is given twice")
    one_line(lathe("run", CLASSIFY, "--sed", "1", status=1), "unknown option '--sed'")


def test_compile_keeps_the_model(tmp):
    """The output must be none of the files that the model is read from."""
    for name in "external.onnx", "external.bin":
        shutil.copy(os.path.join(DATA, name), tmp)
    model, weights, link = (os.path.join(tmp, n) for n in ("external.onnx", "external.bin", "link"))
    os.symlink(weights, link)
    for path in model, weights, link, os.path.join(tmp, ".", "external.onnx"):
        one_line(lathe("compile", model, "-o", path, status=1), path, "would overwrite")
    for name in "external.onnx", "external.bin":
        with open(os.path.join(tmp, name), "rb") as f, open(os.path.join(DATA, name), "rb") as g:
            assert f.read() == g.read(), name
    module = os.path.join(tmp, "m.lathe")
    for _ in range(2): # an old module is replaced
        lathe("compile", model, "-o", module)
    lathe("run", module)


def test_npy_refused(tmp):
    path = os.path.join(tmp, "x.npy")
    for descr, shown in ("'|O'", "'|O'"), ("'|\x1b[2Jq'", "'|?[2Jq'"), ("[('a', '<f4')]", None):
        header = "{'descr': %s, 'fortran_order': False, 'shape': (1, 3, 4, 4), }" % descr
        header += " " * (-(len(header) + 11) % 64) + "\n"
        with open(path, "wb") as f:
            f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        r = lathe("run", CLASSIFY, "--inputs", path, status=3)
        one_line(r, f"element type {shown} is not supported" if shown else "structures are not supported")


def test_doctor(tmp):
    said = lathe("doctor").out
    for missing in "tuning", "quantization", "GPUs", "server":
        assert re.search(rf"^{missing} +not in this version: .", said, re.M), said


def test_limited_cpu(tmp):
    """LATHE_MAX_ISA: as if the CPU had no more; what it lacks then is refused with that reason."""
    outer = ENVIRONMENT.get("LATHE_MAX_ISA")
    try:
        ENVIRONMENT["LATHE_MAX_ISA"] = "avx2"
        assert re.search(r"^cpu +avx2 ", lathe("doctor").out, re.M)
        lathe("run", CLASSIFY, "--bind", "N=1", "H=8", "W=8")
        refused = lathe("bench", CLASSIFY, "--bind", "N=1", "H=8", "W=8", "--target", "avx512", status=1)
        has(refused.err, "AVX-512 F")
        ENVIRONMENT["LATHE_MAX_ISA"] = "sse9"
        has(lathe("doctor", status=1).err, "LATHE_MAX_ISA", "'sse9'", "avx512-bf16")
        lathe("--help")
    finally:
        del ENVIRONMENT["LATHE_MAX_ISA"]
        if outer is not None:
            ENVIRONMENT["LATHE_MAX_ISA"] = outer


def test_pictures(tmp):
    """Half-pixel bilinear resizing, normalisation, order of colours, both layouts."""
    if "libpng       MISSING" in lathe("doctor").out:
        return
    model, picture = os.path.join(DATA, "image.onnx"), os.path.join(tmp, "p.png")
    write_png(picture, [[(0, 10, 40), (200, 10, 80)]]) # 2 x 1, to 4 x 2

    def planes(*options):
        lathe("run", model, "--inputs", picture, "--outputs", tmp, *options)
        return output(tmp, 24)

    red, green, blue = [0, 50, 150, 200] * 2, [10] * 8, [40, 50, 70, 80] * 2
    near(planes("--scale", "1"), red + green + blue)
    near(planes("--scale", "1", "--bgr"), blue + green + red)
    near(planes(), [v / 255 for v in red + green + blue])
    near(planes("--mean", "0,5,10", "--scale", "1,2,0.5"),
         red + [10] * 8 + [(v - 10) / 2 for v in blue])
    model = os.path.join(DATA, "image_bytes.onnx") # sizes are open: the picture's own
    lathe("run", model, "--inputs", f"x={picture}", "--outputs", tmp)
    near(output(tmp, 6), [0, 10, 40, 200, 10, 80])
    lathe("run", model, "--inputs", picture, "--outputs", tmp, "--mean", "10", "--scale", "2")
    near(output(tmp, 6), [0, 0, 60, 255, 0, 140])


def test_pictures_refused(tmp):
    picture = os.path.join(tmp, "p.png")
    write_png(picture, [[(1, 2, 3)]])
    r = lathe("run", os.path.join(DATA, "external.onnx"), "--inputs", picture, status=1)
    has(r.err, "'x' is f32[4", "no image")
    image = os.path.join(DATA, "image.onnx")
    has(lathe("run", image, "--inputs", picture, "--mean", "1,2", status=1).err, "--mean: '1,2'")
    has(lathe("run", image, "--inputs", f"z={picture}", status=1).err, "no input of this name")
    has(lathe("run", image, "--inputs", os.path.join(tmp, "absent.png"), status=1).err, "absent.png")
    with open(picture, "wb") as f:
        f.write(b"no picture")
    has(lathe("run", image, "--inputs", picture, status=3).err, "neither a PNG nor a JPEG")


def test_bench(tmp):
    keys = {"min_ms", "median_ms", "p99_ms", "load_ms", "compile_ms", "rss_mb"}
    module = os.path.join(tmp, "module") # told by its first bytes, not its name
    lathe("compile", CLASSIFY, "-o", module)
    for path in CLASSIFY, module:
        for more in (), ("--json",):
            r = lathe("bench", path, "--seconds", "0.05", "--batch", "3", "--threads", "1", *more)
            said = json.loads(r.out.splitlines()[-1])
            assert keys <= set(said) and 0 < said["min_ms"] <= said["median_ms"] <= said["p99_ms"], said
            assert said["compile_ms"] > 0 or path == module, said
            assert len(r.out.splitlines()) == 1 or not more
            if not more:
                has(r.out, "GFLOP/s", "of peak", "multiplies by", "f32", "schedule", "contraction", "conv")
    lathe("compile", CLASSIFY, "--precision", "bf16-all", "-o", module)
    given = ["--seconds", "0.01", "--batch", "3", "--threads", "1"]
    product = re.compile(r"(\w+ \w+|f32) +contraction ") # what a module knows of its kernels is what compiling told
    told = [set(product.findall(lathe("bench", *args, *given).out)) for args in
            ([CLASSIFY, "--precision", "bf16-all"], [module])]
    assert told[0] == told[1] and told[0], told
    image = os.path.join(DATA, "image.onnx")
    has(lathe("bench", image, "--batch", "2", status=1).err, "fixes the first dim of its input 'x' to 1")
    lathe("bench", image, "--batch", "1", "--seconds", "0.05", "--json")


def commands():
    return re.findall(r"^    lathe (\w+) ", lathe("--help").out, re.M)


def options_in(text):
    return set(re.findall(r'args_(?:flag|value|int|double|list)\(\s*&?[\w.>-]+,\s*"(-[^"]+)"', text))


def parsed_options():
    """By command: the options that its source takes out of the command line, itself or by the functions of
    tool.c, setup.c and image_input.c that it calls."""
    functions, sources = {}, {}
    for name in os.listdir(SOURCES):
        if not name.endswith(".c"):
            continue
        with open(os.path.join(SOURCES, name)) as f:
            sources[name] = f.read()
        if name.startswith("cmd_"):
            continue
        for found in re.finditer(r"^[\w *]*?(\w+)\([^;{]*?\)\n\{\n(.*?)^\}", sources[name], re.M | re.S):
            functions[found[1]] = found[2]

    def takes(text, seen):
        found = options_in(text) | set(re.findall(r'tool_limit\(\w+, "(-[^"]+)"', text))
        for name, body in functions.items():
            if name in seen or not re.search(rf"\b{name}\(", text):
                continue
            if name == "input_options" and "SETUP_INPUTS" not in seen:
                continue
            found |= takes(body, seen | {name})
        return found

    return {name: takes(sources[f"cmd_{name}.c"],
                        {"SETUP_INPUTS"} if "SETUP_INPUTS" in sources[f"cmd_{name}.c"] else set())
            for name in commands()}


def test_help(tmp):
    """Every option that is parsed stands in the help, no other does; there are examples."""
    parsed = parsed_options()
    assert {"--inputs", "--mean", "--threads", "--bind", "--memory-limit", "--outputs"} <= parsed["run"], parsed["run"]
    assert "--inputs" not in parsed["compile"] and "--json" in parsed["bench"]
    for name, options in parsed.items():
        text = lathe(name, "--help").out
        if name == "watch":
            text += lathe("watch", "learn", "--help").out
        shown = set()
        for line in re.findall(r"^    (-.*)$", text, re.M):
            shown |= set(re.findall(r"-[\w-]+", re.match(r"-[\w-]+(?: -[\w-]+)*", line)[0]))
        assert shown == options, f"{name}: only in the help {shown - options}, only parsed {options - shown}"
        has(text, f"\n    lathe {name}" if name != "completion" else "$(lathe completion")
        assert all(len(line) <= 130 for line in text.splitlines()), name


def test_completion(tmp):
    bash = lathe("completion").out
    assert bash == lathe("completion", "bash").out
    for shell in "bash", "zsh", "fish":
        path = os.path.join(tmp, shell)
        with open(path, "w") as f:
            f.write(lathe("completion", shell).out)
        if shutil.which(shell):
            subprocess.run([shell, "-n", path], check=True)
    lathe("completion", "tcsh", status=1)
    fish = lathe("completion", "fish").out
    has(fish, "__lathe_command bench' -l batch -r", "__lathe_command compile' -s o -r",
        "__lathe_command bench' -l json\n")
    has(lathe("completion", "zsh").out, "'run:run a model", "bench) options=(--help --batch")


def needs(program):
    if not shutil.which(program):
        raise Skipped(f"there is no {program}")


def test_completion_bash(tmp):
    needs("bash")
    bash = lathe("completion", "bash").out

    def complete(*words):
        script = f"{bash}\nCOMP_WORDS=({' '.join(words)})\nCOMP_CWORD={len(words) - 1}\n"
        script += '_lathe\necho "${COMPREPLY[@]}"'
        return subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, text=True).stdout.split()

    assert complete("lathe", "com") == ["compile", "completion"]
    assert complete("lathe", "bench", "--b") == ["--batch", "--bgr", "--bind"]
    assert complete("lathe", "inspect", "--st") == ["--stages"]
    assert complete("lathe", "completion", "z") == ["zsh"]
    assert complete("lathe", "run", "mod") == [] # files: the shell's


def test_completion_fish(tmp):
    needs("fish")

    def complete(line):
        script = f"'{LATHE}' completion fish | source; complete -C '{line}'"
        done = subprocess.run(["fish", "--no-config", "-c", script], cwd=DATA, env=dict(os.environ, HOME=tmp),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
        assert not done.stderr, done.stderr
        return [found.split("\t")[0] for found in done.stdout.splitlines()]

    assert complete("lathe com") == ["compile", "completion"]
    assert complete("lathe bench --b") == ["--batch", "--bgr", "--bind"]
    assert complete("lathe compile m -") == sorted(["--help", "--bind", "--target", "--precision", "--threads",
                                                    "--memory-limit", "--work-limit", "--costs", "--no-cache", "-o"],
                                                   key=lambda o: (len(o) > 2, o))
    assert complete("lathe completion z") == ["zsh"]
    assert complete("lathe run cla") == complete("lathe run m --inputs cla") == ["classify.onnx"]
    assert complete("lathe inspect run --see") == [] # the second word is the command


def zsh_completes(tmp, lines):
    """What stands on each line after a tab, and what was listed: of an interactive zsh, in DATA."""
    start = os.path.join(tmp, "start")
    with open(start, "w") as f:
        f.write(f"""autoload -U compinit; compinit -u -D
lathe() {{ '{LATHE}' "$@" }}
eval "$(lathe completion zsh)"
show() {{ print -r -- "<<$BUFFER>>"; BUFFER= }}
zle -N show; bindkey '^G' show
""")
    try:
        pid, terminal = pty.fork()
    except OSError as e: # a container without /dev/pts
        raise Skipped(f"no terminal to be had: {e}")
    if pid == 0:
        os.chdir(DATA)
        os.execvpe("zsh", ["zsh", "-f", "-i"], dict(os.environ, TERM="dumb", HOME=tmp))

    def said_until(mark):
        said, end = "", time.monotonic() + 20
        while mark not in said and time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                said += os.read(terminal, 4096).decode()
        assert mark in said, f"zsh said {said!r}"
        return said

    try:
        os.write(terminal, f"PS1= PS2=; source {start}; print -r rea''dy\n".encode()) # the echo says rea''dy
        said_until("ready")
        for line in lines:
            os.write(terminal, line.encode() + b"\t\x07")
            said = said_until(">>")
            yield re.search("<<(.*)>>", said)[1], said
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_completion_zsh(tmp):
    needs("zsh")
    want = {"lathe ru": "lathe run ", "lathe inspect --st": "lathe inspect --stages ", "lathe completion f": "lathe completion fish ",
            "lathe run m.onnx --symb": "lathe run m.onnx --symbolic ", "lathe run cla": "lathe run classify.onnx ",
            "lathe run m --inputs cla": "lathe run m --inputs classify.onnx ", "lathe inspect run --see": "lathe inspect run --see",
            "lathe com": "lathe comp", "lathe bench --b": "lathe bench --b"}
    listed = {"lathe bench --b": ["--batch", "--bgr", "--bind"]}
    for line, (became, said) in zip(want, zsh_completes(tmp, want)):
        assert became == want[line], f"'{line}' became '{became}', not '{want[line]}'"
        has(said, *listed.get(line, []))


def test_progress(tmp):
    """A bar after two seconds on a terminal, which is cleared at the end; nothing elsewhere."""
    args = [LATHE, "bench", CLASSIFY, "--bind", "H=500", "W=500", "--seconds", "2.4", "--json", "--threads", "1"]
    try:
        ours, theirs = pty.openpty()
    except OSError as e: # a container without /dev/pts
        raise Skipped(f"no terminal to be had: {e}")
    done = subprocess.Popen(args, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError: # the other side is closed
            break
        if not part:
            break
        said += part
    assert done.wait() == 0
    has(said.decode(), "\rmeasure [####", "\r\x1b[K")
    assert said.endswith(b"\r\x1b[K"), said[-40:]
    assert "[#" not in lathe("bench", CLASSIFY, "--seconds", "0.01").err


def main():
    failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        with tempfile.TemporaryDirectory() as tmp:
            try:
                test(tmp)
                print(f"{name}: passed")
            except Skipped as e:
                print(f"{name}: skipped: {e}")
            except AssertionError as e:
                failed += 1
                print(f"{name}: FAILED: {e}")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
