/* What cpuid says: features that the CPU has and the system saves, model, caches.
 *
 * LATHE_MAX_ISA=NAME in the environment leaves out all features above a level's (target/target.h
 * names them): the program then does what it does on a CPU that has no more. So tests of one
 * machine show what others would do. */
#ifndef LATHE_TARGET_CPU_H
#define LATHE_TARGET_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* id, text for messages, cpuid leaf, subleaf, register (a b c d), bit, what xgetbv must have set */
#define CPU_FEATURES(X)                                                                            \
    X(SSE42, "SSE4.2", 1, 0, 'c', 20, 0)                                                           \
    X(POPCNT, "POPCNT", 1, 0, 'c', 23, 0)                                                          \
    X(FMA, "FMA", 1, 0, 'c', 12, 0x6)                                                              \
    X(F16C, "F16C", 1, 0, 'c', 29, 0x6)                                                            \
    X(AVX, "AVX", 1, 0, 'c', 28, 0x6)                                                              \
    X(AVX2, "AVX2", 7, 0, 'b', 5, 0x6)                                                             \
    X(BMI, "BMI1", 7, 0, 'b', 3, 0)                                                                \
    X(BMI2, "BMI2", 7, 0, 'b', 8, 0)                                                               \
    X(LZCNT, "LZCNT", 0x80000001, 0, 'c', 5, 0)                                                    \
    X(AVX512F, "AVX-512 F", 7, 0, 'b', 16, 0xe6)                                                   \
    X(AVX512DQ, "AVX-512 DQ", 7, 0, 'b', 17, 0xe6)                                                 \
    X(AVX512CD, "AVX-512 CD", 7, 0, 'b', 28, 0xe6)                                                 \
    X(AVX512BW, "AVX-512 BW", 7, 0, 'b', 30, 0xe6)                                                 \
    X(AVX512VL, "AVX-512 VL", 7, 0, 'b', 31, 0xe6)                                                 \
    X(AVX512VBMI, "AVX-512 VBMI", 7, 0, 'c', 1, 0xe6)                                              \
    X(AVX512VNNI, "AVX-512 VNNI", 7, 0, 'c', 11, 0xe6)                                             \
    X(AVXVNNI, "AVX-VNNI", 7, 1, 'a', 4, 0x6)                                                      \
    X(AVX512BF16, "AVX-512 BF16", 7, 1, 'a', 5, 0xe6)                                              \
    X(AMX_BF16, "AMX BF16", 7, 0, 'd', 22, 0x600e6)                                                \
    X(AMX_TILE, "AMX TILE", 7, 0, 'd', 24, 0x600e6)                                                \
    X(AMX_INT8, "AMX INT8", 7, 0, 'd', 25, 0x600e6)

typedef enum CpuFeature {
#define X(id, text, leaf, sub, reg, bit, xcr) CPU_##id,
    CPU_FEATURES(X)
#undef X
    CPU_FEATURE_COUNT
} CpuFeature;

/* Sets of features, as bits: what code of each level may use. */
#define CPU_BIT(id) (1u << CPU_##id)
#define ISA_AVX2                                                                                   \
    (CPU_BIT(SSE42) | CPU_BIT(POPCNT) | CPU_BIT(FMA) | CPU_BIT(F16C) | CPU_BIT(AVX) |              \
     CPU_BIT(AVX2) | CPU_BIT(BMI) | CPU_BIT(BMI2) | CPU_BIT(LZCNT))
#define ISA_AVX2_VNNI (ISA_AVX2 | CPU_BIT(AVXVNNI))
#define ISA_AVX512                                                                                 \
    (ISA_AVX2 | CPU_BIT(AVX512F) | CPU_BIT(AVX512DQ) | CPU_BIT(AVX512CD) | CPU_BIT(AVX512BW) |     \
     CPU_BIT(AVX512VL))
#define ISA_AVX512_VNNI (ISA_AVX512 | CPU_BIT(AVX512VNNI))
#define ISA_AVX512_BF16 (ISA_AVX512_VNNI | CPU_BIT(AVX512BF16))
#define ISA_AMX (ISA_AVX512_BF16 | CPU_BIT(AMX_TILE) | CPU_BIT(AMX_INT8) | CPU_BIT(AMX_BF16))

typedef enum CpuVendor { CPU_OTHER, CPU_INTEL, CPU_AMD } CpuVendor;

typedef struct Cpu {
    bool has[CPU_FEATURE_COUNT];
    uint32_t left_out; /* bits: features that LATHE_MAX_ISA leaves out */
    CpuVendor vendor;
    int family, model;
    bool tiles_refused; /* the CPU has tiles, the system does not let this process use them */
    int64_t l1, l2, l3; /* data cache bytes; 0 unknown */
    int l1_ways;
} Cpu;

Cpu cpu_detect(void);
/* ERR_INVALID if LATHE_MAX_ISA has a value that is no level; cpu_detect then leaves out nothing. */
int cpu_check_limit(Error *e);
/* Asks the system for tiles, if the CPU has them: they are the process's then, or has[CPU_AMX_TILE]
 * is false. */
void cpu_ask_for_tiles(Cpu *cpu);
/* "AVX-512 F", and that LATHE_MAX_ISA leaves it out, if it does. */
const char *cpu_missing_text(const Cpu *cpu, CpuFeature f);

#endif
