/* Connections: read a request, hand it over, write the reply, again. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/map.h"
#include "net/http_parts.h"

#define LINGER 1000000       /* us for the other side to read the last reply */

/* ---- ends ---- */

static void end_exchange(HttpExchange *x)
{
    if (x->on_end)
        x->on_end(x->end_arg);
    arena_free(x->arena);
}

/* The handler has the exchange: who asked to be told is told that it is over, else it stays until
 * the handler replies. */
static void leave_exchange(Conn *c)
{
    HttpExchange *const x = c->x;
    c->x = NULL;
    if (!x)
        return;
    x->conn = NULL;
    if (c->state != CONN_HANDLE || x->on_end)
        end_exchange(x);
}

static void free_conn(Conn *c)
{
    HttpServer *const s = c->server;
    if (c->next)
        c->next->prev = c->prev;
    *(c->prev ? &c->prev->next : &s->first) = c->next;
    s->counts.open--;
    heap_free(c->out);
    heap_free(c);
}

void http_kill(Conn *c)
{
    if (c->state == CONN_DEAD)
        return;
    leave_exchange(c);
    c->state = CONN_DEAD;
    event_loop_forget(c->server->loop, &c->socket);
    event_loop_timer_off(c->server->loop, &c->timer);
    close(c->socket.fd);
    if (c->file >= 0)
        close(c->file);
    if (!c->advancing)
        free_conn(c);
}

void http_progress(Conn *c, int64_t timeout)
{
    c->since = event_loop_now(c->server->loop);
    event_loop_timer(c->server->loop, &c->timer, c->since + timeout);
}

/* A handler takes its time, and a stream may have nothing to say. */
static void on_timer(LoopTimer *t)
{
    Conn *const c = owner_of(Conn, timer, t);
    if (c->state != CONN_HANDLE || c->out_at < c->out_end)
        http_kill(c);
}

/* ---- requests ---- */

static void take_in(Conn *c, size_t n)
{
    memmove(c->in, c->in + n, c->nin - n);
    c->nin -= n;
}

static void refuse(Conn *c, int status, const char *why)
{
    c->server->counts.refused++;
    c->keep_alive = false; /* where the next request begins is not known */
    c->state = CONN_HANDLE;
    http_reply_error(c->x, status, why);
}

static bool is_address(const char *host, size_t n)
{
    char text[64];
    unsigned char any[16];
    if (n == 0 || n >= sizeof text)
        return false;
    const bool six = host[0] == '[' && host[n - 1] == ']';
    snprintf(text, sizeof text, "%.*s", (int)(six ? n - 2 : n), six ? host + 1 : host);
    return inet_pton(six ? AF_INET6 : AF_INET, text, any) == 1;
}

static bool host_allowed(const HttpOptions *opt, const char *host)
{
    if (!opt->check_host || !host)
        return true;
    const char *const bracket = strchr(host, ']');
    const char *const colon = strchr(bracket ? bracket : host, ':');
    const size_t n = colon ? (size_t)(colon - host) : strlen(host);
    if (is_address(host, n) || (n == 9 && strncasecmp(host, "localhost", 9) == 0))
        return true;
    for (int i = 0; i < opt->nname; i++)
        if (strlen(opt->name[i]) == n && strncasecmp(host, opt->name[i], n) == 0)
            return true;
    return false;
}

static void new_exchange(Conn *c)
{
    Arena *const a = arena_new();
    HttpExchange *const x = arena_new_of(a, HttpExchange);
    *x = (HttpExchange){.conn = c, .arena = a, .body = str_new(a), .header = str_new(a)};
    c->x = x;
    c->server->counts.requests++;
}

/* False: it is not there whole. */
static bool read_head(Conn *c)
{
    const size_t n = http_head_size(c->in, c->nin);
    if (n == 0 && c->nin < sizeof c->in)
        return false;
    new_exchange(c);
    if (n == 0) {
        refuse(c, 431, "the request's head is too long");
        return true;
    }
    HttpExchange *const x = c->x;
    const char *why = NULL;
    const int status = http_head_parse(x->arena, c->in, n, &x->head, &why);
    take_in(c, n);
    c->state = CONN_BODY;
    x->no_body = x->head.method && strcmp(x->head.method, "HEAD") == 0;
    http_progress(c, c->server->opt.idle_timeout);
    if (status != 0)
        refuse(c, status, why);
    else if (!host_allowed(&c->server->opt, http_header(&x->head, "host")))
        refuse(c, 421, "this server does not go by that name");
    else if (x->head.length > (int64_t)c->server->opt.max_body)
        refuse(c, 413, "the request's body is too long");
    else if (x->head.expects_continue && x->head.length != 0)
        http_put_text(c, "HTTP/1.1 100 Continue\r\n\r\n");
    return true;
}

/* False: the body is not there whole. */
static bool read_body(Conn *c)
{
    HttpExchange *const x = c->x;
    const bool chunked = x->head.length < 0;
    while (c->nin > 0 && !(chunked ? x->chunks.done : (int64_t)x->body.len == x->head.length)) {
        const char *data = c->in;
        const int64_t left = x->head.length - (int64_t)x->body.len;
        size_t n = chunked ? 0 : (int64_t)c->nin < left ? c->nin : (size_t)left;
        const int64_t taken =
            chunked ? http_chunks_take(&x->chunks, c->in, c->nin, &data, &n) : (int64_t)n;
        if (taken < 0 || x->body.len + n > c->server->opt.max_body) {
            refuse(c, taken < 0 ? 400 : 413,
                   taken < 0 ? "the body's chunks are malformed"
                             : "the request's body is too long");
            return true;
        }
        str_addn(&x->body, data, n);
        take_in(c, (size_t)taken);
        http_progress(c, c->server->opt.idle_timeout);
    }
    if (!(chunked ? x->chunks.done : (int64_t)x->body.len == x->head.length))
        return false;
    c->state = CONN_HANDLE;
    c->server->opt.handle(c->server->opt.arg, x);
    return true;
}

/* A reply went out. */
static void next_request(Conn *c)
{
    HttpExchange *const x = c->x;
    c->x = NULL;
    end_exchange(x);
    c->state = c->keep_alive ? CONN_HEAD : CONN_LINGER;
    if (c->state == CONN_LINGER)
        shutdown(c->socket.fd, SHUT_WR);
    http_progress(c, c->state == CONN_LINGER ? LINGER : c->server->opt.idle_timeout);
}

/* One step. False: nothing more can be done for now. */
static bool step(Conn *c)
{
    if (c->out_at < c->out_end || c->state == CONN_REPLY) {
        const int written = http_write_some(c);
        if (written < 0)
            http_kill(c);
        if (written <= 0)
            return false;
    }
    switch (c->state) {
    case CONN_HEAD: return read_head(c);
    case CONN_BODY: return read_body(c);
    case CONN_REPLY: next_request(c); return true;
    default: return false; /* the handler's turn, or nobody's */
    }
}

void http_wait_for(Conn *c)
{
    const bool reads = c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_LINGER;
    const bool writes = c->out_at < c->out_end || c->state == CONN_REPLY;
    Error e;
    if (writes && c->timer.place == 0)
        http_progress(c, c->server->opt.idle_timeout);
    if (reads && c->peer_done && !writes)
        http_kill(c);
    else if (event_loop_socket(c->server->loop, &c->socket,
                               (reads ? LOOP_READ : 0u) | (writes ? LOOP_WRITE : 0u), &e) != 0)
        http_kill(c);
}

void http_advance(Conn *c)
{
    if (c->advancing)
        return;
    c->advancing = true;
    while (c->state != CONN_DEAD && step(c))
        ;
    if (c->state != CONN_DEAD)
        http_wait_for(c);
    c->advancing = false;
    if (c->state == CONN_DEAD)
        free_conn(c);
}

static void on_ready(LoopSocket *s, unsigned events)
{
    Conn *const c = owner_of(Conn, socket, s);
    if (events & LOOP_GONE) {
        http_kill(c);
        return;
    }
    while ((events & LOOP_READ) && c->state == CONN_LINGER) { /* whatever still comes */
        const ssize_t n = recv(s->fd, c->in, sizeof c->in, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            http_kill(c);
        if (n <= 0)
            return;
    }
    if ((events & LOOP_READ) && c->nin < sizeof c->in) {
        const ssize_t n = recv(s->fd, c->in + c->nin, sizeof c->in - c->nin, 0);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            http_kill(c);
            return;
        }
        if (n > 0 && c->nin == 0 && c->state == CONN_HEAD)
            http_progress(c, c->server->opt.head_timeout);
        c->nin += n > 0 ? (size_t)n : 0;
        c->peer_done = c->peer_done || n == 0;
    }
    http_advance(c);
}

/* ---- listening ---- */

/* How readily it is given up for another: one that asks for nothing, one that is slow to ask, one
 * that streams or is slow to take; -1: never, the handler is at work for it. */
static int dispensable(const Conn *c)
{
    switch (c->state) {
    case CONN_HEAD: return c->nin == 0 ? 3 : 2;
    case CONN_LINGER: return 3;
    case CONN_BODY: return 2;
    case CONN_REPLY: return 1;
    case CONN_HANDLE: return c->x && c->x->streams ? 1 : -1;
    case CONN_DEAD: break;
    }
    return -1;
}

static int from_peer(const HttpServer *s, uint64_t peer)
{
    int n = 0;
    for (const Conn *c = s->first; c; c = c->next)
        n += c->peer == peer;
    return n;
}

/* All places are taken: the most dispensable goes; of these one of the address that has most; of
 * these the one that has not moved for longest. */
static bool make_room(HttpServer *s)
{
    Conn *gone = NULL;
    for (Conn *c = s->first; c; c = c->next) {
        const int mine = dispensable(c), best = gone ? dispensable(gone) : -1;
        if (mine < 0 || mine < best)
            continue;
        const int n = from_peer(s, c->peer), most = gone ? from_peer(s, gone->peer) : 0;
        if (mine > best || n > most || (n == most && c->since <= gone->since))
            gone = c;
    }
    if (!gone)
        return false;
    s->counts.evicted++;
    http_kill(gone);
    return true;
}

static uint64_t hash_address(const struct sockaddr_storage *a)
{
    const struct sockaddr_in *const four = (const void *)a;
    const struct sockaddr_in6 *const six = (const void *)a;
    return a->ss_family == AF_INET6
               ? hash_bytes(&six->sin6_addr, 8, 6) /* the network: its addresses cost nothing */
               : hash_bytes(&four->sin_addr, sizeof four->sin_addr, 4);
}

static void accept_one(HttpServer *s, int fd, const struct sockaddr_storage *from)
{
    const bool room = s->counts.open < s->opt.max_connections || make_room(s);
    Conn *const c = room ? heap_alloc(sizeof *c, 64) : NULL;
    if (!c) {
        close(fd); /* full: the other side sees it at once, and comes again */
        return;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->socket = (LoopSocket){.fd = fd, .ready = on_ready};
    c->timer.fire = on_timer;
    c->server = s;
    c->peer = hash_address(from);
    c->file = -1;
    c->keep_alive = true;
    c->next = s->first;
    if (c->next)
        c->next->prev = c;
    s->first = c;
    s->counts.open++;
    s->counts.connections++;
    http_progress(c, s->opt.head_timeout);
    http_wait_for(c);
}

static void on_connection(LoopSocket *listener, unsigned events)
{
    HttpServer *const s = owner_of(HttpServer, socket, listener);
    (void)events;
    for (int i = 0; i < 64; i++) { /* others have their turn */
        struct sockaddr_storage from = {0};
        socklen_t size = sizeof from;
        const int fd = accept(listener->fd, (struct sockaddr *)&from, &size);
        if (fd < 0)
            return;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        accept_one(s, fd, &from);
    }
}

static int open_listener(HttpServer *s, Error *e)
{
    char port[16];
    struct addrinfo *found = NULL;
    const struct addrinfo want = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                  .ai_socktype = SOCK_STREAM};
    snprintf(port, sizeof port, "%d", s->opt.port);
    if (s->opt.port < 0 || s->opt.port > 65535 ||
        getaddrinfo(s->opt.host, port, &want, &found) != 0)
        return error_set(e, ERR_INVALID, "%s:%d: no address to listen at (as 127.0.0.1:8080)",
                         s->opt.host, s->opt.port);
    const int on = 1;
    s->socket.fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = 0;
    if (s->socket.fd < 0 ||
        setsockopt(s->socket.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(s->socket.fd, found->ai_addr, found->ai_addrlen) != 0 ||
        listen(s->socket.fd, 128) != 0)
        code =
            error_set(e, ERR_IO, "%s:%d: listening: %s", s->opt.host, s->opt.port, strerror(errno));
    freeaddrinfo(found);
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    if (code == 0 && getsockname(s->socket.fd, (struct sockaddr *)&at, &size) == 0)
        s->port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                                 : ((struct sockaddr_in *)&at)->sin_port);
    return code;
}

int http_listen(EventLoop *l, const HttpOptions *opt, HttpServer **out, Error *e)
{
    Arena *const a = arena_new();
    HttpServer *const s = arena_new_of(a, HttpServer);
    *s = (HttpServer){
        .arena = a, .loop = l, .opt = *opt, .socket = {.fd = -1, .ready = on_connection}};
    HttpOptions *const o = &s->opt;
    o->host = arena_strdup(a, opt->host ? opt->host : "127.0.0.1");
    o->max_connections = opt->max_connections ? opt->max_connections : 256;
    o->max_body = opt->max_body ? opt->max_body : 1 << 20;
    o->max_pending = opt->max_pending ? opt->max_pending : 4 << 20;
    o->head_timeout = opt->head_timeout ? opt->head_timeout : 10000000;
    o->idle_timeout = opt->idle_timeout ? opt->idle_timeout : 60000000;
    const char **const name = arena_array_of(a, opt->nname + 1, const char *);
    for (int i = 0; i < opt->nname; i++)
        name[i] = arena_strdup(a, opt->name[i]);
    o->name = name;
    int code = open_listener(s, e);
    if (code == 0)
        code = event_loop_socket(l, &s->socket, LOOP_READ, e);
    if (code != 0)
        http_close(s);
    else
        *out = s;
    return code;
}

void http_close(HttpServer *s)
{
    if (!s)
        return;
    for (Conn *c = s->first, *next; c; c = next) {
        next = c->next;
        http_kill(c);
    }
    if (s->socket.fd >= 0) {
        event_loop_forget(s->loop, &s->socket);
        close(s->socket.fd);
    }
    arena_free(s->arena);
}

int http_port(const HttpServer *s) { return s->port; }
HttpCounts http_counts(const HttpServer *s) { return s->counts; }
