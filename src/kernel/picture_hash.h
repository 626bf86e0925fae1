/* A perceptual hash: 64 bits that stay nearly the same while a picture is scaled, compressed,
 * brightened or drawn over a little, and that differ in half of their places between unlike
 * pictures. Of 32x32 gray levels the discrete cosine transform (DCT-II) in integers; bit v * 8 + u
 * says whether the coefficient of u waves across and v down is above the median of the 63 but the
 * first (which is the mean, and always 0). */
#ifndef LATHE_KERNEL_PICTURE_HASH_H
#define LATHE_KERNEL_PICTURE_HASH_H

#include <stdbool.h>
#include <stdint.h>

#define PICTURE_HASH_SIDE 32

typedef struct PictureHash {
    uint64_t bits;
    bool flat; /* one colour, but for 2 levels of noise: the bits mean nothing */
} PictureHash;

/* gray: (PICTURE_HASH_SIDE, PICTURE_HASH_SIDE), as frame_to_tensor makes it with FRAME_AREA. */
PictureHash picture_hash(const uint8_t *gray);
/* bits that differ, 0 to 64: about 10 are the same picture, 32 any other */
int picture_hash_distance(uint64_t a, uint64_t b);

#endif
