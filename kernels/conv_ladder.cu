// Earlier versions of conv_igemm.cu, kept to show what each step gains: y as in conv_plain.cu, 3x3, stride 1, padding 1, dense NHWC.
//
// conv_ladder_tile: implicit GEMM in shared memory, no tensor cores: a block of 256 threads makes 64 x 64 results in steps of 16 channels of one tap,
//   copied element by element through registers, 4 x 4 results per thread.
// conv_ladder_mma: the same tile by 4 warps of 32 x 32 with mma m16n8k16, steps of 32 channels of one tap, copied by 16-byte loads through registers into
//   one stage of shared memory with rows of 64 bytes side by side: two barriers per step, nothing overlaps, and ldmatrix meets its own rows in the banks.
//
// Order of sums: taps, channels. Traffic per tile: valid (row, tap) pairs x C b + min(K left, 64) 9 C b + results and bias.
//
// launch conv_ladder_tile_{f16,bf16}(ConvPlainParams): block 256; grid x = ceil(N H W / 64) ceil(K / 64); shared 0; N H W below 2^31.
// launch conv_ladder_mma_{f16,bf16}(ConvPlainParams): block 128; grid x = ceil(N H W / 64) ceil(K / 64); shared 0; x, w 16-byte aligned, C a multiple of 8;
//        K even, y 4-byte aligned; N H W below 2^31.
// Budget: 128 registers, no spills; 8.4 and 8 KiB of static shared memory.
#include "common/conv_plain.cuh"

enum { kTile = 64 };

// Pixel of row m and tap, or -1 outside.
__device__ __forceinline__ int sourceOf(const ConvPlainParams& p, int m, int tap) {
    if (m >= p.N * p.H * p.W) return -1;
    const int i = m / p.W % p.H + tap / 3 - 1, j = m % p.W + tap % 3 - 1;
    return (u32)i < (u32)p.H && (u32)j < (u32)p.W ? m + (tap / 3 - 1) * p.W + tap % 3 - 1 : -1;
}

template <class T> __device__ __forceinline__ void convTile(const ConvPlainParams& p) {
    enum { kStep = 16 };
    __shared__ float a[kStep][kTile + 2], b[kStep][kTile + 2];
    const int tilesN = (p.K - 1) / kTile + 1, row0 = (int)blockIdx.x / tilesN * kTile, col0 = (int)blockIdx.x % tilesN * kTile;
    const int ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
    float sum[4][4] = {};
    for (int tap = 0; tap < 9; tap++)
        for (int c0 = 0; c0 < p.C; c0 += kStep) {
            __syncthreads();
            for (int i = threadIdx.x; i < kTile * kStep; i += 256) {
                const int c = c0 + i % kStep, row = i / kStep, source = sourceOf(p, row0 + row, tap), k = col0 + row;
                a[i % kStep][row] = source >= 0 && c < p.C ? toFloat(((const T*)p.x)[(i64)source * p.C + c]) : 0.0f;
                b[i % kStep][row] = k < p.K && c < p.C ? toFloat(((const T*)p.weights)[((i64)k * 9 + tap) * p.C + c]) : 0.0f;
            }
            __syncthreads();
#pragma unroll 4
            for (int c = 0; c < kStep; c++)
#pragma unroll
                for (int i = 0; i < 4; i++)
#pragma unroll
                    for (int j = 0; j < 4; j++) sum[i][j] = fmaf(a[c][ty + 16 * i], b[c][tx + 16 * j], sum[i][j]);
        }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int m = row0 + ty + 16 * i, k = col0 + tx + 16 * j;
            if (m < p.N * p.H * p.W && k < p.K) ((T*)p.y)[(i64)m * p.K + k] = fromFloat(sum[i][j] + p.bias[k], T());
        }
}

template <class T> __device__ __forceinline__ void convMma(const ConvPlainParams& p) {
    enum { kStep = 32, kRowBytes = 2 * kStep, kWarp = 32 };
    __shared__ __align__(128) unsigned char tiles[2][kTile * kRowBytes];
    const int tilesN = (p.K - 1) / kTile + 1, row0 = (int)blockIdx.x / tilesN * kTile, col0 = (int)blockIdx.x % tilesN * kTile;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, wm = (warp & 1) * kWarp, wn = (warp >> 1) * kWarp;
    const u32 rows = sharedAddress(tiles[0]) + (wm + (lane & 15)) * kRowBytes + 16 * (lane >> 4);
    const u32 columns = sharedAddress(tiles[1]) + (wn + (lane & 7) + 8 * (lane >> 4)) * kRowBytes + 16 * ((lane >> 3) & 1);
    float sum[2][4][4] = {};
    for (int tap = 0; tap < 9; tap++)
        for (int c0 = 0; c0 < p.C; c0 += kStep) {
            __syncthreads();
            for (int i = threadIdx.x; i < kTile * 4; i += 128) {
                const int row = i / 4, c = c0 + i % 4 * 8, source = sourceOf(p, row0 + row, tap), k = col0 + row;
                const uint4 none = make_uint4(0, 0, 0, 0);
                *(uint4*)(tiles[0] + 16 * i) = source >= 0 && c < p.C ? *(const uint4*)((const T*)p.x + (i64)source * p.C + c) : none;
                *(uint4*)(tiles[1] + 16 * i) = k < p.K && c < p.C ? *(const uint4*)((const T*)p.weights + ((i64)k * 9 + tap) * p.C + c) : none;
            }
            __syncthreads();
#pragma unroll
            for (int h = 0; h < 2; h++) {
                u32 a[2][4], b[4];
                loadMatrices(a[0], rows + 32 * h), loadMatrices(a[1], rows + 16 * kRowBytes + 32 * h);
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    loadMatrices(b, columns + 16 * j * kRowBytes + 32 * h);
#pragma unroll
                    for (int i = 0; i < 2; i++) multiply(sum[i][2 * j], a[i], b[0], b[1], T()), multiply(sum[i][2 * j + 1], a[i], b[2], b[3], T());
                }
            }
        }
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const int m = row0 + wm + 16 * i + 8 * h + (lane >> 2), k = col0 + wn + 8 * j + 2 * (lane & 3);
                if (m < p.N * p.H * p.W && k < p.K)
                    *(u32*)((T*)p.y + (i64)m * p.K + k) = pack(sum[i][j][2 * h] + p.bias[k], sum[i][j][2 * h + 1] + p.bias[k + 1], T());
            }
}

#define LADDER(name, THREADS, BLOCKS, body) \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) name(const __grid_constant__ ConvPlainParams p) { body(p); }
LADDER(conv_ladder_tile_f16, 256, 2, convTile<f16>)
LADDER(conv_ladder_tile_bf16, 256, 2, convTile<bf16>)
LADDER(conv_ladder_mma_f16, 128, 4, convMma<f16>)
LADDER(conv_ladder_mma_bf16, 128, 4, convMma<bf16>)
