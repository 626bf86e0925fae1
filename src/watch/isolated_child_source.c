/* A source in a process of its own: one connection, from its beginning to its end. */
#include <pthread.h>

#include "sched/clock.h"
#include "watch/isolated_child.h"
#include "watch/isolated_source.h"

#define ALIVE_EACH 200000 /* us */

typedef struct ChildSource {
    Source *source;
    pthread_mutex_t lock; /* of the socket's way out: libav may ask from threads of its own */
    int64_t told;         /* when something was said last, us */
} ChildSource;

static bool say(ChildSource *c, Wire *w)
{
    pthread_mutex_lock(&c->lock);
    const bool good = child_send(w);
    c->told = machine_now();
    pthread_mutex_unlock(&c->lock);
    wire_free(w);
    return good;
}

/* Waiting, but not hanging. */
static void say_alive(void *arg)
{
    ChildSource *const c = arg;
    pthread_mutex_lock(&c->lock);
    const bool due = machine_now() - c->told > ALIVE_EACH;
    pthread_mutex_unlock(&c->lock);
    Wire w = {0};
    if (!due)
        return;
    wire_begin(&w, WIRE_ALIVE);
    say(c, &w);
}

static void add_outcome(Wire *w, int code, SourceFailure failure, const Error *e)
{
    wire_int(w, code);
    wire_int(w, failure);
    wire_line(w, code != 0 ? e->message : "");
}

static bool say_connected(ChildSource *c, int code, const Error *e)
{
    Wire w = {0};
    wire_begin(&w, WIRE_CONNECTED);
    add_outcome(&w, code, source_failure(c->source), e);
    if (code == 0) {
        StreamInfo *const sound = source_sound(c->source);
        wire_int(&w, source_stored(c->source));
        wire_int(&w, source_bursts(c->source));
        wire_int(&w, source_duration(c->source));
        wire_info(&w, source_info(c->source));
        wire_int(&w, sound != NULL);
        if (sound)
            wire_info(&w, sound);
    }
    return say(c, &w);
}

static bool say_sound(ChildSource *c)
{
    Wire w = {0};
    wire_begin(&w, WIRE_SOUND);
    wire_info(&w, source_sound(c->source));
    return say(c, &w);
}

static bool say_packet(ChildSource *c, const Packet *p)
{
    Wire w = {0};
    wire_begin(&w, WIRE_PACKET);
    wire_int(&w, packet_sound(p));
    wire_int(&w, p->wall);
    wire_int(&w, p->clock);
    wire_int(&w, p->turn.swapped);
    wire_int(&w, p->turn.flip_x);
    wire_int(&w, p->turn.flip_y);
    wire_packet(&w, p->av);
    return say(c, &w);
}

static void say_end(ChildSource *c, int code, const Error *e)
{
    Wire w = {0};
    wire_begin(&w, WIRE_END);
    add_outcome(&w, code, source_failure(c->source), e);
    say(c, &w);
}

static void give_packets(ChildSource *c)
{
    bool heard = source_sound(c->source) != NULL, good = true;
    Packet p;
    Error e = {0};
    int code = 0;
    while (good && (code = source_read(c->source, &p, &e)) > 0) {
        if (packet_sound(&p) && !heard) {
            heard = true;
            good = say_sound(c);
        }
        good = good && say_packet(c, &p);
        packet_free(&p);
    }
    if (good)
        say_end(c, code, &e);
}

int child_source(void)
{
    ChildInput input = {0};
    ChildSource c = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = machine_now()};
    WireIn in;
    char url[WIRE_URL];
    SourceOptions opt;
    if (!child_receive(&input, &in) || in.kind != WIRE_CONNECT ||
        !source_options_get(&in, url, &opt))
        return 2;
    opt.stop = child_over();
    opt.waits = say_alive;
    opt.arg = &c;
    c.source = source_new(url, &opt);
    Error e = {0};
    const int code = source_connect(c.source, &e);
    if (say_connected(&c, code, &e) && code == 0)
        give_packets(&c);
    source_close(c.source);
    return 0;
}
