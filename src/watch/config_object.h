/* Part of config_signal.c: signals of models that are shown pictures, and areas. */
#ifndef LATHE_WATCH_CONFIG_OBJECT_H
#define LATHE_WATCH_CONFIG_OBJECT_H

#include "watch/watch.h"
#include "watch/yaml.h"

ObjectSignal config_object(YamlMap *m, const Watch *w);
ObjectSignal config_class(YamlMap *m, const Watch *w);
/* `input`, `output` of what compares pictures by a model's layer; the model is `m`'s. */
PictureInput config_embed(YamlMap *m, int size, const char **output);
/* {name: [[x, y], ..]} */
const Area *config_areas(const Yaml *y, const YamlNode *node, int *count);

#endif
