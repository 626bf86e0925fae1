#include "watch/hls_playlist.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/vec.h"

int64_t hls_date(const char *text)
{
    struct tm t = {0};
    double seconds = 0;
    int used = 0;
    if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%lf%n", &t.tm_year, &t.tm_mon, &t.tm_mday,
               &t.tm_hour, &t.tm_min, &seconds, &used) != 6 ||
        t.tm_mon < 1 || t.tm_mon > 12 || t.tm_mday < 1 || t.tm_mday > 31 || t.tm_hour > 24 ||
        t.tm_min > 59 || !(seconds >= 0 && seconds < 61) || t.tm_hour < 0 || t.tm_min < 0 ||
        t.tm_year < 1970)
        return HLS_NO_DATE;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    int64_t at = (int64_t)timegm(&t) * 1000000 + llrint(seconds * 1e6);
    const char *const zone = text + used;
    int hours = 0, minutes = 0;
    if (zone[0] == '+' || zone[0] == '-') {
        if (sscanf(zone + 1, "%2d:%2d", &hours, &minutes) < 1)
            return HLS_NO_DATE;
        if (zone[1] && zone[2] && zone[3] != ':')
            sscanf(zone + 3, "%2d", &minutes);
        at -= (zone[0] == '-' ? -1 : 1) * (hours * 60 + minutes) * INT64_C(60000000);
    }
    return at;
}

/* What follows the name of a tag; NULL: it is another one. */
static const char *tag(const char *line, const char *name)
{
    const size_t n = strlen(name);
    return strncmp(line, name, n) == 0 ? line + n : NULL;
}

static int64_t in_us(const char *seconds)
{
    const double v = strtod(seconds, NULL);
    return v > 0 && v < 1e6 ? llrint(v * 1e6) : 0;
}

/* Dates that are not told follow from those beside. */
static void spread_dates(HlsPlaylist *p)
{
    HlsSegment *const s = p->segment;
    for (int i = 1; i < p->nsegment; i++)
        if (s[i].date == HLS_NO_DATE && s[i - 1].date != HLS_NO_DATE && !s[i].discontinuity)
            s[i].date = s[i - 1].date + s[i - 1].duration;
    for (int i = p->nsegment - 2; i >= 0; i--)
        if (s[i].date == HLS_NO_DATE && s[i + 1].date != HLS_NO_DATE && !s[i + 1].discontinuity)
            s[i].date = s[i + 1].date - s[i].duration;
}

bool hls_playlist_parse(Arena *a, const char *text, HlsPlaylist *out)
{
    *out = (HlsPlaylist){0};
    if (!tag(text, "#EXTM3U"))
        return false;
    VEC(HlsSegment) segment = {0};
    HlsSegment next = {.date = HLS_NO_DATE};
    bool variant = false;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *value;
        if ((value = tag(line, "#EXTINF:")))
            next.duration = in_us(value);
        else if ((value = tag(line, "#EXT-X-PROGRAM-DATE-TIME:")))
            next.date = hls_date(value);
        else if ((value = tag(line, "#EXT-X-TARGETDURATION:")))
            out->target = in_us(value);
        else if (tag(line, "#EXT-X-DISCONTINUITY") && !tag(line, "#EXT-X-DISCONTINUITY-"))
            next.discontinuity = true;
        else if (tag(line, "#EXT-X-ENDLIST"))
            out->ended = true;
        else if (tag(line, "#EXT-X-STREAM-INF"))
            variant = true;
        const size_t n = strcspn(line, "\r\n");
        if (line[0] == '#' || n == 0)
            continue;
        if (!variant) {
            next.uri = arena_strndup(a, line, n);
            vec_push(a, &segment, next);
        }
        variant = false;
        next = (HlsSegment){.date = HLS_NO_DATE};
    }
    out->nsegment = segment.len;
    out->segment = segment.at;
    spread_dates(out);
    return true;
}
