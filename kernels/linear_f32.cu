// Linear layers with few rows in f32 without tensor cores: forward, input gradient, weight gradient (common/linear.cuh), for checking and f32 models.
//
// linear_fwd: a warp makes 4 results of 8 rows; lane l has inputs 4 l .. 4 l + 3 of every 128, ascending, then the tree of reduce.cuh; a block 16 results.
//   Traffic: 4 (M K ceil(N / 8) + N K ceil(M / 4) + M ceil(N / 2) (bias) + (1 or 2) N M).
// linear_dx: a block makes 128 inputs of 8 rows from one slice of W's rows; a lane has 4 inputs, warp w adds rows 4 w .. 4 w + 3 of every 16, ascending; warps
//   0 to 3; slices by conv_reduce. Traffic: 4 (M K ceil(N / 8) + N M ceil(K / 128) + (1 or 2) N K), or slices N K for results.
// linear_dw: a warp makes 8 rows x 128 columns of dw, rows of x and dy ascending. Traffic: 4 (N K ceil(M / 8) + N M ceil(K / 128) + (1 or 2) M K).
// Every product is one fused multiply-add.
//
// launch linear_fwd_f32(LinearParams): block 128; grid x = ceil(M / 16) ceil(N / 8); shared 0; x, w 16-byte aligned; K, ldx multiples of 4; y overlaps
//        only the residual, and that exactly.
// launch linear_dx_f32(LinearInputParams): block 128; grid x = slices ceil(K / 128) ceil(N / 8); shared 0; all 16-byte aligned; K, lddy, lda, lddx multiples of 4;
//        slices rows at least M; dx overlaps only the addend, and that exactly.
// launch linear_dw_f32(LinearWeightParams): block 128; grid x = ceil(M / 32) ceil(K / 128); shared 0; x, dy, dw 16-byte aligned; K, ldx, lddy multiples of 4.
// Budget: 128 registers, no spills, at most 16 KiB of static shared memory: 4 blocks per SM.
#include "common/linear.cuh"
#include "common/reduce.cuh"

enum { kWarps = 4, kTileN = 8, kColumns = 128, kFwdRows = 4, kFwdM = kFwdRows * kWarps, kGradRows = 8 };

__device__ __forceinline__ float4 loadQuad(const float* from, bool exists) { return exists ? __ldg((const float4*)from) : make_float4(0, 0, 0, 0); }

__device__ __forceinline__ void linearFwd(const LinearParams& p) {
    __shared__ float slots[kTileN][kFwdM];
    const int tilesN = (p.N - 1) / kTileN + 1, m0 = (int)blockIdx.x / tilesN * kFwdM, n0 = (int)blockIdx.x % tilesN * kTileN;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, rowsW = p.M - m0 - kFwdRows * warp;
    const float* w = (const float*)p.w + (i64)(m0 + kFwdRows * warp) * p.K;
    const float* x = (const float*)p.x + n0 * p.ldx;
    float sum[kFwdRows][kTileN] = {};
    for (int k = 4 * lane; k < p.K && rowsW > 0; k += kColumns) {
        float4 a[kFwdRows];
#pragma unroll
        for (int i = 0; i < kFwdRows; i++) a[i] = loadQuad(w + i * (i64)p.K + k, i < rowsW);
#pragma unroll
        for (int j = 0; j < kTileN; j++) {
            const float4 b = loadQuad(x + j * p.ldx + k, n0 + j < p.N);
#pragma unroll
            for (int i = 0; i < kFwdRows; i++) sum[i][j] = fmaf(a[i].w, b.w, fmaf(a[i].z, b.z, fmaf(a[i].y, b.y, fmaf(a[i].x, b.x, sum[i][j]))));
        }
    }
#pragma unroll
    for (int j = 0; j < kTileN; j++)
#pragma unroll
        for (int i = 0; i < kFwdRows; i++) {
            const float total = warpSum(sum[i][j]);
            if (lane == 0) slots[j][kFwdRows * warp + i] = total;
        }
    __syncthreads();

    // one result a thread
    const int j = threadIdx.x / kFwdM, n = n0 + j, m = m0 + threadIdx.x % kFwdM;
    if (n >= p.N || m >= p.M) return;
    float v = slots[j][threadIdx.x % kFwdM];
    if (p.bias != nullptr) v += __ldg(p.bias + m);
    if (p.residual != nullptr) v += ((const float*)p.residual)[n * p.ldr + m];
    ((float*)p.y)[n * p.ldy + m] = p.silu ? silu<float>(v) : v;
}

__device__ __forceinline__ void addProduct(float (&sum)[4], float a, const float4& b) {
    sum[0] = fmaf(a, b.x, sum[0]), sum[1] = fmaf(a, b.y, sum[1]), sum[2] = fmaf(a, b.z, sum[2]), sum[3] = fmaf(a, b.w, sum[3]);
}

__device__ __forceinline__ void linearInput(const LinearInputParams& p) {
    __shared__ __align__(16) float slots[kWarps][kTileN][kColumns];
    const int tilesN = (p.N - 1) / kTileN + 1, tilesK = (p.K - 1) / kColumns + 1, tile = (int)blockIdx.x / tilesN;
    const int n0 = (int)blockIdx.x % tilesN * kTileN, k0 = tile % tilesK * kColumns, slice = tile / tilesK, first = slice * p.rows;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, end = min(first + p.rows, p.M);
    const float* w = (const float*)p.w + k0 + 4 * lane;
    const float* dy = (const float*)p.dy + n0 * p.lddy;
    float sum[kTileN][4] = {};
    for (int m = first + 4 * warp; m < end; m += 4 * kWarps) {
        float4 a[4];
#pragma unroll
        for (int q = 0; q < 4; q++) a[q] = loadQuad(w + (i64)(m + q) * p.K, k0 + 4 * lane < p.K && m + q < end);
#pragma unroll
        for (int j = 0; j < kTileN; j++) {
            float b[4];
            loadFour(dy + j * p.lddy + m, n0 + j < p.N ? end - m : 0, b);
#pragma unroll
            for (int q = 0; q < 4; q++) addProduct(sum[j], b[q], a[q]);
        }
    }
#pragma unroll
    for (int j = 0; j < kTileN; j++) *(float4*)&slots[warp][j][4 * lane] = make_float4(sum[j][0], sum[j][1], sum[j][2], sum[j][3]);
    __syncthreads();
    const int k = k0 + 4 * lane;
#pragma unroll
    for (int j = warp; j < kTileN; j += kWarps) {
        const int n = n0 + j;
        if (n >= p.N || k >= p.K) continue;
        float v[4] = {}, u[4];
#pragma unroll
        for (int s = 0; s < kWarps; s++) addFour(v, *(const float4*)&slots[s][j][4 * lane]);
        if (p.addend != nullptr) {
            loadVec<true>((const float*)p.addend + n * p.lda + k, 4, u);
            addFour(v, make_float4(u[0], u[1], u[2], u[3]));
        }
        float* const to = p.partial != nullptr ? p.partial + ((i64)slice * p.N + n) * ((p.K + 7) / 8 * 8) + k : (float*)p.dx + n * p.lddx + k;
        storeVec<true>(to, 4, v);
    }
}

__device__ __forceinline__ void linearWeight(const LinearWeightParams& p) {
    const int tilesK = (p.K - 1) / kColumns + 1, lane = threadIdx.x & 31;
    const int m0 = ((int)blockIdx.x / tilesK * kWarps + (threadIdx.x >> 5)) * kGradRows, k = (int)blockIdx.x % tilesK * kColumns + 4 * lane;
    if (m0 >= p.M || k >= p.K) return;   // no barriers
    const float* x = (const float*)p.x + k;
    const float* dy = (const float*)p.dy + m0;
    float sum[kGradRows][4] = {};
#pragma unroll 2
    for (int n = 0; n < p.N; n++) {
        const float4 a = __ldg((const float4*)(x + n * p.ldx));
#pragma unroll
        for (int h = 0; h < kGradRows; h += 4) {
            float b[4];
            loadFour(dy + n * p.lddy + h, p.M - m0 - h, b);
#pragma unroll
            for (int q = 0; q < 4; q++) addProduct(sum[h + q], b[q], a);
        }
    }
#pragma unroll
    for (int i = 0; i < kGradRows; i++) {
        if (m0 + i >= p.M) continue;
        float4* const to = (float4*)(p.dw + (i64)(m0 + i) * p.K + k);
        if (p.accumulate) addFour(sum[i], *to);
        *to = make_float4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
    }
}

#define KERNEL(name, Params, call) \
    extern "C" __global__ void __launch_bounds__(128, 4) name(const __grid_constant__ Params p) { call(p); }
KERNEL(linear_fwd_f32, LinearParams, linearFwd)
KERNEL(linear_dx_f32, LinearInputParams, linearInput)
KERNEL(linear_dw_f32, LinearWeightParams, linearWeight)
