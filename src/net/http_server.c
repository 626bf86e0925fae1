/* Connections: read a request, hand it over, write the reply, again. */
#include "net/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/str.h"

#define LINGER 1000000       /* us for the other side to read the last reply */
#define FILE_PIECE (256 << 10) /* bytes of a file sent before others have their turn */

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
    bool chunked, no_body;
    void (*on_end)(void *arg);
    void *end_arg;
};

struct Conn {
    LoopSocket socket;
    LoopTimer timer;
    HttpServer *server;
    Conn *prev, *next;
    ConnState state;
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

static void advance(Conn *c);
static void wait_for(Conn *c);

/* ---- ends ---- */

static void end_exchange(HttpExchange *x)
{
    if (x->on_end)
        x->on_end(x->end_arg);
    arena_free(x->arena);
}

/* The handler has the exchange: who asked to be told is told that it is over, else it stays until the handler replies. */
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

/* Freed by advance, if that is under way. */
static void kill_conn(Conn *c)
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

static void set_timer(Conn *c, int64_t after) { event_loop_timer(c->server->loop, &c->timer, event_loop_now(c->server->loop) + after); }

/* A handler takes its time, and a stream may have nothing to say. */
static void on_timer(LoopTimer *t)
{
    Conn *const c = owner_of(Conn, timer, t);
    if (c->state != CONN_HANDLE || c->out_at < c->out_end)
        kill_conn(c);
}

/* ---- writing ---- */

static bool put(Conn *c, const void *at, size_t size)
{
    if (size == 0)
        return true;
    if (c->out_at > 0) {
        memmove(c->out, c->out + c->out_at, c->out_end - c->out_at);
        c->out_end -= c->out_at;
        c->out_at = 0;
    }
    if (c->out_end + size > c->out_size) {
        const size_t want = 2 * (c->out_end + size) + 1024;
        char *const more = heap_alloc(want, 64);
        if (!more)
            return false;
        if (c->out_end > 0)
            memcpy(more, c->out, c->out_end);
        heap_free(c->out);
        c->out = more;
        c->out_size = want;
    }
    memcpy(c->out + c->out_end, at, size);
    c->out_end += size;
    return true;
}

static bool put_text(Conn *c, const char *text) { return put(c, text, strlen(text)); }

/* -1: the other side has gone; 0: it takes no more for now; 1: all is written. */
static int write_some(Conn *c)
{
    while (c->out_at < c->out_end) {
        const ssize_t n = send(c->socket.fd, c->out + c->out_at, c->out_end - c->out_at, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        c->out_at += (size_t)n;
        set_timer(c, c->server->opt.idle_timeout);
    }
    c->out_at = c->out_end = 0;
    if (c->file < 0)
        return 1;
    off_t at = c->file_at;
    const int64_t left = c->file_end - c->file_at;
    const ssize_t n = left > 0 ? sendfile(c->socket.fd, c->file, &at, left < FILE_PIECE ? (size_t)left : FILE_PIECE) : 0;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (n == 0 && left > 0)
        return -1; /* the file became shorter: what was promised cannot be kept */
    c->file_at += n;
    set_timer(c, c->server->opt.idle_timeout);
    if (c->file_at < c->file_end)
        return 0;
    close(c->file);
    c->file = -1;
    return 1;
}

/* ---- replies ---- */

static void begin_reply(HttpExchange *x, int status, const char *type, int64_t length)
{
    Conn *const c = x->conn;
    char line[256];
    c->keep_alive = c->keep_alive && x->head.keep_alive;
    snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", status, http_status_text(status));
    put_text(c, line);
    if (type) {
        snprintf(line, sizeof line, "Content-Type: %s\r\n", type);
        put_text(c, line);
    }
    if (length >= 0)
        snprintf(line, sizeof line, "Content-Length: %lld\r\n", (long long)length);
    else
        snprintf(line, sizeof line, "%s", x->chunked ? "Transfer-Encoding: chunked\r\n" : "");
    put_text(c, line);
    put(c, str_text(&x->header), x->header.len);
    put_text(c, c->keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
}

static void whole_reply(HttpExchange *x)
{
    x->conn->state = CONN_REPLY;
    advance(x->conn);
}

/* The other side has gone, untold: what was the handler's ends here. */
static bool gone(HttpExchange *x)
{
    if (x->conn)
        return false;
    arena_free(x->arena);
    return true;
}

void http_add_header(HttpExchange *x, const char *name, const char *value)
{
    str_addf(&x->header, "%s: %s\r\n", name, value);
}

void http_reply(HttpExchange *x, int status, const char *type, const void *at, size_t size)
{
    if (gone(x))
        return;
    begin_reply(x, status, type, (int64_t)size);
    x->conn->state = CONN_REPLY;
    if (!x->no_body && !put(x->conn, at, size))
        kill_conn(x->conn);
    else
        advance(x->conn);
}

void http_reply_error(HttpExchange *x, int status, const char *message)
{
    Str s = str_new(x->arena);
    str_add(&s, "{\"error\": \"");
    for (; *message != '\0'; message++) {
        if ((unsigned char)*message < 32)
            str_addf(&s, "\\u%04x", (unsigned)*message);
        else
            str_addf(&s, *message == '"' || *message == '\\' ? "\\%c" : "%c", *message);
    }
    str_add(&s, "\"}\n");
    http_reply(x, status, "application/json", str_text(&s), s.len);
}

/* bytes=a-b, a-, -n. False: none that is understood, so all of the file. *bad: nothing of it is in the file. */
static bool read_range(const char *text, int64_t size, int64_t *from, int64_t *to, bool *bad)
{
    long long a = -1, b = -1;
    int end = 0;
    *bad = false;
    if (!text || strlen(text) > 60)
        return false;
    if (sscanf(text, "bytes=-%lld%n", &b, &end) == 1 && text[end] == '\0' && text[7] >= '0' && b >= 0) {
        *from = b < size ? size - b : 0;
        *to = size;
        *bad = b == 0 || size == 0;
        return true;
    }
    end = 0;
    if (sscanf(text, "bytes=%lld-%n", &a, &end) != 1 || end == 0 || a < 0)
        return false;
    b = size - 1;
    int more = 0;
    if (text[end] != '\0' && (sscanf(text + end, "%lld%n", &b, &more) != 1 || text[end + more] != '\0' || b < a))
        return false;
    *from = a;
    *to = b < size - 1 ? b + 1 : size;
    *bad = a >= size;
    return true;
}

void http_reply_file(HttpExchange *x, const char *path, const char *type)
{
    if (gone(x))
        return;
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        http_reply_error(x, 404, "there is no such file");
        return;
    }
    int64_t from = 0, to = st.st_size;
    bool bad = false;
    char range[80];
    const bool part = read_range(http_header(&x->head, "range"), st.st_size, &from, &to, &bad);
    http_add_header(x, "Accept-Ranges", "bytes");
    if (bad)
        snprintf(range, sizeof range, "bytes */%lld", (long long)st.st_size);
    else
        snprintf(range, sizeof range, "bytes %lld-%lld/%lld", (long long)from, (long long)to - 1, (long long)st.st_size);
    if (part)
        http_add_header(x, "Content-Range", range);
    if (bad || x->no_body || from >= to) {
        close(fd);
        begin_reply(x, bad ? 416 : part ? 206 : 200, type, bad ? 0 : to - from);
        whole_reply(x);
        return;
    }
    begin_reply(x, part ? 206 : 200, type, to - from);
    x->conn->file = fd;
    x->conn->file_at = from;
    x->conn->file_end = to;
    whole_reply(x);
}

void http_stream(HttpExchange *x, int status, const char *type)
{
    if (!x->conn)
        return;
    x->chunked = x->head.minor == 1;
    x->conn->keep_alive = x->conn->keep_alive && x->chunked;
    begin_reply(x, status, type, -1);
    if (!x->conn->advancing)
        wait_for(x->conn); /* it leaves with the loop: were it tried here, the exchange could end under the handler's hands */
}

bool http_send(HttpExchange *x, const void *at, size_t size)
{
    if (gone(x))
        return false;
    Conn *const c = x->conn;
    if (size == 0 || x->no_body)
        return true;
    char head[32];
    snprintf(head, sizeof head, "%zx\r\n", size);
    const bool fits = c->out_end - c->out_at + size <= c->server->opt.max_pending;
    if (!fits || (x->chunked && !put_text(c, head)) || !put(c, at, size) || (x->chunked && !put_text(c, "\r\n"))) {
        c->state = CONN_REPLY; /* the exchange ends with it */
        kill_conn(c);
        return false;
    }
    advance(c);
    return true;
}

size_t http_pending(const HttpExchange *x) { return x->conn ? x->conn->out_end - x->conn->out_at : 0; }

void http_finish(HttpExchange *x)
{
    if (gone(x))
        return;
    if (x->chunked && !x->no_body)
        put_text(x->conn, "0\r\n\r\n");
    whole_reply(x);
}

const HttpHead *http_head(const HttpExchange *x) { return &x->head; }
Arena *http_arena(HttpExchange *x) { return x->arena; }

const char *http_body(const HttpExchange *x, size_t *size)
{
    *size = x->body.len;
    return x->body.at ? x->body.at : "";
}

void http_on_end(HttpExchange *x, void (*fn)(void *arg), void *arg)
{
    x->on_end = fn;
    x->end_arg = arg;
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
    set_timer(c, c->server->opt.idle_timeout);
    if (status != 0)
        refuse(c, status, why);
    else if (!host_allowed(&c->server->opt, http_header(&x->head, "host")))
        refuse(c, 421, "this server does not go by that name");
    else if (x->head.length > (int64_t)c->server->opt.max_body)
        refuse(c, 413, "the request's body is too long");
    else if (x->head.expects_continue && x->head.length != 0)
        put_text(c, "HTTP/1.1 100 Continue\r\n\r\n");
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
        const int64_t taken = chunked ? http_chunks_take(&x->chunks, c->in, c->nin, &data, &n) : (int64_t)n;
        if (taken < 0 || x->body.len + n > c->server->opt.max_body) {
            refuse(c, taken < 0 ? 400 : 413, taken < 0 ? "the body's chunks are malformed" : "the request's body is too long");
            return true;
        }
        str_addn(&x->body, data, n);
        take_in(c, (size_t)taken);
        set_timer(c, c->server->opt.idle_timeout);
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
    set_timer(c, c->state == CONN_LINGER ? LINGER : c->server->opt.idle_timeout);
}

/* One step. False: nothing more can be done for now. */
static bool step(Conn *c)
{
    if (c->out_at < c->out_end || c->state == CONN_REPLY) {
        const int written = write_some(c);
        if (written < 0)
            kill_conn(c);
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

/* What is waited for. */
static void wait_for(Conn *c)
{
    const bool reads = c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_LINGER;
    const bool writes = c->out_at < c->out_end || c->state == CONN_REPLY;
    Error e;
    if (writes && c->timer.place == 0)
        set_timer(c, c->server->opt.idle_timeout);
    if (reads && c->peer_done && !writes)
        kill_conn(c);
    else if (event_loop_socket(c->server->loop, &c->socket, (reads ? LOOP_READ : 0u) | (writes ? LOOP_WRITE : 0u), &e) != 0)
        kill_conn(c);
}

/* As far as it goes. Replies come here from within the handler, too. */
static void advance(Conn *c)
{
    if (c->advancing)
        return;
    c->advancing = true;
    while (c->state != CONN_DEAD && step(c))
        ;
    if (c->state != CONN_DEAD)
        wait_for(c);
    c->advancing = false;
    if (c->state == CONN_DEAD)
        free_conn(c);
}

static void on_ready(LoopSocket *s, unsigned events)
{
    Conn *const c = owner_of(Conn, socket, s);
    if (events & LOOP_GONE) {
        kill_conn(c);
        return;
    }
    while ((events & LOOP_READ) && c->state == CONN_LINGER) { /* whatever still comes */
        const ssize_t n = recv(s->fd, c->in, sizeof c->in, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            kill_conn(c);
        if (n <= 0)
            return;
    }
    if ((events & LOOP_READ) && c->nin < sizeof c->in) {
        const ssize_t n = recv(s->fd, c->in + c->nin, sizeof c->in - c->nin, 0);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            kill_conn(c);
            return;
        }
        if (n > 0 && c->nin == 0 && c->state == CONN_HEAD)
            set_timer(c, c->server->opt.head_timeout);
        c->nin += n > 0 ? (size_t)n : 0;
        c->peer_done = c->peer_done || n == 0;
    }
    advance(c);
}

/* ---- listening ---- */

static void accept_one(HttpServer *s, int fd)
{
    Conn *const c = s->counts.open < s->opt.max_connections ? heap_alloc(sizeof *c, 64) : NULL;
    if (!c) {
        close(fd); /* full: the other side sees it at once, and comes again */
        return;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->socket = (LoopSocket){.fd = fd, .ready = on_ready};
    c->timer.fire = on_timer;
    c->server = s;
    c->file = -1;
    c->keep_alive = true;
    c->next = s->first;
    if (c->next)
        c->next->prev = c;
    s->first = c;
    s->counts.open++;
    s->counts.connections++;
    set_timer(c, s->opt.head_timeout);
    wait_for(c);
}

static void on_connection(LoopSocket *listener, unsigned events)
{
    HttpServer *const s = owner_of(HttpServer, socket, listener);
    (void)events;
    for (int i = 0; i < 64; i++) { /* others have their turn */
        const int fd = accept(listener->fd, NULL, NULL);
        if (fd < 0)
            return;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        accept_one(s, fd);
    }
}

static int open_listener(HttpServer *s, Error *e)
{
    char port[16];
    struct addrinfo *found = NULL;
    const struct addrinfo want = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    snprintf(port, sizeof port, "%d", s->opt.port);
    if (s->opt.port < 0 || s->opt.port > 65535 || getaddrinfo(s->opt.host, port, &want, &found) != 0)
        return error_set(e, ERR_INVALID, "%s:%d: no address to listen at (as 127.0.0.1:8080)", s->opt.host, s->opt.port);
    const int on = 1;
    s->socket.fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = 0;
    if (s->socket.fd < 0 || setsockopt(s->socket.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(s->socket.fd, found->ai_addr, found->ai_addrlen) != 0 || listen(s->socket.fd, 128) != 0)
        code = error_set(e, ERR_IO, "%s:%d: listening: %s", s->opt.host, s->opt.port, strerror(errno));
    freeaddrinfo(found);
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    if (code == 0 && getsockname(s->socket.fd, (struct sockaddr *)&at, &size) == 0)
        s->port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port : ((struct sockaddr_in *)&at)->sin_port);
    return code;
}

int http_listen(EventLoop *l, const HttpOptions *opt, HttpServer **out, Error *e)
{
    Arena *const a = arena_new();
    HttpServer *const s = arena_new_of(a, HttpServer);
    *s = (HttpServer){.arena = a, .loop = l, .opt = *opt, .socket = {.fd = -1, .ready = on_connection}};
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
        kill_conn(c);
    }
    if (s->socket.fd >= 0) {
        event_loop_forget(s->loop, &s->socket);
        close(s->socket.fd);
    }
    arena_free(s->arena);
}

int http_port(const HttpServer *s) { return s->port; }
HttpCounts http_counts(const HttpServer *s) { return s->counts; }
