/* The memory plan: nothing that lives at once overlaps, no plan is below its bound, and none is
 * worse than placing the largest first, which is done here again in a plain way. */
#include "check.h"

#include "runtime/plan.h"

enum { MOST = 64 };

typedef struct Case {
    int n;
    Lifetime life[MOST];
    int64_t bytes[MOST];
} Case;

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static int64_t up(int64_t n)
{
    return (n + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static bool live_at_once(const Case *c, int a, int b)
{
    return c->life[a].first <= c->life[b].last && c->life[b].first <= c->life[a].last;
}

/* Largest first, each at the lowest multiple of the alignment where nothing is in its way. */
static int64_t largest_first(const Case *c)
{
    int64_t at[MOST], total = 0;
    bool placed[MOST] = {0};
    for (int i = 0; i < c->n; i++) {
        int b = -1;
        for (int k = 0; k < c->n; k++)
            if (!placed[k] && (b < 0 || c->bytes[k] > c->bytes[b]))
                b = k;
        at[b] = 0;
        for (int k = 0; k < c->n; k++) {
            if (!placed[k] || !live_at_once(c, b, k) || at[b] >= at[k] + up(c->bytes[k]) ||
                at[k] >= at[b] + up(c->bytes[b]))
                continue;
            at[b] = at[k] + up(c->bytes[k]);
            k = -1; /* look again at all of them */
        }
        placed[b] = true;
        total = at[b] + up(c->bytes[b]) > total ? at[b] + up(c->bytes[b]) : total;
    }
    return total;
}

static PlanSize plan(const Case *c, int64_t *offset)
{
    ProgramBuffer buffer[MOST];
    int32_t scratch[3 * MOST];
    memset(buffer, 0, sizeof buffer);
    for (int i = 0; i < c->n; i++)
        buffer[i].kind = BUF_TEMP;
    const Program p = {.nbuffer = c->n, .buffer = buffer};
    return plan_place(&p, c->life, c->bytes, scratch, offset);
}

static PlanSize check_plan(const Case *c)
{
    int64_t offset[MOST], most = 0, sum = 0;
    const PlanSize size = plan(c, offset);
    for (int a = 0; a < c->n; a++) {
        int64_t live = 0;
        assert_true(offset[a] >= 0 && offset[a] % PLAN_ALIGN == 0 &&
                    offset[a] + up(c->bytes[a]) <= size.slab);
        for (int b = 0; b < c->n; b++) {
            if (b != a && live_at_once(c, a, b))
                assert_true(offset[a] >= offset[b] + c->bytes[b] ||
                            offset[b] >= offset[a] + c->bytes[a]);
            if (c->life[b].first <= c->life[a].first && c->life[b].last >= c->life[a].first)
                live += up(c->bytes[b]);
        }
        most = live > most ? live : most;
        sum += up(c->bytes[a]);
    }
    assert_int_equal(size.bound, most);
    assert_int_equal(size.naive, sum);
    assert_true(size.slab >= size.bound && size.slab <= size.naive);
    return size;
}

/* A chain of layers, each with a buffer between: two at once. */
static void chain_is_tight(void **state)
{
    (void)state;
    Case c = {.n = 20};
    for (int i = 0; i < c.n; i++) {
        c.life[i] = (Lifetime){i, i + 1, i};
        c.bytes[i] = 64 * (i * 7 % 11 + 1);
    }
    const PlanSize size = check_plan(&c);
    assert_true((double)size.slab <= 1.1 * (double)size.bound);
}

/* Random ones, some of which live long: other orders than by size are better for many. */
static void order_matters(void **state)
{
    (void)state;
    uint64_t seed = 1;
    int better = 0;
    double worst = 1;
    for (int round = 0; round < 400; round++) {
        Case c = {.n = 2 + (int)(next_random(&seed) % (MOST - 2))};
        for (int i = 0; i < c.n; i++) {
            const int first = (int)(next_random(&seed) % 40);
            const int length = next_random(&seed) % 4 == 0 ? (int)(next_random(&seed) % 30)
                                                           : (int)(next_random(&seed) % 4);
            c.life[i] = (Lifetime){first, first + length, i};
            c.bytes[i] = 1 + (int64_t)(next_random(&seed) % 5000);
        }
        const PlanSize size = check_plan(&c);
        const int64_t plain = largest_first(&c);
        assert_true(size.slab <= plain);
        better += size.slab < plain;
        worst = (double)size.slab / (double)size.bound > worst
                    ? (double)size.slab / (double)size.bound
                    : worst;
    }
    assert_true(better > 100);
    assert_true(worst < 1.3);
}

/* Buffers of no temporaries and those that nothing touches have no place; no buffers, no slab. */
static void unused_have_no_place(void **state)
{
    (void)state;
    int64_t offset[3];
    int32_t scratch[9];
    const int64_t bytes[3] = {100, 100, 100};
    const Lifetime life[3] = {{0, 1, 0}, {0, -1, 1}, {0, 3, 2}};
    ProgramBuffer buffer[3];
    memset(buffer, 0, sizeof buffer);
    buffer[0].kind = BUF_INPUT;
    buffer[1].kind = buffer[2].kind = BUF_TEMP;
    Program p = {.nbuffer = 3, .buffer = buffer};
    PlanSize size = plan_place(&p, life, bytes, scratch, offset);
    assert_int_equal(offset[0], -1);
    assert_int_equal(offset[1], -1);
    assert_int_equal(offset[2], 0);
    assert_int_equal(size.slab, 128);
    p.nbuffer = 0;
    size = plan_place(&p, life, bytes, scratch, offset);
    assert_int_equal(size.slab + size.bound + size.naive, 0);
}

/* x -> a -> b -> y, each element by element: all lie in one place, unless something else needs what
 * is replaced. */
static void in_place(void **state)
{
    enum { X, A, B, Y, BUFFERS };
    static const int32_t arg[] = {0, 1, 1, 0, 0, X, A, /* step 0: a = f(x) */
                                  0, 1, 1, 0, 0, A, B, /* step 1: b = f(a) */
                                  0, 2, 1, 0, 0, A, B, B, /* b = f(a, b) */
                                  0, 1, 1, 0, 0, B, Y};
    ProgramStep step[] = {{.code = PSTEP_KERNEL, .narg = 7, .arg = 0},
                          {.code = PSTEP_KERNEL, .narg = 7, .arg = 7},
                          {.code = PSTEP_KERNEL, .narg = 7, .arg = 22}};
    ProgramBuffer buffer[BUFFERS];
    const int64_t bytes[BUFFERS] = {100, 100, 100, 100};
    int64_t offset[BUFFERS];
    int32_t scratch[3 * BUFFERS];
    Arena *a = arena_new();
    (void)state;
    memset(buffer, 0, sizeof buffer);
    buffer[X].kind = BUF_INPUT;
    for (int b = A; b <= Y; b++)
        buffer[b].kind = BUF_TEMP;
    buffer[B].replaces = A;
    buffer[Y].replaces = B;
    Program p = {.nbuffer = BUFFERS, .buffer = buffer, .nstep = 3, .step = step, .arg = arg};
    const Lifetime *life = plan_lifetimes(a, &p);
    assert_int_equal(life[B].home, A);
    assert_int_equal(life[Y].home, A);
    assert_int_equal(plan_place(&p, life, bytes, scratch, offset).slab, 128);
    assert_int_equal(offset[Y], offset[A]);
    step[2].arg = 7; /* b again, of an a that is not dead then: nothing is in place */
    life = plan_lifetimes(a, &p);
    assert_int_equal(life[B].home, B);
    assert_int_equal(plan_place(&p, life, bytes, scratch, offset).slab, 256);
    assert_true(offset[A] != offset[B]);
    step[2].arg = 22;
    step[1].arg = 14; /* reads b too: what it reads otherwise may not be replaced */
    step[1].narg = 8;
    life = plan_lifetimes(a, &p);
    assert_int_equal(life[B].home, B);
    /* A view of a is read beside a. */
    static const int32_t both[] = {0, 1, 1, 0, 0, X, A, 0, 2, 1, 0, 0, A, Y, B};
    p.arg = both;
    p.nstep = 2;
    step[1] = (ProgramStep){.code = PSTEP_KERNEL, .narg = 8, .arg = 7};
    buffer[Y] = (ProgramBuffer){.kind = BUF_VIEW, .parent = A, .offset = -1};
    life = plan_lifetimes(a, &p);
    assert_int_equal(life[B].home, B);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_is_tight),
        cmocka_unit_test(order_matters),
        cmocka_unit_test(unused_have_no_place),
        cmocka_unit_test(in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
