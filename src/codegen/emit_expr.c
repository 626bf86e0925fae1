/* Expressions: the memo, and the walk over the terms. */
#include "codegen/gen.h"

#include <assert.h>

static bool memo_valid(const Gen *g, const Memoised *m)
{
    return m->value && (!(m->reads & READS_MEMORY) || m->mem == g->mem_epoch) &&
           (!(m->reads & READS_REGISTERS) || m->reg == g->reg_epoch);
}

static void memo_set(Gen *g, Expr e, LLVMValueRef v, uint32_t reads, int depth)
{
    Memoised *m = &g->memo[e];
    const bool is_var = expr_node(g->x, e)->op == EX_VAR;
    vec_push(g->ctx->arena, &g->undo, ((MemoUndo){e, is_var ? m->value : NULL}));
    *m = (Memoised){v, reads, g->mem_epoch, g->reg_epoch, depth};
}

void gen_bind(Gen *g, Expr var, LLVMValueRef v)
{
    assert(expr_node(g->x, var)->op == EX_VAR);
    if (g->memo[var].value) /* bound anew: what was computed from the old value is void */
        for (int k = 0; k < g->undo.len; k++)
            if (expr_node(g->x, g->undo.at[k].e)->op != EX_VAR)
                g->memo[g->undo.at[k].e].value = NULL;
    memo_set(g, var, v, 0, g->depth);
}

int gen_open(Gen *g)
{
    /* What a loop reads may have been written by its previous iteration. */
    g->mem_epoch++;
    g->reg_epoch++;
    g->depth++;
    return g->undo.len;
}

/* What was emitted since no longer dominates. */
static void forget(Gen *g, int mark)
{
    while (g->undo.len > mark) {
        const MemoUndo u = g->undo.at[--g->undo.len];
        g->memo[u.e].value = u.old;
    }
}

void gen_close(Gen *g, int mark)
{
    forget(g, mark);
    g->mem_epoch++;
    g->reg_epoch++;
    g->depth--;
}

/* Sums and products of i64 have any number of arguments. They are combined from the outermost
 * loop's to the innermost's, so that what an inner loop does not change is one value. */
LLVMValueRef gen_chain(Gen *g, Expr e, int nargs)
{
    enum { MAX_ARGS = 128 };
    LLVMValueRef arg[MAX_ARGS] = {0};
    int depth[MAX_ARGS];
    assert(nargs >= 1 && nargs <= MAX_ARGS);
    for (int k = 0; k < nargs; k++) {
        const Expr a = expr_arg(g->x, e, k);
        LLVMValueRef v = gen_expr(g, a);
        const int d = nargs > 2 ? g->memo[a].depth : 0;
        int at = k;
        for (; at > 0 && depth[at - 1] > d; at--) {
            arg[at] = arg[at - 1];
            depth[at] = depth[at - 1];
        }
        arg[at] = v;
        depth[at] = d;
    }
    LLVMValueRef r = arg[0];
    for (int k = 1; k < nargs; k++)
        r = gen_op(g, e, (LLVMValueRef[]){r, arg[k]});
    return r;
}

static bool offset_varies(const Gen *g, Expr load)
{
    for (int k = 0; k < expr_node(g->x, load)->nargs; k++)
        if (expr_node(g->x, expr_arg(g->x, load, k))->varies)
            return true;
    return false;
}

/* A branch around what is evaluated only where the condition holds. Nothing in it stores, so all
 * that is known stays known. */
static LLVMValueRef gen_rare(Gen *g, Expr e)
{
    LLVMValueRef c = gen_expr(g, expr_arg(g->x, e, 0)), other = gen_expr(g, expr_arg(g->x, e, 2));
    LLVMBasicBlockRef before = LLVMGetInsertBlock(g->b);
    LLVMBasicBlockRef then = LLVMAppendBasicBlockInContext(g->c, g->fn, "then");
    LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(g->c, g->fn, "end");
    LLVMValueRef branch = LLVMBuildCondBr(g->b, c, then, end);
    if (!expr_node(g->x, e)->imm.i)
        gen_mark_unlikely(g, branch);
    LLVMPositionBuilderAtEnd(g->b, then);
    const int mark = g->undo.len;
    LLVMValueRef value[2] = {gen_expr(g, expr_arg(g->x, e, 1)), other};
    forget(g, mark);
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(g->b), before};
    LLVMBuildBr(g->b, end);
    LLVMPositionBuilderAtEnd(g->b, end);
    LLVMValueRef phi = LLVMBuildPhi(g->b, LLVMTypeOf(other), "");
    LLVMAddIncoming(phi, value, from, 2);
    return phi;
}

static LLVMValueRef emit(Gen *g, Expr e, uint32_t *reads)
{
    const ExprNode *n = expr_node(g->x, e);
    LLVMTypeRef scalar = gen_scalar(g, (DType)n->dtype);
    switch ((ExprOp)n->op) {
    case EX_INT:
        return gen_int(scalar, n->lanes, n->imm.i);
    case EX_FLOAT:
        return gen_real(scalar, n->lanes, n->imm.f);
    case EX_REG:
        *reads |= READS_REGISTERS;
        return LLVMBuildLoad2(g->b, gen_vector(scalar, n->lanes), g->reg[n->imm.i], "");
    case EX_VLOAD:
    case EX_MLOAD:
    case EX_GATHER:
        /* Parts of an offset may never pass through the memo as such (emit_memory.c). */
        *reads |= READS_MEMORY | (offset_varies(g, e) ? READS_REGISTERS : 0);
        return gen_load(g, e);
    case EX_DOT:
        *reads |= READS_MEMORY | READS_REGISTERS;
        return gen_dot(g, e);
    case EX_VAR: /* verified: bound, so always in the memo */
        fail(g->ctx, ERR_INTERNAL, "codegen: variable '%s' of '%s' has no value",
             g->x->var.at[n->imm.i].name, g->l->name);
    case EX_RARE:
        return gen_rare(g, e);
    case EX_ADD:
    case EX_MUL:
        return gen_chain(g, e, n->nargs);
    default: {
        assert(n->nargs <= 3);
        LLVMValueRef args[3] = {0};
        for (int k = 0; k < n->nargs; k++)
            args[k] = gen_expr(g, expr_arg(g->x, e, k));
        return gen_op(g, e, args);
    }
    }
}

LLVMValueRef gen_expr(Gen *g, Expr e)
{
    if (memo_valid(g, &g->memo[e]))
        return g->memo[e].value;
    uint32_t reads = 0;
    LLVMValueRef v = emit(g, e, &reads);
    const ExprNode *n = expr_node(g->x, e);
    g->wide |= n->lanes * dtype_size((DType)n->dtype) > 32;
    int depth = 0;
    for (int k = 0; k < n->nargs; k++) {
        const Memoised *m = &g->memo[expr_arg(g->x, e, k)];
        reads |= m->reads;
        depth = m->depth > depth ? m->depth : depth;
    }
    memo_set(g, e, v, reads, depth);
    return v;
}
