// Sums over a warp and over a block in one fixed order, so that results are the same bits on every run.
// Lane l of a warp holds term l; the tree adds lanes at distance 16, 8, 4, 2, 1; then warp w's sum is term w of the same tree.
#pragma once
#include "types.cuh"

// Every lane gets the sum. All 32 lanes must take part.
__device__ __forceinline__ float warpSum(float v) {
#pragma unroll
    for (int distance = 16; distance > 0; distance >>= 1) v += __shfl_xor_sync(0xffffffffu, v, distance);
    return v;
}

// The block's first warp gets the sum, other warps an unspecified value. Every thread of a block of 32 WARPS threads must call it;
// slots is shared memory used by nothing else. One barrier.
template <int WARPS> __device__ __forceinline__ float blockSum(float v, float (&slots)[WARPS]) {
    static_assert(WARPS >= 1 && WARPS <= 32, "a block has 1 to 32 warps");
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    v = warpSum(v);
    if (lane == 0) slots[warp] = v;
    __syncthreads();
    if (warp == 0) v = warpSum(lane < WARPS ? slots[lane] : 0.0f);
    return v;
}
