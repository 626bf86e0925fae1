/* Targets: what a CPU can do, as data. Code generation and templates read these fields and nothing
 * else; nothing assumes the CPU of the machine that builds or compiles.
 *
 * Levels (lathe --target NAME): "avx2" (AVX2, FMA, F16C: the lowest supported), "avx2-vnni"
 * (AVX-VNNI), "avx512" (F, BW, DQ, VL), "avx512-vnni", "avx512-bf16", "amx"; "native" detects. A
 * level above the machine's can be compiled for but not run. Each level includes the ones before
 * it, but none includes "avx2-vnni". */
#ifndef LATHE_TARGET_TARGET_H
#define LATHE_TARGET_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct Target {
    const char *name;       /* level */
    const char *cpu;        /* LLVM's name to tune for (scheduling only), e.g. "znver3" */
    const char *features;   /* LLVM feature string over plain x86-64: exactly what may be used */
    int vector_bytes;       /* 32 or 64 */
    int vector_regs;        /* 16 or 32 */
    bool masks;             /* masked vector loads and stores at no cost (AVX-512) */
    bool vnni, bf16, amx;
    int fma_per_cycle;      /* vector FMAs */
    double bf16_rate;       /* products of bf16 that vectors do while they do one of f32; 0: none */
    int64_t l1, l2, l3;     /* data cache bytes per core (l3: total); 0 unknown */
    int l1_ways;
    int l3_rate;            /* bytes a cycle that one core reads from l3, about; 0 unknown */
} Target;

static inline int target_lanes(const Target *t, int element_bytes)
{
    return t->vector_bytes / element_bytes;
}
/* The machine this runs on; strings are static. A machine below the lowest level gives that level,
 * which target_runs then refuses. */
Target target_native(void);
/* By level name; cache sizes are the machine's. ERR_INVALID names the levels there are. */
int target_find(const char *name, Target *out, Error *e);
/* May code for `t` run here? If not, `missing` names the feature. Tiles, where it has them, are
 * asked of the system: whoever runs no such code may go on having signal stacks that are too small
 * for them. */
bool target_runs(const Target *t, const char **missing);
/* For code that is run while compiling: `t` if that runs here, else this machine. */
Target target_here(const Target *t);
/* "avx2 znver3 l1 32768 l2 524288": for keys and reports. */
const char *target_describe(Arena *a, const Target *t);

#endif
