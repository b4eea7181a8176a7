// Weight gradient of a convolution: dw[k, r, s, c] (or dw +) = sum over pixels (n, i, j) of dy[n, i, j, k] x[n, source(i, r), source(j, s), c], f16 or bf16
// operands, f32 sums and result. 3x3 and 1x1, stride 1 and 2, through nearest 2x upsampling.
//
// A GEMM whose depth is the pixels: a block makes a tile of T result channels x T places of the filter (places and channels packed without gaps, so
// that few source channels waste nothing) from one slice of the pixels, with 4 warps of T/2 x T/2, mma m16n8k16. Both operands have the depth as
// rows, so their fragments come by ldmatrix.trans. Steps of 32 pixels and rows of 256 bytes (128), 64 pixels and rows of 128 bytes (64), through
// a ring of 3 or 4 stages, swizzled, no bank conflicts, one barrier per step. A copied chunk keeps its place in the filter, its pixel
// is found by magic division at every step; what lies outside is zero-filled.
// With one slice the result is stored or added to; with more, conv_sum_f32 adds the slices in order.
//
// Order of sums: pixels ascending, 16 at a time inside the tensor core; slices ascending. Error: (pixels of a slice / 16) 2^-22 sum|dy x| at worst (sm_80).
// Traffic, elements of b bytes: dy M K b x tiles of columns + valid (pixel, place) pairs C b x tiles of channels + 4 K side^2 Cw (per slice, or 8 with
// accumulate). mma: T^2 / 128 per 16 pixels padded to steps.
//
// launch conv_wgrad_128_s{3,4}_{f16,bf16}(ConvGradParams): block 128; grid x = slices ceil(K / 128) ceil(side^2 Cw / 128); shared 16384 stages; x, dy 16-byte
//        aligned, out 8-byte; ldx, ldy multiples of 8; slices rows at least M, rows a multiple of 64; M at most 2^30; K side^2 Cw below 2^31.
// launch conv_wgrad_64_s3_{f16,bf16}(ConvGradParams): block 128; grid x = slices ceil(K / 64) ceil(side^2 Cw / 64); shared 49152; as above.
// Budget: 232 registers (128), 128 (64), no spills; blocks per SM as conv_igemm.
#include "common/conv_wgrad.cuh"

template <int TILE> struct GradTile {
    enum { kPixels = TILE == 128 ? 32 : 64, kRowBytes = 2 * TILE, kWarp = TILE / 2, kI = kWarp / 16, kJ = kWarp / 8, kOperandBytes = kPixels * kRowBytes };
};

// The warp's products of one stage: lanes give rows of eight pixels; matrices arrive transposed.
template <class T, int TILE, class Tile = GradTile<TILE>>
__device__ __forceinline__ void multiplyStage(float (&sum)[Tile::kI][Tile::kJ][4], u32 stage, int wm, int wn) {
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int k = 0; k < Tile::kPixels / 16; k++) {
        u32 a[Tile::kI][4], b[Tile::kJ / 2][4];
#pragma unroll
        for (int i = 0; i < Tile::kI; i++)
            loadMatricesTransposed(a[i], stage + swizzle<Tile::kRowBytes>(16 * k + (lane & 7) + 8 * (lane >> 4), (wm >> 3) + 2 * i + ((lane >> 3) & 1)));
#pragma unroll
        for (int j = 0; j < Tile::kJ / 2; j++)
            loadMatricesTransposed(b[j], stage + Tile::kOperandBytes + swizzle<Tile::kRowBytes>(16 * k + (lane & 15), (wn >> 3) + 2 * j + (lane >> 4)));
#pragma unroll
        for (int i = 0; i < Tile::kI; i++)
#pragma unroll
            for (int j = 0; j < Tile::kJ; j++) multiply(sum[i][j], a[i], b[j >> 1][2 * (j & 1)], b[j >> 1][2 * (j & 1) + 1], T());
    }
}

template <class T, int TILE, int STAGES> __device__ __forceinline__ void convWgrad(const ConvGradParams& p) {
    typedef GradTile<TILE> Tile;
    extern __shared__ __align__(256) unsigned char ring[];
    ConvGradPlace at;
    at.find<T, TILE>(p);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, wm = (warp & 1) * Tile::kWarp, wn = (warp >> 1) * Tile::kWarp;

    // multiply
    float sum[Tile::kI][Tile::kJ][4] = {};
    ConvGradLoader<T, TILE, Tile::kPixels> loader(p, at);
    convSteps<STAGES>(p, loader, 0, at.steps(Tile::kPixels), sharedAddress(ring), [&](u32 stage) { multiplyStage<T, TILE>(sum, stage, wm, wn); });

    // store: 32 contiguous bytes for each row of a fragment
    const int q = at.q0 + wn + 2 * (lane & 3);
#pragma unroll
    for (int i = 0; i < Tile::kI; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int k = at.k0 + wm + 16 * i + 8 * h + (lane >> 2);
            float* to = p.out + ((i64)at.slice * p.K + k) * at.columns + q;
#pragma unroll
            for (int j = 0; j < Tile::kJ; j++) {
                if (k >= p.K || q + 8 * j >= at.columns) continue;
                float2* const pair = (float2*)(to + 8 * j);
                float2 v = make_float2(sum[i][j][2 * h], sum[i][j][2 * h + 1]);
                if (p.accumulate) v = make_float2(pair->x + v.x, pair->y + v.y);
                *pair = v;
            }
        }
}

#define WGRAD(name, T, TILE, STAGES, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(128, BLOCKS) name(const __grid_constant__ ConvGradParams p) { convWgrad<T, TILE, STAGES>(p); }
WGRAD(conv_wgrad_128_s3_f16, f16, 128, 3, 2)
WGRAD(conv_wgrad_128_s3_bf16, bf16, 128, 3, 2)
WGRAD(conv_wgrad_128_s4_f16, f16, 128, 4, 2)
WGRAD(conv_wgrad_128_s4_bf16, bf16, 128, 4, 2)
WGRAD(conv_wgrad_64_s3_f16, f16, 64, 3, 4)
WGRAD(conv_wgrad_64_s3_bf16, bf16, 64, 3, 4)
