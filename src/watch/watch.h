/* A watch: which parts of a picture are looked at, what is read from them, and what counts as an
 * event.
 *
 *     region (where) -> signal (which number, text or label, per sample) -> event (rule over time)
 *
 * Made by config.h from one YAML file, read-only afterwards, shared by all streams that use it;
 * everything lives in one arena. Lists are in the order of the file; ids are indices. Durations
 * are microseconds: nothing is counted in frames. */
#ifndef LATHE_WATCH_WATCH_H
#define LATHE_WATCH_WATCH_H

#include "watch/model_precision.h"
#include "watch/observation.h"
#include "watch/spotlight.h"

struct Rule; /* rule.h */

#define EVENT_MAX_DATA 16     /* values in the record of an event */
#define EVENT_MAX_LIMIT 10000 /* starts that `limit` counts */

typedef struct Place { /* in a file, for messages */
    int line, column; /* from 1 */
} Place;

typedef struct Region {
    const char *name;
    Box box;
} Region;

typedef enum SignalKind {
    SIGNAL_TEXT,
    SIGNAL_ICON,
    SIGNAL_SCREEN,
    SIGNAL_OBJECT,
    SIGNAL_CLASS,
    SIGNAL_MOTION,
    SIGNAL_POSITION,
    SIGNAL_AUDIO
} SignalKind;

/* recogniser alone; detector, then recogniser */
typedef enum TextMode { TEXT_LINE, TEXT_PAGE } TextMode;
typedef enum TextType { TEXT_STRING, TEXT_INT, TEXT_FLOAT } TextType;

/* Readings that do not fit what came before. A value that moves faster than allowed is held back as
 * a candidate; once `rebaseline_after` candidates agree with each other by the same limits, they
 * are the new base. Infinity: no limit. */
typedef struct Guard {
    bool given;
    double max_up_per_s, max_down_per_s;
    int rebaseline_after;
    const struct Rule *reset_on; /* true: the next reading is taken as it is. NULL: never */
} Guard;

typedef struct TextSignal {
    TextMode mode;
    TextType type;
    const char *charset;  /* characters the recogniser may give; NULL: all of its own */
    double min_confidence;
    /* PCRE2; the first group, or all of the match, is the value. NULL: the whole text */
    const char *parse;
    void *pattern;        /* of `parse`, compiled: pcre2_code */
    double min, max;      /* of numbers; readings outside are unknown */
    /* the value that most of the last `vote` readings gave; 1: each as it is */
    int vote;
    int64_t vote_within;
    Guard guard;
} TextSignal;

typedef enum PictureFit {
    FIT_CENTRE, /* whole, in the middle, the rest filled */
    FIT_CORNER, /* whole, at the top left: the picture is filled up to a square, and that is resized
                 */
    FIT_STRETCH, /* to the input's size, whatever its shape */
    FIT_CROP     /* the middle, as much as has the input's shape */
} PictureFit;

typedef struct PictureInput { /* what a model is shown */
    PictureFit fit;
    int width, height; /* 0: as the model says */
    int fill;          /* 0 to 255 */
    bool bgr;
    /* by channel as the model has them: (value - mean) / scale, of 0..255 */
    double mean[3], scale[3];
} PictureInput;

typedef enum IconMethod { ICON_NCC, ICON_EMBED } IconMethod;

typedef struct Reference { /* a picture file that something is compared with */
    const char *path, *label; /* label: of screens; else NULL */
} Reference;

typedef struct IconSignal {
    IconMethod method;
    int nref, nscale;
    const Reference *ref;
    const double *scale;  /* sizes of the template, 1: as it is at the reference size */
    bool mask;            /* transparent pixels of the template do not count */
    double on, off;       /* hysteresis of the score */
    /* of ICON_EMBED */
    int nother;
    /* what it is not: the score has to lead by `margin` before the best of them */
    const Reference *other;
    double margin;
    /* a value inside the model; NULL: its output, of the default model the layer that is meant */
    const char *output;
    PictureInput input;
} IconSignal;

typedef enum ScreenMethod {
    SCREEN_VIEW, /* correlation of small gray views: the default */
    SCREEN_HASH, /* bits that perceptual hashes share (kernel/picture_hash.h): coarser, and blind to
                    brightness */
    SCREEN_EMBED /* a model's inner layer */
} ScreenMethod;

typedef struct ScreenSignal {
    ScreenMethod method;
    int nref;
    const Reference *ref;
    double unknown_below; /* score of the best */
    double margin;        /* by which it has to lead before the next label */
    const char *output;   /* of SCREEN_EMBED, as of icons */
    PictureInput input;
} ScreenSignal;

typedef struct Area { /* a polygon: of a map, or of the reference picture */
    const char *name;
    int npoint;
    const double *xy; /* (npoint, 2) */
} Area;

typedef struct ObjectSignal { /* also of SIGNAL_CLASS, without tracking */
    PictureInput input;
    const char *names;        /* file of labels; NULL: the model's metadata */
    int nlabel;
    const char *const *label; /* with * as a wild card; none: all */
    double min_score;
    /* overlap of boxes that are one object: in a picture, and from one to the next */
    double iou;
    bool by_class;            /* in a picture: only if of one class */
    int narea;
    const Area *area;         /* reference pixels */
    /* a track is confirmed after being seen for so long, and forgotten after being away so long */
    int64_t confirm, lost;
} ObjectSignal;

typedef struct MotionSignal {
    double threshold; /* levels of luma a pixel must change, 0 to 255 */
    double min_area;  /* share of the region that must */
} MotionSignal;

typedef struct PositionSignal {
    int nref, nrotation;
    const Reference *ref;
    double on;
    /* x' = map[0] x + map[1] y + map[2], y' = map[3] x + map[4] y + map[5]; from pixels of the
     * region */
    double map[6];
    int narea;
    const Area *area;
} PositionSignal;

typedef struct AudioSignal {
    double on, off;
    int64_t min_on, min_off;
} AudioSignal;

typedef struct Signal {
    const char *name;
    Place place;
    SignalKind kind;
    int region;        /* -1: the whole frame */
    const char *model; /* ONNX file; NULL: the default of its kind, or none */
    /* a value is reused while its region does not change, so long at most; 0: never */
    int64_t max_age;
    union {
        TextSignal text;
        IconSignal icon;
        ScreenSignal screen;
        ObjectSignal object;
        MotionSignal motion;
        PositionSignal position;
        AudioSignal audio;
    };
} Signal;

typedef struct Window { /* n of the last m samples that are not unknown */
    int n, m;
} Window;

typedef struct EventRule {
    const char *name;
    Place place;
    const struct Rule *when;   /* what has to be true */
    const struct Rule *within; /* counts only while this is true; NULL: always */
    /* signal whose objects or lines have an event each; -1: one event for the stream */
    int each;
    bool point;                /* one record where it begins, no end */
    Window confirm, release;
    /* duration: a shorter one is dropped, a longer one ended ("max"). 0: none */
    int64_t min, max;
    int64_t cooldown;          /* after an end, before the next start */
    int64_t merge;             /* a start so soon after an end carries the same event on */
    int limit;                 /* at most so many starts .. ; 0: no limit */
    int64_t limit_per;         /* .. in so long */
    int severity;
    int ndata;
    const struct Rule *const *data; /* written into the record, under its text */
    struct {                   /* a part of the video worth showing (highlight.h) */
        bool given;
        int64_t pre, post;     /* before its start, behind its end */
        double weight;
    } clip;
    struct { /* sample more densely once it is pending; 0: at the watch's max_fps */
        double fps;
        int64_t span;
    } recheck;
} EventRule;

typedef struct Anchor { /* a picture that stands still in the reference picture */
    const char *path;
    double x, y;       /* its top left */
} Anchor;

typedef struct Align { /* align.h */
    int nanchor;       /* 0: the reference picture is the whole frame */
    const Anchor *anchor;
    double search;     /* reference pixels each way */
    double least, most; /* scale */
    double on;         /* score of an anchor that is there */
    int64_t every, hold;
} Align;

typedef struct SpotlightRule { /* how its streams compete for being shown (spotlight.h) */
    const struct Rule *score;   /* a number */
    const struct Rule *require; /* what has to be true; NULL: nothing */
    SpotlightBy by;
} SpotlightRule;

/* NEWEST and EVERY are one as long as a stream waits for its rules: no sample of the grid is left
 * out. */
typedef enum SamplePolicy { SAMPLE_NEWEST, SAMPLE_EVERY, SAMPLE_KEYFRAMES } SamplePolicy;

typedef struct Watch {
    const char *name, *path, *dir; /* dir: of the file, where other files' names start */
    int width, height;             /* reference size */
    /* samples a second while nothing happens, and while something may */
    double fps, max_fps;
    SamplePolicy policy;
    int64_t gap;                   /* a silence longer than this is unknown, not false */
    /* references are names as they are written, with wild cards (config_read_names) */
    bool names;
    Align align;
    const char *recogniser, *detector; /* models of text; NULL: those of the search path */
    ModelPrecision precision;          /* of all models but those of sound */
    int nregion, nsignal, nevent;
    const Region *region;
    const Signal *signal;
    const EventRule *event;
    const SpotlightRule *spotlight; /* NULL: its streams do not compete */
} Watch;

int watch_find_signal(const Watch *w, const char *name); /* -1: none */
int watch_find_event(const Watch *w, const char *name);
/* Pictures that a signal compares with: how many. */
int signal_references(const Signal *s, const Reference **out);
const char *signal_kind_name(SignalKind k);

#endif
