/* The `align` section of a watch file. */
#ifndef LATHE_WATCH_CONFIG_ALIGN_H
#define LATHE_WATCH_CONFIG_ALIGN_H

#include "watch/watch.h"
#include "watch/yaml.h"

/* node: NULL, there is none. w: its folder and reference size. */
Align config_align(const Yaml *y, const Watch *w, const YamlNode *node);

#endif
