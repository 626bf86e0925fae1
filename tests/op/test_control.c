/* If, Loop and Scan: shapes that inference finds, folding, and what they compute. */
#include "op/run_node.h"

#include "op/control.h"

static void set_blocks(NodeTest *t, NodeId id, int n, const int *block)
{
    t->g->node.at[id].nblock = n;
    for (int k = 0; k < n; k++)
        t->g->node.at[id].block[k] = block[k];
}

static void block_output(NodeTest *t, int block, ValueId v)
{
    vec_push(t->arena, &t->g->block.at[block].output, v);
}

static ValueId block_input(NodeTest *t, int block)
{
    const ValueId v = graph_value(t->g, "b", DT_NONE, -1, NULL);
    vec_push(t->arena, &t->g->block.at[block].input, v);
    return v;
}

static ValueId node1(NodeTest *t, int block, OpCode op, int nin, const ValueId *in)
{
    const NodeId id = graph_node(t->g, block, op, "inner", nin, in, 1, NULL);
    return t->g->node.at[id].out[0];
}

static const Value *value_of_output(const NodeTest *t, int k)
{
    return &t->g->value.at[t->g->block.at[0].output.at[k]];
}

/* if (cond) { x + x } else { concat(x, x) }: x f32[2] */
static NodeTest make_if(int known, bool cond, bool other_rank)
{
    NodeTest t = node_test_new();
    const float x[] = {1, 2};
    const uint8_t c = cond;
    if (known)
        node_const(&t, DT_BOOL, 0, NULL, &c);
    else
        node_input(&t, DT_BOOL, 0, NULL, &c);
    const ValueId v = node_input(&t, DT_F32, 1, DIMS(2), x);
    const int blocks[2] = {graph_block(t.g), graph_block(t.g)};
    block_output(&t, blocks[0], node1(&t, blocks[0], OP_ADD, 2, (const ValueId[]){v, v}));
    ValueId other;
    if (other_rank) {
        const int64_t shape[] = {2, 1};
        const ValueId s = graph_const_ints(t.g, "shape", 2, shape);
        other = node1(&t, blocks[1], OP_RESHAPE, 2, (const ValueId[]){v, s});
    } else {
        other = node1(&t, blocks[1], OP_CONCAT, 2, (const ValueId[]){v, v});
        node_set_int(t.g, t.g->value.at[other].producer, "axis", 0);
    }
    block_output(&t, blocks[1], other);
    t.nin = 1;
    set_blocks(&t, node_make(&t, OP_IF, 1), 2, blocks);
    return t;
}

static void test_if(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++)
        for (int cond = 0; cond < 2; cond++) {
            NodeTest t = make_if(known, cond, false);
            node_run(&t);
            assert_int_equal(tensor_elements(t.out[0]), cond ? 2 : 4);
            assert_float_equal(node_float_at(&t, 0, 1), cond ? 4 : 2, 0);
            int64_t dim;
            assert_int_equal(expr_is_int(t.g->x, value_of_output(&t, 0)->dim[0], &dim), known);
            /* A known If is gone: the branch and an Identity stand in its place. */
            assert_int_equal(t.g->block.at[0].node.len, known ? 2 : 1);
            for (int k = 0; k < t.g->block.at[0].node.len && known; k++)
                assert_int_not_equal(t.g->node.at[t.g->block.at[0].node.at[k]].op, OP_IF);
            node_test_free(&t);
        }
}

static void test_if_rank(void **state)
{
    (void)state;
    NodeTest t = make_if(false, true, true);
    assert_int_equal(node_try(&t), ERR_NEED_VALUE);
    assert_non_null(strstr(t.error.message, "condition"));
    node_test_free(&t);
    t = make_if(true, false, true);
    node_run(&t);
    assert_int_equal(t.out[0]->rank, 2);
    node_test_free(&t);
}

/* Loop over i < m while the sum is below a limit: sum += x; list = concat(list, sum);
 * collected: sum * sum. */
static void check_loop(int64_t m, float limit, bool m_known, bool counted, bool conditional)
{
    NodeTest t = node_test_new();
    const uint8_t yes = 1;
    const float start[] = {0}, step = 2;
    if (!counted)
        node_absent(&t);
    else if (m_known)
        node_const(&t, DT_I64, 0, NULL, &m);
    else
        node_input(&t, DT_I64, 0, NULL, &m);
    if (conditional)
        node_const(&t, DT_BOOL, 0, NULL, &yes);
    else
        node_absent(&t);
    node_input(&t, DT_F32, 1, DIMS(1), start);
    node_input(&t, DT_F32, 1, DIMS(1), start);
    const ValueId captured = node_input(&t, DT_F32, 0, NULL, &step);
    const ValueId bound = graph_const_scalar(t.g, "limit", DT_F32, (double)limit);
    const int body = graph_block(t.g);
    block_input(&t, body);
    block_input(&t, body);
    const ValueId sum = block_input(&t, body), list = block_input(&t, body);
    const ValueId next = node1(&t, body, OP_ADD, 2, (const ValueId[]){sum, captured});
    const ValueId longer = node1(&t, body, OP_CONCAT, 2, (const ValueId[]){list, next});
    node_set_int(t.g, t.g->value.at[longer].producer, "axis", 0);
    const ValueId square = node1(&t, body, OP_MUL, 2, (const ValueId[]){next, next});
    const ValueId less = node1(&t, body, OP_LESS, 2, (const ValueId[]){next, bound});
    const ValueId empty = graph_const_ints(t.g, "empty", 0, NULL);
    const ValueId go = node1(&t, body, OP_RESHAPE, 2, (const ValueId[]){less, empty});
    block_output(&t, body, go);
    block_output(&t, body, next);
    block_output(&t, body, longer);
    block_output(&t, body, square);
    t.nin = 4;
    set_blocks(&t, node_make(&t, OP_LOOP, 3), 1, &body);
    node_run(&t);

    float sum_want = 0;
    int64_t trips = 0;
    for (bool on = true; (!counted || trips < m) && on; trips++) {
        sum_want += step;
        on = !conditional || sum_want < limit;
    }
    assert_float_equal(node_float_at(&t, 0, 0), sum_want, 0);
    assert_int_equal(t.out[1]->dim[0], trips + 1);
    for (int64_t i = 0; i <= trips; i++)
        assert_float_equal(node_float_at(&t, 1, i), 2 * (double)i, 0);
    assert_int_equal(t.out[2]->rank, 2);
    assert_int_equal(t.out[2]->dim[0], trips);
    assert_int_equal(t.out[2]->dim[1], 1);
    for (int64_t i = 0; i < trips; i++)
        assert_float_equal(node_float_at(&t, 2, i), 4 * (double)(i + 1) * (double)(i + 1), 0);
    int64_t dim;
    assert_int_equal(expr_is_int(t.g->x, value_of_output(&t, 2)->dim[0], &dim),
                     m_known && counted && !conditional);
    node_test_free(&t);
}

static void test_loop(void **state)
{
    (void)state;
    check_loop(5, 100, true, true, false);
    check_loop(5, 100, false, true, false);
    check_loop(5, 5, true, true, true);
    check_loop(0, 5, false, true, true);
    check_loop(0, 7, true, false, true);
}

/* The iteration number slices: y[i] = x[i:i+1], collected. */
static void test_loop_slice(void **state)
{
    (void)state;
    NodeTest t = node_test_new();
    const int64_t trips = 3;
    const float x[] = {5, 6, 7};
    node_const(&t, DT_I64, 0, NULL, &trips);
    node_absent(&t);
    const ValueId v = node_input(&t, DT_F32, 1, DIMS(3), x);
    const int body = graph_block(t.g);
    const ValueId i = block_input(&t, body), go = block_input(&t, body);
    const int64_t one = 1, zero = 0;
    const ValueId ones = graph_const_ints(t.g, "one", 1, &one),
                  axis = graph_const_ints(t.g, "axis", 1, &zero);
    const ValueId from = node1(&t, body, OP_RESHAPE, 2, (const ValueId[]){i, ones});
    const ValueId to = node1(&t, body, OP_ADD, 2, (const ValueId[]){from, ones});
    const ValueId piece = node1(&t, body, OP_SLICE, 4, (const ValueId[]){v, from, to, axis});
    block_output(&t, body, go);
    block_output(&t, body, piece);
    t.nin = 2;
    set_blocks(&t, node_make(&t, OP_LOOP, 1), 1, &body);
    node_run(&t);
    assert_int_equal(t.out[0]->rank, 2);
    for (int k = 0; k < 3; k++)
        assert_float_equal(node_float_at(&t, 0, k), (double)x[k], 0);
    node_test_free(&t);
}

/* Running sums over axis 1 of x (2,3), backward, collected along axis 1 in reverse. */
static void test_scan(void **state)
{
    (void)state;
    for (int bits = 0; bits < 4; bits++) {
        NodeTest t = node_test_new();
        const float start[] = {0, 0}, x[] = {1, 2, 3, 10, 20, 30};
        node_input(&t, DT_F32, 1, DIMS(2), start);
        node_input(&t, DT_F32, 2, DIMS(2, 3), x);
        const int body = graph_block(t.g);
        const ValueId sum = block_input(&t, body), piece = block_input(&t, body);
        const ValueId next = node1(&t, body, OP_ADD, 2, (const ValueId[]){sum, piece});
        const ValueId twice = node1(&t, body, OP_ADD, 2, (const ValueId[]){next, next});
        block_output(&t, body, next);
        block_output(&t, body, twice);
        const NodeId id = node_make(&t, OP_SCAN, 2);
        const int64_t in_reversed = bits & 1, out_reversed = bits >> 1, axis = 1, back = -1;
        node_set_int(t.g, id, "num_scan_inputs", 1);
        node_set_ints(t.g, id, "scan_input_axes", 1, &axis);
        node_set_ints(t.g, id, "scan_output_axes", 1, &back);
        node_set_ints(t.g, id, "scan_input_directions", 1, &in_reversed);
        node_set_ints(t.g, id, "scan_output_directions", 1, &out_reversed);
        set_blocks(&t, id, 1, &body);
        node_run(&t);
        for (int r = 0; r < 2; r++) {
            double total = 0;
            for (int s = 0; s < 3; s++) {
                total += (double)x[r * 3 + (in_reversed ? 2 - s : s)];
                assert_float_equal(node_float_at(&t, 1, r * 3 + (out_reversed ? 2 - s : s)),
                                   2 * total, 0);
            }
            assert_float_equal(node_float_at(&t, 0, r), total, 0);
        }
        node_test_free(&t);
    }
}

/* Host routines through the graph: sizes that depend on data. */
static void test_host_ops(void **state)
{
    (void)state;
    NodeTest t = node_test_new();
    const float x[] = {3, 0, 1, 0, 2, 2};
    node_input(&t, DT_F32, 2, DIMS(2, 3), x);
    node_make(&t, OP_NON_ZERO, 1);
    const int64_t k = 2;
    const ValueId in[] = {t.in[0], graph_const_ints(t.g, "k", 1, &k)};
    node_outputs(&t, graph_node(t.g, 0, OP_TOP_K, "top", 2, in, 2, NULL));
    const NodeId unique = graph_node(t.g, 0, OP_UNIQUE, "unique", 1, in, 4, NULL);
    node_outputs(&t, unique);
    node_run(&t);
    assert_int_equal(t.out[0]->dim[1], 4);
    const double top[] = {3, 1, 2, 2}, at[] = {0, 2, 1, 2}, values[] = {0, 1, 2, 3},
                 counts[] = {2, 1, 2, 1};
    for (int i = 0; i < 4; i++) {
        assert_float_equal(node_float_at(&t, 1, i), top[i], 0);
        assert_float_equal(node_float_at(&t, 2, i), at[i], 0);
        assert_float_equal(node_float_at(&t, 3, i), values[i], 0);
        assert_float_equal(node_float_at(&t, 6, i), counts[i], 0);
    }
    node_test_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_if),   cmocka_unit_test(test_if_rank),
        cmocka_unit_test(test_loop), cmocka_unit_test(test_loop_slice),
        cmocka_unit_test(test_scan), cmocka_unit_test(test_host_ops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
