/* A playlist of HLS from the network. Segments have names, durations that are possible, and dates
 * in order within what belongs together. */
#include "fuzz.h"

#include "watch/hls_playlist.h"

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    HlsPlaylist p;
    if (!hls_playlist_parse(ctx->arena, arena_strndup(ctx->arena, (const char *)in->at, in->size),
                            &p))
        return;
    fuzz_check(p.target >= 0 && p.target <= INT64_C(1000000000000), "a target that cannot be");
    for (int i = 0; i < p.nsegment; i++) {
        const HlsSegment *const s = &p.segment[i];
        fuzz_check(s->uri[0] != '\0' && s->duration >= 0 && s->duration <= INT64_C(1000000000000),
                   "a segment that cannot be");
        if (i > 0 && p.segment[i - 1].date != HLS_NO_DATE && !s->discontinuity)
            fuzz_check(s->date != HLS_NO_DATE, "a date that does not go on");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
