/* libyaml's document -> a tree of our own, with the bounds that hostile files need; typed
 * access. */
#include "watch/yaml.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/file.h"
#include "base/map.h"
#include "base/str.h"

void yaml_fail(const Yaml *y, Place at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *const text = arena_vprintf(y->ctx->arena, format, args);
    va_end(args);
    fail(y->ctx, ERR_INVALID, "%s:%d:%d: %s", y->name, at.line, at.column, text);
}

/* ---- the tree ---- */

typedef struct Builder {
    Yaml *yaml;
    yaml_document_t *doc;
    int nodes; /* made so far; one that is named twice counts twice */
} Builder;

static Place place_of(const yaml_node_t *n)
{
    return (Place){(int)n->start_mark.line + 1, (int)n->start_mark.column + 1};
}

static const YamlNode *build(Builder *b, int index, int depth);

static void build_list(Builder *b, const yaml_node_t *from, YamlNode *n, int depth)
{
    n->kind = YAML_LIST;
    n->n = (int)(from->data.sequence.items.top - from->data.sequence.items.start);
    const YamlNode **const at = arena_array(b->yaml->ctx->arena, (size_t)n->n + 1, sizeof *at);
    for (int i = 0; i < n->n; i++)
        at[i] = build(b, from->data.sequence.items.start[i], depth + 1);
    n->at = at;
}

static void build_map(Builder *b, const yaml_node_t *from, YamlNode *n, int depth)
{
    const yaml_node_pair_t *const pair = from->data.mapping.pairs.start;
    n->kind = YAML_MAP;
    n->n = (int)(from->data.mapping.pairs.top - pair);
    const YamlNode **const key = arena_array(b->yaml->ctx->arena, (size_t)n->n + 1, sizeof *key);
    const YamlNode **const at = arena_array(b->yaml->ctx->arena, (size_t)n->n + 1, sizeof *at);
    StrMap seen = strmap_new(b->yaml->ctx->arena);
    for (int i = 0; i < n->n; i++) {
        key[i] = build(b, pair[i].key, depth + 1);
        if (key[i]->kind != YAML_SCALAR)
            yaml_fail(b->yaml, key[i]->place, "a key must be a name");
        const int before = strmap_get(&seen, key[i]->text, -1);
        if (before >= 0)
            yaml_fail(b->yaml, key[i]->place, "'%s' was given in line %d already", key[i]->text,
                      before);
        strmap_put(&seen, key[i]->text, key[i]->place.line);
        at[i] = build(b, pair[i].value, depth + 1);
    }
    n->key = key;
    n->at = at;
}

static const YamlNode *build(Builder *b, int index, int depth)
{
    const yaml_node_t *const from = yaml_document_get_node(b->doc, index);
    YamlNode *const n = arena_new_of(b->yaml->ctx->arena, YamlNode);
    n->place = place_of(from);
    if (++b->nodes > YAML_MAX_NODES)
        yaml_fail(b->yaml, n->place, "more than %d values (aliases count each time)",
                  YAML_MAX_NODES);
    if (depth > YAML_MAX_DEPTH)
        yaml_fail(b->yaml, n->place, "nested deeper than %d", YAML_MAX_DEPTH);
    if (from->type == YAML_SEQUENCE_NODE) {
        build_list(b, from, n, depth);
    } else if (from->type == YAML_MAPPING_NODE) {
        build_map(b, from, n, depth);
    } else {
        const char *const text = (const char *)from->data.scalar.value;
        if (strlen(text) != from->data.scalar.length)
            yaml_fail(b->yaml, n->place, "a text with a zero byte");
        n->text = arena_strdup(b->yaml->ctx->arena, text);
        n->quoted = from->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    }
    return n;
}

static void delete_document(void *doc) { yaml_document_delete(doc); }
static void delete_parser(void *parser) { yaml_parser_delete(parser); }

static void load(Yaml *y, yaml_parser_t *parser, yaml_document_t *doc)
{
    if (yaml_parser_load(parser, doc))
        return;
    const yaml_mark_t m = parser->problem_mark;
    const char *const problem = parser->problem ? parser->problem : "cannot be read";
    yaml_fail(y, (Place){(int)m.line + 1, (int)m.column + 1}, "no YAML: %s", problem);
}

/* A child arena owns libyaml's half, so that a failure frees it, too. */
static void parse(Yaml *y, Arena *tmp, const char *text, size_t size)
{
    yaml_parser_t *const parser = arena_new_of(tmp, yaml_parser_t);
    yaml_document_t *const doc = arena_new_of(tmp, yaml_document_t),
                           *const next = arena_new_of(tmp, yaml_document_t);
    if (!yaml_parser_initialize(parser))
        fail(y->ctx, ERR_MEMORY, "%s: out of memory", y->name);
    arena_defer(tmp, delete_parser, parser);
    yaml_parser_set_input_string(parser, (const unsigned char *)text, size);
    load(y, parser, doc);
    arena_defer(tmp, delete_document, doc);
    const yaml_node_t *const root = yaml_document_get_root_node(doc);
    if (!root)
        fail(y->ctx, ERR_INVALID, "%s: the file is empty", y->name);
    Builder b = {.yaml = y, .doc = doc};
    y->root = build(&b, 1, 0);
    if (y->root->kind != YAML_MAP)
        yaml_fail(y, y->root->place, "the file must be a map, 'watch:' and so on");
    load(y, parser, next);
    arena_defer(tmp, delete_document, next);
    if (yaml_document_get_root_node(next))
        yaml_fail(y, place_of(yaml_document_get_root_node(next)), "a second document: one a file");
}

/* Whether an anchor, "&name", begins at text[i]; "a && b" has none. */
static bool begins_anchor(const char *text, size_t size, size_t i)
{
    return text[i] == '&' && (i == 0 || strchr(" \t\n[{,", text[i - 1])) && i + 1 < size &&
           isalnum((unsigned char)text[i + 1]);
}

/* libyaml takes time by the square of how deep brackets nest, and of how many anchors and
 * directives there are: files with far too many are found before it sees them. Those in texts
 * count, too: nobody writes so many. */
static void check_counts(const Yaml *y, const char *text, size_t size)
{
    Place at = {1, 1};
    int depth = 0, anchors = 0, directives = 0;
    for (size_t i = 0; i < size; i++) {
        depth += text[i] == '[' || text[i] == '{';
        depth -= depth > 0 && (text[i] == ']' || text[i] == '}');
        anchors += begins_anchor(text, size, i);
        directives += text[i] == '%' && at.column == 1;
        if (depth > YAML_MAX_BRACKETS)
            yaml_fail(y, at, "brackets nested deeper than %d", YAML_MAX_BRACKETS);
        if (anchors > YAML_MAX_ANCHORS)
            yaml_fail(y, at, "more than %d anchors (&name)", YAML_MAX_ANCHORS);
        if (directives > YAML_MAX_DIRECTIVES)
            yaml_fail(y, at, "more than %d lines that begin with %%", YAML_MAX_DIRECTIVES);
        at = text[i] == '\n' ? (Place){at.line + 1, 1} : (Place){at.line, at.column + 1};
    }
}

Yaml yaml_parse(Context *ctx, const char *name, const char *text, size_t size)
{
    Yaml y = {.ctx = ctx, .name = name};
    check_counts(&y, text, size);
    Arena *const tmp = arena_child(ctx->arena);
    parse(&y, tmp, text, size);
    arena_free(tmp);
    return y;
}

Yaml yaml_read(Context *ctx, const char *path)
{
    File f;
    Error e = {0};
    if (file_read(ctx->arena, path, &f, &e) != 0)
        fail(ctx, e.code, "%s", e.message);
    if (f.size > YAML_MAX_BYTES)
        fail(ctx, ERR_INVALID, "%s: %zu bytes; at most %d are read", path, f.size, YAML_MAX_BYTES);
    return yaml_parse(ctx, arena_strdup(ctx->arena, path), (const char *)f.at, f.size);
}

/* ---- maps ---- */

YamlMap yaml_map(const Yaml *y, const YamlNode *node, const char *what)
{
    if (node && node->kind == YAML_SCALAR && node->text[0] == '\0' && !node->quoted)
        node = NULL; /* "signal:" with nothing behind */
    if (node && node->kind != YAML_MAP)
        yaml_fail(y, node->place, "%s must be a map (key: value)", what);
    return (YamlMap){y, what, node, arena_array_of(y->ctx->arena, node ? node->n + 1 : 1, bool)};
}

int yaml_find(const YamlNode *map, const char *key)
{
    for (int i = 0; map && map->kind == YAML_MAP && i < map->n; i++)
        if (strcmp(map->key[i]->text, key) == 0)
            return i;
    return -1;
}

const YamlNode *yaml_get(YamlMap *m, const char *key)
{
    const int i = yaml_find(m->node, key);
    if (i < 0)
        return NULL;
    m->taken[i] = true;
    return m->node->at[i];
}

const YamlNode *yaml_need(YamlMap *m, const char *key)
{
    const YamlNode *const n = yaml_get(m, key);
    if (!n)
        yaml_fail(m->yaml, m->node ? m->node->place : (Place){1, 1}, "%s: '%s' is missing", m->what,
                  key);
    return n;
}

void yaml_done(YamlMap *m)
{
    for (int i = 0; m->node && i < m->node->n; i++)
        if (!m->taken[i])
            yaml_fail(m->yaml, m->node->key[i]->place, "%s: unknown key '%s'", m->what,
                      m->node->key[i]->text);
}

/* ---- scalars ---- */

Place yaml_text_place(const YamlNode *n)
{
    return (Place){n->place.line, n->place.column + (n->quoted ? 1 : 0)};
}

const char *yaml_node_text(const Yaml *y, const YamlNode *n, const char *what)
{
    if (n->kind != YAML_SCALAR)
        yaml_fail(y, n->place, "%s must be a text", what);
    return n->text;
}

double yaml_node_number(const Yaml *y, const YamlNode *n, const char *what, double min, double max)
{
    const char *const text = n->kind == YAML_SCALAR && !n->quoted ? n->text : "";
    char *end;
    const double v = strtod(text, &end);
    if (text[0] == '\0' || *end != '\0' || !isfinite(v))
        yaml_fail(y, n->place, "%s must be a number", what);
    if (v < min || v > max)
        yaml_fail(y, n->place, "%s must be between %g and %g", what, min, max);
    return v;
}

bool duration_parse(const char *text, int64_t *us)
{
    static const struct { const char *unit; double us; } unit[] = {
        {"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"m", 60e6}, {"h", 3600e6},
    };
    char *end;
    const double v = strtod(text, &end);
    if (end == text || !(v >= 0))
        return false;
    for (size_t i = 0; i < sizeof unit / sizeof *unit; i++) {
        if (strcmp(end, unit[i].unit) != 0 || v * unit[i].us > 1e15)
            continue;
        *us = llrint(v * unit[i].us);
        return true;
    }
    return false;
}

static const char *key_of(const YamlMap *m, const char *key)
{
    return arena_printf(m->yaml->ctx->arena, "%s: '%s'", m->what, key);
}

const char *yaml_text(YamlMap *m, const char *key, const char *missing)
{
    const YamlNode *const n = yaml_get(m, key);
    return n ? yaml_node_text(m->yaml, n, key_of(m, key)) : missing;
}

bool yaml_flag(YamlMap *m, const char *key, bool missing)
{
    const YamlNode *const n = yaml_get(m, key);
    if (!n)
        return missing;
    const char *const text = n->kind == YAML_SCALAR ? n->text : "";
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        yaml_fail(m->yaml, n->place, "%s must be true or false", key_of(m, key));
    return text[0] == 't';
}

double yaml_number(YamlMap *m, const char *key, double missing, double min, double max)
{
    const YamlNode *const n = yaml_get(m, key);
    return n ? yaml_node_number(m->yaml, n, key_of(m, key), min, max) : missing;
}

int yaml_int(YamlMap *m, const char *key, int missing, int min, int max)
{
    const YamlNode *const n = yaml_get(m, key);
    if (!n)
        return missing;
    const double v = yaml_node_number(m->yaml, n, key_of(m, key), min, max);
    if (v != floor(v))
        yaml_fail(m->yaml, n->place, "%s must be a whole number", key_of(m, key));
    return (int)v;
}

int64_t yaml_duration(YamlMap *m, const char *key, int64_t missing)
{
    const YamlNode *const n = yaml_get(m, key);
    int64_t us;
    if (!n)
        return missing;
    if (n->kind != YAML_SCALAR || !duration_parse(n->text, &us))
        yaml_fail(m->yaml, n->place, "%s must be a duration: 300ms, 2s, 1.5m, 1h", key_of(m, key));
    return us;
}

int yaml_choice(YamlMap *m, const char *key, int missing, const char *const *name, int n)
{
    const YamlNode *const node = yaml_get(m, key);
    if (!node)
        return missing;
    const char *const text = node->kind == YAML_SCALAR ? node->text : "";
    Str all = str_new(m->yaml->ctx->arena);
    for (int i = 0; i < n; i++) {
        if (strcmp(text, name[i]) == 0)
            return i;
        str_addf(&all, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", name[i]);
    }
    yaml_fail(m->yaml, node->place, "%s must be %s", key_of(m, key), str_text(&all));
}

const char *const *yaml_texts(YamlMap *m, const char *key, int *n)
{
    const YamlNode *const node = yaml_get(m, key);
    *n = node ? node->kind == YAML_LIST ? node->n : 1 : 0;
    const char **const out = arena_array(m->yaml->ctx->arena, (size_t)*n + 1, sizeof *out);
    for (int i = 0; i < *n; i++)
        out[i] =
            yaml_node_text(m->yaml, node->kind == YAML_LIST ? node->at[i] : node, key_of(m, key));
    return out;
}

bool yaml_numbers(YamlMap *m, const char *key, int n, double *out)
{
    const YamlNode *const node = yaml_get(m, key);
    if (!node)
        return false;
    if (node->kind != YAML_LIST || node->n != n)
        yaml_fail(m->yaml, node->place, "%s must be a list of %d numbers", key_of(m, key), n);
    for (int i = 0; i < n; i++)
        out[i] = yaml_node_number(m->yaml, node->at[i], key_of(m, key), -1e12, 1e12);
    return true;
}

int yaml_number_list(YamlMap *m, const char *key, int max, double *out)
{
    const YamlNode *const node = yaml_get(m, key);
    if (!node)
        return 0;
    const int n = node->kind == YAML_LIST ? node->n : 1;
    if (n < 1 || n > max)
        yaml_fail(m->yaml, node->place, "%s must be 1 to %d numbers", key_of(m, key), max);
    for (int i = 0; i < n; i++)
        out[i] = yaml_node_number(m->yaml, node->kind == YAML_LIST ? node->at[i] : node,
                                  key_of(m, key), -1e12, 1e12);
    return n;
}
