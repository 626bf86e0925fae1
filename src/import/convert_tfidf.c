/* TfIdfVectorizer: the tables in its attributes become constants (op/tfidf.c says which). */
#include "import/convert.h"

/* Rows of the tables: one for each n-gram whose length counts. */
typedef struct Grams {
    int n;
    int64_t *start, *size, *column;
} Grams;

/* ngram_counts[k] is where the (k+1)-grams begin in the pool; ngram_indexes has a column for each
 * n-gram. */
static Grams read_grams(const OnnxOp *o, int npool)
{
    const int64_t *first, *column;
    const int nfirst = op_attr_ints(o, "ngram_counts", &first);
    const int ncolumn = op_attr_ints(o, "ngram_indexes", &column);
    if (nfirst < 1 || ncolumn < 1)
        op_fail(o, ERR_INVALID, "lacks ngram_counts or ngram_indexes");
    const int64_t least = op_attr_int(o, "min_gram_length", 1),
                  most = op_attr_int(o, "max_gram_length", 1);
    Arena *const a = o->im->ctx->arena;
    Grams g = {
        .start = arena_array_of(a, ncolumn, int64_t),
        .size = arena_array_of(a, ncolumn, int64_t),
        .column = arena_array_of(a, ncolumn, int64_t),
    };
    int id = 0;
    for (int k = 0; k < nfirst; k++) {
        const int64_t size = k + 1, end = k + 1 < nfirst ? first[k + 1] : npool;
        if (first[k] < 0 || end < first[k] || end > npool)
            op_fail(o, ERR_INVALID, "ngram_counts do not fit the pool");
        for (int64_t at = first[k]; at + size <= end; at += size, id++) {
            if (id >= ncolumn)
                op_fail(o, ERR_INVALID, "ngram_indexes has %d elements, the pool more n-grams",
                        ncolumn);
            if (size < least || size > most)
                continue;
            g.start[g.n] = at;
            g.size[g.n] = size;
            g.column[g.n++] = column[id];
        }
    }
    return g;
}

/* Weights by column of the output. */
static void set_weights(OnnxOp *o, int k, int64_t columns)
{
    const Attr *const w = op_attr(o, "weights");
    if (!w || w->kind != ATTR_FLOATS || w->n == 0)
        return;
    if (w->n < columns)
        op_fail(o, ERR_INVALID, "has %d weights for %lld columns", w->n, (long long)columns);
    op_set_in(o, k, op_const_floats(o, "weights", (int)columns, w->floats));
}

bool convert_tf_idf(OnnxOp *o)
{
    const int64_t *pool, *column;
    const int npool = op_attr_ints(o, "pool_int64s", &pool);
    if (npool < 1)
        op_fail(o, ERR_UNSUPPORTED, "only a pool of integers is supported");
    const Grams g = read_grams(o, npool);
    int64_t columns = 0;
    for (int k = op_attr_ints(o, "ngram_indexes", &column) - 1; k >= 0; k--) {
        if (column[k] < 0 || column[k] >= INT32_MAX)
            op_fail(o, ERR_INVALID, "ngram_indexes holds %lld", (long long)column[k]);
        columns = column[k] >= columns ? column[k] + 1 : columns;
    }
    op_set_in(o, 1, op_const_ints(o, "pool", npool, pool));
    op_set_in(o, 2, op_const_ints(o, "start", g.n, g.start));
    op_set_in(o, 3, op_const_ints(o, "size", g.n, g.size));
    op_set_in(o, 4, op_const_ints(o, "column", g.n, g.column));
    set_weights(o, 5, columns);
    op_set_int(o, "columns", columns);
    static const char *const gone[] = {"pool_int64s", "ngram_counts", "ngram_indexes", "weights"};
    for (int k = 0; k < 4; k++)
        op_drop_attr(o, gone[k]);
    return false;
}
