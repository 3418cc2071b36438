/* The loops in which a biLM spends its time, for x86-64 processors with AVX-512: a matrix product, the convolutions of
 * words, and one direction of one LSTM layer whose gates are computed while their sums are still in registers.
 *
 * All exist in float32 and in bfloat16 (weights and inputs; sums are float32). The two differ in one instruction, since
 * weights and inputs are read in units of four bytes: one float32, or two bfloat16 that stand behind each other. An
 * output is one sum, in the order of its terms, whatever stands in the other rows and however many they are: that makes
 * a text's vectors independent of its batch, bit for bit. Nothing here needs a library, not even C's.
 * `elmokit.runtime.kernels` packs the weights, asks what the processor can do, and calls.
 *
 * Packed weights: panels of 64 columns, each with its terms behind each other, (panels, units, 64 columns); padded with
 * zeros. The columns of gates are ordered so that a panel holds input, forget, output and candidate of 16 cells.
 */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define LANES 16   /* floats in a register */
#define COLUMNS 64 /* columns of a panel: four registers */
#define ROWS 6     /* rows computed together: 6 x 4 sums stay in registers */
#define UNITS 512  /* units added up before they go to the result: keeps a panel in cache and rounding small */
#define GAP 16     /* floats between rows of cells, since rows a power of two apart would share a place in the cache */
#define INLINE static inline __attribute__((always_inline))

typedef __m512 Sums[ROWS][4];

typedef struct {
    int64_t n_steps;
    const int64_t *counts;   /* rows read at each step, falling */
    const int64_t *starts;   /* place of each step's first row among all rows */
    int64_t input_units;     /* of a row of `inputs`; 0 where all of them were multiplied before */
    int64_t output_units;    /* of a row of `hidden` */
    int64_t n_cells;         /* a multiple of 16 */
    int64_t n_outputs;
    const float *inputs;     /* a row per place */
    const float *of_input;   /* packed, inputs to gates */
    const float *of_hidden;  /* packed, hidden state to gates */
    const float *projection; /* packed, cells to outputs */
    const float *ahead;      /* the bias, and what was multiplied before; rows of gates */
    const int64_t *numbers;  /* for each place, its row of `ahead`; NULL: the first for all */
    float cell_clip;         /* infinity for none */
    float projection_clip;   /* infinity for none */
    float *hidden;           /* state, in units, updated in place */
    float *cells;            /* state, updated in place; rows of n_cells + GAP */
    float *memory;           /* room for what a step's cells give, in units; rows of n_cells + GAP */
    float *outputs;          /* a row per place */
} Layer;

typedef struct {
    int64_t n_words;
    const int64_t *lengths;  /* of each word: windows that are not padding alone */
    int64_t max_characters;
    int64_t n_read;          /* characters in a row of `characters` */
    int64_t character_units; /* of one character */
    int64_t width;           /* characters in a window */
    int64_t n_outputs;
    const float *characters; /* words, characters, units */
    const float *weight;     /* packed */
    const float *of_padding; /* what a window of padding gives */
    const float *bias;
    int64_t relu;            /* else tanh */
    int64_t stride;          /* of a row of `out` */
    float *out;
} Convolution;

typedef struct {
    int64_t n_rows;
    int64_t width;        /* of a row: features in and out */
    int64_t n_units;      /* of a row of `rounded` */
    const float *rounded; /* the features in units (in float32: the same rows) */
    const float *weight;  /* packed; a panel holds transform and gate, halved, of 32 features */
    const float *bias;    /* in the order of the weight's columns */
    const float *features;
    float *out;
} Highway;

INLINE __m512 all(float x) { return _mm512_set1_ps(x); }

/* What lies nearer to zero, x or a bound, with the sign of x. */
INLINE __m512 clip(__m512 x, float bound) { return _mm512_range_ps(x, all(bound), 2); }

/* Which of 16 floats there are, if so many are left. */
INLINE __mmask16 mask_of(int64_t left) { return left >= LANES ? 0xFFFF : left > 0 ? (1u << left) - 1 : 0; }

typedef struct {
    __m512 p, q;
} Fraction;

/* tanh as a fraction, x P(x^2) / Q(x^2), fitted by dev/fit_tanh.py: to 2e-8 for float32, to 5e-5 for bfloat16. Beyond
 * the bounds it stays as it is there. Q is between 1 and 420: denominators can be multiplied before one division. */
INLINE Fraction tanh_of(__m512 x, const int bfloat16) {
    const __m512 y = clip(x, bfloat16 ? 5.0f : 9.01f), s = _mm512_mul_ps(y, y);
    __m512 p, q;
    if (bfloat16) {
        p = all(6.705717187e-04f), q = all(1.281996013e-02f);
        p = _mm512_fmadd_ps(p, s, all(1.024179719e-01f)), q = _mm512_fmadd_ps(q, s, all(4.354328648e-01f));
        p = _mm512_fmadd_ps(p, s, all(9.999481072e-01f)), q = _mm512_fmadd_ps(q, s, all(1.0f));
    } else {
        p = all(1.333691267e-08f), q = all(7.769311302e-07f);
        p = _mm512_fmadd_ps(p, s, all(2.059632686e-05f)), q = _mm512_fmadd_ps(q, s, all(3.284368748e-04f));
        p = _mm512_fmadd_ps(p, s, all(3.494814545e-03f)), q = _mm512_fmadd_ps(q, s, all(2.587404033e-02f));
        p = _mm512_fmadd_ps(p, s, all(1.338037463e-01f)), q = _mm512_fmadd_ps(q, s, all(4.671369005e-01f));
        p = _mm512_fmadd_ps(p, s, all(9.999999793e-01f)), q = _mm512_fmadd_ps(q, s, all(1.0f));
    }
    return (Fraction){_mm512_mul_ps(p, y), q};
}

/* Add the products of `n_rows` rows with a panel to the sums. Rows are reached from the first and the fourth, so that
 * the addresses of six fit into three registers: the empty assembly keeps the compiler from counting six pointers up. */
INLINE void add_products(Sums sums, const float *x, int64_t stride, const float *panel, int64_t n_units,
                         const int n_rows, const int bfloat16) {
    const float *x3 = x + 3 * stride, *end = panel + n_units * COLUMNS;
    for (; panel != end; panel += COLUMNS, x++, x3++) {
        __asm__("" : "+r"(x), "+r"(x3), "+r"(stride));
        __m512 w[4];
        for (int j = 0; j < 4; j++) w[j] = _mm512_loadu_ps(panel + j * LANES);
        for (int r = 0; r < n_rows; r++) {
            const __m512 a = all(r < 3 ? x[r * stride] : x3[(r - 3) * stride]);
            for (int j = 0; j < 4; j++)
                sums[r][j] = bfloat16 ? _mm512_dpbf16_ps(sums[r][j], (__m512bh)a, (__m512bh)w[j])
                                      : _mm512_fmadd_ps(a, w[j], sums[r][j]);
        }
    }
}

/* Put 16 floats where a row of units has its elements from `column` on. */
INLINE void put(float *row, int64_t column, __m512 x, const int bfloat16) {
    if (bfloat16)
        _mm256_storeu_si256((__m256i *)(row + column / 2), (__m256i)_mm512_cvtneps_pbh(x));
    else
        _mm512_storeu_ps(row + column, x);
}

/* The product of some rows with one panel of a weight, added to `before` (rows so far apart, 0 for one row for all). */
INLINE void product_rows(const float *x, int64_t stride, const float *panel, int64_t n_units, const float *before,
                         int64_t before_stride, float *out, int64_t n_outputs, const __mmask16 *masks,
                         const int n_rows, const int bfloat16) {
    Sums sums;
    for (int r = 0; r < n_rows; r++)
        for (int j = 0; j < 4; j++) sums[r][j] = _mm512_setzero_ps();
    add_products(sums, x, stride, panel, n_units, n_rows, bfloat16);
    for (int r = 0; r < n_rows; r++)
        for (int j = 0; j < 4; j++) {
            if (before) {
                const float *place = before + r * before_stride + j * LANES;
                sums[r][j] = _mm512_add_ps(sums[r][j], _mm512_maskz_loadu_ps(masks[j], place));
            }
            _mm512_mask_storeu_ps(out + r * n_outputs + j * LANES, masks[j], sums[r][j]);
        }
}

/* The largest of some windows' products with a panel, and of `best`. */
INLINE void best_of_rows(__m512 best[4], const float *x, int64_t stride, const float *panel, int64_t n_units,
                         const int n_rows, const int bfloat16) {
    Sums sums;
    for (int r = 0; r < n_rows; r++)
        for (int j = 0; j < 4; j++) sums[r][j] = _mm512_setzero_ps();
    add_products(sums, x, stride, panel, n_units, n_rows, bfloat16);
    for (int r = 0; r < n_rows; r++)
        for (int j = 0; j < 4; j++) best[j] = _mm512_max_ps(best[j], sums[r][j]);
}

#define FOR_ROWS(n_rows, CALL)                                                                                       \
    switch (n_rows) {                                                                                                \
        case 1: CALL(1); break;                                                                                      \
        case 2: CALL(2); break;                                                                                      \
        case 3: CALL(3); break;                                                                                      \
        case 4: CALL(4); break;                                                                                      \
        case 5: CALL(5); break;                                                                                      \
        default: CALL(6);                                                                                            \
    }

/* x @ weight + bias; without a bias where that is NULL. */
INLINE void product(const float *x, int64_t stride, int64_t n, int64_t n_units, const float *weight, const float *bias,
                    int64_t n_outputs, float *out, const int bfloat16) {
    for (int64_t k = 0; k < n_units; k += UNITS) {
        const int64_t units = n_units - k < UNITS ? n_units - k : UNITS;
        for (int64_t column = 0; column < n_outputs; column += COLUMNS) {
            const float *panel = weight + column * n_units + k * COLUMNS;
            __mmask16 masks[4];
            for (int j = 0; j < 4; j++) masks[j] = mask_of(n_outputs - column - j * LANES);
            for (int64_t row = 0; row < n; row += ROWS) {
                float *sums = out + row * n_outputs + column;
                const float *before = k ? sums : bias ? bias + column : NULL;
#define CALL(R)                                                                                                      \
    product_rows(x + row * stride + k, stride, panel, units, before, k ? n_outputs : 0, sums, n_outputs, masks, R,   \
                 bfloat16)
                FOR_ROWS(n - row, CALL)
#undef CALL
            }
        }
    }
}

/* One convolution over words: windows, maximum, bias, activation. */
INLINE void convolve(const Convolution *c, const int bfloat16) {
    const int64_t units = c->width * c->character_units, possible = c->max_characters - c->width + 1;
    for (int64_t column = 0; column < c->n_outputs; column += COLUMNS) {
        const float *panel = c->weight + column * units;
        for (int64_t word = 0; word < c->n_words; word++) {
            const float *x = c->characters + word * c->n_read * c->character_units;
            const int64_t length = c->lengths[word], n = length < possible ? length : possible;
            __m512 best[4];
            for (int j = 0; j < 4; j++) {
                const __mmask16 mask = mask_of(c->n_outputs - column - j * LANES);
                best[j] = length < possible ? _mm512_maskz_loadu_ps(mask, c->of_padding + column + j * LANES)
                                            : all(-__builtin_inff());
            }
            for (int64_t row = 0; row < n; row += ROWS) {
#define CALL(R) best_of_rows(best, x + row * c->character_units, c->character_units, panel, units, R, bfloat16)
                FOR_ROWS(n - row, CALL)
#undef CALL
            }
            for (int j = 0; j < 4; j++) {
                const __mmask16 mask = mask_of(c->n_outputs - column - j * LANES);
                const int64_t place = column + j * LANES;
                best[j] = _mm512_add_ps(best[j], _mm512_maskz_loadu_ps(mask, c->bias + place));
                if (c->relu) {
                    best[j] = _mm512_max_ps(best[j], all(0.0f));
                } else {
                    const Fraction t = tanh_of(best[j], 0);
                    best[j] = _mm512_div_ps(t.p, t.q);
                }
                _mm512_mask_storeu_ps(c->out + word * c->stride + place, mask, best[j]);
            }
        }
    }
}

/* Features of some rows from their sums: x + sigmoid(gate) (relu(transform) - x), 32 of each row. */
static __attribute__((noinline)) void close_highway(float (*sums)[4][LANES], int64_t n_rows, const float *bias,
                                                    const float *x, float *out, int64_t width, int64_t left) {
    for (int64_t r = 0; r < n_rows; r++, x += width, out += width)
        for (int j = 0; j < 2; j++) {
            const __mmask16 mask = mask_of(left - j * LANES);
            const __m512 before = _mm512_maskz_loadu_ps(mask, x + j * LANES);
            __m512 t = _mm512_add_ps(_mm512_load_ps(sums[r][j]), _mm512_loadu_ps(bias + j * LANES));
            t = _mm512_sub_ps(_mm512_max_ps(t, all(0.0f)), before);
            const __m512 z = _mm512_add_ps(_mm512_load_ps(sums[r][j + 2]), _mm512_loadu_ps(bias + (j + 2) * LANES));
            const Fraction g = tanh_of(z, 0);
            const __m512 share = _mm512_div_ps(_mm512_add_ps(g.q, g.p), _mm512_add_ps(g.q, g.q));
            _mm512_mask_storeu_ps(out + j * LANES, mask, _mm512_fmadd_ps(share, t, before));
        }
}

INLINE void highway_rows(const Highway *h, int64_t row, int64_t column, const int n_rows, const int bfloat16) {
    float total[ROWS][4][LANES] __attribute__((aligned(64)));
    const float *panel = h->weight + 2 * column * h->n_units, *x = h->rounded + row * h->n_units;
    for (int64_t k = 0; k < h->n_units; k += UNITS) {
        const int64_t units = h->n_units - k < UNITS ? h->n_units - k : UNITS;
        Sums sums;
        for (int r = 0; r < n_rows; r++)
            for (int j = 0; j < 4; j++) sums[r][j] = _mm512_setzero_ps();
        add_products(sums, x + k, h->n_units, panel + k * COLUMNS, units, n_rows, bfloat16);
        for (int r = 0; r < n_rows; r++)
            for (int j = 0; j < 4; j++)
                _mm512_store_ps(total[r][j], k ? _mm512_add_ps(sums[r][j], _mm512_load_ps(total[r][j])) : sums[r][j]);
    }
    const int64_t place = row * h->width + column;
    close_highway(total, n_rows, h->bias + 2 * column, h->features + place, h->out + place, h->width,
                  h->width - column);
}

INLINE void pass_highway(const Highway *h, const int bfloat16) {
    for (int64_t column = 0; column < h->width; column += COLUMNS / 2)
        for (int64_t row = 0; row < h->n_rows; row += ROWS) {
#define CALL(R) highway_rows(h, row, column, R, bfloat16)
            FOR_ROWS(h->n_rows - row, CALL)
#undef CALL
        }
}

/* Where the gates of a row of cells begin: bias, and what was multiplied before. */
INLINE const float *ahead_of(const Layer *layer, int64_t place, int64_t column) {
    return layer->ahead + column + (layer->numbers ? layer->numbers[place] * 4 * layer->n_cells : 0);
}

/* New cells of some rows from their gates, and what they give. These are functions of their own, since the compiler
 * would else keep their constants in the registers that the sums need. */
INLINE void close_gates(float (*gates)[4][LANES], int64_t n_rows, float *cells, float *memory, int64_t cell,
                        int64_t stride, float cell_clip, const int bfloat16) {
    for (int64_t r = 0; r < n_rows; r++, cells += stride, memory += stride) {
        const Fraction i = tanh_of(_mm512_load_ps(gates[r][0]), bfloat16);
        const Fraction f = tanh_of(_mm512_load_ps(gates[r][1]), bfloat16);
        const Fraction o = tanh_of(_mm512_load_ps(gates[r][2]), bfloat16);
        const Fraction g = tanh_of(_mm512_load_ps(gates[r][3]), bfloat16);
        /* a sigmoid is (1 + tanh) / 2, so c f + i g = (c (qf + pf) qi qg + (qi + pi) pg qf) / (2 qf qi qg) */
        const __m512 both = _mm512_mul_ps(i.q, g.q), new = _mm512_mul_ps(_mm512_add_ps(i.q, i.p), g.p);
        __m512 c = _mm512_mul_ps(_mm512_loadu_ps(cells + cell), _mm512_add_ps(f.q, f.p));
        c = _mm512_fmadd_ps(c, both, _mm512_mul_ps(new, f.q));
        c = _mm512_div_ps(c, _mm512_mul_ps(_mm512_add_ps(f.q, f.q), both));
        c = clip(c, cell_clip);
        _mm512_storeu_ps(cells + cell, c);
        const Fraction h = tanh_of(c, bfloat16);
        c = _mm512_mul_ps(_mm512_add_ps(o.q, o.p), h.p);
        c = _mm512_div_ps(c, _mm512_mul_ps(_mm512_add_ps(o.q, o.q), h.q));
        put(memory, cell, c, bfloat16);
    }
}

static __attribute__((noinline)) void close_gates_float32(float (*gates)[4][LANES], int64_t n_rows, float *cells,
                                                          float *memory, int64_t cell, int64_t stride, float bound) {
    close_gates(gates, n_rows, cells, memory, cell, stride, bound, 0);
}

static __attribute__((noinline)) void close_gates_bfloat16(float (*gates)[4][LANES], int64_t n_rows, float *cells,
                                                           float *memory, int64_t cell, int64_t stride, float bound) {
    close_gates(gates, n_rows, cells, memory, cell, stride, bound, 1);
}

/* One step of 16 cells of some rows. */
INLINE void gate_rows(const Layer *layer, int64_t place, int64_t row, int64_t n, int64_t cell, const int n_rows,
                      const int bfloat16) {
    const int64_t column = 4 * cell, stride = layer->n_cells + GAP;
    Sums sums;
    for (int r = 0; r < n_rows; r++) {
        const float *ahead = ahead_of(layer, place + r, column);
        for (int j = 0; j < 4; j++) sums[r][j] = _mm512_loadu_ps(ahead + j * LANES);
    }
    for (int64_t next = row + n_rows; next < row + n_rows + ROWS && next < n; next++) {
        _mm_prefetch((const char *)(layer->cells + next * stride + cell), _MM_HINT_T0);
        if (layer->numbers) {
            const float *ahead = ahead_of(layer, place - row + next, column);
            for (int j = 0; j < 4; j++) _mm_prefetch((const char *)(ahead + j * LANES), _MM_HINT_T0);
        }
    }
    if (layer->input_units)
        add_products(sums, layer->inputs + place * layer->input_units, layer->input_units,
                     layer->of_input + column * layer->input_units, layer->input_units, n_rows, bfloat16);
    add_products(sums, layer->hidden + row * layer->output_units, layer->output_units,
                 layer->of_hidden + column * layer->output_units, layer->output_units, n_rows, bfloat16);
    float gates[ROWS][4][LANES] __attribute__((aligned(64)));
    for (int r = 0; r < n_rows; r++)
        for (int j = 0; j < 4; j++) _mm512_store_ps(gates[r][j], sums[r][j]);
    (bfloat16 ? close_gates_bfloat16 : close_gates_float32)(
        gates, n_rows, layer->cells + row * stride, layer->memory + row * stride, cell, stride, layer->cell_clip);
}

INLINE void read_layer(const Layer *layer, const int bfloat16) {
    const int64_t width = layer->n_outputs, memory_units = bfloat16 ? layer->n_cells / 2 : layer->n_cells;
    for (int64_t t = 0; t < layer->n_steps; t++) {
        const int64_t n = layer->counts[t], start = layer->starts[t];
        for (int64_t cell = 0; cell < layer->n_cells; cell += LANES)
            for (int64_t row = 0; row < n; row += ROWS) {
#define CALL(R) gate_rows(layer, start + row, row, n, cell, R, bfloat16)
                FOR_ROWS(n - row, CALL)
#undef CALL
            }
        float *out = layer->outputs + start * width;
        product(layer->memory, layer->n_cells + GAP, n, memory_units, layer->projection, NULL, width, out, bfloat16);
        for (int64_t row = 0; row < n; row++)
            for (int64_t column = 0; column < width; column += LANES) {
                const __mmask16 mask = mask_of(width - column);
                const __m512 h = clip(_mm512_maskz_loadu_ps(mask, out + row * width + column), layer->projection_clip);
                _mm512_mask_storeu_ps(out + row * width + column, mask, h);
                put(layer->hidden + row * layer->output_units, column, h, bfloat16);
            }
    }
}

void elmokit_product_float32(const float *x, int64_t n, int64_t n_units, const float *weight, const float *bias,
                              int64_t n_outputs, float *out) {
    product(x, n_units, n, n_units, weight, bias, n_outputs, out, 0);
}

void elmokit_product_bfloat16(const float *x, int64_t n, int64_t n_units, const float *weight, const float *bias,
                              int64_t n_outputs, float *out) {
    product(x, n_units, n, n_units, weight, bias, n_outputs, out, 1);
}

void elmokit_convolve_float32(const Convolution *convolution) { convolve(convolution, 0); }

void elmokit_convolve_bfloat16(const Convolution *convolution) { convolve(convolution, 1); }

void elmokit_highway_float32(const Highway *highway) { pass_highway(highway, 0); }

void elmokit_highway_bfloat16(const Highway *highway) { pass_highway(highway, 1); }

void elmokit_read_float32(const Layer *layer) { read_layer(layer, 0); }

void elmokit_read_bfloat16(const Layer *layer) { read_layer(layer, 1); }

/* Rows of floats as rows of units, padded with zeros to a multiple of 16 elements. */
void elmokit_round_bfloat16(const float *x, int64_t n, int64_t width, float *out, int64_t n_units) {
    for (int64_t row = 0; row < n; row++)
        for (int64_t column = 0; column < 2 * n_units; column += LANES) {
            const __m512 some = _mm512_maskz_loadu_ps(mask_of(width - column), x + row * width + column);
            put(out + row * n_units, column, some, 1);
        }
}
