// Parameters of linear layers: y = x W^T + b with W [M, K] as checkpoints hold it, and its gradients. N rows (the batch: few), M results, K inputs.
// linear.cu, linear_grad.cu: f16 and bf16 on tensor cores; linear_f32.cu: f32 without.
#pragma once
#include "activation.cuh"
#include "four.cuh"
#include "mma.cuh"

struct LinearParams {
    const void* x;          // [N, K] T, row stride ldx
    const void* w;          // [M, K] T
    const float* bias;      // [M] or null
    const void* residual;   // [N, M] T, row stride ldr, or null
    void* y;                // [N, M] T, row stride ldy
    i64 ldx, ldr, ldy;      // elements
    int N, M, K;
    int silu;               // 1: y = silu(sum + bias + residual)
};
FIELD(LinearParams, x, 0, 8);
FIELD(LinearParams, w, 8, 8);
FIELD(LinearParams, bias, 16, 8);
FIELD(LinearParams, residual, 24, 8);
FIELD(LinearParams, y, 32, 8);
FIELD(LinearParams, ldx, 40, 8);
FIELD(LinearParams, ldr, 48, 8);
FIELD(LinearParams, ldy, 56, 8);
FIELD(LinearParams, N, 64, 4);
FIELD(LinearParams, M, 68, 4);
FIELD(LinearParams, K, 72, 4);
FIELD(LinearParams, silu, 76, 4);
SIZE(LinearParams, 80);

struct LinearInputParams {
    const void* dy;         // [N, M] T, row stride lddy
    const void* w;          // [M, K] T
    const void* addend;     // [N, K] T, row stride lda, or null; null with partial
    void* dx;               // [N, K] T, row stride lddx
    float* partial;         // [slices, N, Kp], Kp = K in whole eights: sums of slices of M instead of dx; null with one slice
    i64 lddy, lda, lddx;    // elements
    int N, M, K;
    int rows;               // of W in a slice, a multiple of 64
};
FIELD(LinearInputParams, dy, 0, 8);
FIELD(LinearInputParams, w, 8, 8);
FIELD(LinearInputParams, addend, 16, 8);
FIELD(LinearInputParams, dx, 24, 8);
FIELD(LinearInputParams, partial, 32, 8);
FIELD(LinearInputParams, lddy, 40, 8);
FIELD(LinearInputParams, lda, 48, 8);
FIELD(LinearInputParams, lddx, 56, 8);
FIELD(LinearInputParams, N, 64, 4);
FIELD(LinearInputParams, M, 68, 4);
FIELD(LinearInputParams, K, 72, 4);
FIELD(LinearInputParams, rows, 76, 4);
SIZE(LinearInputParams, 80);

struct LinearWeightParams {
    const void* x;          // [N, K] T, row stride ldx
    const void* dy;         // [N, M] T, row stride lddy
    float* dw;              // [M, K]
    i64 ldx, lddy;          // elements
    int N, M, K;
    int accumulate;         // 1: dw is added to, 0: replaced
};
FIELD(LinearWeightParams, x, 0, 8);
FIELD(LinearWeightParams, dy, 8, 8);
FIELD(LinearWeightParams, dw, 16, 8);
FIELD(LinearWeightParams, ldx, 24, 8);
FIELD(LinearWeightParams, lddy, 32, 8);
FIELD(LinearWeightParams, N, 40, 4);
FIELD(LinearWeightParams, M, 44, 4);
FIELD(LinearWeightParams, K, 48, 4);
FIELD(LinearWeightParams, accumulate, 52, 4);
SIZE(LinearWeightParams, 56);

__device__ __forceinline__ uint4 loadChunk(const u16* from, bool exists) { return exists ? __ldg((const uint4*)from) : make_uint4(0, 0, 0, 0); }

__device__ __forceinline__ void addFour(float (&sum)[4], const float4& v) { sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w; }

template <class T> __device__ __forceinline__ float silu(float u) { return u * sigmoid<T>(u); }
