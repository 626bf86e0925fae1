/* Request line, headers, percent codes, chunks. */
#include "net/http_head.h"

#include <string.h>

#define MAX_CHUNK_DIGITS 8 /* hexadecimal, of a chunk's size */
#define MAX_CHUNK_EXTRA 4096 /* bytes of extensions and trailers, of one body */

typedef struct HeadReader {
    Arena *arena;
    HttpHead *head;
    const char *why;
    bool chunked, has_length, close, keep;
    int hosts;
} HeadReader;

static int refuse(HeadReader *r, int status, const char *why)
{
    r->why = why;
    return status;
}

/* RFC 9110 5.6.2 */
static bool is_token(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static bool same_word(const char *at, size_t n, const char *word)
{
    size_t i = 0;
    while (i < n && word[i] != '\0' && lower(at[i]) == word[i])
        i++;
    return i == n && word[i] == '\0';
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

size_t http_head_size(const char *at, size_t size)
{
    size_t i = 0;
    while (i + 1 < size && at[i] == '\r' && at[i + 1] == '\n')
        i += 2;
    for (; i + 3 < size; i++)
        if (memcmp(at + i, "\r\n\r\n", 4) == 0)
            return i + 4;
    return 0;
}

/* ---- targets ---- */

/* Percent codes, and + if `plus`. NULL: a code is broken, or gives a control character. */
static char *decode(Arena *a, const char *at, size_t n, bool plus)
{
    char *const out = arena_alloc(a, n + 1);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)at[i];
        if (c == '%') {
            const int high = i + 2 < n ? hex_digit(at[i + 1]) : -1;
            const int low = high >= 0 ? hex_digit(at[i + 2]) : -1;
            if (low < 0)
                return NULL;
            c = (unsigned char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c < 32 || c == 127)
            return NULL;
        out[k++] = (char)c;
    }
    return out;
}

/* "/a/./b/../c" is "/a/c"; what would lead above the root ends there. In place. */
static void resolve_dots(char *path)
{
    char *out = path;
    const char *at = path;
    while (*at != '\0') { /* at a slash */
        const char *const next = strchr(at + 1, '/');
        const size_t n = next ? (size_t)(next - at) : strlen(at);
        const bool up = n == 3 && at[1] == '.' && at[2] == '.';
        const bool here = n == 2 && at[1] == '.';
        if (up)
            while (out > path && *--out != '/')
                ;
        if ((up || here) && !next)
            *out++ = '/'; /* "/a/.." is a folder, too */
        if (!up && !here) {
            memmove(out, at, n);
            out += n;
        }
        at += n;
    }
    if (out == path)
        *out++ = '/';
    *out = '\0';
}

static int read_target(HeadReader *r, const char *at, size_t n)
{
    HttpHead *const h = r->head;
    if (n == 0 || (at[0] != '/' && !(n == 1 && at[0] == '*')))
        return refuse(r, 400, "the request's target is no path");
    for (size_t i = 0; i < n; i++)
        if (at[i] <= 32 || at[i] == 127)
            return refuse(r, 400, "the request's target holds a character that must be encoded");
    const char *const question = memchr(at, '?', n);
    const size_t path = question ? (size_t)(question - at) : n;
    char *const decoded = decode(r->arena, at, path, false);
    if (!decoded)
        return refuse(r, 400, "the request's path is not properly encoded");
    if (decoded[0] == '/')
        resolve_dots(decoded);
    h->path = decoded;
    h->query = question ? arena_strndup(r->arena, question + 1, n - path - 1) : "";
    return 0;
}

/* method SP target SP HTTP/1.x */
static int read_request_line(HeadReader *r, const char *at, size_t n)
{
    const char *const end = at + n;
    const char *const first = memchr(at, ' ', n);
    const char *const second = first ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
    if (!second || first == at)
        return refuse(r, 400, "no request line of HTTP/1.1");
    for (const char *p = at; p < first; p++)
        if (!is_token(*p))
            return refuse(r, 400, "the method is no word");
    if (end - second != 9 || memcmp(second + 1, "HTTP/", 5) != 0)
        return refuse(r, 400, "no request line of HTTP/1.1");
    if (second[6] != '1' || second[7] != '.' || (second[8] != '0' && second[8] != '1'))
        return refuse(r, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    r->head->minor = second[8] - '0';
    r->head->method = arena_strndup(r->arena, at, (size_t)(first - at));
    return read_target(r, first + 1, (size_t)(second - first - 1));
}

/* ---- headers ---- */

static int read_length(HeadReader *r, const char *value)
{
    int64_t n = 0;
    if (value[0] == '\0' || r->has_length)
        return refuse(r, 400, "Content-Length is empty or stands twice");
    for (const char *p = value; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || n > INT64_MAX / 20)
            return refuse(r, 400, "Content-Length is no number");
        n = 10 * n + (*p - '0');
    }
    r->has_length = true;
    r->head->length = n;
    return 0;
}

static void read_connection(HeadReader *r, const char *value)
{
    while (*value != '\0') {
        const size_t n = strcspn(value, ", \t");
        r->close = r->close || same_word(value, n, "close");
        r->keep = r->keep || same_word(value, n, "keep-alive");
        value += n;
        value += strspn(value, ", \t");
    }
}

static int read_meaning(HeadReader *r, const char *name, const char *value)
{
    if (strcmp(name, "content-length") == 0)
        return read_length(r, value);
    if (strcmp(name, "transfer-encoding") == 0) {
        if (!same_word(value, strlen(value), "chunked") || r->chunked)
            return refuse(r, 501, "no coding but one 'chunked' is understood");
        r->chunked = true;
    } else if (strcmp(name, "host") == 0) {
        r->hosts++;
    } else if (strcmp(name, "connection") == 0) {
        read_connection(r, value);
    } else if (strcmp(name, "expect") == 0) {
        if (!same_word(value, strlen(value), "100-continue"))
            return refuse(r, 417, "nothing but 100-continue can be expected");
        r->head->expects_continue = true;
    }
    return 0;
}

static int read_header(HeadReader *r, const char *at, size_t n)
{
    HttpHead *const h = r->head;
    size_t name = 0;
    while (name < n && is_token(at[name]))
        name++;
    if (name == 0 || name == n || at[name] != ':')
        return refuse(r, 400, "a line of the head is no header");
    if (h->nheader == HTTP_MAX_HEADERS)
        return refuse(r, 431, "too many headers");
    size_t from = name + 1, to = n;
    while (from < to && is_blank(at[from]))
        from++;
    while (to > from && is_blank(at[to - 1]))
        to--;
    for (size_t i = from; i < to; i++)
        if (((unsigned char)at[i] < 32 && at[i] != '\t') || at[i] == 127)
            return refuse(r, 400, "a header holds a control character");
    char *const key = arena_strndup(r->arena, at, name);
    for (size_t i = 0; i < name; i++)
        key[i] = lower(key[i]);
    const char *const value = arena_strndup(r->arena, at + from, to - from);
    h->header[h->nheader++] = (HttpHeader){key, value};
    return read_meaning(r, key, value);
}

static int finish(HeadReader *r)
{
    HttpHead *const h = r->head;
    if (r->chunked && (r->has_length || h->minor == 0))
        return refuse(r, 400, "a chunked body with a length, or in HTTP/1.0");
    if (r->hosts > 1 || (r->hosts == 0 && h->minor == 1))
        return refuse(r, 400, "one Host is needed");
    h->length = r->chunked ? -1 : h->length;
    h->keep_alive = h->minor == 1 ? !r->close : r->keep && !r->close;
    return 0;
}

int http_head_parse(Arena *a, const char *at, size_t size, HttpHead *out, const char **why)
{
    *out = (HttpHead){.query = ""};
    HeadReader r = {.arena = a, .head = out};
    const char *const end = at + size;
    while (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
        at += 2;
    int status = 0;
    for (bool first = true; status == 0; first = false) {
        const char *const newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline || newline == at || newline[-1] != '\r') {
            status = refuse(&r, 400, "a line of the head does not end in CR LF");
            break;
        }
        const size_t n = (size_t)(newline - 1 - at);
        if (n == 0 && !first)
            break;
        status = first ? read_request_line(&r, at, n) : read_header(&r, at, n);
        at = newline + 1;
    }
    status = status ? status : finish(&r);
    *why = r.why;
    return status;
}

const char *http_header(const HttpHead *h, const char *name)
{
    for (int i = 0; i < h->nheader; i++)
        if (strcmp(h->header[i].name, name) == 0)
            return h->header[i].value;
    return NULL;
}

const char *http_query(Arena *a, const HttpHead *h, const char *name)
{
    const char *at = h->query;
    while (*at != '\0') {
        const size_t n = strcspn(at, "&");
        const char *const equal = memchr(at, '=', n);
        const size_t key = equal ? (size_t)(equal - at) : n;
        const char *const decoded = decode(a, at, key, true);
        if (decoded && strcmp(decoded, name) == 0)
            return equal ? decode(a, equal + 1, n - key - 1, true) : "";
        at += n + (at[n] == '&');
    }
    return NULL;
}

/* ---- chunks: RFC 9112 7.1 ---- */

enum {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_CR,
    CHUNK_LF,
    TRAILER_START,
    TRAILER_LINE,
    TRAILER_LF,
    LAST_LF
};

/* Where the reader is after c; -1: it may not stand there. */
static int chunk_step(HttpChunks *s, char c)
{
    switch (s->state) {
    case CHUNK_SIZE:
        if (hex_digit(c) >= 0) {
            s->left = 16 * s->left + hex_digit(c);
            return ++s->digits > MAX_CHUNK_DIGITS ? -1 : CHUNK_SIZE;
        }
        if (s->digits == 0)
            return -1;
        return c == '\r' ? CHUNK_SIZE_LF : c == ';' || is_blank(c) ? CHUNK_EXTENSION : -1;
    case CHUNK_EXTENSION:
        return c == '\r'                                   ? CHUNK_SIZE_LF
               : c == '\n' || ++s->extra > MAX_CHUNK_EXTRA ? -1
                                                           : CHUNK_EXTENSION;
    case CHUNK_SIZE_LF:
        s->digits = 0;
        return c != '\n' ? -1 : s->left > 0 ? CHUNK_DATA : TRAILER_START;
    case CHUNK_CR: return c == '\r' ? CHUNK_LF : -1;
    case CHUNK_LF: return c == '\n' ? CHUNK_SIZE : -1;
    case TRAILER_START: return c == '\r' ? LAST_LF : c == '\n' ? -1 : TRAILER_LINE;
    case TRAILER_LINE:
        return c == '\r'                                   ? TRAILER_LF
               : c == '\n' || ++s->extra > MAX_CHUNK_EXTRA ? -1
                                                           : TRAILER_LINE;
    case TRAILER_LF: return c == '\n' ? TRAILER_START : -1;
    default: /* LAST_LF */
        s->done = c == '\n';
        return c == '\n' ? LAST_LF : -1;
    }
}

int64_t http_chunks_take(HttpChunks *c, const char *at, size_t size, const char **data,
                         size_t *ndata)
{
    *ndata = 0;
    size_t i = 0;
    while (i < size && !c->done && c->state != CHUNK_DATA) {
        c->state = chunk_step(c, at[i++]);
        if (c->state < 0)
            return -1;
    }
    if (c->done || c->state != CHUNK_DATA)
        return (int64_t)i;
    *data = at + i;
    *ndata = (int64_t)(size - i) < c->left ? size - i : (size_t)c->left;
    c->left -= (int64_t)*ndata;
    c->state = c->left == 0 ? CHUNK_CR : CHUNK_DATA;
    return (int64_t)(i + *ndata);
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } row[] = {
        {100, "Continue"},
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        if (row[i].status == status)
            return row[i].text;
    return "Unknown";
}
