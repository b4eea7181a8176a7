// Gradients of a linear layer with few rows, f16 and bf16 operands, f32 sums:  dx = dy W + addend,  dw = dy^T x or dw + dy^T x.
// Both sum along rows of row-major matrices. A lane reads the same 4 or 8 columns of four neighbouring rows and pairs neighbours' halves (prmt)
// into words of a fragment: no shared memory, whole sectors. Which columns a fragment's rows and columns stand for is chosen so that a thread's
// sums are neighbours in memory.
//
// linear_dx: a block makes 64 inputs of 32 rows from one slice of W's rows; warp w takes steps w, w + 4, ... of 16 of them. A lane has 8 columns
//   8g of rows 4t .. 4t + 3 of a step. The warps' sums meet in shared memory (chunks turned by the row: no bank conflicts). With partial, f32 sums of the
//   slice are stored, and conv_reduce adds slices and addend in order.
//   Order: a warp's steps ascending, warps 0 to 3, slices ascending, addend. Traffic: M K b ceil(N / 32) + N M b ceil(K / 64) + (1 or 2) N K b, or
//   4 slices N K (partial). mma: 4 ceil(K / 64) ceil(N / 8) x steps.
// linear_dw: a warp makes 32 rows x 64 columns of dw from all N rows, 16 at a time, ascending.
//   Traffic: N M b ceil(K / 64) + N K b ceil(M / 32) + (4 or 8) M K. mma: 16 ceil(M / 32) ceil(K / 64) ceil(N / 16).
// Error: (terms / 16) 2^-22 sum|a b| at worst (sm_80), plus the rounding of dx.
//
// launch linear_dx_{f16,bf16}(LinearInputParams): block 128; grid x = slices ceil(K / 64) ceil(N / 32); shared 0; dy, addend, dx 8-byte aligned, w, partial
//        16-byte; K a multiple of 8, lddy, lda, lddx of 4; slices rows at least M; dx overlaps only the addend, and that exactly.
// launch linear_dw_{f16,bf16}(LinearWeightParams): block 128; grid x = ceil(M / 64) ceil(K / 128); shared 0; x, dy 8-byte aligned, dw 16-byte; K a multiple of
//        8, ldx, lddy of 4.
// Budget: 168 (dx), 128 (dw) registers, no spills; 32 KiB of static shared memory (dx): 3 and 4 blocks per SM.
#include "common/linear.cuh"

enum { kWarps = 4, kTileK = 64, kTileN = 32, kJ = kTileN / 8, kStep = 16, kAhead = 2 };

// Low and high halves of two rows' words: (row 0, row 1) of the even and of the odd column.
__device__ __forceinline__ u32 evens(u32 row0, u32 row1) { return __byte_perm(row0, row1, 0x5410); }
__device__ __forceinline__ u32 odds(u32 row0, u32 row1) { return __byte_perm(row0, row1, 0x7632); }

__device__ __forceinline__ u32 word(const uint4& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }
__device__ __forceinline__ u32 word(const uint2& v, int i) { return i == 0 ? v.x : v.y; }

// Place of 16-byte chunk c of a row of 16 chunks: a phase of the stores has chunks c, c + 2 of rows 2t, t = 0 .. 3.
__device__ __forceinline__ int placeOf(int row, int c) { return row * kTileK + 4 * (c ^ ((row >> 1) & 1) ^ (row & 4)); }

// sum[i][j][r]: input 8 g + 2 i + (r >> 1), row 8 j + 2 t + (r & 1).
template <class T> __device__ __forceinline__ void multiplyInput(const LinearInputParams& p, int k0, int n0, int first, int end, float (&sum)[4][kJ][4]) {
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3, rowsOfDy = p.N - n0;
    const bool column = k0 + 8 * g < p.K;
    const u16* w = (const u16*)p.w + k0 + 8 * g;
    const u16* dy = (const u16*)p.dy + (n0 + g) * p.lddy;
    for (int m = first + kStep * (threadIdx.x >> 5); m < end; m += kAhead * kWarps * kStep) {
        uint4 a[kAhead][4];
        uint2 b[kAhead][kJ];
#pragma unroll
        for (int s = 0; s < kAhead; s++) {
            const int at = m + s * kWarps * kStep + 4 * t;
#pragma unroll
            for (int q = 0; q < 4; q++) a[s][q] = loadChunk(w + (i64)(at + q) * p.K, column && at + q < end);
#pragma unroll
            for (int j = 0; j < kJ; j++) b[s][j] = loadBits(dy + 8 * j * p.lddy + at, 8 * j + g < rowsOfDy ? end - at : 0);
        }
#pragma unroll
        for (int s = 0; s < kAhead; s++) {
            if (m + s * kWarps * kStep >= end) break;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const u32 f[4] = {evens(word(a[s][0], i), word(a[s][1], i)), odds(word(a[s][0], i), word(a[s][1], i)),
                                  evens(word(a[s][2], i), word(a[s][3], i)), odds(word(a[s][2], i), word(a[s][3], i))};
#pragma unroll
                for (int j = 0; j < kJ; j++)
                    if (8 * j < rowsOfDy) multiply(sum[i][j], f, b[s][j].x, b[s][j].y, T());
            }
        }
    }
}

template <class T> __device__ __forceinline__ void linearInput(const LinearInputParams& p) {
    __shared__ __align__(16) float slots[kWarps][kTileN * kTileK];
    const int tilesN = (p.N - 1) / kTileN + 1, tilesK = (p.K - 1) / kTileK + 1, tile = (int)blockIdx.x / tilesN;
    const int n0 = (int)blockIdx.x % tilesN * kTileN, k0 = tile % tilesK * kTileK, slice = tile / tilesK, first = slice * p.rows;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    float sum[4][kJ][4] = {};
    multiplyInput<T>(p, k0, n0, first, min(first + p.rows, p.M), sum);

    // the warps' sums
#pragma unroll
    for (int j = 0; j < kJ; j++)
#pragma unroll
        for (int e = 0; e < 2; e++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                *(float4*)&slots[warp][placeOf(8 * j + 2 * t + e, 2 * g + h)] =
                    make_float4(sum[2 * h][j][e], sum[2 * h][j][2 + e], sum[2 * h + 1][j][e], sum[2 * h + 1][j][2 + e]);
    __syncthreads();
#pragma unroll 2
    for (int i = 0; i < 4; i++) {
        const int item = threadIdx.x + 128 * i, row = item >> 4, k = k0 + 4 * (item & 15), n = n0 + row;
        if (n >= p.N || k >= p.K) continue;
        float v[4] = {}, u[4];
#pragma unroll
        for (int w = 0; w < kWarps; w++) addFour(v, *(const float4*)&slots[w][placeOf(row, item & 15)]);
        if (p.partial != nullptr) {
            storeVec<true>(p.partial + ((i64)slice * p.N + n) * p.K + k, 4, v);
            continue;
        }
        if (p.addend != nullptr) {
            loadFour((const T*)p.addend + n * p.lda + k, 4, u);
            addFour(v, make_float4(u[0], u[1], u[2], u[3]));
        }
        storeFour((T*)p.dx + n * p.lddx + k, 4, v);
    }
}

// dw rows m0 + 4 g + 2 i + (r >> 1); columns k0 + 32 c + 16 (r & 1) + 4 t + b, in sum[i][4 c + b][r].
template <class T> __device__ __forceinline__ void linearWeight(const LinearWeightParams& p) {
    const int tilesK = (p.K - 1) / 128 + 1, lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int m0 = (int)blockIdx.x / tilesK * 64 + 32 * (warp & 1), k0 = (int)blockIdx.x % tilesK * 128 + 64 * (warp >> 1);
    if (m0 >= p.M || k0 >= p.K) return;   // whole warps, no barriers
    const int m = m0 + 4 * g, k = k0 + 4 * (g >> 1) + 16 * (g & 1);
    const u16* dy = (const u16*)p.dy + m;
    const u16* x = (const u16*)p.x + k;
    float sum[2][8][4] = {};
#pragma unroll 1
    for (int n = 4 * t; n < p.N + 4 * t; n += kStep) {
        uint2 a[4], b[2][4];
#pragma unroll
        for (int q = 0; q < 4; q++) {
            const bool row = n + q < p.N;
            a[q] = loadBits(dy + (n + q) * p.lddy, row ? p.M - m : 0);
#pragma unroll
            for (int c = 0; c < 2; c++) b[c][q] = loadBits(x + (n + q) * p.ldx + 32 * c, row ? p.K - k - 32 * c : 0);
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const u32 f[4] = {evens(word(a[0], i), word(a[1], i)), odds(word(a[0], i), word(a[1], i)),
                              evens(word(a[2], i), word(a[3], i)), odds(word(a[2], i), word(a[3], i))};
#pragma unroll
            for (int c = 0; c < 2; c++)
#pragma unroll
                for (int q = 0; q < 2; q++) {
                    multiply(sum[i][4 * c + 2 * q], f, evens(word(b[c][0], q), word(b[c][1], q)), evens(word(b[c][2], q), word(b[c][3], q)), T());
                    multiply(sum[i][4 * c + 2 * q + 1], f, odds(word(b[c][0], q), word(b[c][1], q)), odds(word(b[c][2], q), word(b[c][3], q)), T());
                }
        }
    }

    // store
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int h = 0; h < 2; h++)
#pragma unroll
            for (int c = 0; c < 2; c++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const int row = m + 2 * i + h, column = k0 + 32 * c + 16 * e + 4 * t, r = 2 * h + e;
                    if (row >= p.M || column >= p.K) continue;
                    float4* const to = (float4*)(p.dw + (i64)row * p.K + column);
                    float v[4] = {sum[i][4 * c][r], sum[i][4 * c + 1][r], sum[i][4 * c + 2][r], sum[i][4 * c + 3][r]};
                    if (p.accumulate) addFour(v, *to);
                    *to = make_float4(v[0], v[1], v[2], v[3]);
                }
}

#define LINEAR_DX(name, T) \
    extern "C" __global__ void __launch_bounds__(128, 3) name(const __grid_constant__ LinearInputParams p) { linearInput<T>(p); }
#define LINEAR_DW(name, T) \
    extern "C" __global__ void __launch_bounds__(128, 4) name(const __grid_constant__ LinearWeightParams p) { linearWeight<T>(p); }
LINEAR_DX(linear_dx_f16, f16)
LINEAR_DX(linear_dx_bf16, bf16)
LINEAR_DW(linear_dw_f16, f16)
LINEAR_DW(linear_dw_bf16, bf16)
