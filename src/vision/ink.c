/* One histogram for the median, another for the contrast. */
#include "vision/ink.h"

#include <stdlib.h>

/* Least level with at least `count` pixels at or below it. */
static int level_of(const int histogram[256], int count)
{
    int sum = 0, level = 0;
    while (level < 255 && (sum += histogram[level]) < count)
        level++;
    return level;
}

bool ink_find(const uint8_t *luma, int width, int height, InkBox *out)
{
    const int n = width * height;
    int histogram[256] = {0}, contrast[256] = {0};
    for (int i = 0; i < n; i++)
        histogram[luma[i]]++;
    const int background = level_of(histogram, (n + 1) / 2);
    for (int i = 0; i < n; i++)
        contrast[abs(luma[i] - background)]++;
    const int most = level_of(contrast, n - n / 200); /* a half per cent may be specks */
    if (most < INK_MIN_CONTRAST)
        return false;
    *out = (InkBox){width, height, 0, 0};
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            if (abs(luma[y * width + x] - background) <= most / 2)
                continue;
            out->x0 = x < out->x0 ? x : out->x0;
            out->x1 = x + 1 > out->x1 ? x + 1 : out->x1;
            out->y0 = y < out->y0 ? y : out->y0;
            out->y1 = y + 1;
        }
    return true;
}
