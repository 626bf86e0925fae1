/* What the files observe*.c share. */
#ifndef LATHE_WATCH_OBSERVE_PARTS_H
#define LATHE_WATCH_OBSERVE_PARTS_H

#include <pthread.h>

#include "kernel/change.h"
#include "watch/align.h"
#include "watch/inference.h"
#include "watch/observe.h"
#include "watch/template.h"
#include "watch/text_reader.h"

#define OBSERVE_MAX_FOUND 256 /* lines or objects of one observation */

/* One signal of one observer, as its kind sees it. */
typedef struct SignalState {
    const Signal *signal;
    Box region;          /* reference pixels */
    void *kind;          /* TextState .. */
    Arena *hold;         /* what `last` points to; during a look, of the next one */
    Observation last;
    int64_t seen_at;     /* media time of `last`; INT64_MIN: none */
    ChangeSignature signature; /* of the region then */
    SignalCounts counts;
    char error[256];
    struct { /* of the look that is under way */
        bool needed, still, over;
        int code;                  /* of the kind; 0 */
        ChangeSignature signature;
        Arena *before;             /* `hold` of the last */
        Observation got;
        double seconds;
        int nasked;
        InferRequest *asked;       /* not answered yet, or for SignalOps.more */
    } now;
} SignalState;

/* A frame while it is looked at. */
typedef struct Look {
    const Frame *frame;
    int64_t t;
    const Watch *watch;
    FramePlace place;
    Observer *observer;  /* NULL: of a reference, while signals are opened */
    Arena *tmp;          /* until the end of this look */
} Look;

typedef struct SignalOps {
    bool ungated; /* what has not changed since the last look says something, too */
    int (*open)(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e);
    /* Fills *out, which is zero, with memory of s->hold. What needs a model asks it (look_ask), and
     * goes on in `more`. */
    int (*look)(const Look *l, SignalState *s, Observation *out, Error *e);
    /* All that was asked is answered: s->now.asked[0 .. nasked), all INFER_DONE. It may ask again.
     * NULL: it never asks. */
    int (*more)(const Look *l, SignalState *s, Observation *out, Error *e);
    void (*reset)(SignalState *s); /* NULL: nothing is remembered */
} SignalOps;

extern const SignalOps text_signal_ops, icon_signal_ops, position_signal_ops, screen_signal_ops,
    motion_signal_ops, object_signal_ops, class_signal_ops, audio_signal_ops;

struct Observer {
    Infer *infer;
    const Watch *watch;
    SignalState *signal;
    Aligner *align;         /* NULL: the watch has no anchors */
    void *scratch;          /* of the kernel routines */
    int64_t scratch_size;
    Look look;              /* under way; tmp NULL: none is */
    Frame frame;
    bool late;              /* it cannot be in time */
    pthread_mutex_t lock;   /* guards what follows, and is held while `ready` is called */
    pthread_cond_t answered; /* all that was asked */
    ObserverAsk ask;
    int open;               /* questions that are not answered; one more while they are posted */
    bool cancelled;
};

const SignalOps *observe_ops(SignalKind k);

/* n questions of this signal (n > 0), zero, in place of those before; who calls sets them
 * (infer_planes). They are posted once this round of all signals is done. */
InferRequest *look_ask(const Look *l, SignalState *s, int n);

/* The answer is of use up to a time, so that no compile can be waited for. */
bool look_is_urgent(const Look *l);

/* The part of the frame that lies under a box of reference pixels. */
FrameBox look_box(const Look *l, Box b);
/* Luma of a region at `width` x `height`, in l->tmp; rows without padding. */
uint8_t *look_gray(const Look *l, Box b, int width, int height);
/* Into planes of floats: B, G, R in -1 to 1, as PP-OCR's models want them. */
void look_planes(const Look *l, const FrameBox *box, int width, int height, int stride,
                 float *planes);
/* Any tensor; the filter that is right for showing `box` at this size. */
void look_tensor(const Look *l, const FrameBox *box, FrameFilter filter, const FrameTensor *t);
FrameFilter frame_filter(const FrameBox *box, int width, int height);
/* A region's size in whole reference pixels. */
int box_width(Box b);
int box_height(Box b);
/* Nothing to be said of it. */
void observe_unknown(Observation *out, const char *reason);

/* One embedder for each model, value in it, precision, and way to show it pictures. */
struct Embedder;
int host_embedder(ObserveHost *h, const char *model, const char *output, ModelPrecision precision,
                  const PictureInput *in, struct Embedder **out, Error *e);
Infer *host_infer(ObserveHost *h);
/* Models are compiled before they are needed, since nobody may wait then. */
bool host_prepares(const ObserveHost *h);
/* One reader for each pair of models and precision. */
int host_text_reader(ObserveHost *h, const char *detector, const char *recogniser,
                     ModelPrecision precision, TextReader **out, Error *e);

#endif
