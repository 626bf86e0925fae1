/* Schedules: how a Stages is computed. One record, one canonical line.
 *
 *     s1 def=direct | out: tile m 8 14 shift, n 4 2 8; order m0 n0 m1 n1 m2 n2 n3; parallel m0; unroll m2 n2; vector n3
 *       | acc: at out.n1; scope reg; order k0 m0 n0; ... | b: layout 1 0 1:16
 *
 * (one line; broken here for the page). After the format version and the definition variant come
 * structural steps (inline S; fuse, join S AXIS AXIS; split S AXIS n; cache_write S; cache_read T S
 * NAME; rfactor S AXIS L [meet M]; parts S AXIS L; trim S AXIS), applied in order, then one entry
 * per stage or re-laid tensor, separated by " | ".
 *
 * Entry of a stage, named by its first result; fields may be absent (defaults in parentheses):
 *   tile A f1 .. fk [MODE]   axis A of extent E becomes loops A0 (ceil(E / (f1*..*fk))), A1 (f1), .. Ak (fk).
 *                            MODE says what happens where the factors do not divide E (default guard):
 *       pad    the last tile computes elements beyond E: legal where the layout rounds the storage up to whole tiles
 *       shift  the last tile starts at E - T (T = f1*..*fk): needs E >= T, no in-place, domain axes only
 *              shift or g1 .. (one factor, falling): ceil(E / f1) parts, equal but for one row, each a tile of the smallest of
 *              f1, g1, .. that holds it. Each size has loops of its own
 *       peel   A0 runs floor(E / T) full tiles, then one tile of what is left (constant E: of just that size; else guarded)
 *       mask   loads and stores of the innermost (vector) loop are masked; others guarded; needs target masks for speed, not for meaning
 *       guard  an `if` around the innermost statement
 *   order L ..               all loops of the stage, outermost first (default: domain axes then reduction axes, level 0 of all axes, level 1 of all..)
 *   parallel L ..            the outermost loops of the order (after those of `steps`), fused into the phase's parallel loop (root stages, and those computed at a loop of `steps`)
 *   steps L ..               the outermost loops of the order, serial: the parallel loops run once for each of their values, all
 *                            threads in step (the time of a recurrent cell). Stages computed at the last of them, with scope
 *                            ARG, are phases of each step
 *   unroll L .. / vector L   constant extents; the vector loop is the innermost but for those of `dot`
 *   dot L ..                 run inside one instruction (loop/intrinsic.h): the innermost loop, after the vector loop, over a group of a product's
 *                            sum. Where memory does not lie as the instruction wants it, or a tail is shorter, plain loops are left
 *                            Four loops (m n k g, with no vector loop): an instruction on tiles; scope is scratch
 *   at S.L                   computed inside loop L of stage S, for what is needed there (default: root: a phase of its own)
 *   ahead T S.L              S.L: the loop of `at`, or one around it. While it runs once, the part of T (a constant, or of a phase before) that this stage reads the
 *                            next time is fetched into the second-level cache, a line at each step of the loops of its sum.
 *                            Not by the smaller of several tile sizes where one such tile is all there is
 *   scope reg | scratch      where the box it needs lives while `at` (default: the whole tensor, a shared buffer)
 *   scope result             in place: an element lies where the stage S that it is computed at will write its own. S is a root MAP, and
 *                            all others have read it by then
 *   layout ...               of its result (temporaries only)
 * Entry of an input constant: layout only (the constant is re-laid at compile time).
 *
 * `schedule_check` says whether the record is legal for the stages (a reason code, for the search);
 * `lower` trusts it.
 */
#ifndef LATHE_LOOP_SCHEDULE_H
#define LATHE_LOOP_SCHEDULE_H

#include "loop/intrinsic.h"
#include "loop/loops.h"
#include "loop/stage.h"
#include "target/target.h"

#define SCHEDULE_FORMAT 1
#define MAX_FACTORS 4                       /* loops of an axis are at most MAX_FACTORS + 1 */
#define MAX_OTHERS 4
#define MAX_LOOPS 40

typedef enum TailMode { TAIL_GUARD, TAIL_PAD, TAIL_SHIFT, TAIL_PEEL, TAIL_MASK } TailMode;

typedef struct AxisTile {
    int n;                        /* factors; 0: one loop */
    int32_t factor[MAX_FACTORS];
    TailMode tail;
    /* TAIL_SHIFT: sizes that a tile may have instead of factor[0], falling */
    int nother;
    int32_t other[MAX_OTHERS];
} AxisTile;

typedef struct LoopRef { /* level `level` of axis `axis` (reduction axes follow the domain axes) */
    int8_t axis, level;
} LoopRef;

int32_t tile_size_for(const AxisTile *t, int64_t rows); /* that holds so many (loop/nest.c) */

typedef struct StageSchedule {
    const char *name;             /* first result */
    AxisTile tile[MAX_AXES];
    int norder;                   /* 0: default order */
    LoopRef order[MAX_LOOPS];
    int nsteps;                   /* the first `nsteps` of the order */
    int nparallel;                /* that many of the order after it */
    uint64_t unroll;              /* bit by position in the order */
    int vector;                   /* position in the order of the vector loop; -1 none */
    int ndot;                     /* the last `ndot` of the order, after the vector loop */
    const char *at_stage;         /* NULL: root */
    LoopRef at_loop;
    const char *ahead;            /* a tensor; NULL: none is fetched ahead .. */
    LoopRef ahead_loop;           /* .. of this loop of at_stage */
    BufferScope scope;            /* SCOPE_ARG: whole storage, also for stages computed `at` */
    bool in_result;               /* scope result; `scope` is SCOPE_SCRATCH then */
    bool has_layout;
    Layout layout;
} StageSchedule;

typedef enum StepKind {
    SCHED_INLINE,
    SCHED_FUSE,
    SCHED_JOIN,
    SCHED_SPLIT,
    SCHED_CACHE_WRITE,
    SCHED_CACHE_READ,
    SCHED_RFACTOR,
    SCHED_PARTS,
    SCHED_TRIM
} StepKind;
typedef struct ScheduleStep {
    StepKind kind;
    /* inline A; fuse, join A B C(axes); split A B(axis) n; cache_write A; cache_read A(tensor)
     * B(reader) C(name); rfactor, parts A B(axis) n; trim A B(axis) */
    const char *a, *b, *c;
    int n, meet; /* rfactor; 0: none */
} ScheduleStep;

typedef struct Schedule {
    const char *variant;          /* definition variant; "default" */
    VEC(ScheduleStep) step;
    /* stages after the steps, and re-laid constants (has_layout only) */
    VEC(StageSchedule) stage;
} Schedule;

void schedule_print(const Schedule *s, const Stages *after_steps, Str *out); /* canonical */
/* Applies the line's steps to `stages` while reading: names after them are those of the rewritten
 * stages. */
Schedule *schedule_parse(Context *ctx, Stages *stages, const char *line);
/* The entry of a stage or constant; made with defaults if there is none. Pointers move when entries
 * are made. */
StageSchedule *schedule_stage(Schedule *sc, Context *ctx, const char *name);
const StageSchedule *schedule_find(const Schedule *sc, const char *name); /* NULL: defaults */
/* Level 0 of all axes, then level 1 of all...: the order where none is given. Returns the count. */
int schedule_default_order(const Stage *st, const StageSchedule *ss, LoopRef *order);

/* Applies the structural steps to s (in place). */
bool schedule_apply_steps(const Schedule *sc, Stages *s, Str *why);

typedef enum ScheduleVerdict {
    SCHEDULE_OK,
    SCHEDULE_NO_STAGE,
    SCHEDULE_BAD_LOOP,
    SCHEDULE_BAD_ORDER,
    SCHEDULE_BAD_TAIL,
    SCHEDULE_BAD_AT,
    SCHEDULE_NOT_CONSTANT,
    SCHEDULE_BAD_SCOPE,
    SCHEDULE_BAD_LAYOUT,
    SCHEDULE_TOO_BIG,
    SCHEDULE_BAD_AHEAD, /* no constant that is read, or no loop around */
    SCHEDULE_BAD_DOT,   /* no product, or none that an instruction of the target computes */
    SCHEDULE_DEFECT, /* lowering gets it wrong: never, say the tests; if so the record is left out
                      */
} ScheduleVerdict;
/* The row of loop/intrinsic.h that computes the product which the stage sums; -1: it is none, or
 * the target has none. */
int schedule_dot_row(const Stages *s, const Stage *st, const Target *t);
#define TILE_DOT_LOOPS 4
/* The same on tiles, with the rows along domain axis m. */
int schedule_tile_row(const Stages *s, const Stage *st, const Target *t, int m);
/* The part about `dot` (loop/schedule_dot.c). */
ScheduleVerdict schedule_check_dot(const Stages *s, const Stage *st, const StageSchedule *ss,
                                   const Target *t, const char **what);
/* The part about `ahead` (loop/ahead.c). */
bool schedule_check_ahead(const Stages *s, const Stage *st, const Schedule *sc,
                          const StageSchedule *ss, const char **what);
/* The part about `scope result` (loop/schedule_result.c). */
bool schedule_may_lie_in_result(const Schedule *sc, const Stages *s, int stage,
                                const StageSchedule *ss);
ScheduleVerdict schedule_check(const Schedule *sc, const Stages *after_steps, const Target *t,
                               Str *why);

/* ---- lowering (loop/lower.c) and expansion (loop/expand.c) ---- */
/* bufs[] of the kernel: inputs and constants, then outputs, then root temporaries, each in order of
 * the tensors. `tensor_buffer[tensor]` is the buffer id (== its bufs[] index for SCOPE_ARG), -1 if
 * it has none. */
typedef struct Lowered {
    Loops *loops;
    int *tensor_buffer;
    int ntensors;
} Lowered;
Lowered lower(Context *ctx, const Stages *after_steps, const Schedule *sc, const Target *t);
Loops *expand(Context *ctx, const Loops *structured, const Target *t);

#endif
