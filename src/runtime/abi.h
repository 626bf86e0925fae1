/* The kernel ABI: what generated code and the runtime agree on.
 *
 * A kernel phase is `int phase(env, bufs, syms, scratch, begin, end)`: it computes the values
 * [begin, end) of the phase's parallel loop. Phases of one kernel that advance in steps together
 * are called for step 0, all of them in turn, then for step 1, and so on. It imports nothing and
 * keeps no state. System V x86-64 calling convention on every operating system. Returns 0 (a
 * negative ErrorCode is reserved). bufs[] and scratch are 64-byte aligned. */
#ifndef LATHE_RUNTIME_ABI_H
#define LATHE_RUNTIME_ABI_H

#include <stdint.h>

#define KERNEL_ABI_VERSION 2

typedef struct KernelEnv { /* what kernels may need to ask */
    uint32_t abi_version;
    uint32_t worker;
    int64_t step; /* of phases that advance in steps */
} KernelEnv;

#if defined(__x86_64__) && !defined(_WIN32)
#define KERNEL_CALL
#else
#define KERNEL_CALL __attribute__((sysv_abi))
#endif

#define KERNEL_ENV_STEP 8 /* byte offset of `step` */

typedef int(KERNEL_CALL *KernelPhase)(const KernelEnv *env, void *const *bufs, const int64_t *syms,
                                      void *scratch, int64_t begin, int64_t end);

#endif
