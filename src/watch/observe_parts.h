/* What the files observe*.c share. */
#ifndef LATHE_WATCH_OBSERVE_PARTS_H
#define LATHE_WATCH_OBSERVE_PARTS_H

#include "kernel/change.h"
#include "watch/observe.h"
#include "watch/template.h"
#include "watch/text_reader.h"

#define OBSERVE_MAX_FOUND 256 /* lines or objects of one observation */

/* One signal of one observer, as its kind sees it. */
typedef struct SignalState {
    const Signal *signal;
    Box region;          /* reference pixels */
    void *kind;          /* TextState .. */
    Arena *hold;         /* what `last` points to */
    Observation last;
    int64_t seen_at;     /* media time of `last`; INT64_MIN: none */
    ChangeSignature signature; /* of the region then */
    SignalCounts counts;
    char error[256];
} SignalState;

/* A frame while it is looked at. */
typedef struct Look {
    const Frame *frame;
    const Watch *watch;
    Observer *observer;
    Arena *tmp;          /* until the end of this look */
} Look;

typedef struct SignalOps {
    bool ungated; /* what has not changed since the last look says something, too */
    int (*open)(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e);
    /* Fills *out, which is zero, with memory of s->hold. */
    int (*look)(const Look *l, SignalState *s, Observation *out, Error *e);
    void (*reset)(SignalState *s); /* NULL: nothing is remembered */
} SignalOps;

extern const SignalOps text_signal_ops, icon_signal_ops, position_signal_ops, screen_signal_ops, motion_signal_ops,
    object_signal_ops;

/* The part of the frame that lies under a box of reference pixels. */
FrameBox look_box(const Look *l, Box b);
/* Luma of a region at `width` x `height`, in l->tmp; rows without padding. */
uint8_t *look_gray(const Look *l, Box b, int width, int height);
/* Into planes of floats: B, G, R in -1 to 1, as PP-OCR's models want them. */
void look_planes(const Look *l, const FrameBox *box, int width, int height, int stride, float *planes);
/* Any tensor; the filter that is right for showing `box` at this size. */
void look_tensor(const Look *l, const FrameBox *box, FrameFilter filter, const FrameTensor *t);
FrameFilter frame_filter(const FrameBox *box, int width, int height);
/* A region's size in whole reference pixels. */
int box_width(Box b);
int box_height(Box b);
/* Nothing to be said of it. */
void observe_unknown(Observation *out, const char *reason);

/* One net for each file. */
int host_net(ObserveHost *h, const char *path, Net **out, Error *e);
/* One reader for each pair of models. */
int host_text_reader(ObserveHost *h, const char *detector, const char *recogniser, TextReader **out, Error *e);

#endif
