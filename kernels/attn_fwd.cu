// O = softmax(s Q K^T) V for every head of every sample, s = d^-1/2, and LSE = ln sum_j exp(s q.k_j); f16 and bf16, d = 32, 64, 128.
//
// A block of 4 warps makes 64 (or 128: entries *_q128) rows of O, a warp 16 (32) of them with its Q fragments in registers. Keys come in
// tiles of 64 through a ring of two stages (K and V side by side), filled by cp.async one tile ahead: per tile one wait, one barrier, then
// the copies of the next tile into the stage whose readers have passed that barrier. Q arrives through the second stage before the ring
// needs it. Online softmax in base 2: the running maximum m is kept as round(max * s log2 e), so that p = 2^fma(score, s log2 e, -m), the
// rescaling 2^(m_old - m_new) and LSE = (m + log2 sum) ln 2 all see the same m, whatever its size. The first tile has a valid key, so m
// is finite from there on; keys past the end are -inf after the product, their V rows are zeros. Queries past the end are computed, not
// stored. P is rounded to T for the second product, sums use P before rounding; nothing else is rounded before O.
//
// Determinism: one writer per element, keys in ascending order; no atomics, no communication between blocks.
// mma: 4 d (8 d) per block and key tile; ex2: 1 per score + 1 per row and tile of 64; barriers: 1 per tile + 1. No bank conflicts.
// Traffic, elements of 2 bytes, per head: queries d (Q) + 2 tiles keys d (K, V once per query tile) + queries d (O); 4 queries bytes of LSE.
//
// launch attn_fwd_d{32,64,128}_{f16,bf16}(AttnFwdParams): block 128; grid x = ceil(queries / 64) heads N; shared 512 d bytes;
//        q, k, v, o 16-byte aligned, strides multiples of 8, row strides below 2^31; queries, keys, heads >= 1; o overlaps no input.
// launch attn_fwd_d{32,64}_q128_{f16,bf16}(AttnFwdParams): block 128; grid x = ceil(queries / 128) heads N; shared 512 d
//        bytes; otherwise as above.
// Budget, no spills: d32 and d64 128 registers (4/3/3/4 blocks per SM on sm_80/86/89/90), d128 216 (2/1/1/2), _q128 240 (2/2/2/2).
#include "common/attention.cuh"

enum { kKeys = 64 };

// One row pair of a warp's 16 x 64 scores (elements 2 h and 2 h + 1 of every accumulator): scores become p, m and sum move on.
// Returns the factor of what was summed before.
__device__ __forceinline__ float softmaxRow(float (&s)[8][4], int h, float scale, float& m, float& sum) {
    float top = fmaxf(s[0][2 * h], s[0][2 * h + 1]);
#pragma unroll
    for (int j = 1; j < 8; j++) top = fmaxf(top, fmaxf(s[j][2 * h], s[j][2 * h + 1]));
    top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));   // a row lies in the four lanes of one g
    top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
    const float next = fmaxf(m, top * scale), rescale = exp2Fast(m - next);
    m = next;
    float part = 0.0f;
#pragma unroll
    for (int j = 0; j < 8; j++)
#pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; e++) {
            s[j][e] = exp2Fast(fmaf(s[j][e], scale, -next));
            part += s[j][e];
        }
    sum = fmaf(sum, rescale, part);
    return rescale;
}

template <class T, int D, int M> __device__ __forceinline__ void attnForward(const AttnFwdParams& p) {
    extern __shared__ __align__(256) unsigned char ring[];
    constexpr u32 kTileBytes = kKeys * 2 * D, kStageBytes = 2 * kTileBytes;
    constexpr int kQueries = 64 * M;
    const AttnPlace at((p.queries - 1) / kQueries + 1, p.heads);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int first = at.tile * kQueries, tiles = (p.keys - 1) / kKeys + 1;
    const u32 shared = sharedAddress(ring);

    // Q through stage 1, the first keys into stage 0
    const u16* const queries = attnRows((const u16*)p.q, p.qStrides, at) + first * p.qStrides.row;
    AttnLoader<D, kQueries>(queries, p.qStrides.row, queries, 0, p.queries - first).issueOne(shared + kStageBytes);
    commitCopies();
    AttnLoader<D, kKeys> loader(attnRows((const u16*)p.k, p.kvStrides, at), p.kvStrides.row, attnRows((const u16*)p.v, p.kvStrides, at), p.kvStrides.row, p.keys);
    loader.issue(shared);
    commitCopies();
    waitCopies<1>();
    __syncthreads();
    u32 a[M][D / 16][4];
    const u32 laneOfRows = attnLaneOfRows<D>(), laneOfColumns = attnLaneOfColumns<D>();
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int c = 0; c < D / 16; c++) attnLoadA<D>(a[i][c], shared + kStageBytes + laneOfRows, warp * M + i, c);

    float o[M][D / 8][4] = {}, m[M][2], sum[M][2] = {};
#pragma unroll
    for (int i = 0; i < M; i++) m[i][0] = m[i][1] = -ATTN_INFINITY;
    for (int tile = 0; tile < tiles; tile++) {
        const u32 stage = shared + (tile & 1) * kStageBytes, keys = stage + laneOfColumns, values = stage + kTileBytes + laneOfRows;
        waitCopies<0>();
        __syncthreads();
        if (tile + 1 < tiles) loader.issue(shared + ((tile + 1) & 1) * kStageBytes);
        commitCopies();

        // scores
        float s[M][8][4] = {};
#pragma unroll
        for (int c = 0; c < D / 16; c++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                u32 b[4];
                attnLoadB<D>(b, keys, j, c);
#pragma unroll
                for (int i = 0; i < M; i++) {
                    multiply(s[i][2 * j], a[i][c], b[0], b[1], T());
                    multiply(s[i][2 * j + 1], a[i][c], b[2], b[3], T());
                }
            }
        const int left = p.keys - tile * kKeys;
        if (left < kKeys) {
#pragma unroll
            for (int i = 0; i < M; i++)
#pragma unroll
                for (int j = 0; j < 8; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if (8 * j + 2 * t + (e & 1) >= left) s[i][j][e] = -ATTN_INFINITY;
        }

        // softmax so far
#pragma unroll
        for (int i = 0; i < M; i++) {
            const float f0 = softmaxRow(s[i], 0, p.scaleLog2, m[i][0], sum[i][0]), f1 = softmaxRow(s[i], 1, p.scaleLog2, m[i][1], sum[i][1]);
#pragma unroll
            for (int j = 0; j < D / 8; j++) o[i][j][0] *= f0, o[i][j][1] *= f0, o[i][j][2] *= f1, o[i][j][3] *= f1;
        }

        // values
#pragma unroll
        for (int c = 0; c < 4; c++) {
            u32 w[M][4];
#pragma unroll
            for (int i = 0; i < M; i++) attnPack<T>(w[i], s[i][2 * c], s[i][2 * c + 1]);
#pragma unroll
            for (int j = 0; j < D / 16; j++) {
                u32 b[4];
                attnLoadBTransposed<D>(b, values, j, c);
#pragma unroll
                for (int i = 0; i < M; i++) {
                    multiply(o[i][2 * j], w[i], b[0], b[1], T());
                    multiply(o[i][2 * j + 1], w[i], b[2], b[3], T());
                }
            }
        }
    }

    // divide, store by way of the stage that nobody reads any more
#pragma unroll
    for (int i = 0; i < M; i++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            sum[i][h] += __shfl_xor_sync(0xffffffffu, sum[i][h], 1);
            sum[i][h] += __shfl_xor_sync(0xffffffffu, sum[i][h], 2);
        }
        const int inTile = (warp * M + i) * 16, row0 = first + inTile;
        const u32 own = shared + (tiles & 1) * kStageBytes + inTile * 2 * D;
        u16* const to = attnRows((u16*)p.o, p.oStrides, at) + row0 * p.oStrides.row;
        attnStoreRows<T, D>(o[i], __frcp_rn(sum[i][0]), __frcp_rn(sum[i][1]), own, to, p.oStrides.row, p.queries - row0);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int row = row0 + g + 8 * h;
            if (p.lse != nullptr && t == 0 && row < p.queries)
                p.lse[((i64)at.sample * p.heads + at.head) * p.queries + row] = (m[i][h] + log2Fast(sum[i][h])) * ATTN_LN2;
        }
    }
}

#define ATTN_FWD(name, T, D, M, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(128, BLOCKS) name(const __grid_constant__ AttnFwdParams p) { attnForward<T, D, M>(p); }
ATTN_FWD(attn_fwd_d32_f16, f16, 32, 1, 4)
ATTN_FWD(attn_fwd_d32_bf16, bf16, 32, 1, 4)
ATTN_FWD(attn_fwd_d64_f16, f16, 64, 1, 4)
ATTN_FWD(attn_fwd_d64_bf16, bf16, 64, 1, 4)
ATTN_FWD(attn_fwd_d128_f16, f16, 128, 1, 2)
ATTN_FWD(attn_fwd_d128_bf16, bf16, 128, 1, 2)
ATTN_FWD(attn_fwd_d32_q128_f16, f16, 32, 2, 2)
ATTN_FWD(attn_fwd_d32_q128_bf16, bf16, 32, 2, 2)
ATTN_FWD(attn_fwd_d64_q128_f16, f16, 64, 2, 2)
ATTN_FWD(attn_fwd_d64_q128_bf16, bf16, 64, 2, 2)
