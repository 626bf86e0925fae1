/* One pass over the text; a map's names are put where their numbers say. */
#include "vision/labels.h"

#include <string.h>

#include "base/vec.h"

typedef VEC(const char *) Labels;

static const char *skip_space(const char *c)
{
    return c + strspn(c, " \t\r\n");
}

/* Behind its opening quote; NULL: it has no end. A backslash takes the next character as it is. */
static const char *parse_quoted(Arena *a, const char *c, char quote, const char **out)
{
    char *const text = arena_alloc(a, strlen(c) + 1);
    size_t n = 0;
    for (; *c && *c != quote; c++) {
        if (*c == '\\' && c[1])
            c++;
        text[n++] = *c;
    }
    *out = text;
    return *c ? c + 1 : NULL;
}

static bool put(Arena *a, Labels *v, long at, const char *name)
{
    if (at < 0 || at >= LABELS_MOST)
        return false;
    while (v->len <= at)
        vec_push(a, v, "");
    v->at[at] = name;
    return true;
}

/* A number, in quotes (JSON) or without, and a colon; NULL: there is none. */
static const char *parse_number(const char *c, long *out)
{
    const char quote = *c == '"' || *c == '\'' ? *c++ : '\0';
    if (*c < '0' || *c > '9')
        return NULL;
    for (*out = 0; *c >= '0' && *c <= '9'; c++)
        *out = *out < LABELS_MOST ? *out * 10 + (*c - '0') : *out;
    if (quote && *c++ != quote)
        return NULL;
    c = skip_space(c);
    return *c == ':' ? skip_space(c + 1) : NULL;
}

/* Behind the bracket. */
static bool parse_brackets(Arena *a, const char *c, char end, Labels *out)
{
    for (c = skip_space(c); *c != end; c = skip_space(c)) {
        long at = out->len;
        const char *name;
        if (end == '}')
            c = parse_number(c, &at);
        if (!c || (*c != '\'' && *c != '"'))
            return false;
        c = parse_quoted(a, c + 1, *c, &name);
        if (!c || !put(a, out, at, name))
            return false;
        c = skip_space(c);
        if (*c == ',')
            c++;
        else if (*c != end)
            return false;
    }
    return *skip_space(c + 1) == '\0';
}

static bool parse_lines(Arena *a, const char *c, Labels *out)
{
    while (*c) {
        const size_t n = strcspn(c, "\r\n");
        if (!put(a, out, out->len, arena_strndup(a, c, n)))
            return false;
        c += n;
        c += *c == '\r' && c[1] == '\n';
        c += *c != '\0';
    }
    return true;
}

const char *const *labels_parse(Arena *a, const char *text, int *n)
{
    Labels v = {0};
    const char *const c = skip_space(text);
    const bool good = *c == '{'   ? parse_brackets(a, c + 1, '}', &v)
                      : *c == '[' ? parse_brackets(a, c + 1, ']', &v)
                                  : parse_lines(a, text, &v);
    *n = v.len;
    return good && v.len > 0 ? v.at : NULL;
}
