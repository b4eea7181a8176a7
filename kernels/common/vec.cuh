// 16 bytes of contiguous elements, as f32 values: 4 of f32, 8 of f16 or bf16. A full vector is one 16-byte access; at the end of a row
// `left` elements remain (may be 0 or negative) and the lanes past it are predicated off one by one, never left to another loop.
// FULL promises that left >= Vec<T>::N: blocks inside the array take it, so that their loads stand side by side without branches.
// Pointers are 16-byte aligned wherever left >= Vec<T>::N.
#pragma once
#include "types.cuh"

template <class T> struct Vec { enum { N = 16 / (int)sizeof(T) }; };

__device__ __forceinline__ void spread(const uint4& w, float (&v)[4], float) {
    v[0] = __uint_as_float(w.x), v[1] = __uint_as_float(w.y), v[2] = __uint_as_float(w.z), v[3] = __uint_as_float(w.w);
}

template <class T> __device__ __forceinline__ void spread(const uint4& w, float (&v)[8], T t) {
    unpack(w.x, v[0], v[1], t), unpack(w.y, v[2], v[3], t), unpack(w.z, v[4], v[5], t), unpack(w.w, v[6], v[7], t);
}

__device__ __forceinline__ uint4 gather(const float (&v)[4], float) {
    return make_uint4(__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3]));
}

template <class T> __device__ __forceinline__ uint4 gather(const float (&v)[8], T t) {
    return make_uint4(pack(v[0], v[1], t), pack(v[2], v[3], t), pack(v[4], v[5], t), pack(v[6], v[7], t));
}

// One 16-byte store; spelled out, because the compiler splits such stores when the vector's words have other uses.
__device__ __forceinline__ void store16(void* to, const uint4& w) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(w.x), "r"(w.y), "r"(w.z), "r"(w.w) : "memory");
}

// Elements past `left` become 0. Through the read-only path: for inputs read once.
template <bool FULL, class T> __device__ __forceinline__ void loadVec(const T* from, i64 left, float (&v)[Vec<T>::N]) {
    if (FULL || left >= Vec<T>::N) {
        spread(__ldg((const uint4*)from), v, T());
    } else {
#pragma unroll
        for (int i = 0; i < Vec<T>::N; i++) v[i] = i < left ? toFloat(from[i]) : 0.0f;
    }
}

// Rounds once; elements past `left` are not written.
template <bool FULL, class T> __device__ __forceinline__ void storeVec(T* to, i64 left, const float (&v)[Vec<T>::N]) {
    if (FULL || left >= Vec<T>::N) {
        store16(to, gather(v, T()));
    } else {
#pragma unroll
        for (int i = 0; i < Vec<T>::N; i++)
            if (i < left) to[i] = fromFloat(v[i], T());
    }
}
