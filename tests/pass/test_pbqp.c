/* Solver of layouts' problems against trying everything. */
#include "check.h"

#include <math.h>

#include "pass/pbqp.h"

typedef struct Random {
    uint64_t state;
} Random;

static int below(Random *r, int n)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((r->state >> 33) % (uint64_t)n);
}

static void add_variable(Pbqp *p, Random *r)
{
    double cost[PBQP_CHOICES];
    const int n = 1 + below(r, 3);
    for (int i = 0; i < n; i++)
        cost[i] = below(r, 100);
    pbqp_variable(p, n, cost);
}

static void add_edge(Pbqp *p, Random *r, int a, int b)
{
    PbqpEdge *e = pbqp_edge(p, a, b);
    for (int i = 0; i < p->variable.at[e->a].n; i++)
        for (int j = 0; j < p->variable.at[e->b].n; j++)
            e->cost[i][j] += below(r, 3) ? below(r, 80) : 0;
}

static double try_all(const Pbqp *p)
{
    int choice[16] = {0};
    double best = INFINITY;
    for (;;) {
        best = fmin(best, pbqp_cost(p, choice));
        int v = 0;
        while (v < p->variable.len && ++choice[v] == p->variable.at[v].n)
            choice[v++] = 0;
        if (v == p->variable.len)
            return best;
    }
}

static void check_solved(Pbqp *p)
{
    const double best = try_all(p);
    const PbqpResult r = pbqp_solve(p);
    for (int v = 0; v < p->variable.len; v++)
        assert_in_range(r.choice[v], 0, p->variable.at[v].n - 1);
    assert_true(r.exact);
    assert_float_equal(r.cost, best, 1e-9);
}

/* Trees, and chains with residual connections: reductions alone. */
static void test_trees_and_joins(void **state)
{
    (void)state;
    Random r = {1};
    for (int round = 0; round < 400; round++) {
        Arena *a = arena_new();
        Pbqp p = pbqp_new(a);
        const int n = 1 + below(&r, 9);
        for (int v = 0; v < n; v++) {
            add_variable(&p, &r);
            if (v > 0)
                add_edge(&p, &r, round % 2 ? v - 1 : below(&r, v), v);
            if (v > 1 && round % 2 && v % 2 == 0)
                add_edge(&p, &r, v - 2, v);
        }
        check_solved(&p);
        arena_free(a);
    }
}

/* Anything: what has no variable of few neighbours is tried. */
static void test_any_graph(void **state)
{
    (void)state;
    Random r = {2};
    for (int round = 0; round < 400; round++) {
        Arena *a = arena_new();
        Pbqp p = pbqp_new(a);
        const int n = 2 + below(&r, 7), edges = below(&r, n * (n - 1));
        for (int v = 0; v < n; v++)
            add_variable(&p, &r);
        for (int e = 0; e < edges; e++) {
            const int x = below(&r, n), y = below(&r, n);
            if (x != y)
                add_edge(&p, &r, x, y);
        }
        check_solved(&p);
        arena_free(a);
    }
}

/* Every variable with every other: too many to try, and yet no single change may help. */
static void test_large_core(void **state)
{
    (void)state;
    Random r = {3};
    for (int round = 0; round < 3; round++) {
        Arena *a = arena_new();
        Pbqp p = pbqp_new(a), q = pbqp_new(a);
        Random again = r;
        for (int twice = 0; twice < 2; twice++) {
            Pbqp *to = twice ? &q : &p;
            r = again;
            for (int v = 0; v < 40; v++) {
                add_variable(to, &r);
                for (int w = 0; w < v; w++)
                    add_edge(to, &r, w, v);
            }
        }
        const PbqpResult s = pbqp_solve(&p);
        assert_float_equal(s.cost, pbqp_cost(&q, s.choice), 1e-6);
        for (int v = 0; v < 40; v++) {
            const int kept = s.choice[v];
            for (int c = 0; c < q.variable.at[v].n; c++) {
                s.choice[v] = c;
                assert_true(pbqp_cost(&q, s.choice) >= s.cost - 1e-6);
            }
            s.choice[v] = kept;
        }
        arena_free(a);
    }
}

/* A hundred thousand in a row with connections to the second next; and many that no reduction
 * reaches. */
static void test_size(void **state)
{
    (void)state;
    Random r = {4};
    Arena *a = arena_new();
    Pbqp p = pbqp_new(a);
    for (int v = 0; v < 20000; v++) {
        add_variable(&p, &r);
        for (int back = 1; back <= (v < 15000 ? 2 : 4) && back <= v; back++)
            add_edge(&p, &r, v - back, v);
    }
    const PbqpResult s = pbqp_solve(&p);
    assert_true(isfinite(s.cost));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees_and_joins),
        cmocka_unit_test(test_any_graph),
        cmocka_unit_test(test_large_core),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
