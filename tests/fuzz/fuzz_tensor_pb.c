/* TensorProto files. */
#include "fuzz.h"

#include "import/tensor_pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Tensor *t = NULL;
    if (tensor_pb_parse(data, size, &t, NULL) == 0)
        tensor_unref(t);
    return 0;
}
