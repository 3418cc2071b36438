/* Matrix products with packed weights, and tanh: what the other loops are made of.
 *
 * Packed weights: panels of four registers' columns, each with its terms behind each other, (panels, units, COLUMNS),
 * padded with zeros. A unit is one float32 or two bfloat16. An output is one sum, in the order of its terms, whatever
 * the other rows are, however many they are, and however wide a register is.
 */
#ifndef ELMOKIT_PRODUCTS_H
#define ELMOKIT_PRODUCTS_H

#include "vectors.h"

#define UNITS 512 /* units added up before they go to the result: keeps a panel in cache and rounding small */

typedef vec Sums[ROWS][4];

/* Blocks of rows as equal as can be: seven as four and three, not as six and one. Few sums wait for each other. */
INLINE int64_t rows_at_once(int64_t n) {
    const int64_t blocks = (n + ROWS - 1) / ROWS;
    return blocks ? (n + blocks - 1) / blocks : 1;
}

/* CALL(number of rows, known to the compiler) for each block; it begins at `row`. */
#define FOR_ROWS(n, CALL)                                                                                            \
    for (int64_t row = 0, step = rows_at_once(n); row < (n); row += step) switch ((n) - row < step ? (n) - row : step) { \
            case 1: CALL(1); break;                                                                                  \
            case 2: CALL(2); break;                                                                                  \
            case 3: CALL(3); break;                                                                                  \
            MORE_ROWS(CALL)                                                                                          \
        }
#if ROWS == 6
#define MORE_ROWS(CALL)                                                                                              \
    case 4: CALL(4); break;                                                                                          \
    case 5: CALL(5); break;                                                                                          \
    case 6: CALL(6); break;
#else
#define MORE_ROWS(CALL)
#endif

typedef struct {
    vec p, q;
} Fraction;

/* tanh as a fraction, x P(x^2) / Q(x^2), fitted by dev/fit_tanh.py: to 2e-8 for float32, to 5e-5 for bfloat16. Beyond
 * the bounds it stays as it is there. Q is between 1 and 420: denominators can be multiplied before one division. */
INLINE Fraction tanh_of(vec x, const int bfloat16) {
    const vec y = clip(x, bfloat16 ? 5.0f : 9.01f), s = y * y;
    vec p, q;
    if (bfloat16) {
        p = all(6.705717187e-04f), q = all(1.281996013e-02f);
        p = fused(p, s, all(1.024179719e-01f)), q = fused(q, s, all(4.354328648e-01f));
        p = fused(p, s, all(9.999481072e-01f)), q = fused(q, s, all(1.0f));
    } else {
        p = all(1.333691267e-08f), q = all(7.769311302e-07f);
        p = fused(p, s, all(2.059632686e-05f)), q = fused(q, s, all(3.284368748e-04f));
        p = fused(p, s, all(3.494814545e-03f)), q = fused(q, s, all(2.587404033e-02f));
        p = fused(p, s, all(1.338037463e-01f)), q = fused(q, s, all(4.671369005e-01f));
        p = fused(p, s, all(9.999999793e-01f)), q = fused(q, s, all(1.0f));
    }
    return (Fraction){p * y, q};
}

/* Store one register's elements of a row of units, from element `column` on. */
INLINE void put(float *row, int64_t column, vec x, const int bfloat16) {
    if (bfloat16)
        store_rounded(row + column / 2, x);
    else
        store(row + column, x);
}

INLINE void clear(Sums sums, const int n_rows) {
    for (int r = 0; r < n_rows; r++)
        for (int j = 0; j < 4; j++) sums[r][j] = all(0.0f);
}

/* Add the products of `n_rows` rows with a panel. Rows are reached from the first and the fourth, so that
 * the addresses of six fit into three registers: the empty assembly keeps the compiler from counting six pointers up. */
INLINE void add_products(Sums sums, const float *x, int64_t stride, const float *panel, int64_t n_units,
                         const int n_rows, const int bfloat16) {
    const float *x3 = x + 3 * stride, *end = panel + n_units * COLUMNS;
    for (; panel != end; panel += COLUMNS, x++, x3++) {
        __asm__("" : "+r"(x), "+r"(x3), "+r"(stride));
        vec w[4];
        for (int j = 0; j < 4; j++) w[j] = load(panel + j * LANES);
        for (int r = 0; r < n_rows; r++) {
            const vec a = all(r < 3 ? x[r * stride] : x3[(r - 3) * stride]);
            for (int j = 0; j < 4; j++)
                sums[r][j] = bfloat16 ? fused_pairs(a, w[j], sums[r][j]) : fused(a, w[j], sums[r][j]);
        }
    }
}

/* How a product's sums begin and end: from `bias` (one row for all; NULL for zeros), or added to what `out` holds. */
INLINE void product_rows(const float *x, int64_t stride, const float *panel, int64_t n_units, const float *bias,
                         const int again, float *out, int64_t n_outputs, int64_t left, const int n_rows,
                         const int bfloat16) {
    Sums sums;
    clear(sums, n_rows);
    if (bias)
        for (int j = 0; j < 4; j++) {
            const vec start = load_some(mask_of(left - j * LANES), bias + j * LANES);
            for (int r = 0; r < n_rows; r++) sums[r][j] = start;
        }
    add_products(sums, x, stride, panel, n_units, n_rows, bfloat16);
    for (int r = 0; r < n_rows; r++)
        for (int j = 0; j < 4; j++) {
            const Mask mask = mask_of(left - j * LANES);
            float *place = out + r * n_outputs + j * LANES;
            if (again) sums[r][j] = sums[r][j] + load_some(mask, place);
            store_some(place, mask, sums[r][j]);
        }
}

/* x @ weight + bias; without a bias where that is NULL. */
INLINE void product(const float *x, int64_t stride, int64_t n, int64_t n_units, const float *weight, const float *bias,
                    int64_t n_outputs, float *out, const int bfloat16) {
    for (int64_t k = 0; k < n_units; k += UNITS) {
        const int64_t units = n_units - k < UNITS ? n_units - k : UNITS;
        for (int64_t column = 0; column < n_outputs; column += COLUMNS) {
            const float *panel = weight + column * n_units + k * COLUMNS;
#define CALL(R)                                                                                                      \
    product_rows(x + row * stride + k, stride, panel, units, k || !bias ? NULL : bias + column, k > 0,               \
                 out + row * n_outputs + column, n_outputs, n_outputs - column, R, bfloat16)
            FOR_ROWS(n, CALL)
#undef CALL
        }
    }
}

#endif
