// What the implicit-GEMM convolutions share: parameters, the map from rows of the product to pixels, the copies of both operands.
//
// The product has a row per result pixel and a column per result channel; its depth is taps x source channels. A block's rows belong to one
// phase: with spread 2 the results at even and odd rows and columns are four phases, each with its own taps. So one kernel is
//   forward, 3x3 or 1x1, stride 1 or 2     spread 1; tap r of an axis reads source stride i + r - 1
//   forward through nearest 2x upsampling  spread 2, stride 1; phase q: taps r read source i + floor((q + r - 1) / 2)
//   input gradient of stride 1             spread 1; as forward, weights transposed and flipped
//   input gradient of stride 2             spread 2, stride 1; phase 0: one tap; phase 1: two
//   input gradient through upsampling      spread 1, stride 2; six taps per axis (two halves of an upsampled pixel x 3) read source 2 i - 1 ... 2 i + 2
// and no multiplication by the zeros of a dilated or upsampled image happens in any of them.
#pragma once
#include "conv_ring.cuh"
#include "four.cuh"

struct ConvParams {
    const void* x;          // [N, H, W, C] T, row stride ldx
    const void* weights;    // [K, side, side, Cw] T, Cw = C in whole 16 bytes; what lies beyond C is not read
    const float* bias;      // [K] or null
    const void* residual;   // [N, Ho, Wo, K] T, row stride ldr, or null
    void* y;                // [N, Ho, Wo, K] T, row stride ldy
    float* partial;         // [slices, N Ho Wo, Kp] when there are several slices, else null; Kp = K in whole eights
    u32* tickets;           // [tiles], all 0 before and after, when there are several slices, else null
    float* stats;           // [N, tiles of a sample, 2, K] sums of d, of d^2, d = y - bias, or null; then a tile's rows are of one sample
    i64 ldx, ldr, ldy;      // elements between pixels
    int N, H, W, C;         // samples, source height and width, source channels
    int K, Ho, Wo;          // result channels, height and width
    int side;               // of the filter: 1 or 3
    int stride;             // source pixels per row or column of a phase
    int spread;             // 1, or 2: four phases
    int rowsH, rowsW;       // rows and columns of a phase: ceil(Ho / spread), ceil(Wo / spread)
    u32 magicP, shiftP;     // division by rowsH rowsW
    u32 magicW, shiftW;     // division by rowsW
    u32 taps0, taps1;       // taps along an axis in phase 0 and 1: count in 3 bits, then 4 bits each: source offset + 1, filter row << 2
    int slices;             // slices of the depth
    int reserved;           // 0
};
FIELD(ConvParams, x, 0, 8);
FIELD(ConvParams, weights, 8, 8);
FIELD(ConvParams, bias, 16, 8);
FIELD(ConvParams, residual, 24, 8);
FIELD(ConvParams, y, 32, 8);
FIELD(ConvParams, partial, 40, 8);
FIELD(ConvParams, tickets, 48, 8);
FIELD(ConvParams, stats, 56, 8);
FIELD(ConvParams, ldx, 64, 8);
FIELD(ConvParams, ldr, 72, 8);
FIELD(ConvParams, ldy, 80, 8);
FIELD(ConvParams, N, 88, 4);
FIELD(ConvParams, H, 92, 4);
FIELD(ConvParams, W, 96, 4);
FIELD(ConvParams, C, 100, 4);
FIELD(ConvParams, K, 104, 4);
FIELD(ConvParams, Ho, 108, 4);
FIELD(ConvParams, Wo, 112, 4);
FIELD(ConvParams, side, 116, 4);
FIELD(ConvParams, stride, 120, 4);
FIELD(ConvParams, spread, 124, 4);
FIELD(ConvParams, rowsH, 128, 4);
FIELD(ConvParams, rowsW, 132, 4);
FIELD(ConvParams, magicP, 136, 4);
FIELD(ConvParams, shiftP, 140, 4);
FIELD(ConvParams, magicW, 144, 4);
FIELD(ConvParams, shiftW, 148, 4);
FIELD(ConvParams, taps0, 152, 4);
FIELD(ConvParams, taps1, 156, 4);
FIELD(ConvParams, slices, 160, 4);
FIELD(ConvParams, reserved, 164, 4);
SIZE(ConvParams, 168);

enum { kGroup = 8 };   // rows of tiles walked together, so that neighbours in time share weights

// One axis of the filter in one phase.
struct ConvAxis {
    u32 taps;
    __device__ __forceinline__ int count() const { return taps & 7; }
    __device__ __forceinline__ int offset(int a) const { return (int)(taps >> (3 + 4 * a) & 3) - 1; }
    __device__ __forceinline__ int filter(int a) const { return (int)(taps >> (5 + 4 * a) & 3); }

    // Bit a: tap a of source position `at` lies inside.
    __device__ __forceinline__ u32 inside(int at, int size) const {
        u32 mask = 0;
#pragma unroll 1
        for (int a = 0; a < count(); a++) mask |= (u32)((u32)(at + offset(a)) < (u32)size) << a;
        return mask;
    }
};

// A block's place: slice of the depth, tile of columns, rows of one phase (and, with stats, of one sample).
struct ConvPlace {
    int slice, tile, col0, row0, rows;   // tile of all slices; rows of the phase or sample; row0 = first of the tile
    int sample, phase, tileOfSample;
    ConvAxis vertical, horizontal;

    template <int TILE> __device__ __forceinline__ void find(const ConvParams& p) {
        const int phases = p.spread * p.spread, pixels = p.rowsH * p.rowsW;
        const bool bySample = p.stats != nullptr;
        rows = bySample ? pixels : p.N * pixels;
        const int tilesOf = (rows - 1) / TILE + 1, tilesM = tilesOf * phases * (bySample ? p.N : 1), tilesN = (p.K - 1) / TILE + 1;
        slice = (int)blockIdx.x / (tilesM * tilesN);
        tile = (int)blockIdx.x - slice * (tilesM * tilesN);
        const int group = tile / (kGroup * tilesN), inGroup = tile - group * (kGroup * tilesN);
        const int height = min((int)kGroup, tilesM - group * kGroup), column = inGroup / height, part = group * kGroup + inGroup - column * height;
        const int segment = part / tilesOf, tileOf = part - segment * tilesOf;
        col0 = column * TILE, row0 = tileOf * TILE;
        sample = segment / phases, phase = segment - sample * phases, tileOfSample = phase * tilesOf + tileOf;
        vertical.taps = phase & 2 ? p.taps1 : p.taps0, horizontal.taps = phase & 1 ? p.taps1 : p.taps0;
    }

    // Steps of the depth of this slice: begin, then end. Slices past the last step are empty and give zeros.
    __device__ __forceinline__ int2 steps(const ConvParams& p, int depthOfStep) const {
        const int all = (p.C + depthOfStep - 1) / depthOfStep * vertical.count() * horizontal.count(), each = (all - 1) / p.slices + 1;
        return make_int2(min(slice * each, all), min((slice + 1) * each, all));
    }

    // Result pixel of a row, counted through all samples; negative where the phase has a row or column more than the result.
    __device__ __forceinline__ i64 pixel(const ConvParams& p, int row) const {
        if (p.spread == 1) return (i64)sample * rows + row;
        const int n = divide(row, p.magicP, p.shiftP), rest = row - n * p.rowsH * p.rowsW, i = divide(rest, p.magicW, p.shiftW);
        const int h = 2 * i + (phase >> 1), w = 2 * (rest - i * p.rowsW) + (phase & 1);
        return h < p.Ho && w < p.Wo ? ((i64)(sample + n) * p.Ho + h) * p.Wo + w : -1;
    }
};

// Hands a tile's slices over to the last of their blocks: true in all its threads, which then see what the others stored. A ticket is 0 again after the last.
// `slot` is a shared word that nothing else uses any more.
__device__ __forceinline__ bool isLastSlice(const ConvParams& p, const ConvPlace& at, u32* slot) {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) *slot = atomicInc(p.tickets + at.tile, (u32)p.slices - 1);
    __syncthreads();
    const bool last = *slot == (u32)p.slices - 1;
    if (last) __threadfence();
    return last;
}

// The tile's results from the sums of all slices, ascending; four channels per thread at a time.
template <class T, int TILE> __device__ __forceinline__ void addSlices(const ConvParams& p, const ConvPlace& at) {
    const i64 Kp = (p.K + 7) / 8 * 8, slice = (i64)p.N * p.Ho * p.Wo * Kp;
#pragma unroll 1
    for (int item = threadIdx.x; item < TILE * TILE / 4; item += kThreads) {
        const int row = at.row0 + item / (TILE / 4), col = at.col0 + item % (TILE / 4) * 4, left = p.K - col;
        const i64 pixel = row < at.rows && left > 0 ? at.pixel(p, row) : -1;
        if (pixel < 0) continue;
        const float* from = p.partial + pixel * Kp + col;   // not by the read-only path: this kernel wrote it
        float sum[4] = {}, v[4];
        const auto add = [&]() {
#pragma unroll
            for (int i = 0; i < 4; i++) sum[i] += v[i];
        };
#pragma unroll 4
        for (int s = 0; s < p.slices; s++, from += slice) {
            const float4 w = *(const float4*)from;
            v[0] = w.x, v[1] = w.y, v[2] = w.z, v[3] = w.w;
            add();
        }
        if (p.bias != nullptr) {
            loadVec<false>(p.bias + col, left, v);
            add();
        }
        if (p.residual != nullptr) {   // may be y, each element read and written by one thread
            const T* r = (const T*)p.residual + pixel * p.ldr + col;
            loadFour(r, left, v);
            add();
        }
        storeFour((T*)p.y + pixel * p.ldy + col, left, sum);
    }
}

// Copies the tiles of both operands, step after step: channels outer, taps inner, so that neighbouring steps reread the same pixels.
// A step is ROW_BYTES of channels; 16 bytes per thread and pass, four passes for each operand.
template <class T, int TILE, int ROW_BYTES> struct ConvLoader {
    enum {
        kVector = 16 / (int)sizeof(T), kStep = ROW_BYTES / (int)sizeof(T), kChunks = ROW_BYTES / 16, kRowsAtOnce = kThreads / kChunks,
        kPasses = TILE / kRowsAtOnce, kOperandBytes = TILE * ROW_BYTES
    };
    static_assert(kRowsAtOnce % 8 == 0 && kPasses == 4, "passes keep the swizzle");
    const T* pixels;           // chunk of the tile's first pixel
    const T* weights;          // chunk of this thread's first filter
    int offset[kPasses];       // elements from there to the pixel of each row
    u32 inside[kPasses];       // bits 0-5: taps of the vertical axis that exist for the row, bits 8-13: horizontal
    int filters, filterStride; // filters left, elements between the filters of two passes
    int channel;               // of this chunk
    int a, b;                  // taps of the next step
    ConvAxis vertical, horizontal;
    u32 slot;                  // bytes of the first row's chunk in a tile

    __device__ __forceinline__ ConvLoader(const ConvParams& p, const ConvPlace& at, int step) : vertical(at.vertical), horizontal(at.horizontal) {
        const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks, taps = vertical.count() * horizontal.count();
        const int block = step / taps, tap = step - block * taps;
        a = tap / horizontal.count(), b = tap - a * horizontal.count();
        channel = block * kStep + chunk * kVector;
        slot = swizzle<ROW_BYTES>(row, chunk);
        int first = 0;
#pragma unroll
        for (int i = -1; i < kPasses; i++) {   // -1: the tile's first row, from which offsets count
            const int m = i < 0 ? at.row0 : at.row0 + row + i * kRowsAtOnce;
            const int n = divide(m, p.magicP, p.shiftP), rest = m - n * p.rowsH * p.rowsW, y = divide(rest, p.magicW, p.shiftW);
            const int h = y * p.stride, w = (rest - y * p.rowsW) * p.stride, pixel = ((at.sample + n) * p.H + h) * p.W + w;
            if (i < 0) {
                first = pixel;
            } else {
                offset[i] = (pixel - first) * (int)p.ldx;
                inside[i] = m < at.rows ? vertical.inside(h, p.H) | horizontal.inside(w, p.W) << 8 : 0;
            }
        }
        pixels = (const T*)p.x + first * p.ldx;
        const int Cw = (p.C + kVector - 1) / kVector * kVector, filter = p.side * p.side * Cw;
        weights = (const T*)p.weights + (i64)(at.col0 + row) * filter;
        filters = p.K - at.col0 - row, filterStride = kRowsAtOnce * filter;
    }

    __device__ __forceinline__ void issue(const ConvParams& p, u32 stage) {
        const int bytes = bytesLeft<T>(p.C - channel), Cw = (p.C + kVector - 1) / kVector * kVector;
        const u32 taps = 1u << a | 1u << (8 + b);
        const T* x = pixels + ((vertical.offset(a) * p.W + horizontal.offset(b)) * (int)p.ldx + channel);
        const T* w = weights + ((vertical.filter(a) * p.side + horizontal.filter(b)) * Cw + channel);
#pragma unroll
        for (int i = 0; i < kPasses; i++)
            copyAsync(stage + slot + i * kRowsAtOnce * ROW_BYTES, x + offset[i], (inside[i] & taps) == taps ? bytes : 0);
#pragma unroll
        for (int i = 0; i < kPasses; i++)
            copyAsync(stage + kOperandBytes + slot + i * kRowsAtOnce * ROW_BYTES, w + i * filterStride, i * kRowsAtOnce < filters ? bytes : 0);
        if (++b == horizontal.count()) b = 0, a++;
        if (a == vertical.count()) a = 0, channel += kStep;
    }
};
