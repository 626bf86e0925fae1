/* Loads and stores: contiguous, partial (the first `count` lanes), with small strides, gather and scatter.
 *
 * Addresses are base + offset, the constant part of an offset split off so that the loads of a tile
 * share one address computation and differ by displacements. */
#include "codegen/gen.h"

#include <assert.h>

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

/* A store of a known number of lanes, in pieces: without mask registers a masked store takes dozens of cycles. */
static void store_first(Gen *g, const GenBuffer *b, Expr offset, int count, LLVMValueRef v)
{
    LLVMValueRef first = address(g, b, offset);
    for (int at = 0, n; at < count; at += n) {
        LLVMValueRef pick[MAX_PIECE];
        for (n = MAX_PIECE; n > count - at; n /= 2) {
        }
        for (int k = 0; k < n; k++)
            pick[k] = LLVMConstInt(g->i32, (unsigned)(at + k), false);
        LLVMValueRef piece = n == 1 ? LLVMBuildExtractElement(g->b, v, pick[0], "")
                                    : LLVMBuildShuffleVector(g->b, v, v, LLVMConstVector(pick, (unsigned)n), "");
        store_at(g, b, advance(g, b, first, LLVMConstInt(g->i64, (unsigned)at, false)), piece);
    }
}

enum { MAX_STRIDE = MAX_MLOAD_STRIDE, MAX_SPREAD = MAX_MLOAD_LANES }; /* elements between lanes, and lanes */

/* Elements [from, from + lanes) from `first` on, of which those beyond low and high are not touched. */
static LLVMValueRef load_between(Gen *g, const GenBuffer *b, LLVMValueRef first, int64_t from, int lanes, int64_t low, int64_t high)
{
    LLVMValueRef at = advance(g, b, first, LLVMConstInt(g->i64, (unsigned long long)from, true));
    if (low <= from && from + lanes - 1 <= high)
        return load_at(g, b, at, lanes);
    LLVMTypeRef vector = LLVMVectorType(b->element, (unsigned)lanes);
    LLVMValueRef mask[MAX_SPREAD];
    for (int k = 0; k < lanes; k++)
        mask[k] = LLVMConstInt(g->i1, from + k >= low && from + k <= high, false);
    LLVMTypeRef types[2] = {vector, g->ptr};
    LLVMValueRef args[4] = {at, LLVMConstInt(g->i32, b->align, false), LLVMConstVector(mask, (unsigned)lanes),
                            LLVMConstNull(vector)};
    LLVMValueRef v = gen_intrinsic(g, "llvm.masked.load", 2, types, 4, args);
    set_alias(g, b, v);
    return v;
}

/* Lanes a few elements apart, or backwards: whole vectors side by side, of which shuffles take what is wanted. The last
 * vector ends with the last lane, so that nothing beyond what the lanes read is read:
 *
 *     stride 2, 4 lanes:    a0 .  a1 .     first vector
 *                                  .  a2 .  a3       last one, one element early
 *
 * Lanes before `from` and from `end` on are not touched. */
static LLVMValueRef strided_load(Gen *g, const GenBuffer *b, LLVMValueRef first, int64_t stride, int lanes, int from_lane, int end)
{
    const int step = (int)(stride < 0 ? -stride : stride);
    const int last = step * (lanes - 1) + 1 - lanes; /* where the last vector starts */
    const int64_t low = stride < 0 ? stride * (lanes - 1) : 0;
    LLVMValueRef v = NULL;
    for (int part = 0; part < step; part++) {
        const int start = part == step - 1 ? last : part * lanes;
        LLVMValueRef vector = stride < 0 ? load_between(g, b, first, low + start, lanes, low, 0)
                                         : load_between(g, b, first, start, lanes, stride * from_lane, stride * (end - 1));
        LLVMValueRef pick[MAX_SPREAD];
        for (int k = 0; k < lanes; k++) {
            const int place = stride < 0 ? step * (lanes - 1 - k) : step * k;
            const int from = part == 1 ? place : k; /* the first two are shuffled at once */
            const int found = lanes + place - start; /* beyond: in a later part */
            const int lane = place < part * lanes ? from : found < 2 * lanes ? found : 0;
            pick[k] = LLVMConstInt(g->i32, (unsigned)lane, false);
        }
        if (part > 0 || step == 1)
            v = LLVMBuildShuffleVector(g->b, v ? v : vector, vector, LLVMConstVector(pick, (unsigned)lanes), "");
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

static bool is_uniform(const Exprs *x, Expr e)
{
    return expr_node(x, e)->op == EX_BROADCAST && expr_node(x, expr_arg(x, e, 0))->lanes == 1;
}

/* Lane k of e, where it is a number: what a ramp from a number comes to with numbers, as lane / 2. */
static bool known_lane(const Exprs *x, Expr e, int k, int64_t *v)
{
    const ExprNode *n = expr_node(x, e);
    int64_t a = 0, b = 0;
    if (n->lanes <= 1)
        return expr_is_int(x, e, v);
    if (n->op == EX_RAMP || is_uniform(x, e)) {
        *v = n->op == EX_RAMP ? k * n->imm.i : 0;
        return known_lane(x, expr_arg(x, e, 0), 0, &a) && !__builtin_add_overflow(*v, a, v);
    }
    if ((n->op != EX_DIV && n->op != EX_MUL) || n->nargs != 2 || !known_lane(x, expr_arg(x, e, 0), k, &a) ||
        !known_lane(x, expr_arg(x, e, 1), k, &b) || a < 0 || b <= 0)
        return false;
    *v = a / b;
    return n->op == EX_DIV || !__builtin_mul_overflow(a, b, v);
}

#define FAR_LANES (1 << 20) /* elements: no load has them */

/* A sum of offsets: terms that are the same in all lanes are added to *at, if asked; those known in each to lane[]. */
static bool split_lanes(Gen *g, const GenBuffer *b, Expr offsets, int lanes, int64_t *lane, LLVMValueRef *at)
{
    const ExprNode *n = expr_node(g->x, offsets);
    if (n->op == EX_ADD) {
        bool all = true;
        for (int t = 0; t < n->nargs && all; t++)
            all = split_lanes(g, b, expr_arg(g->x, offsets, t), lanes, lane, at);
        return all;
    }
    if (is_uniform(g->x, offsets)) {
        if (at)
            *at = advance(g, b, *at, gen_expr(g, expr_arg(g->x, offsets, 0)));
        return true;
    }
    for (int k = 0; k < lanes; k++) {
        int64_t v;
        if (!known_lane(g->x, offsets, k, &v) || v >= FAR_LANES || v <= -FAR_LANES)
            return false;
        lane[k] += v;
    }
    return true;
}

/* Lanes at known distances that lie close together, as those of pixels that each stand for two: one load, shuffled. */
static LLVMValueRef near_load(Gen *g, const GenBuffer *b, Expr offsets, int lanes)
{
    int64_t lane[MAX_SPREAD] = {0}, again[MAX_SPREAD] = {0};
    if (lanes < 4 || lanes > MAX_SPREAD || !split_lanes(g, b, offsets, lanes, lane, NULL))
        return NULL;
    int64_t low = lane[0], high = lane[0];
    for (int k = 1; k < lanes; k++) {
        low = lane[k] < low ? lane[k] : low;
        high = lane[k] > high ? lane[k] : high;
    }
    if (high - low >= lanes || high == low)
        return NULL;
    const int span = (int)(high - low) + 1;
    LLVMValueRef at = b->base, pick[MAX_SPREAD];
    split_lanes(g, b, offsets, lanes, again, &at);
    LLVMValueRef v = load_at(g, b, advance(g, b, at, LLVMConstInt(g->i64, (unsigned long long)low, true)), span);
    for (int k = 0; k < lanes; k++)
        pick[k] = LLVMConstInt(g->i32, (unsigned)(lane[k] - low), false);
    return LLVMBuildShuffleVector(g->b, v, v, LLVMConstVector(pick, (unsigned)lanes), "");
}

/* One load a lane, where they lie far apart: hardware gathers are no faster on the CPUs this is for. */
static LLVMValueRef gather(Gen *g, const GenBuffer *b, Expr offsets, int lanes)
{
    if (lanes == 1)
        return load_at(g, b, address(g, b, offsets), 1);
    if (is_strided(g, offsets, lanes)) {
        const ExprNode *n = expr_node(g->x, offsets);
        const int64_t stride = n->imm.i;
        return strided_load(g, b, address(g, b, expr_arg(g->x, offsets, 0)), stride, lanes, 0, lanes);
    }
    LLVMValueRef near = near_load(g, b, offsets, lanes);
    if (near)
        return near;
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
    const bool known = expr_is_int(g->x, expr_arg(g->x, e, 1), &end) && expr_is_int(g->x, expr_arg(g->x, e, 2), &from) &&
                       expr_is_int(g->x, expr_arg(g->x, e, 3), &stride);
    assert(known && n->lanes <= MAX_SPREAD);
    (void)known;
    LLVMValueRef first = address(g, b, expr_arg(g->x, e, 0));
    if (stride == 1)
        return load_between(g, b, first, 0, n->lanes, from, end - 1);
    return strided_load(g, b, first, stride, n->lanes, (int)from, (int)end);
}

LLVMValueRef gen_load(Gen *g, Expr e)
{
    const ExprNode *n = expr_node(g->x, e);
    const GenBuffer *b = &g->buffer[n->imm.i];
    const Expr offset = expr_arg(g->x, e, 0);
    LLVMValueRef raw;
    if (n->op == EX_VLOAD)
        raw = load_at(g, b, address(g, b, offset), n->lanes);
    else if (n->op == EX_MLOAD && n->nargs == 4)
        raw = load_part(g, b, e, n);
    else if (n->op == EX_MLOAD)
        raw = masked_load(g, b, offset, expr_arg(g->x, e, 1), n->lanes);
    else
        raw = gather(g, b, offset, n->lanes);
    return storage_decode(g, b->of->dtype, raw, n->lanes);
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
    LLVMValueRef v = storage_encode(g, b->of->dtype, gen_expr(g, s->value), lanes);
    if (expr_node(g->x, s->index[0])->lanes > 1) {
        gen_expr(g, s->index[0]); /* before the branches, which would hide it from the memo */
        const int mark = gen_open(g);
        scatter(g, b, s, v, lanes);
        gen_close(g, mark);
    } else if (s->nindex > 1 && !g->target->masks && expr_is_int(g->x, s->index[1], &count) && count > 0 && count < lanes) {
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
    LLVMValueRef args[4] = {LLVMBuildGEP2(g->b, b->element, b->base, &offset, 1, ""), LLVMConstInt(g->i32, READ, false),
                            LLVMConstInt(g->i32, SECOND_LEVEL, false), LLVMConstInt(g->i32, DATA, false)};
    gen_intrinsic(g, "llvm.prefetch", 1, &g->ptr, 4, args);
}
