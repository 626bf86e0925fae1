/* How each op runs: stages (S), kernel routine (K) or control flow (C). Everything that can be
 * written as stages must be, so the few that are not are named here, each for its reason. */
#include "check.h"

#include <stdio.h>

#include "graph/graph.h"
#include "kernel/host.h"
#include "op/op.h"

/* Results whose size depends on data, sorting, and boxes whose bounds depend on data. */
static const char *const routines[] = {"TopK",     "NonZero",  "NonMaxSuppression", "Unique",
                                       "Compress", "RoiAlign", "MaxRoiPool"};
static const char *const control[] = {"If", "Loop", "Scan"};

static bool listed(const char *const *list, size_t n, const char *name)
{
    for (size_t k = 0; k < n; k++) {
        if (strcmp(list[k], name) == 0) {
            return true;
        }
    }
    return false;
}

static char wanted_class(const char *onnx)
{
    if (listed(routines, sizeof routines / sizeof *routines, onnx)) {
        return 'K';
    }
    return listed(control, sizeof control / sizeof *control, onnx) ? 'C' : 'S';
}

/* The list of all ops with their class; and how many there are of those that are not stages, since
 * a name that is no op would otherwise pass. */
static void test_classes(void **state)
{
    (void)state;
    size_t nroutine = 0, ncontrol = 0;
    for (int k = 0; k < OP_COUNT; k++) {
        const OpRow *row = &op_rows[k];
        printf("%c %s\n", row->class, row->onnx);
        if (row->class != wanted_class(row->onnx)) {
            FAIL_MSG("%s is of class %c, not %c", row->onnx, row->class, wanted_class(row->onnx));
        }
        nroutine += row->class == 'K';
        ncontrol += row->class == 'C';
    }
    assert_int_equal(nroutine, sizeof routines / sizeof *routines);
    assert_int_equal(ncontrol, sizeof control / sizeof *control);
}

/* The class tells the truth: exactly the ops of class S are defined in stages, exactly those of
 * class K have a routine. Constant is a value, which the importer makes of it; nothing remains to
 * run. */
static void test_definitions(void **state)
{
    (void)state;
    for (int k = 0; k < OP_COUNT; k++) {
        const bool stages = op_rows[k].class == 'S' && k != OP_CONSTANT;
        if (op_has_define((OpCode)k) != stages) {
            FAIL_MSG("%s is of class %c and has %s definition", op_rows[k].onnx, op_rows[k].class,
                     stages ? "no" : "a");
        }
        if ((host_find(op_rows[k].name) != NULL) != (op_rows[k].class == 'K')) {
            FAIL_MSG("%s is of class %c: routine", op_rows[k].onnx, op_rows[k].class);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_definitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
