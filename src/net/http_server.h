/* An HTTP/1.1 server on an event loop (event_loop.h): requests to one handler, replies whole, from
 * files, or as streams.
 *
 *     static void handle(void *arg, HttpExchange *x)
 *     {
 *         if (strcmp(http_head(x)->path, "/hello") == 0)
 *             http_reply(x, 200, "text/plain", "hello\n", 6);
 *         else
 *             http_reply_error(x, 404, "no such page");
 *     }
 *     http_listen(loop, &(HttpOptions){.host = "127.0.0.1", .handle = handle}, &server, &e)
 *
 * An *exchange* is one request with its reply. The handler may reply at once or later, on the
 * loop's thread; until then the exchange is its own, even if the other side has gone (then replying
 * does nothing). HEAD is handled as GET, without the body. Requests that follow on a connection
 * wait for the reply before them.
 *
 * Everything from outside is bounded: heads, bodies, connections, time without progress; what is
 * too much is refused with a status. Where all connections are taken the one that asks for least
 * makes room for another, so that nobody shuts others out by holding many. A browser's page
 * elsewhere must not read this server by a name of its own that leads here: with `names`, a Host
 * that is neither an address, localhost nor one of them gets 421. */
#ifndef LATHE_NET_HTTP_SERVER_H
#define LATHE_NET_HTTP_SERVER_H

#include "net/http_head.h"
#include "net/event_loop.h"

typedef struct HttpExchange HttpExchange;
typedef struct HttpServer HttpServer;

typedef struct HttpOptions { /* zero: the default of each */
    const char *host;        /* address to listen at; 127.0.0.1 */
    int port;                /* 0: a free one */
    bool check_host;
    int nname;
    const char *const *name; /* that Host may be, if check_host */
    int max_connections;     /* 256 */
    size_t max_body;         /* bytes; 1 MB */
    size_t max_pending;      /* bytes of a stream that the other side has not taken; 4 MB */
    int64_t head_timeout;    /* us from a request's first byte to its last of the head; 10 s */
    /* us between requests, and without progress in a body or a reply; 60 s */
    int64_t idle_timeout;
    void (*handle)(void *arg, HttpExchange *x);
    void *arg;
} HttpOptions;

typedef struct HttpCounts {
    int64_t connections, requests, refused; /* refused: by the server itself, a status from 400 */
    int64_t evicted;         /* connections that made room for others */
    int open;
} HttpCounts;

/* ERR_INVALID: no such address; ERR_IO: it is taken, or may not be had. */
int http_listen(EventLoop *l, const HttpOptions *opt, HttpServer **out, Error *e);
/* Ends all exchanges and closes. */
void http_close(HttpServer *s);
int http_port(const HttpServer *s);
HttpCounts http_counts(const HttpServer *s);

/* ---- exchanges ---- */

const HttpHead *http_head(const HttpExchange *x);
const char *http_body(const HttpExchange *x, size_t *size); /* NUL-terminated after `size` bytes */
Arena *http_arena(HttpExchange *x);                         /* until the exchange ends */
/* fn(arg) when the exchange is over: its reply was taken, or the other side has gone; it is the
 * last moment in which it is valid. */
void http_on_end(HttpExchange *x, void (*fn)(void *arg), void *arg);

/* One more header of the reply; before it begins. */
void http_add_header(HttpExchange *x, const char *name, const char *value);
/* These end the exchange. `type`: Content-Type. What is given is copied. */
void http_reply(HttpExchange *x, int status, const char *type, const void *at, size_t size);
void http_reply_error(HttpExchange *x, int status, const char *message); /* as {"error": message} */
/* A regular file, or the part that the request's Range asks for; 404 if it cannot be read. */
void http_reply_file(HttpExchange *x, const char *path, const char *type);

/* A reply of unknown length, piece by piece, flushed at once. */
void http_stream(HttpExchange *x, int status, const char *type);
/* False: the other side has gone, or does not take what comes (max_pending). The exchange is over
 * then, and not valid any more. */
bool http_send(HttpExchange *x, const void *at, size_t size);
size_t http_pending(const HttpExchange *x); /* bytes sent by http_send that have not left */
void http_finish(HttpExchange *x);

#endif
