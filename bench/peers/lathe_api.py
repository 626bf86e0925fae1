"""The part of include/lathe.h that the benchmarks use, through ctypes."""
import ctypes as c

import numpy as np

MAX_RANK = 8
DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_,
          11: np.float64}
NUMBERS = {np.dtype(t): n for n, t in DTYPES.items()}


class Error(c.Structure):
    _fields_ = [("code", c.c_int), ("message", c.c_char * 1024)]


class Tensor(c.Structure):
    _fields_ = [("dtype", c.c_int), ("rank", c.c_int), ("dim", c.c_int64 * MAX_RANK),
                ("data", c.c_void_p), ("bytes", c.c_size_t)]


class Bind(c.Structure):
    _fields_ = [("name", c.c_char_p), ("value", c.c_int64)]


class Options(c.Structure):
    _fields_ = [("threads", c.c_int), ("target", c.c_char_p), ("precision", c.c_char_p), ("nbind", c.c_int),
                ("nshape", c.c_int), ("nvalue", c.c_int), ("bind", c.POINTER(Bind)),
                ("shape", c.c_void_p), ("value", c.c_void_p), ("directory", c.c_char_p),
                ("cache", c.c_char_p)]


def tensor_of(array):
    return Tensor(NUMBERS[array.dtype], array.ndim, (c.c_int64 * MAX_RANK)(*array.shape),
                  array.ctypes.data, array.nbytes)


def array_of(tensor):
    shape = tensor.dim[:tensor.rank]
    text = c.string_at(tensor.data, tensor.bytes) if tensor.bytes else b""
    kind = np.dtype(DTYPES[tensor.dtype])
    return np.frombuffer(text, kind, int(np.prod(shape))).reshape(shape)


class Library:
    def __init__(self, path):
        self.c = c.CDLL(path)
        self.c.lathe_version.restype = c.c_char_p
        for name in ("lathe_compile", "lathe_load", "lathe_session_new"):
            getattr(self.c, name).restype = c.c_void_p

    def version(self):
        return self.c.lathe_version().decode()

    def compile(self, model, out, sizes=None, precision="f32"):
        """Compiles an ONNX file for this CPU and writes the module; `sizes`: open ones, by name."""
        error, sizes = Error(), sizes or {}
        binds = (Bind * len(sizes))(*((n.encode(), v) for n, v in sizes.items()))
        options = Options(precision=precision.encode(), nbind=len(sizes), bind=binds)
        module = self.c.lathe_compile(model.encode(), c.byref(options), c.byref(error))
        if module is None:
            raise RuntimeError(error.message.decode())
        if self.c.lathe_save(c.c_void_p(module), out.encode(), c.byref(error)) != 0:
            raise RuntimeError(error.message.decode())
        self.c.lathe_module_free(c.c_void_p(module))

    def session(self, module, threads, inputs):
        return Session(self.c, module, threads, inputs)


class Session:
    """A module file with its inputs set: run() and outputs()."""

    def __init__(self, library, path, threads, inputs):
        self.c, self.error = library, Error()
        module = self.c.lathe_load(path.encode(), c.byref(self.error))
        self.check(module is not None)
        self.module = module = c.c_void_p(module)
        session = self.c.lathe_session_new(module, threads, c.byref(self.error))
        self.check(session is not None)
        self.session, self.count = c.c_void_p(session), self.c.lathe_output_count(module)
        self.set(inputs)

    def set(self, inputs):
        self.inputs = [aligned(array) for array in inputs.values()]  # they stay where they are
        for name, array in zip(inputs, self.inputs):
            tensor = tensor_of(array)
            self.check(self.c.lathe_set_input_named(self.session, name.encode(), c.byref(tensor),
                                                    c.byref(self.error)) == 0)

    def check(self, good):
        if not good:
            raise RuntimeError(self.error.message.decode())

    def run(self):
        self.check(self.c.lathe_run(self.session, c.byref(self.error)) == 0)

    def close(self):
        self.c.lathe_session_free(self.session)
        self.c.lathe_module_free(self.module)

    def outputs(self):
        tensors = [Tensor() for _ in range(self.count)]
        for i, tensor in enumerate(tensors):
            self.check(self.c.lathe_get_output(self.session, i, c.byref(tensor),
                                               c.byref(self.error)) == 0)
        return [array_of(tensor) for tensor in tensors]


def aligned(array):
    """A copy at a multiple of 64 bytes: such inputs are read where they lie."""
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    out = room[start:start + array.nbytes].view(array.dtype).reshape(array.shape)
    out[...] = array
    return out
