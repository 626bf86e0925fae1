/* A small HTTP/1.1 server. */
#include "sinks/http_server.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/heap.h"

enum { CONNECTIONS = 64, LARGEST = 2 << 20 };

struct HttpServer {
    int listener, port;
    SSL_CTX *tls;           /* NULL: none */
    HttpFn fn;
    void *arg;
    pthread_t acceptor;
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t ended;
    bool stop;
    int fd[CONNECTIONS];    /* 0: free */
    int open, total;
};

typedef struct Connection {
    HttpServer *server;
    int fd, slot, number;
    SSL *tls;
    char *at;               /* what was read: size bytes of LARGEST */
    size_t size;
} Connection;

static void header(const char *line, const char *name, char *out, size_t size)
{
    const size_t n = strlen(name);
    if (strncasecmp(line, name, n) == 0 && line[n] == ':')
        snprintf(out, size, "%s", line + n + 1 + strspn(line + n + 1, " "));
}

static ssize_t get(const Connection *c, char *at, size_t size)
{
    return c->tls ? SSL_read(c->tls, at, (int)size) : read(c->fd, at, size);
}

static ssize_t put(const Connection *c, const char *at, size_t size)
{
    return c->tls ? SSL_write(c->tls, at, (int)size) : send(c->fd, at, size, MSG_NOSIGNAL);
}

/* Until the text behind the headers is whole; its length, or -1: the connection ended. */
static long read_request(Connection *c, HttpRequest *r, size_t *head)
{
    for (;;) {
        c->at[c->size] = '\0';
        const char *const end = strstr(c->at, "\r\n\r\n");
        if (end) {
            char length[32] = "0";
            *head = (size_t)(end - c->at) + 4;
            char *const copy = strndup(c->at, *head);
            char *save, *line = strtok_r(copy, "\r\n", &save);
            snprintf(r->line, sizeof r->line, "%s", line ? line : "");
            while ((line = strtok_r(NULL, "\r\n", &save)) != NULL) {
                header(line, "Content-Length", length, sizeof length);
                header(line, "Content-Type", r->type, sizeof r->type);
                header(line, "X-Lathe-Id", r->id, sizeof r->id);
                header(line, "Idempotency-Key", r->key, sizeof r->key);
                header(line, "X-Lathe-Signature", r->signature, sizeof r->signature);
            }
            free(copy);
            if (c->size >= *head + (size_t)atol(length))
                return atol(length);
        }
        const ssize_t n = get(c, c->at + c->size, LARGEST - 1 - c->size);
        if (n <= 0)
            return -1;
        c->size += (size_t)n;
    }
}

/* False: the connection is over. */
static bool answer(const Connection *c, const HttpReply *reply)
{
    char text[512], extra[300] = "";
    if (reply->delay_ms > 0) {
        const struct timespec t = {.tv_sec = reply->delay_ms / 1000,
                                   .tv_nsec = reply->delay_ms % 1000 * 1000000L};
        nanosleep(&t, NULL);
    }
    if (reply->retry_after > 0)
        snprintf(extra, sizeof extra, "Retry-After: %d\r\n", reply->retry_after);
    if (reply->location)
        snprintf(extra, sizeof extra, "Location: %s\r\n", reply->location);
    const int size =
        reply->garbage
            ? snprintf(text, sizeof text, "\x16\x03\x01 this is not HTTP\r\n\r\n")
            : snprintf(text, sizeof text, "HTTP/1.1 %d Said\r\nContent-Length: 2\r\n%s%s\r\nok",
                       reply->status, extra, reply->close ? "Connection: close\r\n" : "");
    const bool said =
        (reply->status > 0 || reply->garbage) && put(c, text, (size_t)size) == size;
    return said && !reply->close && !reply->garbage;
}

static void *serve(void *arg)
{
    Connection *const c = arg;
    HttpServer *const s = c->server;
    HttpRequest r;
    size_t head;
    long n;
    bool more = true;
    if (s->tls) {
        c->tls = SSL_new(s->tls);
        SSL_set_fd(c->tls, c->fd);
        more = SSL_accept(c->tls) == 1;
    }
    while (more &&
           (r = (HttpRequest){.connection = c->number}, n = read_request(c, &r, &head)) >= 0) {
        char *const body = strndup(c->at + head, (size_t)n);
        r.body = body;
        r.size = (size_t)n;
        const HttpReply reply = s->fn(s->arg, &r);
        free(body);
        c->size -= head + (size_t)n;
        memmove(c->at, c->at + head + (size_t)n, c->size);
        more = answer(c, &reply);
    }
    SSL_free(c->tls);
    pthread_mutex_lock(&s->lock);
    close(c->fd);
    s->fd[c->slot] = 0;
    s->open--;
    pthread_cond_broadcast(&s->ended);
    pthread_mutex_unlock(&s->lock);
    heap_free(c->at);
    heap_free(c);
    return NULL;
}

static void take(HttpServer *s, int fd)
{
    pthread_mutex_lock(&s->lock);
    int slot = 0;
    while (slot < CONNECTIONS && s->fd[slot])
        slot++;
    Connection *const c = slot < CONNECTIONS && !s->stop ? heap_alloc(sizeof *c, 8) : NULL;
    if (c == NULL) {
        pthread_mutex_unlock(&s->lock);
        close(fd);
        return;
    }
    *c = (Connection){
        .server = s, .fd = fd, .slot = slot, .number = ++s->total, .at = heap_alloc(LARGEST, 8)};
    s->fd[slot] = fd;
    s->open++;
    pthread_t thread;
    pthread_create(&thread, NULL, serve, c);
    pthread_detach(thread);
    pthread_mutex_unlock(&s->lock);
}

static void *accepting(void *arg)
{
    HttpServer *const s = arg;
    for (int fd; (fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        take(s, fd);
    return NULL;
}

static HttpServer *start(int port, SSL_CTX *tls, HttpFn fn, void *arg)
{
    HttpServer *const s = heap_alloc(sizeof *s, 8);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    const int yes = 1;
    *s = (HttpServer){.tls = tls, .fn = fn, .arg = arg};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->ended, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(s->listener, (struct sockaddr *)&at, size) != 0 || listen(s->listener, 64) != 0 ||
        getsockname(s->listener, (struct sockaddr *)&at, &size) != 0) {
        perror("http server");
        abort();
    }
    s->port = ntohs(at.sin_port);
    pthread_create(&s->acceptor, NULL, accepting, s);
    return s;
}

HttpServer *http_start(int port, HttpFn fn, void *arg)
{
    return start(port, NULL, fn, arg);
}

HttpServer *https_start(int port, const char *certificate, const char *key, HttpFn fn, void *arg)
{
    SSL_CTX *const tls = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_file(tls, certificate, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "http server: no certificate %s\n", certificate);
        abort();
    }
    signal(SIGPIPE, SIG_IGN);
    return start(port, tls, fn, arg);
}

int http_port(const HttpServer *s)
{
    return s->port;
}

int http_connections(HttpServer *s)
{
    pthread_mutex_lock(&s->lock);
    const int total = s->total;
    pthread_mutex_unlock(&s->lock);
    return total;
}

void http_stop(HttpServer *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->acceptor, NULL);
    close(s->listener);
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    for (int i = 0; i < CONNECTIONS; i++)
        if (s->fd[i])
            shutdown(s->fd[i], SHUT_RDWR);
    while (s->open > 0)
        pthread_cond_wait(&s->ended, &s->lock);
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->ended);
    SSL_CTX_free(s->tls);
    heap_free(s);
}
