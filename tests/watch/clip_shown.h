/* Which pictures of a clip (clip.h) a file shows. */
#ifndef LATHE_TESTS_WATCH_CLIP_SHOWN_H
#define LATHE_TESTS_WATCH_CLIP_SHOWN_H

#include "base/str.h"
#include "clip.h"
#include "watch/video.h"

/* Numbers of the pictures that a player shows, as "3-7 ": runs. */
static inline const char *clip_shown(Arena *a, const char *path)
{
    Str out = str_new(a);
    Video *v;
    VideoFrame f;
    Error e;
    int first = -1, last = -2;
    int64_t t = 0;
    if (video_open(path, &(VideoOptions){0}, &v, &e) != 0)
        FAIL_MSG("%s", e.message);
    while (video_sample(v, t, &f, &e) > 0) {
        const int n = clip_number(&f.picture);
        if (n != last + 1) {
            if (first >= 0)
                str_addf(&out, "%d-%d ", first, last);
            first = n;
        }
        last = n;
        t = f.t + 1;
    }
    assert_int_equal(video_counts(v).errors, 0);
    video_close(v);
    str_addf(&out, "%d-%d ", first, last);
    return str_text(&out);
}

#endif
