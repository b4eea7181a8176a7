// sigmoid(u) = 1 / (1 + exp(-u)) as each element type wants it. Finite for every finite u: an overflowing exp gives 1 / inf = 0.
#pragma once
#include "types.cuh"

// Storage types: ex2.approx and rcp.approx (flushing: exp of very negative is 0 either way).
template <class T> __device__ __forceinline__ float sigmoid(float u) {
    float e, s;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(u * -1.44269504f));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(s) : "f"(1.0f + e));
    return s;
}

template <> __device__ __forceinline__ float sigmoid<float>(float u) { return 1.0f / (1.0f + expf(-u)); }
