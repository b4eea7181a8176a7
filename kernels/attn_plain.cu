// Attention written plainly: all scores are stored. For head dimensions that no other kernel takes (above 256), and beside ours in reports.
//   forward:    S = s Q K^T;  P = softmax of the rows of S, in place, and LSE;  O = P V
//   backward:   S, P again;  dP = dO V^T;  dS = P (dP - rowsum(P dP)), in place over dP;  dV = P^T dO;  dQ = s dS K;  dK = s dS^T Q
// Any d, any strides, f32, f16, bf16; scores and weights are f32 and never rounded to T, outputs are rounded once.
//
// scores: a thread makes one score, elements in ascending order. apply: a thread makes one element, rows of B in ascending order. softmax and
// dsoftmax: a warp owns a row, lane l takes columns l, l + 32, ..., then the tree of warpSum. One writer per element, no atomics.
// Bytes: at least heads N ((rows + columns) d b + 4 rows columns) for a product (b bytes per element), 8 or 12 rows columns for the rows. The
// products ask for far more: nothing is kept in registers or shared memory from one thread to the next.
//
// launch attn_plain_scores_{f32,f16,bf16}(AttnProductParams): block 256; grid x = ceil(rows columns / 256) heads N; shared 0; pointers aligned
//        to their elements; out [N, heads, rows, columns] f32 without gaps; rows, columns, heads, d >= 1; rows columns below 2^31.
// launch attn_plain_apply_{f32,f16,bf16}(AttnProductParams): block 256; grid x = ceil(rows d / 256) heads N; shared 0; a [N, heads, rows,
//        columns] f32 without gaps, or [N, heads, columns, rows] when transposed; out overlaps no input; rows d below 2^31.
// launch attn_plain_softmax_f32(AttnRowsParams): block 256; grid x = ceil(rows / 8); shared 0; rows, columns >= 1; p in place.
// launch attn_plain_dsoftmax_f32(AttnRowsParams): block 256; grid x = ceil(rows / 8); shared 0; dp in place, p is only read.
// Budget, no spills: 40 registers.
#include "common/attention.cuh"
#include "common/reduce.cuh"

struct AttnProductParams {
    const void* a;            // scores: [N, rows, heads, d] T by strides; apply: weights, f32
    const void* b;            // [N, columns, heads, d] T by strides
    void* out;                // scores: [N, heads, rows, columns] f32; apply: [N, rows, heads, d] T by strides
    AttentionStrides aStrides, bStrides, outStrides;   // elements; scores: no outStrides, apply: no aStrides
    int rows, columns, heads; // of one head's scores; heads
    int d;                    // elements per row and head
    float scale;              // factor of the sum
    int transposed;           // apply: 1 when weights are [columns, rows]
};
FIELD(AttnProductParams, a, 0, 8);
FIELD(AttnProductParams, b, 8, 8);
FIELD(AttnProductParams, out, 16, 8);
FIELD(AttnProductParams, aStrides, 24, 24);
FIELD(AttnProductParams, bStrides, 48, 24);
FIELD(AttnProductParams, outStrides, 72, 24);
FIELD(AttnProductParams, rows, 96, 4);
FIELD(AttnProductParams, columns, 100, 4);
FIELD(AttnProductParams, heads, 104, 4);
FIELD(AttnProductParams, d, 108, 4);
FIELD(AttnProductParams, scale, 112, 4);
FIELD(AttnProductParams, transposed, 116, 4);
SIZE(AttnProductParams, 120);

struct AttnRowsParams {
    float* p;                 // [rows, columns]
    float* dp;                // [rows, columns]; dsoftmax only
    float* lse;               // [rows] or null; softmax only
    i64 rows;                 // of all heads and samples
    int columns;              // scores per row
    int reserved;             // 0
};
FIELD(AttnRowsParams, p, 0, 8);
FIELD(AttnRowsParams, dp, 8, 8);
FIELD(AttnRowsParams, lse, 16, 8);
FIELD(AttnRowsParams, rows, 24, 8);
FIELD(AttnRowsParams, columns, 32, 4);
FIELD(AttnRowsParams, reserved, 36, 4);
SIZE(AttnRowsParams, 40);

template <class T> __device__ __forceinline__ void attnScores(const AttnProductParams& p) {
    const AttnPlace at((p.rows * p.columns - 1) / 256 + 1, p.heads);
    const int i = at.tile * 256 + (int)threadIdx.x, row = i / p.columns, column = i % p.columns;
    if (i >= p.rows * p.columns) return;
    const T* const a = attnRows((const T*)p.a, p.aStrides, at) + row * p.aStrides.row;
    const T* const b = attnRows((const T*)p.b, p.bStrides, at) + column * p.bStrides.row;
    float sum = 0.0f;
    for (int e = 0; e < p.d; e++) sum = fmaf(toFloat(a[e]), toFloat(b[e]), sum);
    ((float*)p.out)[((i64)at.sample * p.heads + at.head) * p.rows * p.columns + i] = sum * p.scale;
}

template <class T> __device__ __forceinline__ void attnApply(const AttnProductParams& p) {
    const AttnPlace at((p.rows * p.d - 1) / 256 + 1, p.heads);
    const int i = at.tile * 256 + (int)threadIdx.x, row = i / p.d, e = i % p.d;
    if (i >= p.rows * p.d) return;
    const i64 head = ((i64)at.sample * p.heads + at.head) * p.rows * p.columns;
    const float* const w = (const float*)p.a + head + (p.transposed ? row : (i64)row * p.columns);
    const i64 next = p.transposed ? p.rows : 1;
    const T* const b = attnRows((const T*)p.b, p.bStrides, at) + e;
    float sum = 0.0f;
    for (int j = 0; j < p.columns; j++) sum = fmaf(w[j * next], toFloat(b[j * p.bStrides.row]), sum);
    attnRows((T*)p.out, p.outStrides, at)[row * p.outStrides.row + e] = fromFloat(sum * p.scale, T());
}

__device__ __forceinline__ void attnSoftmax(const AttnRowsParams& p) {
    const int lane = threadIdx.x & 31;
    const i64 row = (i64)blockIdx.x * 8 + (threadIdx.x >> 5);
    if (row >= p.rows) return;   // whole warps
    float* const scores = p.p + row * p.columns;
    float top = -ATTN_INFINITY, sum = 0.0f;
    for (int j = lane; j < p.columns; j += 32) top = fmaxf(top, scores[j]);
#pragma unroll
    for (int distance = 16; distance > 0; distance >>= 1) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, distance));
    for (int j = lane; j < p.columns; j += 32) sum += expf(scores[j] - top);
    sum = warpSum(sum);
    for (int j = lane; j < p.columns; j += 32) scores[j] = expf(scores[j] - top) / sum;
    if (lane == 0 && p.lse != nullptr) p.lse[row] = top + logf(sum);
}

__device__ __forceinline__ void attnDSoftmax(const AttnRowsParams& p) {
    const int lane = threadIdx.x & 31;
    const i64 row = (i64)blockIdx.x * 8 + (threadIdx.x >> 5);
    if (row >= p.rows) return;   // whole warps
    const float* const weights = p.p + row * p.columns;
    float* const dp = p.dp + row * p.columns;
    float delta = 0.0f;
    for (int j = lane; j < p.columns; j += 32) delta = fmaf(weights[j], dp[j], delta);
    delta = warpSum(delta);
    for (int j = lane; j < p.columns; j += 32) dp[j] = weights[j] * (dp[j] - delta);
}

#define ATTN_PLAIN(S, T) \
    extern "C" __global__ void __launch_bounds__(256, 6) attn_plain_scores_##S(const __grid_constant__ AttnProductParams p) { attnScores<T>(p); } \
    extern "C" __global__ void __launch_bounds__(256, 6) attn_plain_apply_##S(const __grid_constant__ AttnProductParams p) { attnApply<T>(p); }
ATTN_PLAIN(f32, float)
ATTN_PLAIN(f16, f16)
ATTN_PLAIN(bf16, bf16)
extern "C" __global__ void __launch_bounds__(256, 6) attn_plain_softmax_f32(const __grid_constant__ AttnRowsParams p) { attnSoftmax(p); }
extern "C" __global__ void __launch_bounds__(256, 6) attn_plain_dsoftmax_f32(const __grid_constant__ AttnRowsParams p) { attnDSoftmax(p); }
