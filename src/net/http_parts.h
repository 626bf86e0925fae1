/* What the files http_server.c and http_reply.c share: connections, and their exchanges. */
#ifndef LATHE_NET_HTTP_PARTS_H
#define LATHE_NET_HTTP_PARTS_H

#include "base/str.h"
#include "net/http_server.h"

typedef enum ConnState {
    CONN_HEAD,   /* reads a head */
    CONN_BODY,
    CONN_HANDLE, /* the handler has it, or it streams */
    CONN_REPLY,  /* the reply is whole, and being written */
    CONN_LINGER, /* closed on our side: waits for the other */
    CONN_DEAD
} ConnState;

typedef struct Conn Conn;

struct HttpExchange {
    Conn *conn;    /* NULL: the other side has gone, or the server was closed */
    Arena *arena;
    HttpHead head;
    Str body, header;
    HttpChunks chunks;
    bool chunked, no_body, streams;
    void (*on_end)(void *arg);
    void *end_arg;
};

struct Conn {
    LoopSocket socket;
    LoopTimer timer;
    HttpServer *server;
    Conn *prev, *next;
    ConnState state;
    int64_t since;    /* us: it was accepted, or something of it was read or written */
    uint64_t peer;    /* hash of the other side's address, without its port */
    HttpExchange *x;  /* from CONN_BODY on */
    bool advancing, keep_alive, peer_done;
    size_t nin;
    char in[HTTP_MAX_HEAD];
    char *out;        /* out[out_at .. out_end) is to be written */
    size_t out_at, out_end, out_size;
    int file;         /* then this; -1: none */
    int64_t file_at, file_end;
};

struct HttpServer {
    Arena *arena;
    EventLoop *loop;
    HttpOptions opt;
    LoopSocket socket;
    int port;
    Conn *first;
    HttpCounts counts;
};

/* ---- http_server.c ---- */

/* As far as it goes. Replies come here from within the handler, too. */
void http_advance(Conn *c);
/* What is waited for. */
void http_wait_for(Conn *c);
/* Freed by http_advance, if that is under way. */
void http_kill(Conn *c);
/* Something moved: the time without progress begins anew. */
void http_progress(Conn *c, int64_t timeout);

/* ---- http_reply.c ---- */

/* To be written; false: no memory. */
bool http_put(Conn *c, const void *at, size_t size);
bool http_put_text(Conn *c, const char *text);
/* -1: the other side has gone; 0: it takes no more for now; 1: all is written. */
int http_write_some(Conn *c);

#endif
