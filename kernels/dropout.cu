// Dropout whose mask is a function of (seed, layer, element), so that backward and recomputation draw the same: y = keep ? x / (1 - p) : 0.
//
// keep(i) = (word i mod 4 of Philox(key = seed, counter = (i / 4 low, i / 4 high, layer, 0)) >> 8) >= threshold = ceil(p 2^24), i the row-major
// element number: the integers of AdmNative.Core.Dropout. The gradient is the same kernel on dy. In place ok.
// Traffic: 2 n b + 8 bytes of seed per warp. A thread takes one vector of 16 bytes: one Philox block per 4 elements.
//
// launch dropout_apply_{f32,f16,bf16}(DropoutParams): block 256; grid x = ceil(n / (1024 | 2048)), 1024 for f32, 2048 for f16 and bf16; shared 0; x, y
//        16-byte aligned.
// Budget: 48 registers, no spills, no shared memory. Deterministic: one writer per element.
#include "common/own.cuh"
#include "common/philox.cuh"

struct DropoutParams {
    const void* x;       // [n] T
    void* y;             // [n] T
    const int* seed;     // [2], each 0 .. 2^24 - 1
    i64 n;               // elements
    float scale;         // 1 / (1 - p)
    u32 threshold;       // smallest word >> 8 that is kept
    u32 layer;           // tells the dropout layers of a network apart
    int reserved;        // 0
};
FIELD(DropoutParams, x, 0, 8);
FIELD(DropoutParams, y, 8, 8);
FIELD(DropoutParams, seed, 16, 8);
FIELD(DropoutParams, n, 24, 8);
FIELD(DropoutParams, scale, 32, 4);
FIELD(DropoutParams, threshold, 36, 4);
FIELD(DropoutParams, layer, 40, 4);
FIELD(DropoutParams, reserved, 44, 4);
SIZE(DropoutParams, 48);

template <class T> __device__ __forceinline__ void dropout(const DropoutParams& p) {
    constexpr int V = Vec<T>::N;
    const i64 first = ((i64)blockIdx.x * 256 + threadIdx.x) * V, left = p.n - first;
    if (left <= 0) return;
    const int2 key = __ldg((const int2*)p.seed);
    float v[V];
    loadOwn<false>((const T*)p.x + first, left, v);
#pragma unroll
    for (int q = 0; q < V / 4; q++) {
        const u64 quad = (u64)first / 4 + q;
        const uint4 r = philox(make_uint4((u32)quad, (u32)(quad >> 32), p.layer, 0), (u32)key.x, (u32)key.y);
        const u32 words[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
        for (int i = 0; i < 4; i++) v[4 * q + i] = words[i] >> 8 >= p.threshold ? v[4 * q + i] * p.scale : 0.0f;
    }
    storeVec<false>((T*)p.y + first, left, v);
}

#define DROPOUT(name, T) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ DropoutParams p) { dropout<T>(p); }
DROPOUT(dropout_apply_f32, float)
DROPOUT(dropout_apply_f16, f16)
DROPOUT(dropout_apply_bf16, bf16)
