/* Programs that a test starts: they are told things on standard input, say one line when they are
 * ready, and end with us. */
#ifndef LATHE_TESTS_CHILD_H
#define LATHE_TESTS_CHILD_H

#include <stdio.h>
#include <sys/types.h>

typedef struct Child {
    pid_t pid;
    FILE *to;       /* its standard input */
    char said[128]; /* its first line */
} Child;

/* argv ends with NULL; `folder`: where it runs, NULL: here. Ends the test if it says nothing. */
Child child_start(const char *const *argv, const char *folder);
void child_say(const Child *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void child_stop(Child *c);

#endif
