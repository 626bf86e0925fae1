/* String builder. */
#include "base/str.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for n more characters and the NUL. */
static void make_room(Str *s, size_t n)
{
    if (s->cap > s->len && n < s->cap - s->len)
        return;
    size_t cap = s->cap < 32 ? 64 : s->cap * 2;
    if (cap - s->len <= n)
        cap = s->len + n + 1;
    char *grown = arena_array(s->arena, cap, 1);
    if (s->len > 0)
        memcpy(grown, s->at, s->len);
    s->at = grown;
    s->cap = cap;
}

void str_addn(Str *s, const char *text, size_t n)
{
    make_room(s, n);
    if (n > 0)
        memcpy(s->at + s->len, text, n);
    s->len += n;
    s->at[s->len] = 0;
}

void str_add(Str *s, const char *text)
{
    str_addn(s, text, strlen(text));
}

void str_addc(Str *s, char c)
{
    str_addn(s, &c, 1);
}

void str_addf(Str *s, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(n >= 0);
    make_room(s, (size_t)n);
    vsnprintf(s->at + s->len, (size_t)n + 1, format, again);
    va_end(again);
    s->len += (size_t)n;
}

void str_add_double(Str *s, double v)
{
    if (isnan(v)) {
        str_add(s, "nan");
        return;
    }
    if (isinf(v)) {
        str_add(s, v < 0 ? "-inf" : "inf");
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        char text[40];
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (digits == 17 || strtod(text, NULL) == v) {
            str_add(s, text);
            return;
        }
    }
}

const char *str_text(Str *s)
{
    return s->at != NULL ? s->at : "";
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    const size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

void str_add_quoted(Str *s, const char *text)
{
    str_addc(s, '"');
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            str_addf(s, "\\%c", c);
        else if (c == '\n')
            str_add(s, "\\n");
        else if (c < 0x20 || c >= 0x7f)
            str_addf(s, "\\x%02x", c);
        else
            str_addc(s, (char)c);
    }
    str_addc(s, '"');
}
