// Weight gradient of a convolution in f32 without tensor cores: the same GEMM over pixels as conv_wgrad.cu (common/conv_wgrad.cuh).
//
// A block of 128 threads makes a tile of 64 result channels x 64 places of the filter in steps of 32 pixels (rows of 256 bytes) through a ring of 3
// stages; a thread has 8 neighbouring channels and 4 neighbouring places: eight neighbouring lanes read eight neighbouring chunks of a row, or
// all the same one, so there are no bank conflicts.
//
// Order of sums: pixels ascending, one fused multiply-add each; slices ascending. Traffic: as conv_wgrad.cu with tiles of 64.
//
// launch conv_wgrad_f32(ConvGradParams): block 128; grid x = slices ceil(K / 64) ceil(side^2 Cw / 64); shared 49152; as conv_wgrad_64, with multiples of 4
//        for 8, out 16-byte aligned.
// Budget: 128 registers, no spills; 3/2/2/4 blocks per SM on sm_80/86/89/90.
#include "common/conv_wgrad.cuh"

enum { kTile = 64, kPixels = 32, kRowBytes = 256, kOperandBytes = kPixels * kRowBytes };

__device__ __forceinline__ void loadChunk(float (&v)[4], u32 from) {
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v[0]), "=f"(v[1]), "=f"(v[2]), "=f"(v[3]) : "r"(from) : "memory");
}

__device__ __forceinline__ void multiplyStage(float (&sum)[8][4], u32 stage, int row, int column) {
#pragma unroll 4
    for (int m = 0; m < kPixels; m++) {
        float a[2][4], b[4];
        loadChunk(a[0], stage + swizzle<kRowBytes>(m, 2 * row)), loadChunk(a[1], stage + swizzle<kRowBytes>(m, 2 * row + 1));
        loadChunk(b, stage + kOperandBytes + swizzle<kRowBytes>(m, column));
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) sum[i][j] = fmaf(a[i >> 2][i & 3], b[j], sum[i][j]);
    }
}

__device__ __forceinline__ void convWgradF32(const ConvGradParams& p) {
    extern __shared__ __align__(256) unsigned char ring[];
    ConvGradPlace at;
    at.find<float, kTile>(p);
    const int row = threadIdx.x >> 4, column = threadIdx.x & 15, q = at.q0 + 4 * column;

    // multiply
    float sum[8][4] = {};
    ConvGradLoader<float, kTile, kPixels> loader(p, at);
    convSteps<3>(p, loader, 0, at.steps(kPixels), sharedAddress(ring), [&](u32 stage) { multiplyStage(sum, stage, row, column); });

    // store
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int k = at.k0 + 8 * row + i;
        if (k >= p.K || q >= at.columns) continue;
        float4* const to = (float4*)(p.out + ((i64)at.slice * p.K + k) * at.columns + q);
        float4 v = make_float4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
        if (p.accumulate) {
            const float4 old = *to;
            v = make_float4(old.x + v.x, old.y + v.y, old.z + v.z, old.w + v.w);
        }
        *to = v;
    }
}

extern "C" __global__ void __launch_bounds__(128, 4) conv_wgrad_f32(const __grid_constant__ ConvGradParams p) { convWgradF32(p); }
