/* Statements and phases: the function of one phase, its loop over [begin, end), and what is in it.
 *
 *     entry:  bases, symbols, allocas of registers;  begin < end ? body : exit
 *     body:   par = phi;  ...;  par + 1 < end ? body : exit
 *     exit:   ret 0
 *
 * Loops are rotated as written (a guard, then do-while): no pass runs that would do it. None that
 * would unroll or vectorise runs either, so loops carry no metadata. */
#include "codegen/gen.h"

#include <stdio.h>
#include <string.h>

enum { SMALL_SCRATCH = 2048 }; /* bytes in a function: far below a page of stack */

typedef struct Loop {
    LLVMBasicBlockRef body, exit;
    LLVMValueRef var, end;
    int mark;
} Loop;

static LLVMBasicBlockRef block(const Gen *g, const char *name)
{
    return LLVMAppendBasicBlockInContext(g->c, g->fn, name);
}

static Loop open_loop(Gen *g, Expr var, LLVMValueRef begin, LLVMValueRef end, bool runs)
{
    Loop loop = {.body = block(g, "loop"), .exit = block(g, "exit"), .end = end};
    LLVMBasicBlockRef before = LLVMGetInsertBlock(g->b);
    if (runs)
        LLVMBuildBr(g->b, loop.body);
    else
        LLVMBuildCondBr(g->b, gen_icmp(g, LLVMIntSLT, begin, end), loop.body, loop.exit);
    LLVMPositionBuilderAtEnd(g->b, loop.body);
    loop.var = LLVMBuildPhi(g->b, g->i64, "");
    LLVMAddIncoming(loop.var, &begin, &before, 1);
    loop.mark = gen_open(g);
    gen_bind(g, var, loop.var);
    return loop;
}

static void close_loop(Gen *g, const Loop *loop)
{
    LLVMValueRef next = LLVMBuildNSWAdd(g->b, loop->var, LLVMConstInt(g->i64, 1, false), "");
    LLVMBasicBlockRef last = LLVMGetInsertBlock(g->b);
    LLVMAddIncoming(loop->var, &next, &last, 1);
    LLVMBuildCondBr(g->b, gen_icmp(g, LLVMIntSLT, next, loop->end), loop->body, loop->exit);
    LLVMPositionBuilderAtEnd(g->b, loop->exit);
    gen_close(g, loop->mark);
}

static void gen_stmt(Gen *g, int id);

static void gen_children(Gen *g, const LoopStmt *s)
{
    for (int k = 0; k < s->child.len; k++)
        gen_stmt(g, s->child.at[k]);
}

static void gen_if(Gen *g, const LoopStmt *s)
{
    LLVMValueRef c = gen_expr(g, s->value);
    LLVMBasicBlockRef then = block(g, "then"), end = block(g, "end");
    LLVMBuildCondBr(g->b, c, then, end);
    LLVMPositionBuilderAtEnd(g->b, then);
    const int mark = gen_open(g);
    gen_children(g, s);
    LLVMBuildBr(g->b, end);
    LLVMPositionBuilderAtEnd(g->b, end);
    gen_close(g, mark);
}

static void gen_stmt(Gen *g, int id)
{
    const LoopStmt *s = &g->l->stmt.at[id];
    switch (s->op) {
    case L_BLOCK:
        if (s->mark == MARK_TILES)
            gen_tiles_open(g, s);
        gen_children(g, s);
        if (s->mark == MARK_TILES)
            gen_tiles_close(g);
        break;
    case L_FOR: {
        LLVMValueRef end = gen_expr(g, s->extent);
        const Loop loop = open_loop(g, s->var, LLVMConstInt(g->i64, 0, false), end,
                                    expr_low(g->x, s->extent) > 0);
        gen_tiles_forget(g);
        gen_children(g, s);
        gen_tiles_forget(g);
        close_loop(g, &loop);
        break;
    }
    case L_IF: gen_if(g, s); break;
    case L_LET: gen_bind(g, s->var, gen_expr(g, s->value)); break;
    case L_STORE: gen_store(g, s); break;
    case L_FETCH: gen_fetch(g, s); break;
    case L_SET:
        if (g->l->reg.at[s->buffer].rows) {
            gen_tile_set(g, s);
            break;
        }
        LLVMBuildStore(g->b, gen_expr(g, s->value), g->reg[s->buffer]);
        g->reg_epoch++;
        break;
    }
}

/* The scope of a buffer: its own for an argument, one for all of the scratch, where buffers of
 * disjoint lifetimes may share bytes, and one for all that may overlap each other. */
static LLVMMetadataRef scope_of(const Gen *g, const LoopBuffer *b, LLVMMetadataRef domain)
{
    char name[32];
    snprintf(name, sizeof name, "%s%d",
             b->alias                ? "alias"
             : b->scope == SCOPE_ARG ? "arg"
                                     : "scratch",
             b->scope == SCOPE_ARG && !b->alias ? b->arg : 0);
    LLVMMetadataRef parts[2] = {LLVMMDStringInContext2(g->c, name, strlen(name)), domain};
    return LLVMMDNodeInContext2(g->c, parts, 2);
}

static void set_scopes(Gen *g)
{
    const Loops *l = g->l;
    LLVMMetadataRef name = LLVMMDStringInContext2(g->c, "buffers", 7);
    LLVMMetadataRef domain = LLVMMDNodeInContext2(g->c, &name, 1);
    LLVMMetadataRef *scope = arena_array_of(g->ctx->arena, l->buffer.len + 1, LLVMMetadataRef);
    LLVMMetadataRef *others = arena_array_of(g->ctx->arena, l->buffer.len + 1, LLVMMetadataRef);
    for (int k = 0; k < l->buffer.len; k++)
        scope[k] = scope_of(g, &l->buffer.at[k], domain); /* equal nodes are one node */
    for (int k = 0; k < l->buffer.len; k++) {
        if (!scope[k])
            continue;
        size_t n = 0;
        for (int i = 0; i < l->buffer.len; i++)
            if (scope[i] && scope[i] != scope[k])
                others[n++] = scope[i];
        g->buffer[k].scope = LLVMMetadataAsValue(g->c, LLVMMDNodeInContext2(g->c, &scope[k], 1));
        if (n > 0)
            g->buffer[k].noalias = LLVMMetadataAsValue(g->c, LLVMMDNodeInContext2(g->c, others, n));
    }
}

static LLVMValueRef load_entry(const Gen *g, LLVMTypeRef type, LLVMValueRef array, int index)
{
    LLVMValueRef k = LLVMConstInt(g->i64, (unsigned)index, false);
    LLVMValueRef at = LLVMBuildInBoundsGEP2(g->b, g->i64, array, &k, 1, "");
    LLVMValueRef v = LLVMBuildLoad2(g->b, type, at, "");
    const unsigned kind = LLVMGetMDKindIDInContext(g->c, "invariant.load", 14);
    LLVMMetadataRef empty = LLVMMDNodeInContext2(g->c, NULL, 0);
    LLVMSetMetadata(v, kind, LLVMMetadataAsValue(g->c, empty));
    return v;
}

/* A few vectors that were meant to be registers are a variable of the function: what is read and
 * written at constant places becomes registers, also where one vector is read in parts (sroa).
 * There are 64 bytes beyond, as in scratch. */
static LLVMValueRef small_scratch(const Gen *g, const LoopBuffer *b, int64_t *left)
{
    if (b->size == 0 || b->size > *left)
        return NULL;
    *left -= b->size;
    LLVMTypeRef bytes = LLVMArrayType2(g->i8, (uint64_t)b->size + 64);
    LLVMValueRef v = LLVMBuildAlloca(g->b, bytes, "");
    LLVMSetAlignment(v, 64);
    return v;
}

static void gen_entry(Gen *g)
{
    const Loops *l = g->l;
    LLVMValueRef bufs = LLVMGetParam(g->fn, 1), syms = LLVMGetParam(g->fn, 2);
    LLVMValueRef scratch = LLVMGetParam(g->fn, 3);
    int64_t left = SMALL_SCRATCH;
    for (int k = 0; k < l->buffer.len; k++) {
        const LoopBuffer *b = &l->buffer.at[k];
        GenBuffer *out = &g->buffer[k];
        out->of = b;
        out->element = storage_type(g, b->dtype);
        out->align = g->any_address && b->scope == SCOPE_ARG ? 1 : (unsigned)dtype_size(b->dtype);
        if (b->scope != SCOPE_SCRATCH && (b->scope == SCOPE_REG || b->arg < 0))
            continue; /* not used in the expanded form */
        LLVMValueRef offset = LLVMConstInt(g->i64, (unsigned long long)b->offset, true);
        out->base = b->scope == SCOPE_SCRATCH ? small_scratch(g, b, &left) : NULL;
        if (out->base)
            continue;
        out->base = b->scope == SCOPE_ARG
                        ? load_entry(g, g->ptr, bufs, b->arg)
                        : LLVMBuildInBoundsGEP2(g->b, g->i8, scratch, &offset, 1, "");
    }
    for (int k = 0; k < l->sym.len; k++)
        gen_bind(g, l->sym.at[k], load_entry(g, g->i64, syms, k));
    for (int k = 0; k < l->reg.len; k++) /* in the entry block, or sroa leaves them */
        if (!l->reg.at[k].rows)
            g->reg[k] =
                LLVMBuildAlloca(g->b, gen_type(g, l->reg.at[k].dtype, l->reg.at[k].lanes), "");
}

static void set_attribute(const Gen *g, const char *name, const char *value)
{
    LLVMAddAttributeAtIndex(g->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(g->c, name, (unsigned)strlen(name), value,
                                                      (unsigned)strlen(value)));
}

static void set_flag(const Gen *g, LLVMAttributeIndex index, const char *name, uint64_t value)
{
    const unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(g->fn, index, LLVMCreateEnumAttribute(g->c, kind, value));
}

static void set_attributes(const Gen *g)
{
    const LLVMAttributeIndex function = (LLVMAttributeIndex)LLVMAttributeFunctionIndex;
    set_attribute(g, "target-cpu", "x86-64");
    set_attribute(g, "tune-cpu", g->target->cpu);
    set_attribute(g, "target-features", g->target->features);
    /* without one LLVM spills vectors across cache lines: it cannot align the stack */
    set_attribute(g, "frame-pointer", "all");
    set_flag(g, function, "nounwind", 0);
    set_flag(g, function, "noredzone", 0); /* Windows keeps none */
    for (LLVMAttributeIndex k = 2; k <= 4; k++) /* bufs, syms, scratch */
        set_flag(g, k, "noalias", 0);
    set_flag(g, 4, "align", 64);
}

/* Both, or LLVM splits the vectors. A function that has none so long gets none either, where LLVM
 * would join stores: of Intel's two ports for vectors one is shut while 64 bytes are under way. */
static void set_width(const Gen *g)
{
    if (g->target->vector_bytes == 64) {
        const char *width = g->wide ? "512" : "256";
        set_attribute(g, "prefer-vector-width", width);
        set_attribute(g, "min-legal-vector-width", width);
    }
}

static LLVMValueRef load_step(Gen *g)
{
    LLVMValueRef offset = LLVMConstInt(g->i64, KERNEL_ENV_STEP, false);
    LLVMValueRef at = LLVMBuildInBoundsGEP2(g->b, g->i8, LLVMGetParam(g->fn, 0), &offset, 1, "");
    return LLVMBuildLoad2(g->b, g->i64, at, "");
}

/* Every other step takes the range from its end: what the step before read last (weights, mostly
 * the same in each step) is still in the cache. */
static LLVMValueRef back_and_forth(Gen *g, LLVMValueRef step, LLVMValueRef at)
{
    LLVMValueRef odd = LLVMBuildTrunc(g->b, step, g->i1, "");
    LLVMValueRef sum = LLVMBuildAdd(g->b, LLVMGetParam(g->fn, 4), LLVMGetParam(g->fn, 5), "");
    LLVMValueRef last = LLVMBuildSub(g->b, sum, LLVMConstInt(g->i64, 1, false), "");
    return gen_select(g, odd, LLVMBuildSub(g->b, last, at, ""), at);
}

void gen_phase(Gen *g, int phase, const char *name)
{
    const LoopPhase *p = &g->l->phase.at[phase];
    LLVMTypeRef params[6] = {g->ptr, g->ptr, g->ptr, g->ptr, g->i64, g->i64};
    g->fn = LLVMAddFunction(g->m, name, LLVMFunctionType(g->i32, params, 6, false));
    set_attributes(g);
    LLVMPositionBuilderAtEnd(g->b, block(g, "entry"));
    memset(g->memo, 0, sizeof *g->memo * (size_t)g->x->node.len);
    g->undo.len = 0;
    g->wide = false;
    gen_entry(g);
    LLVMValueRef step = p->step ? load_step(g) : NULL;
    if (step)
        gen_bind(g, p->step, step);
    set_scopes(g);
    gen_tiles_enter(g, p->body);
    const Loop loop = open_loop(g, p->par, LLVMGetParam(g->fn, 4), LLVMGetParam(g->fn, 5), false);
    if (step)
        gen_bind(g, p->par, back_and_forth(g, step, loop.var));
    gen_stmt(g, p->body);
    close_loop(g, &loop);
    gen_tiles_leave(g);
    set_width(g);
    LLVMBuildRet(g->b, LLVMConstInt(g->i32, 0, false));
}
