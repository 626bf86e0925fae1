/* Growable typed array in an arena.
 *
 *     VEC(int) v = {0};
 *     vec_push(arena, &v, 7);
 *     for (int i = 0; i < v.len; i++) use(v.at[i]);
 *
 * Growing copies; the old array stays in the arena. Ids (indices) are stable, pointers are not. */
#ifndef LATHE_BASE_VEC_H
#define LATHE_BASE_VEC_H

#include "base/arena.h"

#define VEC(T)                                                                                     \
    struct {                                                                                       \
        T *at;                                                                                     \
        int len;                                                                                   \
        int cap;                                                                                   \
    }

/* Makes room for `extra` more elements. */
#define vec_reserve(a, v, extra)                                                                   \
    ((v)->len + (extra) > (v)->cap                                                                 \
         ? (void)((v)->at = vec_grow((a), (v)->at, (v)->len, &(v)->cap, (v)->len + (extra),        \
                                     sizeof *(v)->at))                                             \
         : (void)0)
#define vec_push(a, v, x) (vec_reserve((a), (v), 1), (void)((v)->at[(v)->len++] = (x)))
#define vec_last(v) ((v)->at[(v)->len - 1])

void *vec_grow(Arena *a, void *at, int len, int *cap, int want, size_t size);

#endif
