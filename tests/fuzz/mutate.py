#!/usr/bin/env python3
"""Damaged models through `lathe run`: mutate.py PROGRAM [--count N] [--seed S] [--suite DIR] ...

Mutant i of a seed is a model of tests/data, of the fuzzers' corpus or of the ONNX suite's folder
(see tests/conformance), with some bytes changed, or, where the onnx package is there, some of its
structure: attributes, dims, types, edges, ops, constants. Whatever it is, `lathe run` must end by
itself, with status 0, 1 or 3, and for 1 and 3 with one line that says why and does not speak of an
internal error. What does otherwise is kept (--keep) and printed with its number; --first N --count 1
runs it again.

The last line: "mutations: P passed, F failed"; the exit status says whether any failed.
"""
import argparse
import collections
import concurrent.futures
import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile

try:
    import onnx
except ImportError:  # bytes only
    onnx = None

HERE = os.path.dirname(os.path.abspath(__file__))
LARGEST = 100_000  # bytes of a model: larger ones are slow and show nothing new
INTS = [0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 64, 100, 255, 1 << 16, 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 40,
        (1 << 62), (1 << 63) - 1, -1, -2, -3, -5, -8, -100, -(1 << 31), -(1 << 40), -(1 << 63)]
DIMS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 33, 64, 1000, 1 << 16, 1 << 31, 1 << 40, (1 << 63) - 1, -1]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, -1e30, 3.5, float("inf"), float("-inf"), float("nan")]
STRINGS = [b"", b"x", b"NOTSET", b"SAME_UPPER", b"VALID", b"linear", b"cubic", b"reflect", b"wrap", b"bilinear",
           b"ij,jk->ik", b"...i->i", b"i", b"->", b"reverse", b"bidirectional", b"Tanh", b"\xff\xfe", b"a" * 5000]


# ---- bytes ----

def mutate_bytes(r, data):
    b = bytearray(data)
    for _ in range(r.choice([1, 1, 2, 3, 6])):
        p, kind = r.randrange(len(b)), r.random()
        if kind < 0.5:
            b[p] = r.randrange(256)
        elif kind < 0.75:
            b[p] ^= 1 << r.randrange(8)
        elif kind < 0.85:
            del b[p:p + r.randint(1, 8)]
        elif kind < 0.95:
            b[p:p] = bytes(r.randrange(256) for _ in range(r.randint(1, 8)))
        else:
            q = r.randrange(len(b))
            b[p:p] = b[q:q + r.randint(1, 64)]
        if not b:
            b = bytearray(b"\0")
    return bytes(b)


# ---- structure ----

def graphs_of(graph):
    yield graph
    for node in graph.node:
        for a in node.attribute:
            for g in ([a.g] if a.HasField("g") else []) + list(a.graphs):
                yield from graphs_of(g)


def number(r, near):
    return r.choice([r.choice(INTS), near + 1, near - 1, -near, near * 2]) if abs(near) < 1 << 60 else r.choice(INTS)


def clip(v):
    return max(-(1 << 63), min((1 << 63) - 1, v))


def change_attribute(r, node):
    if not node.attribute:
        return
    a = r.choice(node.attribute)
    kind = r.random()
    if kind < 0.1:
        node.attribute.remove(a)
    elif kind < 0.15:
        a.name = r.choice(["axis", "axes", "perm", "to", "mode", "pads", "group", "x", ""])
    elif a.type == onnx.AttributeProto.INT:
        a.i = clip(number(r, a.i))
    elif a.type == onnx.AttributeProto.INTS:
        if a.ints and r.random() < 0.7:
            k = r.randrange(len(a.ints))
            a.ints[k] = clip(number(r, a.ints[k]))
        elif a.ints and r.random() < 0.5:
            a.ints.pop()
        else:
            a.ints.append(r.choice(INTS))
    elif a.type == onnx.AttributeProto.FLOAT:
        a.f = r.choice(FLOATS)
    elif a.type == onnx.AttributeProto.FLOATS and a.floats:
        a.floats[r.randrange(len(a.floats))] = r.choice(FLOATS)
    elif a.type == onnx.AttributeProto.STRING:
        a.s = r.choice(STRINGS)
    elif a.type == onnx.AttributeProto.STRINGS and a.strings:
        a.strings[r.randrange(len(a.strings))] = r.choice(STRINGS)
    elif a.type == onnx.AttributeProto.TENSOR:
        change_tensor(r, a.t)


def change_tensor(r, t):
    import numpy as np
    kind = r.random()
    if kind < 0.2 and t.dims:
        t.dims[r.randrange(len(t.dims))] = r.choice(DIMS)
    elif kind < 0.3:
        t.data_type = r.choice([0, 1, 6, 7, 8, 9, 10, 11, 16, 17, 21, 22, 24, 99])
    elif kind < 0.35:
        t.ClearField(r.choice(["raw_data", "dims", "int64_data", "float_data"]))
    else:  # other values, of a sound tensor
        try:
            array = onnx.numpy_helper.to_array(t).copy()
        except Exception:  # whatever an earlier change made of it
            return
        if array.size == 0 or array.dtype.kind not in "fiub":
            return
        at = r.randrange(array.size)
        if array.dtype.kind in "iu":
            info = np.iinfo(array.dtype)
            array.flat[at] = max(info.min, min(info.max, number(r, int(array.flat[at]))))
        else:
            with np.errstate(all="ignore"):
                array.flat[at] = r.choice(FLOATS) if array.dtype.kind == "f" else r.random() < 0.5
        t.CopyFrom(onnx.numpy_helper.from_array(array, t.name))


def change_type(r, values):
    values = [v for v in values if v.type.HasField("tensor_type")]
    if not values:
        return
    t = r.choice(values).type.tensor_type
    dims = t.shape.dim
    kind = r.random()
    if kind < 0.5 and dims:
        dim = r.choice(dims)
        if r.random() < 0.3:
            dim.dim_param = r.choice(["N", "M", ""])
        else:
            dim.dim_value = r.choice(DIMS)
    elif kind < 0.65 and dims:
        dims.pop()
    elif kind < 0.75:
        dims.add().dim_value = r.choice(DIMS)
    elif kind < 0.8:
        t.ClearField("shape")
    else:
        t.elem_type = r.choice([0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 14, 16, 17, 20, 21, 22, 23, 24, 99])


def change_edges(r, graph):
    nodes = [n for n in graph.node if n.input]
    if not nodes:
        return
    n = r.choice(nodes)
    names = [v.name for v in [*graph.input, *graph.initializer]]
    for m in graph.node:  # mostly what is known where the node stands
        if m is n and r.random() < 0.8:
            break
        names += [*m.input, *m.output]
    names = names or [""]
    kind = r.random()
    k = r.randrange(len(n.input))
    if kind < 0.25:
        order = list(n.input)
        r.shuffle(order)
        n.input[:] = order
    elif kind < 0.4:
        n.input[k] = ""
    elif kind < 0.5:
        n.input.pop()
    elif kind < 0.6:
        n.input.append(r.choice(names))
    elif kind < 0.8:
        n.input[k] = r.choice(names)
    elif kind < 0.88 and n.output:  # itself: a cycle
        n.input[k] = r.choice(n.output)
    elif kind < 0.94 and n.output:
        n.output[r.randrange(len(n.output))] = r.choice([*names, ""])
    elif n.output:
        n.output.append(r.choice(["", "more", n.output[0]]))


def change_nodes(r, graph, ops):
    if not graph.node:
        return
    n, kind = r.choice(graph.node), r.random()
    if kind < 0.7:
        alike = [op for op in ops if op[1] <= len(n.input) <= op[2]]
        n.op_type = r.choice(alike if alike and r.random() < 0.9 else ops)[0]
    elif kind < 0.8:
        n.domain = r.choice(["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "x"])
    elif kind < 0.9:
        graph.node.remove(n)
    else:
        graph.node.add().CopyFrom(n)


def make_constant(r, graph):
    """An input of the model becomes a constant, so that what follows from it is folded."""
    import numpy as np
    inputs = [v for v in graph.input if v.type.HasField("tensor_type")]
    if not inputs:
        return
    v = r.choice(inputs)
    dims = [max(0, min(d.dim_value, 50)) for d in v.type.tensor_type.shape.dim]
    try:
        array = np.full(dims, r.choice([0, 1, 2, 3, 7]), onnx.helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type))
        graph.initializer.append(onnx.numpy_helper.from_array(array, v.name))
    except Exception:  # a type that has no array
        return
    graph.input.remove(v)


def mutate_structure(r, data, ops):
    model = onnx.load_model_from_string(data)
    for _ in range(r.choice([1, 1, 1, 2, 3, 5])):
        graph, kind = r.choice(list(graphs_of(model.graph))), r.random()
        if kind < 0.3 and graph.node:
            change_attribute(r, r.choice(graph.node))
        elif kind < 0.45:
            change_type(r, graph.input)
        elif kind < 0.5:
            change_type(r, [*graph.output, *graph.value_info])
        elif kind < 0.65:
            change_edges(r, graph)
        elif kind < 0.75:
            change_nodes(r, graph, ops)
        elif kind < 0.87 and graph.initializer:
            change_tensor(r, r.choice(graph.initializer))
        elif kind < 0.97:
            make_constant(r, graph)
        elif model.opset_import:
            model.opset_import[0].version = r.choice([0, 1, 6, 7, 9, 11, 13, 15, 18, 20, 22, 23, 24, 28, 1 << 40])
    if r.random() < 0.8:  # what the model says of its results is not true any more
        del model.graph.value_info[:]
        for v in model.graph.output:
            v.type.tensor_type.ClearField("shape")
            if r.random() < 0.5:
                v.ClearField("type")
    return model.SerializeToString(), len(model.graph.input)


# ---- running ----

def models(suite):
    found = glob.glob(os.path.join(HERE, "..", "data", "*.onnx")) + glob.glob(os.path.join(HERE, "corpus", "onnx", "*"))
    if suite:
        found += glob.glob(os.path.join(suite, "**", "model.onnx"), recursive=True)
    return sorted(m for m in found if 0 < os.path.getsize(m) < LARGEST)


def mutant(i, a, sources, ops):
    """Source, bytes and options of mutant i, from the seed alone."""
    r = random.Random(f"{a.seed} {i}")
    source = r.choice(sources)
    with open(source, "rb") as f:
        data = f.read()
    inputs = sorted(glob.glob(os.path.join(os.path.dirname(source), "set_0", "input_*.pb")))
    options = ["--memory-limit", "256M", "--work-limit", "1G", "--threads", str(r.choice([1, 1, 3]))]
    if r.random() < 0.2:
        options.append("--symbolic")
    if r.random() < 0.5:
        options.append("--guard")
    count = len(inputs)
    structure = onnx is not None and r.random() < 0.85
    if structure:
        try:
            data, count = mutate_structure(r, data, ops)
        except Exception:  # the source is damaged on purpose, or a value does not fit its field
            structure = False
    if not structure:
        data = mutate_bytes(r, data)
    if inputs and count == len(inputs) and r.random() < 0.5:
        options += ["--inputs", *inputs]
    return source, data, options


def judge(done):
    """None, or what is wrong with how a run ended."""
    said = done.stderr.decode(errors="replace")
    lines = [x for x in said.split("\n") if x and " is not fixed, " not in x]
    if done.returncode < 0:
        return f"{signal.Signals(-done.returncode).name}: {said[-2000:]}"
    if done.returncode not in (0, 1, 3):
        return f"exit status {done.returncode}: {said[-2000:]}"
    if done.returncode == 0:
        return None if not lines else f"said: {said[-2000:]}"
    if len(lines) != 1 or not lines[0].startswith("lathe: "):
        return f"not one line: {said[-2000:]}"
    return f"{lines[0]}" if "internal error" in lines[0] else None


def run_one(i, a, folder, sources, ops):
    source, data, options = mutant(i, a, sources, ops)
    path = os.path.join(folder, f"{a.seed}-{i}.onnx")
    with open(path, "wb") as f:
        f.write(data)
    command = [a.program, "run", path, *options]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=a.timeout)
        status, why = done.returncode, judge(done)
    except subprocess.TimeoutExpired:
        status, why = "timeout", f"ran past {a.timeout} s"
    if why and a.keep:
        os.makedirs(a.keep, exist_ok=True)
        kept = shutil.copy(path, a.keep)
        why += "\n    " + " ".join([*command[:2], kept, *command[3:]])
    os.remove(path)
    return i, status, os.path.relpath(source, HERE), why


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suite", help="folder of the ONNX suite's models")
    parser.add_argument("--keep", help="folder for the mutants that are findings")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=20)
    a = parser.parse_args()
    a.program = os.path.abspath(a.program)
    sources = models(a.suite)
    ops = sorted({(s.name, s.min_input, s.max_input) for s in onnx.defs.get_all_schemas()}) if onnx else []
    statuses, failed = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(a.workers) as pool:
        work = range(a.first, a.first + a.count)
        for i, status, source, why in pool.map(lambda i: run_one(i, a, folder, sources, ops), work):
            statuses[status] += 1
            if why:
                failed += 1
                print(f"{a.seed}-{i} of {source}: {why}", flush=True)
    print("statuses:", ", ".join(f"{k}: {v}" for k, v in sorted(statuses.items(), key=str)))
    print(f"mutations: {a.count - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
