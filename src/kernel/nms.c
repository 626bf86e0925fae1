/* NonMaxSuppression: per batch and class, boxes from the best score down, each dropped if its IoU
 * with a box already taken is above the threshold. */
#include "kernel/host.h"
#include "kernel/order.h"

typedef struct Box {
    float x0, y0, x1, y1; /* x0 <= x1, y0 <= y1 */
} Box;

static float smaller(float a, float b)
{
    return a < b ? a : b;
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static Box box_at(const float *p, bool center)
{
    if (center) /* x, y, width, height */
        return (Box){p[0] - p[2] / 2, p[1] - p[3] / 2, p[0] + p[2] / 2, p[1] + p[3] / 2};
    return (Box){smaller(p[1], p[3]), smaller(p[0], p[2]), larger(p[1], p[3]), larger(p[0], p[2])};
}

static bool overlaps(Box a, Box b, float threshold)
{
    const float w = smaller(a.x1, b.x1) - larger(a.x0, b.x0);
    const float h = smaller(a.y1, b.y1) - larger(a.y0, b.y0);
    if (!(w > 0 && h > 0))
        return false;
    const float common = w * h;
    const float area_a = (a.x1 - a.x0) * (a.y1 - a.y0), area_b = (b.x1 - b.x0) * (b.y1 - b.y0);
    const float joined = area_a + area_b - common;
    if (!(common > 0 && area_a > 0 && area_b > 0 && joined > 0))
        return false;
    return common / joined > threshold;
}

typedef struct NmsWork {
    uint64_t *key; /* of the scores of one class, by box */
    int64_t *order, *tmp;
    int64_t *taken; /* per (batch, class): how many, then their boxes; room for N each */
    int64_t batches, classes, boxes;
} NmsWork;

static NmsWork nms_work(const HostCall *call)
{
    NmsWork w = {
        .batches = call->in[1].dim[0],
        .classes = call->in[1].dim[1],
        .boxes = call->in[0].dim[1],
    };
    if (call->scratch) {
        w.key = call->scratch;
        w.order = (int64_t *)(w.key + w.boxes);
        w.tmp = w.order + w.boxes;
        w.taken = w.tmp + w.boxes;
    }
    return w;
}

static bool score_above(const void *arg, int64_t a, int64_t b)
{
    const uint64_t *const key = arg;
    return key[a] > key[b];
}

static const HostTensor *nms_option(const HostCall *call, int k)
{
    const HostTensor *const t = &call->in[k];
    return k < call->nin && t->dtype != DT_NONE && host_elements(t) > 0 ? t : NULL;
}

/* Selects for one class; taken[0] is the count, the boxes follow. */
static void nms_class(const HostCall *call, const NmsWork *w, const float *boxes,
                      const float *scores, int64_t *taken)
{
    const HostTensor *const limit_in = nms_option(call, 2), *const iou_in = nms_option(call, 3),
                            *const score_in = nms_option(call, 4);
    const int64_t limit = limit_in ? dtype_read_int(limit_in->dtype, limit_in->data) : 0;
    const float iou = iou_in ? (float)dtype_read(iou_in->dtype, iou_in->data) : 0;
    const bool center = call->ints[0] != 0;

    int64_t n = 0;
    for (int64_t i = 0; i < w->boxes; i++) {
        if (!score_in || scores[i] > (float)dtype_read(score_in->dtype, score_in->data))
            w->order[n++] = i;
    }
    order_keys(DT_F32, scores, 0, 1, w->boxes, w->key);
    order_sort(n, w->order, w->tmp, score_above, w->key);
    taken[0] = 0;
    for (int64_t i = 0; i < n && taken[0] < limit; i++) {
        const Box box = box_at(boxes + 4 * w->order[i], center);
        bool keep = true;
        for (int64_t j = 1; j <= taken[0] && keep; j++)
            keep = !overlaps(box, box_at(boxes + 4 * taken[j], center), iou);
        if (keep)
            taken[++taken[0]] = w->order[i];
    }
}

int host_non_max_suppression(HostCall *call)
{
    const NmsWork w = nms_work(call);
    const int64_t pairs = w.batches * w.classes;
    if (call->phase == HOST_PLAN) {
        call->scratch_bytes = (size_t)(3 * w.boxes + pairs * (1 + w.boxes)) * sizeof(int64_t);
        host_shape(&call->out[0], 2, (int64_t[]){pairs * w.boxes, 3});
        return 0;
    }
    if (call->phase == HOST_SIZE) {
        int64_t count = 0;
        for (int64_t p = 0; p < pairs; p++) {
            int64_t *const taken = w.taken + p * (1 + w.boxes);
            nms_class(call, &w, (const float *)call->in[0].data + p / w.classes * w.boxes * 4,
                      (const float *)call->in[1].data + p * w.boxes, taken);
            count += taken[0];
        }
        host_shape(&call->out[0], 2, (int64_t[]){count, 3});
        return 0;
    }
    int64_t *y = call->out[0].data;
    for (int64_t p = 0; p < pairs; p++) {
        const int64_t *const taken = w.taken + p * (1 + w.boxes);
        for (int64_t j = 1; j <= taken[0]; j++) {
            *y++ = p / w.classes;
            *y++ = p % w.classes;
            *y++ = taken[j];
        }
    }
    return 0;
}
