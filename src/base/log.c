/* Diagnostics. The environment is read at each call: it is one short look-up, and calls are
 * rare. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int log_level(void)
{
    const char *v = getenv("LATHE_LOG");
    return v != NULL ? atoi(v) : 0;
}

void log_line(int level, const char *format, ...)
{
    if (level > log_level())
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "lathe: %s\n", line); /* one call: lines of several threads stay whole */
}
