/* A folder of a test. */
#include "check.h"

#include "sinks/scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sinks/records.h"

static char folder[64];

int scratch_make(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/lathe_sinks_XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

int scratch_remove(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_path(const char *name)
{
    static char path[8][256];
    static int turn;
    char *const at = path[turn++ % 8];
    snprintf(at, sizeof path[0], "%s/%s", folder, name);
    return at;
}

void scratch_certificate(const char *name)
{
    char command[1024];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
             "-subj /CN=%s -addext "
             "subjectAltName=DNS:%s -keyout %s/%s.key -out %s/%s.pem 2>/dev/null",
             name, name, folder, name, folder, name);
    assert_int_equal(system(command), 0);
}

Sinks *scratch_sinks(int n, const SinkSpec *spec)
{
    Sinks *s;
    Error e = {0};
    if (sinks_open(scratch_path("outbox"), n, spec, &s, &e) != 0)
        FAIL_MSG("%s", e.message);
    return s;
}

void scratch_add(Sinks *s, int first, int n)
{
    char text[RECORD_TEXT], name[64];
    Error e = {0};
    for (int i = first; i < first + n; i++) {
        const SinkRecord r = record_make(i, text, name);
        if (sinks_add(s, 1, &r, &e) != 0)
            FAIL_MSG("record %d: %s", i, e.message);
    }
}

SinkCounts scratch_until(Sinks *s, bool (*is_so)(const SinkCounts *c))
{
    SinkCounts c = sinks_counts(s, 0);
    for (int i = 0; i < 3000 && !is_so(&c); i++) {
        usleep(10000);
        c = sinks_counts(s, 0);
    }
    return c;
}

bool scratch_fails(const SinkCounts *c)
{
    return !c->connected && c->failures > 0;
}

bool scratch_is_empty(const SinkCounts *c)
{
    return c->waiting == 0;
}

bool scratch_has_dead(const SinkCounts *c)
{
    return c->dead > 0;
}

int scratch_arrived(Arrivals *a, int n)
{
    bool sent[RECORDS_MAX] = {0};
    int twice;
    for (int i = 0; i < n; i++)
        sent[i] = true;
    if (!arrivals_wait(a, 0, n, 60))
        print_error("not in time\n");
    const char *const wrong = arrivals_wrong(a, sent, n, &twice);
    if (wrong)
        FAIL_MSG("%s", wrong);
    return twice;
}
