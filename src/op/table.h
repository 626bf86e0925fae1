/* The functions that the last two columns of graph/op.def name. */
#ifndef LATHE_OP_TABLE_H
#define LATHE_OP_TABLE_H

#include "op/op.h"

#define OP(id, name, onnx, min_in, max_in, min_out, max_out, class, types, infer, define)          \
    void infer_##infer(const Infer *f);                                                            \
    void define_##define(Define *d);
#include "graph/op.def"
#undef OP

#endif
