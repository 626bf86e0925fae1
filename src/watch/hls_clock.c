#include "watch/hls_clock.h"

#include <libavformat/avformat.h>
#include <string.h>

#include "sched/clock.h"
#include "watch/hls_playlist.h"
#include "watch/video.h"

#define PLAYLIST_MAX (1 << 20) /* bytes */
#define FRESH 30000000         /* us for which a playlist does where it has told dates .. */
#define HOPE 600000000         /* .. and where it told none */
#define LISTS 8                /* a master playlist and some of those it names */

typedef struct Url {
    char text[2048];
} Url;

struct HlsClock {
    AVFormatContext *format;
    int (*open)(AVFormatContext *f, AVIOContext **pb, const char *url, int flags,
                AVDictionary **options);
    Url list[LISTS], segment; /* that libav opened last */
    int nlist;
    bool begins;      /* the next keyframe is the segment's first */
    Arena *arena;     /* of the playlist */
    HlsPlaylist playlist;
    int64_t read_at;  /* us, monotonic; 0: not yet */
    bool known;       /* some time of the stream, `media`, was the date `date` */
    int64_t media, date, last;
    int64_t target;
};

/* What comes before a query. */
static size_t path_length(const char *url) { return strcspn(url, "?#"); }

static bool is_playlist(const HlsClock *c, const char *url)
{
    const size_t n = path_length(url);
    return c->nlist == 0 || strcmp(url, c->list[0].text) == 0 ||
           (n >= 5 && strncmp(url + n - 5, ".m3u8", 5) == 0);
}

static void note_opened(HlsClock *c, const char *url)
{
    if (strlen(url) >= sizeof c->segment.text)
        return;
    if (!is_playlist(c, url)) {
        strcpy(c->segment.text, url);
        c->begins = true;
        return;
    }
    for (int i = 0; i < c->nlist; i++)
        if (strcmp(c->list[i].text, url) == 0)
            return;
    if (c->nlist < LISTS)
        strcpy(c->list[c->nlist++].text, url);
}

static int open_noting(AVFormatContext *f, AVIOContext **pb, const char *url, int flags,
                       AVDictionary **options)
{
    HlsClock *const c = f->opaque;
    note_opened(c, url);
    return c->open(f, pb, url, flags, options);
}

HlsClock *hls_clock_new(Arena *a, AVFormatContext *f)
{
    HlsClock *const c = arena_new_of(a, HlsClock);
    c->format = f;
    c->open = f->io_open;
    f->opaque = c;
    f->io_open = open_noting;
    return c;
}

void hls_clock_free(HlsClock *c)
{
    if (c)
        arena_free(c->arena);
}

static bool read_list(HlsClock *c, const char *url)
{
    AVIOContext *pb = NULL;
    if (avio_open2(&pb, url, AVIO_FLAG_READ, &c->format->interrupt_callback, NULL) < 0)
        return false;
    Arena *const a = arena_new();
    char *const text = arena_alloc(a, PLAYLIST_MAX + 1);
    int n = 0, got;
    while (n < PLAYLIST_MAX &&
           (got = avio_read(pb, (unsigned char *)text + n, PLAYLIST_MAX - n)) > 0)
        n += got;
    avio_closep(&pb);
    const bool good = hls_playlist_parse(c->arena, text, &c->playlist) && c->playlist.nsegment > 0;
    arena_free(a);
    return good;
}

/* The segment that was opened last, in the playlist we have; NULL: it is not in it. */
static const HlsSegment *find_segment(const HlsClock *c)
{
    const size_t size = strlen(c->segment.text);
    for (int i = c->playlist.nsegment - 1; i >= 0; i--) {
        const char *const uri = c->playlist.segment[i].uri, *const slash = strrchr(uri, '/');
        const char *const name = slash ? slash + 1 : uri;
        const size_t n = strlen(name);
        if (n <= size && strcmp(c->segment.text + size - n, name) == 0)
            return &c->playlist.segment[i];
    }
    return NULL;
}

static const HlsSegment *look_up(HlsClock *c)
{
    const int64_t now = machine_now();
    const HlsSegment *found = find_segment(c);
    if (found || (c->read_at != 0 && now - c->read_at < (c->known ? FRESH : HOPE)))
        return found;
    c->read_at = now;
    for (int i = c->nlist - 1; i >= 0 && !found; i--) {
        arena_free(c->arena);
        c->arena = arena_new();
        c->playlist = (HlsPlaylist){0};
        if (!read_list(c, c->list[i].text))
            continue;
        c->target = c->playlist.target;
        found = find_segment(c);
    }
    return found;
}

int64_t hls_clock_read(HlsClock *c, const Packet *p)
{
    if (p->pts == PACKET_NO_TIME)
        return 0;
    const bool jumped = c->known && (p->pts < c->last - 1000000 || p->pts > c->last + VIDEO_JUMP);
    c->last = p->pts;
    if (jumped) {
        c->known = false;
        c->read_at = 0;
    }
    if (c->begins && packet_key(p)) {
        const HlsSegment *const s = look_up(c);
        c->begins = false;
        if (s && s->date != HLS_NO_DATE) {
            c->known = true;
            c->media = p->pts;
            c->date = s->date;
        }
    }
    return c->known ? c->date + p->pts - c->media : 0;
}

int64_t hls_clock_target(const HlsClock *c) { return c->target; }
