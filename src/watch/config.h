/* Watch files: YAML -> Watch.
 *
 *     watch:  {name: royale, reference_size: [1280, 720], sample: {fps: 2, max_fps: 10, policy: newest}, gap: 2s}
 *     model:  {recogniser: rec.onnx, detector: det.onnx}     # defaults of the signals
 *     align:  {anchors: [{template: corner.png, at: [16, 424]}]}
 *     region: {alive: [1180, 196, 60, 26]}                   # x, y, width, height
 *     signal: {alive: {from: text, region: alive, ...}}
 *     event:  {final_ten: {when: "alive <= 10", ...}}
 *     spotlight: {score: 100 - alive, require: "screen == 'play'"}
 *
 * Everything is checked while it is read: types, ranges, names, files, patterns, rules; a key
 * that is not known is refused. Errors name file, line and column. doc/watch.md lists the keys. */
#ifndef LATHE_WATCH_CONFIG_H
#define LATHE_WATCH_CONFIG_H

#include "watch/watch.h"

#define CONFIG_MAX_REGIONS 1024
#define CONFIG_MAX_SIGNALS 256
#define CONFIG_MAX_EVENTS 256

/* Fails the job; everything lives in its arena. */
const Watch *config_read(Context *ctx, const char *path);
/* The same, but pictures of signals need not be there: each reference is a name as it is written,
 * in the watch's folder, maybe with wild cards. For who makes them (learn.h); such a watch cannot
 * be run. */
const Watch *config_read_names(Context *ctx, const char *path);
/* config_read from memory; `path` is for messages, and names the folder of other files. */
const Watch *config_parse(Context *ctx, const char *path, const char *text, size_t size);

#endif
