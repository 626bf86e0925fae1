/* Addresses of sinks (RFC 3986, as much of it as there is use for). */
#include "watch/sink_url.h"

#include <stdlib.h>
#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX decoded; no NUL may come of it. */
static const char *decode(Context *ctx, const char *from, size_t n, const char *what)
{
    char *const to = arena_alloc(ctx->arena, n + 1);
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        char c = from[i];
        if (c == '%') {
            const int high = i + 2 < n ? hex(from[i + 1]) : -1;
            const int low = high >= 0 ? hex(from[i + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                fail(ctx, ERR_INVALID,
                     "url: a %% in its %s is not followed by two hexadecimal digits", what);
            c = (char)(high << 4 | low);
            i += 2;
        }
        if ((unsigned char)c < 0x20)
            fail(ctx, ERR_INVALID, "url: a control character in its %s", what);
        to[len++] = c;
    }
    return to;
}

static int port_of(Context *ctx, const char *text, size_t n)
{
    long port = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9' || port > 65535)
            port = 65536;
        else
            port = port * 10 + (text[i] - '0');
    }
    if (n == 0 || port < 1 || port > 65535)
        fail(ctx, ERR_INVALID, "url: '%.*s' is no port", (int)(n < 20 ? n : 20), text);
    return (int)port;
}

static void host_and_port(Context *ctx, SinkUrl *u, const char *at, size_t n)
{
    const char *end = memchr(at, ':', n), *begin = at;
    if (n > 0 && at[0] == '[') { /* IPv6 */
        const char *const bracket = memchr(at, ']', n);
        if (bracket == NULL)
            fail(ctx, ERR_INVALID, "url: a [ without ]");
        begin = at + 1;
        end = bracket;
        if (bracket + 1 < at + n && bracket[1] != ':')
            fail(ctx, ERR_INVALID, "url: something behind ] that is no port");
    }
    const char *const colon = begin > at ? (end + 1 < at + n ? end + 1 : NULL) : end;
    if (begin == at && end == NULL)
        end = at + n;
    u->host = decode(ctx, begin, (size_t)(end - begin), "host");
    if (u->host[0] == '\0' || strpbrk(u->host, " \t/@"))
        fail(ctx, ERR_INVALID, "url: no host");
    if (colon)
        u->port = port_of(ctx, colon + 1, (size_t)(at + n - colon - 1));
}

SinkUrl sink_url(Context *ctx, const char *text)
{
    SinkUrl u = {0};
    const char *const mark = strstr(text, "://");
    if (mark == NULL || mark == text)
        fail(ctx, ERR_INVALID, "url: no scheme:// before the host");
    u.scheme = arena_strndup(ctx->arena, text, (size_t)(mark - text));
    const char *at = mark + 3;
    const size_t n = strcspn(at, "/");
    const char *path = at + n;
    const char *const who = memrchr(at, '@', n);
    if (who) {
        const char *const colon = memchr(at, ':', (size_t)(who - at));
        u.user = decode(ctx, at, (size_t)((colon ? colon : who) - at), "user");
        u.password = colon ? decode(ctx, colon + 1, (size_t)(who - colon - 1), "password") : NULL;
        at = who + 1;
    }
    host_and_port(ctx, &u, at, (size_t)(path - at));
    path += strspn(path, "/");
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    u.path = decode(ctx, path, len, "path");
    return u;
}

void sink_add_part(Str *out, const char *name, const char *special)
{
    if (name[0] == '\0')
        str_addc(out, '%');
    for (; *name; name++) {
        const unsigned char c = (unsigned char)*name;
        if (c < 0x21 || c == 0x7f || c == '%' || strchr(special, c))
            str_addf(out, "%%%02X", c);
        else
            str_addc(out, (char)c);
    }
}
