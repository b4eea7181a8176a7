// Parameters of the weight gradient, and the copies of both operands. The product has a row per result channel k and a column per place of the
// filter q = (r side + s) Cw + c; its depth is the pixels of the result, cut into slices.
#pragma once
#include "conv_ring.cuh"

struct ConvGradParams {
    const void* x;          // [N, H, W, C] T, row stride ldx
    const void* dy;         // [N, Ho, Wo, K] T, row stride ldy
    float* out;             // [K, side, side, Cw], or with slices > 1 one of those per slice; Cw = C in whole 16 bytes, beyond C zeros
    i64 ldx, ldy;           // elements between pixels
    int H, W, C;            // source height and width, source channels
    int K;                  // result channels
    int side, stride;       // of the filter: 1 or 3; source pixels per result row or column
    int up;                 // 1: the source is read through nearest 2x upsampling
    int M;                  // pixels of the result, N Ho Wo
    int Ho, Wo;             // result height and width
    u32 magicP, shiftP;     // division by Ho Wo
    u32 magicW, shiftW;     // division by Wo
    int slices, rows;       // slices, pixels per slice: a multiple of 64
    int accumulate;         // with one slice: 1: out is added to
    int reserved;           // 0
};
FIELD(ConvGradParams, x, 0, 8);
FIELD(ConvGradParams, dy, 8, 8);
FIELD(ConvGradParams, out, 16, 8);
FIELD(ConvGradParams, ldx, 24, 8);
FIELD(ConvGradParams, ldy, 32, 8);
FIELD(ConvGradParams, H, 40, 4);
FIELD(ConvGradParams, W, 44, 4);
FIELD(ConvGradParams, C, 48, 4);
FIELD(ConvGradParams, K, 52, 4);
FIELD(ConvGradParams, side, 56, 4);
FIELD(ConvGradParams, stride, 60, 4);
FIELD(ConvGradParams, up, 64, 4);
FIELD(ConvGradParams, M, 68, 4);
FIELD(ConvGradParams, Ho, 72, 4);
FIELD(ConvGradParams, Wo, 76, 4);
FIELD(ConvGradParams, magicP, 80, 4);
FIELD(ConvGradParams, shiftP, 84, 4);
FIELD(ConvGradParams, magicW, 88, 4);
FIELD(ConvGradParams, shiftW, 92, 4);
FIELD(ConvGradParams, slices, 96, 4);
FIELD(ConvGradParams, rows, 100, 4);
FIELD(ConvGradParams, accumulate, 104, 4);
FIELD(ConvGradParams, reserved, 108, 4);
SIZE(ConvGradParams, 112);

// A block's place: slice of the pixels, channels, places of the filter.
struct ConvGradPlace {
    int slice, k0, q0, columns;   // columns = side side Cw
    int begin, end;               // pixels

    __device__ __forceinline__ int steps(int pixels) const { return (end - begin + pixels - 1) / pixels; }

    template <class T, int TILE> __device__ __forceinline__ void find(const ConvGradParams& p) {
        enum { V = 16 / (int)sizeof(T) };
        columns = p.side * p.side * ((p.C + V - 1) / V * V);
        const int tilesK = (p.K - 1) / TILE + 1, tiles = tilesK * ((columns - 1) / TILE + 1);
        slice = (int)blockIdx.x / tiles;
        const int tile = (int)blockIdx.x - slice * tiles, column = tile / tilesK;
        k0 = (tile - column * tilesK) * TILE, q0 = column * TILE;
        begin = slice * p.rows, end = min(begin + p.rows, p.M);
    }
};

// Copies of both tiles: PIXELS rows of TILE elements, 16 bytes per thread and pass. A thread's chunk keeps its channels and its place in the filter.
template <class T, int TILE, int PIXELS> struct ConvGradLoader {
    enum {
        kVector = 16 / (int)sizeof(T), kRowBytes = TILE * (int)sizeof(T), kChunks = kRowBytes / 16, kRowsAtOnce = kThreads / kChunks,
        kPasses = PIXELS / kRowsAtOnce, kOperandBytes = PIXELS * kRowBytes
    };
    static_assert(kRowsAtOnce % 8 == 0 && kPasses == 4, "passes keep the swizzle");
    const T *x, *dy;         // this thread's channels of pixel 0
    int bytesX, bytesY;      // of them that exist
    int r, s;                // filter row and column, less the padding
    int pixel, end;          // of the next step's first pass; of the slice
    u32 slot;

    __device__ __forceinline__ ConvGradLoader(const ConvGradParams& p, const ConvGradPlace& at) {
        const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks, k = at.k0 + chunk * kVector, q = at.q0 + chunk * kVector;
        const int Cw = at.columns / (p.side * p.side), tap = q / Cw, c = q - tap * Cw, pad = p.side >> 1;
        r = tap / p.side - pad, s = tap - (r + pad) * p.side - pad;
        x = (const T*)p.x + c, dy = (const T*)p.dy + k;
        bytesX = q < at.columns ? bytesLeft<T>(p.C - c) : 0, bytesY = bytesLeft<T>(p.K - k);
        pixel = at.begin + row, end = at.end;
        slot = swizzle<kRowBytes>(row, chunk);
    }

    // dy's tile, then x's.
    __device__ __forceinline__ void issue(const ConvGradParams& p, u32 stage) {
#pragma unroll
        for (int i = 0; i < kPasses; i++) {
            const int m = pixel + i * kRowsAtOnce;
            const u32 to = stage + slot + i * kRowsAtOnce * kRowBytes;
            copyAsync(to, dy + m * p.ldy, m < end ? bytesY : 0);
            const int n = divide(m, p.magicP, p.shiftP), rest = m - n * p.Ho * p.Wo, i0 = divide(rest, p.magicW, p.shiftW);
            const int h = i0 * p.stride + r, w = (rest - i0 * p.Wo) * p.stride + s;
            const bool inside = m < end && (u32)h < (u32)(p.H << p.up) && (u32)w < (u32)(p.W << p.up);
            copyAsync(to + kOperandBytes, x + (((i64)n * p.H + (h >> p.up)) * p.W + (w >> p.up)) * p.ldx, inside ? bytesX : 0);
        }
        pixel += PIXELS;
    }
};
