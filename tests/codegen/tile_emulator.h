/* Runs code with tile instructions (AMX) and AVX-VNNI on CPUs that have none: each raises SIGILL,
 * whose handler decodes it, does to tiles in memory what it says (Intel SDM, volume 2) and goes on
 * after it. So the machine code itself is run: its addresses, strides, configurations and order.
 * What the hardware would refuse ends the test, with a line that says what.
 *
 *     tile_emulator_start();      (one thread; all SIGILL are its own from here on)
 *     .. call code for AMX ..
 *     tile_emulator.count[TILE_LOAD] .. */
#ifndef LATHE_TESTS_TILE_EMULATOR_H
#define LATHE_TESTS_TILE_EMULATOR_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "loop/intrinsic.h"

enum {
    TILE_CONFIG,
    TILE_LOAD,
    TILE_STORE,
    TILE_ZERO,
    TILE_DOT,
    TILE_RELEASE,
    TILE_VECTOR_DOT,
    TILE_KINDS
};

typedef struct Tile {
    int rows, bytes; /* of a row; 0: not configured */
    uint8_t data[TILE_ROWS][TILE_ROW_BYTES];
} Tile;

static struct {
    Tile tile[TILE_REGISTERS];
    bool configured;
    int count[TILE_KINDS];
} tile_emulator;

_Noreturn static inline void tile_refuse(const char *what)
{
    /* the signal came from an instruction, not from anywhere */
    fprintf(stderr, "# the hardware would refuse: %s\n", what);
    _Exit(2);
}

/* Tiles, and beside them only what every CPU has: so the rest of a kernel runs here. */
static inline Target tile_emulator_target(void)
{
    Target t;
    if (target_find("avx2", &t, NULL) != 0) {
        tile_refuse("no target");
    }
    t.amx = true;
    t.features = "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+"
                 "amx-tile,+amx-int8,+amx-bf16";
    return t;
}

/* The same of AVX-VNNI. */
static inline Target tile_emulator_vnni(void)
{
    Target t;
    if (target_find("avx2-vnni", &t, NULL) != 0)
        tile_refuse("no target");
    t.name = "avx2"; /* may be run */
    return t;
}

/* Does the machine itself do what this level has, so that nothing is emulated? It may have more than
 * LATHE_MAX_ISA lets anybody see. Asks the system for tiles, as who runs them must. */
static inline bool tile_emulator_idle(const char *level)
{
    const char *const outer = getenv("LATHE_MAX_ISA");
    char *const kept = outer ? strdup(outer) : NULL;
    Target t;
    unsetenv("LATHE_MAX_ISA");
    const bool out = target_find(level, &t, NULL) == 0 && target_runs(&t, NULL);
    if (kept)
        setenv("LATHE_MAX_ISA", kept, 1);
    free(kept);
    return out;
}

/* ---- decoding: VEX.0F38, which all of them are ---- */
typedef struct TileCode {
    int opcode, pp; /* pp: 0 none, 1 66, 2 F3, 3 F2 */
    int mod, reg, rm, vvvv;
    uint8_t *at;    /* memory operand without the index */
    int64_t index;  /* of the SIB byte, scaled */
    bool sib, wide; /* 256 bits */
    int length;
} TileCode;

static inline int64_t tile_register(const ucontext_t *u, int k)
{
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                  REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                  REG_R12, REG_R13, REG_R14, REG_R15};
    return u->uc_mcontext.gregs[order[k]];
}

static inline int32_t tile_i32(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline TileCode tile_decode(const ucontext_t *u)
{
    const uint8_t *start = (const uint8_t *)u->uc_mcontext.gregs[REG_RIP], *p = start;
    if (p[0] != 0xc4 || (p[1] & 31) != 2 || (p[2] & 0x80) != 0)
        tile_refuse("no tile instruction");
    const int x = !(p[1] & 0x40) << 3, b = !(p[1] & 0x20) << 3;
    TileCode c = {.opcode = p[3],
                  .pp = p[2] & 3,
                  .vvvv = ~(p[2] >> 3) & 15,
                  .mod = p[4] >> 6,
                  .reg = p[4] >> 3 & 7,
                  .rm = p[4] & 7};
    c.wide = p[2] >> 2 & 1;
    const int r = !(p[1] & 0x80) << 3;
    p += 5;
    if (c.mod != 3) {
        int64_t at = 0;
        if (c.rm == 4) {
            const int base = (*p & 7) | b, index = (*p >> 3 & 7) | x, scale = *p >> 6;
            c.sib = true;
            c.index = index == 4 ? 0 : tile_register(u, index) * ((int64_t)1 << scale);
            const bool no_base = (*p++ & 7) == 5 && c.mod == 0;
            at = no_base ? tile_i32(p) : tile_register(u, base);
            p += no_base ? 4 : 0;
        } else if (c.rm == 5 && c.mod == 0) {
            at = (int64_t)(p + 4) + tile_i32(p); /* relative to the next instruction */
            p += 4;
        } else {
            at = tile_register(u, c.rm | b);
        }
        at += c.mod == 1 ? (int8_t)*p : c.mod == 2 ? tile_i32(p) : 0;
        p += c.mod == 1 ? 1 : c.mod == 2 ? 4 : 0;
        c.at = (uint8_t *)at;
    }
    c.reg |= r;
    c.rm |= c.mod == 3 ? b : 0;
    c.length = (int)(p - start);
    return c;
}

/* ---- vectors: where the kernel has put them (Intel SDM, volume 1, 13.4: the standard format)
 * ---- */
static inline uint8_t *tile_vector(const ucontext_t *u, int k, bool high)
{
    return (uint8_t *)u->uc_mcontext.fpregs + (high ? 576 : 160) + 16 * k;
}

static inline void tile_vector_dot(const ucontext_t *u, const TileCode *c)
{
    const Target any = {.vnni = true};
    /* vpdpwssd, which LLVM makes of vpmaddwd and vpaddd; else vpdpbusd */
    const bool pairs = c->opcode == 0x52;
    const DType ta = pairs ? DT_I16 : DT_U8, tb = pairs ? DT_I16 : DT_I8;
    bool swap;
    const Intrinsic *row = intrinsic_row(intrinsic_find(&any, ta, tb, DT_I32, &swap));
    uint64_t *live = (uint64_t *)(void *)((uint8_t *)u->uc_mcontext.fpregs + 512);
    for (int high = 0; high < 2; high++) {
        if (!(*live & 4) && high)
            for (int k = 0; k < 16; k++)
                memset(tile_vector(u, k, true), 0, 16);
        uint8_t *sum = tile_vector(u, c->reg, high);
        const uint8_t *a = tile_vector(u, c->vvvv, high);
        const uint8_t *b = c->mod == 3 ? tile_vector(u, c->rm, high) : c->at + 16 * high;
        Scalar va[16], vb[16], vs[4];
        for (int k = 0; k < 4 * row->group && (c->wide || !high); k++) {
            va[k].i = dtype_read_int(ta, a + k * dtype_size(ta));
            vb[k].i = dtype_read_int(tb, b + k * dtype_size(tb));
            vs[k / row->group].i = tile_i32(sum + k / row->group * 4);
        }
        if (c->wide || !high)
            intrinsic_apply(row, 4, va, vb, vs);
        for (int k = 0; k < 4; k++)
            dtype_write_int(DT_I32, sum + 4 * k, c->wide || !high ? vs[k].i : 0);
    }
    *live |= 6; /* the system takes both halves back */
}

/* ---- doing ---- */
static inline void tile_configure(const uint8_t *config)
{
    memset(tile_emulator.tile, 0, sizeof tile_emulator.tile);
    if (config[0] != 1 || config[1] != 0)
        tile_refuse("a configuration of another palette");
    for (int k = 0; k < TILE_REGISTERS; k++) {
        Tile *t = &tile_emulator.tile[k];
        t->bytes = config[16 + 2 * k] | config[17 + 2 * k] << 8;
        t->rows = config[48 + k];
        if (t->bytes > TILE_ROW_BYTES || t->rows > TILE_ROWS || (t->bytes == 0) != (t->rows == 0))
            tile_refuse("a configuration of a shape that does not exist");
    }
    for (int k = 2; k < 64; k++)
        if ((k < 16 || (k >= 32 && k < 48) || k >= 56) && config[k])
            tile_refuse("a configuration of tiles that do not exist");
    tile_emulator.configured = true;
}

static inline Tile *tile_of(int k)
{
    Tile *t = &tile_emulator.tile[k & 7];
    if (!tile_emulator.configured || k > 7 || t->rows == 0)
        tile_refuse("a tile that is not configured");
    return t;
}

static inline void tile_move(const TileCode *c, bool load)
{
    Tile *t = tile_of(c->reg);
    if (!c->sib || c->vvvv != 0)
        tile_refuse("a tile in memory without SIB byte");
    for (int r = 0; r < t->rows; r++) {
        uint8_t *row = c->at + r * c->index;
        if (load) {
            memset(t->data[r], 0, TILE_ROW_BYTES);
            memcpy(t->data[r], row, (size_t)t->bytes);
        } else {
            memcpy(row, t->data[r], (size_t)t->bytes);
        }
    }
}

static inline void tile_dot(const TileCode *c)
{
    Tile *sum = tile_of(c->reg), *a = tile_of(c->rm), *b = tile_of(c->vvvv);
    if (sum == a || sum == b || a == b)
        tile_refuse("a dot of a tile with itself");
    if (sum->rows != a->rows || a->bytes % 4 || sum->bytes % 4 || a->bytes / 4 != b->rows ||
        sum->bytes != b->bytes)
        tile_refuse("a dot of tiles that do not fit together");
    Target any = {.amx = true};
    static const DType types[4][2] = {
        {DT_U8, DT_U8}, {DT_U8, DT_I8}, {DT_I8, DT_U8}, {DT_I8, DT_I8}};
    const bool ints = c->opcode == 0x5e;
    const DType ta = ints ? types[c->pp][0] : DT_BF16, tb = ints ? types[c->pp][1] : DT_BF16;
    const Intrinsic *row = intrinsic_row(intrinsic_find_tile(&any, ta, tb, ints ? DT_I32 : DT_F32));
    static Scalar va[TILE_ROWS * TILE_ROW_BYTES], vb[TILE_ROWS * TILE_ROW_BYTES],
        vs[TILE_ROWS * TILE_ROWS];
    const int size = 4 / row->group, columns = sum->bytes / 4, groups = b->rows;
    for (int r = 0; r < a->rows; r++)
        for (int k = 0; k < a->bytes / size; k++) {
            Scalar *s = &va[r * (a->bytes / size) + k];
            if (ints)
                s->i = dtype_read_int(ta, a->data[r] + k);
            else
                s->f = dtype_read(ta, a->data[r] + k * size);
        }
    for (int r = 0; r < b->rows; r++)
        for (int k = 0; k < b->bytes / size; k++) {
            Scalar *s = &vb[r * (b->bytes / size) + k];
            if (ints)
                s->i = dtype_read_int(tb, b->data[r] + k);
            else
                s->f = dtype_read(tb, b->data[r] + k * size);
        }
    for (int r = 0; r < sum->rows; r++)
        for (int k = 0; k < columns; k++) {
            if (ints)
                vs[r * columns + k].i = tile_i32(sum->data[r] + 4 * k);
            else
                vs[r * columns + k].f = dtype_read(DT_F32, sum->data[r] + 4 * k);
        }
    intrinsic_apply_tile(row, sum->rows, columns, groups, va, vb, vs);
    for (int r = 0; r < sum->rows; r++)
        for (int k = 0; k < columns; k++) {
            if (ints)
                dtype_write_int(DT_I32, sum->data[r] + 4 * k, vs[r * columns + k].i);
            else
                dtype_write(DT_F32, sum->data[r] + 4 * k, vs[r * columns + k].f, false);
        }
}

static void tile_on_sigill(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    ucontext_t *u = context;
    const TileCode c = tile_decode(u);
    int *count = tile_emulator.count;
    const bool vector = (c.opcode == 0x50 || c.opcode == 0x52) && c.pp == 1;
    if (!vector && (c.wide || c.reg > 7 || (c.mod == 3 && c.rm > 7)))
        tile_refuse("tile 8 or above");
    if (vector) {
        tile_vector_dot(u, &c);
        count[TILE_VECTOR_DOT] += c.opcode == 0x50;
    } else if (c.opcode == 0x49 && c.pp == 0 && c.mod != 3) {
        tile_configure(c.at);
        count[TILE_CONFIG]++;
    } else if (c.opcode == 0x49 && c.pp == 0 && c.reg == 0 && c.rm == 0) {
        tile_emulator.configured = false;
        count[TILE_RELEASE]++;
    } else if (c.opcode == 0x49 && c.pp == 3 && c.mod == 3) {
        memset(tile_of(c.reg)->data, 0, sizeof tile_of(c.reg)->data);
        count[TILE_ZERO]++;
    } else if (c.opcode == 0x4b && c.mod != 3 && (c.pp == 3 || c.pp == 2)) {
        tile_move(&c, c.pp == 3);
        count[c.pp == 3 ? TILE_LOAD : TILE_STORE]++;
    } else if ((c.opcode == 0x5e || (c.opcode == 0x5c && c.pp == 2)) && c.mod == 3) {
        tile_dot(&c);
        count[TILE_DOT]++;
    } else {
        tile_refuse("an instruction that the emulator does not know");
    }
    u->uc_mcontext.gregs[REG_RIP] += c.length;
}

static inline void tile_emulator_start(void)
{
    tile_emulator_idle("amx");
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = tile_on_sigill;
    sigemptyset(&action.sa_mask);
    sigaction(SIGILL, &action, NULL);
}

#endif
