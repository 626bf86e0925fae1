/* See merge_ifs.h. A set may go before others where none of them writes what it reads, nor the
 * other way round; memory does not change in between, as only sets are moved past only sets. */
#include "loop/merge_ifs.h"

typedef struct Guarded { /* an L_IF in a row of such */
    int stmt;
    IntMap read, written; /* registers */
} Guarded;

typedef struct Merge {
    Loops *l;
    VEC(Guarded) row;
} Merge;

static bool sets_only(const Loops *l, const LoopStmt *s)
{
    bool sets = s->op == L_IF && s->child.len > 0 && !expr_node(l->x, s->value)->varies;
    for (int k = 0; k < s->child.len && sets; k++) {
        const LoopStmt *set = &l->stmt.at[s->child.at[k]];
        sets = set->op == L_SET && l->reg.at[set->buffer].rows == 0;
    }
    return sets;
}

static void see_register(const Exprs *x, Expr e, void *arg)
{
    const ExprNode *n = expr_node(x, e);
    if (n->op == EX_REG) {
        intmap_put(arg, (uint64_t)n->imm.i, 1);
    }
}

static void add_registers(const Loops *l, int stmt, Guarded *g)
{
    const LoopStmt *s = &l->stmt.at[stmt];
    for (int k = 0; k < s->child.len; k++) {
        const LoopStmt *set = &l->stmt.at[s->child.at[k]];
        expr_walk(l->x, set->value, see_register, &g->read);
        intmap_put(&g->written, (uint64_t)set->buffer, 1);
    }
}

static bool meets(const IntMap *a, const IntMap *b)
{
    for (int i = 0; i < a->cap; i++) {
        if (a->slot[i].used && intmap_get(b, a->slot[i].key, 0)) {
            return true;
        }
    }
    return false;
}

static bool depends(const Guarded *a, const Guarded *b)
{
    return meets(&a->written, &b->written) || meets(&a->written, &b->read) ||
           meets(&a->read, &b->written);
}

/* Adds the sets of g to those of an earlier one under its condition. False: there is none, or one
 * between is in the way. */
static bool merge(Merge *m, const Guarded *g)
{
    Loops *l = m->l;
    const LoopStmt *s = &l->stmt.at[g->stmt];
    for (int i = m->row.len - 1; i >= 0; i--) {
        Guarded *before = &m->row.at[i];
        if (l->stmt.at[before->stmt].value == s->value) {
            for (int k = 0; k < s->child.len; k++) {
                loops_append(l, before->stmt, s->child.at[k]);
            }
            add_registers(l, g->stmt, before);
            return true;
        }
        if (depends(g, before)) {
            break;
        }
    }
    return false;
}

static void merge_in(Loops *l, int parent)
{
    Merge m = {.l = l};
    int kept = 0;
    for (int k = 0; k < l->stmt.at[parent].child.len; k++) {
        const int id = l->stmt.at[parent].child.at[k];
        bool merged = false;
        if (sets_only(l, &l->stmt.at[id])) {
            Guarded g = {id, intmap_new(l->ctx->arena), intmap_new(l->ctx->arena)};
            add_registers(l, id, &g);
            merged = merge(&m, &g);
            if (!merged) {
                vec_push(l->ctx->arena, &m.row, g);
            }
        } else {
            m.row.len = 0;
            merge_in(l, id);
        }
        if (!merged) {
            l->stmt.at[parent].child.at[kept++] = id;
        }
    }
    l->stmt.at[parent].child.len = kept;
}

void merge_ifs(Loops *expanded)
{
    for (int k = 0; k < expanded->phase.len; k++) {
        merge_in(expanded, expanded->phase.at[k].body);
    }
}
