// Convolution on tensor cores: y[n, i, j, k] = bias[k] + residual[n, i, j, k] + sum over taps r, s and channels c of x[n, source(i, r), source(j, s), c]
// w[k, r, s, c], as an implicit GEMM over NHWC f16 or bf16, f32 sums rounded once. 3x3 (zero padding 1) and 1x1, stride 1 and 2, through nearest 2x
// upsampling, and the input gradients of all of them: see common/conv.cuh.
//
// A block makes a tile of T x T results (rows: pixels, columns: channels) with 4 warps of T/2 x T/2, mma m16n8k16. Tile 128: steps of 32 of the depth,
// rows of 64 bytes; tile 64: steps of 64, rows of 128 bytes. cp.async ring of 3 or 4 stages, one wait and one barrier per step; swizzled, no bank
// conflicts; what lies outside the image, past the last channel, row or filter is zero-filled by the copies' source size. A row's pixel is found
// once by magic division, its taps inside the image are 12 mask bits.
// Results leave through shared memory by 16-byte stores; the residual comes in the same way, by copies into the place the results take. With several
// slices of the depth, each block stores f32 sums (whole sectors) and takes a ticket; the last of a tile adds the slices in order, with bias and residual.
// With stats, a tile's rows are of one sample, and per channel the sums of d and d^2, d = rounded y - bias, are stored for gn_finalize_f32 (given
// the bias as x with stride 0).
//
// Order of sums: blocks of channels of one step ascending, within them taps, within them 16 channels at a time in the tensor core. Error: the
// unit's, (depth / 16) 2^-22 sum|x w| at worst (sm_80), plus the rounding of y.
// Traffic, elements of b bytes, per tile: valid (row, tap) pairs x C b + min(K left, T) taps C b + 4 min(K left, T) x 2 (bias) + results (1 or 2) b; with
// slices 8 Kp slices (write and read) + 4 slices (tickets) and the bias once per pixel. mma: T^2 / 128 per 16 of the depth padded to steps.
//
// launch conv_igemm_128_s{3,4}_{f16,bf16}(ConvParams): block 128; grid x = slices ceil(rows / 128) phases ceil(K / 128); shared 16384 stages; x, weights,
//        residual, y, partial 16-byte aligned; ldx, ldr, ldy multiples of 8; phases = spread^2, rows = N rowsH rowsW (with stats: rows = rowsH
//        rowsW, grid x times N); N H W, rows, N Ho Wo below 2^31 - 1024; the elements between the first and last pixel of a tile below 2^31; weights below
//        2^31 elements; y overlaps only the residual, and that exactly.
// launch conv_igemm_64_s3_{f16,bf16}(ConvParams): block 128; grid x = slices ceil(rows / 64) phases ceil(K / 64); shared 49152; as above.
// Budget: 232 registers, 240 on sm_90 (128), 128 (64), no spills; 2 blocks of 128 per SM with 4 stages on sm_80/90, with 3 on sm_86/89; 64: 3/2/2/4.
#include "common/conv.cuh"

template <int TILE> struct ConvTile {
    enum {
        kRowBytes = TILE == 128 ? 64 : 128, kDepths = kRowBytes / 32, kWarp = TILE / 2, kI = kWarp / 16, kJ = kWarp / 8,
        kOwnRow = 2 * kWarp, kOwnBytes = kWarp * kOwnRow, kChunks = kOwnRow / 16, kRowsAtOnce = 32 / kChunks
    };
};

// The warp's products of one stage. A lane's place in a tile is turned by the wanted pair of chunks: 2 k + h = 2 k ^ h.
template <class T, int TILE, class Tile = ConvTile<TILE>>
__device__ __forceinline__ void multiplyStage(float (&sum)[Tile::kI][Tile::kJ][4], u32 rowsOfLane, u32 columnsOfLane) {
#pragma unroll
    for (int k = 0; k < Tile::kDepths; k++) {
        u32 a[Tile::kI][4], b[4];   // b: words 0, 1 of columns 16 j .. + 7, then of the next 8
#pragma unroll
        for (int i = 0; i < Tile::kI; i++) loadMatrices(a[i], (rowsOfLane ^ (k << 5)) + 16 * i * Tile::kRowBytes);
#pragma unroll
        for (int j = 0; j < Tile::kJ / 2; j++) {
            loadMatrices(b, (columnsOfLane ^ (k << 5)) + 16 * j * Tile::kRowBytes);
#pragma unroll
            for (int i = 0; i < Tile::kI; i++) multiply(sum[i][2 * j], a[i], b[0], b[1], T()), multiply(sum[i][2 * j + 1], a[i], b[2], b[3], T());
        }
    }
}

// f32 sums of a slice, 32 contiguous bytes for each row of a fragment.
template <int TILE, class Tile = ConvTile<TILE>>
__device__ __forceinline__ void storePartial(const ConvParams& p, const ConvPlace& at, const float (&sum)[Tile::kI][Tile::kJ][4], int row0, int col0) {
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const i64 Kp = (p.K + 7) / 8 * 8;
#pragma unroll
    for (int i = 0; i < Tile::kI; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int row = row0 + 16 * i + 8 * h + g;
            const i64 pixel = row < at.rows ? at.pixel(p, row) : -1;
            float* to = p.partial + ((i64)at.slice * p.N * p.Ho * p.Wo + pixel) * Kp + col0 + 2 * t;
#pragma unroll
            for (int j = 0; j < Tile::kJ; j++)
                if (pixel >= 0 && col0 + 8 * j < p.K) *(float2*)(to + 8 * j) = make_float2(sum[i][j][2 * h], sum[i][j][2 * h + 1]);
        }
}

// Calls `use(row of the warp, chunk, its pixel or -1)` for all 16-byte chunks of the warp's results, whole rows at a time.
template <int TILE, class Use> __device__ __forceinline__ void eachChunk(const ConvParams& p, const ConvPlace& at, int row0, Use use) {
    typedef ConvTile<TILE> Tile;
    const int lane = threadIdx.x & 31;
#pragma unroll 2
    for (int i = 0; i < Tile::kWarp; i += Tile::kRowsAtOnce) {
        const int row = i + lane / Tile::kChunks;
        use(row, lane % Tile::kChunks, row0 + row < at.rows ? at.pixel(p, row0 + row) : -1);
    }
}

// Sums + bias + residual to y, by way of the warp's own shared memory: rows of its tile, chunk j = columns 8 j .. 8 j + 7.
template <class T, int TILE, class Tile = ConvTile<TILE>>
__device__ __forceinline__ void storeResults(
    const ConvParams& p, const ConvPlace& at, const float (&sum)[Tile::kI][Tile::kJ][4], unsigned char* own, float* stats, int row0, int col0) {
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    if (p.residual != nullptr) {
        eachChunk<TILE>(p, at, row0, [&](int row, int chunk, i64 pixel) {
            const u16* from = (const u16*)p.residual + pixel * p.ldr + col0 + 8 * chunk;
            copyAsync(sharedAddress(own) + swizzle<Tile::kOwnRow>(row, chunk), from, pixel < 0 ? 0 : bytesLeft<T>(p.K - col0 - 8 * chunk));
        });
        commitCopies();
        waitCopies<0>();
        __syncwarp();
    }
#pragma unroll
    for (int j = 0; j < Tile::kJ; j++) {
        const int col = col0 + 8 * j + 2 * t;
        const float bias0 = p.bias != nullptr && col < p.K ? __ldg(p.bias + col) : 0.0f, bias1 = p.bias != nullptr && col + 1 < p.K ? __ldg(p.bias + col + 1) : 0.0f;
        float s0 = 0.0f, s1 = 0.0f, q0 = 0.0f, q1 = 0.0f;
#pragma unroll
        for (int i = 0; i < Tile::kI; i++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const int row = 16 * i + 8 * h + g;
                u32* const word = (u32*)(own + swizzle<Tile::kOwnRow>(row, j) + 4 * t);
                float v0 = sum[i][j][2 * h] + bias0, v1 = sum[i][j][2 * h + 1] + bias1, r0 = 0.0f, r1 = 0.0f;
                if (p.residual != nullptr) unpack(*word, r0, r1, T());
                const u32 w = pack(v0 + r0, v1 + r1, T());
                *word = w;
                if (p.stats != nullptr) {
                    unpack(w, v0, v1, T());
                    const bool exists = row0 + row < at.rows;
                    v0 = exists ? v0 - bias0 : 0.0f, v1 = exists ? v1 - bias1 : 0.0f;
                    s0 += v0, s1 += v1, q0 = fmaf(v0, v0, q0), q1 = fmaf(v1, v1, q1);
                }
            }
        if (p.stats != nullptr) {   // eight rows of lanes in a tree; lane t keeps columns 8 j + 2 t, + 1
#pragma unroll
            for (int d = 4; d < 32; d <<= 1) {
                s0 += __shfl_xor_sync(0xffffffffu, s0, d), s1 += __shfl_xor_sync(0xffffffffu, s1, d);
                q0 += __shfl_xor_sync(0xffffffffu, q0, d), q1 += __shfl_xor_sync(0xffffffffu, q1, d);
            }
            if (g == 0) {
                *(float2*)(stats + 8 * j + 2 * t) = make_float2(s0, s1);
                *(float2*)(stats + Tile::kWarp + 8 * j + 2 * t) = make_float2(q0, q1);
            }
        }
    }
    __syncwarp();
    eachChunk<TILE>(p, at, row0, [&](int row, int chunk, i64 pixel) {
        const int left = pixel < 0 ? 0 : p.K - col0 - 8 * chunk;
        const uint4 w = *(const uint4*)(own + swizzle<Tile::kOwnRow>(row, chunk));
        u16* to = (u16*)p.y + pixel * p.ldy + col0 + 8 * chunk;
        if (left >= 8) {
            store16(to, w);
        } else {
            const u32 words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int e = 0; e < 7; e++)
                if (e < left) to[e] = (u16)(words[e >> 1] >> (16 * (e & 1)));
        }
    });
}

// Sums of the tile's two halves of rows, each thread a column.
template <int TILE> __device__ __forceinline__ void storeStats(const ConvParams& p, const ConvPlace& at, const float* stats) {
    const int column = threadIdx.x, col = at.col0 + column, tiles = ((at.rows - 1) / TILE + 1) * p.spread * p.spread;
    if (column >= TILE || col >= p.K) return;
    const float* from = stats + column / (TILE / 2) * 2 * TILE + column % (TILE / 2);   // of warps 2 w and 2 w + 1, TILE floats each
    float* to = p.stats + ((i64)at.sample * tiles + at.tileOfSample) * 2 * p.K + col;
    to[0] = from[0] + from[TILE], to[p.K] = from[TILE / 2] + from[TILE + TILE / 2];
}

template <class T, int TILE, int STAGES> __device__ __forceinline__ void convIgemm(const ConvParams& p) {
    typedef ConvTile<TILE> Tile;
    extern __shared__ __align__(256) unsigned char ring[];
    ConvPlace at;
    at.find<TILE>(p);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, wm = (warp & 1) * Tile::kWarp, wn = (warp >> 1) * Tile::kWarp;

    // multiply
    float sum[Tile::kI][Tile::kJ][4] = {};
    const u32 rowsOfLane = wm * Tile::kRowBytes + swizzle<Tile::kRowBytes>(lane & 15, lane >> 4);
    const u32 columnsOfLane = (TILE + wn) * Tile::kRowBytes + swizzle<Tile::kRowBytes>((lane & 7) + 8 * (lane >> 4), (lane >> 3) & 1);
    const int2 steps = at.steps(p, Tile::kRowBytes / 2);
    ConvLoader<T, TILE, Tile::kRowBytes> loader(p, at, steps.x);
    convSteps<STAGES>(
        p, loader, steps.x, steps.y, sharedAddress(ring), [&](u32 stage) { multiplyStage<T, TILE>(sum, stage + rowsOfLane, stage + columnsOfLane); });

    // store, once every warp has read its last stage
    __syncthreads();
    if (p.partial != nullptr) {
        storePartial<TILE>(p, at, sum, at.row0 + wm, at.col0 + wn);
        if (isLastSlice(p, at, (u32*)ring)) addSlices<T, TILE>(p, at);
    } else {
        float* const stats = (float*)(ring + 4 * Tile::kOwnBytes);
        storeResults<T, TILE>(p, at, sum, ring + warp * Tile::kOwnBytes, stats + warp * 2 * Tile::kWarp, at.row0 + wm, at.col0 + wn);
        if (p.stats != nullptr) {
            __syncthreads();
            storeStats<TILE>(p, at, stats);
        }
    }
}

#define CONV(name, T, TILE, STAGES, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(128, BLOCKS) name(const __grid_constant__ ConvParams p) { convIgemm<T, TILE, STAGES>(p); }
CONV(conv_igemm_128_s3_f16, f16, 128, 3, 2)
CONV(conv_igemm_128_s3_bf16, bf16, 128, 3, 2)
CONV(conv_igemm_128_s4_f16, f16, 128, 4, 2)
CONV(conv_igemm_128_s4_bf16, bf16, 128, 4, 2)
CONV(conv_igemm_64_s3_f16, f16, 64, 3, 4)
CONV(conv_igemm_64_s3_bf16, bf16, 64, 3, 4)
