/* The table of ops as data: names, arity and class, expanded from op.def. */
#include "graph/graph.h"

#include <string.h>

const OpRow op_rows[OP_COUNT] = {
#define OP(id, name, onnx, min_in, max_in, min_out, max_out, class, types, infer, define)          \
    [OP_##id] = {#name, onnx, min_in, max_in, min_out, max_out, class, types},
#include "graph/op.def"
#undef OP
};

OpCode op_find_onnx(const char *op_type)
{
    int op = 0;
    while (op < OP_COUNT && strcmp(op_rows[op].onnx, op_type) != 0)
        op++;
    return (OpCode)op;
}

OpCode op_find(const char *name)
{
    int op = 0;
    while (op < OP_COUNT && strcmp(op_rows[op].name, name) != 0)
        op++;
    return (OpCode)op;
}
