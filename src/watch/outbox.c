/* The outbox: who waits for whom. What is written is in outbox_sql.c.
 *
 * The thread that writes takes the list of adds and the acknowledgements that are there, and
 * commits both. If that fails, the acknowledgements are committed without the adds, which free
 * their rows; if that fails too they stay for the next time. */
#include "watch/outbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/heap.h"
#include "sched/clock.h"
#include "sched/cond.h"
#include "watch/outbox_sql.h"

enum { ACKS = 1024, LAZY_MS = 50, AGAIN_MS = 500, LOOK_MS = 1000 };

struct Outbox {
    char *path;
    int lock_file;        /* PATH.lock: another process is refused */
    OutboxFn added;
    void *arg;
    pthread_t thread;
    pthread_mutex_t write; /* guards writer */
    OutboxDb *writer;
    pthread_mutex_t read;  /* guards reader */
    OutboxDb *reader;
    pthread_mutex_t lock;  /* guards all that follows */
    pthread_cond_t work, settled;
    OutboxAdd *first, **last;
    OutboxAck *ack;        /* nack of ACKS, in order */
    int nack;
    /* acknowledgements so far, and how many of them were written or tried */
    int64_t said, settled_to;
    int flushing;          /* callers of outbox_flush */
    bool stop, hurry;
    int64_t look;          /* not before this, us */
    OutboxTrouble trouble;
    OutboxCounts counts;
};

void outbox_block_signals(void)
{
    static const int ours[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t others;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        sigdelset(&others, ours[i]);
    pthread_sigmask(SIG_BLOCK, &others, NULL);
}

/* ---- the file ---- */

static int take_lock(const Outbox *o, int *lock, Error *e)
{
    char name[4096];
    if ((size_t)snprintf(name, sizeof name, "%s.lock", o->path) >= sizeof name)
        return error_set(e, ERR_INVALID, "outbox %.100s..: the name is too long", o->path);
    *lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*lock < 0)
        return error_set(e, ERR_IO, "outbox %s: %s", name, strerror(errno));
    /* A lock of the process and not of the descriptor: what we fork does not go on holding it. */
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(*lock, F_SETLK, &all) == 0)
        return 0;
    const int why = errno;
    if (fcntl(*lock, F_GETLK, &all) == 0 && all.l_type != F_UNLCK)
        return error_set(e, ERR_IO, "outbox %s: process %d has it", o->path, (int)all.l_pid);
    return error_set(e, ERR_IO, "outbox %s: %s", name, strerror(why));
}

/* The lock's file may have been removed, too: then another process could have the outbox by now. */
static int keep_lock(Outbox *o, Error *e)
{
    char name[4096];
    struct stat ours, there;
    snprintf(name, sizeof name, "%s.lock", o->path);
    if (fstat(o->lock_file, &ours) == 0 && stat(name, &there) == 0 && ours.st_ino == there.st_ino)
        return 0;
    int lock = -1;
    const int code = take_lock(o, &lock, e);
    if (code == 0) {
        close(o->lock_file);
        o->lock_file = lock;
    } else if (lock >= 0) {
        close(lock);
    }
    return code;
}

/* A copy takes the name, unless somebody else has it; what is left of the old log would be taken
 * for the copy's. */
static int put_copy(Outbox *o, const char *copy, Error *e)
{
    char log[4096];
    const int code = outbox_db_copy(o->writer, copy, e);
    for (int i = 0; i < 2 && code == 0 && !file_exists(o->path); i++) {
        snprintf(log, sizeof log, "%s%s", o->path, i ? "-shm" : "-wal");
        unlink(log);
    }
    if (code == 0 && link(copy, o->path) != 0)
        return error_set(e, ERR_IO, "outbox %s: %s", o->path,
                         errno == EEXIST ? "another file stands in its place: move that away"
                                         : strerror(errno));
    return code;
}

/* Who reads and who writes stay out. What cannot be done leaves the old file in use, which works
 * without a name. */
static int renew(Outbox *o, Error *e)
{
    char copy[4096];
    OutboxDb *writer = NULL, *reader = NULL;
    snprintf(copy, sizeof copy, "%s.renewed", o->path);
    unlink(copy);
    int code = keep_lock(o, e);
    const bool put = code == 0 && (code = put_copy(o, copy, e)) == 0;
    unlink(copy);
    if (code == 0)
        code = outbox_db_open(o->path, true, &writer, e);
    if (code == 0)
        code = outbox_db_open(o->path, false, &reader, e);
    if (code != 0) {
        outbox_db_close(writer);
        if (put)
            unlink(o->path);
        return code;
    }
    outbox_db_follow(writer, o->writer);
    outbox_db_close(o->reader);
    outbox_db_close(o->writer);
    o->writer = writer;
    o->reader = reader;
    return 0;
}

/* Called and returns with the lock held. */
static void look_after_file(Outbox *o)
{
    const int64_t now = machine_now();
    if (now < o->look)
        return;
    pthread_mutex_unlock(&o->lock);
    Error e;
    pthread_mutex_lock(&o->write);
    pthread_mutex_lock(&o->read);
    const bool moved = outbox_db_moved(o->writer);
    const int code = moved ? renew(o, &e) : 0;
    pthread_mutex_unlock(&o->read);
    pthread_mutex_unlock(&o->write);
    pthread_mutex_lock(&o->lock);
    o->look = now + (code == 0 ? 0 : 1000 * LOOK_MS);
    o->trouble.displaced = code != 0;
    o->trouble.renewed += moved && code == 0;
    if (code != 0)
        snprintf(o->trouble.why, sizeof o->trouble.why, "%.250s", e.message);
}

/* ---- the thread that writes ---- */

typedef enum Work { WORK_NONE, WORK_WRITE, WORK_LOOK } Work;

/* Until there is something to write: at once for records, in a while for acknowledgements alone; or
 * to look after the file. */
static Work await_work(Outbox *o, bool failed)
{
    const int64_t lazy = machine_now() + 1000 * (failed ? AGAIN_MS : LAZY_MS),
                  look = machine_now() + 1000 * LOOK_MS;
    bool late = false;
    for (;;) {
        if (o->first != NULL || (o->stop && (o->nack == 0 || !failed || o->hurry)))
            return o->first != NULL || o->nack > 0 ? WORK_WRITE : WORK_NONE;
        if (o->nack > 0 && (late || (!failed && (o->flushing > 0 || o->nack >= ACKS / 2))))
            return WORK_WRITE;
        if (o->nack == 0 && late)
            return WORK_LOOK;
        late = !cond_wait_until(&o->work, &o->lock, o->nack == 0 ? look : lazy) &&
               (o->nack > 0 || machine_now() >= look);
    }
}

static int commit(Outbox *o, OutboxAdd *adds, int nack, Error *e)
{
    pthread_mutex_lock(&o->write);
    const int code = outbox_commit(o->writer, adds, nack, o->ack, e);
    pthread_mutex_unlock(&o->write);
    return code;
}

/* Called and returns with the lock held. */
static bool write_once(Outbox *o)
{
    look_after_file(o);
    OutboxAdd *const adds = o->first;
    const int nack = o->nack; /* those; more may come behind them meanwhile */
    o->first = NULL;
    o->last = &o->first;
    pthread_mutex_unlock(&o->lock);
    Error e;
    const int code = commit(o, adds, nack, &e);
    const bool written =
        code == 0 || (nack > 0 && adds != NULL && commit(o, NULL, nack, &(Error){0}) == 0);
    for (const OutboxAdd *a = adds; a != NULL && code == 0; a = a->next)
        for (int i = 0; i < a->n; i++)
            o->added(o->arg, a->sink[i], a->seq);
    pthread_mutex_lock(&o->lock);
    for (OutboxAdd *a = adds, *next; a != NULL; a = next) {
        next = a->next; /* who waits for it takes it away */
        a->code = code;
        a->done = true;
        *(code == 0 ? &o->counts.added : &o->counts.failed) += 1;
    }
    if (code != 0)
        snprintf(o->counts.error, sizeof o->counts.error, "%.*s", (int)sizeof o->counts.error - 1,
                 e.message);
    if (written || o->hurry) {
        memmove(o->ack, o->ack + nack, (size_t)(o->nack - nack) * sizeof *o->ack);
        o->nack -= nack;
    }
    o->settled_to = o->said - (o->nack - (written || o->hurry ? 0 : nack));
    pthread_cond_broadcast(&o->settled);
    return written;
}

static void *writing(void *arg)
{
    Outbox *const o = arg;
    bool failed = false;
    outbox_block_signals();
    pthread_mutex_lock(&o->lock);
    for (Work w; (w = await_work(o, failed)) != WORK_NONE;) {
        if (w == WORK_WRITE)
            failed = !write_once(o);
        else
            look_after_file(o);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* ---- to be written ---- */

int outbox_add(Outbox *o, int n, OutboxAdd *add, Error *e)
{
    pthread_mutex_lock(&o->lock);
    for (int i = 0; i < n; i++) {
        add[i].done = false;
        add[i].next = NULL;
        *o->last = &add[i];
        o->last = &add[i].next;
    }
    pthread_cond_signal(&o->work);
    while (n > 0 && !add[n - 1].done) /* they are taken together */
        pthread_cond_wait(&o->settled, &o->lock);
    const int code = n > 0 ? add[n - 1].code : 0;
    const int out = code == 0 ? 0 : error_set(e, code, "%s", o->counts.error);
    pthread_mutex_unlock(&o->lock);
    return out;
}

static void say(Outbox *o, const OutboxAck *ack, const atomic_bool *stop)
{
    pthread_mutex_lock(&o->lock);
    while (o->nack == ACKS && !o->hurry &&
           !atomic_load(stop)) /* told at every try, so a while later at most */
        pthread_cond_wait(&o->settled, &o->lock);
    if (o->nack < ACKS) {
        o->ack[o->nack++] = *ack;
        o->said++;
        if (o->nack == 1 || o->nack == ACKS / 2)
            pthread_cond_signal(&o->work);
    }
    pthread_mutex_unlock(&o->lock);
}

void outbox_done(Outbox *o, int sink, int64_t seq, const atomic_bool *stop)
{
    say(o, &(OutboxAck){.sink = sink, .seq = seq}, stop);
}

void outbox_dead(Outbox *o, int sink, int64_t seq, int attempts, const char *why,
                 const atomic_bool *stop)
{
    OutboxAck ack = {.dead = true, .sink = sink, .seq = seq, .attempts = attempts};
    snprintf(ack.why, sizeof ack.why, "%s", why);
    say(o, &ack, stop);
}

void outbox_flush(Outbox *o)
{
    pthread_mutex_lock(&o->lock);
    const int64_t mine = o->said;
    o->flushing++;
    pthread_cond_signal(&o->work);
    while (o->settled_to < mine && o->nack > 0)
        pthread_cond_wait(&o->settled, &o->lock);
    o->flushing--;
    pthread_mutex_unlock(&o->lock);
}

void outbox_hurry(Outbox *o)
{
    pthread_mutex_lock(&o->lock);
    o->hurry = true;
    pthread_cond_signal(&o->work);
    pthread_cond_broadcast(&o->settled);
    pthread_mutex_unlock(&o->lock);
}

/* ---- open, close ---- */

static int make_thread(Outbox *o, Error *e)
{
    pthread_mutex_init(&o->write, NULL);
    pthread_mutex_init(&o->read, NULL);
    pthread_mutex_init(&o->lock, NULL);
    cond_init(&o->work);
    pthread_cond_init(&o->settled, NULL);
    const int failed = pthread_create(&o->thread, NULL, writing, o);
    return failed ? error_set(e, ERR_MEMORY, "outbox %s: no thread: %s", o->path, strerror(failed))
                  : 0;
}

static void let_go(Outbox *o)
{
    outbox_db_close(o->reader);
    outbox_db_close(o->writer);
    if (o->lock_file >= 0)
        close(o->lock_file);
    heap_free(o->ack);
    heap_free(o->path);
    heap_free(o);
}

int outbox_open(const char *path, OutboxFn added, void *arg, Outbox **out, Error *e)
{
    Outbox *const o = heap_alloc(sizeof *o, 1);
    if (o == NULL)
        return error_set(e, ERR_MEMORY, "outbox %s: out of memory", path);
    *o = (Outbox){.lock_file = -1, .added = added, .arg = arg, .last = &o->first};
    o->path = heap_alloc(strlen(path) + 1, 1);
    o->ack = heap_alloc(ACKS * sizeof *o->ack, 8);
    int code = o->path && o->ack ? 0 : error_set(e, ERR_MEMORY, "outbox %s: out of memory", path);
    if (code == 0) {
        strcpy(o->path, path);
        code = take_lock(o, &o->lock_file, e);
    }
    if (code == 0)
        code = outbox_db_open(path, true, &o->writer, e);
    if (code == 0)
        code = outbox_db_open(path, false, &o->reader, e);
    if (code == 0)
        code = make_thread(o, e);
    if (code != 0) {
        let_go(o);
        return code;
    }
    *out = o;
    return 0;
}

void outbox_close(Outbox *o)
{
    pthread_mutex_lock(&o->lock);
    o->stop = o->hurry = true;
    pthread_cond_signal(&o->work);
    pthread_cond_broadcast(&o->settled);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    pthread_mutex_destroy(&o->write);
    pthread_mutex_destroy(&o->read);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->work);
    pthread_cond_destroy(&o->settled);
    let_go(o);
}

/* ---- at once ---- */

int outbox_sink(Outbox *o, const char *name, int *sink, Error *e)
{
    pthread_mutex_lock(&o->write);
    const int code = outbox_db_sink(o->writer, name, sink, e);
    pthread_mutex_unlock(&o->write);
    return code;
}

int outbox_rows(Outbox *o, int sink, int64_t after, int max, OutboxRow *row, int *n, Error *e)
{
    pthread_mutex_lock(&o->read);
    const int code = outbox_db_rows(o->reader, sink, after, max, row, n, e);
    pthread_mutex_unlock(&o->read);
    return code;
}

int outbox_next(Outbox *o, int sink, uint64_t key, int64_t after, int64_t last, int64_t *seq,
                Error *e)
{
    pthread_mutex_lock(&o->read);
    const int code = outbox_db_next(o->reader, sink, key, after, last, seq, e);
    pthread_mutex_unlock(&o->read);
    return code;
}

int outbox_before(Outbox *o, int sink, int64_t added, int max, OutboxRow *row, int *n, Error *e)
{
    pthread_mutex_lock(&o->read);
    const int code = outbox_db_before(o->reader, sink, added, max, row, n, e);
    pthread_mutex_unlock(&o->read);
    return code;
}

int outbox_load(Outbox *o, int64_t seq, OutboxRecord **out, Error *e)
{
    pthread_mutex_lock(&o->read);
    const int code = outbox_db_load(o->reader, seq, out, e);
    pthread_mutex_unlock(&o->read);
    return code;
}

OutboxSums outbox_sums(Outbox *o, int sink)
{
    pthread_mutex_lock(&o->read);
    const OutboxSums sums = outbox_db_sums(o->reader, sink);
    pthread_mutex_unlock(&o->read);
    return sums;
}

int64_t outbox_oldest(Outbox *o, int sink)
{
    pthread_mutex_lock(&o->read);
    const int64_t added = outbox_db_oldest(o->reader, sink);
    pthread_mutex_unlock(&o->read);
    return added;
}

OutboxTrouble outbox_trouble(Outbox *o)
{
    pthread_mutex_lock(&o->lock);
    const OutboxTrouble t = o->trouble;
    pthread_mutex_unlock(&o->lock);
    return t;
}

static int64_t size_of(const char *path, const char *tail)
{
    char name[4096];
    struct stat st;
    snprintf(name, sizeof name, "%s%s", path, tail);
    return stat(name, &st) == 0 ? st.st_size : 0;
}

OutboxCounts outbox_counts(Outbox *o, int n, const int *sink)
{
    pthread_mutex_lock(&o->lock);
    OutboxCounts c = o->counts;
    pthread_mutex_unlock(&o->lock);
    pthread_mutex_lock(&o->read);
    c.rows = outbox_db_others(o->reader, n, sink);
    pthread_mutex_unlock(&o->read);
    c.bytes = size_of(o->path, "") + size_of(o->path, "-wal");
    return c;
}
