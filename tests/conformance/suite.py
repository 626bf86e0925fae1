"""The ONNX backend suite as files: DIR/<category>/<test>/{model.onnx,set_N/{input,output}_K.pb}.

The `onnx` package holds its tests in several forms: node tests are built in memory, others lie in
folders, the full-size `light` graphs have only an expected output (their input is a ramp).
"""
import json
import os
import shutil
import warnings


def write_value(path, value, info):
    import numpy as np
    import onnx
    from onnx import numpy_helper
    if not isinstance(value, onnx.TensorProto):
        value = numpy_helper.from_array(np.asarray(value), info.name)
    with open(path, "wb") as f:
        f.write(value.SerializeToString())


def write_case(suite, name, model, sets):
    folder = os.path.join(suite, name)
    os.makedirs(folder)
    with open(os.path.join(folder, "model.onnx"), "wb") as f:
        f.write(model.SerializeToString())
    for i, (inputs, outputs) in enumerate(sets):
        at = os.path.join(folder, f"set_{i}")
        os.makedirs(at)
        for kind, values, infos in (("input", inputs, model.graph.input),
                                    ("output", outputs, model.graph.output)):
            for k, value in enumerate(values):
                write_value(os.path.join(at, f"{kind}_{k}.pb"), value, infos[k])


def copy_case(suite, name, source):
    folder = os.path.join(suite, name)
    os.makedirs(folder)
    shutil.copy(os.path.join(source, "model.onnx"), folder)
    for entry in os.listdir(source):
        if entry.startswith("test_data_set_"):
            number = entry.rsplit("_", 1)[1]
            shutil.copytree(os.path.join(source, entry), os.path.join(folder, f"set_{number}"))


def write_light(suite, name, path):
    """A full-size graph: its input is 0, 1/n, 2/n, ...; its outputs lie beside it."""
    import numpy as np
    import onnx
    model = onnx.load(path)
    held = {t.name for t in model.graph.initializer}
    inputs = [x for x in model.graph.input if x.name not in held]
    folder = os.path.join(suite, name)
    os.makedirs(os.path.join(folder, "set_0"))
    shutil.copy(path, os.path.join(folder, "model.onnx"))
    for i, info in enumerate(inputs):
        shape = [d.dim_value if d.HasField("dim_value") else 1
                 for d in info.type.tensor_type.shape.dim]
        n = int(np.prod(shape))
        ramp = (np.arange(n).reshape(shape) / n).astype(np.float32)
        write_value(os.path.join(folder, "set_0", f"input_{i}.pb"), ramp, info)
    for i in range(len(model.graph.output)):
        shutil.copy(f"{path[:-5]}_output_{i}.pb", os.path.join(folder, "set_0", f"output_{i}.pb"))


def prepare(suite, wanted):
    """Writes the wanted tests once; returns {name: (rtol, atol)}."""
    import onnx
    index = os.path.join(suite, "index.json")
    if os.path.exists(index):
        with open(index) as f:
            made = json.load(f)
        if made["onnx"] == onnx.__version__ and set(wanted) <= set(made["tests"]):
            return made["tests"]
    print(f"onnx suite: preparing {len(wanted)} tests in {suite}", flush=True)
    shutil.rmtree(suite, ignore_errors=True)
    import onnx.backend.test.case.model as cases
    from onnx.backend.test import loader
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # tests that divide by zero
    tests = {}

    def take(category, case, write):
        name = f"{category}/{case.name}"
        if name in wanted and name not in tests:
            write(name)
            tests[name] = (case.rtol, case.atol)

    for c in loader.load_node_model_tests():
        take("node", c, lambda name: write_case(suite, name, c.model, c.data_sets))
    for category in ("simple", "pytorch-operator", "pytorch-converted"):
        for c in loader.load_model_tests(kind=category):
            take(category, c, lambda name: copy_case(suite, name, c.model_dir))
    for c in cases.collect_testcases():
        if c.kind == "simple":
            take("simple", c, lambda name: write_case(suite, name, c.model, c.data_sets))
    light = os.path.join(os.path.dirname(onnx.__file__), "backend/test/data/light")
    for c in loader.load_model_tests(kind="real"):
        path = os.path.join(light, os.path.basename(c.url))
        take("light", c, lambda name: write_light(suite, name, path))
    with open(index, "w") as f:
        json.dump({"onnx": onnx.__version__, "tests": tests}, f)
    return tests
