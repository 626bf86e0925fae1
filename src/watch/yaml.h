/* YAML files as trees, and typed reading of them.
 *
 *     YamlMap m = yaml_map(ctx, node, "sample");
 *     const double fps = yaml_number(&m, "fps", 2, 0.01, 1000);     // a default where the key is absent
 *     yaml_done(&m);                                                // refuses keys that nobody asked for
 *
 * Whatever is wrong fails the job with file, line and column: "royale.yaml:12:9: ...". Parsing
 * is libyaml's; aliases are followed, and what they could blow up is bounded: nodes
 * (YAML_MAX_NODES) and depth (YAML_MAX_DEPTH), and so is what libyaml takes the square of the
 * time for. One document a file. */
#ifndef LATHE_WATCH_YAML_H
#define LATHE_WATCH_YAML_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "watch/watch.h"

#define YAML_MAX_NODES 100000
#define YAML_MAX_DEPTH 16
#define YAML_MAX_BRACKETS 200 /* [ and { that are open at once, texts included */
#define YAML_MAX_ANCHORS 256
#define YAML_MAX_DIRECTIVES 64
#define YAML_MAX_BYTES (4 << 20)

typedef enum YamlKind { YAML_SCALAR, YAML_LIST, YAML_MAP } YamlKind;

typedef struct YamlNode {
    YamlKind kind;
    Place place;
    const char *text;      /* of scalars; "" is also what stands for nothing */
    bool quoted;           /* a string, whatever it looks like */
    int n;                 /* of lists and maps */
    const struct YamlNode *const *key, *const *at; /* key: of maps, scalars, each once */
} YamlNode;

/* Which of a map's keys it is; -1: none, or no map at all (NULL is allowed). */
int yaml_find(const YamlNode *map, const char *key);

typedef struct Yaml {
    Context *ctx;
    const char *name;      /* of the file, for messages */
    const YamlNode *root;  /* a map */
} Yaml;

Yaml yaml_read(Context *ctx, const char *path);
Yaml yaml_parse(Context *ctx, const char *name, const char *text, size_t size);

_Noreturn void yaml_fail(const Yaml *y, Place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A map while its keys are taken. */
typedef struct YamlMap {
    const Yaml *yaml;
    const char *what;      /* for messages: "signal 'alive'" */
    const YamlNode *node;  /* NULL: the map is absent, and every key of it */
    bool *taken;
} YamlMap;

/* node: NULL, or a map, or it fails */
YamlMap yaml_map(const Yaml *y, const YamlNode *node, const char *what);
/* The value of a key, taken; NULL: absent. */
const YamlNode *yaml_get(YamlMap *m, const char *key);
const YamlNode *yaml_need(YamlMap *m, const char *key);
/* All keys must have been taken. */
void yaml_done(YamlMap *m);

/* Values of keys, or `missing`. */
const char *yaml_text(YamlMap *m, const char *key, const char *missing);
bool yaml_flag(YamlMap *m, const char *key, bool missing);
int yaml_int(YamlMap *m, const char *key, int missing, int min, int max);
double yaml_number(YamlMap *m, const char *key, double missing, double min, double max);
/* "300ms", "2s", "1.5m", "1h" -> us */
int64_t yaml_duration(YamlMap *m, const char *key, int64_t missing);
/* index */
int yaml_choice(YamlMap *m, const char *key, int missing, const char *const *name, int n);
/* A scalar, or a list of them. n: their number. */
const char *const *yaml_texts(YamlMap *m, const char *key, int *n);
/* Exactly n numbers; false if the key is absent. */
bool yaml_numbers(YamlMap *m, const char *key, int n, double *out);
/* Between 1 and max numbers, or one; 0 if the key is absent. */
int yaml_number_list(YamlMap *m, const char *key, int max, double *out);

/* Single nodes. */
Place yaml_text_place(const YamlNode *n); /* where its text begins: behind its quote */
const char *yaml_node_text(const Yaml *y, const YamlNode *n, const char *what);
double yaml_node_number(const Yaml *y, const YamlNode *n, const char *what, double min, double max);

/* "2s" -> 2000000; false: it is no duration. */
bool duration_parse(const char *text, int64_t *us);

#endif
