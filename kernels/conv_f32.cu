// Convolution in f32 without tensor cores: the same implicit GEMM as conv_igemm.cu (common/conv.cuh), for checking and for f32 models.
//
// A block of 128 threads makes a tile of 64 x 64 results in steps of 32 of the depth (rows of 128 bytes) through a ring of 3 stages; a thread has
// 8 rows and 4 columns, t + 8 i and u + 16 j: eight neighbouring lanes read one chunk of eight neighbouring filters, or all the same pixel, so
// there are no bank conflicts. Two rows of 64 bytes per store of a warp. No stats.
//
// Order of sums: blocks of 32 channels ascending, within them taps, within them channels, one fused multiply-add each; slices ascending; then + bias,
// + residual.
// Traffic per tile: valid (row, tap) pairs x 4 C + 4 min(K left, 64) taps C + 4 min(K left, 64) x 4 (bias, each warp) + results
// (1 or 2) 4; with slices as conv_igemm.
//
// launch conv_igemm_f32(ConvParams): block 128; grid x = slices ceil(rows / 64) phases ceil(K / 64); shared 49152; stats null; else as conv_igemm_64,
//        with multiples of 4 for 8.
// Budget: 128 registers, no spills; 3/2/2/4 blocks per SM on sm_80/86/89/90.
#include "common/conv.cuh"

enum { kTile = 64, kRowBytes = 128, kRows = 8, kColumns = 4 };

__device__ __forceinline__ void loadChunk(float4& v, u32 from) {
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(from) : "memory");
}

// A stage's products: tiles of pixels and filters, 32 channels each, four at a time.
__device__ __forceinline__ void multiplyStage(float (&sum)[kRows][kColumns], u32 stage, int row, int column) {
#pragma unroll 2
    for (int chunk = 0; chunk < kRowBytes / 16; chunk++) {
        float4 b[kColumns];
#pragma unroll
        for (int j = 0; j < kColumns; j++) loadChunk(b[j], stage + kTile * kRowBytes + swizzle<kRowBytes>(column + 16 * j, chunk));
#pragma unroll
        for (int i = 0; i < kRows; i++) {
            float4 a;
            loadChunk(a, stage + swizzle<kRowBytes>(row + 8 * i, chunk));
#pragma unroll
            for (int j = 0; j < kColumns; j++)
                sum[i][j] = fmaf(a.w, b[j].w, fmaf(a.z, b[j].z, fmaf(a.y, b[j].y, fmaf(a.x, b[j].x, sum[i][j]))));
        }
    }
}

__device__ __forceinline__ void convF32(const ConvParams& p) {
    extern __shared__ __align__(256) unsigned char ring[];
    ConvPlace at;
    at.find<kTile>(p);
    const int row = threadIdx.x >> 4, column = threadIdx.x & 15;

    // multiply
    float sum[kRows][kColumns] = {};
    const int2 steps = at.steps(p, kRowBytes / 4);
    ConvLoader<float, kTile, kRowBytes> loader(p, at, steps.x);
    convSteps<3>(p, loader, steps.x, steps.y, sharedAddress(ring), [&](u32 stage) { multiplyStage(sum, stage, row, column); });

    // store
    float bias[kColumns];
#pragma unroll
    for (int j = 0; j < kColumns; j++) {
        const int col = at.col0 + column + 16 * j;
        bias[j] = p.bias != nullptr && col < p.K ? __ldg(p.bias + col) : 0.0f;
    }
    const i64 Kp = (p.K + 7) / 8 * 8;
#pragma unroll
    for (int i = 0; i < kRows; i++) {
        const int m = at.row0 + row + 8 * i;
        const i64 pixel = m < at.rows ? at.pixel(p, m) : -1;
#pragma unroll
        for (int j = 0; j < kColumns; j++) {
            const int col = at.col0 + column + 16 * j;
            if (pixel < 0 || col >= Kp) continue;
            if (p.partial != nullptr) {
                p.partial[((i64)at.slice * p.N * p.Ho * p.Wo + pixel) * Kp + col] = sum[i][j];
            } else if (col < p.K) {
                const float v = sum[i][j] + bias[j];
                ((float*)p.y)[pixel * p.ldy + col] = v + (p.residual != nullptr ? ((const float*)p.residual)[pixel * p.ldr + col] : 0.0f);
            }
        }
    }
    if (p.partial != nullptr && isLastSlice(p, at, (u32*)ring)) addSlices<float, kTile>(p, at);
}

extern "C" __global__ void __launch_bounds__(128, 4) conv_igemm_f32(const __grid_constant__ ConvParams p) { convF32(p); }
