#include "watch/config_align.h"

#include "base/file.h"

#define MAX_ANCHORS 16

static Anchor anchor(const Yaml *y, const Watch *w, const YamlNode *node)
{
    YamlMap m = yaml_map(y, node, "an anchor");
    const YamlNode *const name = yaml_need(&m, "template");
    Anchor out = {.path = path_join(y->ctx->arena, w->dir, yaml_node_text(y, name, "'template'"))};
    double at[2];
    yaml_need(&m, "at");
    yaml_numbers(&m, "at", 2, at);
    yaml_done(&m);
    out.x = at[0];
    out.y = at[1];
    if (!w->names && !file_exists(out.path))
        yaml_fail(y, name->place, "an anchor: no file %s", out.path);
    if (!(at[0] >= 0 && at[1] >= 0 && at[0] < w->width && at[1] < w->height))
        yaml_fail(y, node->place,
                  "an anchor: 'at' must be [x, y], its top left in the reference size %d x %d",
                  w->width, w->height);
    return out;
}

static void scales(YamlMap *m, Align *out)
{
    double v[2] = {0.8, 1.25};
    const YamlNode *const at = yaml_get(m, "scales");
    yaml_numbers(m, "scales", 2, v);
    if (!(v[0] >= 0.2 && v[1] <= 5 && v[0] <= v[1]))
        yaml_fail(m->yaml, at->place,
                  "'align': 'scales' must be [least, greatest], between 0.2 and 5");
    out->least = v[0];
    out->most = v[1];
}

Align config_align(const Yaml *y, const Watch *w, const YamlNode *node)
{
    Align out = {0};
    if (!node)
        return out;
    YamlMap m = yaml_map(y, node, "'align'");
    const YamlNode *const list = yaml_need(&m, "anchors");
    if (list->kind != YAML_LIST || list->n < 1 || list->n > MAX_ANCHORS)
        yaml_fail(y, list->place,
                  "'align': 'anchors' must be a list of 1 to %d, as [{template: corner.png, at: "
                  "[16, 424]}]",
                  MAX_ANCHORS);
    Anchor *const at = arena_array_of(y->ctx->arena, list->n, Anchor);
    for (int i = 0; i < list->n; i++)
        at[i] = anchor(y, w, list->at[i]);
    out.anchor = at;
    out.nanchor = list->n;
    out.search = yaml_number(&m, "search", 24, 0, 400);
    scales(&m, &out);
    out.on = yaml_number(&m, "on", 0.7, 0.1, 1);
    out.every = yaml_duration(&m, "every", 10000000);
    out.hold = yaml_duration(&m, "hold", 2000000);
    yaml_done(&m);
    return out;
}
