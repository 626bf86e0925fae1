/* Runs a model once on random numbers and prints the first outputs: cc classify.c -llathe
 *
 *     ./classify model.onnx */
#include <lathe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    lathe_error e;
    lathe_port in;
    if (argc != 2) {
        fprintf(stderr, "usage: classify MODEL.onnx\n");
        return 1;
    }
    lathe_module *m = lathe_compile(argv[1], NULL, &e);
    lathe_session *s = m ? lathe_session_new(m, 0, &e) : NULL;
    if (!s || lathe_input(m, 0, &in) != 0 || in.dtype != LATHE_F32) {
        fprintf(stderr, "%s\n", s ? "the first input is not f32" : e.message);
        lathe_module_free(m);
        return 1;
    }
    size_t n = 1;
    for (int k = 0; k < in.rank; k++) {
        in.dim[k] = in.dim[k] < 0 ? 1 : in.dim[k]; /* open sizes */
        n *= (size_t)in.dim[k];
    }
    float *x = calloc(n ? n : 1, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rand() / (float)RAND_MAX;
    lathe_tensor input = {.dtype = in.dtype, .rank = in.rank, .data = x, .bytes = n * sizeof *x};
    memcpy(input.dim, in.dim, sizeof in.dim);
    int code = lathe_set_input(s, 0, &input, &e);
    if (code == 0)
        code = lathe_run(s, &e);
    lathe_tensor y;
    if (code == 0)
        code = lathe_get_output(s, 0, &y, &e);
    if (code != 0)
        fprintf(stderr, "%s\n", e.message);
    else if (y.dtype == LATHE_F32)
        for (size_t i = 0; i < y.bytes / sizeof(float) && i < 5; i++)
            printf("%g\n", ((const float *)y.data)[i]);
    lathe_session_free(s);
    lathe_module_free(m);
    free(x);
    return code != 0;
}
