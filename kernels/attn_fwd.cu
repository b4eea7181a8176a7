// O = softmax(s Q K^T) V for every head of every sample, s = d^-1/2, and LSE = ln sum_j exp(s q.k_j); f16 and bf16. Entries are named by
// their padded head dimension D = 32, 64, 128: d is any multiple of 8 up to D, elements past d are zeros that nobody loads or stores.
//
// A block of 4 warps makes 64 (or 128: entries *_q128) rows of O, a warp 16 (32). Q's fragments stay in registers (*_q128: in shared memory,
// read again for every tile; two sets beside twice the scores pass 224 registers). Keys come in tiles of 64 through a ring of two stages
// (K and V side by side), filled by cp.async one tile ahead: per tile one wait, one barrier, then the copies of the next tile into the
// stage whose readers have passed that barrier. Q arrives through the second stage before the ring needs it.
// Online softmax in base 2: the tensor core subtracts the running maximum m from the scores, so that a weight is 2^(score s log2 e), one
// product and one ex2; see raise(). Weights are relative to the m of the sums, whatever its size; the largest is exactly 1 in its tile.
// The first tile has a valid key, so m is finite from there on; keys past the end are -inf after the product, their V rows are zeros.
// Queries past the end are computed, not stored. P is rounded to T for the second product, sums use P before rounding; nothing else is
// rounded before O.
//
// Determinism: one writer per element, keys in ascending order; no atomics, no communication between blocks.
// mma: 4 D (8 D) per block and key tile; ex2: 1 per score + at most 1 per row and tile of 64; barriers: 1 per tile + 1 (*_q128: 1 per tile).
// No bank conflicts.
// Traffic, elements of 2 bytes, per head: queries d (Q) + 2 tiles keys d (K, V once per query tile) + queries d (O); 4 queries bytes of LSE.
//
// launch attn_fwd_d{32,64,128}_{f16,bf16}(AttnFwdParams): block 128; grid x = ceil(queries / 64) heads N; shared 512 D bytes, D = 32, 64,
//        128; q, k, v, o 16-byte aligned, d and strides multiples of 8, row strides below 2^31; queries, keys, heads >= 1; o overlaps no input.
// launch attn_fwd_d{32,64}_q128_{f16,bf16}(AttnFwdParams): block 128; grid x = ceil(queries / 128) heads N; shared 768 D
//        bytes; otherwise as above.
// Budget, no spills: D = 32 and 64 128 registers (4/3/3/4 blocks per SM on sm_80/86/89/90), D = 128 216 (2/1/1/2), _q128 224 (2/2/2/2).
#include "common/attention.cuh"

enum { kKeys = 64 };

// Scores enter less the maximum m so far, which is -base: the first product of a tile starts from base instead of 0. Where a score of the
// warp's 16 rows rises above it, scores and maxima move by the difference, and what was summed before shrinks; no row of the warp moves
// otherwise, and nothing is done. Moving by a difference is exact where it matters: the largest score becomes 0, its weight 1.
template <int TILES> __device__ __forceinline__ void raise(
    float (&s)[8][4], float (&base)[4], float (&sum)[2], float (&o)[TILES][4], float scale, bool first) {
    float top[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        top[h] = fmaxf(s[0][2 * h], s[0][2 * h + 1]);
#pragma unroll
        for (int j = 1; j < 8; j++) top[h] = fmaxf(top[h], fmaxf(s[j][2 * h], s[j][2 * h + 1]));
    }
    if (!__any_sync(0xffffffffu, first || fmaxf(top[0], top[1]) > 0.0f)) return;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 1));   // a row lies in the four lanes of one g
        top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 2));
        const float rise = fmaxf(top[h], first ? top[h] : 0.0f), shrink = exp2Fast(fminf(-rise * scale, 0.0f));
        sum[h] *= shrink;
#pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; e++) {
            base[e] -= rise;
#pragma unroll
            for (int j = 0; j < 8; j++) s[j][e] -= rise;
#pragma unroll
            for (int j = 0; j < TILES; j++) o[j][e] *= shrink;
        }
    }
}

template <class T, int D, int M> __device__ __forceinline__ void attnForward(const AttnFwdParams& p) {
    extern __shared__ __align__(256) unsigned char ring[];
    constexpr u32 kTileBytes = kKeys * 2 * D, kStageBytes = 2 * kTileBytes;
    constexpr int kQueries = 64 * M;
    constexpr bool kKeep = M == 1;   // Q's fragments in registers
    const AttnPlace at((p.queries - 1) / kQueries + 1, p.heads);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int first = at.tile * kQueries, tiles = (p.keys - 1) / kKeys + 1;
    const u32 shared = sharedAddress(ring);

    // Q through stage 1 or, to stay, behind the ring; the first keys into stage 0
    const u32 queriesPlace = shared + (kKeep ? 1 : 2) * kStageBytes;
    const u16* const queries = attnRows((const u16*)p.q, p.qStrides, at) + first * p.qStrides.row;
    AttnLoader<D, kQueries>(queries, p.qStrides.row, queries, 0, p.queries - first, p.d).issueOne(queriesPlace);
    commitCopies();
    const u16 *k = attnRows((const u16*)p.k, p.kvStrides, at), *v = attnRows((const u16*)p.v, p.kvStrides, at);
    AttnLoader<D, kKeys> loader(k, p.kvStrides.row, v, p.kvStrides.row, p.keys, p.d);
    loader.issue(shared);
    commitCopies();
    u32 kept[kKeep ? D / 16 : 1][4];
    const u32 laneOfRows = attnLaneOfRows<D>(), laneOfColumns = attnLaneOfColumns<D>();
    if constexpr (kKeep) {
        waitCopies<1>();
        __syncthreads();
#pragma unroll
        for (int c = 0; c < D / 16; c++) attnLoadA<D>(kept[c], queriesPlace + laneOfRows, warp, c);
    }

    float o[M][D / 8][4] = {}, base[M][4] = {}, sum[M][2] = {};
    for (int tile = 0; tile < tiles; tile++) {
        const u32 stage = shared + (tile & 1) * kStageBytes, keys = stage + laneOfColumns, values = stage + kTileBytes + laneOfRows;
        waitCopies<0>();
        __syncthreads();
        if (tile + 1 < tiles) loader.issue(shared + ((tile + 1) & 1) * kStageBytes);
        commitCopies();

        // scores
        float s[M][8][4];
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
            u32 a[M][4];
#pragma unroll
            for (int i = 0; i < M; i++) {
                if constexpr (!kKeep) attnLoadA<D>(a[i], queriesPlace + laneOfRows, warp * M + i, c);
                else a[i][0] = kept[c][0], a[i][1] = kept[c][1], a[i][2] = kept[c][2], a[i][3] = kept[c][3];
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                u32 b[4];
                attnLoadB<D>(b, keys, j, c);
#pragma unroll
                for (int i = 0; i < M; i++) {
                    multiply(s[i][2 * j], c == 0 ? base[i] : s[i][2 * j], a[i], b[0], b[1], T());
                    multiply(s[i][2 * j + 1], c == 0 ? base[i] : s[i][2 * j + 1], a[i], b[2], b[3], T());
                }
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
            raise(s[i], base[i], sum[i], o[i], p.scaleLog2, tile == 0);
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    s[i][j][e] = exp2Fast(s[i][j][e] * p.scaleLog2);
                    sum[i][e >> 1] += s[i][j][e];
                }
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
        attnStoreRows<T, D>(o[i], __frcp_rn(sum[i][0]), __frcp_rn(sum[i][1]), own, to, p.oStrides.row, p.queries - row0, p.d);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int row = row0 + g + 8 * h;
            if (p.lse != nullptr && t == 0 && row < p.queries)
                p.lse[((i64)at.sample * p.heads + at.head) * p.queries + row] = fmaf(base[i][2 * h], -p.scaleLog2, log2Fast(sum[i][h])) * ATTN_LN2;
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
