/* Heads of HTTP/1.1 requests (RFC 9112), read strictly: what two readers could understand in two
 * ways is refused.
 *
 * Refused are: a line that ends in LF alone, folded headers, blanks before a colon, a length beside
 * a chunked body, two lengths, a coding other than chunked, control characters, a target that is
 * neither a path nor *, a request of HTTP/1.1 without Host or with two. */
#ifndef LATHE_NET_HTTP_HEAD_H
#define LATHE_NET_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define HTTP_MAX_HEAD 16384 /* bytes of a request's head */
#define HTTP_MAX_HEADERS 64

typedef struct HttpHeader {
    const char *name, *value; /* name: in lower case; value: without blanks around it */
} HttpHeader;

typedef struct HttpHead {
    const char *method;
    const char *path;     /* decoded, with . and .. resolved; begins with / */
    const char *query;    /* what follows the ?, as it came; "": nothing */
    int minor;            /* HTTP/1.minor */
    int nheader;
    HttpHeader header[HTTP_MAX_HEADERS];
    int64_t length;       /* of the body; -1: chunked; 0: none */
    bool keep_alive, expects_continue;
} HttpHead;

/* Bytes of the head at the start of `at`, with its empty line; 0: it is not there whole. Empty
 * lines before it are part of it. */
size_t http_head_size(const char *at, size_t size);
/* Strings in `a`. 0, or the status that refuses it (400, 414, 431, 501, 505) with *why. */
int http_head_parse(Arena *a, const char *at, size_t size, HttpHead *out, const char **why);
/* `name` in lower case. NULL: it is not there. Of several the first. */
const char *http_header(const HttpHead *h, const char *name);
/* A value of the query ("q" of "q=a+b&n=3"), decoded, in `a`; NULL: it is not there. */
const char *http_query(Arena *a, const HttpHead *h, const char *name);

typedef struct HttpChunks { /* reads a chunked body piece by piece; zero at first */
    int state;
    int64_t left;    /* of the chunk */
    int digits, extra;
    bool done;
} HttpChunks;

/* Takes from `at` what belongs to the body; *data: a piece of its content, of *ndata bytes (0: none
 * this time). Returns the bytes taken, at least one if there are any, until c->done; -1: it is
 * malformed. */
int64_t http_chunks_take(HttpChunks *c, const char *at, size_t size, const char **data,
                         size_t *ndata);

/* "Not Found" .. */
const char *http_status_text(int status);

#endif
