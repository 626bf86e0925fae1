/* A sink's `events` against those of all watches; streams of the spotlight against each other. */
#include "watch/service_check.h"

#include <string.h>

#include "base/str.h"
#include "watch/sink_each.h"
#include "watch/system_json.h"

static int refuse(const Service *s, Place at, const char *why, Error *e)
{
    return error_set(e, ERR_INVALID, "%s:%d:%d: %.900s", s->path, at.line, at.column, why);
}

/* ---- what sinks name ---- */

static bool is_told(const Service *s, const char *pattern)
{
    for (int k = 0; k < SYSTEM_KINDS; k++)
        if (sink_fits(pattern, system_name((SystemKind)k)))
            return true;
    for (int i = 0; i < s->nstream; i++) {
        const Watch *const w = s->stream[i].spec.watch;
        for (int k = 0; k < w->nevent; k++)
            if (sink_fits(pattern, w->event[k].name))
                return true;
    }
    return false;
}

/* For who misspelt one: the events of the first watch that has any. */
static const char *some_events(const Service *s)
{
    Str out = str_new(s->arena);
    for (int i = 0; i < s->nstream && out.len == 0; i++) {
        const Watch *const w = s->stream[i].spec.watch;
        for (int k = 0; k < w->nevent && k < 20; k++)
            str_addf(&out, "%s%s", k > 0 ? ", " : "", w->event[k].name);
    }
    return out.len > 0 ? arena_printf(s->arena, "; there are %s", str_text(&out)) : "";
}

static int check_sink(const Service *s, const SinkSpec *sink, const YamlNode *node, Error *e)
{
    const int at = yaml_find(node, "events");
    const YamlNode *const events = at >= 0 ? node->at[at] : NULL;
    for (int i = 0; events && i < sink->nevent; i++)
        if (!is_told(s, sink->event[i]))
            return refuse(
                s, events->n > i ? events->at[i]->place : events->place,
                arena_printf(s->arena,
                             "sink '%s': 'events': no watch of these streams has an event '%s'%s",
                             sink->name, sink->event[i], some_events(s)),
                e);
    return 0;
}

/* ---- the spotlight ---- */

static int check_spotlight(const Service *s, const Place *stream, Error *e)
{
    const StreamSpec *first = NULL;
    for (int i = 0; i < s->nstream; i++) {
        const StreamSpec *const spec = &s->stream[i].spec;
        if (!spec->watch->spotlight)
            continue;
        if (first && first->offline != spec->offline)
            return refuse(
                s, stream[i],
                arena_printf(s->arena,
                             "stream '%s': files that are read as fast as can be (offline) and "
                             "streams that play by the "
                             "clock cannot share one spotlight, and '%s' is of the other kind",
                             spec->name, first->name),
                e);
        first = first ? first : spec;
    }
    return 0;
}

int service_check(const Service *s, const YamlNode *sinks, const Place *stream, Error *e)
{
    int code = check_spotlight(s, stream, e);
    for (int i = 0; i < s->nsink && s->nstream > 0 && code == 0; i++)
        code = check_sink(s, &s->sink[i], sinks->at[i], e);
    return code;
}
