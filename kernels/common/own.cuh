// Loads of arrays that the same kernel also writes: through the ordinary path, because the read-only path of vec.cuh must not see them.
#pragma once
#include "vec.cuh"

// One 16-byte load; spelled out, because the compiler splits such loads when the vector's words have other uses.
__device__ __forceinline__ uint4 load16(const void* from) {
    uint4 w;
    asm volatile("ld.global.v4.b32 {%0, %1, %2, %3}, [%4];" : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w) : "l"(__cvta_generic_to_global(from)) : "memory");
    return w;
}

// As loadVec: elements past `left` become 0.
template <bool FULL, class T> __device__ __forceinline__ void loadOwn(const T* from, i64 left, float (&v)[Vec<T>::N]) {
    if (FULL || left >= Vec<T>::N) {
        spread(load16(from), v, T());
    } else {
#pragma unroll
        for (int i = 0; i < Vec<T>::N; i++) v[i] = i < left ? toFloat(from[i]) : 0.0f;
    }
}
