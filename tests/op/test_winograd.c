/* Winograd's minimal filtering: the matrices compute correlations, and the attribute is checked. */
#include "check.h"

#include <math.h>

#include "op/op.h"
#include "op/winograd.h"

enum { TAPS = WINOGRAD_KERNEL };

/* A'((G g) . (B'd)), in one dimension. */
static void filter(const Winograd *w, const double *g, const double *d, double *y)
{
    double product[WINOGRAD_MAX_N];
    for (int i = 0; i < w->n; i++) {
        double kernel = 0, image = 0;
        for (int k = 0; k < TAPS; k++)
            kernel += w->g[i][k] * g[k];
        for (int k = 0; k < w->n; k++)
            image += w->b[i][k] * d[k];
        product[i] = kernel * image;
    }
    for (int k = 0; k < w->m; k++) {
        y[k] = 0;
        for (int i = 0; i < w->n; i++)
            y[k] += w->a[k][i] * product[i];
    }
}

/* Both sides are bilinear: equal on unit vectors means equal. */
static void matrices(void **state)
{
    (void)state;
    for (int m = 2; m <= WINOGRAD_MAX; m += 2) {
        const Winograd w = winograd_matrices(m);
        assert_int_equal(w.n, m + 2);
        for (int tap = 0; tap < TAPS; tap++) {
            for (int at = 0; at < w.n; at++) {
                double g[TAPS] = {0}, d[WINOGRAD_MAX_N] = {0}, y[WINOGRAD_MAX];
                g[tap] = d[at] = 1;
                filter(&w, g, d, y);
                for (int k = 0; k < m; k++)
                    if (!(fabs(y[k] - (k + tap == at)) < 1e-12))
                        FAIL_MSG("F(%d,3), tap %d, element %d: output %d is %.17g", m, tap, at, k,
                                 y[k]);
            }
        }
    }
}

static void infer_job(Context *ctx, void *arg)
{
    op_infer_graph(graph_parse(ctx, "test", arg, strlen(arg)));
}

/* y = conv(x, w, b, u), or as told; NULL: it is right. */
static void check_infer(const char *u, const char *line, const char *message)
{
    Arena *a = arena_new();
    Error e = {0};
    char *text = arena_printf(
        a,
        "graph \"test\"\ninput x f32[1,8,9,9]\ninput w f32[5,8,3,3]\ninput b f32[5]\n"
        "input w1 f32[5,8,1,1]\ninput wg f32[6,4,3,3]\ninput line f32[1,8,9]\ninput wl f32[5,8,3]\n"
        "input u %s\ny = %s\noutput y\n",
        u, line);
    const int code = job_run(a, infer_job, text, &e, NULL);
    if (message ? code != ERR_INVALID || !strstr(e.message, message) : code != 0)
        FAIL_MSG("%s, u %s: '%s', not '%s'", line, u, e.message, message ? message : "");
    arena_free(a);
}

static void inference(void **state)
{
    (void)state;
    static const char together[] = "belong together", kind[] = "wants a 3x3 kernel";
    check_infer("f32[5,8,6,6]", "conv(x, w, b, u) winograd=4", NULL);
    check_infer("f32[5,8,4,4]", "conv(x, w, _, u) winograd=2 pads=[1,1,1,1]", NULL);
    check_infer("f32[5,8,6,6]", "conv(x, w, b, u)", together);
    check_infer("f32[5,8,6,6]", "conv(x, w, b) winograd=4", together);
    check_infer("f32[5,8,6,6]", "conv(x, w, b, _) winograd=4", together);
    check_infer("f32[5,8,5,5]", "conv(x, w, b, u) winograd=3", together);
    check_infer("f32[5,8,6,6]", "conv(x, w, b, u) winograd=-4", together);
    check_infer("f32[5,8,6,6]", "conv(x, w, b, u) winograd=4294967300", together);
    check_infer("f32[5,8,4,4]", "conv(x, w, b, u) winograd=4", "transformed weights and tile");
    check_infer("f32[5,8,6,4]", "conv(x, w, b, u) winograd=4", "transformed weights and tile");
    check_infer("f32[4,8,6,6]", "conv(x, w, b, u) winograd=4",
                "outputs of the transformed weights");
    check_infer("f32[5,7,6,6]", "conv(x, w, b, u) winograd=4",
                "channels of the transformed weights");
    check_infer("f32[5,8,36]", "conv(x, w, b, u) winograd=4", kind);
    check_infer("f16[5,8,6,6]", "conv(x, w, b, u) winograd=4", "differ in type");
    check_infer("f32[5,8,6,6]", "conv(x, w, b, u) winograd=4 strides=[2,2]", kind);
    check_infer("f32[5,8,6,6]", "conv(x, w, b, u) winograd=4 dilations=[1,2]", kind);
    check_infer("f32[5,8,6,6]", "conv(x, w1, b, u) winograd=4", kind);
    check_infer("f32[6,8,6,6]", "conv(x, wg, _, u) winograd=4 group=2", kind);
    check_infer("f32[5,8,6,6]", "conv(line, wl, b, u) winograd=4", kind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(matrices), cmocka_unit_test(inference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
