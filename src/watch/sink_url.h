/* Addresses of sinks: scheme://[user[:password]@]host[:port][/path], and names as parts of topics
 * and subjects. */
#ifndef LATHE_WATCH_SINK_URL_H
#define LATHE_WATCH_SINK_URL_H

#include "base/error.h"
#include "base/str.h"

typedef struct SinkUrl {
    const char *scheme, *host; /* host: IPv6 without brackets */
    const char *user, *password; /* NULL: none; %XX decoded */
    int port;                  /* 0: not given */
    const char *path;          /* behind the slash, decoded, without slashes around; "" */
} SinkUrl;

/* Everything in the context's arena. Fails the job if it is none. Messages name no password. */
SinkUrl sink_url(Context *ctx, const char *text);
/* The name with what is in `special`, control characters and % as %XX; an empty one as %. Two names
 * never become one. */
void sink_add_part(Str *out, const char *name, const char *special);

#endif
