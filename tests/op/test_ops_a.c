/* Elementwise ops, casts, shape and movement: graph text with its inputs and the wanted outputs as
 * constants, hand-computed, through inference, definition and the oracle. Where inference found the
 * elements, they must say the same. */
#include "check.h"

#include "graph/graph.h"
#include "op/op.h"
#include "op/reference.h"

/* Outputs y, y1... are compared with the constants want, want1... */
static const char *const values[] = {
    /* elementwise */
    "graph \"t\"\nconst a f32[3] = {1.0, -2.0, nan}\nconst b f32[] = 2.0\n"
    "const want f32[3] = {3.0, 0.0, nan}\ny = add(a, b)\noutput y\n",
    "graph \"t\"\nconst a i32[2,1] = {7, -7}\nconst b i32[3] = {2, -2, 0}\n"
    "const want i32[2,3] = {3, -3, 0, -3, 3, 0}\ny = div(a, b)\noutput y\n",
    "graph \"t\"\nconst a i32[4] = {7, -7, 7, -7}\nconst b i32[4] = {3, 3, -3, -3}\n"
    "const want i32[4] = {1, 2, -2, -1}\ny = mod(a, b)\noutput y\n",
    "graph \"t\"\nconst a f32[4] = {7.0, -7.0, 7.0, -7.0}\nconst b f32[4] = {3.0, 3.0, -3.0, "
    "-3.0}\n"
    "const want f32[4] = {1.0, -1.0, 1.0, -1.0}\ny = mod(a, b) fmod=1\noutput y\n",
    "graph \"t\"\nconst a f32[3] = {nan, 1.0, 2.0}\nconst b f32[3] = {1.0, nan, 5.0}\n"
    "const want f32[3] = {nan, nan, 5.0}\ny = max(a, b)\noutput y\n",
    "graph \"t\"\nconst a f32[3] = {nan, 1.0, 2.0}\nconst b f32[3] = {1.0, nan, 5.0}\n"
    "const c f32[] = 1.5\n"
    "const want f32[3] = {nan, nan, 1.5}\ny = min(a, b, c)\noutput y\n",
    "graph \"t\"\nconst a f32[5] = {-1.5, 0.5, 1.5, 2.5, -2.5}\n"
    "const want f32[5] = {-2.0, 0.0, 2.0, 2.0, -2.0}\ny = round(a)\noutput y\n",
    "graph \"t\"\nconst a f32[4] = {-3.0, nan, 0.5, 9.0}\nconst lo f32[] = -1.0\n"
    "const hi f32[] = 1.0\n"
    "const want f32[4] = {-1.0, nan, 0.5, 1.0}\ny = clip(a, lo, hi)\noutput y\n",
    "graph \"t\"\nconst a f32[2] = {-3.0, 9.0}\nconst hi f32[] = 1.0\n"
    "const want f32[2] = {-3.0, 1.0}\ny = clip(a, _, hi)\noutput y\n",
    "graph \"t\"\nconst a f32[4] = {inf, -inf, nan, 1.0}\n"
    "const want bool[4] = {0, 1, 0, 0}\ny = is_inf(a) detect_positive=0\noutput y\n",
    "graph \"t\"\nconst a i8[3] = {-8, 4, 1}\nconst b i8[3] = {-1, 8, 3}\n"
    "const want i8[3] = {-1, 0, 0}\ny = bit_shift(a, b) direction=\"RIGHT\"\noutput y\n",
    "graph \"t\"\nconst a u8[2] = {200, 3}\nconst b u8[2] = {1, 7}\n"
    "const want u8[2] = {144, 128}\ny = bit_shift(a, b) direction=\"LEFT\"\noutput y\n",
    "graph \"t\"\nconst a f32[3] = {2.0, 3.0, 4.0}\nconst b i64[] = 3\n"
    "const want f32[3] = {8.0, 27.0, 64.0}\ny = pow(a, b)\noutput y\n",
    "graph \"t\"\nconst a i32[3] = {2, 3, 4}\nconst b f32[3] = {2.0, 0.0, 0.5}\n"
    "const want i32[3] = {4, 1, 2}\ny = pow(a, b)\noutput y\n",
    "graph \"t\"\nconst a f32[4] = {-2.0, -0.5, 0.0, 2.0}\nconst s f32[1] = {0.25}\n"
    "const want f32[4] = {-0.5, -0.125, 0.0, 2.0}\ny = prelu(a, s)\noutput y\n",
    "graph \"t\"\nconst a f32[3] = {-2.0, nan, 3.0}\n"
    "const want f32[3] = {0.0, nan, 3.0}\ny = relu(a)\noutput y\n",
    "graph \"t\"\nconst a i32[5] = {-2, -1, 0, 1, 2}\n"
    "const want i32[5] = {-1, 0, 0, 0, 1}\ny = shrink(a) lambd=1.5 bias=1.0\noutput y\n",
    "graph \"t\"\nconst a f32[3] = {-2.0, 0.0, 3.0}\nconst b f32[3] = {1.0, 1.0, 1.0}\n"
    "const c f32[3] = {4.0, 5.0, 8.0}\n"
    "const want f32[3] = {1.0, 2.0, 4.0}\ny = mean(a, b, c)\noutput y\n",
    "graph \"t\"\nconst c bool[2,1] = {1, 0}\nconst a i64[2] = {1, 2}\nconst b i64[1] = {9}\n"
    "const want i64[2,2] = {1, 2, 9, 9}\ny = where(c, a, b)\noutput y\n",
    "graph \"t\"\nconst a f32[2] = {1.0, 2.0}\nconst want f32[2] = {1.0, 2.0}\n"
    "const want1 bool[2] = {1, 1}\ny, y1 = dropout(a)\noutput y\noutput y1\n",
    /* casts */
    "graph \"t\"\nconst a f32[4] = {-9.0, 7.9, 8.0, -1.5}\n"
    "const want i4[4] = {7, 7, -8, -1}\ny = cast(a) to=22\noutput y\n",
    "graph \"t\"\nconst a f32[3] = {-1.0, 16.0, 300.7}\n"
    "const want u4[3] = {15, 0, 12}\ny = cast(a) to=21\noutput y\n",
    "graph \"t\"\nconst a f32[3] = {-1.0, 256.0, 255.5}\n"
    "const want u8[3] = {255, 0, 255}\ny = cast(a) to=2\noutput y\n",
    "graph \"t\"\nconst a f32[4] = {1000000.0, -inf, nan, 1.0}\n"
    "const want f8e4m3fn[4] = {448.0, -448.0, nan, 1.0}\ny = cast(a) to=17\noutput y\n",
    "graph \"t\"\nconst a f32[4] = {1000000.0, -inf, nan, 1.0}\n"
    "const want f8e5m2[4] = {inf, -inf, nan, 1.0}\ny = cast(a) to=19 saturate=0\noutput y\n",
    "graph \"t\"\nconst a f32[5] = {1.1, 2.0, -8.0, 9.0, 0.25}\n"
    "const want f4e2m1[5] = {1.0, 2.0, -6.0, 6.0, 0.0}\ny = cast(a) to=23\noutput y\n",
    "graph \"t\"\nconst a f32[4] = {1.1, 2.0, 3.0, inf}\n"
    "const want f8e8m0[4] = {2.0, 2.0, 4.0, nan}\ny = cast(a) to=24 round_mode=\"up\"\noutput y\n",
    "graph \"t\"\nconst a f32[3] = {1.4, 1.5, 3.0}\n"
    "const want f8e8m0[3] = {1.0, 2.0, 4.0}\ny = cast(a) to=24 round_mode=\"nearest\"\noutput y\n",
    "graph \"t\"\nconst a f64[2] = {1.0000000000001, 1.0}\n"
    "const want f8e8m0[2] = {2.0, 1.0}\ny = cast(a) to=24 round_mode=\"up\"\noutput y\n",
    "graph \"t\"\nconst a f32[3] = {0.0, nan, -0.5}\n"
    "const want bool[3] = {0, 1, 1}\ny = cast(a) to=9\noutput y\n",
    "graph \"t\"\nconst a f32[2] = {1.0, -2.0}\n"
    "const want i32[2] = {1065353216, -1073741824}\ny = bitcast(a) to=6\noutput y\n",
    "graph \"t\"\nconst a f16[5] = {1.0, -2.0, inf, 0.000000059604645, 65504.0}\n"
    "const want u16[5] = {15360, 49152, 31744, 1, 31743}\ny = bitcast(a) to=4\noutput y\n",
    "graph \"t\"\nconst a u16[5] = {15360, 49152, 31744, 1, 31743}\n"
    "const want f16[5] = {1.0, -2.0, inf, 0.000000059604645, 65504.0}\n"
    "y = bitcast(a) to=10\noutput y\n",
    "graph \"t\"\nconst a i8[2] = {-1, 5}\nconst want u8[2] = {255, 5}\ny = bitcast(a) "
    "to=2\noutput y\n",
    /* shapes */
    "graph \"t\"\nconst a f32[2,3,4] = 1.0\nconst want i64[2] = {3, 4}\n"
    "y = shape(a) start=1\noutput y\n",
    "graph \"t\"\nconst a f32[2,3,4] = 1.0\nconst want i64[] = 24\ny = size(a)\noutput y\n",
    "graph \"t\"\nconst a i32[2,3] = {1, 2, 3, 4, 5, 6}\nconst s i64[2] = {0, -1}\n"
    "const want i32[2,3] = {1, 2, 3, 4, 5, 6}\ny = reshape(a, s)\noutput y\n",
    "graph \"t\"\nconst a i32[2,3] = {1, 2, 3, 4, 5, 6}\nconst s i64[3] = {3, 1, -1}\n"
    "const want i32[3,1,2] = {1, 2, 3, 4, 5, 6}\ny = reshape(a, s)\noutput y\n",
    "graph \"t\"\nconst a i32[2,1,3] = {1, 2, 3, 4, 5, 6}\nconst s i64[1] = {1}\n"
    "const want i32[2,3] = {1, 2, 3, 4, 5, 6}\ny = squeeze(a, s)\noutput y\n",
    "graph \"t\"\nconst a i32[2] = {1, 2}\nconst s i64[2] = {-1, 0}\n"
    "const want i32[1,2,1] = {1, 2}\ny = unsqueeze(a, s)\noutput y\n",
    "graph \"t\"\nconst a i32[2,1] = {1, 2}\nconst s i64[3] = {2, 1, 2}\n"
    "const want i32[2,2,2] = {1, 1, 2, 2, 1, 1, 2, 2}\ny = expand(a, s)\noutput y\n",
    "graph \"t\"\nconst a i32[2,1,2] = {1, 2, 3, 4}\nconst want i32[2,2] = {1, 2, 3, 4}\n"
    "y = flatten(a)\noutput y\n",
    /* movement */
    "graph \"t\"\nconst a i32[2,3] = {1, 2, 3, 4, 5, 6}\n"
    "const want i32[3,2] = {1, 4, 2, 5, 3, 6}\ny = transpose(a)\noutput y\n",
    "graph \"t\"\nconst a i32[2,1] = {1, 4}\nconst e i32[2,0] = {}\nconst b i32[2,2] = {2, 3, 5, "
    "6}\n"
    "const want i32[2,3] = {1, 2, 3, 4, 5, 6}\ny = concat(a, e, b) axis=1\noutput y\n",
    "graph \"t\"\nconst a i32[5] = {1, 2, 3, 4, 5}\nconst want i32[3] = {1, 2, 3}\n"
    "const want1 i32[2] = {4, 5}\ny, y1 = split(a) num_outputs=2\noutput y\noutput y1\n",
    "graph \"t\"\nconst a i32[6] = {1, 2, 3, 4, 5, 6}\nconst s i64[1] = {-2}\nconst e i64[1] = "
    "{-9223372036854775807}\nconst x i64[1] = {0}\nconst p i64[1] = {-2}\n"
    "const want i32[3] = {5, 3, 1}\ny = slice(a, s, e, x, p)\noutput y\n",
    "graph \"t\"\nconst a i32[2,2] = {1, 2, 3, 4}\nconst r i64[2] = {1, 2}\n"
    "const want i32[2,4] = {1, 2, 1, 2, 3, 4, 3, 4}\ny = tile(a, r)\noutput y\n",
    "graph \"t\"\nconst a i32[3] = {1, 2, 3}\nconst p i64[2] = {5, -1}\n"
    "const want i32[7] = {2, 1, 2, 3, 2, 1, 2}\ny = pad(a, p) mode=\"reflect\"\noutput y\n",
    "graph \"t\"\nconst a i32[3] = {1, 2, 3}\nconst p i64[2] = {2, 2}\n"
    "const want i32[7] = {2, 3, 1, 2, 3, 1, 2}\ny = pad(a, p) mode=\"wrap\"\noutput y\n",
    "graph \"t\"\nconst a i32[2,2] = {1, 2, 3, 4}\nconst p i64[2] = {1, -1}\nconst v i32[] = 9\n"
    "const x i64[1] = {-1}\n"
    "const want i32[2,2] = {9, 1, 9, 3}\ny = pad(a, p, v, x)\noutput y\n",
    "graph \"t\"\nconst a i32[5] = {1, 2, 3, 4, 5}\nconst s i64[1] = {2}\n"
    "const want i32[2] = {2, 3}\ny = center_crop_pad(a, s)\noutput y\n",
    "graph \"t\"\nconst a i32[2] = {1, 2}\nconst s i64[1] = {5}\n"
    "const want i32[5] = {0, 1, 2, 0, 0}\ny = center_crop_pad(a, s)\noutput y\n",
    "graph \"t\"\nconst a i32[1,4,1,1] = {1, 2, 3, 4}\n"
    "const want i32[1,1,2,2] = {1, 2, 3, 4}\ny = depth_to_space(a) blocksize=2\noutput y\n",
    "graph \"t\"\nconst a i32[1,1,2,2] = {1, 2, 3, 4}\n"
    "const want i32[1,4,1,1] = {1, 2, 3, 4}\ny = space_to_depth(a) blocksize=2\noutput y\n",
    "graph \"t\"\nconst a i32[3,2] = {1, 2, 3, 4, 5, 6}\nconst n i64[2] = {2, 3}\n"
    "const want i32[3,2] = {3, 6, 1, 4, 5, 2}\ny = reverse_sequence(a, n)\noutput y\n",
    "graph \"t\"\nconst a i32[3,3] = 1\nconst k i64[] = 1\n"
    "const want i32[3,3] = {0, 1, 1, 0, 0, 1, 0, 0, 0}\ny = trilu(a, k)\noutput y\n",
    "graph \"t\"\nconst a i32[2,3] = 1\nconst want f32[2,3] = {0.0, 0.0, 0.0, 1.0, 0.0, 0.0}\n"
    "y = eye_like(a) k=-1 dtype=1\noutput y\n",
    "graph \"t\"\nconst a i32[] = 10\nconst b i32[] = 4\nconst c i32[] = -3\n"
    "const want i32[2] = {10, 7}\ny = range(a, b, c)\noutput y\n",
    "graph \"t\"\nconst s i64[2] = {2, 1}\nconst want i8[2,1] = {3, 3}\n"
    "y = constant_of_shape(s) value=i8[1]{3}\noutput y\n",
    "graph \"t\"\nconst i i64[3] = {0, -1, 5}\nconst d i64[] = 2\nconst v f32[2] = {2.0, 7.0}\n"
    "const want f32[3,2] = {7.0, 2.0, 2.0, 7.0, 2.0, 2.0}\ny = one_hot(i, d, v)\noutput y\n",
    "graph \"t\"\nconst a i32[2,2] = {1, 2, 3, 4}\nconst i i64[1,2] = {-1, 0}\n"
    "const want i32[2,1,2] = {2, 1, 4, 3}\ny = gather(a, i) axis=1\noutput y\n",
    "graph \"t\"\nconst a i32[2,2] = {1, 2, 3, 4}\nconst i i64[2,2] = {0, 0, 1, 0}\n"
    "const want i32[2,2] = {1, 1, 4, 3}\ny = gather_elements(a, i) axis=1\noutput y\n",
    "graph \"t\"\nconst a i32[2,2] = {1, 2, 3, 4}\nconst i i64[2,1] = {1, 0}\n"
    "const want i32[2] = {2, 3}\ny = gather_nd(a, i) batch_dims=1\noutput y\n",
    "graph \"t\"\nconst a i32[4] = {1, 2, 3, 4}\nconst i i64[3] = {1, 1, -1}\n"
    "const u i32[3] = {10, 20, 30}\n"
    "const want i32[4] = {1, 32, 3, 34}\ny = scatter_elements(a, i, u) reduction=\"add\"\noutput "
    "y\n",
    "graph \"t\"\nconst a i32[2,2] = {1, 2, 3, 4}\nconst i i64[1,1] = {1}\n"
    "const u i32[1,2] = {7, 0}\n"
    "const want i32[2,2] = {1, 2, 7, 4}\ny = scatter_nd(a, i, u) reduction=\"max\"\noutput y\n",
    "graph \"t\"\nconst a i32[1,3,1] = {1, 2, 3}\nconst u i32[1,2,1] = {8, 9}\nconst w i64[1] = "
    "{2}\n"
    "const want i32[1,3,1] = {9, 2, 8}\ny = tensor_scatter(a, u, w) mode=\"circular\"\noutput y\n",
    "graph \"t\"\nconst a i32[4] = {1, 2, 3, 4}\nconst x i32[] = 0\n"
    "const want i32[4] = {9, 7, 4, 0}\ny = cum_sum(a, x) exclusive=1 reverse=1\noutput y\n",
    "graph \"t\"\nconst a f32[3] = {2.0, 3.0, 4.0}\nconst x i32[] = -1\n"
    "const want f32[3] = {2.0, 6.0, 24.0}\ny = cum_prod(a, x)\noutput y\n",
    "graph \"t\"\nconst a f32[1,4,1] = {1.0, 2.0, 3.0, 4.0}\nconst i i64[2] = {2, 2}\n"
    "const b i64[2] = {2, 2}\n"
    "const want f32[1,1,2,2] = {1.0, 2.0, 3.0, 4.0}\ny = col2im(a, i, b)\noutput y\n",
};

/* Symbolic shapes: what inference must say of y. */
static const struct {
    const char *text, *want;
} shapes[] = {
    {"graph \"t\"\nsym N 1 64\ninput x f32[N,12,8]\ninput b f32[8]\ny = add(x, b)\noutput y\n",
     "y f32[N,12,8]"},
    {"graph \"t\"\nsym N 1 64\ninput x f32[N,12,8]\nconst s i64[2] = {0, -1}\ny = reshape(x, s)\n"
     "output y\n",
     "y f32[N,96]"},
    {"graph \"t\"\nsym N 1 64\nsym S 1 512\ninput x f32[N,S,768]\nconst s i64[4] = {0, -1, 12, "
     "64}\n"
     "y = reshape(x, s)\noutput y\n",
     "y f32[N,S,12,64]"},
    /* Shape -> Gather -> Concat -> Reshape */
    {"graph \"t\"\nsym N 1 64\nsym S 1 512\ninput x f32[N,S,12,64]\nh = shape(x)\n"
     "const zero i64[1] = {0}\nn = gather(h, zero)\nconst m i64[1] = {-1}\nconst c i64[1] = {768}\n"
     "s = concat(n, m, c) axis=0\ny = reshape(x, s)\noutput y\n",
     "y f32[N,S,768]"},
    {"graph \"t\"\nsym N 4 64\ninput x f32[N]\nconst s i64[1] = {1}\nconst e i64[1] = {-1}\n"
     "y = slice(x, s, e)\noutput y\n",
     "y f32[N - 2]"},
    {"graph \"t\"\nsym N 1 64\ninput x f32[N,4]\nh = shape(x) end=1\nconst two i64[] = 2\n"
     "t = mul(h, two)\nconst one i64[1] = {1}\ns = concat(t, one) axis=0\ny = tile(x, s)\noutput "
     "y\n",
     "y f32[N*N*2,4]"},
    {"graph \"t\"\nsym N 1 64\ninput x f32[1,1]\ninput z f32[N]\nh = shape(z)\ny = expand(x, h)\n"
     "output y\n",
     "y f32[1,N]"},
    {"graph \"t\"\ninput x f32[0,6]\nconst s i64[3] = {0, 3, -1}\ny = reshape(x, s)\noutput y\n",
     "y f32[0,3,2]"},
    {"graph \"t\"\ninput x f32[0,6]\nconst s i64[2] = {3, -1}\ny = reshape(x, s)\noutput y\n",
     "y f32[3,0]"},
    {"graph \"t\"\nsym N 1 64\ninput x f32[N,4]\ninput z f32[3,4]\ny = concat(x, z) axis=0\noutput "
     "y\n",
     "y f32[N + 3,4]"},
};

static const struct {
    const char *text, *message;
    int code;
} failures[] = {
    {"graph \"t\"\ninput a f32[2]\ninput b f32[3]\ny = add(a, b)\noutput y\n", "2 and 3",
     ERR_INVALID},
    {"graph \"t\"\ninput a f32[2]\ninput b i32[2]\ny = add(a, b)\noutput y\n", "type", ERR_INVALID},
    {"graph \"t\"\ninput a f32[2]\ninput s i64[2]\ny = reshape(a, s)\noutput y\n", "'s'",
     ERR_NEED_VALUE},
    {"graph \"t\"\ninput a f32[5]\nconst s i64[2] = {2, -1}\ny = reshape(a, s)\noutput y\n",
     "5 elements", ERR_INVALID},
    {"graph \"t\"\ninput a f32[2,3]\ny = transpose(a) perm=[0,0]\noutput y\n", "permutation",
     ERR_INVALID},
    {"graph \"t\"\ninput a f32[2]\nconst i f32[1] = {0.0}\ny = gather(a, i)\noutput y\n",
     "i32 or i64", ERR_INVALID},
    {"graph \"t\"\ninput a i32[2]\ny = exp(a)\noutput y\n", "floating point", ERR_INVALID},
    {"graph \"t\"\ninput a f32[2,0]\nconst i i64[1] = {0}\ny = gather(a, i) axis=1\noutput y\n",
     "axis of size 0", ERR_INVALID},
    {"graph \"t\"\ninput a f32[2,0]\nconst p i64[4] = {0,1,0,1}\ny = pad(a, p) "
     "mode=\"edge\"\noutput y\n",
     "axis of size 0", ERR_INVALID},
    {"graph \"t\"\ninput a f32[3,0]\nconst s i64[3] = {0,0,-1}\ny = reshape(a, s) "
     "allowzero=1\noutput y\n",
     "may be any size", ERR_INVALID},
    {"graph \"t\"\ninput a f32[2]\ny = cast(a) to=8\noutput y\n", "string", ERR_UNSUPPORTED},
};

static int find_value(const Graph *g, const char *name)
{
    for (int k = 0; k < g->value.len; k++)
        if (strcmp(g->value.at[k].name, name) == 0)
            return k;
    return -1;
}

/* Inference's idea of the elements, as a tensor; NULL if it has none. */
static Tensor *known_elements(const Graph *g, const Value *v)
{
    if (!v->elems)
        return NULL;
    int64_t dims[MAX_RANK];
    for (int k = 0; k < v->rank; k++)
        assert_true(expr_is_int(g->x, v->dim[k], &dims[k]));
    Tensor *t = tensor_new(v->dtype, v->rank, dims, NULL);
    assert_int_equal(tensor_elements(t), v->nelems);
    for (int k = 0; k < v->nelems; k++) {
        char *p = (char *)t->data + k * dtype_size(v->dtype);
        double f;
        assert_true(expr_is_const(g->x, v->elems[k], &f));
        dtype_write(v->dtype, p, f, false);
    }
    return t;
}

static void check_equal(const char *text, const char *what, const Tensor *got, const Tensor *want)
{
    const TensorDiff d = tensor_compare(got, want, 0, 0);
    if (!d.same_type || !d.same_shape || d.mismatches != 0)
        FAIL_MSG("%s: %s differ at %lld in\n%s", what,
                 d.same_shape && d.same_type ? "values" : "type or shape", (long long)d.first,
                 text);
}

static void run_text(Context *ctx, void *arg)
{
    const char *text = arg;
    Graph *g = graph_parse(ctx, "test", text, strlen(text));
    op_infer_graph(g);
    Str why = str_new(ctx->arena);
    if (!graph_verify(g, true, &why))
        FAIL_MSG("%s in\n%s", str_text(&why), text);
    const Block *b = &g->block.at[0];
    Tensor **out = arena_array_of(ctx->arena, b->output.len, Tensor *);
    reference_run(ctx, g, NULL, out);
    for (int k = 0; k < b->output.len; k++) {
        const int want = find_value(g, k == 0 ? "want" : "want1");
        assert_true(want >= 0);
        check_equal(text, "oracle", out[k], g->value.at[want].constant);
        Tensor *known = known_elements(g, &g->value.at[b->output.at[k]]);
        if (known)
            check_equal(text, "inference", known, g->value.at[want].constant);
        tensor_unref(known);
        tensor_unref(out[k]);
    }
}

static void test_values(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
        Arena *a = arena_new();
        Error error;
        if (job_run(a, run_text, (void *)values[k], &error, NULL) != 0)
            FAIL_MSG("%s in\n%s", error.message, values[k]);
        arena_free(a);
    }
}

static void infer_text(Context *ctx, void *arg)
{
    const char **text = arg;
    Graph *g = graph_parse(ctx, "test", *text, strlen(*text));
    op_infer_graph(g);
    *text = strdup(graph_describe_value(g, g->block.at[0].output.at[0]));
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        Arena *a = arena_new();
        Error error;
        const char *text = shapes[k].text;
        if (job_run(a, infer_text, &text, &error, NULL) != 0)
            FAIL_MSG("%s in\n%s", error.message, shapes[k].text);
        assert_string_equal(text, shapes[k].want);
        free((char *)text);
        arena_free(a);
    }
}

static void test_failures(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof failures / sizeof *failures; k++) {
        Arena *a = arena_new();
        Error error;
        const char *text = failures[k].text;
        const int code = job_run(a, infer_text, &text, &error, NULL);
        assert_int_equal(code, failures[k].code);
        if (!strstr(error.message, failures[k].message))
            FAIL_MSG("'%s' does not say '%s'", error.message, failures[k].message);
        arena_free(a);
    }
}

/* A dim that inference assumed to be equal, and is not. */
static void assume_text(Context *ctx, void *arg)
{
    const char *text = arg;
    Graph *g = graph_parse(ctx, "test", text, strlen(text));
    op_infer_graph(g);
    const int64_t dims[] = {2, 3};
    Tensor *in[2], *out[1];
    for (int k = 0; k < 2; k++) {
        in[k] = tensor_new(DT_F32, 1, &dims[k], NULL);
        arena_defer(ctx->arena, (void (*)(void *))tensor_unref, in[k]);
    }
    reference_run(ctx, g, in, out);
}

static void test_assumption(void **state)
{
    (void)state;
    static char text[] = "graph \"t\"\nsym N 1 64\nsym M 1 64\ninput a f32[N]\ninput b f32[M]\n"
                         "y = add(a, b)\noutput y\n";
    Arena *a = arena_new();
    Error error;
    assert_int_equal(job_run(a, assume_text, text, &error, NULL), ERR_INVALID);
    assert_non_null(strstr(error.message, "2 and 3"));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_assumption),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
