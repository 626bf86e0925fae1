/* Measuring peaks (see peak.h for the method). */
#include "target/peak.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/file.h"
#include "target/target.h"

#if defined(__x86_64__)

enum { MAX_THREADS = 256 };

/* ---- kernels: `n` iterations; return what one iteration did (operations or bytes) ---- */
#define FMA(form, b, c, a) "vfmadd231ps %%" form b ", %%" form c ", %%" form a "\n\t"
#define ZERO(form, a) "vxorps %%" form a ", %%" form a ", %%" form a "\n\t"

static double fma_avx2(void *buffer, int64_t size, int64_t n)
{
    (void)buffer;
    (void)size;
#define EACH(X)                                                                                    \
    X("0") X("1") X("2") X("3") X("4") X("5") X("6") X("7") X("8") X("9") X("10") X("11")
#define ZERO_ONE(k) ZERO("ymm", k)
#define FMA_ONE(k) FMA("ymm", "12", "13", k)
    __asm__ volatile(EACH(ZERO_ONE) ZERO("ymm", "12") ZERO("ymm", "13")
                     "1:\n\t" EACH(FMA_ONE) "dec %0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(n)
                     :
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
#undef EACH
#undef ZERO_ONE
#undef FMA_ONE
    return 12 * 8 * 2;
}

__attribute__((target("avx512f"))) static double fma_avx512(void *buffer, int64_t size, int64_t n)
{
    (void)buffer;
    (void)size;
#define EACH(X)                                                                                    \
    X("0") X("1") X("2") X("3") X("4") X("5") X("6") X("7") X("8") X("9") X("10") X("11")          \
    X("12") X("13") X("14") X("15") X("16") X("17") X("18") X("19") X("20") X("21") X("22") X("23")
#define ZERO_ONE(k) "vpxorq %%zmm" k ", %%zmm" k ", %%zmm" k "\n\t"
#define FMA_ONE(k) FMA("zmm", "24", "25", k)
    __asm__ volatile(EACH(ZERO_ONE) ZERO_ONE("24")
                         ZERO_ONE("25") "1:\n\t" EACH(FMA_ONE) "dec %0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(n)
                     :
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16",
                       "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",
                       "xmm25");
#undef EACH
#undef ZERO_ONE
#undef FMA_ONE
    return 24 * 16 * 2;
}

/* Pairs of i16: the sum of two products, and an addition to one of 12 sums. */
static double madd_avx2(void *buffer, int64_t size, int64_t n)
{
    (void)buffer;
    (void)size;
#define EACH(X)                                                                                    \
    X("0") X("1") X("2") X("3") X("4") X("5") X("6") X("7") X("8") X("9") X("10") X("11")
#define ZERO_ONE(k) ZERO("ymm", k)
#define MADD_ONE(k)                                                                                \
    "vpmaddwd %%ymm12, %%ymm13, %%ymm14\n\tvpaddd %%ymm14, %%ymm" k ", %%ymm" k "\n\t"
    __asm__ volatile(EACH(ZERO_ONE) ZERO("ymm", "12") ZERO("ymm", "13")
                     "1:\n\t" EACH(MADD_ONE) "dec %0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(n)
                     :
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14");
#undef EACH
#undef ZERO_ONE
#undef MADD_ONE
    return 12 * 16 * 2;
}

/* 24 sums of 512 bits; `operations` of one instruction. */
#define EACH(X)                                                                                    \
    X("0") X("1") X("2") X("3") X("4") X("5") X("6") X("7") X("8") X("9") X("10") X("11")          \
    X("12") X("13") X("14") X("15") X("16") X("17") X("18") X("19") X("20") X("21") X("22") X("23")
#define ZERO_ONE(k) "vpxorq %%zmm" k ", %%zmm" k ", %%zmm" k "\n\t"
#define DOT_AVX512(name, one, operations)                                                          \
    __attribute__((target("avx512f"))) static double name(void *buffer, int64_t size, int64_t n)   \
    {                                                                                              \
        (void)buffer;                                                                              \
        (void)size;                                                                                \
        __asm__ volatile(EACH(ZERO_ONE) ZERO_ONE("24") ZERO_ONE("25")                              \
                         "1:\n\t" EACH(one) "dec %0\n\tjnz 1b\n\tvzeroupper"                      \
                         : "+r"(n)                                                                 \
                         :                                                                         \
                         : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",   \
                           "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",   \
                           "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", \
                           "xmm24", "xmm25", "xmm26");                                             \
        return 24 * (operations);                                                                  \
    }
#define MADD_ONE(k)                                                                                \
    "vpmaddwd %%zmm24, %%zmm25, %%zmm26\n\tvpaddd %%zmm26, %%zmm" k ", %%zmm" k "\n\t"
#define BF16_ONE(k) "vdpbf16ps %%zmm24, %%zmm25, %%zmm" k "\n\t"
#define INT8_ONE(k) "vpdpbusd %%zmm24, %%zmm25, %%zmm" k "\n\t"
DOT_AVX512(madd_avx512, MADD_ONE, 32 * 2)
DOT_AVX512(bf16_avx512, BF16_ONE, 32 * 2)
DOT_AVX512(int8_avx512, INT8_ONE, 64 * 2)
#undef EACH
#undef ZERO_ONE
#undef MADD_ONE

/* Six tiles of sums, all of 16 rows of 64 bytes. */
static const uint8_t whole_tiles[64] = {
    1, [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64, [26] = 64, [28] = 64, [30] = 64,
    [48] = 16, 16, 16, 16, 16, 16, 16, 16,
};
#define DOT_TILES(name, dot, operations)                                                           \
    static double name(void *buffer, int64_t size, int64_t n)                                      \
    {                                                                                              \
        (void)buffer;                                                                              \
        (void)size;                                                                                \
        __asm__ volatile("ldtilecfg %1\n\t" /* clears them */                                      \
                         "1:\n\t" dot " %%tmm7, %%tmm6, %%tmm0\n\t" dot                            \
                         " %%tmm7, %%tmm6, %%tmm1\n\t" dot " %%tmm7, %%tmm6, %%tmm2\n\t" dot       \
                         " %%tmm7, %%tmm6, %%tmm3\n\t" dot " %%tmm7, %%tmm6, %%tmm4\n\t" dot       \
                         " %%tmm7, %%tmm6, %%tmm5\n\t"                                             \
                         "dec %0\n\tjnz 1b\n\ttilerelease"                                         \
                         : "+r"(n)                                                                 \
                         : "m"(whole_tiles)                                                        \
                         : "cc");                                                                  \
        return 6.0 * (operations);                                                                 \
    }
DOT_TILES(bf16_tiles, "tdpbf16ps", 16 * 16 * 32 * 2)
DOT_TILES(int8_tiles, "tdpbusd", 16 * 16 * 64 * 2)

/* Passes over the buffer, 8 vectors an iteration. `move` makes the 8 instructions. */
#define STREAM(name, attribute, vector_bytes, per_pass, move)                                      \
    attribute static double name(void *buffer, int64_t size, int64_t n)                            \
    {                                                                                              \
        const int64_t step = 8 * (vector_bytes) * (per_pass);                                      \
        for (int64_t pass = 0; pass < n; pass++) {                                                 \
            uint8_t *p = buffer, *q = p + size / 2;                                                \
            int64_t k = size / step;                                                               \
            __asm__ volatile("1:\n\t" move "add %3, %0\n\tadd %3, %1\n\tdec %2\n\tjnz 1b\n\t"      \
                             "vzeroupper"                                                          \
                             : "+r"(p), "+r"(q), "+r"(k)                                           \
                             : "r"(step / (per_pass))                                              \
                             : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",     \
                               "xmm6", "xmm7");                                                    \
        }                                                                                          \
        return (double)(size / step * step);                                                       \
    }
#define R(v, at, k) "vmovups " at "(%0), %%" v k "\n\t"
#define W(v, at, k) "vmovups %%" v k ", " at "(%0)\n\t"
#define C(v, at, k) "vmovups " at "(%0), %%" v k "\n\tvmovups %%" v k ", " at "(%1)\n\t"
#define EIGHT_32(X)                                                                                \
    X("ymm", "0", "0") X("ymm", "32", "1") X("ymm", "64", "2") X("ymm", "96", "3")                 \
    X("ymm", "128", "4") X("ymm", "160", "5") X("ymm", "192", "6") X("ymm", "224", "7")
#define EIGHT_64(X)                                                                                \
    X("zmm", "0", "0") X("zmm", "64", "1") X("zmm", "128", "2") X("zmm", "192", "3")               \
    X("zmm", "256", "4") X("zmm", "320", "5") X("zmm", "384", "6") X("zmm", "448", "7")
STREAM(read_avx2, , 32, 1, EIGHT_32(R))
STREAM(write_avx2, , 32, 1, EIGHT_32(W))
STREAM(copy_avx2, , 32, 2, EIGHT_32(C))
#define AVX512 __attribute__((target("avx512f")))
STREAM(read_avx512, AVX512, 64, 1, EIGHT_64(R))
STREAM(write_avx512, AVX512, 64, 1, EIGHT_64(W))
STREAM(copy_avx512, AVX512, 64, 2, EIGHT_64(C))

static double add_chain(void *buffer, int64_t size, int64_t n)
{
    (void)buffer;
    (void)size;
    int64_t v = 0;
    __asm__ volatile("1:\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\t"
                     "add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tdec %1\n\tjnz 1b"
                     : "+r"(v), "+r"(n)
                     :
                     : "cc");
    return 8;
}

typedef double (*PeakKernel)(void *buffer, int64_t size, int64_t n);

typedef struct PeakKernels {
    PeakKernel stream[PEAK_ACCESSES], product[PEAK_PRODUCTS];
} PeakKernels;

static const PeakKernels kernels_avx2 = {
    {read_avx2, write_avx2, copy_avx2}, {[PEAK_F32] = fma_avx2, [PEAK_I16] = madd_avx2}};
static const PeakKernels kernels_avx512 = {
    {read_avx512, write_avx512, copy_avx512},
    {fma_avx512, madd_avx512, bf16_avx512, int8_avx512, bf16_tiles, int8_tiles},
};

/* ---- the measuring threads ---- */
typedef struct PeakRun {
    PeakKernel kernel;
    int64_t size, n;
    int threads, repeats;
    pthread_barrier_t barrier;
    double seconds[MAX_THREADS], best; /* best: written by thread 0 */
    double work[MAX_THREADS];          /* of n iterations */
    uint8_t *buffer[MAX_THREADS];
} PeakRun;

typedef struct PeakThread {
    PeakRun *run;
    int id;
} PeakThread;

static void *run_thread(void *arg)
{
    const PeakThread *t = arg;
    PeakRun *r = t->run;
    for (int k = 0; k < r->repeats; k++) {
        pthread_barrier_wait(&r->barrier);
        const double begin = time_now();
        r->work[t->id] = r->kernel(r->buffer[t->id], r->size, r->n) * (double)r->n;
        r->seconds[t->id] = time_now() - begin;
        pthread_barrier_wait(&r->barrier);
        if (t->id != 0)
            continue;
        double slowest = 0, work = 0;
        for (int i = 0; i < r->threads; i++) {
            slowest = r->seconds[i] > slowest ? r->seconds[i] : slowest;
            work += r->work[i];
        }
        r->best = slowest > 0 && work / slowest > r->best ? work / slowest : r->best;
    }
    return NULL;
}

/* The CPUs this process may use, in order. */
static int allowed_cpus(int *cpu, int limit)
{
    cpu_set_t set;
    int n = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 0;
    for (int k = 0; k < CPU_SETSIZE && n < limit; k++)
        if (CPU_ISSET(k, &set))
            cpu[n++] = k;
    return n;
}

/* In the attributes: a thread must not depend on the mask that it would inherit. */
static int start_thread(pthread_t *thread, PeakThread *t, int cpu)
{
    pthread_attr_t attr;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_attr_init(&attr);
    pthread_attr_setaffinity_np(&attr, sizeof set, &set);
    const int code = pthread_create(thread, &attr, run_thread, t);
    pthread_attr_destroy(&attr);
    return code;
}

/* Work per second, all threads together. */
static int measure(PeakRun *r, double *out, Error *e)
{
    pthread_t thread[MAX_THREADS];
    PeakThread t[MAX_THREADS];
    int cpu[MAX_THREADS];
    const int cpus = allowed_cpus(cpu, MAX_THREADS);
    if (cpus < r->threads)
        return error_set(e, ERR_INVALID, "peak: %d threads on %d CPUs", r->threads, cpus);
    r->best = 0;
    pthread_barrier_init(&r->barrier, NULL, (unsigned)r->threads);
    for (int k = 0; k < r->threads; k++) {
        t[k] = (PeakThread){r, k};
        if (start_thread(&thread[k], &t[k], cpu[k]) != 0)
            /* The others wait at the barrier for good: nothing to go back to. */
            return error_set(e, ERR_MEMORY, "peak: thread %d of %d could not be started", k,
                             r->threads);
    }
    for (int k = 0; k < r->threads; k++)
        pthread_join(thread[k], NULL);
    pthread_barrier_destroy(&r->barrier);
    *out = r->best;
    return ERR_OK;
}

static int check(int threads, PeakKernels *out, Error *e)
{
    const Target t = target_native();
    const char *missing;
    if (threads < 1 || threads > MAX_THREADS)
        return error_set(e, ERR_INVALID, "peak: %d threads", threads);
    if (!target_runs(&t, &missing))
        return error_set(e, ERR_UNSUPPORTED, "peak: this CPU lacks %s", missing);
    *out = t.vector_bytes == 64 ? kernels_avx512 : kernels_avx2;
    const bool has[PEAK_PRODUCTS] = {true, true, t.bf16, t.vnni, t.amx, t.amx};
    for (int k = 0; k < PEAK_PRODUCTS; k++)
        out->product[k] = has[k] ? out->product[k] : NULL;
    return ERR_OK;
}

int peak_gops(int threads, PeakProduct product, double *out, Error *e)
{
    PeakKernels k = {0};
    *out = 0;
    int code = check(threads, &k, e);
    if (code != ERR_OK || !k.product[product])
        return code;
    const bool f32 = product == PEAK_F32;
    PeakRun r = {.kernel = k.product[product],
                 .n = f32 ? 200000 : 40000,
                 .threads = threads,
                 .repeats = f32 ? 80 : 40};
    code = measure(&r, out, e);
    *out *= 1e-9;
    return code;
}

/* Bytes a thread's buffer has: well inside its cache, DRAM well outside of all. */
static int64_t buffer_size(PeakMemory memory, const Target *t, int threads)
{
    const int64_t l2 = t->l2 > 0 ? t->l2 : 256 << 10, l3 = t->l3 > 0 ? t->l3 : 8 << 20;
    int64_t size = 24 << 10;
    if (memory == PEAK_L2)
        size = l2 / 2;
    if (memory == PEAK_L3)
        size = (l3 / 4 > 2 * l2 ? l3 / 4 : 2 * l2) / threads;
    if (memory == PEAK_DRAM)
        size = (l3 * 4 > 256 << 20 ? l3 * 4 : 256 << 20) / threads;
    return size / 4096 * 4096;
}

static int measure_memory(PeakRun *r, PeakResult *out, const PeakKernels *k, PeakMemory memory,
                          Error *e)
{
    for (int access = 0; access < PEAK_ACCESSES; access++) {
        r->kernel = k->stream[access];
        r->n = r->size > 32 << 20 ? 1 : (32 << 20) / r->size / 2 + 1;
        r->repeats = memory == PEAK_DRAM ? 5 : 40;
        const int code = measure(r, &out->gbs[memory][access], e);
        out->gbs[memory][access] *= 1e-9;
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

static int measure_memories(PeakResult *out, const PeakKernels *k, Error *e)
{
    const Target t = target_native();
    PeakRun r = {.threads = out->threads};
    const size_t huge = 2 << 20;
    const size_t each = ((size_t)buffer_size(PEAK_DRAM, &t, r.threads) + huge) / huge * huge;
    const size_t all = each * (size_t)r.threads + huge;
    uint8_t *memory = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return error_set(e, ERR_MEMORY, "peak: no memory for buffers of %zu bytes", all);
    madvise(memory, all, MADV_HUGEPAGE);
    uint8_t *first = memory + (huge - (uintptr_t)memory % huge) % huge;
    for (int i = 0; i < r.threads; i++)
        r.buffer[i] = first + each * (size_t)i;
    /* Untouched memory is one page of zeros, which reads would find in the cache. */
    double touched;
    r.kernel = k->stream[PEAK_WRITE];
    r.size = buffer_size(PEAK_DRAM, &t, r.threads);
    r.n = r.repeats = 1;
    int code = measure(&r, &touched, e);
    for (int m = 0; m < PEAK_MEMORIES && code == ERR_OK; m++) {
        r.size = buffer_size((PeakMemory)m, &t, r.threads);
        code = measure_memory(&r, out, k, (PeakMemory)m, e);
    }
    munmap(memory, all);
    return code;
}

int peak_measure(int threads, PeakResult *out, Error *e)
{
    *out = (PeakResult){.threads = threads};
    PeakKernels k = {0};
    int code = check(threads, &k, e);
    if (code != ERR_OK)
        return code;
    PeakRun clock = {.kernel = add_chain, .n = 200000, .threads = threads, .repeats = 40};
    code = measure(&clock, &out->ghz, e);
    out->ghz *= 1e-9 / threads;
    for (int i = 0; i < PEAK_PRODUCTS && code == ERR_OK; i++)
        code = peak_gops(threads, (PeakProduct)i, &out->gops[i], e);
    return code == ERR_OK ? measure_memories(out, &k, e) : code;
}

#else
int peak_gops(int threads, PeakProduct product, double *out, Error *e)
{
    (void)threads;
    (void)product;
    (void)out;
    return error_set(e, ERR_UNSUPPORTED, "peak: this CPU is no x86-64");
}

int peak_measure(int threads, PeakResult *out, Error *e)
{
    return peak_gops(threads, PEAK_F32, &out->gops[PEAK_F32], e);
}
#endif

const char *peak_product_name(PeakProduct product)
{
    static const char *const names[PEAK_PRODUCTS] = {"f32",        "i16 pairs",  "bf16 pairs",
                                                     "int8 quads", "bf16 tiles", "int8 tiles"};
    return names[product];
}
