/* Pieces of JSON. */
#include "watch/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watch/pattern.h"

static bool add_special(Str *out, double v)
{
    if (isfinite(v)) {
        if (v != rint(v) || fabs(v) >= 1e15)
            return false;
        /* "-0" would be read as an integer */
        str_addf(out, v == 0 && signbit(v) ? "-0.0" : "%.0f", v);
        return true;
    }
    str_add(out, isnan(v) ? "\"nan\"" : v < 0 ? "\"-inf\"" : "\"inf\"");
    return true;
}

void json_add_number(Str *out, double v)
{
    if (!add_special(out, v))
        str_add_double(out, v);
}

void json_add_float(Str *out, float v)
{
    if (add_special(out, (double)v))
        return;
    for (int digits = 1; digits <= 17; digits++) {
        char text[40];
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (digits == 17 || (float)strtod(text, NULL) == v) {
            str_add(out, text);
            return;
        }
    }
}

void json_add_seconds(Str *out, int64_t us)
{
    const uint64_t u = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    str_addf(out, "%s%llu", us < 0 ? "-" : "", (unsigned long long)(u / 1000000));
    if (u % 1000000 == 0)
        return;
    char digits[8];
    snprintf(digits, sizeof digits, "%06u", (unsigned)(u % 1000000));
    size_t n = 6;
    while (digits[n - 1] == '0')
        n--;
    str_addc(out, '.');
    str_addn(out, digits, n);
}

/* Civil date of a day since 1970-01-01, by eras of 400 years that begin in March: leap days come
 * last. */
static void civil(int64_t day, int64_t *year, int *month, int *mday)
{
    const int64_t shifted = day + 719468,
                  era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    const int64_t of_era = shifted - era * 146097;
    const int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    *mday = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

void json_add_wall(Str *out, int64_t us)
{
    const int64_t day_us = INT64_C(86400000000);
    int64_t day = us / day_us, rest = us % day_us;
    if (rest < 0) {
        rest += day_us;
        day--;
    }
    int64_t year;
    int month, mday;
    civil(day, &year, &month, &mday);
    const int s = (int)(rest / 1000000);
    str_addf(out, "\"%04lld-%02d-%02dT%02d:%02d:%02d.%06dZ\"", (long long)year, month, mday,
             s / 3600, s / 60 % 60, s % 60, (int)(rest % 1000000));
}

void json_add_box(Str *out, const Box *b)
{
    const float at[] = {b->x, b->y, b->width, b->height};
    for (int i = 0; i < 4; i++) {
        str_addc(out, i ? ',' : '[');
        json_add_float(out, at[i]);
    }
    str_addc(out, ']');
}

void json_add_string(Str *out, const char *text)
{
    if (!text) {
        str_add(out, "null");
        return;
    }
    str_addc(out, '"');
    while (*text) {
        const size_t n = utf8_size(text);
        const unsigned char c = (unsigned char)*text;
        if (n == 0)
            str_add(out, "\\ufffd");
        else if (c == '"' || c == '\\')
            str_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            str_addf(out, "\\u%04x", c);
        else
            str_addn(out, text, n);
        text += n > 0 ? n : 1;
    }
    str_addc(out, '"');
}
