/* The file that a part or a reel becomes, and who writes it. */
#include "watch/cut_output.h"
#include "watch/cut_parts.h"
#include "watch/isolated_cut.h"

int cut_packets(int n, const Packet *const *packet, const CutPart *part, CutReport *out, Error *e)
{
    const int64_t isolate = n > 0 && packet[0]->info ? packet[0]->info->isolate : 0;
    Arena *const a = arena_new();
    CutOutput o;
    *out = (CutReport){0};
    int code = cut_output_open(a, part->path, &o, e);
    if (code == 0) {
        code = isolate > 0 ? isolated_cut_packets(o.file, n, packet, isolate, part, out, e)
                           : cut_packets_to(o.file, n, packet, part, out, e);
        code = cut_output_close(&o, code, &out->bytes, e);
    }
    arena_free(a);
    return code;
}

int cut_file(const char *video, const CutPart *part, CutReport *out, Error *e)
{
    Arena *const a = arena_new();
    CutOutput o;
    *out = (CutReport){0};
    int code = cut_output_open(a, part->path, &o, e);
    if (code == 0) {
        code = part->isolate > 0 ? isolated_cut_file(o.file, video, part, out, e)
                                 : cut_file_to(o.file, video, part, out, e);
        code = cut_output_close(&o, code, &out->bytes, e);
    }
    arena_free(a);
    return code;
}

int cut_reel(int n, const ReelPart *part, const char *path, int64_t isolate, CutReport *out,
             Error *e)
{
    Arena *const a = arena_new();
    CutOutput o;
    *out = (CutReport){0};
    int code = cut_output_open(a, path, &o, e);
    if (code == 0) {
        code = isolate > 0 ? isolated_cut_reel(o.file, n, part, path, isolate, out, e)
                           : cut_reel_to(o.file, n, part, path, out, e);
        code = cut_output_close(&o, code, &out->bytes, e);
    }
    arena_free(a);
    return code;
}
