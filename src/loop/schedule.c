/* Schedule records: the canonical line, its parser, and the structural steps. See schedule.h. */
#include "loop/schedule.h"

#include <assert.h>
#include <string.h>

#include "loop/rfactor.h"

static const char *const tail_names[] = {
    [TAIL_GUARD] = "guard", [TAIL_PAD] = "pad",   [TAIL_SHIFT] = "shift",
    [TAIL_PEEL] = "peel",   [TAIL_MASK] = "mask",
};

StageSchedule *schedule_stage(Schedule *sc, Context *ctx, const char *name)
{
    for (int i = 0; i < sc->stage.len; i++) {
        if (strcmp(sc->stage.at[i].name, name) == 0) {
            return &sc->stage.at[i];
        }
    }
    StageSchedule fresh = {.name = arena_strdup(ctx->arena, name), .vector = -1,
                           .scope = SCOPE_ARG};
    vec_push(ctx->arena, &sc->stage, fresh);
    return &vec_last(&sc->stage);
}

const StageSchedule *schedule_find(const Schedule *sc, const char *name)
{
    for (int i = 0; i < sc->stage.len; i++) {
        if (strcmp(sc->stage.at[i].name, name) == 0) {
            return &sc->stage.at[i];
        }
    }
    return NULL;
}

int schedule_default_order(const Stage *st, const StageSchedule *ss, LoopRef *order)
{
    const int axes = st->naxes + st->nreduce;
    int n = 0;
    for (int level = 0; level <= MAX_FACTORS; level++) {
        for (int a = 0; a < axes; a++) {
            const int deepest = ss ? ss->tile[a].n : 0;
            if (level <= deepest && n < MAX_LOOPS) {
                order[n++] = (LoopRef){.axis = (int8_t)a, .level = (int8_t)level};
            }
        }
    }
    return n;
}

/* ---- printing ---- */

static void print_loop(const Stage *st, LoopRef r, Str *out)
{
    str_addf(out, "%s%d", st->axis[r.axis].name, r.level);
}

static void print_marked(const Stage *st, const StageSchedule *ss, const char *word, uint64_t mask,
                         Str *out)
{
    if (!mask) {
        return;
    }
    str_addf(out, "; %s", word);
    for (int i = 0; i < ss->norder; i++) {
        if (mask >> i & 1) {
            str_addc(out, ' ');
            print_loop(st, ss->order[i], out);
        }
    }
}

static const Stage *stage_named(const Stages *s, const char *name)
{
    const int t = stages_find_tensor(s, name);
    return t >= 0 && s->tensor.at[t].stage >= 0 ? &s->stage.at[s->tensor.at[t].stage] : NULL;
}

static void print_stage(const StageSchedule *ss, const Stages *s, Str *out)
{
    const Stage *st = stage_named(s, ss->name);
    str_addf(out, " | %s:", ss->name);
    Str body = str_new(out->arena);
    if (st) {
        const int axes = st->naxes + st->nreduce;
        bool first = true;
        for (int a = 0; a < axes; a++) {
            const AxisTile *tile = &ss->tile[a];
            if (tile->n == 0) {
                continue;
            }
            str_addf(&body, "%s %s", first ? "; tile" : ",", st->axis[a].name);
            first = false;
            for (int k = 0; k < tile->n; k++) {
                str_addf(&body, " %d", tile->factor[k]);
            }
            if (tile->tail != TAIL_GUARD) {
                str_addf(&body, " %s", tail_names[tile->tail]);
            }
            for (int k = 0; k < tile->nother; k++) {
                str_addf(&body, "%s %d", k ? "" : " or", tile->other[k]);
            }
        }
        if (ss->norder) {
            print_marked(st, ss, "order", ~(uint64_t)0, &body);
        }
        print_marked(st, ss, "steps", ((uint64_t)1 << ss->nsteps) - 1, &body);
        print_marked(st, ss, "parallel", (((uint64_t)1 << ss->nparallel) - 1) << ss->nsteps, &body);
        print_marked(st, ss, "unroll", ss->unroll, &body);
        print_marked(st, ss, "vector", ss->vector >= 0 ? (uint64_t)1 << ss->vector : 0, &body);
        print_marked(st, ss, "dot", (((uint64_t)1 << ss->ndot) - 1) << (ss->norder - ss->ndot),
                     &body);
        if (ss->at_stage) {
            str_addf(&body, "; at %s.", ss->at_stage);
            print_loop(stage_named(s, ss->at_stage), ss->at_loop, &body);
        }
        if (ss->ahead) {
            str_addf(&body, "; ahead %s %s.", ss->ahead, ss->at_stage);
            print_loop(stage_named(s, ss->at_stage), ss->ahead_loop, &body);
        }
        if (ss->scope != SCOPE_ARG) {
            str_addf(&body, "; scope %s",
                     ss->in_result            ? "result"
                     : ss->scope == SCOPE_REG ? "reg"
                                              : "scratch");
        }
    }
    if (ss->has_layout) {
        str_add(&body, "; layout ");
        layout_print(&ss->layout, &body);
    }
    const char *text = str_text(&body);
    str_add(out, text[0] == ';' ? text + 1 : text);
}

void schedule_print(const Schedule *sc, const Stages *s, Str *out)
{
    str_addf(out, "s%d def=%s", SCHEDULE_FORMAT, sc->variant);
    for (int i = 0; i < sc->step.len; i++) {
        const ScheduleStep *step = &sc->step.at[i];
        switch (step->kind) {
        case SCHED_INLINE:
            str_addf(out, "; inline %s", step->a);
            break;
        case SCHED_FUSE:
            str_addf(out, "; fuse %s %s %s", step->a, step->b, step->c);
            break;
        case SCHED_JOIN:
            str_addf(out, "; join %s %s %s", step->a, step->b, step->c);
            break;
        case SCHED_SPLIT:
            str_addf(out, "; split %s %s %d", step->a, step->b, step->n);
            break;
        case SCHED_CACHE_WRITE:
            str_addf(out, "; cache_write %s", step->a);
            break;
        case SCHED_CACHE_READ:
            str_addf(out, "; cache_read %s %s %s", step->a, step->b, step->c);
            break;
        case SCHED_RFACTOR:
            str_addf(out, "; rfactor %s %s %d", step->a, step->b, step->n);
            if (step->meet)
                str_addf(out, " meet %d", step->meet);
            break;
        case SCHED_PARTS:
            str_addf(out, "; parts %s %s %d", step->a, step->b, step->n);
            break;
        case SCHED_TRIM:
            str_addf(out, "; trim %s %s", step->a, step->b);
            break;
        }
    }
    for (int i = 0; i < sc->stage.len; i++) {
        print_stage(&sc->stage.at[i], s, out);
    }
}

/* ---- parsing ---- */

static int axis_of(const Stage *st, const char *name, size_t n)
{
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        if (strlen(st->axis[a].name) == n && strncmp(st->axis[a].name, name, n) == 0) {
            return a;
        }
    }
    return -1;
}

/* A loop is written as its axis name and one digit. */
static LoopRef parse_loop_name(Lexer *lex, const Stage *st, const char *name)
{
    const size_t n = strlen(name);
    const int level = n > 1 ? name[n - 1] - '0' : -1;
    const int axis = level >= 0 && level <= MAX_FACTORS ? axis_of(st, name, n - 1) : -1;
    if (axis < 0) {
        lex_fail(lex, "'%s' is no loop of this stage", name);
    }
    return (LoopRef){.axis = (int8_t)axis, .level = (int8_t)level};
}

static int order_position(Lexer *lex, const StageSchedule *ss, LoopRef r)
{
    for (int i = 0; i < ss->norder; i++) {
        if (ss->order[i].axis == r.axis && ss->order[i].level == r.level) {
            return i;
        }
    }
    lex_fail(lex, "a marked loop is not in the order");
}

static void parse_tile(Lexer *lex, const Stage *st, StageSchedule *ss)
{
    do {
        const char *name = lex_ident(lex);
        const int a = axis_of(st, name, strlen(name));
        if (a < 0) {
            lex_fail(lex, "'%s' is no axis of this stage", name);
        }
        AxisTile *tile = &ss->tile[a];
        while (lex->tok.kind == TOK_INT) {
            if (tile->n == MAX_FACTORS || lex->tok.i < 1 || lex->tok.i > INT32_MAX) {
                lex_fail(lex, "at most %d factors, each at least 1", MAX_FACTORS);
            }
            tile->factor[tile->n++] = (int32_t)lex_int(lex);
        }
        for (int m = 0; m < (int)(sizeof tail_names / sizeof *tail_names); m++) {
            if (lex_accept(lex, tail_names[m])) {
                tile->tail = (TailMode)m;
                break;
            }
        }
        if (lex_accept(lex, "or")) {
            while (lex->tok.kind == TOK_INT) {
                if (tile->nother == MAX_OTHERS || lex->tok.i < 1 || lex->tok.i > INT32_MAX) {
                    lex_fail(lex, "at most %d other sizes, each at least 1", MAX_OTHERS);
                }
                tile->other[tile->nother++] = (int32_t)lex_int(lex);
            }
        }
    } while (lex_accept(lex, ","));
}

static bool at_loop_list(const Lexer *lex)
{
    return lex->tok.kind == TOK_IDENT;
}

static void parse_dot(Lexer *lex, const Stage *st, StageSchedule *ss)
{
    int next = -1;
    while (at_loop_list(lex)) {
        const int at = order_position(lex, ss, parse_loop_name(lex, st, lex_ident(lex)));
        if (next >= 0 && at != next) {
            break;
        }
        next = at + 1;
        ss->ndot++;
    }
    if (ss->ndot == 0 || next != ss->norder) {
        lex_fail(lex, "the loops of dot must be the innermost ones, in order");
    }
}

/* STAGE.LOOP is one identifier token; stage names may hold dots themselves. */
static LoopRef parse_stage_loop(Lexer *lex, const Stages *s, const char **stage)
{
    const char *word = lex_ident(lex);
    const char *dot = strrchr(word, '.');
    if (!dot) {
        lex_fail(lex, "expected STAGE.LOOP, not '%s'", word);
    }
    *stage = arena_strndup(lex->ctx->arena, word, (size_t)(dot - word));
    const Stage *target = stage_named(s, *stage);
    if (!target) {
        lex_fail(lex, "no stage '%s'", *stage);
    }
    return parse_loop_name(lex, target, dot + 1);
}

static void parse_fields(Lexer *lex, const Stages *s, const Stage *st, StageSchedule *ss)
{
    while (lex->tok.kind != TOK_END && !lex_is(lex, "|")) {
        if (lex_accept(lex, "layout")) {
            ss->layout = layout_parse(lex);
            ss->has_layout = true;
        } else if (!st) {
            lex_fail(lex, "a constant takes a layout only");
        } else if (lex_accept(lex, "tile")) {
            parse_tile(lex, st, ss);
        } else if (lex_accept(lex, "order")) {
            while (at_loop_list(lex) && ss->norder < MAX_LOOPS) {
                ss->order[ss->norder++] = parse_loop_name(lex, st, lex_ident(lex));
            }
        } else if (lex_accept(lex, "steps")) {
            while (at_loop_list(lex)) {
                const LoopRef r = parse_loop_name(lex, st, lex_ident(lex));
                if (order_position(lex, ss, r) != ss->nsteps++ || ss->nparallel) {
                    lex_fail(lex, "the loops of steps must be the outermost ones, in order");
                }
            }
        } else if (lex_accept(lex, "parallel")) {
            while (at_loop_list(lex)) {
                const LoopRef r = parse_loop_name(lex, st, lex_ident(lex));
                if (order_position(lex, ss, r) != ss->nsteps + ss->nparallel++) {
                    lex_fail(lex, "parallel loops must be the outermost ones, in order");
                }
            }
        } else if (lex_accept(lex, "unroll")) {
            while (at_loop_list(lex)) {
                const LoopRef r = parse_loop_name(lex, st, lex_ident(lex));
                ss->unroll |= (uint64_t)1 << order_position(lex, ss, r);
            }
        } else if (lex_accept(lex, "vector")) {
            ss->vector = order_position(lex, ss, parse_loop_name(lex, st, lex_ident(lex)));
        } else if (lex_accept(lex, "dot")) {
            parse_dot(lex, st, ss);
        } else if (lex_accept(lex, "at")) {
            ss->at_loop = parse_stage_loop(lex, s, &ss->at_stage);
        } else if (lex_accept(lex, "ahead")) {
            const char *stage;
            ss->ahead = lex_ident(lex);
            ss->ahead_loop = parse_stage_loop(lex, s, &stage);
            if (!ss->at_stage || strcmp(stage, ss->at_stage) != 0) {
                lex_fail(lex, "the loop of ahead is none of the stage of at");
            }
        } else if (lex_accept(lex, "scope")) {
            const char *word = lex_ident(lex);
            ss->scope = strcmp(word, "reg") == 0 ? SCOPE_REG : SCOPE_SCRATCH;
            ss->in_result = strcmp(word, "result") == 0;
        } else {
            lex_fail(lex, "unknown field '%s'", lex->tok.text);
        }
        if (!lex_accept(lex, ";")) {
            break;
        }
    }
}

static void parse_step(Lexer *lex, Schedule *sc)
{
    ScheduleStep step = {0};
    if (lex_accept(lex, "inline")) {
        step.kind = SCHED_INLINE;
        step.a = lex_ident(lex);
    } else if (lex_accept(lex, "fuse")) {
        step.kind = SCHED_FUSE;
        step.a = lex_ident(lex);
        step.b = lex_ident(lex);
        step.c = lex_ident(lex);
    } else if (lex_accept(lex, "join")) {
        step.kind = SCHED_JOIN;
        step.a = lex_ident(lex);
        step.b = lex_ident(lex);
        step.c = lex_ident(lex);
    } else if (lex_accept(lex, "split")) {
        step.kind = SCHED_SPLIT;
        step.a = lex_ident(lex);
        step.b = lex_ident(lex);
        step.n = (int)lex_int(lex);
    } else if (lex_accept(lex, "cache_write")) {
        step.kind = SCHED_CACHE_WRITE;
        step.a = lex_ident(lex);
    } else if (lex_accept(lex, "cache_read")) {
        step.kind = SCHED_CACHE_READ;
        step.a = lex_ident(lex);
        step.b = lex_ident(lex);
        step.c = lex_ident(lex);
    } else if (lex_accept(lex, "rfactor")) {
        step.kind = SCHED_RFACTOR;
        step.a = lex_ident(lex);
        step.b = lex_ident(lex);
        step.n = (int)lex_int(lex);
        if (lex_accept(lex, "meet"))
            step.meet = (int)lex_int(lex);
    } else if (lex_accept(lex, "parts")) {
        step.kind = SCHED_PARTS;
        step.a = lex_ident(lex);
        step.b = lex_ident(lex);
        step.n = (int)lex_int(lex);
    } else if (lex_accept(lex, "trim")) {
        step.kind = SCHED_TRIM;
        step.a = lex_ident(lex);
        step.b = lex_ident(lex);
    } else {
        lex_fail(lex, "unknown step '%s'", lex->tok.text);
    }
    vec_push(lex->ctx->arena, &sc->step, step);
}

Schedule *schedule_parse(Context *ctx, Stages *stages, const char *line)
{
    Lexer lex = lex_new(ctx, "schedule", line, strlen(line), false);
    Schedule *sc = arena_new_of(ctx->arena, Schedule);
    const char *version = lex_ident(&lex);
    if (strcmp(version, "s1") != 0) {
        lex_fail(&lex, "schedule format '%s', this program writes s%d", version, SCHEDULE_FORMAT);
    }
    lex_expect(&lex, "def");
    lex_expect(&lex, "=");
    sc->variant = lex_ident(&lex);
    while (lex_accept(&lex, ";")) {
        parse_step(&lex, sc);
    }
    Str why = str_new(ctx->arena);
    if (!schedule_apply_steps(sc, stages, &why)) {
        fail(ctx, ERR_INVALID, "schedule: %s", str_text(&why));
    }
    while (lex_accept(&lex, "|")) {
        const char *name = lex_ident(&lex);
        StageSchedule *ss = schedule_stage(sc, ctx, name);
        lex_expect(&lex, ":");
        const int t = stages_find_tensor(stages, name);
        if (t < 0) {
            lex_fail(&lex, "no stage or constant '%s'", name);
        }
        parse_fields(&lex, stages, stage_named(stages, name), ss);
    }
    if (lex.tok.kind != TOK_END) {
        lex_fail(&lex, "unexpected '%s'", lex.tok.text);
    }
    return sc;
}

/* ---- steps ---- */

static bool fuse_axes(Stages *s, int stage, const char *first, const char *second, bool apart)
{
    const Stage *st = &s->stage.at[stage];
    for (int a = 0; a + 1 < st->naxes + st->nreduce; a++) {
        if (strcmp(st->axis[a].name, first) == 0 && strcmp(st->axis[a + 1].name, second) == 0) {
            return apart ? stages_join(s, stage, a) : stages_fuse(s, stage, a);
        }
    }
    return false;
}

static bool split_axis(Stages *s, int stage, const char *axis, int inner)
{
    const Stage *st = &s->stage.at[stage];
    for (int a = 0; a < st->naxes; a++) {
        if (strcmp(st->axis[a].name, axis) == 0) {
            return stages_split(s, stage, a, inner);
        }
    }
    return false;
}

static bool apply_step(const ScheduleStep *step, Stages *s)
{
    const int t = stages_find_tensor(s, step->a);
    if (t < 0) {
        return false;
    }
    const int stage = s->tensor.at[t].stage;
    if (stage >= 0 && step->kind != SCHED_TRIM && step->kind != SCHED_CACHE_READ) {
        stages_untrim(&s->stage.at[stage]);
    }
    switch (step->kind) {
    case SCHED_INLINE:
        return stage >= 0 && stages_inline(s, stage);
    case SCHED_FUSE:
    case SCHED_JOIN:
        return stage >= 0 && fuse_axes(s, stage, step->b, step->c, step->kind == SCHED_JOIN);
    case SCHED_SPLIT:
        return stage >= 0 && split_axis(s, stage, step->b, step->n);
    case SCHED_CACHE_WRITE:
        return stage >= 0 && stages_cache_write(s, stage) >= 0;
    case SCHED_CACHE_READ: {
        const int reader = stages_find_tensor(s, step->b);
        return reader >= 0 && s->tensor.at[reader].stage >= 0 &&
               stages_cache_read(s, t, s->tensor.at[reader].stage, step->c) >= 0;
    }
    case SCHED_TRIM:
        return stage >= 0 && stages_trim(s, stage, step->b);
    case SCHED_RFACTOR:
    case SCHED_PARTS:
        return stage >= 0 && stages_rfactor(s, stage, step->b, step->n, step->meet,
                                            step->kind == SCHED_PARTS) >= 0;
    }
    return false;
}

bool schedule_apply_steps(const Schedule *sc, Stages *s, Str *why)
{
    for (int i = 0; i < sc->step.len; i++) {
        if (!apply_step(&sc->step.at[i], s)) {
            str_addf(why, "step %d on '%s' does not apply", i, sc->step.at[i].a);
            return false;
        }
    }
    return true;
}
