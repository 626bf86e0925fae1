/* Older forms of ONNX ops -> the newest, which is the only one that graph/op.def knows.
 *
 * An OnnxOp is a node on its way in: its type, opset, inputs, attributes, and the output values
 * that it must define. convert_op runs the rows of the table (convert.c) that fit: each either
 * changes the op in place (attributes that became inputs, new defaults, another name) or emits its
 * own nodes. What is left is emitted as it stands.
 *
 * Ranks and types are mostly not known yet here (inference comes later), so conversions that need
 * them build them from Shape, Size and CastLike nodes, which inference and folding turn into
 * constants. */
#ifndef LATHE_IMPORT_CONVERT_H
#define LATHE_IMPORT_CONVERT_H

#include "import/importer.h"

typedef struct OnnxOp {
    Importer *im;
    Graph *g;
    const Onnx__NodeProto *proto; /* for messages */
    const char *type;             /* op_type as graph/op.def has it, may be changed */
    const char *name;             /* origin of all nodes made */
    int block;
    int opset;
    int nin, nout;
    ValueId *in, *out; /* -1: absent; change `in` by op_set_in only */
    int nattr;
    Attr *attr;
    int nblock, body[MAX_BLOCKS_OF_NODE];
} OnnxOp;

/* Emits the node, converted. */
void convert_op(OnnxOp *o);

/* ---- for conversions (convert_util.c) ---- */
const Attr *op_attr(const OnnxOp *o, const char *name);
int64_t op_attr_int(const OnnxOp *o, const char *name, int64_t missing);
double op_attr_float(const OnnxOp *o, const char *name, double missing);
const char *op_attr_string(const OnnxOp *o, const char *name, const char *missing);
int op_attr_ints(const OnnxOp *o, const char *name, const int64_t **v); /* -1: absent */
void op_drop_attr(OnnxOp *o, const char *name);
void op_set_attr(OnnxOp *o, Attr a);
void op_set_int(OnnxOp *o, const char *name, int64_t v);
void op_set_string(OnnxOp *o, const char *name, const char *v);

bool op_has_in(const OnnxOp *o, int k);
void op_set_in(OnnxOp *o, int k, ValueId v);
int op_known_rank(const OnnxOp *o, ValueId v); /* -1: not known here */

/* Constants, named after the op. */
ValueId op_const_ints(OnnxOp *o, const char *what, int n, const int64_t *v);
ValueId op_const_int(OnnxOp *o, const char *what, int64_t v); /* i64[1] */
/* A scalar of the type of `like`. */
ValueId op_const_like(OnnxOp *o, const char *what, double v, ValueId like);
ValueId op_const_floats(OnnxOp *o, const char *what, int n, const double *v); /* f32[n] */

/* A new node with one new output. NodeId of the last one made: o->g->node.len - 1. */
ValueId op_emit(OnnxOp *o, OpCode code, int nin, const ValueId *in);
/* The node that defines the op's own outputs, with the op's attributes. */
NodeId op_finish(OnnxOp *o, OpCode code, int nin, const ValueId *in);

_Noreturn void op_fail(const OnnxOp *o, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- conversions (convert_*.c): true if all nodes are emitted ---- */
typedef bool (*ConvertFn)(OnnxOp *o);
bool convert_flat_softmax(OnnxOp *o);
bool convert_aligned_binary(OnnxOp *o);
bool convert_prelu(OnnxOp *o);
bool convert_tile(OnnxOp *o);
bool convert_group_norm(OnnxOp *o);
bool convert_dropout(OnnxOp *o);
bool convert_scan(OnnxOp *o);
bool convert_tf_idf(OnnxOp *o);

#endif
