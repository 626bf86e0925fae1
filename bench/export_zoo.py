#!/usr/bin/env python3
"""Writes the models of bench/zoo_list.py as ONNX files: export_zoo.py DIR [NAME...].

What is there already stays. A network gets random weights of a fixed seed; a real model is copied
with its input shapes fixed, so that every engine reads the same file.
"""
import importlib
import os
import sys
import warnings

import onnx

from zoo_list import ZOO, File

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SEED = 20260101


def export_network(source, path):
    import torch
    torch.manual_seed(SEED)
    module, function = source.maker.split(".")
    options = dict(source.options)
    if "folder" in options:
        options["folder"] = os.path.join(ROOT, options["folder"])
    model, inputs = getattr(importlib.import_module("models." + module), function)(**options)
    common = {"input_names": list(inputs), "verbose": False}
    with torch.no_grad():
        if source.exporter == "script":
            torch.onnx.export(model, tuple(inputs.values()), path, dynamo=False, opset_version=17,
                              **common)
        else:
            torch.onnx.export(model, tuple(inputs.values()), path, dynamo=True, opset_version=18,
                              external_data=False, **common)


def fix_shapes(source, path):
    model = onnx.load(os.path.join(ROOT, ".models", source.path))
    for x in model.graph.input:
        for dim, size in zip(x.type.tensor_type.shape.dim, source.shapes.get(x.name, [])):
            dim.Clear()
            dim.dim_value = size
    del model.graph.value_info[:]  # what was said of other shapes may hold no longer
    for y in model.graph.output:
        for dim in y.type.tensor_type.shape.dim:
            dim.Clear()
    onnx.save(onnx.shape_inference.infer_shapes(model), path)


def main():
    folder, names = sys.argv[1], sys.argv[2:]
    os.makedirs(folder, exist_ok=True)
    warnings.simplefilter("ignore")
    for model in ZOO:
        path = os.path.join(folder, model.name + ".onnx")
        if (names and model.name not in names) or os.path.exists(path):
            continue
        print(f"exporting {path}", flush=True)
        part = path + ".part"
        (fix_shapes if isinstance(model.source, File) else export_network)(model.source, part)
        os.replace(part, path)


if __name__ == "__main__":
    main()
