/* Only what has "scheme://" in front is taken apart. */
#include "watch/url.h"

#include <string.h>

#include "base/str.h"

static const char *behind_scheme(const char *url)
{
    const size_t n =
        strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return n > 0 && strncmp(url + n, "://", 3) == 0 ? url + n + 3 : NULL;
}

const char *url_shown(Arena *a, const char *url)
{
    const char *const host = behind_scheme(url);
    if (!host)
        return arena_strdup(a, url);
    /* An '@' and a '?' in a password should be escaped, but often are not: the last '@' counts,
     * wherever it stands. Where that is in a path, a part of it stays unseen. */
    const char *const at = strrchr(host, '@');
    const char *const start = at ? at + 1 : host;
    const size_t query = strcspn(start, "?#");
    Str s = str_new(a);
    str_addn(&s, url, (size_t)(host - url));
    str_addn(&s, start, query);
    if (start[query] != '\0')
        str_add(&s, "?..");
    return str_text(&s);
}
