/* The public API's DLPack half: include/lathe_dlpack.h. */
#include "runtime/session.h"
#include "tensor/dlpack.h"

DLManagedTensorVersioned *lathe_output_to_dlpack(lathe_session *s, int index, lathe_error *error)
{
    Tensor *t = session_output(s, index, (Error *)error);
    return t ? dlpack_export(t, (Error *)error) : NULL;
}

DLManagedTensor *lathe_output_to_dlpack_old(lathe_session *s, int index, lathe_error *error)
{
    Tensor *t = session_output(s, index, (Error *)error);
    return t ? dlpack_export_old(t, (Error *)error) : NULL;
}

static void unref(void *t)
{
    tensor_unref(t);
}

/* `release(arg)` gives the caller's tensor back, once the input is in place: at once if it had to
 * be copied. */
static int take(lathe_session *s, int index, const DLTensor *t, uint64_t flags,
                void (*release)(void *arg), void *arg, lathe_error *error)
{
    DlpackView v;
    Error *e = (Error *)error;
    int code = dlpack_view(t, flags, &v, e);
    if (code != 0)
        return code;
    lathe_tensor x = {.dtype = (int)v.dtype, .rank = v.rank, .data = (void *)v.data};
    int64_t elements = 1;
    for (int i = 0; i < v.rank; i++)
        elements *= x.dim[i] = v.dim[i];
    x.bytes = (size_t)(elements * dtype_size(v.dtype));
    if (v.dense)
        return lathe_give_input(s, index, &x, release, arg, error);
    Tensor *copy;
    code = dlpack_copy(&v, &copy, e);
    if (code != 0)
        return code;
    x.data = copy->data;
    code = lathe_give_input(s, index, &x, unref, copy, error);
    if (code != 0)
        tensor_unref(copy);
    else
        release(arg);
    return code;
}

static void release_versioned(void *arg)
{
    DLManagedTensorVersioned *t = arg;
    if (t->deleter)
        t->deleter(t);
}

static void release_old(void *arg)
{
    DLManagedTensor *t = arg;
    if (t->deleter)
        t->deleter(t);
}

int lathe_set_input_from_dlpack(lathe_session *s, int index, DLManagedTensorVersioned *t,
                                lathe_error *error)
{
    if (!t)
        return error_set((Error *)error, ERR_INVALID, "no tensor was given");
    if (t->version.major != 1) /* the rest of the struct may be another then */
        return error_set((Error *)error, ERR_UNSUPPORTED,
                         "a DLPack tensor of version %u.%u: 1 is known", t->version.major,
                         t->version.minor);
    return take(s, index, &t->dl_tensor, t->flags, release_versioned, t, error);
}

int lathe_set_input_from_dlpack_old(lathe_session *s, int index, DLManagedTensor *t,
                                    lathe_error *error)
{
    if (!t)
        return error_set((Error *)error, ERR_INVALID, "no tensor was given");
    return take(s, index, &t->dl_tensor, 0, release_old, t, error);
}
