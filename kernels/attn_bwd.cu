// Gradients of O = softmax(s Q K^T) V, s = d^-1/2; f16 and bf16. With P = exp(s Q K^T - LSE), delta = rowsum(dO O) and
// dS = P (dO V^T - delta):   dV = P^T dO,   dK = s dS^T Q,   dQ = s dS K.
// Entries are named by their padded head dimension D = 32, 64, 128: d is any multiple of 8 up to D (attn_fwd.cu).
//
// Two launches after attn_delta, no atomics, every element one writer, tiles in ascending order: the same bits on every run.
// Its stats hold (+inf, 0) for queries past the end, so that p = 2^(score - inf) = 0 there and no tile of queries needs a mask.
//   attn_bwd_dkdv:  a block of 4 warps owns 64 keys and walks over the queries; a warp has 16 keys. It works on S^T = K Q^T, so that P^T
//                   and dS^T are A operands as they come out of the tensor core, and dO and Q, read a second time transposed, are B.
//   attn_bwd_dq:    a block owns 64 queries and walks over the keys; the same code with rows and columns exchanged, without the dV product.
// The walked-over pair comes in tiles of 64 (D = 128: 32) through a ring of two stages, one wait and one barrier per tile; the owned pair
// stays in registers as fragments (dkdv at D = 128: in shared memory). P and dS are rounded to T for their products, the sums are f32.
// dkdv has the stats of a tile's queries in the ring (D = 128: every warp in its lanes, which keeps shared memory at 64 KiB).
//
// mma per block and tile of c columns: dkdv c D / 8 (4 products), dq 3 c D / 32. ex2: 1 per score. No bank conflicts.
// Traffic, elements of 2 bytes, per head: dkdv 4 keys d + ceil(keys / 64) (2 queries d + 8 padded bytes), padded to c (D = 128: 32 padded
// bytes, each warp its own); dq 3 queries d + 8 padded bytes + ceil(queries / 64) 2 keys d.
//
// launch attn_bwd_dkdv_d{32,64,128}_{f16,bf16}(AttnBwdParams): block 128; grid x = ceil(keys / 64) heads N; shared 512 D + 1024 bytes
//        (D = 128: 512 D); pointers 16-byte aligned, d and strides multiples of 8, row strides below 2^31; queries, keys, heads >= 1.
// launch attn_bwd_dq_d{32,64,128}_{f16,bf16}(AttnBwdParams): block 128; grid x = ceil(queries / 64) heads N; shared 512 D bytes; as above.
// Budget, no spills: 232 registers, at most 64 KiB: 2/2/2/2 blocks per SM on sm_80/86/89/90, 2/1/1/2 at D = 128.
#include "common/attention.cuh"

enum { kRows = 64 };

// s += rows of a (16 x D) times columns (rows of a tile): 16 x COLS. KEEP: a is in registers, else at `rows`, this lane's place in its tile;
// unrolled by 4 there, lest the assembler load more fragments ahead than 232 registers hold.
template <class T, int D, int COLS, bool KEEP> __device__ __forceinline__ void scores(
    float (&s)[COLS / 8][4], const u32 (&a)[KEEP ? D / 16 : 1][4], u32 rows, int warp, u32 columns) {
#pragma unroll KEEP ? D / 16 : 4
    for (int c = 0; c < D / 16; c++) {
        u32 row[4];
        if (KEEP) {
#pragma unroll
            for (int r = 0; r < 4; r++) row[r] = a[KEEP ? c : 0][r];
        } else {
            attnLoadA<D>(row, rows, warp, c);
        }
#pragma unroll
        for (int j = 0; j < COLS / 16; j++) {
            u32 b[4];
            attnLoadB<D>(b, columns, j, c);
            multiply(s[2 * j], row, b[0], b[1], T());
            multiply(s[2 * j + 1], row, b[2], b[3], T());
        }
    }
}

// sum += w (16 x COLS, rounded to T) times a tile of COLS rows of D.
template <class T, int D, int COLS> __device__ __forceinline__ void accumulate(float (&sum)[D / 8][4], const float (&w)[COLS / 8][4], u32 tile) {
#pragma unroll
    for (int c = 0; c < COLS / 16; c++) {
        u32 a[4];
        attnPack<T>(a, w[2 * c], w[2 * c + 1]);
#pragma unroll
        for (int j = 0; j < D / 16; j++) {
            u32 b[4];
            attnLoadBTransposed<D>(b, tile, j, c);
            multiply(sum[2 * j], a, b[0], b[1], T());
            multiply(sum[2 * j + 1], a, b[2], b[3], T());
        }
    }
}

// KEYS: rows are keys (K, V), columns queries (Q, dO), out dK and dV. Else rows are queries (Q, dO), columns keys (K, V), out dQ.
template <class T, int D, bool KEYS> __device__ __forceinline__ void attnBackward(const AttnBwdParams& p) {
    extern __shared__ __align__(256) unsigned char ring[];
    constexpr int kCols = D == 128 ? 32 : 64;
    constexpr u32 kTileBytes = kCols * 2 * D, kStageBytes = 2 * kTileBytes, kRowsBytes = kRows * 2 * D;
    constexpr bool kOwnPlace = D == 128, kKeep = !(KEYS && D == 128);
    const int rowsAll = KEYS ? p.keys : p.queries, colsAll = KEYS ? p.queries : p.keys;
    const AttnPlace at((rowsAll - 1) / kRows + 1, p.heads);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int first = at.tile * kRows, tiles = (colsAll - 1) / kCols + 1, padded = ((p.queries - 1) / 64 + 1) * 64;
    const u32 shared = sharedAddress(ring), rowsPlace = shared + (kOwnPlace ? 2 : 1) * kStageBytes;
    const u32 statsPlace = shared + 2 * kStageBytes;   // dkdv, d < 128: those of a tile's queries; at d = 128 in its warps' lanes
    const float* const stats = p.stats + ((i64)at.sample * p.heads + at.head) * padded * 2;

    // rows, then the first columns
    const u16 *q = attnRows((const u16*)p.q, p.qStrides, at), *dO = attnRows((const u16*)p.dO, p.doStrides, at);
    const u16 *k = attnRows((const u16*)p.k, p.kvStrides, at), *v = attnRows((const u16*)p.v, p.kvStrides, at);
    const i64 ldQ = p.qStrides.row, ldO = p.doStrides.row, ldKv = p.kvStrides.row;
    if (KEYS) AttnLoader<D, kRows>(k + first * ldKv, ldKv, v + first * ldKv, ldKv, p.keys - first, p.d).issue(rowsPlace);
    else AttnLoader<D, kRows>(q + first * ldQ, ldQ, dO + first * ldO, ldO, p.queries - first, p.d).issue(rowsPlace);
    commitCopies();
    AttnLoader<D, kCols> loader(KEYS ? q : k, KEYS ? ldQ : ldKv, KEYS ? dO : v, KEYS ? ldO : ldKv, colsAll, p.d);
    const auto issue = [&](int tile) {
        if (tile < tiles) {
            loader.issue(shared + (tile & 1) * kStageBytes);
            if (KEYS && !kOwnPlace && threadIdx.x < kCols / 2)
                copyAsync(statsPlace + (tile & 1) * kCols * 8 + threadIdx.x * 16, stats + tile * kCols * 2 + threadIdx.x * 4, 16);
        }
        commitCopies();
    };
    issue(0);
    waitCopies<1>();
    __syncthreads();
    u32 one[kKeep ? D / 16 : 1][4], two[kKeep ? D / 16 : 1][4];
    const u32 laneOfRows = attnLaneOfRows<D>(), laneOfColumns = attnLaneOfColumns<D>();
    if (kKeep) {
#pragma unroll
        for (int c = 0; c < (kKeep ? D / 16 : 0); c++) {
            attnLoadA<D>(one[c], rowsPlace + laneOfRows, warp, c);
            attnLoadA<D>(two[c], rowsPlace + kRowsBytes + laneOfRows, warp, c);
        }
    }
    float2 own0 = {}, own1 = {};   // dq: stats of rows g and g + 8
    if (!KEYS) {
        float2 mine = {};
        if (lane < 16) mine = ((const float2*)stats)[first + 16 * warp + lane];
        own0 = make_float2(__shfl_sync(0xffffffffu, mine.x, g), __shfl_sync(0xffffffffu, mine.y, g));
        own1 = make_float2(__shfl_sync(0xffffffffu, mine.x, g + 8), __shfl_sync(0xffffffffu, mine.y, g + 8));
    }

    float sumOne[D / 8][4] = {}, sumTwo[KEYS ? D / 8 : 1][4] = {};   // dK and dV, or dQ
    for (int tile = 0; tile < tiles; tile++) {
        const u32 tileOne = shared + (tile & 1) * kStageBytes, tileTwo = tileOne + kTileBytes;
        waitCopies<0>();
        __syncthreads();
        issue(tile + 1);

        float2 inLane = {};
        if (KEYS && kOwnPlace) inLane = ((const float2*)stats)[tile * kCols + lane];

        // s becomes p
        float s[kCols / 8][4] = {}, ds[kCols / 8][4] = {};
        scores<T, D, kCols, kKeep>(s, one, rowsPlace + laneOfRows, warp, tileOne + laneOfColumns);
        const int left = p.keys - tile * kCols;
        if (!KEYS && left < kCols) {
#pragma unroll
            for (int j = 0; j < kCols / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (8 * j + 2 * t + (e & 1) >= left) s[j][e] = -ATTN_INFINITY;
        }
        scores<T, D, kCols, kKeep>(ds, two, rowsPlace + kRowsBytes + laneOfRows, warp, tileTwo + laneOfColumns);
#pragma unroll
        for (int j = 0; j < kCols / 8; j++) {
            float lse[4] = {own0.x, own0.x, own1.x, own1.x}, delta[4] = {own0.y, own0.y, own1.y, own1.y};
            if (KEYS && kOwnPlace) {   // two neighbouring queries, the same for both rows
                const int from = 8 * j + 2 * t;
                lse[0] = lse[2] = __shfl_sync(0xffffffffu, inLane.x, from), delta[0] = delta[2] = __shfl_sync(0xffffffffu, inLane.y, from);
                lse[1] = lse[3] = __shfl_sync(0xffffffffu, inLane.x, from + 1), delta[1] = delta[3] = __shfl_sync(0xffffffffu, inLane.y, from + 1);
            } else if (KEYS) {
                const uint4 w = loadShared16(statsPlace + (tile & 1) * kCols * 8 + (8 * j + 2 * t) * 8);
                lse[0] = lse[2] = __uint_as_float(w.x), delta[0] = delta[2] = __uint_as_float(w.y);
                lse[1] = lse[3] = __uint_as_float(w.z), delta[1] = delta[3] = __uint_as_float(w.w);
            }
#pragma unroll
            for (int e = 0; e < 4; e++) {
                s[j][e] = exp2Fast(fmaf(s[j][e], p.scaleLog2, -lse[e]));
                ds[j][e] = s[j][e] * (ds[j][e] - delta[e]);
            }
        }
        if constexpr (KEYS) accumulate<T, D, kCols>(sumTwo, s, tileTwo + laneOfRows);
        accumulate<T, D, kCols>(sumOne, ds, tileOne + laneOfRows);
    }

    // store by way of shared memory that nobody reads any more: the other stage, or the warp's own rows
    const u32 place = (kOwnPlace ? rowsPlace : shared + (tiles & 1) * kStageBytes) + warp * 16 * 2 * D;
    const int row0 = first + 16 * warp, rows = rowsAll - row0;
    const i64 ld = KEYS ? p.dkvStrides.row : p.dqStrides.row;
    const AttentionStrides strides = KEYS ? p.dkvStrides : p.dqStrides;
    attnStoreRows<T, D>(sumOne, p.scale, p.scale, place, attnRows((u16*)(KEYS ? p.dk : p.dq), strides, at) + row0 * ld, ld, rows, p.d);
    if constexpr (KEYS) attnStoreRows<T, D>(sumTwo, 1.0f, 1.0f, place + kRowsBytes, attnRows((u16*)p.dv, strides, at) + row0 * ld, ld, rows, p.d);
}

#define ATTN_BWD(name, T, D, KEYS) \
    extern "C" __global__ void __launch_bounds__(128, 2) name(const __grid_constant__ AttnBwdParams p) { attnBackward<T, D, KEYS>(p); }
#define ATTN_BWDS(D, S, T) ATTN_BWD(attn_bwd_dkdv_d##D##_##S, T, D, true) ATTN_BWD(attn_bwd_dq_d##D##_##S, T, D, false)
ATTN_BWDS(32, f16, f16)
ATTN_BWDS(32, bf16, bf16)
ATTN_BWDS(64, f16, f16)
ATTN_BWDS(64, bf16, bf16)
ATTN_BWDS(128, f16, f16)
ATTN_BWDS(128, bf16, bf16)
