/* Layers of one text to word vectors, and rows to length 1; every sum in a fixed order. */
#ifndef ELMOKIT_POOLING_H
#define ELMOKIT_POOLING_H

#include "products.h"

#define PARTIAL 8 /* sums in double that run beside each other: a fixed order for all instruction sets */

typedef struct {
    int64_t n_layers;
    int64_t n_words;
    int64_t width;        /* of a word's vector */
    int64_t layer_stride; /* floats from a layer to the next */
    const float *layers;  /* layers, words, width */
    const float *weights; /* of the layers */
    double *moments;      /* room for mean and deviation of each layer; NULL: layers are not normalised */
    float *words;         /* takes the mixed word vectors */
} Mixture;

/* (p0 + p4 + p2 + p6) + (p1 + p5 + p3 + p7), in this order. */
INLINE double total(const double *p) { return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7])); }

/* The sum of x - centre, or of its square. */
INLINE double sum_of(const float *x, int64_t n, double centre, const int squared) {
    double part[PARTIAL] = {0, 0, 0, 0, 0, 0, 0, 0};
    int64_t i = 0;
    for (; i + PARTIAL <= n; i += PARTIAL)
        for (int k = 0; k < PARTIAL; k++) {
            const double y = x[i + k] - centre;
            part[k] += squared ? y * y : y;
        }
    for (; i < n; i++) {
        const double y = x[i] - centre;
        part[i % PARTIAL] += squared ? y * y : y;
    }
    return total(part);
}

INLINE vec normalised(vec x, const double *moments) {
    float some[LANES];
    store(some, x);
    for (int i = 0; i < LANES; i++) some[i] = (float)((some[i] - moments[0]) / moments[1]);
    return load(some);
}

/* LANES floats of one word's vector. */
INLINE vec mixed(const Mixture *m, const float *x, Mask mask) {
    vec sum = all(0.0f);
    for (int64_t k = 0; k < m->n_layers; k++) {
        vec layer = load_some(mask, x + k * m->layer_stride);
        if (m->moments) layer = normalised(layer, m->moments + 2 * k);
        if (k)
            sum = fused(layer, all(m->weights[k]), sum);
        else
            sum = layer * all(m->weights[k]);
    }
    return sum;
}

INLINE void mix(const Mixture *m) {
    if (m->moments)
        for (int64_t k = 0; k < m->n_layers; k++) {
            const int64_t n = m->n_words * m->width;
            const float *x = m->layers + k * m->layer_stride;
            const double mean = sum_of(x, n, 0.0, 0) / (double)n;
            m->moments[2 * k] = mean;
            m->moments[2 * k + 1] = __builtin_sqrt(sum_of(x, n, mean, 1) / (double)n + 1e-12);
        }
    for (int64_t column = 0; column < m->width; column += LANES) {
        const Mask mask = mask_of(m->width - column);
        for (int64_t t = 0; t < m->n_words; t++) {
            const int64_t place = t * m->width + column;
            store_some(m->words + place, mask, mixed(m, m->layers + place, mask));
        }
    }
}

/* Scale rows to length 1; zeros stay zeros. */
INLINE void scale_rows(float *rows, int64_t n, int64_t width) {
    for (float *row = rows; row != rows + n * width; row += width) {
        const float length = (float)__builtin_sqrt(sum_of(row, width, 0.0, 1));
        if (length > 0)
            for (int64_t i = 0; i < width; i++) row[i] = row[i] / length;
    }
}

#endif
