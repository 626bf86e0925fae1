/* Generated code is run as the runtime runs it. */
#ifndef LATHE_TESTS_RUN_PHASES_H
#define LATHE_TESTS_RUN_PHASES_H

#include "check.h"

#include "codegen/codegen.h"

/* Calls all phases as the runtime does. var: values of the symbols, by variable. */
static inline void run_phases(const Loops *l, const LoadedImage *image, const Image *of,
                              void *const *bufs, const int64_t *syms, void *scratch,
                              const int64_t *var)
{
    for (int k = 0; k < l->phase.len;) {
        const int end = loops_group_end(l, k);
        const int64_t steps =
            l->phase.at[k].step ? expr_eval_int(l->x, l->phase.at[k].steps, var) : 1;
        for (int64_t t = 0; t < steps; t++) {
            for (int i = k; i < end; i++) {
                const int64_t n = expr_eval_int(l->x, l->phase.at[i].extent, var);
                const KernelEnv env = {.abi_version = KERNEL_ABI_VERSION, .step = t};
                const KernelPhase phase = image_entry(image, of->entry[i].offset);
                /* in two parts, the second first: values of the parallel loop do not depend on each
                 * other */
                assert_int_equal(phase(&env, bufs, syms, scratch, n / 2, n), 0);
                assert_int_equal(phase(&env, bufs, syms, scratch, 0, n / 2), 0);
            }
        }
        k = end;
    }
}

#endif
