#!/usr/bin/env python3
"""Makes the binary part of the fuzzers' corpora: make_corpus.py (writes into corpus/ beside it)."""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
F32 = TensorProto.FLOAT


def value(name, shape, kind=F32):
    return helper.make_tensor_value_info(name, kind, shape)


def model(name, nodes, inputs, outputs, weights=(), opset=17, **more):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(weights))
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)
    with open(os.path.join(HERE, "onnx", name), "wb") as f:
        f.write(m.SerializeToString())


def main():
    node = helper.make_node
    model("add", [node("Add", ["x", "y"], ["z"])], [value("x", ["N", 3]), value("y", [3])],
          [value("z", ["N", 3])])
    w = numpy_helper.from_array(np.arange(8 * 2 * 9, dtype=np.float32).reshape(8, 2, 3, 3), "w")
    model("conv", [node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2], group=2),
                   node("Relu", ["c"], ["y"])],
          [value("x", [1, 4, 8, 8])], [value("y", None)], [w])
    branch = [helper.make_graph([node("Constant", [], [n], value_float=v)], n, [], [value(n, [])])
              for n, v in (("then", 1.0), ("else", 2.0))]
    model("if", [node("If", ["c"], ["y"], then_branch=branch[0], else_branch=branch[1])],
          [value("c", [], TensorProto.BOOL)], [value("y", [])])
    shape = numpy_helper.from_array(np.array([0, -1], np.int64), "s")
    model("reshape", [node("Shape", ["x"], ["d"]), node("Reshape", ["x", "s"], ["r"]),
                      node("Gather", ["r", "i"], ["g"], axis=1), node("Cast", ["g"], ["y"], to=7)],
          [value("x", ["a", "b", 4]), value("i", [2], TensorProto.INT64)],
          [value("y", None, TensorProto.INT64), value("d", [3], TensorProto.INT64)], [shape])
    body = helper.make_graph(
        [node("Identity", ["c"], ["co"]), node("Add", ["v", "v"], ["vo"])], "body",
        [value("i", [], TensorProto.INT64), value("c", [], TensorProto.BOOL), value("v", [2])],
        [value("co", [], TensorProto.BOOL), value("vo", [2])])
    model("loop", [node("Loop", ["n", "", "x"], ["y"], body=body)],
          [value("n", [], TensorProto.INT64), value("x", [2])], [value("y", [2])])
    twice = helper.make_function("own", "Twice", ["a"], ["b"],
                                 [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)])
    graph = helper.make_graph([node("Twice", ["x"], ["y"], domain="own")], "function",
                              [value("x", [2])], [value("y", [2])])
    m = helper.make_model(graph, functions=[twice], ir_version=8,
                          opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)])
    with open(os.path.join(HERE, "onnx", "function"), "wb") as f:
        f.write(m.SerializeToString())
    model("old", [node("Upsample", ["x"], ["u"], scales=[1.0, 1.0, 2.0, 2.0]),
                  node("Dropout", ["u"], ["d"], ratio=0.5),
                  node("Softmax", ["d"], ["y"], axis=1)],
          [value("x", [1, 2, 3, 3])], [value("y", None)], opset=8)
    q = numpy_helper.from_array(np.array([0.1], np.float32), "scale")
    z = helper.make_tensor("zero", TensorProto.INT4, [1], [3])
    model("quantize", [node("DequantizeLinear", ["x", "scale", "zero"], ["y"])],
          [value("x", [4], TensorProto.INT4)], [value("y", [4])], [q, z], opset=21)

    for name, array in (("f32", np.arange(6, dtype=np.float32).reshape(2, 3)),
                        ("i64", np.array(7, np.int64)), ("bool", np.array([True, False]))):
        with open(os.path.join(HERE, "tensor_pb", name), "wb") as f:
            f.write(numpy_helper.from_array(array, name).SerializeToString())
        np.save(os.path.join(HERE, "npy", name), array)
    for name, kind, values in (("int4", TensorProto.INT4, [1, -2, 3]), ("f16", 10, [1.0, 2.0]),
                               ("typed", F32, [1.0, 2.0, 3.0])):
        with open(os.path.join(HERE, "tensor_pb", name), "wb") as f:
            f.write(helper.make_tensor(name, kind, [len(values)], values).SerializeToString())
    np.save(os.path.join(HERE, "npy", "fortran"), np.asfortranarray(np.ones((2, 3), np.int16)))
    np.save(os.path.join(HERE, "npy", "big"), np.ones((4,), ">f8"))


if __name__ == "__main__":
    main()
