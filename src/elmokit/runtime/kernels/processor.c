/* Which instruction sets this processor and system run; the bits are `INSTRUCTION_SETS` of the Python side. */
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
int _fltused = 0; /* what Microsoft's linker wants to see where there are floats */
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define VERSION 4 /* of the functions' arguments: one more whenever a structure or a signature changes */
#define JOIN(name, version) name##_##version
#define NAMED(name, version) JOIN(name, version)
#define INSTRUCTION_SETS EXPORT int64_t NAMED(elmokit_instruction_sets, VERSION)(void)

enum { PLAIN = 1, NEON = 2, AVX2 = 4, AVX512 = 8, AVX512_BF16 = 16 };

#if defined(__x86_64__)

#include <cpuid.h>

static uint64_t saved_registers(void) { /* what the system saves of the registers when it changes threads */
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

INSTRUCTION_SETS {
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx2 = 1u << 5;
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    uint32_t a, b, c, d, extended;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & fma) || !(c & osxsave)) return PLAIN;
    const uint64_t saved = saved_registers();
    if ((saved & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & avx2)) return PLAIN;
    if ((saved & 0xE6) != 0xE6 || (b & avx512) != avx512) return PLAIN | AVX2;
    if (a < 1 || !__get_cpuid_count(7, 1, &extended, &b, &c, &d) || !(extended & 1u << 5)) return PLAIN | AVX2 | AVX512;
    return PLAIN | AVX2 | AVX512 | AVX512_BF16;
}

#elif defined(__aarch64__)

INSTRUCTION_SETS { return NEON; }

#else

INSTRUCTION_SETS { return PLAIN; }

#endif
