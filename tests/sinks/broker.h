/* Servers of others, started by tests, and ways to them that can be cut. */
#ifndef LATHE_TESTS_BROKER_H
#define LATHE_TESTS_BROKER_H

#include <stdbool.h>
#include <sys/types.h>

/* A loopback port that nobody listens to. */
int port_free(void);
/* Starts a program (found by PATH, or in /usr/sbin) whose output goes to the file `log`, and waits
 * until the port answers. Fails the test if it does not. */
pid_t broker_start(int port, const char *log, const char *const *argv);
void broker_stop(pid_t pid, int signal);

/* A listener that hands on to a port, until it is cut: then connections end and new ones are
 * refused. */
typedef struct Relay Relay;
Relay *relay_start(int to);
int relay_port(const Relay *r);
void relay_cut(Relay *r);
void relay_mend(Relay *r);
/* Cut, at once mended: what was under way is gone. */
void relay_break(Relay *r);
void relay_stop(Relay *r);

#endif
