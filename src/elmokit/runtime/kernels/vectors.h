/* One register of floats, and what the loops do with it, for each instruction set: 16 floats (AVX-512), 8 (AVX2 with
 * FMA), 4 (NEON, and plain C for everything else). The compiler's options choose the set.
 *
 * Every operation rounds in the same way on all of them: +, -, * and / as IEEE 754 says, `fused` once per product and
 * sum. `larger` and `smaller` give the second operand where one is not a number.
 */
#ifndef ELMOKIT_VECTORS_H
#define ELMOKIT_VECTORS_H

#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* LANES: floats in a register. ROWS x 4: sums kept in registers, so that weights and inputs still fit. */
#if defined(__AVX512F__)

#include <immintrin.h>
#define LANES 16
#define ROWS 6
typedef __m512 vec;
typedef __mmask16 Mask;

INLINE vec all(float x) { return _mm512_set1_ps(x); }
INLINE vec load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void store(float *p, vec x) { _mm512_storeu_ps(p, x); }
INLINE vec fused(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec larger(vec a, vec b) { return _mm512_max_ps(a, b); }
INLINE vec smaller(vec a, vec b) { return _mm512_min_ps(a, b); }
INLINE Mask mask_of(int64_t left) { return left >= LANES ? 0xFFFF : left > 0 ? (Mask)((1u << left) - 1) : 0; }
INLINE vec load_some(Mask mask, const float *p) { return _mm512_maskz_loadu_ps(mask, p); }
INLINE void store_some(float *p, Mask mask, vec x) { _mm512_mask_storeu_ps(p, mask, x); }

#elif defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>
#define LANES 8
#define ROWS 3
typedef __m256 vec;
typedef int64_t Mask; /* how many floats: a masked store takes some processors a dozen times as long as a plain one */

INLINE vec all(float x) { return _mm256_set1_ps(x); }
INLINE vec load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void store(float *p, vec x) { _mm256_storeu_ps(p, x); }
INLINE vec fused(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec larger(vec a, vec b) { return _mm256_max_ps(a, b); }
INLINE vec smaller(vec a, vec b) { return _mm256_min_ps(a, b); }
INLINE Mask mask_of(int64_t left) { return left; }
INLINE __m256i bits_of(Mask mask) {
    const int n = mask < 0 ? 0 : (int)mask;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vec load_some(Mask mask, const float *p) {
    return mask >= LANES ? load(p) : _mm256_maskload_ps(p, bits_of(mask));
}
INLINE void store_some(float *p, Mask mask, vec x) {
    mask >= LANES ? store(p, x) : _mm256_maskstore_ps(p, bits_of(mask), x);
}

#else

#define LANES 4
typedef int64_t Mask; /* how many floats */

#if defined(__aarch64__)

#include <arm_neon.h>
#define ROWS 6
typedef float32x4_t vec;

INLINE vec all(float x) { return vdupq_n_f32(x); }
INLINE vec load(const float *p) { return vld1q_f32(p); }
INLINE void store(float *p, vec x) { vst1q_f32(p, x); }
INLINE vec fused(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
INLINE vec larger(vec a, vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INLINE vec smaller(vec a, vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }

#else

#define ROWS 3
typedef float vec __attribute__((vector_size(16)));

INLINE vec all(float x) { return (vec){x, x, x, x}; }
INLINE vec load(const float *p) {
    vec x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
}
INLINE void store(float *p, vec x) { __builtin_memcpy(p, &x, sizeof x); }

/* a b + c, rounded once. In double the product is exact; what rounding the sum to double loses matters only where the
 * sum lies half-way between two floats, so there it is made odd in its last bit before it is rounded again. */
static __attribute__((noinline)) float fused_one(float a, float b, float c) {
    union {
        double number;
        int64_t bits;
    } sum;
    const double product = (double)a * b, before = c;
    sum.number = product + before;
    const double part = sum.number - product, error = (product - (sum.number - part)) + (before - part);
    if ((error > 0 || error < 0) && !(sum.bits & 1)) sum.bits += (error > 0) == (sum.number > 0) ? 1 : -1;
    return (float)sum.number;
}

#if defined(__SSE2__)

#include <emmintrin.h>
INLINE vec larger(vec a, vec b) { return _mm_max_ps(a, b); }
INLINE vec smaller(vec a, vec b) { return _mm_min_ps(a, b); }

INLINE vec fused(vec a, vec b, vec c) {
    const __m128d first = _mm_add_pd(_mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b)), _mm_cvtps_pd(c));
    const __m128d second = _mm_add_pd(
        _mm_mul_pd(_mm_cvtps_pd(_mm_movehl_ps(a, a)), _mm_cvtps_pd(_mm_movehl_ps(b, b))),
        _mm_cvtps_pd(_mm_movehl_ps(c, c)));
    /* half-way between floats, or too small for a normal float? */
    const __m128 one = _mm_castpd_ps(first), two = _mm_castpd_ps(second);
    const __m128i low = _mm_castps_si128(_mm_shuffle_ps(one, two, 0x88));
    const __m128i high = _mm_castps_si128(_mm_shuffle_ps(one, two, 0xDD));
    const __m128i half = _mm_cmpeq_epi32(_mm_and_si128(low, _mm_set1_epi32(0x1FFFFFFF)), _mm_set1_epi32(0x10000000));
    const __m128i size = _mm_add_epi32(_mm_and_si128(high, _mm_set1_epi32(0x7FFFFFFF)), _mm_set1_epi32(0x7FFFFFFF));
    const __m128i small = _mm_cmplt_epi32(size, _mm_set1_epi32((int)0xB80FFFFF));
    if (__builtin_expect(_mm_movemask_ps(_mm_castsi128_ps(_mm_or_si128(half, small))), 0)) {
        vec sum;
        for (int i = 0; i < LANES; i++) sum[i] = fused_one(a[i], b[i], c[i]);
        return sum;
    }
    return _mm_movelh_ps(_mm_cvtpd_ps(first), _mm_cvtpd_ps(second));
}

#else

INLINE vec larger(vec a, vec b) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}
INLINE vec smaller(vec a, vec b) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] < b[i] ? a[i] : b[i];
    return a;
}
INLINE vec fused(vec a, vec b, vec c) {
    for (int i = 0; i < LANES; i++) c[i] = fused_one(a[i], b[i], c[i]);
    return c;
}

#endif
#endif

INLINE Mask mask_of(int64_t left) { return left > LANES ? LANES : left; }
INLINE vec load_some(Mask mask, const float *p) {
    if (mask == LANES) return load(p);
    vec x = all(0.0f);
    for (int i = 0; i < LANES; i++)
        if (i < mask) x[i] = p[i];
    return x;
}
INLINE void store_some(float *p, Mask mask, vec x) {
    if (mask == LANES) return store(p, x);
    for (int i = 0; i < LANES; i++)
        if (i < mask) p[i] = x[i];
}

#endif

#define COLUMNS (4 * LANES) /* columns of a panel of weights: four registers */

/* Two bfloat16 in each unit of four bytes: what the float32 loops need beside multiplying. */
#if defined(__AVX512BF16__)
#define HAS_BFLOAT16 1
INLINE vec fused_pairs(vec a, vec b, vec c) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }
INLINE void store_rounded(float *p, vec x) { _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(x)); }
INLINE vec load_rounded(const float *p) {
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16);
}
#else
#define HAS_BFLOAT16 0
INLINE vec fused_pairs(vec a, vec b, vec c) { return fused(a, b, c); }
INLINE void store_rounded(float *p, vec x) { store(p, x); }
INLINE vec load_rounded(const float *p) { return load(p); }
#endif

/* x, but no further from zero than a bound. */
INLINE vec clip(vec x, float bound) { return smaller(all(bound), larger(all(-bound), x)); }

#endif
