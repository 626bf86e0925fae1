/* Half of config.c: the `signal` section. */
#ifndef LATHE_WATCH_CONFIG_SIGNAL_H
#define LATHE_WATCH_CONFIG_SIGNAL_H

#include "watch/watch.h"
#include "watch/yaml.h"

typedef struct ModelDefaults { /* files; NULL: to be looked for (net_find_model) */
    const char *recogniser, *detector;
} ModelDefaults;

/* All of one signal but guard.reset_on, which is a rule and so needs all signals: it is left in
 * *reset_on. */
Signal config_signal(const Yaml *y, const Watch *w, const char *name, const YamlNode *node,
                     const ModelDefaults *models, const YamlNode **reset_on);

#endif
