/* What the commands share. */
#include "tools/tool.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/heap.h"
#include "base/parallel.h"
#include "import/tensor_pb.h"
#include "tools/image_input.h"

/* ---- options ---- */

Args args_begin(int argc, char **argv)
{
    return (Args){.argc = argc, .argv = argv};
}

static void remove_at(Args *a, int i, int n)
{
    memmove(a->argv + i, a->argv + i + n, sizeof *a->argv * (size_t)(a->argc - i - n));
    a->argc -= n;
}

static int find(const Args *a, const char *name)
{
    for (int i = 1; i < a->argc; i++)
        if (strcmp(a->argv[i], name) == 0)
            return i;
    return -1;
}

/* The same, and remembers that it was asked for: it is no unknown option if it comes again. */
static int take(Args *a, const char *name)
{
    const int i = find(a, name), room = (int)(sizeof a->taken / sizeof *a->taken);
    if (i >= 0 && a->ntaken < room)
        a->taken[a->ntaken++] = name;
    return i;
}

static bool was_taken(const Args *a, const char *name)
{
    for (int i = 0; i < a->ntaken; i++)
        if (strcmp(a->taken[i], name) == 0)
            return true;
    return false;
}

bool args_has(const Args *a, const char *name)
{
    return find(a, name) >= 0;
}

bool args_flag(Args *a, const char *name)
{
    const int i = take(a, name);
    if (i < 0)
        return false;
    remove_at(a, i, 1);
    return true;
}

const char *args_value(Args *a, const char *name, const char *missing)
{
    const int i = take(a, name);
    if (i < 0)
        return missing;
    if (i + 1 >= a->argc) {
        fprintf(stderr, "lathe: %s needs a value\n", name);
        a->bad = true;
        return missing;
    }
    const char *v = a->argv[i + 1];
    remove_at(a, i, 2);
    return v;
}

int64_t args_int(Args *a, const char *name, int64_t missing, int64_t min, int64_t max)
{
    const char *text = args_value(a, name, NULL);
    if (!text)
        return missing;
    char *end;
    errno = 0;
    const long long v = strtoll(text, &end, 10);
    const bool number = end != text && !*end;
    if (number && errno == 0 && v >= min && v <= max)
        return v;
    if (!number)
        fprintf(stderr, "lathe: %s: '%s' is no number\n", name, text);
    else if (errno != 0)
        fprintf(stderr, "lathe: %s: '%s' is out of range\n", name, text);
    else
        fprintf(stderr, "lathe: %s: at %s %lld\n", name, v < min ? "least" : "most",
                (long long)(v < min ? min : max));
    a->bad = true;
    return missing;
}

double args_double(Args *a, const char *name, double missing, double min)
{
    const char *text = args_value(a, name, NULL);
    if (!text)
        return missing;
    char *end;
    const double v = strtod(text, &end);
    const bool number = end != text && !*end && isfinite(v);
    if (number && v >= min)
        return v;
    if (!number)
        fprintf(stderr, "lathe: %s: '%s' is no number\n", name, text);
    else
        fprintf(stderr, "lathe: %s: at least %g\n", name, min);
    a->bad = true;
    return missing;
}

int args_list(Args *a, const char *name, const char **out, int min, int max)
{
    const int i = take(a, name);
    int n = 0;
    if (i < 0)
        return 0;
    remove_at(a, i, 1);
    while (i < a->argc && a->argv[i][0] != '-' && n < max) {
        out[n++] = a->argv[i];
        remove_at(a, i, 1);
    }
    if (n < min) {
        fprintf(stderr, "lathe: %s needs a value\n", name);
        a->bad = true;
    }
    return n;
}

bool args_done(Args *a, int min, int max, const char *what)
{
    for (int i = 1; i < a->argc && !a->bad; i++) {
        if (a->argv[i][0] == '-' && a->argv[i][1]) {
            if (was_taken(a, a->argv[i]))
                fprintf(stderr, "lathe %s: %s is given twice\n", a->argv[0], a->argv[i]);
            else
                fprintf(stderr, "lathe %s: unknown option '%s' (lathe %s --help)\n", a->argv[0],
                        a->argv[i], a->argv[0]);
            a->bad = true;
        }
    }
    if (!a->bad && (a->argc - 1 < min || a->argc - 1 > max)) {
        fprintf(stderr, "lathe %s: wants %s (lathe %s --help)\n", a->argv[0], what, a->argv[0]);
        a->bad = true;
    }
    return !a->bad;
}

int tool_fail(const Error *e)
{
    if (e->message[0])
        fprintf(stderr, "lathe: %s%s\n", e->code == ERR_INTERNAL ? "internal error: " : "",
                e->message);
    return e->code == ERR_UNSUPPORTED || e->code == ERR_NEED_VALUE ? EXIT_REFUSED : EXIT_ERROR;
}

int tool_threads(Args *a)
{
    return (int)args_int(a, "--threads", parallel_cpus(), 1, POOL_MAX_WORKERS);
}

int64_t tool_limit(Args *a, const char *option)
{
    const char *text = args_value(a, option, NULL);
    if (!text)
        return 0;
    static const char units[] = "KMGT";
    char *end;
    long long n = strtoll(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    for (int i = 0; unit && i <= unit - units; i++)
        n = n > INT64_MAX / 1024 ? INT64_MAX : n * 1024;
    if (end == text || n <= 0 || end[unit ? 1 : 0]) {
        fprintf(stderr, "lathe: %s: '%s' is no size (such as 512M or 2G)\n", option, text);
        a->bad = true;
        return 0;
    }
    return n;
}

int tool_target(Args *a, Target *out, Error *e)
{
    const char *name = args_value(a, "--target", "native");
    if (strcmp(name, "native") != 0)
        return target_find(name, out, e);
    *out = target_native();
    return 0;
}

int tool_bind(Args *a, Arena *arena, OnnxOptions *opt, Error *e)
{
    VEC(OnnxBindDim) dims = {0};
    const char *text[64];
    for (int n; (n = args_list(a, "--bind", text, 1, 64)) > 0;) {
        for (int i = 0; i < n; i++) {
            const char *eq = strrchr(text[i], '=');
            char *end = NULL;
            errno = 0;
            const long long v = eq ? strtoll(eq + 1, &end, 10) : 0;
            if (!eq || eq == text[i] || !eq[1] || *end || v < 0)
                return error_set(e, ERR_INVALID, "--bind: '%s' is not NAME=NUMBER", text[i]);
            if (errno != 0 || v > INT32_MAX)
                return error_set(e, ERR_INVALID, "--bind: '%s' is out of range, a size is 0 to %d",
                                 text[i], INT32_MAX);
            const OnnxBindDim dim = {arena_strndup(arena, text[i], (size_t)(eq - text[i])), v};
            vec_push(arena, &dims, dim);
        }
    }
    opt->nbind = dims.len;
    opt->bind = dims.at;
    return 0;
}

/* ---- tensors ---- */

int tool_read_tensor(const char *path, Tensor **out, Error *e)
{
    if (str_ends(path, ".npy"))
        return npy_read(path, out, e);
    if (str_ends(path, ".pb"))
        return tensor_pb_read(path, out, e);
    return error_set(e, ERR_INVALID, "'%s': an input file ends in .npy, .pb, .png or .jpg", path);
}

Ports tool_graph_ports(Arena *a, const Graph *g)
{
    const Block *b = &g->block.at[0];
    Ports p = {.n = b->input.len, .at = arena_array_of(a, b->input.len + 1, struct Port)};
    for (int i = 0; i < p.n; i++) {
        const Value *v = &g->value.at[b->input.at[i]];
        p.at[i] = (struct Port){.name = v->name, .dtype = v->dtype, .rank = v->rank};
        for (int k = 0; k < v->rank; k++)
            if (!expr_is_int(g->x, v->dim[k], &p.at[i].dim[k]))
                p.at[i].dim[k] = -1;
    }
    return p;
}

Ports tool_module_ports(Arena *a, const Module *m)
{
    const Program *program = module_program(m);
    Ports p = {.n = program->ninput,
               .at = arena_array_of(a, program->ninput + 1, struct Port),
               .program = program};
    for (int i = 0; i < p.n; i++) {
        const ProgramBuffer *b = &program->buffer[program->input[i].buffer];
        p.at[i] = (struct Port){
            .name = program->input[i].name, .dtype = (DType)b->dtype, .rank = b->rank};
        for (int k = 0; k < b->rank; k++) {
            const ProgramValue *v = &program->value[b->dim[k]];
            p.at[i].dim[k] = v->op == EX_INT ? v->imm.i : -1;
            p.at[i].dim_name[k] = v->op == EX_VAR && !v->late ? program->var[v->imm.i].name : NULL;
        }
    }
    return p;
}

/* "'N', 'H'": of the open dims, each once. */
static const char *open_dims(Arena *a, const Ports *p)
{
    Str s = str_new(a);
    StrMap seen = strmap_new(a);
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < p->at[i].rank; k++)
            if (p->at[i].dim_name[k] && strmap_put(&seen, p->at[i].dim_name[k], 1))
                str_addf(&s, "%s'%.60s'", s.len > 0 ? ", " : "", p->at[i].dim_name[k]);
    return str_text(&s);
}

/* The model's name of a size that became one with another, or fixed: the name that stands in the
 * ports instead. */
static const char *port_name_of(Arena *a, const Ports *p, const char *name)
{
    for (int i = 0; i < p->program->nvar; i++) {
        const ProgramVar *v = &p->program->var[i];
        if (v->input < 0 || strcmp(v->name, name) != 0)
            continue;
        const struct Port *port = &p->at[v->input];
        return port->dim_name[v->axis] ? port->dim_name[v->axis]
                                       : arena_printf(a, "%s.dim%d", port->name, v->axis);
    }
    return name;
}

/* A fixed dim goes by its place, as one does that has no name in a model: "x.dim2". */
static int bind_ports(Arena *a, Ports *p, const OnnxBindDim *bind, Error *e)
{
    bool found = false;
    const char *const wanted = port_name_of(a, p, bind->name);
    for (int i = 0; i < p->n; i++) {
        struct Port *const port = &p->at[i];
        for (int k = 0; k < port->rank; k++) {
            const char *name =
                port->dim_name[k] ? port->dim_name[k] : arena_printf(a, "%s.dim%d", port->name, k);
            if (strcmp(name, wanted) != 0)
                continue;
            if (port->dim[k] >= 0 && port->dim[k] != bind->value)
                return error_set(e, ERR_INVALID, "--bind: '%.100s' is %lld, not %lld", bind->name,
                                 (long long)port->dim[k], (long long)bind->value);
            port->dim[k] = bind->value;
            found = true;
        }
    }
    if (found)
        return 0;
    const char *open = open_dims(a, p);
    return error_set(e, ERR_INVALID,
                     "--bind: the module's inputs have no open dim '%.100s': %.400s", bind->name,
                     open[0] ? arena_printf(a, "they have %s", open) : "all are fixed");
}

int tool_bind_ports(Arena *a, Ports *p, const OnnxOptions *opt, Error *e)
{
    int code = 0;
    for (int i = 0; i < opt->nbind && code == 0; i++)
        code = bind_ports(a, p, &opt->bind[i], e);
    return code;
}

static int input_too_large(const struct Port *p, const int64_t *dim, int64_t bytes, int64_t room,
                           Error *e)
{
    char dims[MAX_RANK * 24] = "";
    for (int k = 0, n = 0; k < p->rank; k++)
        n += snprintf(dims + n, sizeof dims - (size_t)n, "%s%lld", k ? "," : "", (long long)dim[k]);
    return error_set(e, ERR_MEMORY,
                     "input '%s' %s[%s] needs %s%lld bytes, more than the limit leaves (%lld): "
                     "use a smaller one or set --memory-limit",
                     p->name, dtype_name(p->dtype), dims, bytes == INT64_MAX ? "over " : "",
                     (long long)bytes, (long long)(room > 0 ? room : 0));
}

/* `room`: the bytes that are left for inputs. */
static int random_input(const struct Port *p, uint64_t seed, int64_t batch, int64_t *room,
                        Tensor **out, Error *e)
{
    int64_t dim[MAX_RANK], bytes = dtype_size(p->dtype);
    bool over = false, empty = false;
    for (int k = 0; k < p->rank; k++) {
        dim[k] = p->dim[k] >= 0 ? p->dim[k] : k == 0 ? batch : 16;
        over |= __builtin_mul_overflow(bytes, dim[k], &bytes);
        empty |= dim[k] == 0;
        if (p->dim[k] < 0 && (k > 0 || batch == 1))
            fprintf(stderr, "lathe: input '%s': dim %d is not fixed, %lld is taken (--bind)\n",
                    p->name, k, (long long)dim[k]);
    }
    if (!empty && (over || bytes > *room))
        return input_too_large(p, dim, over ? INT64_MAX : bytes, *room, e);
    *room -= empty ? 0 : bytes;
    *out = tensor_new(p->dtype, p->rank, dim, e);
    if (!*out)
        return e->code;
    tensor_fill_random(*out, seed);
    return 0;
}

/* NAME=FILE, or FILE for input *at. */
static int find_input(const Ports *p, const char *text, int *at, const char **path, Error *e)
{
    const char *eq = strchr(text, '=');
    *path = text;
    for (int k = 0; eq && k < p->n; k++) {
        const size_t len = strlen(p->at[k].name);
        if (len != (size_t)(eq - text) || strncmp(p->at[k].name, text, len) != 0)
            continue;
        *at = k;
        *path = eq + 1;
        return 0;
    }
    if (eq && !file_exists(text))
        return error_set(e, ERR_INVALID, "--inputs %s: the model has no input of this name", text);
    return 0;
}

/* Was it open in the model, though a module fixes it? */
static bool has_name(const Ports *ports, int input, int axis)
{
    for (int i = 0; ports->program && i < ports->program->nvar; i++)
        if (ports->program->var[i].input == input && ports->program->var[i].axis == axis)
            return true;
    return false;
}

/* Here and not by the run: a module does not know of --bind. */
static int check_dims(const Ports *ports, int input, const char *path, const Tensor *t, Error *e)
{
    const struct Port *const p = &ports->at[input];
    int bad = -1;
    for (int k = 0; k < p->rank && t->rank == p->rank && bad < 0; k++)
        if (p->dim[k] >= 0 && p->dim[k] != t->dim[k])
            bad = k;
    if (bad < 0)
        return 0;
    Arena *a = arena_new();
    const bool one = t->dim[bad] == 1 && has_name(ports, input, bad);
    error_set(e, ERR_INVALID, "--inputs %s: %s for input '%s', whose dim %d is %lld%s", path,
              tensor_describe(a, t), p->name, bad, (long long)p->dim[bad],
              one ? " (" BROADCAST_HINT ")" : "");
    arena_free(a);
    return ERR_INVALID;
}

static int given_input(const Ports *p, const char *text, int at, const ImageOptions *image,
                       Tensor **out, Error *e)
{
    const char *path;
    const int code = find_input(p, text, &at, &path, e);
    if (code != 0)
        return code;
    if (out[at])
        return error_set(e, ERR_INVALID, "--inputs %s: the input '%s' is given twice", text,
                         p->at[at].name);
    const struct Port *const port = &p->at[at];
    const int code_read = image_is_file(path) ? image_read(path, port, image, &out[at], e)
                                              : tool_read_tensor(path, &out[at], e);
    return code_read != 0 ? code_read : check_dims(p, at, path, out[at], e);
}

int tool_inputs(const Ports *p, int nfile, const char *const *file, const ImageOptions *image,
                uint64_t seed, int64_t batch, Tensor **out, Error *e)
{
    if (nfile > p->n)
        return error_set(e, ERR_INVALID, "%d input files, the model has %d inputs", nfile, p->n);
    for (int i = 0; i < nfile; i++) {
        const int code = given_input(p, file[i], i, image, out, e);
        if (code != 0)
            return code;
    }
    int64_t room = p->memory_limit > 0 ? p->memory_limit : heap_physical();
    for (int i = 0; i < p->n; i++)
        room -= out[i] ? (int64_t)out[i]->bytes : 0;
    for (int i = 0; i < p->n; i++) {
        const int code =
            out[i] ? 0 : random_input(&p->at[i], seed + (uint64_t)i, batch, &room, &out[i], e);
        if (code != 0)
            return code;
    }
    return 0;
}

/* ---- progress ---- */

void tool_progress(void *arg, const char *what, int done, int total)
{
    const double *start = arg;
    if (!isatty(2) || time_now() - *start < 2 || total <= 0)
        return;
    const int width = 40, full = (int)((int64_t)done * width / total);
    fprintf(stderr, "\r%s [%.*s%*s] %d/%d%s", what, full,
            "########################################", width - full, "", done, total,
            done == total ? "\r\033[K" : "");
    fflush(stderr);
}
