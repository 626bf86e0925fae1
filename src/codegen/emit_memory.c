/* Loads and stores: contiguous, partial (the first `count` lanes), with small strides, gather and
 * scatter.
 *
 * Addresses are base + offset, the constant part of an offset split off so that the loads of a tile
 * share one address computation and differ by displacements. */
#include "codegen/gen.h"

#include <assert.h>
#include <math.h>

static void set_alias(const Gen *g, const GenBuffer *b, LLVMValueRef access)
{
    if (b->scope) {
        LLVMSetMetadata(access, g->scope_kind, b->scope);
        if (b->noalias)
            LLVMSetMetadata(access, g->noalias_kind, b->noalias);
    }
}

static LLVMValueRef advance(const Gen *g, const GenBuffer *b, LLVMValueRef at, LLVMValueRef offset)
{
    return LLVMBuildInBoundsGEP2(g->b, b->element, at, &offset, 1, "");
}

/* Address of the element at a scalar offset. A sum has its constant last. */
static LLVMValueRef address(Gen *g, const GenBuffer *b, Expr offset)
{
    const ExprNode *n = expr_node(g->x, offset);
    int64_t constant;
    if (n->op != EX_ADD || !expr_is_int(g->x, expr_arg(g->x, offset, n->nargs - 1), &constant))
        return advance(g, b, b->base, gen_expr(g, offset));
    LLVMValueRef at = advance(g, b, b->base, gen_chain(g, offset, n->nargs - 1));
    return advance(g, b, at, LLVMConstInt(g->i64, (unsigned long long)constant, true));
}

LLVMValueRef gen_address(Gen *g, int buffer, Expr offset)
{
    return address(g, &g->buffer[buffer], offset);
}

/* Address of lane k for a vector of offsets: a ramp needs no vector at all. */
static LLVMValueRef lane_address(Gen *g, const GenBuffer *b, Expr offsets, int lane)
{
    const ExprNode *n = expr_node(g->x, offsets);
    if (n->op == EX_RAMP) {
        LLVMValueRef first = address(g, b, expr_arg(g->x, offsets, 0));
        return advance(g, b, first,
                       LLVMConstInt(g->i64, (unsigned long long)(lane * n->imm.i), true));
    }
    return advance(g, b, b->base, gen_lane(g, gen_expr(g, offsets), n->lanes, lane));
}

static LLVMValueRef load_at(const Gen *g, const GenBuffer *b, LLVMValueRef at, int lanes)
{
    LLVMValueRef v = LLVMBuildLoad2(g->b, gen_vector(b->element, lanes), at, "");
    LLVMSetAlignment(v, b->align);
    set_alias(g, b, v);
    return v;
}

static void store_at(const Gen *g, const GenBuffer *b, LLVMValueRef at, LLVMValueRef v)
{
    LLVMValueRef s = LLVMBuildStore(g->b, v, at);
    LLVMSetAlignment(s, b->align);
    set_alias(g, b, s);
}

enum { MAX_PIECE = 128 }; /* lanes */

/* count clipped to [0, lanes]. */
static LLVMValueRef clip_count(Gen *g, Expr count, int lanes)
{
    LLVMValueRef c = gen_expr(g, count);
    LLVMValueRef zero = LLVMConstInt(g->i64, 0, false);
    LLVMValueRef all = LLVMConstInt(g->i64, (unsigned)lanes, false);
    if (expr_low(g->x, count) < 0)
        c = gen_select(g, gen_icmp(g, LLVMIntSLT, c, zero), zero, c);
    if (expr_high(g->x, count) > lanes)
        c = gen_select(g, gen_icmp(g, LLVMIntSGT, c, all), all, c);
    return c;
}

/* The first `count` lanes as a vector of i1. With mask registers: the low bits of an integer. */
static LLVMValueRef count_mask(Gen *g, Expr count, int lanes, int element_bytes)
{
    LLVMBuilderRef b = g->b;
    LLVMValueRef c = clip_count(g, count, lanes);
    if (g->target->masks && lanes < 64 && lanes > 1) {
        LLVMValueRef above = LLVMBuildShl(b, LLVMConstAllOnes(g->i64), c, "");
        LLVMTypeRef bits = LLVMIntTypeInContext(g->c, (unsigned)lanes);
        LLVMValueRef low = LLVMBuildTrunc(b, LLVMBuildNot(b, above, ""), bits, "");
        return LLVMBuildBitCast(b, low, gen_vector(g->i1, lanes), "");
    }
    enum { MAX_LANES = 256 };
    assert(lanes <= MAX_LANES);
    /* Compared at the width of the elements, so that the mask needs no conversion; never below
     * 16 bits, for a count of 256 to fit. */
    LLVMTypeRef t = element_bytes >= 8 ? g->i64 : element_bytes >= 4 ? g->i32 : g->i16;
    LLVMValueRef lane[MAX_LANES];
    for (int k = 0; k < lanes; k++)
        lane[k] = LLVMConstInt(t, (unsigned)k, false);
    LLVMValueRef n = t == g->i64 ? c : LLVMBuildTrunc(b, c, t, "");
    LLVMValueRef index = lanes == 1 ? lane[0] : LLVMConstVector(lane, (unsigned)lanes);
    return gen_icmp(g, LLVMIntSLT, index, gen_splat(g, n, lanes));
}

/* The masked intrinsics know vectors only. */
static LLVMValueRef as_vector(const Gen *g, LLVMValueRef v, int lanes)
{
    return lanes == 1 ? LLVMBuildBitCast(g->b, v, LLVMVectorType(LLVMTypeOf(v), 1), "") : v;
}

static LLVMValueRef masked_load(Gen *g, const GenBuffer *b, Expr offset, Expr count, int lanes)
{
    LLVMTypeRef vector = LLVMVectorType(b->element, (unsigned)lanes);
    LLVMTypeRef types[2] = {vector, g->ptr};
    LLVMValueRef args[4] = {
        address(g, b, offset),
        LLVMConstInt(g->i32, b->align, false),
        as_vector(g, count_mask(g, count, lanes, dtype_size(b->of->dtype)), lanes),
        LLVMConstNull(vector),
    };
    LLVMValueRef v = gen_intrinsic(g, "llvm.masked.load", 2, types, 4, args);
    set_alias(g, b, v);
    return lanes == 1 ? LLVMBuildBitCast(g->b, v, b->element, "") : v;
}

static void masked_store(Gen *g, const GenBuffer *b, Expr offset, Expr count, LLVMValueRef v,
                         int lanes)
{
    LLVMTypeRef types[2] = {LLVMVectorType(b->element, (unsigned)lanes), g->ptr};
    LLVMValueRef args[4] = {
        as_vector(g, v, lanes),
        address(g, b, offset),
        LLVMConstInt(g->i32, b->align, false),
        as_vector(g, count_mask(g, count, lanes, dtype_size(b->of->dtype)), lanes),
    };
    set_alias(g, b, gen_intrinsic(g, "llvm.masked.store", 2, types, 4, args));
}

/* A store of a known number of lanes, in pieces: without mask registers a masked store takes dozens
 * of cycles. */
static void store_first(Gen *g, const GenBuffer *b, Expr offset, int count, LLVMValueRef v)
{
    LLVMValueRef first = address(g, b, offset);
    for (int at = 0, n; at < count; at += n) {
        LLVMValueRef pick[MAX_PIECE];
        for (n = MAX_PIECE; n > count - at; n /= 2) {
        }
        for (int k = 0; k < n; k++)
            pick[k] = LLVMConstInt(g->i32, (unsigned)(at + k), false);
        LLVMValueRef piece =
            n == 1 ? LLVMBuildExtractElement(g->b, v, pick[0], "")
                   : LLVMBuildShuffleVector(g->b, v, v, LLVMConstVector(pick, (unsigned)n), "");
        store_at(g, b, advance(g, b, first, LLVMConstInt(g->i64, (unsigned)at, false)), piece);
    }
}

/* elements between lanes, and lanes */
enum { MAX_STRIDE = MAX_MLOAD_STRIDE, MAX_SPREAD = MAX_MLOAD_LANES };

/* Elements [from, from + lanes) from `first` on, of which those beyond low and high are not
 * touched. */
static LLVMValueRef load_between(Gen *g, const GenBuffer *b, LLVMValueRef first, int64_t from,
                                 int lanes, int64_t low, int64_t high)
{
    LLVMValueRef at = advance(g, b, first, LLVMConstInt(g->i64, (unsigned long long)from, true));
    if (low <= from && from + lanes - 1 <= high)
        return load_at(g, b, at, lanes);
    LLVMTypeRef vector = LLVMVectorType(b->element, (unsigned)lanes);
    LLVMValueRef mask[MAX_SPREAD];
    for (int k = 0; k < lanes; k++)
        mask[k] = LLVMConstInt(g->i1, from + k >= low && from + k <= high, false);
    LLVMTypeRef types[2] = {vector, g->ptr};
    LLVMValueRef args[4] = {at, LLVMConstInt(g->i32, b->align, false),
                            LLVMConstVector(mask, (unsigned)lanes), LLVMConstNull(vector)};
    LLVMValueRef v = gen_intrinsic(g, "llvm.masked.load", 2, types, 4, args);
    set_alias(g, b, v);
    return v;
}

/* Lanes a few elements apart, or backwards: whole vectors side by side, of which shuffles take what
 * is wanted. The last vector ends with the last lane, so that nothing beyond what the lanes read is
 * read:
 *
 *     stride 2, 4 lanes:    a0 .  a1 .     first vector
 *                                  .  a2 .  a3       last one, one element early
 *
 * Lanes before `from` and from `end` on are not touched. */
static LLVMValueRef strided_load(Gen *g, const GenBuffer *b, LLVMValueRef first, int64_t stride,
                                 int lanes, int from_lane, int end)
{
    const int step = (int)(stride < 0 ? -stride : stride);
    const int last = step * (lanes - 1) + 1 - lanes; /* where the last vector starts */
    const int64_t low = stride < 0 ? stride * (lanes - 1) : 0;
    LLVMValueRef v = NULL;
    for (int part = 0; part < step; part++) {
        const int start = part == step - 1 ? last : part * lanes;
        LLVMValueRef vector = stride < 0 ? load_between(g, b, first, low + start, lanes, low, 0)
                                         : load_between(g, b, first, start, lanes,
                                                        stride * from_lane, stride * (end - 1));
        LLVMValueRef pick[MAX_SPREAD];
        for (int k = 0; k < lanes; k++) {
            const int place = stride < 0 ? step * (lanes - 1 - k) : step * k;
            const int from = part == 1 ? place : k; /* the first two are shuffled at once */
            const int found = lanes + place - start; /* beyond: in a later part */
            const int lane = place < part * lanes ? from : found < 2 * lanes ? found : 0;
            pick[k] = LLVMConstInt(g->i32, (unsigned)lane, false);
        }
        if (part > 0 || step == 1)
            v = LLVMBuildShuffleVector(g->b, v ? v : vector, vector,
                                       LLVMConstVector(pick, (unsigned)lanes), "");
        else
            v = vector;
    }
    return v;
}

static bool is_strided(const Gen *g, Expr offsets, int lanes)
{
    const ExprNode *n = expr_node(g->x, offsets);
    return n->op == EX_RAMP && lanes >= 4 && lanes <= MAX_SPREAD &&
           ((n->imm.i >= 2 && n->imm.i <= MAX_STRIDE) || n->imm.i == -1);
}

/* ---- lanes at known distances ---- */

/* elements: no buffer has them, and sums of them do not overflow */
#define FAR_LANES (INT64_C(1) << 40)

/* Offsets that differ from lane to lane by what is known: a sum of scalars, and a number for each
 * lane. */
typedef struct LaneOffsets {
    LLVMValueRef base;
    int64_t at[MAX_SPREAD];
} LaneOffsets;

static bool known_at(const Exprs *x, Expr e, int lane, int64_t *out)
{
    const ExprNode *n = expr_node(x, e);
    int64_t a, b;
    switch (n->op) {
    case EX_INT: *out = n->imm.i; return true;
    case EX_BROADCAST: return known_at(x, expr_arg(x, e, 0), lane, out);
    case EX_RAMP:
        return known_at(x, expr_arg(x, e, 0), lane, &a) &&
               !__builtin_mul_overflow(n->imm.i, (int64_t)lane, &b) &&
               !__builtin_add_overflow(a, b, out);
    case EX_MUL:
    case EX_DIV:
    case EX_MOD:
        if (n->nargs != 2 || !known_at(x, expr_arg(x, e, 0), lane, &a) ||
            !known_at(x, expr_arg(x, e, 1), lane, &b) || (n->op != EX_MUL && (a < 0 || b <= 0)))
            return false;
        if (n->op == EX_MUL)
            return !__builtin_mul_overflow(a, b, out);
        *out = n->op == EX_DIV ? a / b : a % b;
        return true;
    default: return false;
    }
}

static bool lane_offsets(Gen *g, Expr e, int lanes, LaneOffsets *o)
{
    const ExprNode *n = expr_node(g->x, e);
    int64_t at;
    if (known_at(g->x, e, 0, &at)) {
        for (int k = 0; k < lanes; k++) {
            if (!known_at(g->x, e, k, &at) || at >= FAR_LANES || at <= -FAR_LANES)
                return false;
            o->at[k] += at;
        }
        return true;
    }
    if (n->op == EX_BROADCAST) {
        LLVMValueRef term = gen_expr(g, expr_arg(g->x, e, 0));
        o->base = o->base ? LLVMBuildAdd(g->b, o->base, term, "") : term;
        return true;
    }
    bool known = n->op == EX_ADD;
    const int nargs = n->nargs;
    for (int k = 0; k < nargs && known; k++)
        known = lane_offsets(g, expr_arg(g->x, e, k), lanes, o);
    return known;
}

/* Of how many rows lanes are taken in turns, one element of each after the other; 0: it is not
 * so. */
static int rows_in_turns(const LaneOffsets *o, int lanes)
{
    for (int rows = 2; rows <= lanes / 2; rows *= 2) {
        bool turns = lanes % rows == 0;
        for (int k = 0; k < lanes && turns; k++)
            turns = o->at[k] == o->at[k % rows] + k / rows;
        if (turns)
            return rows;
    }
    return 0;
}

static LLVMValueRef shuffle(Gen *g, LLVMValueRef a, LLVMValueRef b, const int *from, int lanes)
{
    LLVMValueRef pick[MAX_SPREAD];
    for (int k = 0; k < lanes; k++)
        pick[k] = LLVMConstInt(g->i32, (unsigned)from[k], false);
    return LLVMBuildShuffleVector(g->b, a, b, LLVMConstVector(pick, (unsigned)lanes), "");
}

static LLVMValueRef offset_address(Gen *g, const GenBuffer *b, const LaneOffsets *o, int64_t at)
{
    LLVMValueRef first = o->base ? advance(g, b, b->base, o->base) : b->base;
    return advance(g, b, first, LLVMConstInt(g->i64, (unsigned long long)at, true));
}

/* Lanes that lie close together, as those of pixels that each stand for two: one load, shuffled.
 * NULL: they do not. */
static LLVMValueRef load_near(Gen *g, const GenBuffer *b, const LaneOffsets *o, int lanes)
{
    int64_t low = o->at[0], high = o->at[0];
    for (int k = 1; k < lanes; k++) {
        low = o->at[k] < low ? o->at[k] : low;
        high = o->at[k] > high ? o->at[k] : high;
    }
    if (high - low >= lanes || high == low)
        return NULL;
    int from[MAX_SPREAD];
    LLVMValueRef v = load_at(g, b, offset_address(g, b, o, low), (int)(high - low) + 1);
    for (int k = 0; k < lanes; k++)
        from[k] = (int)(o->at[k] - low);
    return shuffle(g, v, v, from, lanes);
}

/* Rows side by side, and then one shuffle:
 *
 *     r0 r0 r0 r0   g0 g0 g0 g0   b0 ..      ->   r0 g0 b0 a0  r1 g1 b1 a1 .. */
static LLVMValueRef load_in_turns(Gen *g, const GenBuffer *b, const LaneOffsets *o, int rows,
                                  int lanes)
{
    LLVMValueRef v[MAX_SPREAD];
    int each = lanes / rows, from[MAX_SPREAD];
    for (int k = 0; k < rows; k++)
        v[k] = load_at(g, b, offset_address(g, b, o, o->at[k]), each);
    for (int n = rows; n > 2; n /= 2, each *= 2) {
        for (int k = 0; k < 2 * each; k++)
            from[k] = k;
        for (int k = 0; k < n / 2; k++)
            v[k] = shuffle(g, v[2 * k], v[2 * k + 1], from, 2 * each);
    }
    for (int k = 0; k < lanes; k++)
        from[k] = k % rows * (lanes / rows) + k / rows;
    return shuffle(g, v[0], v[1], from, lanes);
}

/* One load a lane, where they lie far apart: hardware gathers are no faster on the CPUs this is
 * for. */
static LLVMValueRef gather(Gen *g, const GenBuffer *b, Expr offsets, int lanes)
{
    if (lanes == 1)
        return load_at(g, b, address(g, b, offsets), 1);
    if (is_strided(g, offsets, lanes)) {
        const ExprNode *n = expr_node(g->x, offsets);
        const int64_t stride = n->imm.i;
        return strided_load(g, b, address(g, b, expr_arg(g->x, offsets, 0)), stride, lanes, 0,
                            lanes);
    }
    LaneOffsets known = {0};
    if (lanes >= 4 && lanes <= MAX_SPREAD && lane_offsets(g, offsets, lanes, &known)) {
        LLVMValueRef near = load_near(g, b, &known, lanes);
        if (near)
            return near;
        const int rows = rows_in_turns(&known, lanes);
        if (rows > 0)
            return load_in_turns(g, b, &known, rows, lanes);
    }
    LLVMValueRef v = LLVMGetPoison(LLVMVectorType(b->element, (unsigned)lanes));
    for (int k = 0; k < lanes; k++) {
        LLVMValueRef one = load_at(g, b, lane_address(g, b, offsets, k), 1);
        v = LLVMBuildInsertElement(g->b, v, one, LLVMConstInt(g->i64, (unsigned)k, false), "");
    }
    return v;
}

/* Known lanes, at a known distance; the others are 0. */
static LLVMValueRef load_part(Gen *g, const GenBuffer *b, Expr e, const ExprNode *n)
{
    int64_t end = 0, from = 0, stride = 1;
    const bool known = expr_is_int(g->x, expr_arg(g->x, e, 1), &end) &&
                       expr_is_int(g->x, expr_arg(g->x, e, 2), &from) &&
                       expr_is_int(g->x, expr_arg(g->x, e, 3), &stride);
    assert(known && n->lanes <= MAX_SPREAD);
    (void)known;
    LLVMValueRef first = address(g, b, expr_arg(g->x, e, 0));
    if (stride == 1)
        return load_between(g, b, first, 0, n->lanes, from, end - 1);
    return strided_load(g, b, first, stride, n->lanes, (int)from, (int)end);
}

/* As it lies in memory. */
static LLVMValueRef load_stored(Gen *g, Expr e)
{
    const ExprNode *n = expr_node(g->x, e);
    const GenBuffer *b = &g->buffer[n->imm.i];
    const Expr offset = expr_arg(g->x, e, 0);
    if (n->op == EX_VLOAD)
        return load_at(g, b, address(g, b, offset), n->lanes);
    if (n->op == EX_MLOAD && n->nargs == 4)
        return load_part(g, b, e, n);
    if (n->op == EX_MLOAD)
        return masked_load(g, b, offset, expr_arg(g->x, e, 1), n->lanes);
    return gather(g, b, offset, n->lanes);
}

LLVMValueRef gen_load(Gen *g, Expr e)
{
    const ExprNode *n = expr_node(g->x, e);
    return storage_decode(g, g->buffer[n->imm.i].of->dtype, load_stored(g, e), n->lanes);
}

static bool is_load(const ExprNode *n)
{
    return n->op == EX_VLOAD || n->op == EX_MLOAD || n->op == EX_GATHER;
}

/* Is the value only chosen among elements of that type in memory, and zeros? */
static bool only_moves(const Gen *g, Expr e, DType t)
{
    const ExprNode *n = expr_node(g->x, e);
    if (is_load(n))
        return g->buffer[n->imm.i].of->dtype == t;
    if (n->op == EX_FLOAT)
        return n->imm.f == 0 && !signbit(n->imm.f);
    const int from = n->op == EX_SELECT ? 1 : n->op == EX_BROADCAST ? 0 : n->nargs;
    bool moves = from < n->nargs;
    for (int k = from; k < n->nargs && moves; k++)
        moves = only_moves(g, expr_arg(g->x, e, k), t);
    return moves;
}

/* Such a value as it is stored: nothing is widened and rounded again. */
static LLVMValueRef moved(Gen *g, Expr e, DType t)
{
    const ExprNode *n = expr_node(g->x, e);
    const int lanes = n->lanes;
    if (is_load(n))
        return load_stored(g, e);
    if (n->op == EX_FLOAT)
        return LLVMConstNull(gen_vector(storage_type(g, t), lanes));
    if (n->op == EX_BROADCAST)
        return gen_splat(g, moved(g, expr_arg(g->x, e, 0), t), lanes);
    LLVMValueRef cond = gen_expr(g, expr_arg(g->x, e, 0)), a = moved(g, expr_arg(g->x, e, 1), t);
    return gen_select(g, cond, a, moved(g, expr_arg(g->x, e, 2), t));
}

static LLVMValueRef value_to_store(Gen *g, Expr e, DType t)
{
    if (dtype_is_float(t) && dtype_compute(t) != t && only_moves(g, e, t))
        return moved(g, e, t);
    return storage_encode(g, t, gen_expr(g, e), expr_node(g->x, e)->lanes);
}

LLVMValueRef gen_load_raw(Gen *g, Expr e, LLVMTypeRef type)
{
    const ExprNode *n = expr_node(g->x, e);
    const GenBuffer *b = &g->buffer[n->imm.i];
    LLVMValueRef v = LLVMBuildLoad2(g->b, type, address(g, b, expr_arg(g->x, e, 0)), "");
    LLVMSetAlignment(v, b->align);
    set_alias(g, b, v);
    return v;
}

/* One store a lane. */
static void scatter(Gen *g, const GenBuffer *b, const LoopStmt *s, LLVMValueRef v, int lanes)
{
    LLVMValueRef count = s->nindex > 1 ? gen_expr(g, s->index[1]) : NULL;
    LLVMBasicBlockRef end = NULL;
    if (count)
        end = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
    for (int k = 0; k < lanes; k++) {
        if (count) { /* the lanes are a prefix: the first one beyond it ends the store */
            LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(g->c, g->fn, "");
            LLVMValueRef lane = LLVMConstInt(g->i64, (unsigned)k, false);
            LLVMBuildCondBr(g->b, gen_icmp(g, LLVMIntSLT, lane, count), next, end);
            LLVMPositionBuilderAtEnd(g->b, next);
        }
        store_at(g, b, lane_address(g, b, s->index[0], k), gen_lane(g, v, lanes, k));
    }
    if (count) {
        LLVMBuildBr(g->b, end);
        LLVMPositionBuilderAtEnd(g->b, end);
    }
}

void gen_store(Gen *g, const LoopStmt *s)
{
    const GenBuffer *b = &g->buffer[s->buffer];
    if (gen_is_tile(g, s->value)) {
        gen_tile_store(g, s);
        return;
    }
    const int lanes = expr_node(g->x, s->value)->lanes;
    int64_t count;
    LLVMValueRef v = value_to_store(g, s->value, b->of->dtype);
    if (expr_node(g->x, s->index[0])->lanes > 1) {
        gen_expr(g, s->index[0]); /* before the branches, which would hide it from the memo */
        const int mark = gen_open(g);
        scatter(g, b, s, v, lanes);
        gen_close(g, mark);
    } else if (s->nindex > 1 && !g->target->masks && expr_is_int(g->x, s->index[1], &count) &&
               count > 0 && count < lanes) {
        store_first(g, b, s->index[0], (int)count, v);
    } else if (s->nindex > 1) {
        masked_store(g, b, s->index[0], s->index[1], v, lanes);
    } else {
        store_at(g, b, address(g, b, s->index[0]), v);
    }
    g->mem_epoch++;
}

/* To the second-level cache. The address may lie outside of the buffer. */
void gen_fetch(Gen *g, const LoopStmt *s)
{
    enum { READ = 0, SECOND_LEVEL = 2, DATA = 1 };
    const GenBuffer *b = &g->buffer[s->buffer];
    LLVMValueRef offset = gen_expr(g, s->index[0]);
    LLVMValueRef args[4] = {
        LLVMBuildGEP2(g->b, b->element, b->base, &offset, 1, ""), LLVMConstInt(g->i32, READ, false),
        LLVMConstInt(g->i32, SECOND_LEVEL, false), LLVMConstInt(g->i32, DATA, false)};
    gen_intrinsic(g, "llvm.prefetch", 1, &g->ptr, 4, args);
}
