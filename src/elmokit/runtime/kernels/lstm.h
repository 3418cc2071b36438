/* One direction of one LSTM layer, its gates computed while their sums are at hand. */
#ifndef ELMOKIT_LSTM_H
#define ELMOKIT_LSTM_H

#include "products.h"

#define GAP 16 /* floats between rows of cells, since rows a power of two apart would share a place in the cache */

#define FEW_ROWS 6 /* steps with fewer rows take their inputs ahead: each weight is read less often */

/* The columns of gates are ordered so that a panel holds input, forget, output and candidate of LANES cells. */
typedef struct {
    int64_t n_steps;
    const int64_t *counts;   /* rows read at each step, falling */
    const int64_t *starts;   /* place of each step's first row among all rows; behind them the number of rows */
    int64_t n_units;         /* of a row of `inputs` and of `hidden` */
    int64_t n_cells;         /* a multiple of 16 */
    int64_t n_outputs;
    int64_t max_ahead;       /* rows for which there is room in `ahead`; as many as a step has, at least */
    const float *inputs;     /* a row per place, or the rows that `numbers` name */
    const int64_t *numbers;  /* of each place; NULL: the place itself */
    const float *of_input;   /* packed, inputs to gates */
    const float *of_hidden;  /* packed, hidden state to gates */
    const float *projection; /* packed, cells to outputs; NULL: outputs are what the cells give */
    const float *bias;       /* of gates */
    float cell_clip;         /* infinity for none */
    float projection_clip;   /* infinity for none */
    float *hidden;           /* state, in units, updated in place */
    float *cells;            /* state, updated in place; rows of n_cells + GAP */
    float *memory;           /* room for what a step's cells give, in units; rows of n_cells + GAP */
    float *distinct;         /* room for max_ahead rows of inputs, where there are numbers */
    float *ahead;            /* room for max_ahead rows of gates */
    int64_t *rows;           /* room for max_ahead rows' places in `ahead` */
    int64_t *row_of;         /* room for each number's row in `distinct`, zeros at first, where there are numbers */
    int64_t *number_of;      /* room for max_ahead numbers of rows of `distinct`, where there are numbers */
    float *outputs;          /* a row per place */
} Layer;

/* Where the gates of a row of a step begin: the bias, and the inputs if they were multiplied ahead. */
typedef struct {
    const float *gates;  /* of rows, or the bias alone */
    const int64_t *rows; /* of the step's rows; NULL: the bias */
} Ahead;

INLINE const float *ahead_of(const Layer *layer, Ahead ahead, int64_t row, int64_t column) {
    return ahead.gates + column + (ahead.rows ? ahead.rows[row] * 4 * layer->n_cells : 0);
}

/* New cells of some rows from their gates, and what they give. These are functions of their own, since the compiler
 * would else keep their constants in the registers that the sums need. */
INLINE void close_gates(float (*gates)[4][LANES], int64_t n_rows, float *cells, float *memory, int64_t cell,
                        int64_t stride, float cell_clip, const int bfloat16) {
    for (int64_t r = 0; r < n_rows; r++, cells += stride, memory += stride) {
        const Fraction i = tanh_of(load(gates[r][0]), bfloat16), f = tanh_of(load(gates[r][1]), bfloat16);
        const Fraction o = tanh_of(load(gates[r][2]), bfloat16), g = tanh_of(load(gates[r][3]), bfloat16);
        /* a sigmoid is (1 + tanh) / 2, so c f + i g = (c (qf + pf) qi qg + (qi + pi) pg qf) / (2 qf qi qg) */
        const vec both = i.q * g.q, new = (i.q + i.p) * g.p;
        vec c = load(cells + cell) * (f.q + f.p);
        c = fused(c, both, new * f.q) / ((f.q + f.q) * both);
        c = clip(c, cell_clip);
        store(cells + cell, c);
        const Fraction h = tanh_of(c, bfloat16);
        put(memory, cell, (o.q + o.p) * h.p / ((o.q + o.q) * h.q), bfloat16);
    }
}

static __attribute__((noinline)) void close_gates_float32(float (*gates)[4][LANES], int64_t n_rows, float *cells,
                                                          float *memory, int64_t cell, int64_t stride, float bound) {
    close_gates(gates, n_rows, cells, memory, cell, stride, bound, 0);
}

#if HAS_BFLOAT16
static __attribute__((noinline)) void close_gates_bfloat16(float (*gates)[4][LANES], int64_t n_rows, float *cells,
                                                           float *memory, int64_t cell, int64_t stride, float bound) {
    close_gates(gates, n_rows, cells, memory, cell, stride, bound, 1);
}
#else
#define close_gates_bfloat16 close_gates_float32
#endif

/* One step of LANES cells of some rows. */
INLINE void gate_rows(const Layer *layer, const float *inputs, Ahead ahead, int64_t row, int64_t n, int64_t cell,
                      const int n_rows, const int bfloat16) {
    const int64_t stride = layer->n_cells + GAP, units = layer->n_units;
    float gates[ROWS][4][LANES] __attribute__((aligned(64)));
    for (int64_t next = row + n_rows; next < row + n_rows + ROWS && next < n; next++) {
        __builtin_prefetch(layer->cells + next * stride + cell);
        if (ahead.rows)
            for (int j = 0; j < COLUMNS; j += 16) __builtin_prefetch(ahead_of(layer, ahead, next, 4 * cell) + j);
    }
    Sums sums;
    for (int r = 0; r < n_rows; r++) {
        const float *start = ahead_of(layer, ahead, row + r, 4 * cell);
        for (int j = 0; j < 4; j++) sums[r][j] = load(start + j * LANES);
    }
    if (!ahead.rows)
        add_products(sums, inputs + row * units, units, layer->of_input + 4 * cell * units, units, n_rows, bfloat16);
    add_products(sums, layer->hidden + row * units, units, layer->of_hidden + 4 * cell * units, units, n_rows, bfloat16);
    for (int r = 0; r < n_rows; r++)
        for (int j = 0; j < 4; j++) store(gates[r][j], sums[r][j]);
    (bfloat16 ? close_gates_bfloat16 : close_gates_float32)(
        gates, n_rows, layer->cells + row * stride, layer->memory + row * stride, cell, stride, layer->cell_clip);
}

/* The outputs of a step and the next hidden state, from what its cells gave. */
INLINE void close_step(const Layer *layer, int64_t n, float *out, const int bfloat16) {
    const int64_t width = layer->n_outputs, stride = layer->n_cells + GAP;
    if (layer->projection)
        product(layer->memory, stride, n, bfloat16 ? layer->n_cells / 2 : layer->n_cells, layer->projection, NULL,
                width, out, bfloat16);
    for (int64_t row = 0; row < n; row++) {
        const float *memory = layer->memory + row * stride;
        for (int64_t column = 0; column < width; column += LANES) {
            const Mask mask = mask_of(width - column);
            vec h;
            if (layer->projection)
                h = clip(load_some(mask, out + row * width + column), layer->projection_clip);
            else
                h = bfloat16 ? load_rounded(memory + column / 2) : load(memory + column);
            store_some(out + row * width + column, mask, h);
            put(layer->hidden + row * layer->n_units, column, h, bfloat16);
        }
    }
}

/* Multiply the inputs of some places ahead: each distinct one once. */
INLINE void multiply_ahead(const Layer *layer, int64_t start, int64_t end, const int bfloat16) {
    const int64_t units = layer->n_units;
    const float *x = layer->inputs + start * units;
    int64_t n = layer->numbers ? 0 : end - start;
    for (int64_t place = start; place < end; place++) {
        int64_t row = place - start;
        if (layer->numbers) {
            const int64_t number = layer->numbers[place];
            row = layer->row_of[number];
            if (row >= n || layer->number_of[row] != number) { /* not yet among the rows */
                row = layer->row_of[number] = n++;
                layer->number_of[row] = number;
                for (int64_t k = 0; k < units; k++) layer->distinct[row * units + k] = layer->inputs[number * units + k];
            }
        }
        layer->rows[place - start] = row;
    }
    product(layer->numbers ? layer->distinct : x, units, n, units, layer->of_input, layer->bias, 4 * layer->n_cells,
            layer->ahead, bfloat16);
}

INLINE void read_layer(const Layer *layer, const int bfloat16) {
    const int64_t *starts = layer->starts, *counts = layer->counts;
    for (int64_t first = 0, end; first < layer->n_steps; first = end) {
        const int in_loop = !layer->numbers && layer->n_units <= UNITS && counts[first] >= FEW_ROWS;
        for (end = first + 1; end < layer->n_steps; end++)
            if (in_loop ? counts[end] < FEW_ROWS : starts[end + 1] - starts[first] > layer->max_ahead) break;
        if (!in_loop) multiply_ahead(layer, starts[first], starts[end], bfloat16);
        for (int64_t t = first; t < end; t++) {
            const int64_t n = counts[t];
            const int64_t *rows = in_loop ? NULL : layer->rows + starts[t] - starts[first];
            const Ahead ahead = {in_loop ? layer->bias : layer->ahead, rows};
            const float *inputs = layer->inputs + starts[t] * layer->n_units;
            for (int64_t cell = 0; cell < layer->n_cells; cell += LANES) {
#define CALL(R) gate_rows(layer, inputs, ahead, row, n, cell, R, bfloat16)
                FOR_ROWS(n, CALL)
#undef CALL
            }
            close_step(layer, n, layer->outputs + starts[t] * layer->n_outputs, bfloat16);
        }
    }
}

#endif
