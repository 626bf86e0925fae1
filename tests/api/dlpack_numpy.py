#!/usr/bin/env python3
"""DLPack against a real consumer and producer: NumPy arrays in (dense, transposed) and outputs out, through ctypes.

    dlpack_numpy.py LIBLATHE MODEL          a model f32[N,3,H,W] -> f32[N,10]. Exit status 77: no NumPy
"""
import ctypes as c
import gc
import sys

try:
    import numpy as np
except ImportError:
    sys.exit(77)

lib = c.CDLL(sys.argv[1])
P = c.c_void_p
for name, result, args in [
    ("lathe_compile", P, [c.c_char_p, P, P]),
    ("lathe_session_new", P, [P, c.c_int, P]),
    ("lathe_run", c.c_int, [P, P]),
    ("lathe_output_to_dlpack", P, [P, c.c_int, P]),
    ("lathe_output_to_dlpack_old", P, [P, c.c_int, P]),
    ("lathe_set_input_from_dlpack", c.c_int, [P, c.c_int, P, P]),
    ("lathe_set_input_from_dlpack_old", c.c_int, [P, c.c_int, P, P]),
    ("lathe_session_free", None, [P]),
    ("lathe_module_free", None, [P]),
]:
    f = getattr(lib, name)
    f.restype, f.argtypes = result, args

api = c.pythonapi
api.PyCapsule_New.restype, api.PyCapsule_New.argtypes = c.py_object, [P, c.c_char_p, P]
api.PyCapsule_GetPointer.restype, api.PyCapsule_GetPointer.argtypes = P, [c.py_object, c.c_char_p]
api.PyCapsule_SetName.restype, api.PyCapsule_SetName.argtypes = c.c_int, [c.py_object, c.c_char_p]
OLD, VERSIONED = b"dltensor", b"dltensor_versioned"
USED = {OLD: b"used_dltensor", VERSIONED: b"used_dltensor_versioned"}  # names must outlive capsules


class Output:
    """What np.from_dlpack wants of an object."""

    def __init__(self, session, versioned):
        self.session, self.versioned = session, versioned

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **_):
        get = lib.lathe_output_to_dlpack if self.versioned else lib.lathe_output_to_dlpack_old
        at = get(self.session, 0, None)
        assert at
        return api.PyCapsule_New(at, VERSIONED if self.versioned else OLD, None)


def set_input(session, array, versioned):
    capsule = array.__dlpack__(max_version=(1, 0)) if versioned else array.__dlpack__()
    name = VERSIONED if versioned else OLD
    put = lib.lathe_set_input_from_dlpack if versioned else lib.lathe_set_input_from_dlpack_old
    assert put(session, 0, api.PyCapsule_GetPointer(capsule, name), None) == 0
    api.PyCapsule_SetName(capsule, USED[name])  # consumed: the deleter is the library's to call


def main():
    module = lib.lathe_compile(sys.argv[2].encode(), None, None)
    session = lib.lathe_session_new(module, 1, None)
    assert module and session
    image = np.random.default_rng(1).random((2, 3, 9, 8), dtype=np.float32)
    forms = [image, np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), image[:, :, ::-1][:, :, ::-1]]
    versions = [False, True] if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else [False]
    results = []
    for form in forms:
        for versioned in versions:
            own = form.copy(order="K")
            before = sys.getrefcount(own)
            set_input(session, own, versioned)
            assert lib.lathe_run(session, None) == 0
            results.append(np.from_dlpack(Output(session, versioned)))
            held = sys.getrefcount(own) > before
            assert held == own.flags.c_contiguous, "dense arrays are used in place, others copied"
    lib.lathe_session_free(session)
    lib.lathe_module_free(module)
    gc.collect()
    for r in results:
        assert r.shape == (2, 10) and r.dtype == np.float32
        assert np.array_equal(r, results[0])
        assert np.allclose(r.sum(axis=1), 1, atol=1e-5)
    print(f"NumPy {np.__version__}: {len(results)} results")


main()
