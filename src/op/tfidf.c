/* TfIdfVectorizer: how often each n-gram of a table occurs in a sequence, with up to max_skip_count
 * tokens left out between its tokens.
 *
 * The importer makes ONNX's attributes into inputs: the pool of tokens, and for each n-gram where
 * it starts in the pool, its length and its column in the output; weights by column. */
#include <string.h>

#include "op/table.h"

enum { IN_X, IN_POOL, IN_START, IN_SIZE, IN_COLUMN, IN_WEIGHTS };

void infer_tf_idf_vectorizer(const Infer *f)
{
    const Value *v = infer_in(f, IN_X);
    if (v->rank != 1 && v->rank != 2)
        infer_fail(f, "the input must have rank 1 or 2");
    if (!dtype_is_int(v->dtype))
        infer_unsupported(f, "the input must be integers");
    const char *mode = node_string(f->node, "mode", "TF");
    if (strcmp(mode, "TF") && strcmp(mode, "IDF") && strcmp(mode, "TFIDF"))
        infer_fail(f, "unknown mode '%s'", mode);
    const Expr columns = expr_int(f->x, node_int(f->node, "columns", 0));
    const Expr one[1] = {columns}, two[2] = {v->dim[0], columns};
    const bool batch = v->rank == 2;
    infer_out(f, 0, DT_F32, batch ? 2 : 1, batch ? two : one);
}

static Expr table(const Define *d, int k, Expr i)
{
    return define_load(d, k, &i);
}

/* Occurrences of n-gram g in row b: (B,G; skip, start). */
static int count_grams(const Define *d, Expr rows)
{
    Exprs *x = d->x;
    const int rank = define_rank(d, IN_X);
    const Expr length = define_dim(d, IN_X, rank - 1), zero = expr_int(x, 0);
    const Expr skips = expr_int(x, node_int(d->node, "max_skip_count", 0) + 1);
    StageBuild b = stage_begin(d->s, 2, (const Expr[]){rows, define_dim(d, IN_START, 0)});
    stage_reduce_axes(d->s, &b, 2, (const Expr[]){skips, length});
    const Expr size = table(d, IN_SIZE, b.i[1]), start = table(d, IN_START, b.i[1]);
    /* Single tokens are counted once, whatever is skipped. */
    Expr found = expr_or(x, expr_eq(x, b.r[0], zero), expr_lt(x, expr_int(x, 1), size));
    for (int k = 0; k < node_int(d->node, "max_gram_length", 1); k++) {
        const Expr at = expr_add(x, b.r[1], expr_muli(x, expr_addi(x, b.r[0], 1), k));
        const Expr inside = expr_min(x, at, expr_addi(x, length, -1));
        const Expr i[2] = {rank == 2 ? b.i[0] : inside, inside};
        const Expr token = expr_cast(x, DT_I64, define_load(d, IN_X, i));
        const Expr last = expr_addi(x, define_dim(d, IN_POOL, 0), -1);
        const Expr entry = expr_max(x, expr_min(x, expr_addi(x, start, k), last), zero);
        const Expr same =
            expr_and(x, expr_lt(x, at, length), expr_eq(x, token, table(d, IN_POOL, entry)));
        found = expr_and(x, found, expr_or(x, expr_le(x, size, expr_int(x, k)), same));
    }
    const Expr state = expr_state(x, DT_F32, 0), state2 = expr_state2(x, DT_F32, 0);
    return stage_reduce(d->s, &b, "count", DT_F32, expr_const(x, DT_F32, 0),
                        expr_add(x, state, expr_cast(x, DT_F32, found)),
                        expr_add(x, state, state2));
}

void define_tf_idf_vectorizer(Define *d)
{
    Exprs *x = d->x;
    const bool batch = define_rank(d, IN_X) == 2;
    const Expr rows = batch ? define_dim(d, IN_X, 0) : expr_int(x, 1);
    const Expr columns = expr_int(x, node_int(d->node, "columns", 0));
    const int counts = count_grams(d, rows);
    const StageBuild u = stage_begin(d->s, 2, (const Expr[]){rows, define_dim(d, IN_START, 0)});
    const StageBuild base = stage_begin(d->s, 2, (const Expr[]){rows, columns});
    const Expr target[2] = {u.i[0], table(d, IN_COLUMN, u.i[1])};
    const Expr sum = expr_add(x, expr_state(x, DT_F32, 0), stages_load(d->s, counts, u.i));
    const int total =
        stage_scatter(d->s, &u, &base, "total", DT_F32, expr_const(x, DT_F32, 0), target, sum, 0);

    const StageBuild m = define_begin(d, 0);
    const Expr column = m.i[batch ? 1 : 0];
    Expr y = stages_load(d->s, total, (const Expr[]){batch ? m.i[0] : expr_int(x, 0), column});
    const char *mode = node_string(d->node, "mode", "TF");
    if (strcmp(mode, "IDF") == 0)
        y = expr_cast(x, DT_F32, expr_lt(x, expr_const(x, DT_F32, 0), y));
    if (strcmp(mode, "TF") != 0 && define_has(d, IN_WEIGHTS))
        y = expr_mul(x, y, table(d, IN_WEIGHTS, column));
    define_map(d, 0, &m, y);
}
