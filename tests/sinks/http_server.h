/* A small HTTP/1.1 server with faults, for tests of webhooks. A thread for each connection;
 * loopback only. */
#ifndef LATHE_TESTS_HTTP_SERVER_H
#define LATHE_TESTS_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct HttpRequest {
    int connection;          /* number, from 1 */
    char line[256];          /* POST /x HTTP/1.1 */
    char type[64], id[64], key[64], signature[128]; /* headers; "" */
    const char *body;
    size_t size;
} HttpRequest;

typedef struct HttpReply {
    int status;              /* 0: the connection is closed without an answer */
    int retry_after;         /* s; 0: none */
    int delay_ms;
    const char *location;
    bool close;              /* after the answer */
    bool garbage;            /* something that is not HTTP */
} HttpReply;

/* Called from the threads of connections. */
typedef HttpReply (*HttpFn)(void *arg, const HttpRequest *r);

typedef struct HttpServer HttpServer;
/* port 0: any. */
HttpServer *http_start(int port, HttpFn fn, void *arg);
/* The same with TLS. */
HttpServer *https_start(int port, const char *certificate, const char *key, HttpFn fn, void *arg);
int http_port(const HttpServer *s);
int http_connections(HttpServer *s); /* so far */
/* Connections end at once, whatever is under way. */
void http_stop(HttpServer *s);

#endif
