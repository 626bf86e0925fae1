/* Diagnostics to stderr, off by default. LATHE_LOG=1 (steps) or 2 (details). */
#ifndef LATHE_BASE_LOG_H
#define LATHE_BASE_LOG_H

int log_level(void);
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
