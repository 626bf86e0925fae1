/* Runs the golden tests of a folder: golden [--update] DIR [NAME...]. See golden.h. */
#include "golden.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/vec.h"

typedef struct Verb {
    const char *name;
    GoldenVerb *run;
} Verb;

static const Verb verbs[] = {
#define VERB(name) {#name, golden_##name},
#include "golden.def"
#undef VERB
};

typedef struct Case {
    GoldenCase shown;        /* what the verb sees */
    const Verb *verb;
    const char *error;       /* expected part of the message; NULL: none */
    const char *head;        /* the file up to and with the line `---` */
    const char *expected;
    Str out;
} Case;

/* If `line` starts with the key, what follows it up to the end of the line; else NULL. */
static const char *header(Arena *a, const char *line, const char *key)
{
    if (!str_starts(line, key))
        return NULL;
    line += strlen(key);
    line += strspn(line, " ");
    return arena_strndup(a, line, strcspn(line, "\n"));
}

static const char *next_line(const char *at)
{
    at += strcspn(at, "\n");
    return *at == '\n' ? at + 1 : at;
}

/* Splits the file; false with a message if it is not a golden test. */
static bool split(Arena *a, const char *file, const char *text, Case *c)
{
    const char *run = header(a, text, "# run:"), *at = next_line(text);
    if (run == NULL) {
        printf("%s: the first line is not `# run: VERB`\n", file);
        return false;
    }
    const char *verb = arena_strndup(a, run, strcspn(run, " "));
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].name, verb) == 0)
            c->verb = &verbs[i];
    if (c->verb == NULL) {
        printf("%s: no verb '%s' in golden.def\n", file, verb);
        return false;
    }
    c->error = header(a, at, "# expect error:");
    if (c->error != NULL)
        at = next_line(at);
    const char *cut = at;
    while (*cut != 0 && strcmp(header(a, cut, ""), "---") != 0)
        cut = next_line(cut);
    if ((*cut == 0) != (c->error != NULL)) {
        printf("%s: needs either a line `---` or `# expect error:`\n", file);
        return false;
    }
    c->expected = next_line(cut);
    c->head = arena_strndup(a, text, (size_t)(c->expected - text));
    run += strlen(verb);
    c->shown = (GoldenCase){
        .file = file,
        .args = run + strspn(run, " "),
        .input = arena_strndup(a, at, (size_t)(cut - at)),
    };
    return true;
}

static void job(Context *ctx, void *arg)
{
    Case *c = arg;
    c->verb->run(ctx, &c->shown, &c->out);
}

static void show_difference(const Case *c, const char *got)
{
    const char *want = c->expected;
    int line = 1;
    for (;; line++) {
        const size_t n = strcspn(want, "\n"), m = strcspn(got, "\n");
        if (n != m || memcmp(want, got, n) != 0 || *want == 0 || *got == 0) {
            printf("%s: line %d of the output\n  want: %.*s\n  got:  %.*s\n", c->shown.file, line,
                   (int)n, want, (int)m, got);
            return;
        }
        want = next_line(want);
        got = next_line(got);
    }
}

static bool run_file(const char *file, bool update)
{
    Arena *a = arena_new();
    Error e = {0};
    File f;
    Case c = {.out = str_new(a)};
    bool ok = false;
    if (file_read(a, file, &f, &e) != 0) {
        printf("%s\n", e.message);
    } else if (split(a, file, (const char *)f.at, &c)) {
        const int code = job_run(a, job, &c, &e, NULL);
        const char *got = str_text(&c.out);
        if (c.error != NULL) {
            ok = code != 0 && strstr(e.message, c.error) != NULL;
            if (!ok)
                printf("%s:\n  want error: %s\n  got:        %s\n", file, c.error,
                       code != 0 ? e.message : "no error");
        } else if (code != 0) {
            printf("%s: %s\n", file, e.message);
        } else if (strcmp(got, c.expected) == 0) {
            ok = true;
        } else if (update) {
            const char *text = arena_printf(a, "%s%s", c.head, got);
            ok = file_write(file, text, strlen(text), &e) == 0;
            printf("%s: %s\n", file, ok ? "updated" : e.message);
        } else {
            show_difference(&c, got);
        }
    }
    arena_free(a);
    return ok;
}

static int by_name(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

int main(int argc, char **argv)
{
    const bool update = argc > 1 && strcmp(argv[1], "--update") == 0;
    argc -= update;
    argv += update;
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    if (dir == NULL) {
        fprintf(stderr, "usage: golden [--update] DIR [NAME...]\n");
        return 2;
    }
    Arena *a = arena_new();
    VEC(const char *) files = {0};
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        bool wanted = argc == 2 && str_ends(d->d_name, ".txt");
        for (int i = 2; i < argc; i++)
            wanted |= str_starts(d->d_name, argv[i]);
        if (wanted)
            vec_push(a, &files, path_join(a, argv[1], d->d_name));
    }
    closedir(dir);
    if (files.len > 0)
        qsort(files.at, (size_t)files.len, sizeof files.at[0], by_name);
    int failed = 0;
    for (int i = 0; i < files.len; i++)
        failed += !run_file(files.at[i], update);
    printf("golden: %d passed, %d failed\n", files.len - failed, failed);
    const bool bad = failed > 0 || files.len == 0;
    arena_free(a);
    return bad ? 1 : 0;
}
