/* Hits of a store, a line each. */
#include "tools/watch_search.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/tool.h"
#include "watch/page_parts.h"
#include "watch/store.h"

static void print_hit(const StoreHit *h)
{
    char when[32];
    struct tm local;
    const time_t seconds = h->wall / 1000000;
    localtime_r(&seconds, &local);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    printf("%s  %-12s %-7s %-14s %9.3f to %.3f s  %s\n", when, h->stream, h->kind, h->signal,
           (double)h->t_start * 1e-6, (double)h->t_end * 1e-6, h->snippet);
}

static int search(const char *path, const char *query, int limit, bool json, Error *e)
{
    Arena *const a = arena_new();
    StoreSearch *s = NULL;
    StoreHit *hit;
    int n;
    int code = store_search_open(path, &s, e);
    if (code == 0)
        code = store_search(s, a, query, limit, &hit, &n, e);
    for (int i = 0; i < n && code == 0 && !json; i++)
        print_hit(&hit[i]);
    if (code == 0 && json) {
        Str out = str_new(a);
        page_hits_json(&out, hit, n);
        fputs(str_text(&out), stdout);
    }
    store_search_close(s);
    arena_free(a);
    return code;
}

int watch_search(int argc, char **argv)
{
    Args a = args_begin(argc, argv);
    Error e = {0};
    const char *const path = args_value(&a, "--db", "seen.db");
    const int limit = (int)args_int(&a, "--limit", 20, 1, 10000);
    const bool json = args_flag(&a, "--json");
    if (!args_done(&a, 1, 1, "a query, in quotes"))
        return EXIT_ERROR;
    return search(path, a.argv[1], limit, json, &e) == 0 ? EXIT_OK : tool_fail(&e);
}
