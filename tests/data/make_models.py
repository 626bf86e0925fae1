#!/usr/bin/env python3
"""Writes the small ONNX files beside it: make_models.py (needs Python with onnx and numpy).

What each is for stands beside it. bad_*.onnx must be refused; the others must import. The expected
text is in tests/golden/import_*.txt.
"""
import os

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))


def save(name, nodes, inputs, outputs, opset, init=(), functions=(), ir=None, value_info=(), domains=(), metadata=None):
    graph = h.make_graph(nodes, name, inputs, outputs, list(init), value_info=list(value_info))
    sets = [h.make_opsetid("", opset)] if opset else []
    model = h.make_model(graph, opset_imports=sets + [h.make_opsetid(d, 1) for d in domains],
                         functions=list(functions), producer_name="")
    model.ir_version = ir or 8
    h.set_model_props(model, metadata or {})
    write(name, model)


def write(name, model):
    with open(os.path.join(HERE, name + ".onnx"), "wb") as f:
        f.write(model.SerializeToString(deterministic=True))


def f32(name, *shape):
    return h.make_tensor_value_info(name, T.FLOAT, shape)


def vi(name, t, *shape):
    return h.make_tensor_value_info(name, t, shape)


def untyped(name):
    v = onnx.ValueInfoProto()
    v.name = name
    return v


def ints(name, *v):
    return h.make_tensor(name, T.INT64, [len(v)], v)


N = h.make_node


def old_forms():
    """Every conversion of import/convert*.c at least once, by opset."""
    save("old_1", [
        N("Cast", ["i"], ["cast"], to="FLOAT"),
        N("Reshape", ["cast"], ["reshape"], shape=[2, 6], consumed_inputs=[0]),
        N("Concat", ["x", "x"], ["concat"]),
        N("Selu", ["concat"], ["selu"]),
        N("LpPool", ["img"], ["lp"], kernel_shape=[2, 2], p=3.0),
        N("GlobalLpPool", ["lp"], ["glp"], p=2.0),
        N("Tile", ["x", "tiles", "axis"], ["tile"]),
        N("Pad", ["x"], ["pad"], paddings=[0, 1, 0, 1], value=2.0),
        N("TopK", ["x"], ["topv", "topi"], k=2, axis=1),
        N("Upsample", ["img"], ["up"], width_scale=2.0, height_scale=3.0, mode="bilinear"),
        N("Dropout", ["x"], ["drop", "mask"], is_test=1),
    ], [vi("i", T.INT32, 3, 4), f32("x", 2, 3), f32("img", 1, 2, 4, 4), f32("tiles"), f32("axis")],
        [f32(n) for n in ("reshape", "selu", "glp", "tile", "pad", "topv", "topi", "up", "drop", "mask")],
        1, ir=3)
    save("old_6", [
        N("Relu", ["x"], ["r"]),
        N("Add", ["r", "b"], ["dynamic"], broadcast=1, axis=1),
        N("Mul", ["x", "b"], ["known"], broadcast=1, axis=1),
        N("Sub", ["x", "s"], ["suffix"], broadcast=1),
        N("Div", ["x", "x"], ["same"]),
        N("PRelu", ["x", "b"], ["prelu"]),
        N("Clip", ["r"], ["clip"], min=0.0, max=6.0),
        N("Gemm", ["m", "m", "row"], ["gemm"], broadcast=1),
        N("BatchNormalization", ["x", "b", "b", "b", "b"], ["bn"], is_test=1, spatial=1),
        N("GRU", ["seq", "w", "rw"], ["gru"], hidden_size=2, output_sequence=1),
    ], [f32("x", 2, 3, 4, 5), f32("m", 3, 3), f32("row", 3), f32("seq", 4, 1, 2), f32("s", 5)],
        [f32(n) for n in ("dynamic", "known", "suffix", "same", "prelu", "clip", "gemm", "bn", "gru")], 6,
        init=[h.make_tensor("b", T.FLOAT, [3], [1, 2, 3]), h.make_tensor("w", T.FLOAT, [1, 6, 2], [0.5] * 12),
              h.make_tensor("rw", T.FLOAT, [1, 6, 2], [0.25] * 12)], ir=3)
    save("old_8", [
        N("Scan", ["", "h0", "xs"], ["h", "ys"], num_scan_inputs=1, directions=[1],
          body=h.make_graph([N("Add", ["a", "b"], ["c"]), N("Identity", ["c"], ["d"])], "body",
                            [f32("a", 2), f32("b", 2)], [f32("c", 2), f32("d", 2)])),
    ], [f32("h0", 1, 2), f32("xs", 1, 3, 2)], [f32("h", 1, 2), f32("ys", 1, 3, 2)], 8)
    save("old_9", [
        N("Softmax", ["x"], ["soft"]),
        N("LogSoftmax", ["x"], ["last"], axis=2),
        N("Relu", ["x"], ["r"]),
        N("Hardmax", ["r"], ["hard"], axis=0),
        N("Slice", ["x"], ["slice"], starts=[0], ends=[2], axes=[1]),
        N("Split", ["x"], ["s0", "s1"], axis=1, split=[1, 2]),
        N("Split", ["x"], ["e0", "e1"], axis=0),
        N("Upsample", ["img", "scales"], ["up"], mode="nearest"),
        N("Scatter", ["m", "idx", "m"], ["scatter"], axis=1),
        N("Squeeze", ["one"], ["squeeze"], axes=[0]),
        N("Unsqueeze", ["x"], ["unsqueeze"], axes=[0, -1]),
        N("Dropout", ["x"], ["drop", "mask"], ratio=0.5),
        N("ReduceSum", ["x"], ["sum"], axes=[1, 2], keepdims=0),
        N("ReduceMax", ["x"], ["max"]),
    ], [f32("x", 2, 3, 4), f32("img", 1, 1, 2, 2), f32("m", 2, 2), vi("idx", T.INT64, 2, 2), f32("one", 1, 2)],
        [f32(n) for n in ("soft", "last", "hard", "slice", "s0", "s1", "e0", "e1", "up", "scatter", "squeeze",
                          "unsqueeze", "drop", "mask", "sum", "max")], 9,
        init=[h.make_tensor("scales", T.FLOAT, [4], [1, 1, 2, 2])])
    save("old_10", [
        N("Resize", ["img", "scales"], ["resize"], mode="linear"),
        N("RoiAlign", ["img", "rois", "batch"], ["roi"], output_height=2, output_width=2),
        N("Clip", ["d"], ["clip"], min=-1.0),
    ], [f32("img", 1, 1, 4, 4), f32("rois", 1, 4), vi("batch", T.INT64, 1), vi("d", T.DOUBLE, 2)],
        [f32(n) for n in ("resize", "roi", "clip")], 10, init=[h.make_tensor("scales", T.FLOAT, [4], [1, 1, 2, 2])])
    tf = {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "mode": "nearest"}
    save("old_11", [
        N("Resize", ["img", "roi", "scales"], ["floor"], nearest_mode="floor", **tf),
        N("Resize", ["img", "roi", "scales"], ["round"], **tf),
    ], [f32("img", 1, 1, 4, 4)], [f32("floor"), f32("round")], 11,
        init=[h.make_tensor("scales", T.FLOAT, [4], [1, 1, 2, 2]), h.make_tensor("roi", T.FLOAT, [0], [])])
    save("old_18", [
        N("GroupNormalization", ["img", "sc", "sc"], ["gn"], num_groups=2, epsilon=0.001),
        N("GridSample", ["img", "grid"], ["gs"], mode="bilinear"),
        N("DFT", ["sig"], ["dft"], axis=2),
        N("Resize", ["img", "none", "none", "sizes"], ["resize"], mode="nearest"),
    ], [f32("img", 1, 4, 4, 4), f32("grid", 1, 2, 2, 2), f32("sig", 1, 3, 8, 1)],
        [f32(n) for n in ("gn", "gs", "dft", "resize")], 18,
        init=[h.make_tensor("sc", T.FLOAT, [2], [1, 2]), h.make_tensor("none", T.FLOAT, [0], []),
              ints("sizes", 1, 4, 8, 8)])


def structure():
    """Functions, sub-graphs, order, dims, constants of every type, external data."""
    ref = N("LeakyRelu", ["A"], ["t"])
    ref.attribute.append(onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope"))
    const = N("Constant", [], ["k"])
    const.attribute.append(onnx.AttributeProto(name="value_float", type=onnx.AttributeProto.FLOAT,
                                               ref_attr_name="offset"))
    inner = h.make_function("my", "Inner", ["A"], ["B", "Same"],
                            [ref, const, N("Add", ["t", "k"], ["B"]), N("Identity", ["A"], ["unused"]),
                             N("Abs", ["A"], ["Same"])],
                            [h.make_opsetid("", 17)], attributes=["slope"],
                            attribute_protos=[h.make_attribute("offset", 2.0)])
    forward = N("Inner", ["X"], ["m"], domain="my", name="in")
    forward.attribute.append(onnx.AttributeProto(name="slope", type=onnx.AttributeProto.FLOAT, ref_attr_name="s"))
    outer = h.make_function("my", "Outer", ["X", "Y"], ["Z", "X"],
                            [forward, N("Softmax", ["m"], ["Z"])], [h.make_opsetid("", 12), h.make_opsetid("my", 1)],
                            attributes=["s"])
    save("functions", [N("Outer", ["x"], ["z", "copy"], domain="my", name="f", s=0.25),
                       N("Inner", ["z"], ["w"], domain="my", slope=0.5, offset=3.0)],
         [f32("x", 2, 3)], [f32("z", 2, 3), f32("w", 2, 3), f32("copy", 2, 3)], 17,
         functions=[inner, outer], domains=["my"])

    def contrib(op, inputs, outputs, **attrs):
        return N(op, inputs, outputs, domain="com.microsoft", **attrs)

    save("contrib", [contrib("QuickGelu", ["x"], ["g"]),
                     contrib("FusedMatMul", ["g", "x"], ["p"], transB=1, alpha=0.5),
                     contrib("SkipLayerNormalization", ["p", "p", "s"], ["y", "", "", "sum"], epsilon=1e-5)],
         [f32("x", 2, 3, 4), f32("s", 3)], [f32("y", 2, 3, 3), f32("sum", 2, 3, 3)], 17, domains=["com.microsoft"])

    then = h.make_graph([N("Mul", ["x", "two"], ["t"])], "then", [], [untyped("t")],
                        [h.make_tensor("two", T.FLOAT, [], [2])])
    deep = h.make_graph([N("Neg", ["x"], ["n"])], "deep", [], [untyped("n")])
    flat = h.make_graph([], "flat", [], [untyped("x")])
    els = h.make_graph([N("If", ["c"], ["e"], then_branch=deep, else_branch=flat)], "else", [], [untyped("e")])
    body = h.make_graph([N("Add", ["acc", "y"], ["next"]), N("Identity", ["cond"], ["go"])], "body",
                        [vi("i", T.INT64), vi("cond", T.BOOL), f32("acc", 2)],
                        [vi("go", T.BOOL), f32("next", 2), f32("acc", 2)])
    save("control", [N("If", ["c"], ["y"], then_branch=then, else_branch=els),
                     N("Loop", ["n", "", "x"], ["last"], body=body, name="sum")],
         [vi("c", T.BOOL), f32("x", 2), vi("n", T.INT64)], [f32("y", 2), f32("last", 2)], 17)

    # The bodies have inputs, constants and results with the names of what is made outside, by their
    # own node, later, or both; "late" is read from outside, and a node further down makes it.
    inner = h.make_graph([N("Neg", ["next"], ["z"]), N("Add", ["z", "late"], ["e"])], "inner", [], [untyped("e")])
    flat = h.make_graph([N("Sub", ["next", "k"], ["y"])], "flat", [], [untyped("y")])
    body = h.make_graph([N("Add", ["h", "xi"], ["next"]), N("Mul", ["next", "k"], ["y"]),
                         N("If", ["c"], ["o"], then_branch=inner, else_branch=flat)], "body",
                        [f32("h", 3), f32("xi", 3)], [f32("next", 3), f32("o", 3)],
                        [h.make_tensor("k", T.FLOAT, [], [2])])
    save("shadow", [N("Scan", ["h0", "x"], ["h", "y"], body=body, num_scan_inputs=1, name="scan"),
                    N("Relu", ["y"], ["next"]), N("Exp", ["next"], ["z"]), N("Neg", ["z"], ["k"]),
                    N("Abs", ["h0"], ["late"])],
         [f32("h0", 3), f32("x", 6, 3), vi("c", T.BOOL)], [f32("h", 3), f32("k", 6, 3)], 17)

    save("bound", [N("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],  # the shape depends on a value
         [f32("x", 2, 3), vi("axes", T.INT64, 1)], [vi("y", T.FLOAT, 1)], 17)
    save("unsorted", [N("Add", ["b", "a"], ["c"]), N("Relu", ["a"], ["b"]), N("Neg", ["x"], ["a"])],
         [f32("x", 2)], [f32("c", 2)], 17)
    save("dims", [N("Add", ["x", "y"], ["z"]), N("Relu", ["v"], ["w"]), N("Relu", ["u"], ["t"])],
         [f32("x", "N", 3, "batch size"), f32("y", "N", 3, "batch size"), f32("v", None, -1, 0, 7),
          f32("u", "batch_size", "3d")],
         [f32("z"), f32("w"), f32("t")], 17)
    save("ir3", [N("MatMul", ["x", "w"], ["y"])], [f32("x", "N", 2), f32("w", 2, 2)], [f32("y", "N", 2)], 6,
         init=[h.make_tensor("w", T.FLOAT, [2, 2], [1, 2, 3, 4])], ir=3)

    types = [T.FLOAT, T.UINT8, T.INT8, T.UINT16, T.INT16, T.INT32, T.INT64, T.BOOL, T.FLOAT16, T.DOUBLE,
             T.UINT32, T.UINT64, T.BFLOAT16, T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ,
             T.UINT4, T.INT4, T.FLOAT4E2M1, T.FLOAT8E8M0, T.UINT2, T.INT2]
    init, nodes, outs = [], [], []
    for t in types:
        name = h.tensor_dtype_to_string(t).split(".")[1].lower()
        typed = h.make_tensor(name + "_list", t, [3], [1, 0, 1])
        array = numpy_helper.to_array(typed)
        raw = numpy_helper.from_array(array, name + "_raw")
        for tensor in (typed, raw):
            init.append(tensor)
            nodes.append(N("Identity", [tensor.name], [tensor.name + "_out"]))
            outs.append(vi(tensor.name + "_out", t, 3))
    save("types", nodes, [], outs, 25, init=init, ir=13)

    def external(name, location, offset, length, shape):
        t = T()
        t.name, t.data_type, t.data_location = name, T.FLOAT, T.EXTERNAL
        t.dims.extend(shape)
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            if value is not None:
                t.external_data.append(onnx.StringStringEntryProto(key=key, value=str(value)))
        return t

    with open(os.path.join(HERE, "external.bin"), "wb") as f:
        f.write(np.arange(16, dtype=np.float32).tobytes())
    x, y = [f32("x", 4)], [f32("y", 4)]
    add = [N("Add", ["x", "w"], ["y"])]
    save("external", [N("Add", ["x", "w"], ["y"]), N("Add", ["y", "odd"], ["z"])], x, [f32("z", 4)], 17,
         init=[external("w", "external.bin", 16, 16, [4]), external("odd", "external.bin", None, None, [4])])
    save("bad_external_range", add, x, y, 17, init=[external("w", "external.bin", 56, 16, [4])])
    save("bad_external_path", add, x, y, 17, init=[external("w", "../golden/layout.txt", 0, 16, [4])])
    save("bad_external_absent", add, x, y, 17, init=[external("w", "absent.bin", 0, 16, [4])])
    save("bad_external_size", add, x, y, 17, init=[external("w", "external.bin", 0, 12, [4])])


def refused():
    x, y = [f32("x", 2)], [f32("y", 2)]
    relu = [N("Relu", ["x"], ["y"], name="act")]
    save("bad_cycle", [N("Add", ["x", "b"], ["a"]), N("Relu", ["a"], ["b"]), N("Relu", ["a"], ["y"])], x, y, 17)
    save("bad_duplicate", relu + [N("Neg", ["x"], ["y"], name="again")], x, y, 17)
    save("bad_duplicate_input", relu, x + x, y, 17)
    save("bad_missing_input", [N("Add", ["x", "nowhere"], ["y"], name="sum")], x, y, 17)
    save("bad_missing_output", relu, x, [f32("z", 2)], 17)
    save("bad_arity", [N("Add", ["x"], ["y"], name="sum")], x, y, 17)
    save("bad_op", [N("Frobnicate", ["x"], ["y"], name="frob")], x, y, 17)
    save("bad_domain", [N("Relu", ["x"], ["y"], domain="com.example", name="own")], x, y, 17,
         domains=["com.example"])
    save("bad_opset", relu, x, y, 29)
    save("bad_no_opset", relu, x, y, 0)
    save("bad_ir", relu, x, y, 17, ir=99)
    save("bad_sequence", [N("SequenceAt", ["s", "i"], ["y"])],
         [h.make_tensor_sequence_value_info("s", T.FLOAT, [2]), vi("i", T.INT64)], y, 17)
    save("bad_string", [N("Identity", ["s"], ["y"])], [vi("s", T.STRING, 2)], [vi("y", T.STRING, 2)], 17)
    save("bad_no_rank", relu, [h.make_tensor_value_info("x", T.FLOAT, None)], y, 17)
    save("bad_training", [N("BatchNormalization", ["x"] * 5, ["y", "m", "v"], training_mode=1, name="bn")], x, y, 17)
    save("bad_attribute", [N("Softmax", ["x"], ["y"], axis="last", name="soft")], x, y, 17)
    save("bad_output_type", [N("Relu", ["x"], ["y"])], x, [vi("y", T.INT64, 2)], 17)
    save("bad_output_shape", [N("Relu", ["x"], ["y"])], [vi("x", T.FLOAT, 2, 3)], [vi("y", T.FLOAT, 9, 9)], 17)
    save("own_attributes", [N("MatMul", ["x", "x"], ["m"], widen=1), N("Conv", ["y", "w"], ["c"], winograd=4, widen=1)],
         [vi("x", T.FLOAT16, 2, 2), vi("y", T.FLOAT16, 1, 1, 4, 4), vi("w", T.FLOAT16, 1, 1, 3, 3)],
         [vi("m", T.FLOAT16, 2, 2), vi("c", T.FLOAT16, 1, 1, 2, 2)], 17)
    save("stale_output", [N("Relu", ["x"], ["y"])], [vi("x", T.FLOAT, "N", 3)], [vi("y", T.FLOAT, 1, 3)], 17)
    short = h.make_tensor("w", T.FLOAT, [2], [1, 2])
    del short.float_data[:]
    short.raw_data = b"\0\0\0"
    save("bad_weight", [N("Add", ["x", "w"], ["y"])], x, y, 17, init=[short])
    call = N("Loop", ["A"], ["B"], domain="my", name="again")
    save("bad_recursion", [N("Loop", ["x"], ["y"], domain="my")], x, y, 17, domains=["my"],
         functions=[h.make_function("my", "Loop", ["A"], ["B"], [call], [h.make_opsetid("my", 1)])])
    save("bad_branches", [N("If", ["c"], ["y"], name="choose",
                            then_branch=h.make_graph([N("Relu", ["x"], ["a"])], "t", [], [untyped("a")]),
                            else_branch=h.make_graph([], "e", [], [untyped("x"), untyped("x")]))],
         x + [vi("c", T.BOOL)], y, 17)


def classifier():
    """A small classifier with a free batch and size, for the examples and the API's test."""
    rng = np.random.default_rng(1)

    def weight(name, *shape):
        return numpy_helper.from_array(rng.uniform(-1, 1, shape).astype(np.float32), name)

    save("classify", [
        N("Conv", ["x", "w0", "b0"], ["conv"], strides=[2, 2], pads=[1, 1, 1, 1]),
        N("Relu", ["conv"], ["relu"]),
        N("GlobalAveragePool", ["relu"], ["pool"]),
        N("Flatten", ["pool"], ["flat"]),
        N("Gemm", ["flat", "w1", "b1"], ["logits"], transB=1),
        N("Softmax", ["logits"], ["scores"], axis=-1),
    ], [f32("x", "N", 3, "H", "W")], [f32("scores", "N", 10)], 17,
         init=[weight("w0", 8, 3, 3, 3), weight("b0", 8), weight("w1", 10, 8), weight("b1", 10)])


def images():
    """What arrives of a picture: its pixels are the output."""
    save("image", [N("Relu", ["x"], ["y"])], [f32("x", 1, 3, 2, 4)], [f32("y", 1, 3, 2, 4)], 17)
    save("image_bytes", [N("Cast", ["x"], ["y"], to=T.FLOAT)], [vi("x", T.UINT8, "N", "H", "W", 3)],
         [f32("y", "N", "H", "W", 3)], 17)


def readers():
    """A recogniser and a detector of text without sense, but with the shapes of PP-OCR's; and a model in which a picture's result
    depends on what it shares a batch with."""
    rng = np.random.default_rng(2)
    mix = numpy_helper.from_array(rng.uniform(-6, 6, (12, 3, 1, 1)).astype(np.float32), "w")
    save("read_lines", [
        N("AveragePool", ["x"], ["pool"], kernel_shape=[48, 8], strides=[48, 8]),
        N("Conv", ["pool", "w"], ["conv"]),
        N("Squeeze", ["conv", "axes"], ["flat"]),
        N("Transpose", ["flat"], ["steps"], perm=[0, 2, 1]),
        N("Softmax", ["steps"], ["y"], axis=-1),
    ], [f32("x", "N", 3, 48, "W")], [f32("y", "N", "T", 12)], 17, init=[mix, ints("axes", 2)],
         metadata={"character": "\n".join("0123456789")})
    bright = numpy_helper.from_array(np.full((1, 3, 1, 1), 4, np.float32), "w")
    less = numpy_helper.from_array(np.array([-2], np.float32), "b")
    save("find_lines", [N("Conv", ["x", "w", "b"], ["conv"]), N("Sigmoid", ["conv"], ["y"])],
         [f32("x", "N", 3, "H", "W")], [f32("y", "N", 1, "H", "W")], 17, init=[bright, less])
    save("mixed", [N("ReduceMean", ["x"], ["mean"], axes=[0]), N("Sub", ["x", "mean"], ["rest"]), N("Add", ["rest", "x"], ["y"])],
         [f32("x", "N", 3, "H", "W")], [f32("y", "N", 3, "H", "W")], 17)


def voices():
    """Loudness, in the shape of a model of voice: what it heard before counts a little."""
    def number(name, v):
        return numpy_helper.from_array(np.array([[v]], np.float32), name)

    save("loud", [
        N("Abs", ["input"], ["size"]),
        N("ReduceMean", ["size"], ["mean"], axes=[1], keepdims=1),
        N("Mul", ["mean", "gain"], ["now"]),
        N("ReduceMean", ["state"], ["rows"], axes=[2], keepdims=0),
        N("ReduceMean", ["rows"], ["before"], axes=[0], keepdims=1),
        N("Mul", ["before", "tenth"], ["rest"]),
        N("Add", ["now", "rest"], ["sum"]),
        N("Clip", ["sum", "low", "high"], ["output"]),
        N("Mul", ["state", "most"], ["kept"]),
        N("Mul", ["output", "tenth"], ["new"]),
        N("Add", ["kept", "new"], ["stateN"]),
    ], [f32("input", 1, 576), f32("state", 2, 1, 128)], [f32("output", 1, 1), f32("stateN", 2, 1, 128)], 17,
         init=[number("gain", 2.7), number("tenth", 0.1), number("most", 0.9),
               numpy_helper.from_array(np.array(0, np.float32), "low"), numpy_helper.from_array(np.array(1, np.float32), "high")])


def names():
    """One size by two names, and one that has to be a number."""
    w = numpy_helper.from_array(np.arange(40, dtype=np.float32).reshape(5, 8), "w")
    save("two_names", [N("Add", ["x", "c"], ["y"]), N("Add", ["d", "w"], ["z"])],
         [f32("x", "N", 8), f32("c", "M", 8), f32("d", "K", 8)], [f32("y", "N", 8), f32("z", "K", 8)], 17, init=[w])


if __name__ == "__main__":
    voices()
    names()
    readers()
    images()
    classifier()
    old_forms()
    structure()
    refused()
