/* What the sections of a service say of each other, once its watches are read. */
#ifndef LATHE_WATCH_SERVICE_CHECK_H
#define LATHE_WATCH_SERVICE_CHECK_H

#include "watch/service.h"
#include "watch/yaml.h"

/* ERR_INVALID: a sink names what nothing is told of, or streams cannot share their spotlight.
 * `sinks`: the section, NULL: there is none; stream: where each stands. */
int service_check(const Service *s, const YamlNode *sinks, const Place *stream, Error *e);

#endif
