/* One start of a deployed model, of a process that is new: from main to the first result, by
 * liblathe_runtime alone.
 *
 *     start MODULE [THREADS]     prints: load, session, first and later run (ms), resident memory (bytes)
 *     start --read MODULE        prints: reading the file through a mapping (ms), its size
 *
 * bench/start runs both for some models. Open sizes are 1. */
#include <lathe.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Bytes of memory in use, files that are mapped included. */
static long resident(void)
{
    long all = 0, here = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &all, &here) != 2)
        here = 0;
    if (f)
        fclose(f);
    return here * sysconf(_SC_PAGESIZE);
}

static int read_file(const char *path)
{
    struct stat st;
    const double start = now_ms();
    const int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        fprintf(stderr, "start: %s cannot be read\n", path);
        return 1;
    }
    const unsigned char *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    unsigned sum = 0;
    for (off_t i = 0; at != MAP_FAILED && i < st.st_size; i += 64)
        sum += at[i];
    printf("%.2f %lld %u\n", now_ms() - start, (long long)st.st_size, sum);
    return at == MAP_FAILED;
}

static int set_inputs(const lathe_module *m, lathe_session *s, lathe_error *e)
{
    int code = 0;
    for (int i = 0; i < lathe_input_count(m) && code == 0; i++) {
        lathe_port p;
        lathe_input(m, i, &p);
        lathe_tensor x = {
            .dtype = p.dtype, .rank = p.rank, .bytes = (size_t)lathe_dtype_size(p.dtype)};
        for (int k = 0; k < p.rank; k++) {
            x.dim[k] = p.dim[k] < 0 ? 1 : p.dim[k];
            x.bytes *= (size_t)x.dim[k];
        }
        x.data = aligned_alloc(64, (x.bytes + 64) / 64 * 64);
        if (!x.data)
            return 1;
        memset(x.data, 0, x.bytes);
        code = lathe_give_input(s, i, &x, free, x.data, e);
    }
    return code;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--read") == 0)
        return read_file(argv[2]);
    const double start = now_ms();
    lathe_error e = {.message = "start MODULE [THREADS]"};
    lathe_module *m = argc > 1 ? lathe_load(argv[1], &e) : NULL;
    const double loaded = now_ms();
    lathe_session *s = m ? lathe_session_new(m, argc > 2 ? atoi(argv[2]) : 0, &e) : NULL;
    int code = s ? set_inputs(m, s, &e) : 1;
    const double ready = now_ms();
    code = code == 0 ? lathe_run(s, &e) : code;
    const double first = now_ms();
    const long memory = resident();
    double later = 1e30; /* what a run takes once everything is warm */
    for (int i = 0; i < 5 && code == 0; i++) {
        const double begin = now_ms();
        code = lathe_run(s, &e);
        const double took = now_ms() - begin;
        later = took < later ? took : later;
    }
    if (code != 0)
        fprintf(stderr, "start: %s\n", e.message);
    else
        printf("%.2f %.2f %.2f %.2f %ld\n", loaded - start, ready - loaded, first - ready, later,
               memory);
    lathe_session_free(s);
    lathe_module_free(m);
    return code != 0;
}
