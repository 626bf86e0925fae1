/* What a model is shown is said by `input`; without, by the model's kind: a detector's picture is
 * letterboxed as YOLO models are trained, a classifier's is the middle, with the mean and deviation
 * of ImageNet, as nearly all are. */
#include "watch/config_object.h"

#include "base/file.h"

/* Of NudeNet, when no model is named: as its package shows pictures to it, which is not how it was
 * trained (blue and red change places, at the top left of a black square). */
static const PictureInput nudenet_input = {
    .fit = FIT_CORNER, .width = 320, .height = 320, .bgr = true, .scale = {255, 255, 255}};
static const PictureInput detector_input = {
    .fit = FIT_CENTRE, .fill = 114, .scale = {255, 255, 255}};
static const PictureInput classifier_input = {
    .fit = FIT_CROP, .mean = {123.675, 116.28, 103.53}, .scale = {58.395, 57.12, 57.375}};

/* Three numbers of 0 to 1, or one for all. */
static void channels(YamlMap *m, const char *key, double min, double *out)
{
    const YamlNode *const at = yaml_get(m, key);
    double v[3];
    const int n = yaml_number_list(m, key, 3, v);
    if (at && n != 1 && n != 3)
        yaml_fail(m->yaml, at->place, "%s: '%s' must be one number, or three", m->what, key);
    for (int i = 0; i < 3 && n > 0; i++) {
        if (!(v[n == 3 ? i : 0] >= min && v[n == 3 ? i : 0] <= 1000))
            yaml_fail(m->yaml, at->place, "%s: '%s' must be between %g and 1000", m->what, key,
                      min);
        out[i] = v[n == 3 ? i : 0] * 255;
    }
}

static PictureInput picture_input(const Yaml *y, const YamlNode *node, const PictureInput *missing)
{
    static const char *const fit[] = {"centre", "corner", "stretch", "crop"}, *const order[] = {
                                                                                  "rgb", "bgr"};
    YamlMap m = yaml_map(y, node, "'input'");
    PictureInput p = *missing;
    double size[2];
    const YamlNode *const at = yaml_get(&m, "size");
    const int n = yaml_number_list(&m, "size", 2, size);
    for (int i = 0; i < n; i++)
        if (!(size[i] >= 16 && size[i] <= 4096 && size[i] == (int)size[i]))
            yaml_fail(y, at->place,
                      "%s: 'size' must be one or two whole numbers between 16 and 4096", m.what);
    if (n > 0) {
        p.width = (int)size[0];
        p.height = (int)size[n - 1];
    }
    p.fit = (PictureFit)yaml_choice(&m, "fit", (int)p.fit, fit, 4);
    p.fill = yaml_int(&m, "fill", p.fill, 0, 255);
    p.bgr = yaml_choice(&m, "channels", p.bgr, order, 2) == 1;
    channels(&m, "mean", -1000, p.mean);
    channels(&m, "std", 1e-6, p.scale);
    yaml_done(&m);
    return p;
}

static const char *names_file(YamlMap *m, const Watch *w)
{
    const YamlNode *const n = yaml_get(m, "names");
    if (!n)
        return NULL;
    const char *const path =
        path_join(m->yaml->ctx->arena, w->dir, yaml_node_text(m->yaml, n, "'names'"));
    if (!file_exists(path))
        yaml_fail(m->yaml, n->place, "%s: no file %s", m->what, path);
    return path;
}

static bool names_model(const YamlMap *m)
{
    YamlMap look = *m;
    return yaml_get(&look, "model") != NULL;
}

PictureInput config_embed(YamlMap *m, int size, const char **output)
{
    /* PP-OCR's; of other models as of classifiers, but all of the picture. */
    PictureInput own = {.fit = FIT_STRETCH,
                        .width = size,
                        .height = size,
                        .bgr = true,
                        .mean = {127.5, 127.5, 127.5},
                        .scale = {127.5, 127.5, 127.5}};
    if (names_model(m)) {
        own = classifier_input;
        own.fit = FIT_STRETCH;
    }
    *output = yaml_text(m, "output", NULL);
    return picture_input(m->yaml, yaml_get(m, "input"), &own);
}

ObjectSignal config_object(YamlMap *m, const Watch *w)
{
    static const char *const nms[] = {"all", "class"};
    const bool given = names_model(m);
    ObjectSignal s = {
        .input =
            picture_input(m->yaml, yaml_get(m, "input"), given ? &detector_input : &nudenet_input),
        .names = names_file(m, w),
        .min_score = yaml_number(m, "min_score", 0.5, 0, 1),
        .iou = yaml_number(m, "iou", 0.45, 0, 1),
        .by_class = yaml_choice(m, "nms", given, nms, 2) == 1,
        .confirm = yaml_duration(m, "confirm", 500000),
        .lost =
            yaml_duration(m, "lost",
                          1500000), /* under a watch's usual gap: what goes is gone, not unknown */
    };
    s.label = yaml_texts(m, "labels", &s.nlabel);
    s.area = config_areas(m->yaml, yaml_get(m, "areas"), &s.narea);
    return s;
}

ObjectSignal config_class(YamlMap *m, const Watch *w)
{
    yaml_need(m, "model"); /* there is no default */
    ObjectSignal s = {
        .input = picture_input(m->yaml, yaml_get(m, "input"), &classifier_input),
        .names = names_file(m, w),
        .min_score = yaml_number(m, "min_score", 0.5, 0, 1),
    };
    s.label = yaml_texts(m, "labels", &s.nlabel);
    return s;
}

const Area *config_areas(const Yaml *y, const YamlNode *node, int *count)
{
    YamlMap m = yaml_map(y, node, "'areas'");
    *count = m.node ? node->n : 0;
    Area *const out = arena_array_of(y->ctx->arena, *count + 1, Area);
    for (int i = 0; i < *count; i++) {
        const YamlNode *const list = node->at[i];
        const int n = list->kind == YAML_LIST ? list->n : 0;
        if (n < 3)
            yaml_fail(y, list->place, "area '%s' must be a list of at least three [x, y]",
                      node->key[i]->text);
        double *const xy = arena_array_of(y->ctx->arena, 2 * n, double);
        for (int k = 0; k < n; k++) {
            const YamlNode *const p = list->at[k];
            if (p->kind != YAML_LIST || p->n != 2)
                yaml_fail(y, p->place, "a corner of area '%s' must be [x, y]", node->key[i]->text);
            xy[2 * k] = yaml_node_number(y, p->at[0], "x", -1e9, 1e9);
            xy[2 * k + 1] = yaml_node_number(y, p->at[1], "y", -1e9, 1e9);
        }
        out[i] = (Area){node->key[i]->text, n, xy};
    }
    return out;
}

