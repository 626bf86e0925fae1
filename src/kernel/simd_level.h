/* Which vectors the kernels may use: asked of the CPU once a process, as each question costs
 * microseconds on a virtual machine, more than a small picture's work. */
#ifndef LATHE_KERNEL_SIMD_LEVEL_H
#define LATHE_KERNEL_SIMD_LEVEL_H

/* simd256.h, simd512.h, simd512_vnni.h, simd512_vbmi.h; each has what the one before has */
typedef enum SimdLevel { SIMD_PLAIN, SIMD_256, SIMD_512, SIMD_512_VNNI, SIMD_512_VBMI } SimdLevel;

SimdLevel simd_level(void);

#endif
