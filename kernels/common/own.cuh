// Loads of arrays that the same kernel also writes: through the ordinary path, because the read-only path of vec.cuh must not see them.
#pragma once
#include "vec.cuh"

// As loadVec: elements past `left` become 0.
template <bool FULL, class T> __device__ __forceinline__ void loadOwn(const T* from, i64 left, float (&v)[Vec<T>::N]) {
    if (FULL || left >= Vec<T>::N) {
        spread(*(const uint4*)from, v, T());
    } else {
#pragma unroll
        for (int i = 0; i < Vec<T>::N; i++) v[i] = i < left ? toFloat(from[i]) : 0.0f;
    }
}
