/* Part of config.c: the `spotlight` section. */
#ifndef LATHE_WATCH_CONFIG_SPOTLIGHT_H
#define LATHE_WATCH_CONFIG_SPOTLIGHT_H

#include "watch/watch.h"
#include "watch/yaml.h"

/* `w` with all its signals and events, which the rules may name. NULL: there is no such section. */
const SpotlightRule *config_spotlight(const Yaml *y, const YamlNode *node, const Watch *w);

#endif
