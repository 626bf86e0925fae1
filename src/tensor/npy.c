/* NumPy's .npy: magic, version, length of the header, a Python dict literal, the elements.
 *
 *     \x93NUMPY 01 00 76 00 {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n
 *
 * Types NumPy does not know are written as the narrowest it has that holds their values: bf16,
 * fp8 and fp4 as f4, 4- and 2-bit integers as one byte. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "tensor/tensor.h"

typedef struct NpyType {
    DType t;
    const char *code;
} NpyType;

static const NpyType npy_types[] = {
    {DT_F32, "f4"}, {DT_F64, "f8"}, {DT_F16, "f2"}, {DT_BOOL, "b1"}, {DT_I8, "i1"},
    {DT_I16, "i2"}, {DT_I32, "i4"}, {DT_I64, "i8"}, {DT_U8, "u1"},   {DT_U16, "u2"},
    {DT_U32, "u4"}, {DT_U64, "u8"},
};

typedef struct NpyHeader {
    DType t;
    bool big_endian, fortran;
    int rank;
    int64_t dim[MAX_RANK];
} NpyHeader;

static DType type_of_code(const char *code)
{
    for (size_t i = 0; i < sizeof npy_types / sizeof npy_types[0]; i++)
        if (strcmp(npy_types[i].code, code) == 0)
            return npy_types[i].t;
    return DT_NONE;
}

/* The text after 'key': in the header, or NULL. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (at == NULL)
        return NULL;
    at += strlen(key);
    while (*at == ' ' || *at == ':')
        at++;
    return at;
}

static bool parse_shape(const char *at, NpyHeader *h)
{
    if (*at++ != '(')
        return false;
    for (;;) {
        while (*at == ' ' || *at == ',')
            at++;
        if (*at == ')')
            return true;
        if (!isdigit((unsigned char)*at) || h->rank == MAX_RANK)
            return false;
        char *end;
        errno = 0;
        h->dim[h->rank++] = strtoll(at, &end, 10);
        if (errno != 0)
            return false;
        at = *end == 'L' ? end + 1 : end;
    }
}

/* What the file says, up to `end`, without what a terminal would obey. */
static void printable(char *out, size_t size, const char *text, char end)
{
    size_t n = 0;
    for (; *text && *text != end && n + 1 < size; text++)
        out[n++] = isprint((unsigned char)*text) ? *text : '?';
    out[n] = 0;
}

static int bad_type(const char *path, const char *descr, Error *e)
{
    char shown[24];
    if (descr[0] != '\'')
        return error_set(e, ERR_UNSUPPORTED, "%s: elements that are structures are not supported",
                         path);
    printable(shown, sizeof shown, descr + 1, '\'');
    return error_set(e, ERR_UNSUPPORTED, "%s: element type '%s' is not supported", path, shown);
}

static int parse_header(const char *path, const char *text, NpyHeader *h, Error *e)
{
    const char *descr = value_of(text, "'descr'");
    const char *order = value_of(text, "'fortran_order'");
    const char *shape = value_of(text, "'shape'");
    if (descr == NULL || order == NULL || shape == NULL || !parse_shape(shape, h)) {
        char shown[200];
        printable(shown, sizeof shown, text, '\n');
        return error_set(e, ERR_INVALID, "%s: the .npy header is malformed: %s", path, shown);
    }
    h->fortran = str_starts(order, "True");
    if (descr[0] != '\'' || descr[1] == 0 || strchr("<>|=", descr[1]) == NULL || strlen(descr) < 5)
        return bad_type(path, descr, e);
    h->big_endian = descr[1] == '>';
    const char code[3] = {descr[2], descr[3], 0};
    h->t = descr[4] == '\'' ? type_of_code(code) : DT_NONE;
    if (h->t == DT_NONE)
        return bad_type(path, descr, e);
    return 0;
}

/* Copies one element, its bytes reversed if they are big endian. */
static void copy_element(char *to, const char *from, int size, bool reverse)
{
    for (int i = 0; i < size; i++)
        to[i] = from[reverse ? size - 1 - i : i];
}

static void copy_elements(Tensor *t, const NpyHeader *h, const char *from)
{
    const int size = dtype_size(t->dtype);
    if (!h->fortran && !h->big_endian) {
        memcpy(t->data, from, t->bytes);
        return;
    }
    int64_t index[MAX_RANK] = {0};
    const int64_t n = tensor_elements(t);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i;
        if (h->fortran) {
            at = 0;
            for (int a = t->rank - 1; a >= 0; a--)
                at = at * t->dim[a] + index[a];
            for (int a = t->rank - 1; a >= 0 && ++index[a] == t->dim[a]; a--)
                index[a] = 0;
        }
        copy_element((char *)t->data + i * size, from + at * size, size, h->big_endian);
    }
}

static int read_into(Arena *a, const char *path, Tensor **out, Error *e)
{
    File f;
    const int code = file_map(a, path, &f, e);
    if (code != 0)
        return code;
    if (f.size < 10 || memcmp(f.at, "\x93NUMPY", 6) != 0 || f.at[6] < 1 || f.at[6] > 3)
        return error_set(e, ERR_INVALID, "%s: not a .npy file of version 1 to 3", path);
    size_t start = 10, len = f.at[8] | (size_t)f.at[9] << 8;
    if (f.at[6] > 1) {
        start = 12;
        if (f.size < start)
            return error_set(e, ERR_INVALID, "%s: truncated", path);
        len |= (size_t)f.at[10] << 16 | (size_t)f.at[11] << 24;
    }
    if (len > f.size - start || len > 1 << 20)
        return error_set(e, ERR_INVALID, "%s: truncated", path);
    NpyHeader h = {0};
    const int bad = parse_header(path, arena_strndup(a, (const char *)f.at + start, len), &h, e);
    if (bad != 0)
        return bad;

    /* Against the file before the memory is taken: a header may claim anything. */
    size_t want = (size_t)dtype_size(h.t);
    bool fits = true;
    for (int i = 0; i < h.rank; i++)
        fits &= !__builtin_mul_overflow(want, (size_t)h.dim[i], &want);
    if (!fits || want > f.size - start - len)
        return error_set(e, ERR_INVALID, "%s: the file is shorter than its shape says", path);
    Tensor *t = tensor_new(h.t, h.rank, h.dim, e);
    if (t == NULL)
        return ERR_MEMORY;
    copy_elements(t, &h, (const char *)f.at + start + len);
    *out = t;
    return 0;
}

int npy_read(const char *path, Tensor **out, Error *e)
{
    Arena *a = arena_new();
    const int code = read_into(a, path, out, e);
    arena_free(a);
    return code;
}

static DType written_as(DType t)
{
    if (dtype_is_float(t))
        return t == DT_F16 || t == DT_F64 ? t : DT_F32;
    if (dtype_is_int(t) && dtype_bits(t) < 8)
        return dtype_is_signed(t) ? DT_I8 : DT_U8;
    return t;
}

int npy_write(const char *path, const Tensor *t, Error *e)
{
    const DType as = written_as(t->dtype);
    const char *code = NULL;
    for (size_t i = 0; i < sizeof npy_types / sizeof npy_types[0]; i++)
        if (npy_types[i].t == as)
            code = npy_types[i].code;
    if (code == NULL || !layout_is_plain(&t->layout))
        return error_set(e, ERR_UNSUPPORTED, "%s: a tensor of %s cannot be written as .npy", path,
                         dtype_name(t->dtype));
    Arena *a = arena_new();
    Str s = str_new(a);
    str_addn(&s, "\x93NUMPY\x01\x00\x00\x00", 10);
    str_addf(&s, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
             dtype_size(as) == 1 ? '|' : '<', code);
    for (int i = 0; i < t->rank; i++)
        str_addf(&s, "%lld%s", (long long)t->dim[i],
                 i + 1 < t->rank ? ", "
                 : t->rank == 1  ? ","
                                 : "");
    str_add(&s, "), }");
    while ((s.len + 1) % 64 != 0)
        str_addc(&s, ' ');
    str_addc(&s, '\n');
    const size_t len = s.len - 10;
    s.at[8] = (char)(len & 0xff);
    s.at[9] = (char)(len >> 8);
    if (as == t->dtype) {
        str_addn(&s, t->data, t->bytes);
    } else {
        const int64_t n = tensor_elements(t);
        for (int64_t i = 0; i < n; i++) {
            char x[8];
            dtype_write(as, x,
                        dtype_read(t->dtype, (const char *)t->data + i * dtype_size(t->dtype)),
                        false);
            str_addn(&s, x, (size_t)dtype_size(as));
        }
    }
    const int result = file_write(path, str_text(&s), s.len, e);
    arena_free(a);
    return result;
}
