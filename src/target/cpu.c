/* cpuid: features, model and caches.
 *
 * A feature counts only if the operating system saves its registers (xgetbv): a CPU with AVX-512
 * under a system without it must run AVX2 code. Tiles (AMX) must also be asked for, once a process,
 * before a thread touches one: Linux keeps their 8 KiB a thread only for those who do, and from
 * then on refuses them small stacks for signals. So only who is about to run tiles asks, or who
 * compiles for this very machine (target_native). Caches come from the deterministic cache leaves
 * (4 on Intel, 0x8000001d on AMD: the same format), else from sysconf. */
#include "target/cpu.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

typedef struct Regs {
    unsigned a, b, c, d;
} Regs;

static Regs cpuid(unsigned leaf, unsigned sub)
{
    Regs r = {0};
    const unsigned max = __get_cpuid_max(leaf & 0x80000000u, NULL);
    if (max >= leaf)
        __cpuid_count(leaf, sub, r.a, r.b, r.c, r.d);
    return r;
}

static uint64_t xcr0(void)
{
    if (!(cpuid(1, 0).c >> 27 & 1)) /* OSXSAVE */
        return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has_bit(unsigned leaf, unsigned sub, char reg, int bit)
{
    if (leaf == 7 && sub > cpuid(7, 0).a)
        return false;
    const Regs r = cpuid(leaf, sub);
    const unsigned v = reg == 'a' ? r.a : reg == 'b' ? r.b : reg == 'c' ? r.c : r.d;
    return v >> bit & 1;
}

static void detect_features(Cpu *cpu)
{
    const uint64_t saved = xcr0();
#define X(id, text, leaf, sub, reg, bit, xcr)                                                      \
    cpu->has[CPU_##id] = has_bit(leaf, sub, reg, bit) && (saved & (xcr)) == (xcr);
    CPU_FEATURES(X)
#undef X
}

/* Linux 5.16 and later (arch/x86/include/uapi/asm/prctl.h). */
enum { REQUEST_STATE = 0x1023, STATE_TILES = 18 };

void cpu_ask_for_tiles(Cpu *cpu)
{
    if (!cpu->has[CPU_AMX_TILE])
        return;
    cpu->tiles_refused = syscall(SYS_arch_prctl, REQUEST_STATE, STATE_TILES) != 0;
    cpu->has[CPU_AMX_TILE] = !cpu->tiles_refused;
}

static void detect_model(Cpu *cpu)
{
    const Regs id = cpuid(0, 0);
    char vendor[12];
    memcpy(vendor, &id.b, 4);
    memcpy(vendor + 4, &id.d, 4);
    memcpy(vendor + 8, &id.c, 4);
    if (memcmp(vendor, "GenuineIntel", 12) == 0)
        cpu->vendor = CPU_INTEL;
    else if (memcmp(vendor, "AuthenticAMD", 12) == 0)
        cpu->vendor = CPU_AMD;
    const unsigned v = cpuid(1, 0).a;
    cpu->family = (int)(v >> 8 & 15);
    cpu->model = (int)(v >> 4 & 15) | (int)(v >> 12 & 0xf0);
    if (cpu->family == 15)
        cpu->family += (int)(v >> 20 & 255);
}

static void detect_caches(Cpu *cpu)
{
    const unsigned leaf = cpu->vendor == CPU_AMD ? 0x8000001du : 4;
    for (unsigned sub = 0; sub < 16; sub++) {
        const Regs r = cpuid(leaf, sub);
        const unsigned type = r.a & 31, level = r.a >> 5 & 7; /* 1 data, 2 instruction, 3 both */
        if (type == 0)
            break;
        const int64_t ways = (r.b >> 22) + 1, parts = (r.b >> 12 & 1023) + 1;
        const int64_t bytes = ways * parts * ((r.b & 4095) + 1) * ((int64_t)r.c + 1);
        if (type == 2)
            continue;
        if (level == 1) {
            cpu->l1 = bytes;
            cpu->l1_ways = (int)ways;
        } else if (level == 2) {
            cpu->l2 = bytes;
        } else if (level == 3) {
            cpu->l3 = bytes;
        }
    }
}
#else
static void detect_features(Cpu *cpu) { (void)cpu; }
static void detect_model(Cpu *cpu) { (void)cpu; }
void cpu_ask_for_tiles(Cpu *cpu) { (void)cpu; }
static void detect_caches(Cpu *cpu) { (void)cpu; }
#endif

static int64_t cache_or(int64_t known, int name)
{
    const long v = known ? 0 : sysconf(name);
    return known ? known : v > 0 ? v : 0;
}

/* ---- LATHE_MAX_ISA ---- */

static const struct {
    const char *name;
    uint32_t features;
} isas[] = {
    {"avx2", ISA_AVX2},
    {"avx2-vnni", ISA_AVX2_VNNI},
    {"avx512", ISA_AVX512},
    {"avx512-vnni", ISA_AVX512_VNNI},
    {"avx512-bf16", ISA_AVX512_BF16},
    {"amx", UINT32_MAX}, /* all that is known */
};

/* What may be used; false if the value names nothing. An empty one is none. */
static bool limit(uint32_t *features)
{
    const char *const name = getenv("LATHE_MAX_ISA");
    *features = UINT32_MAX;
    if (!name || !name[0])
        return true;
    for (size_t k = 0; k < sizeof isas / sizeof isas[0]; k++) {
        if (strcmp(isas[k].name, name) == 0) {
            *features = isas[k].features;
            return true;
        }
    }
    return false;
}

int cpu_check_limit(Error *e)
{
    uint32_t features;
    if (limit(&features))
        return ERR_OK;
    return error_set(e, ERR_INVALID,
                     "LATHE_MAX_ISA: '%.60s' is not known: use avx2, avx2-vnni, avx512, "
                     "avx512-vnni, avx512-bf16 or amx",
                     getenv("LATHE_MAX_ISA"));
}

static void leave_out(Cpu *cpu)
{
    uint32_t features;
    limit(&features);
    for (int f = 0; f < CPU_FEATURE_COUNT; f++) {
        if (features >> f & 1)
            continue;
        cpu->left_out |= (uint32_t)cpu->has[f] << f;
        cpu->has[f] = false;
    }
}

Cpu cpu_detect(void)
{
    Cpu cpu = {0};
    detect_features(&cpu);
    leave_out(&cpu);
    detect_model(&cpu);
    detect_caches(&cpu);
    cpu.l1 = cache_or(cpu.l1, _SC_LEVEL1_DCACHE_SIZE);
    cpu.l2 = cache_or(cpu.l2, _SC_LEVEL2_CACHE_SIZE);
    cpu.l3 = cache_or(cpu.l3, _SC_LEVEL3_CACHE_SIZE);
    return cpu;
}

const char *cpu_missing_text(const Cpu *cpu, CpuFeature f)
{
    static const char *const texts[CPU_FEATURE_COUNT][2] = {
#define X(id, text, leaf, sub, reg, bit, xcr)                                                      \
    [CPU_##id] = {text, text ", which LATHE_MAX_ISA leaves out"},
        CPU_FEATURES(X)
#undef X
    };
    return texts[f][cpu->left_out >> f & 1];
}
