/* PCRE2 is used without its JIT: a limit has to strike at the same step on every machine, or
 * records would depend on it. */
#include "watch/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <string.h>

#include "base/heap.h"

/* Steps of the matcher: some milliseconds. A sensible pattern takes hundreds. */
enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 1000, HEAP_LIMIT_KIB = 2048 };

static void *take(size_t size, void *arg)
{
    (void)arg;
    return heap_alloc(size, 16);
}

static void give(void *p, void *arg)
{
    (void)arg;
    heap_free(p);
}

static void free_general(void *g) { pcre2_general_context_free(g); }
static void free_code(void *code) { pcre2_code_free(code); }

static pcre2_general_context *general_new(Arena *a)
{
    pcre2_general_context *const g = pcre2_general_context_create(take, give, NULL);
    if (g)
        arena_defer(a, free_general, g);
    return g;
}

void *pattern_compile(Arena *a, const char *text, const char **why, size_t *where)
{
    int code_of_error = 0;
    PCRE2_SIZE at = 0;
    *where = 0;
    *why = "memory is out";
    if (strlen(text) > PATTERN_MAX_LENGTH) {
        *why = "a pattern of more than 2000 bytes";
        return NULL;
    }
    pcre2_general_context *const g = general_new(a);
    pcre2_compile_context *const c = g ? pcre2_compile_context_create(g) : NULL;
    if (!c)
        return NULL;
    pcre2_set_parens_nest_limit(c, 50);
    pcre2_code *const code =
        pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C,
                      &code_of_error, &at, c);
    pcre2_compile_context_free(c);
    if (code) {
        arena_defer(a, free_code, code);
        return code;
    }
    char *const message = arena_alloc(a, 200);
    pcre2_get_error_message(code_of_error, (PCRE2_UCHAR *)message, 200);
    *why = message;
    *where = at;
    return NULL;
}

struct Matcher {
    pcre2_match_context *limits;
    pcre2_match_data *data; /* all of the match and one group */
};

static void free_matcher(void *arg)
{
    Matcher *const m = arg;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->limits);
}

Matcher *matcher_new(Arena *a)
{
    Matcher *const m = arena_new_of(a, Matcher);
    pcre2_general_context *const g = general_new(a);
    if (!g)
        return m; /* every match is unknown */
    m->limits = pcre2_match_context_create(g);
    m->data = pcre2_match_data_create(2, g);
    arena_defer(a, free_matcher, m);
    if (m->limits) {
        pcre2_set_match_limit(m->limits, MATCH_LIMIT);
        pcre2_set_depth_limit(m->limits, DEPTH_LIMIT);
        pcre2_set_heap_limit(m->limits, HEAP_LIMIT_KIB);
    }
    return m;
}

int pattern_find(Matcher *m, const void *code, const char *text, Span *all, Span *group)
{
    if (!m->limits || !m->data)
        return -1;
    const int n = pcre2_match(code, (PCRE2_SPTR)text, strlen(text), 0, 0, m->data, m->limits);
    if (n == PCRE2_ERROR_NOMATCH)
        return 0;
    if (n < 0)
        return -1;
    const PCRE2_SIZE *const at = pcre2_get_ovector_pointer(m->data);
    uint32_t groups = 0;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
    /* \K in a look-ahead may put the start behind the end. */
    const Span whole = {at[0] < at[1] ? at[0] : at[1], at[1]};
    if (all)
        *all = whole;
    if (group)
        *group = groups == 0 ? whole : at[2] != PCRE2_UNSET ? (Span){at[2], at[3]} : (Span){1, 0};
    return 1;
}

/* ---- characters ---- */

size_t utf8_size(const char *text)
{
    const uint8_t *const s = (const uint8_t *)text;
    if (s[0] < 0x80)
        return s[0] != 0;
    const size_t n = s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if (s[i] >> 6 != 2)
            return 0;
    const bool too_long = (n == 2 && s[0] < 0xc2) || (n == 3 && s[0] == 0xe0 && s[1] < 0xa0) ||
                          (n == 4 && s[0] == 0xf0 && s[1] < 0x90);
    const bool no_character = (n == 3 && s[0] == 0xed && s[1] > 0x9f) || /* surrogates */
                              (n == 4 && (s[0] > 0xf4 || (s[0] == 0xf4 && s[1] > 0x8f)));
    return too_long || no_character ? 0 : n;
}

size_t text_copy(char *out, size_t size, const char *text)
{
    size_t len = 0;
    while (*text) {
        const size_t n = utf8_size(text);
        const char *const from = n > 0 ? text : "\xef\xbf\xbd";
        const size_t bytes = n > 0 ? n : 3;
        if (len + bytes >= size)
            break;
        memcpy(out + len, from, bytes);
        len += bytes;
        text += n > 0 ? n : 1;
    }
    out[len] = 0;
    return len;
}

/* One character, moved over; malformed bytes are characters of their own. */
static uint32_t next(const char **text)
{
    const uint8_t *const s = (const uint8_t *)*text;
    const size_t n = utf8_size(*text);
    *text += n > 0 ? n : 1;
    if (n <= 1)
        return n == 1 ? s[0] : 0x110000u + s[0];
    uint32_t c = s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3f);
    return c;
}

/* Lower case of Latin, Greek and Cyrillic letters, without a locale. */
static uint32_t lower(uint32_t c)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) ||
        (c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    const bool even_first =
        (c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177) || (c >= 0x460 && c <= 0x52f);
    const bool odd_first = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
    return (even_first && c % 2 == 0) || (odd_first && c % 2 == 1) ? c + 1 : c;
}

static uint32_t fold(uint32_t c)
{
    c = lower(c);
    return c == 'o' ? '0' : c == 'i' || c == 'l' ? '1' : c == 's' ? '5' : c;
}

enum { NEAR_MAX = 512 }; /* characters that are compared; what is longer is never near */

/* Folded characters; -1: too many. */
static int fold_text(const char *text, uint32_t *out)
{
    int n = 0;
    bool space = false;
    while (*text) {
        const uint32_t c = next(&text);
        if (c == ' ' || (c >= 9 && c <= 13) || c == 0xa0 || c == 0x3000) {
            space = n > 0;
            continue;
        }
        if (n + space >= NEAR_MAX)
            return -1;
        if (space)
            out[n++] = ' ';
        space = false;
        out[n++] = fold(c);
    }
    return n;
}

/* Levenshtein's distance, one row at a time, within a band of `edits` about the diagonal. */
bool text_near(const char *text, const char *want, int edits)
{
    uint32_t a[NEAR_MAX], b[NEAR_MAX];
    int row[NEAR_MAX + 1];
    const int n = fold_text(text, a), m = fold_text(want, b);
    if (n < 0 || m < 0 || n - m > edits || m - n > edits)
        return false;
    const int far = edits + 1;
    for (int j = 0; j <= m; j++)
        row[j] = j < far ? j : far;
    for (int i = 1; i <= n; i++) {
        const int low = i - edits > 1 ? i - edits : 1, high = i + edits < m ? i + edits : m;
        int diagonal = row[low - 1];
        row[low - 1] = low == 1 && i < far ? i : far;
        for (int j = low; j <= high; j++) {
            const int above = j == i + edits ? far : row[j], left = row[j - 1];
            const int best = above < left ? above : left;
            int here = diagonal + (a[i - 1] != b[j - 1]);
            if (best + 1 < here)
                here = best + 1;
            diagonal = row[j];
            row[j] = here < far ? here : far;
        }
    }
    return row[m] <= edits;
}
