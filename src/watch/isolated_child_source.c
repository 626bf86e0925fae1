/* A source in a process of its own: one connection, from its beginning to its end. */
#include <pthread.h>

#include "sched/clock.h"
#include "watch/isolated_child.h"
#include "watch/isolated_source.h"
#include "watch/url.h"

#define ALIVE_EACH 200000 /* us */

typedef struct ChildSource {
    Source *source;
    pthread_mutex_t lock; /* of the socket's way out: libav may ask from threads of its own */
    int64_t told;         /* when something was said last, us */
    const char *name;     /* of the address, as people may see it */
    bool heard;           /* the sound was told */
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
    add_outcome(&w, code, code == ERR_UNSUPPORTED ? SOURCE_BROKEN : source_failure(c->source), e);
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
    add_outcome(&w, code, code == ERR_UNSUPPORTED ? SOURCE_BROKEN : source_failure(c->source), e);
    say(c, &w);
}

/* ---- what is honest, but more than the service takes from a process: it is told why ---- */

static int check_sound(ChildSource *c, Error *e)
{
    const StreamInfo *const sound = source_sound(c->source);
    if (c->heard || !sound || wire_takes_info(sound))
        return 0;
    return error_set(e, ERR_UNSUPPORTED,
                     "%s: sound of %d channels, or its description, is more than 'isolate' hands "
                     "over",
                     c->name, sound->par->ch_layout.nb_channels);
}

static int check_packet(ChildSource *c, const Packet *p, Error *e)
{
    if (!wire_takes_packet(p->av))
        return error_set(e, ERR_UNSUPPORTED,
                         "%s: a packet of %d bytes is more than 'isolate' hands over", c->name,
                         p->av->size);
    return packet_sound(p) ? check_sound(c, e) : 0;
}

static int check_connected(ChildSource *c, Error *e)
{
    const StreamInfo *const info = source_info(c->source);
    if (!wire_takes_info(info))
        return error_set(e, ERR_UNSUPPORTED,
                         "%s: pictures of %d x %d, or their description, are more than 'isolate' "
                         "hands over",
                         c->name, info->par->width, info->par->height);
    return check_sound(c, e);
}

/* ---- packets ---- */

static bool hand_over(ChildSource *c, const Packet *p)
{
    const bool news = packet_sound(p) && !c->heard;
    c->heard |= news;
    return (!news || say_sound(c)) && say_packet(c, p);
}

static void give_packets(ChildSource *c)
{
    bool good = true;
    Packet p;
    Error e = {0};
    int code = 0;
    c->heard = source_sound(c->source) != NULL;
    while (good && (code = source_read(c->source, &p, &e)) > 0) {
        code = check_packet(c, &p, &e);
        good = code != 0 || hand_over(c, &p);
        packet_free(&p);
        if (code != 0)
            break;
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
    Arena *const a = arena_new();
    c.name = url_shown(a, url);
    int code = source_connect(c.source, &e);
    if (code == 0)
        code = check_connected(&c, &e);
    if (say_connected(&c, code, &e) && code == 0)
        give_packets(&c);
    source_close(c.source);
    arena_free(a);
    return 0;
}
