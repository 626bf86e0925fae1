/* What the files infer*.c share. */
#ifndef LATHE_WATCH_INFER_PARTS_H
#define LATHE_WATCH_INFER_PARTS_H

#include <pthread.h>

#include "base/vec.h"
#include "watch/inference.h"

typedef enum ModuleState { MODULE_NEW, MODULE_COMPILING, MODULE_READY, MODULE_FAILED } ModuleState;

typedef struct InferModule { /* a model, compiled for a size */
    InferModel *model;
    int height, width;   /* width 0: all */
    ModuleState state;
    int max;             /* largest batch */
    Module *module;
    /* [nworker + 1], made when first used; the last is of those who are no worker */
    Run **run;
    int code;            /* MODULE_FAILED, and why */
    char error[200];
    double seconds;      /* compiling took */
    /* it was compiled by a thread of its own, which somebody has to wait for */
    bool has_thread;
    pthread_t thread;
} InferModule;

typedef struct InferClass InferClass;

typedef enum SlotState { SLOT_FREE, SLOT_QUEUED, SLOT_RUNS } SlotState;

typedef struct InferSlot { /* one worker's part in a class */
    Task task;           /* first: workers know it by this */
    InferClass *of;
    SlotState state;
} InferSlot;

struct InferClass { /* requests of one model and size */
    InferModel *model;
    InferModule *module;
    int height, width;
    BatchProfile profile;
    Batcher *batcher;
    InferSlot *slot;     /* [nworker] */
};

struct InferModel {
    Infer *infer;
    const char *path, *input; /* name of its input */
    InferShapes shapes;
    bool open_batch;
    int height, width;   /* of its input; 0: open */
    VEC(InferModule *) module;
};

struct Infer {
    const NetHost *nets;
    Workers *workers;    /* NULL: none */
    int nworker;
    Arena *arena;        /* of all below */
    /* guards all fields of models, modules, classes but a module's `module` and `run` once it is
     * ready */
    pthread_mutex_t lock;
    pthread_cond_t ready; /* a module's state changed */
    pthread_mutex_t compiling; /* held by who compiles: one at a time */
    /* held by who runs what he waits for, though there are workers: one at a time */
    pthread_mutex_t waiting;
    VEC(InferModel *) model;
    VEC(InferClass *) class;
};

/* ---- infer_module.c ---- */

/* Compiles and tries it with pictures of this size; sets what it learns, but neither state nor
 * error. Not under the lock. */
int infer_module_compile(InferModule *m, int height, int width, Error *e);
/* n requests of one class, by the run `index`; sets their results. */
int infer_module_execute(InferModule *m, int index, int n, InferRequest *const *q, Error *e);
void infer_module_free(InferModule *m);

#endif
