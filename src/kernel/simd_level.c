#include "kernel/simd_level.h"

#include <stdatomic.h>

#include "target/cpu.h"

static SimdLevel detected(void)
{
    const Cpu cpu = cpu_detect();
    if (cpu.has[CPU_AVX512F] && cpu.has[CPU_AVX512BW] && cpu.has[CPU_AVX512VL] &&
        cpu.has[CPU_AVX512DQ])
        return !cpu.has[CPU_AVX512VNNI]   ? SIMD_512
               : !cpu.has[CPU_AVX512VBMI] ? SIMD_512_VNNI
                                          : SIMD_512_VBMI;
    return cpu.has[CPU_AVX2] && cpu.has[CPU_FMA] ? SIMD_256 : SIMD_PLAIN;
}

SimdLevel simd_level(void)
{
    static _Atomic int known; /* the level and 1; threads that find 0 all write the same */
    int level = atomic_load_explicit(&known, memory_order_relaxed);
    if (level == 0) {
        level = 1 + (int)detected();
        atomic_store_explicit(&known, level, memory_order_relaxed);
    }
    return (SimdLevel)(level - 1);
}
