/* The levels, as a table, and which of them this machine has.
 *
 * A level is a list of CPU features; what may be used is exactly that, whatever else the machine
 * has, so code for a level is the same wherever it is compiled. Only tuning (`cpu`) and the cache
 * sizes, which choose tiles, are the machine's. */
#include "target/target.h"

#include <string.h>

#include "base/str.h"
#include "target/cpu.h"

#define LLVM_AVX2 "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt"
#define LLVM_AVX2_VNNI LLVM_AVX2 ",+avxvnni"
#define LLVM_AVX512 LLVM_AVX2 ",+avx512f,+avx512dq,+avx512cd,+avx512bw,+avx512vl,+evex512"
#define LLVM_VNNI LLVM_AVX512 ",+avx512vnni"
#define LLVM_BF16 LLVM_VNNI ",+avx512bf16"
#define LLVM_AMX LLVM_BF16 ",+amx-tile,+amx-int8,+amx-bf16"

typedef struct Level {
    const char *name;
    uint32_t need; /* bits by CpuFeature */
    const char *features;
    const char *intel, *amd; /* the typical CPU, to tune for where the machine's is not known */
    int vector_bytes, vector_regs;
    bool masks, vnni, bf16, amx;
} Level;

static const Level levels[] = {
    {"avx2", ISA_AVX2, LLVM_AVX2, "haswell", "znver3", 32, 16, false, false, false, false},
    {"avx2-vnni", ISA_AVX2_VNNI, LLVM_AVX2_VNNI, "alderlake", "znver5", 32, 16, false, true, false,
     false},
    {"avx512", ISA_AVX512, LLVM_AVX512, "skylake-avx512", "znver4", 64, 32, true, false, false,
     false},
    {"avx512-vnni", ISA_AVX512_VNNI, LLVM_VNNI, "icelake-server", "znver4", 64, 32, true, true,
     false, false},
    {"avx512-bf16", ISA_AVX512_BF16, LLVM_BF16, "cooperlake", "znver5", 64, 32, true, true, true,
     false},
    {"amx", ISA_AMX, LLVM_AMX, "sapphirerapids", "znver5", 64, 32, true, true, true, true},
};
enum { LEVELS = sizeof levels / sizeof levels[0] };

/* CPUs by LLVM's names: levels that they have. */
static const struct {
    const char *cpu, *level;
} cpus[] = {
    {"haswell", "avx2"},
    {"znver3", "avx2"},
    {"alderlake", "avx2-vnni"},
    {"skylake-avx512", "avx512"},
    {"cascadelake", "avx512-vnni"},
    {"icelake-server", "avx512-vnni"},
    {"cooperlake", "avx512-bf16"},
    {"znver4", "avx512-bf16"},
    {"znver5", "avx512-bf16"},
    {"sapphirerapids", "amx"},
    {"graniterapids", "amx"},
};

static const Level *level_find(const char *name)
{
    for (size_t k = 0; k < sizeof cpus / sizeof cpus[0]; k++)
        name = strcmp(cpus[k].cpu, name) == 0 ? cpus[k].level : name;
    for (int k = 0; k < LEVELS; k++)
        if (strcmp(levels[k].name, name) == 0)
            return &levels[k];
    return NULL;
}

/* The first feature that `level` needs and the CPU lacks; -1. */
static int level_missing(const Level *level, const Cpu *cpu)
{
    for (int f = 0; f < CPU_FEATURE_COUNT; f++)
        if ((level->need >> f & 1) && !cpu->has[f])
            return f;
    return -1;
}

/* LLVM's name of the machine's CPU, or NULL. Families: AMD's PPRs, Intel's SDM. */
static const char *cpu_tuning(const Cpu *cpu)
{
    if (cpu->vendor == CPU_AMD) {
        if (cpu->family >= 0x1a)
            return "znver5";
        if (cpu->family == 0x19)
            return cpu->has[CPU_AVX512F] ? "znver4" : "znver3";
        if (cpu->family == 0x17)
            return cpu->model >= 0x30 ? "znver2" : "znver1";
    }
    if (cpu->vendor == CPU_INTEL && cpu->family == 6) {
        if (cpu->has[CPU_AMX_TILE])
            return "sapphirerapids";
        if (cpu->has[CPU_AVX512BF16])
            return "cooperlake";
        if (cpu->has[CPU_AVX512VNNI])
            return cpu->model == 0x55 ? "cascadelake" : "icelake-server";
        if (cpu->has[CPU_AVX512F])
            return "skylake-avx512";
        if (cpu->model >= 0x97)
            return "alderlake";
    }
    return NULL;
}

/* Vector FMAs a cycle: two everywhere, but one of 512 bits on Zen 4, which splits them in
 * halves. */
static int fma_rate(const Level *level, const Cpu *cpu)
{
    const bool halves = cpu->vendor == CPU_AMD && cpu->family == 0x19;
    return level->vector_bytes == 64 && halves ? 1 : 2;
}

/* VDPBF16PS is twice an FMA. CPUs with tiles take two cycles for one, where they do two FMAs in
 * each (measured: Granite Rapids 121 GFLOP/s, in f32 243). */
static double bf16_rate(const Level *level)
{
    return !level->bf16 ? 0 : level->amx ? 0.5 : 2;
}

/* Measured: Zen 3 57 to 80 GB/s at 3.5 GHz, a server of Intel's, whose l3 lies along a mesh, 30
 * at 3.8. Those of the first kind are rings of few cores. */
static int l3_rate(const Cpu *cpu)
{
    return cpu->vendor == CPU_INTEL && cpu->has[CPU_AVX512F] ? 8 : 16;
}

static Target make_target(const Level *level, const Cpu *cpu)
{
    const char *own = level_missing(level, cpu) < 0 ? cpu_tuning(cpu) : NULL;
    return (Target){
        .name = level->name,
        .cpu = own ? own : cpu->vendor == CPU_AMD ? level->amd : level->intel,
        .features = level->features,
        .vector_bytes = level->vector_bytes,
        .vector_regs = level->vector_regs,
        .masks = level->masks,
        .vnni = level->vnni,
        .bf16 = level->bf16,
        .amx = level->amx,
        .fma_per_cycle = fma_rate(level, cpu),
        .bf16_rate = bf16_rate(level),
        .l1 = cpu->l1,
        .l2 = cpu->l2,
        .l3 = cpu->l3,
        .l1_ways = cpu->l1_ways,
        .l3_rate = l3_rate(cpu),
    };
}

Target target_native(void)
{
    Cpu cpu = cpu_detect();
    cpu_ask_for_tiles(&cpu);
    int best = 0;
    for (int k = 1; k < LEVELS; k++)
        if (level_missing(&levels[k], &cpu) < 0)
            best = k;
    return make_target(&levels[best], &cpu);
}

int target_find(const char *name, Target *out, Error *e)
{
    if (strcmp(name, "native") == 0) {
        *out = target_native();
        return ERR_OK;
    }
    const Level *level = level_find(name);
    if (!level)
        return error_set(
            e, ERR_INVALID,
            "target '%s' is not known: use native, avx2, avx2-vnni, avx512, "
            "avx512-vnni, avx512-bf16 or amx, or a CPU's name such as znver4 or sapphirerapids",
            name);
    const Cpu cpu = cpu_detect();
    *out = make_target(level, &cpu);
    for (size_t k = 0; k < sizeof cpus / sizeof cpus[0]; k++)
        out->cpu = strcmp(cpus[k].cpu, name) == 0 ? cpus[k].cpu : out->cpu;
    return ERR_OK;
}

bool target_runs(const Target *t, const char **missing)
{
    Cpu cpu = cpu_detect();
    const Level *level = level_find(t->name);
    if (level && level->amx)
        cpu_ask_for_tiles(&cpu);
    const int lacks = level ? level_missing(level, &cpu) : -1;
    if (missing && lacks == CPU_AMX_TILE && cpu.tiles_refused)
        *missing = "AMX tiles, which the system refuses this process (it takes Linux 5.16, and "
                   "signal stacks of 16 KiB)";
    else if (missing)
        *missing = !level      ? "a known level"
                   : lacks < 0 ? NULL
                               : cpu_missing_text(&cpu, (CpuFeature)lacks);
    return level && lacks < 0;
}

Target target_here(const Target *t)
{
    return target_runs(t, NULL) ? *t : target_native();
}

const char *target_describe(Arena *a, const Target *t)
{
    return arena_printf(a, "%s %s l1 %lld l2 %lld", t->name, t->cpu, (long long)t->l1,
                        (long long)t->l2);
}
