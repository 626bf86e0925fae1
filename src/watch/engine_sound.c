/* The sound of a stream of an engine: taken as it comes, and waited for, if it comes after its
 * pictures, as long as a sample can. */
#include "watch/engine_parts.h"

#define PACKETS_A_STEP 64 /* are decoded at most: some milliseconds */
#define IN_VAIN 3         /* samples that waited for nothing, after which they do not, .. */
#define TRY_AGAIN 8       /* .. but each so manieth */

void sound_options(const Stream *s, LiveOptions *live)
{
    live->hear = judge_hears(s->judging.judge) != NULL;
    if (live->hear)
        live->video.sound = SOUND_NEEDED;
}

void sound_close(Stream *s) { packet_free(&s->sound.silence); }

/* A connection has no more sound, or none at all, which is told once. */
static void note_silence(Stream *s, const Packet *p)
{
    packet_free(&s->sound.silence);
    s->sound.silence = (Packet){.info = stream_info_ref(p->info)};
    s->sound.mute = s->sound.connection != p->info->connection;
    if (s->sound.mute && !s->sound.told && judge_hears(s->judging.judge)) {
        stream_tell(s, SYSTEM_MUTE, "no sound", 0);
        s->sound.told = true;
    }
}

static void note_sound(Stream *s, const Packet *p)
{
    s->sound.connection = p->info->connection;
    s->sound.mute = s->sound.told = false;
    packet_free(&s->sound.silence);
}

static void look_for_crash(Stream *s)
{
    Error e;
    const int connection = judge_crash(s->judging.judge, &e);
    if (connection != 0)
        live_crash(s->live, connection, &e);
}

bool sound_take(Stream *s, bool *stuck)
{
    Packet p;
    for (int i = 0; i < PACKETS_A_STEP; i++) {
        if (!live_sound(s->live, &p, stuck))
            return false;
        if (p.av)
            note_sound(s, &p);
        else
            note_silence(s, &p);
        judge_sound(s->judging.judge, &p);
        packet_free(&p);
        look_for_crash(s);
    }
    *stuck = false;
    return true;
}

void sound_change(Stream *s)
{
    if (s->sound.silence.info)
        judge_sound(s->judging.judge, &s->sound.silence);
    if (s->looking) /* what it looks at was heard by another judge */
        judge_listen(s->judging.judge, &s->frame.frame);
}

void sound_expect(Stream *s)
{
    const int64_t margin = 2 * s->cost > s->spec.latency / 4 ? 2 * s->cost : s->spec.latency / 4;
    const bool in_vain = s->sound.vain >= IN_VAIN && s->sound.vain % TRY_AGAIN != 0;
    s->listening = judge_hears(s->judging.judge) != NULL;
    s->sound.until = in_vain ? INT64_MIN : s->frame.arrival + s->spec.latency - margin;
}

/* Nothing is to be expected any more, or not in time. */
static bool gives_up(const Stream *s, bool stuck)
{
    if (s->spec.offline)
        return stuck || live_state(s->live, NULL) == LIVE_FAILED;
    return machine_now() >= s->sound.until;
}

void sound_listen(Stream *s)
{
    const int64_t deadline = atomic_load(&s->deadline);
    bool stuck;
    const bool more = sound_take(s, &stuck);
    if (judge_listen(s->judging.judge, &s->frame.frame)) {
        s->sound.vain = 0;
        s->listening = false;
    } else if (more) {
        engine_wake(s, deadline, 0);
    } else if (gives_up(s, stuck)) {
        s->sound.vain++;
        s->listening = false;
    } else if (!s->spec.offline) {
        engine_wake(s, deadline, s->sound.until);
    }
}
