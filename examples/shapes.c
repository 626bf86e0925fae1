/* Changing shapes: two threads run one model at once, each with its own session and another batch
 * size every time. Rows of a batch are independent, so every row must come out as it does alone: cc
 * shapes.c -llathe -lpthread
 *
 *     ./shapes MODEL.onnx          one input f32[N,..], one output f32[N,..]; other open dims become 16 */
#include <lathe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_BATCH 5
#define CALLS 20

typedef struct Caller {
    lathe_module *module;
    lathe_tensor x;   /* MAX_BATCH rows */
    const float *row; /* what each of them gives alone */
    size_t width;     /* of a row of the output */
    int first;        /* batch size to begin with */
    int wrong;
    lathe_error error;
} Caller;

static int run_batch(lathe_session *s, const lathe_tensor *x, lathe_tensor *y, lathe_error *error)
{
    int code = lathe_set_input(s, 0, x, error);
    if (code == 0)
        code = lathe_run(s, error);
    return code == 0 ? lathe_get_output(s, 0, y, error) : code;
}

static void *call(void *arg)
{
    Caller *c = arg;
    lathe_session *s = lathe_session_new(c->module, 0, &c->error);
    c->wrong = s == NULL;
    for (int k = 0; k < CALLS && !c->wrong; k++) {
        lathe_tensor x = c->x, y;
        x.dim[0] = (c->first + k) % MAX_BATCH + 1;
        if (run_batch(s, &x, &y, &c->error) != 0 || y.dim[0] != x.dim[0]) {
            c->wrong++;
            break;
        }
        for (size_t i = 0; i < (size_t)x.dim[0] * c->width; i++) {
            const float d = ((const float *)y.data)[i] - c->row[i];
            c->wrong += !(d < 1e-5f && d > -1e-5f);
        }
    }
    lathe_session_free(s);
    return NULL;
}

/* Each row of x on its own: [MAX_BATCH, width]; NULL on failure. */
static float *run_rows(lathe_module *m, const lathe_tensor *x, size_t *width, lathe_error *error)
{
    float *all = NULL;
    const size_t stride = x->bytes / MAX_BATCH;
    lathe_session *s = lathe_session_new(m, 0, error);
    for (int k = 0; s && k < MAX_BATCH; k++) {
        lathe_tensor one = *x, y;
        one.dim[0] = 1;
        one.bytes = stride;
        /* need not be aligned: it is copied then */
        one.data = (char *)x->data + (size_t)k * stride;
        if (run_batch(s, &one, &y, error) != 0) {
            free(all);
            all = NULL;
            break;
        }
        *width = y.bytes / sizeof *all;
        if (!all)
            all = calloc(MAX_BATCH, y.bytes);
        for (size_t i = 0; all && i < *width; i++)
            all[(size_t)k * *width + i] = ((const float *)y.data)[i];
    }
    lathe_session_free(s);
    return all;
}

static int complain(lathe_module *m, float *data, const char *why)
{
    fprintf(stderr, "shapes: %s\n", why);
    free(data);
    lathe_module_free(m);
    return 1;
}

int main(int argc, char **argv)
{
    lathe_error error;
    lathe_port in;
    if (argc != 2)
        return complain(NULL, NULL, "usage: shapes MODEL.onnx");
    lathe_module *m = lathe_compile(argv[1], NULL, &error);
    if (!m)
        return complain(NULL, NULL, error.message);
    if (lathe_input(m, 0, &in) != 0 || in.dtype != LATHE_F32 || in.rank < 1 || in.dim[0] >= 0)
        return complain(m, NULL, "the model's input is not f32 with an open first dim");
    lathe_tensor x = {.dtype = LATHE_F32, .rank = in.rank, .dim = {MAX_BATCH}};
    size_t n = MAX_BATCH;
    for (int i = 1; i < in.rank; i++) {
        x.dim[i] = in.dim[i] >= 0 ? in.dim[i] : 16;
        n *= (size_t)x.dim[i];
    }
    float *data = calloc(n, sizeof *data);
    for (size_t i = 0; data && i < n; i++)
        data[i] = (float)(i % 97) / 97.0f;
    x.data = data;
    x.bytes = n * sizeof *data;
    size_t width = 0;
    float *row = run_rows(m, &x, &width, &error);
    if (!row)
        return complain(m, data, error.message);
    Caller caller[2];
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) {
        caller[i] = (Caller){.module = m, .x = x, .row = row, .width = width, .first = 3 * i};
        if (pthread_create(&thread[i], NULL, call, &caller[i]) != 0)
            return complain(m, data, "no thread");
    }
    int wrong = 0;
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        wrong += caller[i].wrong;
        if (caller[i].error.code != 0)
            fprintf(stderr, "shapes: %s\n", caller[i].error.message);
    }
    printf("2 threads, %d calls each, batches of 1 to %d: %s\n", CALLS, MAX_BATCH,
           wrong ? "WRONG" : "ok");
    lathe_module_free(m);
    free(row);
    free(data);
    return wrong > 0;
}
