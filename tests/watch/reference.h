/* The meaning of a watch, written down plainly: it keeps every sample and looks through all of them
 * again whenever something is asked. Slow, and shares with the engine only the parsed rules, the
 * comparison of texts and event_json. */
#ifndef LATHE_TESTS_WATCH_REFERENCE_H
#define LATHE_TESTS_WATCH_REFERENCE_H

#include "watch/event.h"

/* All records of these samples, then of the end of the stream; a line of JSON each. *verdicts: what
 * each sample says for the watch's spotlight, a line each (verdict_text); "" without one. */
const char *reference_records(Arena *a, const Watch *w, const char *stream, const Sample *s, int n,
                              const char **verdicts);
void verdict_text(Str *out, const SpotlightVerdict *v);

#endif
