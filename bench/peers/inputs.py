"""Fixed inputs of a model: floats of N(0,1), small integers, masks of ones, 16 kHz."""
import numpy as np
import onnx

SEED = 20260101


def inputs_of(path):
    model = onnx.load(path, load_external_data=False)
    held = {t.name for t in model.graph.initializer}
    random, out = np.random.default_rng(SEED), {}
    for x in model.graph.input:
        if x.name in held:
            continue
        kind = onnx.helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type)
        shape = [d.dim_value or 1 for d in x.type.tensor_type.shape.dim]
        if "mask" in x.name:
            out[x.name] = np.ones(shape, kind)
        elif x.name == "sr":
            out[x.name] = np.array(16000, kind)
        elif kind == np.float32:
            out[x.name] = random.standard_normal(shape, np.float32)
        else:
            out[x.name] = random.integers(0, 256 if x.name == "bytes" else 1000, shape).astype(kind)
    return out
