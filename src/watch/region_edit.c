/* Places of nodes (yaml.h) -> bytes of the text -> the same text with other numbers; then all of it
 * read anew. */
#include "watch/region_edit.h"

#include <ctype.h>
#include <string.h>

#include "base/file.h"
#include "watch/config.h"
#include "watch/json_write.h"
#include "watch/pattern.h"
#include "watch/yaml.h"

typedef struct Edit {
    const char *path, *text, *region;
    size_t size;
    Box box;
    const char *out;
} Edit;

/* Columns are characters, from 1. */
static size_t byte_of(const Edit *d, Place p)
{
    size_t at = 0;
    for (int line = 1; line < p.line && at < d->size; at++)
        line += d->text[at] == '\n';
    for (int column = 1; column < p.column && at < d->size; column++)
        at += utf8_size(d->text + at) ? utf8_size(d->text + at) : 1;
    return at;
}

static void add_numbers(Str *out, Box b)
{
    const float at[] = {b.x, b.y, b.width, b.height};
    for (int i = 0; i < 4; i++) {
        str_add(out, i ? ", " : "[");
        json_add_float(out, at[i]);
    }
    str_addc(out, ']');
}

/* The four numbers in their places. False: they are not written there. */
static bool replace_numbers(const Edit *d, Str *out, const YamlNode *list)
{
    const float number[] = {d->box.x, d->box.y, d->box.width, d->box.height};
    size_t done = 0;
    if (list->kind != YAML_LIST || list->n != 4)
        return false;
    for (int i = 0; i < 4; i++) {
        const char *const old = list->at[i]->text;
        const size_t at = byte_of(d, list->at[i]->place);
        if (at < done || at + strlen(old) > d->size || strncmp(d->text + at, old, strlen(old)) != 0)
            return false; /* an alias, or a quoted one */
        str_addn(out, d->text + done, at - done);
        json_add_float(out, number[i]);
        done = at + strlen(old);
    }
    str_addn(out, d->text + done, d->size - done);
    return true;
}

/* As the file's first line ends. */
static const char *line_end(const Edit *d)
{
    const char *const lf = memchr(d->text, '\n', d->size);
    return lf && lf > d->text && lf[-1] == '\r' ? "\r\n" : "\n";
}

static void add_entry(const Edit *d, Str *out)
{
    str_addf(out, "%s: ", d->region);
    add_numbers(out, d->box);
}

/* At the end: no key 'region' is there. */
static void add_map(const Edit *d, Str *out)
{
    const char *const end = line_end(d);
    str_addn(out, d->text, d->size);
    str_addf(out, "%sregion:%s  ", d->size > 0 && d->text[d->size - 1] != '\n' ? end : "", end);
    add_entry(d, out);
    str_add(out, end);
}

/* `region:` with nothing behind it but a comment: below, two columns further in. */
static void add_below(const Edit *d, Str *out, const YamlNode *key)
{
    const size_t at = byte_of(d, key->place);
    const char *const lf = memchr(d->text + at, '\n', d->size - at);
    size_t end = lf ? (size_t)(lf - d->text) : d->size;
    end -= lf && end > at && d->text[end - 1] == '\r';
    str_addn(out, d->text, end);
    str_addf(out, "%s%*s", line_end(d), key->place.column + 1, "");
    add_entry(d, out);
    str_addn(out, d->text + end, d->size - end);
}

/* {}: between the braces. */
static void add_first(const Edit *d, Str *out, const YamlNode *map)
{
    const size_t at = byte_of(d, map->place) + 1;
    str_addn(out, d->text, at);
    add_entry(d, out);
    str_addn(out, d->text + at, d->size - at);
}

/* In front of the first one, written as it is: a line of its own, or in the same line. */
static void add_before(const Edit *d, Str *out, const YamlNode *map)
{
    const size_t at = byte_of(d, map->key[0]->place), open = byte_of(d, map->place);
    const bool flow = open < d->size && d->text[open] == '{';
    size_t line = at;
    while (line > 0 && d->text[line - 1] == ' ')
        line--;
    const bool own_line = line == 0 || d->text[line - 1] == '\n';
    str_addn(out, d->text, at);
    add_entry(d, out);
    str_add(out, flow ? "," : "");
    if (own_line)
        str_addf(out, "%s%.*s", line_end(d), (int)(at - line), d->text + line);
    else
        str_addc(out, ' ');
    str_addn(out, d->text + at, d->size - at);
}

static void add_region(const Edit *d, Str *out, const YamlNode *key, const YamlNode *map)
{
    const size_t open = map ? byte_of(d, map->place) : 0;
    if (!map)
        add_map(d, out);
    else if (map->kind == YAML_MAP && map->n > 0)
        add_before(d, out, map);
    else if (map->kind == YAML_MAP && open < d->size && d->text[open] == '{')
        add_first(d, out, map);
    else
        add_below(d, out, key);
}

static const Region *region_of(const Watch *w, const char *name)
{
    for (int i = 0; i < w->nregion; i++)
        if (strcmp(w->region[i].name, name) == 0)
            return &w->region[i];
    return NULL;
}

typedef struct Again {
    const Edit *edit;
    const Watch *watch;
} Again;

static void read_again(Context *ctx, void *arg)
{
    Again *const g = arg;
    g->watch = config_parse(ctx, g->edit->path, g->edit->out, strlen(g->edit->out));
}

/* Read anew, it has to be what was meant; what is wrong with the new text is nothing that its owner
 * wrote. */
static void check(Context *ctx, const Edit *d, const Watch *before)
{
    Again again = {.edit = d};
    if (job_run(ctx->arena, read_again, &again, NULL, NULL) != 0)
        fail(ctx, ERR_UNSUPPORTED,
             "%s: the regions are written in a way that cannot be changed from here: change the "
             "file by hand",
             d->path);
    const Watch *const w = again.watch;
    const Region *const r = region_of(w, d->region);
    const bool same = r && r->box.x == d->box.x && r->box.y == d->box.y &&
                      r->box.width == d->box.width && r->box.height == d->box.height;
    bool others = w->nsignal == before->nsignal && w->nevent == before->nevent;
    for (int i = 0; i < before->nregion && others; i++) {
        const Region *const old = &before->region[i], *const now = region_of(w, old->name);
        others = now && (strcmp(old->name, d->region) == 0 ||
                         memcmp(&now->box, &old->box, sizeof old->box) == 0);
    }
    if (!same || !others)
        fail(ctx, ERR_UNSUPPORTED,
             "%s: region '%s' is written in a way that cannot be changed from here: change the "
             "file by hand",
             d->path, d->region);
}

static void job(Context *ctx, void *arg)
{
    Edit *const d = arg;
    const Watch *const before = config_parse(ctx, d->path, d->text, d->size);
    const Yaml y = yaml_parse(ctx, d->path, d->text, d->size);
    const int at = yaml_find(y.root, "region");
    const YamlNode *const map = at >= 0 ? y.root->at[at] : NULL;
    const int there = yaml_find(map, d->region);
    const YamlNode *const list = there >= 0 ? map->at[there] : NULL;
    Str out = str_new(ctx->arena);
    if (!list)
        add_region(d, &out, at >= 0 ? y.root->key[at] : NULL, map);
    else if (!replace_numbers(d, &out, list))
        fail(ctx, ERR_UNSUPPORTED,
             "%s:%d:%d: region '%s' is no plain list of four numbers: change the file by hand",
             d->path, list->place.line, list->place.column, d->region);
    d->out = str_text(&out);
    check(ctx, d, before);
}

static bool is_name(const char *s)
{
    if (!isalpha((unsigned char)*s) && *s != '_')
        return false;
    for (; *s != '\0'; s++)
        if (!isalnum((unsigned char)*s) && *s != '_')
            return false;
    return true;
}

int region_edit_text(Arena *a, const char *path, const char *text, size_t size, const char *region,
                     Box box, const char **out, Error *e)
{
    Edit d = {.path = path, .text = text, .size = size, .region = region, .box = box};
    if (!is_name(region))
        return error_set(e, ERR_INVALID, "'%.60s' is no name of a region: letters, digits and _",
                         region);
    const int code = job_run(a, job, &d, e, NULL);
    *out = d.out;
    return code;
}

int region_edit(const char *path, const char *region, Box box, Error *e)
{
    Arena *const a = arena_new();
    File f;
    const char *text = NULL;
    int code = file_read(a, path, &f, e);
    if (code == 0)
        code = region_edit_text(a, path, (const char *)f.at, f.size, region, box, &text, e);
    if (code == 0)
        code = file_write(path, text, strlen(text), e);
    arena_free(a);
    return code;
}
