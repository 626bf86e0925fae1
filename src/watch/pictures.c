#include "watch/pictures.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/vec.h"

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static const char *file_part(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool pictures_are(const char *url)
{
    return url[strcspn(url, ":/")] != ':' &&
           (is_folder(url) || (strpbrk(file_part(url), "*?") && !file_exists(url)));
}

int pictures_compare(const char *a, const char *b)
{
    while (*a && *b) {
        if (!isdigit((unsigned char)*a) || !isdigit((unsigned char)*b)) {
            if (*a != *b)
                return (unsigned char)*a - (unsigned char)*b;
            a++;
            b++;
            continue;
        }
        const char *const x = a + strspn(a, "0"), *const y = b + strspn(b, "0");
        const size_t m = strspn(x, "0123456789"), n = strspn(y, "0123456789");
        if (m != n)
            return m < n ? -1 : 1;
        const int order = strncmp(x, y, n);
        if (order != 0)
            return order;
        if (x - a != y - b) /* 7, 07: fewer zeros first */
            return x - a < y - b ? -1 : 1;
        a = x + m;
        b = y + n;
    }
    return (unsigned char)*a - (unsigned char)*b;
}

static int by_number(const void *a, const void *b)
{
    return pictures_compare(*(const char *const *)a, *(const char *const *)b);
}

static bool is_picture(const char *name)
{
    static const char *const ending[] = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"};
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (n > strlen(ending[i]) && strcasecmp(name + n - strlen(ending[i]), ending[i]) == 0)
            return name[0] != '.';
    return false;
}

int pictures_list(Arena *a, const char *url, Pictures *out, Error *e)
{
    const bool whole = is_folder(url);
    const char *const folder = whole ? url : path_dir(a, url), *const pattern = file_part(url);
    DIR *const d = opendir(folder);
    if (!d)
        return error_set(e, ERR_IO, "%s: %s", folder, strerror(errno));
    VEC(const char *) path = {0};
    for (const struct dirent *f; (f = readdir(d));)
        if (whole ? is_picture(f->d_name) : fnmatch(pattern, f->d_name, FNM_PERIOD) == 0)
            vec_push(a, &path, path_join(a, folder, f->d_name));
    closedir(d);
    if (path.len == 0)
        return error_set(e, ERR_INVALID, whole ? "%s: no picture in it" : "%s: no such pictures",
                         url);
    qsort(path.at, (size_t)path.len, sizeof *path.at, by_number);
    *out = (Pictures){path.len, path.at};
    return 0;
}
