#include "live/child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void run(const char *const *argv, const char *folder, int in, int out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in, 0);
    dup2(out, 1);
    if (folder && chdir(folder) != 0)
        _exit(126);
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

Child child_start(const char *const *argv, const char *folder)
{
    Child c = {0};
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        abort();
    c.pid = fork();
    if (c.pid == 0)
        run(argv, folder, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    c.to = fdopen(in[1], "w");
    FILE *const from = fdopen(out[0], "r");
    if (!fgets(c.said, sizeof c.said, from)) {
        fprintf(stderr, "%s does not start\n", argv[0]);
        abort();
    }
    c.said[strcspn(c.said, "\n")] = 0;
    fclose(from);
    return c;
}

void child_say(const Child *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(c->to, format, args);
    va_end(args);
    fputc('\n', c->to);
    fflush(c->to);
}

void child_stop(Child *c)
{
    if (c->pid <= 0)
        return;
    fclose(c->to);
    kill(c->pid, SIGTERM);
    waitpid(c->pid, NULL, 0);
    *c = (Child){0};
}
