/* A process that delivers, to be killed: deliver OUTBOX FIRST N [KIND URL]..
 *
 * Adds records FIRST..N-1, from two threads (the second those of the last key), and says the number
 * of each on a line of its own once the outbox has it. Then waits until all sinks have had all, and
 * says "end". */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sinks/records.h"

enum { SINKS = 8 };

typedef struct Adding {
    Sinks *s;
    int first, n;
    bool last_key;
} Adding;

static void *adding(void *arg)
{
    const Adding *const a = arg;
    char text[RECORD_TEXT], name[64], line[32];
    Error e;
    for (int i = a->first; i < a->n; i++) {
        if ((i % RECORD_KEYS == RECORD_KEYS - 1) != a->last_key)
            continue;
        const SinkRecord r = record_make(i, text, name);
        if (sinks_add(a->s, 1, &r, &e) != 0) {
            fprintf(stderr, "record %d: %s\n", i, e.message);
            _exit(1);
        }
        const int size = snprintf(line, sizeof line, "%d\n", i);
        if (write(1, line, (size_t)size) != size)
            _exit(1);
        usleep(300);
    }
    return NULL;
}

static SinkKind kind_of(const char *word)
{
    return strcmp(word, "jsonl") == 0 ? SINK_JSONL : strcmp(word, "webhook") == 0 ? SINK_WEBHOOK
         : strcmp(word, "mqtt") == 0 ? SINK_MQTT : SINK_NATS;
}

int main(int argc, char **argv)
{
    SinkSpec spec[SINKS];
    int n = 0;
    for (int i = 4; i + 1 < argc && n < SINKS; i += 2, n++)
        spec[n] = (SinkSpec){
            .name = argv[i], .kind = kind_of(argv[i]), .url = argv[i + 1], .timeout = 1000000};
    Sinks *s;
    Error e;
    if (argc < 4 || sinks_open(argv[1], n, spec, &s, &e) != 0) {
        fprintf(stderr, "%s\n", argc < 4 ? "arguments" : e.message);
        return 1;
    }
    Adding mine = {.s = s, .first = atoi(argv[2]), .n = atoi(argv[3])}, other = mine;
    other.last_key = true;
    pthread_t thread;
    pthread_create(&thread, NULL, adding, &other);
    adding(&mine);
    pthread_join(thread, NULL);
    for (int i = 0; i < n; i++) {
        while (sinks_counts(s, i).waiting > 0)
            usleep(1000);
        if (sinks_counts(s, i).dead > 0) {
            fprintf(stderr, "%s: %s\n", argv[4 + 2 * i], sinks_counts(s, i).error);
            return 1;
        }
    }
    sinks_close(s, 0);
    return write(1, "end\n", 4) == 4 ? 0 : 1;
}
