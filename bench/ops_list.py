"""Single operators as ONNX models: the suite of Ansor (OSDI 2020, the authors' artifact), batch 1.

Channels come first, as ONNX wants them; weights of convolutions are constant, both sides of a
matrix product are inputs. A capsule of 4x4 matrices is a convolution whose batch is the rows of
the left matrix and whose channels are (column, capsule).

    conv     C1D C2D C3D GRP DIL DEP T2D CAP, and CBR: convolution, batch norm, ReLU
    matmul   GMM, and TBG: two transposes with a batched product, as attention has it
    memory   NRM (Frobenius norm), SFM (softmax); beside that suite, in a core's second-level cache and beyond: ADD,
             GEL (gelu by erf), LNM (layer norm), TRN (transpose), TRH (of tokens and heads), CAT, RSZ (twice
             as large, nearest), POL (max, 3x3 of stride 2), GTH (rows of a table)
"""
import os
from collections import namedtuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save, shape_inference

KINDS = {"conv": "convolutions", "matmul": "matrix products", "memory": "memory bound"}

# h, c_in, c_out, kernel, stride, pad
C1D = [(256, 64, 128, 3, 2, 1), (128, 128, 256, 1, 2, 0),
       (64, 256, 256, 5, 1, 2), (32, 512, 512, 3, 1, 1)]
C2D = [(224, 3, 64, 7, 2, 3), (56, 64, 64, 1, 1, 0),
       (14, 256, 256, 3, 1, 1), (7, 512, 512, 3, 1, 1)]
GRP = [(56, 64, 128, 3, 2, 1), (56, 64, 64, 1, 1, 0),
       (14, 256, 256, 3, 1, 1), (7, 512, 512, 3, 1, 1)]
DEP = [(112, 32, 32, 3, 1, 1), (112, 64, 64, 3, 2, 1),
       (14, 512, 512, 3, 2, 1), (7, 1024, 1024, 3, 1, 1)]
T2D = [(4, 512, 256, 4, 2, 1), (8, 256, 128, 4, 2, 1),
       (16, 128, 64, 4, 2, 1), (32, 64, 3, 4, 2, 1)]
CAP = [(16, 32, 32, 3, 2, 1), (8, 32, 32, 3, 1, 1),
       (16, 8, 16, 3, 2, 1), (8, 16, 16, 3, 1, 1)]
CBR = [(224, 3, 64, 7, 2, 3), (56, 64, 128, 3, 2, 1),
       (28, 128, 256, 1, 2, 0), (7, 512, 512, 3, 1, 1)]
GMM = [(128, 128, 128), (512, 32, 512), (512, 512, 512), (1024, 1024, 1024)]  # n, m, k
TBG = [(128, 12, 64), (128, 16, 64), (64, 12, 128), (128, 12, 128)]           # seq, heads, dim
ROWS = {"NRM": [(256, 256), (512, 512), (1024, 1024), (4096, 1024)],
        "SFM": [(256, 256), (512, 512), (1024, 1024), (2048, 2048)]}
DEPTH = 16  # of C3D
BYTES = {"ADD": [(256, 256), (2048, 2048)], "GEL": [(128, 1024), (2048, 2048)], "LNM": [(256, 512), (4096, 1024)],
         "TRN": [(512, 256), (2048, 2048)], "TRH": [(128, 16, 64), (2048, 32, 64)], "CAT": [(64, 28), (256, 112)],
         "RSZ": [(64, 28), (64, 112)], "POL": [(64, 56), (64, 224)], "GTH": [(512, 256), (4096, 1024)]}

Op = namedtuple("Op", "name kind nodes inputs weights gflop")


def weight(*shape):
    random = np.random.default_rng(len(shape))
    return random.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))


def conv(name, shape, c_out, k, stride, pad, batch_norm=False, **attributes):
    """shape (N,C,spatial..) of the input"""
    rank, groups = len(shape) - 2, attributes.get("group", 1)
    reach = attributes.get("dilations", [1])[0] * (k - 1)
    size = [(d + 2 * pad - reach - 1) // stride + 1 for d in shape[2:]]
    gflop = 2e-9 * shape[0] * np.prod(size) * c_out * (shape[1] // groups) * k ** rank
    weights = {"w": weight(c_out, shape[1] // groups, *[k] * rank)}
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[k] * rank,
                            strides=[stride] * rank, pads=[pad] * 2 * rank, **attributes)
    nodes = [node]
    if batch_norm:
        weights["b"] = weight(c_out)
        for i, key in enumerate(("scale", "shift", "mean", "variance")):
            weights[key] = np.abs(weight(c_out)) + np.float32(0.1 * i + 0.5)
        node.input.append("b")
        node.output[0] = "c"
        nodes.append(helper.make_node("BatchNormalization",
                                      ["c", "scale", "shift", "mean", "variance"], ["n"]))
        nodes.append(helper.make_node("Relu", ["n"], ["y"]))
    return Op(name, "conv", nodes, {"x": shape}, weights, gflop)


def conv_transpose(name, h, c_in, c_out, k, stride, pad):
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], kernel_shape=[k, k],
                            strides=[stride] * 2, pads=[pad] * 4)
    return Op(name, "conv", [node], {"x": [1, c_in, h, h]}, {"w": weight(c_in, c_out, k, k)},
              2e-9 * h * h * c_in * c_out * k * k)


def matmul(name, n, m, k):
    node = helper.make_node("MatMul", ["a", "b"], ["y"])
    return Op(name, "matmul", [node], {"a": [n, k], "b": [k, m]}, {}, 2e-9 * n * m * k)


def attention_product(name, seq, heads, dim):
    """q, k (1,S,H,D) -> (1,H,S,S)"""
    nodes = [helper.make_node("Transpose", ["q"], ["qt"], perm=[0, 2, 1, 3]),
             helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 3, 1]),
             helper.make_node("MatMul", ["qt", "kt"], ["y"])]
    shape = [1, seq, heads, dim]
    return Op(name, "matmul", nodes, {"q": shape, "k": shape}, {}, 2e-9 * heads * seq * seq * dim)


def norm(name, m, n):
    node = helper.make_node("ReduceL2", ["x", "axes"], ["y"], keepdims=0)
    return Op(name, "memory", [node], {"x": [1, m, n]}, {"axes": np.array([1, 2])}, 2e-9 * m * n)


def softmax(name, m, n):
    # 4: subtract, sum, divide, and the exponential counted as one.
    return Op(name, "memory", [helper.make_node("Softmax", ["x"], ["y"], axis=-1)], {"x": [m, n]},
              {}, 4e-9 * m * n)


def bytes_only(name, shape):
    """What only moves or passes through its elements: counted as no arithmetic."""
    kind, node, image = name[:3], helper.make_node, [1, shape[0], shape[1], shape[1]]
    inputs, weights = {"x": list(shape)}, {}
    if kind == "ADD":
        inputs["b"] = list(shape)
        nodes = [node("Add", ["x", "b"], ["y"])]
    elif kind == "GEL":
        weights = {"root": np.float32(2 ** 0.5), "one": np.float32(1), "half": np.float32(0.5)}
        nodes = [node("Div", ["x", "root"], ["d"]), node("Erf", ["d"], ["e"]), node("Add", ["e", "one"], ["f"]),
                 node("Mul", ["x", "f"], ["g"]), node("Mul", ["g", "half"], ["y"])]
    elif kind == "LNM":
        weights = {"scale": weight(shape[1]), "shift": weight(shape[1])}
        nodes = [node("LayerNormalization", ["x", "scale", "shift"], ["y"], axis=-1)]
    elif kind in ("TRN", "TRH"):
        nodes = [node("Transpose", ["x"], ["y"], perm=[1, 0, 2][:len(shape)])]
    elif kind == "CAT":
        inputs = {"x": image, "b": image}
        nodes = [node("Concat", ["x", "b"], ["y"], axis=1)]
    elif kind == "RSZ":
        inputs, weights = {"x": image}, {"scales": np.array([1, 1, 2, 2], np.float32)}
        nodes = [node("Resize", ["x", "", "scales"], ["y"], mode="nearest",
                      coordinate_transformation_mode="asymmetric", nearest_mode="floor")]
    elif kind == "POL":
        inputs = {"x": image}
        nodes = [node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)]
    else:
        weights = {"rows": np.random.default_rng(0).integers(0, 2 * shape[0], shape[0])}
        inputs = {"x": [2 * shape[0], shape[1]]}
        nodes = [node("Gather", ["x", "rows"], ["y"], axis=0)]
    return Op(name, "memory", nodes, inputs, weights, 0)


def suite():
    for i, (h, ci, co, *rest) in enumerate(C1D):
        yield conv(f"C1D.{i}", [1, ci, h], co, *rest)
    for i, (h, ci, co, *rest) in enumerate(C2D):
        yield conv(f"C2D.{i}", [1, ci, h, h], co, *rest)
        yield conv(f"C3D.{i}", [1, ci, DEPTH, h, h], co, *rest)
        yield conv(f"DIL.{i}", [1, ci, h, h], co, *rest, dilations=[2, 2])
    for i, (h, ci, co, *rest) in enumerate(GRP):
        yield conv(f"GRP.{i}", [1, ci, h, h], co, *rest, group=4)
    for i, (h, ci, co, *rest) in enumerate(DEP):
        yield conv(f"DEP.{i}", [1, ci, h, h], co, *rest, group=ci)
    for i, case in enumerate(T2D):
        yield conv_transpose(f"T2D.{i}", *case)
    for i, (h, ci, co, *rest) in enumerate(CAP):
        yield conv(f"CAP.{i}", [4, 4 * ci, h, h], 4 * co, *rest)
    for i, (h, ci, co, *rest) in enumerate(CBR):
        yield conv(f"CBR.{i}", [1, ci, h, h], co, *rest, batch_norm=True)
    for i, case in enumerate(GMM):
        yield matmul(f"GMM.{i}", *case)
    for i, case in enumerate(TBG):
        yield attention_product(f"TBG.{i}", *case)
    for i, case in enumerate(ROWS["NRM"]):
        yield norm(f"NRM.{i}", *case)
    for i, case in enumerate(ROWS["SFM"]):
        yield softmax(f"SFM.{i}", *case)
    for kind, cases in BYTES.items():
        for i, case in enumerate(cases):
            yield bytes_only(f"{kind}.{i}", case)


def model_of(op):
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in op.inputs.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(w, n) for n, w in op.weights.items()]
    graph = helper.make_graph(op.nodes, op.name, inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return shape_inference.infer_shapes(model, strict_mode=True)


def gbytes(op, model):
    """Of what has to be read at least once (inputs and weights; of a table, the rows taken), and of what is written."""
    def size(shapes):
        return 4e-9 * sum(float(np.prod(s)) for s in shapes)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*model.graph.input, *model.graph.output]}
    written = shapes.pop("y")
    if op.nodes[0].op_type == "Gather":
        shapes["x"] = written
    return size([*shapes.values(), *(t.dims for t in model.graph.initializer)]), size([written])


def write(op, folder):
    """The file, left alone if it is as it should be, and the op's GFLOP, GB read and GB written."""
    os.makedirs(folder, exist_ok=True)
    model, path = model_of(op), os.path.join(folder, op.name + ".onnx")
    text, held = model.SerializeToString(), b""
    if os.path.exists(path):
        with open(path, "rb") as f:
            held = f.read()
    if held != text:
        save(model, path)
    return path, (float(op.gflop), *gbytes(op, model))
