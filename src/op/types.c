/* The types of inputs against the column `types` of graph/op.def, which tells the letters. */
#include "op/types.h"

#include <string.h>

static const char *const classes[][2] = {
    {"FGH", "floating point"},
    {"NM", "a number"},
    {"PQR", "an 8-bit type"},
    {"BD", "an 8-bit type"},
    {"T", "a type with elements"},
    {"IJ", "i32 or i64"},
    {"L", "i64"},
    {"W", "i32"},
    {"S", "f32"},
};

static bool fits(char letter, DType t)
{
    switch (letter) {
    case 'F':
    case 'G':
    case 'H':
        return dtype_is_float(t) && dtype_bits(t) >= 16;
    case 'N':
    case 'M':
        return dtype_is_int(t) || dtype_is_float(t);
    case 'P':
    case 'Q':
    case 'R':
        return (dtype_is_int(t) || dtype_is_float(t)) && dtype_bits(t) == 8;
    case 'B':
    case 'D':
        return t == DT_I16 || fits('P', t);
    case 'T':
        return dtype_size(t) > 0;
    case 'I':
    case 'J':
        return t == DT_I32 || t == DT_I64;
    case 'L':
        return t == DT_I64;
    case 'W':
        return t == DT_I32;
    case 'S':
        return t == DT_F32;
    default:
        return true;
    }
}

static const char *class_text(char letter)
{
    for (size_t k = 0; k < sizeof classes / sizeof *classes; k++)
        if (strchr(classes[k][0], letter))
            return classes[k][1];
    return "another type";
}

void types_check(const Infer *f)
{
    const char *row = op_rows[f->node->op].types;
    int first[128]; /* input that set the letter's type, from 1 */
    memset(first, 0, sizeof first);
    for (int k = 0; *row && k < f->node->nin; k++) {
        const char letter = *row;
        row += row[1] != '\0';
        const Value *v = infer_in(f, k);
        if (!v || letter == '.')
            continue;
        if (!fits(letter, v->dtype))
            infer_fail(f, "input %d is %s, it must be %s", k, dtype_name(v->dtype),
                       class_text(letter));
        int *const seen = &first[(int)letter];
        if (*seen && infer_in(f, *seen - 1)->dtype != v->dtype)
            infer_fail(f, "inputs %d and %d differ in type", *seen - 1, k);
        *seen = *seen ? *seen : k + 1;
    }
}
