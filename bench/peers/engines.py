"""What can run an ONNX model. An engine is a class:

    version()                        text for the head of a table
    convert(model, out, inputs)      where it needs another form of the file: writes it to `out`
    Engine(file, threads, inputs)    ready to run; `file` is the model, or what convert wrote
    run()                            one inference
    outputs()                        of the last run, as arrays in the model's order

Each peer has the settings that its documents give for least latency in its precision, and as little
of Python around a run as it allows. Imports are inside, since a worker loads one of them.
"""
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from importlib import metadata

import numpy as np

from . import lathe_api
from .venv import ROOT

BUILD = os.environ.get("LATHE_BUILD", os.path.join(ROOT, "build"))


class Lathe:
    """liblathe of the build folder (or of $LATHE_BUILD): models are compiled once, for this CPU."""
    suffix = ".lathe"
    precision = "f32"

    @staticmethod
    def library():
        return os.path.join(BUILD, "src", "liblathe.so")

    @staticmethod
    def version():
        done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"],
                              capture_output=True, text=True)
        return done.stdout.strip() or lathe_api.Library(Lathe.library()).version()

    @classmethod
    def convert(cls, model, out, inputs):
        lathe_api.Library(Lathe.library()).compile(model, out, precision=cls.precision)

    def __init__(self, file, threads, inputs):
        session = lathe_api.Library(self.library()).session(file, threads, inputs)
        self.run, self.outputs = session.run, session.outputs


class LatheBf16(Lathe):
    """Inputs of products in bf16 where that gains."""
    precision = "bf16"


class Ort:
    """ONNX Runtime: all optimizations, inputs and outputs bound once; its pool may spin in a run,
    as by default (a worker that waits is stopped anyway)."""

    @staticmethod
    def version():
        return metadata.version("onnxruntime")

    def __init__(self, file, threads, inputs):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        for x in session.get_inputs():
            binding.bind_cpu_input(x.name, inputs[x.name])
        for y in session.get_outputs():
            binding.bind_output(y.name)
        self.run = lambda: session.run_with_iobinding(binding)
        self.outputs = binding.copy_outputs_to_cpu


class OpenVino:
    """OpenVINO: hint LATENCY, one stream, the precision said, for it takes bf16 where it can."""
    precision = "f32"

    @staticmethod
    def version():
        return metadata.version("openvino")

    def __init__(self, file, threads, inputs):
        import openvino
        core = openvino.Core()
        model = core.read_model(file)
        if model.is_dynamic():
            model.reshape({name: list(x.shape) for name, x in inputs.items()})
        compiled = core.compile_model(model, "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": self.precision})
        request = compiled.create_infer_request()
        self.held = {name: np.require(x, requirements="C") for name, x in inputs.items()}
        known = {name for x in compiled.inputs for name in x.names}
        for name, x in self.held.items():
            if name in known:  # one that nothing reads is gone
                request.set_tensor(name, openvino.Tensor(x, shared_memory=True))
        self.run = lambda: request.infer(share_outputs=True)
        self.outputs = lambda: [np.array(request.get_output_tensor(i).data)
                                for i in range(len(compiled.outputs))]


class OpenVinoBf16(OpenVino):
    precision = "bf16"


class Ncnn:
    """ncnn, by pnnx, all of FP32, packed layouts and Winograd as by default. It has no batch: the
    first axis of size 1 is dropped. What it cannot convert or gets wrong does not count."""
    suffix = ".ncnn.param"

    @staticmethod
    def version():
        return metadata.version("ncnn")

    @staticmethod
    def convert(model, out, inputs):
        kinds = {np.float32: "f32", np.int32: "i32", np.int64: "i64"}
        shapes = ",".join(f"[{','.join(map(str, x.shape))}]{kinds[x.dtype.type]}"
                          for x in inputs.values())
        work = out + ".work"
        os.makedirs(work, exist_ok=True)
        link = os.path.join(work, "model.onnx")
        os.symlink(os.path.abspath(model), link)
        try:
            done = subprocess.run([os.path.join(os.path.dirname(sys.executable), "pnnx"), link,
                                   "inputshape=" + shapes, "fp16=0", "ncnnparam=" + out,
                                   "ncnnbin=" + out + ".bin"], capture_output=True, cwd=work)
            if done.returncode != 0 or not os.path.exists(out):
                raise RuntimeError(f"pnnx cannot convert it (status {done.returncode})")
        finally:
            shutil.rmtree(work)

    def __init__(self, file, threads, inputs):
        import ncnn
        net = ncnn.Net()
        net.opt.num_threads = threads
        for option in dir(net.opt):
            if "fp16" in option or "bf16" in option:
                setattr(net.opt, option, False)
        if net.load_param(file) != 0 or net.load_model(file + ".bin") != 0:
            raise RuntimeError("ncnn cannot load what pnnx wrote")
        # Views on arrays, which have to outlive them.
        self.arrays = [without_batch(x).astype(np.float32 if x.dtype.kind == "f" else np.int32)
                       for x in inputs.values()]
        self.mats = [ncnn.Mat(x) for x in self.arrays]
        self.net, self.found = net, []

    def run(self):
        extractor = self.net.create_extractor()
        for name, mat in zip(self.net.input_names(), self.mats):
            extractor.input(name, mat)
        self.found = []
        for name in self.net.output_names():
            code, mat = extractor.extract(name)
            if code != 0:
                raise RuntimeError(f"ncnn cannot run it: code {code}")
            self.found.append(mat)

    def outputs(self):
        return [np.array(mat)[None] for mat in self.found]


def without_batch(x):
    return x.squeeze(x.shape.index(1)) if x.ndim > 1 and 1 in x.shape else x


ENGINES = {"lathe": Lathe, "ort": Ort, "ov": OpenVino, "ncnn": Ncnn,
           "lathe_bf16": LatheBf16, "ov_bf16": OpenVinoBf16}
NAMES = {"lathe": "Lathe", "ort": "ONNX Runtime", "ov": "OpenVINO", "ncnn": "ncnn",
         "lathe_bf16": "Lathe in bf16", "ov_bf16": "OpenVINO in bf16"}

# What a table compares in a precision: our engine with its peers, all that may take part. `plain` is
# ours in f32 where that is another engine: it takes turns with them, and errors are from its results.
Contest = namedtuple("Contest", "precision ours peers plain")
CONTESTS = {"f32": Contest("f32", "lathe", ["ort", "ov", "ncnn"], None),
            "bf16": Contest("bf16", "lathe_bf16", ["ov_bf16"], "lathe")}  # ONNX Runtime has none on CPUs
