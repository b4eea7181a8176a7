// Integer names, the storage types f16 and bf16 with their conversions, and the asserts that freeze parameter layouts.
// No CUDA headers: NVRTC and nvcc compile the kernels from this folder alone.
//
// Values are computed in f32 everywhere. f16 and bf16 only store: toFloat on load, fromFloat (round to nearest even) once on store.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

struct f16 { u16 bits; };    // IEEE binary16
struct bf16 { u16 bits; };   // upper half of an f32

// FIELD(S, f, at, bytes): member f of the parameter struct S lies at byte `at` and takes `bytes`. The catalogue tool reads these lines
// (kernels/ptx/catalogue.json), and the C# mirrors are tested against the catalogue.
#define FIELD(S, f, at, bytes) static_assert(OFFSET_OF(S, f) == (at) && sizeof(S::f) == (bytes), #S "." #f " moved")
#ifdef __CUDACC_RTC__   // has no offsetof
#define OFFSET_OF(S, f) __INTADDR__(&((S*)0)->f)
#else
#define OFFSET_OF(S, f) __builtin_offsetof(S, f)
#endif

// SIZE(S, bytes): the whole struct, which is the size of the entry's one parameter.
#define SIZE(S, bytes) static_assert(sizeof(S) == (bytes) && sizeof(S) <= 256, #S " changed its size")

__device__ __forceinline__ float toFloat(float x) { return x; }

__device__ __forceinline__ float toFloat(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

__device__ __forceinline__ float toFloat(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

// Round to nearest even into the type of the second argument, which only names it.
__device__ __forceinline__ float fromFloat(float x, float) { return x; }

__device__ __forceinline__ f16 fromFloat(float x, f16) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

__device__ __forceinline__ bf16 fromFloat(float x, bf16) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

// Two values in one word, `low` in the low half (the instruction takes the high half first).
__device__ __forceinline__ u32 pack(float low, float high, f16) {
    u32 w;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low));
    return w;
}

__device__ __forceinline__ u32 pack(float low, float high, bf16) {
    u32 w;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low));
    return w;
}

// The halves of a word.
__device__ __forceinline__ void unpack(u32 w, float& low, float& high, f16) {
    asm("{.reg .f16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h;}" : "=f"(low), "=f"(high) : "r"(w));
}

__device__ __forceinline__ void unpack(u32 w, float& low, float& high, bf16) {
    low = __uint_as_float(w << 16);
    high = __uint_as_float(w & 0xffff0000u);
}
