/* Feeds a fuzz target the files of a folder and mutations of them: replay DIR ROUNDS.
 *
 * Each file gives ROUNDS mutants: a few bytes flipped, set to telling values, cut out, doubled, or
 * replaced by a piece of another file. The sequence is fixed, so that a finding can be repeated;
 * the mutant that is running is kept in memory and written to `crash-mutant` if the target
 * aborts. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "base/vec.h"

enum { MAX_SIZE = 1 << 16 };

static const uint8_t *running; /* for the signal handler */
static size_t running_size;

static void on_crash(int sig)
{
    const int fd = open("crash-mutant", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd >= 0 && write(fd, running, running_size) == (ssize_t)running_size)
        (void)!write(2, "fuzz: see crash-mutant\n", 23);
    signal(sig, SIG_DFL);
    raise(sig);
}

static void feed(const uint8_t *at, size_t size)
{
    /* A copy of exactly this size, so that the sanitizer sees what reads past the end. */
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (size > 0)
        memcpy(copy, at, size);
    running = copy;
    running_size = size;
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

typedef struct Random {
    uint64_t state;
} Random;

static size_t below(Random *r, size_t n) /* [0, n), n > 0 */
{
    r->state = hash_mix(r->state, 0x632be59bd9b4e019);
    return (size_t)(r->state >> 16) % n;
}

/* `resize`: may change the size, which formats with lengths inside seldom survive. */
static size_t mutate_once(Random *r, uint8_t *at, size_t size, const File *other, bool resize)
{
    static const uint8_t telling[] = {0,   1,   0x7f, 0x80, 0xff, '\n', '"',
                                      '[', ']', '(',  ')',  '-',  '9',  ' '};
    if (size == 0)
        return 0;
    const size_t i = below(r, size), n = 1 + below(r, size - i < 32 ? size - i : 32);
    switch (below(r, resize ? 6 : 4)) {
    case 0:
        at[i] ^= (uint8_t)(1u << below(r, 8));
        return size;
    case 1:
        at[i] = telling[below(r, sizeof telling)];
        return size;
    case 2:
        at[i] = (uint8_t)(at[i] + 1);
        return size;
    case 3: /* a piece of another */
        if (other->size > 0) {
            const size_t from = below(r, other->size), most = other->size - from;
            memcpy(at + i, other->at + from, n < most ? n : most);
        }
        return size;
    case 4: /* cut out */
        memmove(at + i, at + i + n, size - i - n);
        return size - n;
    default: /* double */
        if (size + n > MAX_SIZE)
            return size;
        memmove(at + i + n, at + i, size - i);
        return size + n;
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s DIR ROUNDS\n", argv[0]);
        return 2;
    }
    signal(SIGSEGV, on_crash);
    signal(SIGABRT, on_crash);
    signal(SIGFPE, on_crash);
    signal(SIGALRM, on_crash);
    Arena *a = arena_new();
    VEC(File) files = {0};
    DIR *dir = opendir(argv[1]);
    for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
        File f;
        if (d->d_name[0] != '.' && file_read(a, path_join(a, argv[1], d->d_name), &f, NULL) == 0)
            vec_push(a, &files, f);
    }
    if (dir != NULL)
        closedir(dir);
    long fed = 0;
    uint8_t *mutant = arena_array(a, MAX_SIZE, 1);
    for (int k = 0; k < files.len; k++) {
        const File f = files.at[k];
        feed(f.at, f.size);
        /* by content: the order of the folder is no matter */
        Random r = {hash_bytes(f.at, f.size, 1)};
        for (int round = 0; round < atoi(argv[2]) && f.size <= MAX_SIZE; round++) {
            memcpy(mutant, f.at, f.size);
            size_t size = f.size;
            const bool resize = round % 2 == 0;
            for (size_t n = 1 + below(&r, 3); n > 0; n--)
                size =
                    mutate_once(&r, mutant, size, &files.at[below(&r, (size_t)files.len)], resize);
            alarm(10);
            feed(mutant, size);
            fed++;
        }
    }
    printf("%d files, %ld mutants\n", files.len, fed);
    const bool none = files.len == 0;
    arena_free(a);
    return none ? 1 : 0;
}
