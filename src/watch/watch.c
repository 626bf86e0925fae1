/* Look-up by name, and names of kinds. */
#include "watch/watch.h"

#include <string.h>

int watch_find_signal(const Watch *w, const char *name)
{
    for (int i = 0; i < w->nsignal; i++)
        if (strcmp(w->signal[i].name, name) == 0)
            return i;
    return -1;
}

int watch_find_event(const Watch *w, const char *name)
{
    for (int i = 0; i < w->nevent; i++)
        if (strcmp(w->event[i].name, name) == 0)
            return i;
    return -1;
}

int signal_references(const Signal *s, const Reference **out)
{
    *out = NULL;
    switch (s->kind) {
    case SIGNAL_ICON: *out = s->icon.ref; return s->icon.nref;
    case SIGNAL_SCREEN: *out = s->screen.ref; return s->screen.nref;
    case SIGNAL_POSITION: *out = s->position.ref; return s->position.nref;
    default: return 0;
    }
}

const char *signal_kind_name(SignalKind k)
{
    static const char *const name[] = {
        [SIGNAL_TEXT] = "text",         [SIGNAL_ICON] = "icon",   [SIGNAL_SCREEN] = "screen",
        [SIGNAL_OBJECT] = "object",     [SIGNAL_CLASS] = "class", [SIGNAL_MOTION] = "motion",
        [SIGNAL_POSITION] = "position", [SIGNAL_AUDIO] = "audio",
    };
    return name[k];
}
