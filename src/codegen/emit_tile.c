/* Tiles (loop/intrinsic.h): which tile register holds what, and the configuration that says what
 * shapes they have.
 *
 * A block of tiles has at most eight accumulators and shapes of operands. Accumulators take the
 * first registers; operands share the others by shape, the one used longest ago making room, so a
 * block of two rows and two columns of tiles loads each of its four operands once:
 *
 *     tmm0..3 += {tmm4, tmm5} . {tmm6, tmm7}
 *
 * Registers are named here, not by LLVM: its allocator gives a function one configuration, this
 * one each block its own (and where all blocks of a phase agree it is loaded once, when the
 * phase begins). */
#include "codegen/gen.h"
#include "loop/intrinsic.h"

#include <assert.h>
#include <string.h>

enum { CONFIG_BYTES = 64, CONFIG_ROW_BYTES = 16, CONFIG_ROWS = 48 }; /* Intel SDM, LDTILECFG */

typedef struct TileReg {
    int rows, bytes; /* of a row */
    Expr holds;      /* an operand; 0: none, or an accumulator */
    int used;        /* when */
} TileReg;

struct GenTiles {
    int naccumulators, nregs;
    int id[TILE_REGISTERS]; /* of the accumulators: register ids */
    TileReg reg[TILE_REGISTERS];
    int time;
};

/* ---- planning ---- */

typedef struct TilePlan {
    const Gen *g;
    GenTiles *t;
    Expr operand[4 * TILE_REGISTERS]; /* distinct ones */
    int noperands;
} TilePlan;

static TileReg shape_of(const Gen *g, Expr tile)
{
    const ExprNode *n = expr_node(g->x, tile);
    int64_t rows = 1;
    expr_is_int(g->x, expr_arg(g->x, tile, 2), &rows);
    const int size = dtype_size(g->l->buffer.at[n->imm.i].dtype);
    return (TileReg){.rows = (int)rows, .bytes = (int)(n->lanes / rows) * size};
}

static void plan_accumulator(TilePlan *p, int id)
{
    GenTiles *t = p->t;
    for (int k = 0; k < t->naccumulators; k++)
        if (t->id[k] == id)
            return;
    const LoopReg *r = &p->g->l->reg.at[id];
    assert(t->naccumulators < TILE_REGISTERS && "the expansion counted them");
    t->id[t->naccumulators] = id;
    t->reg[t->naccumulators++] = (TileReg){.rows = r->rows, .bytes = r->lanes / r->rows * 4};
}

static void plan_stmt(TilePlan *p, const LoopStmt *s)
{
    const Gen *g = p->g;
    if (s->op == L_SET && g->l->reg.at[s->buffer].rows) {
        plan_accumulator(p, s->buffer);
        for (int k = 0; k < 2 && expr_node(g->x, s->value)->op == EX_DOT; k++) {
            const Expr e = expr_arg(g->x, s->value, k);
            bool known = false;
            for (int i = 0; i < p->noperands; i++)
                known |= p->operand[i] == e;
            if (!known && p->noperands < 4 * TILE_REGISTERS)
                p->operand[p->noperands++] = e;
        }
    }
    for (int k = 0; k < s->child.len; k++)
        plan_stmt(p, &g->l->stmt.at[s->child.at[k]]);
}

static bool same_shape(TileReg a, TileReg b)
{
    return a.rows == b.rows && a.bytes == b.bytes;
}

/* The n-th register of each shape is given before the n+1st of any. */
static void plan_operands(TilePlan *p)
{
    GenTiles *t = p->t;
    t->nregs = t->naccumulators;
    for (int round = 0; round < TILE_REGISTERS; round++)
        for (int k = 0; k < p->noperands; k++) {
            const TileReg shape = shape_of(p->g, p->operand[k]);
            int have = 0, want = 0;
            for (int i = t->naccumulators; i < t->nregs; i++)
                have += same_shape(t->reg[i], shape);
            for (int i = 0; i < p->noperands; i++)
                want += same_shape(shape_of(p->g, p->operand[i]), shape);
            if (have <= round && have < want && t->nregs < TILE_REGISTERS)
                t->reg[t->nregs++] = shape;
        }
}

static GenTiles plan(const Gen *g, const LoopStmt *block)
{
    GenTiles t = {0};
    TilePlan p = {.g = g, .t = &t};
    plan_stmt(&p, block);
    plan_operands(&p);
    return t;
}

/* ---- the configuration ---- */

static bool same_config(const GenTiles *a, const GenTiles *b)
{
    bool same = a->nregs == b->nregs;
    for (int k = 0; k < a->nregs && same; k++)
        same = same_shape(a->reg[k], b->reg[k]);
    return same;
}

static void load_config(Gen *g, const GenTiles *t)
{
    uint8_t bytes[CONFIG_BYTES] = {1}; /* the palette */
    for (int k = 0; k < t->nregs; k++) {
        bytes[CONFIG_ROW_BYTES + 2 * k] = (uint8_t)t->reg[k].bytes;
        bytes[CONFIG_ROWS + k] = (uint8_t)t->reg[k].rows;
    }
    LLVMValueRef data = LLVMConstStringInContext2(g->c, (const char *)bytes, sizeof bytes, true);
    LLVMValueRef config = LLVMAddGlobal(g->m, LLVMTypeOf(data), "tile_config");
    LLVMSetInitializer(config, data);
    LLVMSetGlobalConstant(config, true);
    LLVMSetLinkage(config, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(config, LLVMGlobalUnnamedAddr);
    LLVMSetAlignment(config, CONFIG_BYTES);
    gen_intrinsic(g, "llvm.x86.ldtilecfg", 0, NULL, 1, &config);
}

/* The first block of tiles in a statement; *same: have all of them its configuration? */
static void look_for_blocks(const Gen *g, const LoopStmt *s, GenTiles *first, int *count,
                            bool *same)
{
    if (s->op == L_BLOCK && s->mark == MARK_TILES) {
        const GenTiles t = plan(g, s);
        *same = *count == 0 || (*same && same_config(first, &t));
        *first = *count == 0 ? t : *first;
        ++*count;
    }
    for (int k = 0; k < s->child.len; k++)
        look_for_blocks(g, &g->l->stmt.at[s->child.at[k]], first, count, same);
}

void gen_tiles_enter(Gen *g, int body)
{
    GenTiles first;
    int count = 0;
    g->tiles = NULL;
    g->tile_config_once = false;
    look_for_blocks(g, &g->l->stmt.at[body], &first, &count, &g->tile_config_once);
    g->has_tiles = count > 0;
    if (g->tile_config_once)
        load_config(g, &first);
}

void gen_tiles_leave(Gen *g)
{
    if (g->has_tiles)
        gen_intrinsic(g, "llvm.x86.tilerelease", 0, NULL, 0, NULL);
}

void gen_tiles_open(Gen *g, const LoopStmt *block)
{
    g->tiles = arena_new_of(g->ctx->arena, GenTiles);
    *g->tiles = plan(g, block);
    if (!g->tile_config_once)
        load_config(g, g->tiles);
}

void gen_tiles_close(Gen *g)
{
    g->tiles = NULL;
}

void gen_tiles_forget(Gen *g)
{
    for (int k = 0; g->tiles && k < g->tiles->nregs; k++)
        g->tiles->reg[k].holds = 0;
}

/* ---- statements ---- */

static LLVMValueRef number(const Gen *g, int reg)
{
    return LLVMConstInt(g->i8, (unsigned)reg, false);
}

static int accumulator(const GenTiles *t, int id)
{
    int k = 0;
    while (k < t->naccumulators && t->id[k] != id)
        k++;
    assert(k < t->naccumulators);
    return k;
}

static void access_tile(Gen *g, const char *name, int reg, int buffer, Expr offset, Expr stride)
{
    const int64_t size = dtype_size(g->l->buffer.at[buffer].dtype);
    LLVMValueRef bytes =
        LLVMBuildMul(g->b, gen_expr(g, stride), LLVMConstInt(g->i64, (unsigned)size, false), "");
    LLVMValueRef args[3] = {number(g, reg), gen_address(g, buffer, offset), bytes};
    gen_intrinsic(g, name, 0, NULL, 3, args);
}

static void load_tile(Gen *g, int reg, Expr e)
{
    const ExprNode *n = expr_node(g->x, e);
    access_tile(g, "llvm.x86.tileloadd64", reg, (int)n->imm.i, expr_arg(g->x, e, 0),
                expr_arg(g->x, e, 1));
}

/* The register that holds an operand, loaded where none does. */
static int operand(Gen *g, Expr e, int other)
{
    GenTiles *t = g->tiles;
    const TileReg shape = shape_of(g, e);
    int best = -1;
    for (int k = t->naccumulators; k < t->nregs; k++) {
        TileReg *r = &t->reg[k];
        if (!same_shape(*r, shape))
            continue;
        if (r->holds == e) {
            r->used = ++t->time;
            return k;
        }
        if (k != other &&
            (best < 0 || (r->holds == 0 && t->reg[best].holds != 0) ||
             (r->used < t->reg[best].used && (r->holds == 0) == (t->reg[best].holds == 0))))
            best = k;
    }
    assert(best >= 0);
    load_tile(g, best, e);
    t->reg[best].holds = e;
    t->reg[best].used = ++t->time;
    return best;
}

void gen_tile_set(Gen *g, const LoopStmt *s)
{
    const ExprNode *n = expr_node(g->x, s->value);
    const int sum = accumulator(g->tiles, s->buffer);
    if (n->op == EX_TILE) {
        load_tile(g, sum, s->value);
        return;
    }
    if (n->op == EX_BROADCAST) { /* zero, says the verifier */
        LLVMValueRef args[1] = {number(g, sum)};
        gen_intrinsic(g, "llvm.x86.tilezero", 0, NULL, 1, args);
        return;
    }
    const int a = operand(g, expr_arg(g->x, s->value, 0), -1),
              b = operand(g, expr_arg(g->x, s->value, 1), a);
    LLVMValueRef args[3] = {number(g, sum), number(g, a), number(g, b)};
    gen_intrinsic(g, arena_printf(g->ctx->arena, "llvm.x86.%s", intrinsic_name(n->imm.i)), 0, NULL,
                  3, args);
}

bool gen_is_tile(const Gen *g, Expr e)
{
    const ExprNode *n = expr_node(g->x, e);
    return n->op == EX_REG && g->l->reg.at[n->imm.i].rows > 0;
}

void gen_tile_store(Gen *g, const LoopStmt *s)
{
    const int reg = accumulator(g->tiles, (int)expr_node(g->x, s->value)->imm.i);
    access_tile(g, "llvm.x86.tilestored64", reg, s->buffer, s->index[0], s->index[1]);
    g->mem_epoch++;
}
