/* The loops in which a biLM spends its time, compiled once for each instruction set (LEVEL is its name).
 *
 * Same input, same float32 bits, on every instruction set: an output is one sum in the order of its terms, products and
 * sums are fused, and nothing calls a library, not even C's. `elmokit.runtime.kernels` packs the weights, asks
 * processor.c what the processor runs, and calls. AVX-512 with bfloat16 has every loop in bfloat16 too: weights and
 * inputs are read in units of four bytes, one float32 or two bfloat16; sums are float32.
 */
#include "lstm.h"
#include "pooling.h"
#include "words.h"

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define JOIN(level, name) elmokit_##level##_##name
#define NAMED(level, name) JOIN(level, name)
#define LOOP(name) EXPORT void NAMED(LEVEL, name)

LOOP(product_float32)(const float *x, int64_t n, int64_t n_units, const float *weight, const float *bias,
                      int64_t n_outputs, float *out) {
    product(x, n_units, n, n_units, weight, bias, n_outputs, out, 0);
}

LOOP(convolve_float32)(const Convolutions *convolutions) { convolve(convolutions, 0); }

LOOP(highway_float32)(const Highway *highway) { pass_highway(highway, 0); }

LOOP(read_float32)(const Layer *layer) { read_layer(layer, 0); }

LOOP(mix_float32)(const Mixture *mixture) { mix(mixture); }

LOOP(scale_float32)(float *rows, int64_t n, int64_t width) { scale_rows(rows, n, width); }

#if HAS_BFLOAT16

LOOP(product_bfloat16)(const float *x, int64_t n, int64_t n_units, const float *weight, const float *bias,
                       int64_t n_outputs, float *out) {
    product(x, n_units, n, n_units, weight, bias, n_outputs, out, 1);
}

LOOP(convolve_bfloat16)(const Convolutions *convolutions) { convolve(convolutions, 1); }

LOOP(highway_bfloat16)(const Highway *highway) { pass_highway(highway, 1); }

LOOP(read_bfloat16)(const Layer *layer) { read_layer(layer, 1); }

/* Rows of floats as rows of units, padded with zeros to a multiple of 16 elements. */
LOOP(round_bfloat16)(const float *x, int64_t n, int64_t width, float *out, int64_t n_units) {
    for (int64_t row = 0; row < n; row++)
        for (int64_t column = 0; column < 2 * n_units; column += LANES)
            put(out + row * n_units, column, load_some(mask_of(width - column), x + row * width + column), 1);
}

#endif
