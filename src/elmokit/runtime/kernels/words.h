/* The character CNN: convolutions over words whose windows are never built, and highway layers. */
#ifndef ELMOKIT_WORDS_H
#define ELMOKIT_WORDS_H

#include "products.h"

typedef struct {
    int64_t width; /* characters in a window */
    int64_t n_outputs;
    const float *weight;     /* packed */
    const float *of_padding; /* what a window of padding gives */
    const float *bias;
} Filters;

typedef struct {
    int64_t n_words;
    const int64_t *lengths;  /* of each word: windows that are not padding alone */
    int64_t max_characters;
    int64_t n_read;          /* characters in a row of `characters` */
    int64_t character_units; /* of one character */
    const float *characters; /* words, characters, units */
    int64_t relu;            /* else tanh */
    int64_t n_filters;
    const Filters *filters;
    int64_t n_outputs;       /* of all filters */
    float *out;
} Convolutions;

typedef struct {
    int64_t n_rows;
    int64_t width;        /* of a row: features in and out */
    int64_t n_units;      /* of a row of `rounded` */
    const float *rounded; /* the features in units (in float32: the same rows) */
    const float *weight;  /* packed; a panel holds transform and gate, halved, of COLUMNS / 2 features */
    const float *bias;    /* in the order of the weight's columns */
    const float *features;
    float *out;
} Highway;

/* The largest of some windows' products with a panel, and of `best`. */
INLINE void best_of_rows(vec best[4], const float *x, int64_t stride, const float *panel, int64_t n_units,
                         const int n_rows, const int bfloat16) {
    Sums sums;
    clear(sums, n_rows);
    add_products(sums, x, stride, panel, n_units, n_rows, bfloat16);
    for (int r = 0; r < n_rows; r++)
        for (int j = 0; j < 4; j++) best[j] = larger(best[j], sums[r][j]);
}

/* One word, a panel of filters from `column` on: windows, maximum, bias, activation. */
INLINE void convolve_word(const Convolutions *c, const Filters *f, int64_t word, int64_t column, float *out,
                          const int bfloat16) {
    const int64_t units = f->width * c->character_units, possible = c->max_characters - f->width + 1;
    const int64_t length = c->lengths[word], n = length < possible ? length : possible;
    const float *x = c->characters + word * c->n_read * c->character_units, *panel = f->weight + column * units;
    vec best[4];
    Mask masks[4];
    for (int j = 0; j < 4; j++) {
        masks[j] = mask_of(f->n_outputs - column - j * LANES);
        best[j] = length < possible ? load_some(masks[j], f->of_padding + column + j * LANES) : all(-__builtin_inff());
    }
#define CALL(R) best_of_rows(best, x + row * c->character_units, c->character_units, panel, units, R, bfloat16)
    FOR_ROWS(n, CALL)
#undef CALL
    for (int j = 0; j < 4; j++) {
        best[j] = best[j] + load_some(masks[j], f->bias + column + j * LANES);
        if (c->relu) {
            best[j] = larger(all(0.0f), best[j]);
        } else {
            const Fraction t = tanh_of(best[j], 0);
            best[j] = t.p / t.q;
        }
        store_some(out + j * LANES, masks[j], best[j]);
    }
}

INLINE void convolve(const Convolutions *c, const int bfloat16) {
    float *out = c->out;
    for (const Filters *f = c->filters; f < c->filters + c->n_filters; out += f->n_outputs, f++)
        for (int64_t column = 0; column < f->n_outputs; column += COLUMNS)
            for (int64_t word = 0; word < c->n_words; word++)
                convolve_word(c, f, word, column, out + word * c->n_outputs + column, bfloat16);
}

/* Features of some rows from their sums: x + sigmoid(gate) (relu(transform) - x), COLUMNS / 2 of each row. */
static __attribute__((noinline)) void close_highway(float (*sums)[4][LANES], int64_t n_rows, const float *bias,
                                                    const float *x, float *out, int64_t width, int64_t left) {
    for (int64_t r = 0; r < n_rows; r++, x += width, out += width)
        for (int j = 0; j < 2; j++) {
            const Mask mask = mask_of(left - j * LANES);
            const vec before = load_some(mask, x + j * LANES);
            const vec t = larger(all(0.0f), load(sums[r][j]) + load(bias + j * LANES)) - before;
            const Fraction g = tanh_of(load(sums[r][j + 2]) + load(bias + (j + 2) * LANES), 0);
            store_some(out + j * LANES, mask, fused((g.q + g.p) / (g.q + g.q), t, before));
        }
}

INLINE void highway_rows(const Highway *h, int64_t row, int64_t column, const int n_rows, const int bfloat16) {
    float total[ROWS][4][LANES] __attribute__((aligned(64)));
    const float *panel = h->weight + 2 * column * h->n_units, *x = h->rounded + row * h->n_units;
    for (int64_t k = 0; k < h->n_units; k += UNITS) {
        const int64_t units = h->n_units - k < UNITS ? h->n_units - k : UNITS;
        Sums sums;
        clear(sums, n_rows);
        add_products(sums, x + k, h->n_units, panel + k * COLUMNS, units, n_rows, bfloat16);
        for (int r = 0; r < n_rows; r++)
            for (int j = 0; j < 4; j++) {
                if (k) sums[r][j] = sums[r][j] + load(total[r][j]);
                store(total[r][j], sums[r][j]);
            }
    }
    const int64_t place = row * h->width + column;
    close_highway(total, n_rows, h->bias + 2 * column, h->features + place, h->out + place, h->width,
                  h->width - column);
}

INLINE void pass_highway(const Highway *h, const int bfloat16) {
    for (int64_t column = 0; column < h->width; column += COLUMNS / 2) {
#define CALL(R) highway_rows(h, row, column, R, bfloat16)
        FOR_ROWS(h->n_rows, CALL)
#undef CALL
    }
}

#endif
