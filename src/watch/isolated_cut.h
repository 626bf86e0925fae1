/* Cutting in a process of its own (isolated.h): what cut_parts.h does here. It is handed the file
 * that it writes, and nothing else that can be written; packets are given to it one by one, as it
 * asks for them. */
#ifndef LATHE_WATCH_ISOLATED_CUT_H
#define LATHE_WATCH_ISOLATED_CUT_H

#include "watch/cut.h"
#include "watch/isolated.h"

/* What is cut: the first number of a WIRE_CUT. */
typedef enum CutKind { CUT_OF_PACKETS, CUT_OF_FILE, CUT_OF_PARTS } CutKind;

#define CUT_PATH 4096 /* bytes of a path, or of a title */

/* As cut_packets, cut_file and cut_reel, to a file that is open; part->isolate, isolate: its
 * memory. ERR_IO: the process died, hung, computed or wrote too much. */
int isolated_cut_packets(int file, int n, const Packet *const *packet, int64_t isolate,
                         const CutPart *part, CutReport *out, Error *e);
int isolated_cut_file(int file, const char *video, const CutPart *part, CutReport *out, Error *e);
int isolated_cut_reel(int file, int n, const ReelPart *part, const char *path, int64_t isolate,
                      CutReport *out, Error *e);

#endif
