// What the classifier's attention pool needs beside attention: its tokens (spec 2.2), their gradient, and that of the positions.
//   tokens:   y[n, 0, c] = mean_l x[n, l, c] + p[0, c],   y[n, 1 + l, c] = x[n, l, c] + p[1 + l, c];   no p: the tokens alone
//   tokens_bwd:   dx[n, l, c] = dy[n, 1 + l, c] + dy[n, 0, c] / L        position_grad:   dp[t, c] (+)= sum_n dy[n, t, c]
// The pool returns token 0 only: attention then runs with one query (AttnFwdParams.queries = 1) over L + 1 keys. p is the checkpoint's
// [C, L + 1] transposed once (transpose_2d_f32), so that neighbouring channels are neighbours.
//
// A thread owns four channels whatever the type, so that requests for positions (f32) are as contiguous as those for f16. tokens, tokens_bwd:
// a block owns 128 channels of one sample; warp w walks over rows w, w + 8, ... The mean adds each warp's rows in ascending order, then the
// eight warps in order. position_grad: four channels of one token, samples in ascending order. One writer per element, no atomics. Values
// are computed in f32 and rounded once.
// Traffic, b bytes per element: tokens N (2 L + 1) C b + N (L + 1) C 4; tokens_bwd N (2 L + min(L, 8)) C b, token 0 once per warp;
// position_grad N (L + 1) C b + (L + 1) C 4 (twice that when it adds).
//
// launch attn_pool_tokens_{f32,f16,bf16}(PoolTokensParams): block 256; grid x = ceil(C / 128) N; shared 0; x, position, y 16-byte aligned;
//        ldx, ldy, C multiples of 16 bytes of elements; N, L >= 1.
// launch attn_pool_tokens_bwd_{f32,f16,bf16}(PoolTokensBwdParams): block 256; grid x = ceil(C / 128) N; shared 0; dy, dx 16-byte aligned;
//        lddy, lddx, C multiples of 16 bytes of elements.
// launch attn_pool_position_grad_{f32,f16,bf16}(PoolPositionGradParams): block 256; grid x = ceil((L + 1) C / 1024); shared 0; dy, dPosition
//        16-byte aligned; lddy, C multiples of 16 bytes of elements.
// Budget: 64 registers, no spills, 4 KiB of static shared memory for tokens.
#include "common/vec.cuh"

struct PoolTokensParams {
    const void* x;           // [N, L, C] T, row stride ldx
    const float* position;   // [L + 1, C] or null
    void* y;                 // [N, L + 1, C] T, row stride ldy
    i64 ldx, ldy;            // elements
    int N, L, C;
    int reserved;            // 0
};
FIELD(PoolTokensParams, x, 0, 8);
FIELD(PoolTokensParams, position, 8, 8);
FIELD(PoolTokensParams, y, 16, 8);
FIELD(PoolTokensParams, ldx, 24, 8);
FIELD(PoolTokensParams, ldy, 32, 8);
FIELD(PoolTokensParams, N, 40, 4);
FIELD(PoolTokensParams, L, 44, 4);
FIELD(PoolTokensParams, C, 48, 4);
FIELD(PoolTokensParams, reserved, 52, 4);
SIZE(PoolTokensParams, 56);

struct PoolTokensBwdParams {
    const void* dy;          // [N, L + 1, C] T, row stride lddy
    void* dx;                // [N, L, C] T, row stride lddx
    i64 lddy, lddx;          // elements
    int N, L, C;
    int reserved;            // 0
};
FIELD(PoolTokensBwdParams, dy, 0, 8);
FIELD(PoolTokensBwdParams, dx, 8, 8);
FIELD(PoolTokensBwdParams, lddy, 16, 8);
FIELD(PoolTokensBwdParams, lddx, 24, 8);
FIELD(PoolTokensBwdParams, N, 32, 4);
FIELD(PoolTokensBwdParams, L, 36, 4);
FIELD(PoolTokensBwdParams, C, 40, 4);
FIELD(PoolTokensBwdParams, reserved, 44, 4);
SIZE(PoolTokensBwdParams, 48);

struct PoolPositionGradParams {
    const void* dy;          // [N, L + 1, C] T, row stride lddy
    float* dPosition;        // [L + 1, C]
    i64 lddy;                // elements
    int N, L, C;
    int accumulate;          // 1: +=, 0: =
};
FIELD(PoolPositionGradParams, dy, 0, 8);
FIELD(PoolPositionGradParams, dPosition, 8, 8);
FIELD(PoolPositionGradParams, lddy, 16, 8);
FIELD(PoolPositionGradParams, N, 24, 4);
FIELD(PoolPositionGradParams, L, 28, 4);
FIELD(PoolPositionGradParams, C, 32, 4);
FIELD(PoolPositionGradParams, accumulate, 36, 4);
SIZE(PoolPositionGradParams, 40);

enum { kWarps = 8, V = 4 };

// Four elements, zeros where there are none.
__device__ __forceinline__ void load4(const float* from, bool exists, float (&v)[V]) { loadVec<false>(from, exists ? V : 0, v); }

template <class T> __device__ __forceinline__ void load4(const T* from, bool exists, float (&v)[V]) {
    uint2 w = make_uint2(0, 0);
    if (exists) w = __ldg((const uint2*)from);
    unpack(w.x, v[0], v[1], T()), unpack(w.y, v[2], v[3], T());
}

// Rounds once.
__device__ __forceinline__ void store4(float* to, bool exists, const float (&v)[V]) { storeVec<false>(to, exists ? V : 0, v); }

template <class T> __device__ __forceinline__ void store4(T* to, bool exists, const float (&v)[V]) {
    if (exists) *(uint2*)to = make_uint2(pack(v[0], v[1], T()), pack(v[2], v[3], T()));
}

template <class T> __device__ __forceinline__ void poolTokens(const PoolTokensParams& p) {
    __shared__ float sums[kWarps][V][32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, slabs = (p.C + 32 * V - 1) / (32 * V);
    const i64 n = (int)blockIdx.x / slabs;
    const int c = ((int)blockIdx.x % slabs * 32 + lane) * V;
    const bool exists = c < p.C;
    const T* const x = (const T*)p.x + n * p.L * p.ldx + c;
    T* const y = (T*)p.y + n * (p.L + 1) * p.ldy + c;

    // rows
    float sum[V] = {}, v[V], position[V];
    for (int l = warp; l < p.L; l += kWarps) {
        load4(x + l * p.ldx, exists, v);
        load4(p.position + (i64)(l + 1) * p.C + c, exists && p.position != nullptr, position);
#pragma unroll
        for (int i = 0; i < V; i++) sum[i] += v[i], v[i] += position[i];
        store4(y + (l + 1) * p.ldy, exists, v);
    }

    // mean
#pragma unroll
    for (int i = 0; i < V; i++) sums[warp][i][lane] = sum[i];
    __syncthreads();
    if (warp == 0) {
        load4(p.position + c, exists && p.position != nullptr, position);
#pragma unroll
        for (int i = 0; i < V; i++) {
#pragma unroll
            for (int w = 1; w < kWarps; w++) sum[i] += sums[w][i][lane];
            v[i] = sum[i] / (float)p.L + position[i];
        }
        store4(y, exists, v);
    }
}

template <class T> __device__ __forceinline__ void poolTokensBackward(const PoolTokensBwdParams& p) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, slabs = (p.C + 32 * V - 1) / (32 * V);
    const i64 n = (int)blockIdx.x / slabs;
    const int c = ((int)blockIdx.x % slabs * 32 + lane) * V;
    const bool exists = c < p.C;
    const T* const dy = (const T*)p.dy + n * (p.L + 1) * p.lddy + c;
    T* const dx = (T*)p.dx + n * p.L * p.lddx + c;
    float mean[V], v[V];
    if (warp < p.L) {
        load4(dy, exists, mean);
#pragma unroll
        for (int i = 0; i < V; i++) mean[i] /= (float)p.L;
    }
    for (int l = warp; l < p.L; l += kWarps) {
        load4(dy + (l + 1) * p.lddy, exists, v);
#pragma unroll
        for (int i = 0; i < V; i++) v[i] += mean[i];
        store4(dx + l * p.lddx, exists, v);
    }
}

template <class T> __device__ __forceinline__ void poolPositionGrad(const PoolPositionGradParams& p) {
    const int vectors = p.C / V, at = (int)blockIdx.x * 256 + (int)threadIdx.x, t = at / vectors, c = at % vectors * V;
    if (t > p.L) return;
    float* const to = p.dPosition + (i64)t * p.C + c;
    float sum[V] = {}, v[V];
    if (p.accumulate) load4(to, true, sum);
    for (int n = 0; n < p.N; n++) {
        load4((const T*)p.dy + ((i64)n * (p.L + 1) + t) * p.lddy + c, true, v);
#pragma unroll
        for (int i = 0; i < V; i++) sum[i] += v[i];
    }
    store4(to, true, sum);
}

#define POOL_ENTRY(name, Params, body) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ Params p) { body(p); }
#define POOL(S, T) \
    POOL_ENTRY(attn_pool_tokens_##S, PoolTokensParams, poolTokens<T>) \
    POOL_ENTRY(attn_pool_tokens_bwd_##S, PoolTokensBwdParams, poolTokensBackward<T>) \
    POOL_ENTRY(attn_pool_position_grad_##S, PoolPositionGradParams, poolPositionGrad<T>)
POOL(f32, float)
POOL(f16, f16)
POOL(bf16, bf16)
