/* See pbqp.h. */
#include "pass/pbqp.h"

#include <math.h>

#define MAX_ATTEMPTS 256 /* complete ones, for what no reduction reaches */
#define MAX_CORE 256     /* variables that no reduction reaches: with more, none is tried */
#define MAX_SWEEPS 16    /* of changing single choices */

Pbqp pbqp_new(Arena *a)
{
    return (Pbqp){.arena = a};
}

int pbqp_variable(Pbqp *p, int n, const double *cost)
{
    PbqpVariable v = {.n = n};
    for (int i = 0; i < n; i++) {
        v.cost[i] = cost[i];
    }
    vec_push(p->arena, &p->variable, v);
    return p->variable.len - 1;
}

static int other_end(const PbqpEdge *e, int v)
{
    return e->a == v ? e->b : e->a;
}

static double edge_cost(const PbqpEdge *e, int v, int choice, int other)
{
    return e->a == v ? e->cost[choice][other] : e->cost[other][choice];
}

PbqpEdge *pbqp_edge(Pbqp *p, int a, int b)
{
    const int few = p->variable.at[a].edge.len <= p->variable.at[b].edge.len ? a : b;
    for (int i = 0; i < p->variable.at[few].edge.len; i++) {
        PbqpEdge *e = &p->edge.at[p->variable.at[few].edge.at[i]];
        if (other_end(e, few) == a + b - few) {
            return e;
        }
    }
    const PbqpEdge fresh = {.a = a, .b = b};
    const int id = p->edge.len;
    vec_push(p->arena, &p->edge, fresh);
    vec_push(p->arena, &p->variable.at[a].edge, id);
    vec_push(p->arena, &p->variable.at[b].edge, id);
    return &p->edge.at[id];
}

double pbqp_cost(const Pbqp *p, const int *choice)
{
    double sum = 0;
    for (int v = 0; v < p->variable.len; v++) {
        sum += p->variable.at[v].cost[choice[v]];
    }
    for (int i = 0; i < p->edge.len; i++) {
        const PbqpEdge *e = &p->edge.at[i];
        sum += e->cost[choice[e->a]][choice[e->b]];
    }
    return sum;
}

/* ---- reductions ---- */

typedef struct Solve {
    Pbqp *p;
    bool *gone;       /* by variable: reduced */
    int *degree;      /* edges to variables that are not gone */
    int *choice;
    VEC(int) open;    /* may have few edges */
    VEC(int) order;   /* reduced, in this order; chosen the other way round */
    int *attempts;    /* left */
    bool exact;
} Solve;

static int neighbours(const Solve *s, int v, int *edge, int most)
{
    int n = 0;
    const PbqpVariable *x = &s->p->variable.at[v];
    for (int i = 0; i < x->edge.len && n < most; i++) {
        if (!s->gone[other_end(&s->p->edge.at[x->edge.at[i]], v)]) {
            edge[n++] = x->edge.at[i];
        }
    }
    return n;
}

static void lose_edge(Solve *s, int v)
{
    if (--s->degree[v] <= 2) {
        vec_push(s->p->arena, &s->open, v);
    }
}

/* The least cost of x and its edges, the choices at their other ends given. */
static double best_with(const Solve *s, int x, int n, const int *edge, const int *other)
{
    double best = INFINITY;
    for (int i = 0; i < s->p->variable.at[x].n; i++) {
        double cost = s->p->variable.at[x].cost[i];
        for (int k = 0; k < n; k++) {
            cost += edge_cost(&s->p->edge.at[edge[k]], x, i, other[k]);
        }
        best = fmin(best, cost);
    }
    return best;
}

static void reduce_one(Solve *s, int x, int edge)
{
    PbqpVariable *y = &s->p->variable.at[other_end(&s->p->edge.at[edge], x)];
    for (int j = 0; j < y->n; j++) {
        y->cost[j] += best_with(s, x, 1, &edge, &j);
    }
    lose_edge(s, other_end(&s->p->edge.at[edge], x));
}

static void reduce_two(Solve *s, int x, const int edge[2])
{
    Pbqp *p = s->p;
    const int y = other_end(&p->edge.at[edge[0]], x), z = other_end(&p->edge.at[edge[1]], x);
    const int before = p->edge.len;
    PbqpEdge sum = *pbqp_edge(p, y, z);
    const int id = (int)(pbqp_edge(p, y, z) - p->edge.at);
    for (int j = 0; j < p->variable.at[sum.a].n; j++) {
        for (int k = 0; k < p->variable.at[sum.b].n; k++) {
            const int other[2] = {sum.a == y ? j : k, sum.a == y ? k : j};
            sum.cost[j][k] += best_with(s, x, 2, edge, other);
        }
    }
    p->edge.at[id] = sum;
    if (p->edge.len > before) {
        s->degree[y]++;
        s->degree[z]++;
    }
    lose_edge(s, y);
    lose_edge(s, z);
}

static void reduce_all(Solve *s)
{
    while (s->open.len > 0) {
        const int x = s->open.at[--s->open.len];
        if (s->gone[x] || s->degree[x] > 2) {
            continue;
        }
        int edge[2];
        const int n = neighbours(s, x, edge, 2);
        s->gone[x] = true;
        vec_push(s->p->arena, &s->order, x);
        if (n == 1) {
            reduce_one(s, x, edge[0]);
        } else if (n == 2) {
            reduce_two(s, x, edge);
        }
    }
}

/* Every variable that was reduced, given those that were reduced after it. `gone` is cleared on the
 * way. */
static void choose_reduced(Solve *s)
{
    for (int i = s->order.len - 1; i >= 0; i--) {
        const int x = s->order.at[i];
        int edge[2], other[2];
        const int n = neighbours(s, x, edge, 2);
        for (int k = 0; k < n; k++) {
            other[k] = s->choice[other_end(&s->p->edge.at[edge[k]], x)];
        }
        double best = INFINITY;
        for (int c = 0; c < s->p->variable.at[x].n; c++) {
            double cost = s->p->variable.at[x].cost[c];
            for (int k = 0; k < n; k++) {
                cost += edge_cost(&s->p->edge.at[edge[k]], x, c, other[k]);
            }
            if (cost < best) {
                best = cost;
                s->choice[x] = c;
            }
        }
        s->gone[x] = false;
    }
}

/* ---- what is left ---- */

/* By what it costs beside the best of each neighbour. */
static int likely_choice(const Solve *s, int x)
{
    const PbqpVariable *v = &s->p->variable.at[x];
    double best = INFINITY;
    int choice = 0;
    for (int c = 0; c < v->n; c++) {
        double cost = v->cost[c];
        for (int i = 0; i < v->edge.len; i++) {
            const PbqpEdge *e = &s->p->edge.at[v->edge.at[i]];
            const int y = other_end(e, x);
            double least = INFINITY;
            for (int j = 0; j < s->p->variable.at[y].n && !s->gone[y]; j++) {
                least = fmin(least, s->p->variable.at[y].cost[j] + edge_cost(e, x, c, j));
            }
            cost += s->gone[y] ? 0 : least;
        }
        if (cost < best) {
            best = cost;
            choice = c;
        }
    }
    return choice;
}

/* Takes x out of the problem: its neighbours bear what the choice costs with theirs. */
static void fix(Solve *s, int x, int choice)
{
    PbqpVariable *v = &s->p->variable.at[x];
    s->choice[x] = choice;
    s->gone[x] = true;
    for (int i = 0; i < v->edge.len; i++) {
        const PbqpEdge *e = &s->p->edge.at[v->edge.at[i]];
        const int y = other_end(e, x);
        if (s->gone[y]) {
            continue;
        }
        for (int j = 0; j < s->p->variable.at[y].n; j++) {
            s->p->variable.at[y].cost[j] += edge_cost(e, x, choice, j);
        }
        lose_edge(s, y);
    }
}

static void solve(Solve *s);

/* The variables that are left, but for x, which has that choice. */
static Pbqp core_without(const Solve *s, int x, int choice, int *number)
{
    Pbqp core = pbqp_new(s->p->arena);
    for (int v = 0; v < s->p->variable.len; v++) {
        number[v] = s->gone[v] || v == x
                        ? -1
                        : pbqp_variable(&core, s->p->variable.at[v].n, s->p->variable.at[v].cost);
    }
    for (int i = 0; i < s->p->edge.len; i++) {
        const PbqpEdge *e = &s->p->edge.at[i];
        const int a = number[e->a], b = number[e->b];
        if (a >= 0 && b >= 0) {
            PbqpEdge *to = pbqp_edge(&core, a, b);
            const PbqpEdge copy = {.a = to->a, .b = to->b};
            *to = copy;
            for (int j = 0; j < PBQP_CHOICES; j++) {
                for (int k = 0; k < PBQP_CHOICES; k++) {
                    to->cost[j][k] = to->a == a ? e->cost[j][k] : e->cost[k][j];
                }
            }
        } else if (a >= 0 && e->b == x) {
            for (int j = 0; j < core.variable.at[a].n; j++) {
                core.variable.at[a].cost[j] += e->cost[j][choice];
            }
        } else if (b >= 0 && e->a == x) {
            for (int k = 0; k < core.variable.at[b].n; k++) {
                core.variable.at[b].cost[k] += e->cost[choice][k];
            }
        }
    }
    return core;
}

static Pbqp copy(const Pbqp *p)
{
    Pbqp view = *p;
    const Solve all = {.p = &view, .gone = arena_array_of(p->arena, p->variable.len + 1, bool)};
    return core_without(&all, -1, 0, arena_array_of(p->arena, p->variable.len + 1, int));
}

static Solve solve_new(Pbqp *p, int *attempts)
{
    const int n = p->variable.len;
    Solve s = {.p = p, .attempts = attempts, .exact = true};
    s.gone = arena_array_of(p->arena, n + 1, bool);
    s.degree = arena_array_of(p->arena, n + 1, int);
    s.choice = arena_array_of(p->arena, n + 1, int);
    for (int v = n - 1; v >= 0; v--) {
        s.degree[v] = p->variable.at[v].edge.len;
        vec_push(p->arena, &s.open, v);
    }
    return s;
}

/* Tries all choices of x. */
static void branch(Solve *s, int x)
{
    Arena *const arena = s->p->arena;
    const int n = s->p->variable.len;
    double best = INFINITY;
    int *chosen = arena_array_of(arena, n + 1, int);
    for (int c = 0; c < s->p->variable.at[x].n; c++) {
        Arena *scratch = arena_child(arena);
        Pbqp view = *s->p;
        view.arena = scratch;
        const Solve outer = {.p = &view, .gone = s->gone};
        int *number = arena_array_of(scratch, n + 1, int);
        Pbqp core = core_without(&outer, x, c, number);
        const Pbqp kept = copy(&core); /* solving uses one up */
        Solve inner = solve_new(&core, s->attempts);
        solve(&inner);
        s->exact &= inner.exact;
        const double cost = s->p->variable.at[x].cost[c] + pbqp_cost(&kept, inner.choice);
        for (int v = 0; v < n && cost < best; v++) {
            if (number[v] >= 0) {
                chosen[v] = inner.choice[number[v]];
            }
        }
        if (cost < best) {
            best = cost;
            chosen[x] = c;
        }
        arena_free(scratch);
    }
    for (int v = 0; v < n; v++) {
        s->choice[v] = s->gone[v] ? s->choice[v] : chosen[v];
    }
}

static void solve(Solve *s)
{
    const int n = s->p->variable.len;
    VEC(int) fixed = {0};
    int first = 0;
    for (;;) {
        reduce_all(s);
        while (first < n && s->gone[first]) {
            first++;
        }
        if (first == n) {
            --*s->attempts;
            break;
        }
        int left = 0, x = first;
        for (int v = first; v < n && left <= MAX_CORE; v++) {
            left += !s->gone[v];
            x = !s->gone[v] && s->degree[v] > s->degree[x] ? v : x;
        }
        if (left <= MAX_CORE && *s->attempts > 0) {
            branch(s, x);
            break;
        }
        s->exact = false;
        fix(s, x, likely_choice(s, x));
        vec_push(s->p->arena, &fixed, x);
    }
    /* What was fixed is in the costs of its neighbours already. */
    choose_reduced(s);
}

/* ---- single changes ---- */

static bool improve(const Pbqp *p, int *choice, int x)
{
    const PbqpVariable *v = &p->variable.at[x];
    const int before = choice[x];
    double best = INFINITY, old = INFINITY;
    int found = before;
    for (int c = 0; c < v->n; c++) {
        double cost = v->cost[c];
        for (int i = 0; i < v->edge.len; i++) {
            const PbqpEdge *e = &p->edge.at[v->edge.at[i]];
            cost += edge_cost(e, x, c, choice[other_end(e, x)]);
        }
        old = c == before ? cost : old;
        if (cost < best) {
            best = cost;
            found = c;
        }
    }
    if (best < old) {
        choice[x] = found;
    }
    return best < old;
}

PbqpResult pbqp_solve(Pbqp *p)
{
    const Pbqp original = copy(p);
    int attempts = MAX_ATTEMPTS;
    Solve s = solve_new(p, &attempts);
    solve(&s);
    bool changed = !s.exact;
    for (int sweep = 0; changed && sweep < MAX_SWEEPS; sweep++) {
        changed = false;
        for (int v = 0; v < original.variable.len; v++) {
            changed |= improve(&original, s.choice, v);
        }
    }
    return (PbqpResult){
        .choice = s.choice, .cost = pbqp_cost(&original, s.choice), .exact = s.exact};
}
