/* Inside frame_simd.h: bilinear rows whose outputs lie near each other. The neighbours of each are
 * picked out of the plane's rows as bytes before either step: what no output needs is never made
 * wider, and nothing is stored in between.
 *
 *     lane l of a vector: x[first], x[first + 1] of outputs 8l .. 8l+7, bytes
 *     its lower half, widened: 8l .. 8l+3      its upper half: 8l+4 .. 8l+7      packed: in order
 *
 * A row shorter than what is loaded at once, and outputs too far apart, are left to the two steps
 * of frame_simd.h. */

enum { NEAR_PARTS = 4 }; /* loads that make a lane, at most */

typedef struct Near { /* WIDE outputs */
    int32_t offset[NEAR_PARTS][LANES];
    uint8_t mask[NEAR_PARTS][16 * LANES];
    int16_t weight[2][WIDE];
} Near;
/* what frame_shuffle_bytes has for 32 outputs */
static_assert(sizeof(Near) * (32 / WIDE) <= 2 * (8 * 4 + 8 * 16 + 16 * 4), "scratch of Near");

static Near *near_of(const FrameAxis *x)
{
    return (Near *)((char *)x->shuffle + 64);
}

/* Element of output i, after the last one the last one's. */
static int output_at(const FrameAxis *x, int i)
{
    return x->first[i < x->count ? i : x->count - 1] - x->lo;
}

/* Bytes from the first neighbour of `each` outputs to the last one's. */
static int near_reach(const FrameAxis *x, int output, int each)
{
    const int elements = output_at(x, output + each - 1) - output_at(x, output) + 1;
    return elements * x->step + 1;
}

/* How a vector of pairs is made: a permutation of so many bytes, or so many loads a lane. */
typedef enum NearWay {
    NEAR_NONE,
    NEAR_LOADS_1 = 1,
    NEAR_LOADS_2 = 2,
    NEAR_LOADS_4 = NEAR_PARTS,
    NEAR_BYTES_1 = WIDE * 2, /* of one vector, of two */
    NEAR_BYTES_2 = WIDE * 4
} NearWay;

/* Do all `each` outputs that begin at a multiple of it reach no farther than so many bytes? */
static bool near_within(const FrameAxis *x, int each, int bytes)
{
    int i = 0;
    while (i < x->count && near_reach(x, i, each) <= bytes)
        i += each;
    return i >= x->count;
}

static NearWay near_way(const FrameAxis *x, int bytes)
{
#ifdef v_bytes
    static const NearWay permuted[] = {NEAR_BYTES_1, NEAR_BYTES_2};
    for (int k = 0; k < 2; k++)
        if (bytes >= (int)permuted[k] && near_within(x, WIDE, (int)permuted[k]))
            return permuted[k];
#endif
    for (int parts = 1; parts <= NEAR_PARTS; parts *= 2)
        if (bytes >= 16 && near_within(x, 8 / parts, 16))
            return (NearWay)parts;
    return NEAR_NONE;
}

/* Bytes that outputs from `output` on are picked from, none behind the row; their places among
 * them. */
static int32_t fill_picks(const FrameAxis *x, int output, int count, int load, uint8_t *mask)
{
    const int last = (x->hi - x->lo - 1) * x->step + 1 - load;
    const int first = output_at(x, output) * x->step, start = first < last ? first : last;
    for (int k = 0; k < count; k++)
        for (int side = 0; side < 2; side++) {
            const int at = (output_at(x, output + k) + side) * x->step - start;
            mask[2 * k + side] = at < load ? (uint8_t)at : 0x80; /* of weight 0 */
        }
    return start;
}

static void fill_near(const FrameAxis *x, Near *q, int output, NearWay way)
{
    if (way > NEAR_LOADS_4)
        q->offset[0][0] = fill_picks(x, output, WIDE, (int)way, q->mask[0]);
    const int parts = way > NEAR_LOADS_4 ? 0 : (int)way, each = parts ? 8 / parts : 0;
    if (parts)
        memset(q->mask, 0x80, sizeof q->mask);
    for (int lane = 0; lane < LANES; lane++)
        for (int part = 0; part < parts; part++)
            q->offset[part][lane] = fill_picks(x, output + 8 * lane + part * each, each, 16,
                                               q->mask[part] + 16 * lane + 2 * part * each);
    for (int k = 0; k < WIDE; k++) {
        const int16_t w = x->weight[output + k < x->count ? output + k : x->count - 1];
        int16_t *const to = &q->weight[k / 4 % 2][k / 8 * 8 + k % 4 * 2];
        to[0] = (int16_t)(FRAME_LINEAR - w);
        to[1] = w;
    }
}

static bool prepare_near(const FrameAxis *x)
{
    if (!x->step)
        return false;
    const NearWay way = near_way(x, (x->hi - x->lo - 1) * x->step + 1);
    *(NearWay *)x->shuffle = way;
    for (int i = 0; way && i < x->count; i += WIDE)
        fill_near(x, near_of(x) + i / WIDE, i, way);
    return way != NEAR_NONE;
}

#define FRAME_BOTH 18 /* bits of FRAME_LINEAR * FRAME_FINE */

/* What a sum of products begins with, so that `rounded` rounds. */
INLINE V half(void)
{
    return v_set32(1 << (FRAME_BOTH - 1));
}

INLINE V rounded(V sum)
{
    return v_sra32(sum, FRAME_BOTH);
}

INLINE V near_pairs(const Near *q, const uint8_t *p, NearWay way)
{
#ifdef v_bytes
    if (way == NEAR_BYTES_1)
        return v_bytes(p + q->offset[0][0], v_load(q->mask[0]));
    if (way == NEAR_BYTES_2)
        return v_bytes2(p + q->offset[0][0], v_load(q->mask[0]));
#endif
    V all = v_shuffle8(v_lanes(p, q->offset[0], 1), v_load(q->mask[0]));
    for (int k = 1; k < (int)way; k++)
        all = v_or(all, v_shuffle8(v_lanes(p, q->offset[k], 1), v_load(q->mask[k])));
    return all;
}

/* As vertical_bilinear has it. */
INLINE V near_between(V a, V b, V w)
{
    return v_add16(v_sll16(a, 7), v_mulhrs16(v_sll16(v_sub16(b, a), 7), w));
}

INLINE V near_at(const Near *q, const uint8_t *p, ptrdiff_t stride, bool two, V w, NearWay way)
{
    const V zero = v_zero(), a = near_pairs(q, p, way);
    V lo = v_lo8(a, zero), hi = v_hi8(a, zero);
    if (two) {
        const V b = near_pairs(q, p + stride, way);
        lo = near_between(lo, v_lo8(b, zero), w);
        hi = near_between(hi, v_hi8(b, zero), w);
    } else {
        lo = v_sll16(lo, 7);
        hi = v_sll16(hi, 7);
    }
    return v_packs32(rounded(v_dot16(half(), lo, v_load(q->weight[0]))),
                     rounded(v_dot16(half(), hi, v_load(q->weight[1]))));
}

INLINE void near_row(const FrameSource *s, const FrameAxis *x, int weight, bool two, NearWay way,
                     int16_t *out)
{
    const Near *q = near_of(x);
    const V w = v_set16(weight * (32768 / FRAME_LINEAR));
    for (int i = 0; i < x->count; i += WIDE, q++)
        v_store(out + i, near_at(q, s->row + s->component, s->stride, two, w, way));
}

INLINE void near_rows(const FrameSource *s, const FrameAxis *x, int weight, NearWay way,
                      int16_t *out)
{
    if (weight)
        near_row(s, x, weight, true, way, out);
    else
        near_row(s, x, 0, false, way, out);
}

/* The next row's lines: see bilinear_at. */
INLINE void fetch_rows(const FrameSource *s, int bytes, bool two)
{
    for (int i = 0; i < bytes; i += 64) {
        fetch(s->row + s->ahead + i);
        if (two)
            fetch(s->row + s->ahead + s->stride + i);
    }
}

static TARGET void bilinear(const FrameSource *s, const FrameAxis *x, int weight, int16_t *out)
{
    fetch_rows(s, s->n * x->step, weight);
    switch (*(const NearWay *)x->shuffle) {
#ifdef v_bytes
    case NEAR_BYTES_1:
        near_rows(s, x, weight, NEAR_BYTES_1, out);
        break;
    case NEAR_BYTES_2:
        near_rows(s, x, weight, NEAR_BYTES_2, out);
        break;
#endif
    case NEAR_LOADS_1:
        near_rows(s, x, weight, NEAR_LOADS_1, out);
        break;
    case NEAR_LOADS_2:
        near_rows(s, x, weight, NEAR_LOADS_2, out);
        break;
    default:
        near_rows(s, x, weight, NEAR_LOADS_4, out);
    }
}
