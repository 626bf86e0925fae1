/* Evaluation of an expression, each shared node once; of a select only the side that is chosen. */
#include <assert.h>

#include "expr/expr.h"
#include "expr/memo.h"

typedef struct Eval {
    const Exprs *x;
    const EvalEnv *env;
    Memo *memo;       /* node -> index into value */
    VEC(Scalar) value;
} Eval;

static Scalar eval(Eval *v, Expr e);

static Scalar eval_load(Eval *v, Expr e)
{
    const ExprNode *const n = expr_node(v->x, e);
    int64_t index[64];
    assert(n->nargs <= 64 && v->env->load);
    for (int i = 0; i < n->nargs; i++)
        index[i] = eval(v, expr_arg(v->x, e, i)).i;
    return v->env->load(v->env->arg, (int)n->imm.i, n->nargs, index);
}

static Scalar eval_args(Eval *v, Expr e)
{
    const ExprNode *const n = expr_node(v->x, e);
    const ExprOp op = (ExprOp)n->op;
    if (op == EX_SELECT)
        return eval(v, expr_arg(v->x, e, eval(v, expr_arg(v->x, e, 0)).i ? 1 : 2));
    if ((op == EX_ADD || op == EX_MUL) && n->nargs > 2) {
        Scalar acc[2] = {eval(v, expr_arg(v->x, e, 0))};
        for (int i = 1; i < n->nargs; i++) {
            acc[1] = eval(v, expr_arg(v->x, e, i));
            acc[0] = scalar_apply(op, (DType)n->dtype, 2, acc);
        }
        return acc[0];
    }
    Scalar arg[3] = {{0}};
    assert(n->nargs >= 1 && n->nargs <= 3);
    for (int i = 0; i < n->nargs; i++)
        arg[i] = eval(v, expr_arg(v->x, e, i));
    return scalar_apply(op, (DType)n->dtype, n->nargs, arg);
}

static Scalar eval(Eval *v, Expr e)
{
    const ExprNode *const n = expr_node(v->x, e);
    const DType t = (DType)n->dtype;
    assert(n->lanes == 1);
    switch (n->op) {
    case EX_INT:
        return (Scalar){.dtype = t, .i = n->imm.i};
    case EX_FLOAT:
        return (Scalar){.dtype = t, .f = n->imm.f};
    case EX_VAR:
        return (Scalar){.dtype = t, .i = v->env->var[n->imm.i]};
    case EX_STATE:
        return v->env->state[n->imm.i];
    case EX_STATE2:
        return v->env->state2[n->imm.i];
    default:
        break;
    }
    uint32_t at;
    if (memo_get(v->memo, e, &at))
        return v->value.at[at];
    const Scalar r = n->op == EX_LOAD ? eval_load(v, e) : eval_args(v, e);
    memo_put(v->x, v->memo, e, (uint32_t)v->value.len);
    vec_push(v->x->ctx->arena, &v->value, r);
    return r;
}

Scalar expr_eval(const Exprs *x, Expr e, const EvalEnv *env)
{
    Scalar room[64]; /* most expressions need no more */
    Eval v = {.x = x, .env = env, .memo = memo_take(x), .value = {.at = room, .cap = 64}};
    const Scalar r = eval(&v, e);
    memo_give(x, v.memo);
    return r;
}

int64_t expr_eval_int(const Exprs *x, Expr e, const int64_t *var)
{
    int64_t c;
    if (expr_is_int(x, e, &c))
        return c;
    const EvalEnv env = {.var = var};
    return expr_eval(x, e, &env).i;
}
