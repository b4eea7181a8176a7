// What the backward pass needs of every query: stats = (LSE log2 e, delta = sum_a dO[a] O[a]), f32. Queries from the last to the next
// multiple of 64 get (+inf, 0): their weights 2^(score - inf) are 0 whatever the score.
//
// Sums: a lane adds the elements of its 16-byte vector in order, then the tree of xor distances; any d: lane l adds elements l, l + 32, ...
// Traffic per head: 2 queries d elements and 4 queries bytes read, 8 padded bytes written.
//
// launch attn_delta_d{32,64,128}_{f16,bf16,f32}(AttnDeltaParams): block 128; grid x = ceil(queries / 64) heads N; shared 0; d at most the
//        entry's and, as strides, a multiple of 16 bytes; o, dO 16-byte aligned; stats 8-byte aligned, padded = 64 ceil(queries / 64).
// launch attn_delta_any_{f16,bf16,f32}(AttnDeltaParams): block 128; grid x = ceil(queries / 64) heads N; shared 0; any d and any
//        strides; o, dO aligned to their elements; stats as above.
// Budget: 40 registers (any d: 56), no spills, no shared memory.
#include "common/attention.cuh"

struct AttnDeltaParams {
    const void* o;            // [N, queries, heads, d] T by strides
    const void* dO;           // the same
    const float* lse;         // [N, heads, queries]
    float* stats;             // [N, heads, padded, 2]
    AttentionStrides oStrides, doStrides;   // elements
    int queries, heads, d;    // rows, heads, elements per row and head
    int reserved;             // 0
};
FIELD(AttnDeltaParams, o, 0, 8);
FIELD(AttnDeltaParams, dO, 8, 8);
FIELD(AttnDeltaParams, lse, 16, 8);
FIELD(AttnDeltaParams, stats, 24, 8);
FIELD(AttnDeltaParams, oStrides, 32, 24);
FIELD(AttnDeltaParams, doStrides, 56, 24);
FIELD(AttnDeltaParams, queries, 80, 4);
FIELD(AttnDeltaParams, heads, 84, 4);
FIELD(AttnDeltaParams, d, 88, 4);
FIELD(AttnDeltaParams, reserved, 92, 4);
SIZE(AttnDeltaParams, 96);

// delta of 64 rows; a row is shared by as many lanes as it has 16-byte vectors (any d: by a warp, element by element).
template <class T, int D> __device__ __forceinline__ void attnDelta(const AttnDeltaParams& p) {
    constexpr int N = Vec<T>::N, kLanes = D == 0 ? 32 : D / N, kAtOnce = 128 / kLanes;
    const AttnPlace at((p.queries - 1) / 64 + 1, p.heads);
    const int lane = (int)threadIdx.x % kLanes, padded = ((p.queries - 1) / 64 + 1) * 64;
    const T *o = attnRows((const T*)p.o, p.oStrides, at), *dO = attnRows((const T*)p.dO, p.doStrides, at);
    const i64 head = (i64)at.sample * p.heads + at.head;
#pragma unroll 2
    for (int i = 0; i < 64; i += kAtOnce) {
        const int row = at.tile * 64 + i + (int)threadIdx.x / kLanes;
        const bool exists = row < p.queries;
        float sum = 0.0f;
        if (D != 0) {
            float x[N], y[N];
            const int left = exists && lane * N < p.d ? N : 0;
            loadVec<false>(o + row * p.oStrides.row + lane * N, left, x);
            loadVec<false>(dO + row * p.doStrides.row + lane * N, left, y);
#pragma unroll
            for (int e = 0; e < N; e++) sum = fmaf(x[e], y[e], sum);
        } else {
            for (int e = lane; e < p.d && exists; e += 32)
                sum = fmaf(toFloat(o[row * p.oStrides.row + e]), toFloat(dO[row * p.doStrides.row + e]), sum);
        }
#pragma unroll
        for (int distance = kLanes / 2; distance > 0; distance >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        if (lane == 0) {
            const float lse = exists ? p.lse[head * p.queries + row] * ATTN_LOG2E : ATTN_INFINITY;
            ((float2*)p.stats)[head * padded + row] = make_float2(lse, sum);
        }
    }
}

#define ATTN_DELTA(name, T, D) \
    extern "C" __global__ void __launch_bounds__(128, 8) name(const __grid_constant__ AttnDeltaParams p) { attnDelta<T, D>(p); }
#define ATTN_DELTAS(S, T) \
    ATTN_DELTA(attn_delta_d32_##S, T, 32) ATTN_DELTA(attn_delta_d64_##S, T, 64) \
    ATTN_DELTA(attn_delta_d128_##S, T, 128) ATTN_DELTA(attn_delta_any_##S, T, 0)
ATTN_DELTAS(f16, f16)
ATTN_DELTAS(bf16, bf16)
ATTN_DELTAS(f32, float)
