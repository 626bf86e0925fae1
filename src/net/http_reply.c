/* Replies: whole ones, files, streams; and how they are written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/heap.h"
#include "net/http_parts.h"

#define FILE_PIECE (256 << 10) /* bytes of a file sent before others have their turn */

/* ---- writing ---- */

bool http_put(Conn *c, const void *at, size_t size)
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

bool http_put_text(Conn *c, const char *text) { return http_put(c, text, strlen(text)); }

int http_write_some(Conn *c)
{
    while (c->out_at < c->out_end) {
        const ssize_t n =
            send(c->socket.fd, c->out + c->out_at, c->out_end - c->out_at, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        c->out_at += (size_t)n;
        http_progress(c, c->server->opt.idle_timeout);
    }
    c->out_at = c->out_end = 0;
    if (c->file < 0)
        return 1;
    off_t at = c->file_at;
    const int64_t left = c->file_end - c->file_at;
    const ssize_t n = left > 0 ? sendfile(c->socket.fd, c->file, &at,
                                          left < FILE_PIECE ? (size_t)left : FILE_PIECE)
                               : 0;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (n == 0 && left > 0)
        return -1; /* the file became shorter: what was promised cannot be kept */
    c->file_at += n;
    http_progress(c, c->server->opt.idle_timeout);
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
    http_put_text(c, line);
    if (type) {
        snprintf(line, sizeof line, "Content-Type: %s\r\n", type);
        http_put_text(c, line);
    }
    if (length >= 0)
        snprintf(line, sizeof line, "Content-Length: %lld\r\n", (long long)length);
    else
        snprintf(line, sizeof line, "%s", x->chunked ? "Transfer-Encoding: chunked\r\n" : "");
    http_put_text(c, line);
    http_put(c, str_text(&x->header), x->header.len);
    http_put_text(c, c->keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
}

static void whole_reply(HttpExchange *x)
{
    x->conn->state = CONN_REPLY;
    http_advance(x->conn);
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
    if (!x->no_body && !http_put(x->conn, at, size))
        http_kill(x->conn);
    else
        http_advance(x->conn);
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

/* bytes=a-b, a-, -n. False: none that is understood, so all of the file. *bad: nothing of it is in
 * the file. */
static bool read_range(const char *text, int64_t size, int64_t *from, int64_t *to, bool *bad)
{
    long long a = -1, b = -1;
    int end = 0;
    *bad = false;
    if (!text || strlen(text) > 60)
        return false;
    if (sscanf(text, "bytes=-%lld%n", &b, &end) == 1 && text[end] == '\0' && text[7] >= '0' &&
        b >= 0) {
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
    if (text[end] != '\0' &&
        (sscanf(text + end, "%lld%n", &b, &more) != 1 || text[end + more] != '\0' || b < a))
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
        snprintf(range, sizeof range, "bytes %lld-%lld/%lld", (long long)from, (long long)to - 1,
                 (long long)st.st_size);
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
    x->streams = true;
    x->chunked = x->head.minor == 1;
    x->conn->keep_alive = x->conn->keep_alive && x->chunked;
    begin_reply(x, status, type, -1);
    if (!x->conn->advancing)
        /* it leaves with the loop: were it tried here, the exchange could end under the handler's
         * hands */
        http_wait_for(x->conn);
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
    if (!fits || (x->chunked && !http_put_text(c, head)) || !http_put(c, at, size) ||
        (x->chunked && !http_put_text(c, "\r\n"))) {
        c->state = CONN_REPLY; /* the exchange ends with it */
        http_kill(c);
        return false;
    }
    http_advance(c);
    return true;
}

size_t http_pending(const HttpExchange *x)
{
    return x->conn ? x->conn->out_end - x->conn->out_at : 0;
}

void http_finish(HttpExchange *x)
{
    if (gone(x))
        return;
    if (x->chunked && !x->no_body)
        http_put_text(x->conn, "0\r\n\r\n");
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
