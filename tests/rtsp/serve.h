/* The RTSP server for a test: it ends with the test, also with one that fails. */
#ifndef LATHE_TESTS_RTSP_SERVE_H
#define LATHE_TESTS_RTSP_SERVE_H

#include "live/child.h"

#define RTSP_MOST 30 /* options, with their values */
#define RTSP_OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* `said` is its address. options end with NULL. */
static inline Child rtsp_serve(const char *film, const char *const *option)
{
    const char *argv[RTSP_MOST + 3] = {RTSP_SERVER, film};
    for (int i = 0; i < RTSP_MOST && option[i]; i++)
        argv[2 + i] = option[i];
    return child_start(argv, NULL);
}

/* fault NULL: none */
static inline Child rtsp_serve_fault(const char *film, const char *fault)
{
    return rtsp_serve(film, RTSP_OPTIONS(fault ? "--fault" : NULL, fault));
}

#endif
