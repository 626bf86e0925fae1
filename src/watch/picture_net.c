/* Where the packages' models lie. */
#include "watch/picture_net.h"

#include <stdlib.h>

#include "base/file.h"

const char *net_find_model(Arena *a, const char *name, const char **looked)
{
    const char *const set = getenv("LATHE_MODELS");
    const char *const path = path_join(a, set ? set : ".models", name);
    *looked = path;
    return file_exists(path) ? path : NULL;
}
