// The gradients of attn_bwd.cu without tensor cores: f32 with d = 32, 64, 128 (the correctness path), and any d up to 256 in f32, f16 and
// bf16 (computed in f32, rounded once). Needs the stats of attn_delta.
//
// dkdv: a block of 128 threads owns 32 keys and walks over tiles of 8 R queries; dq: 32 queries over tiles of 8 R keys; R = 2 (any d: 1). A
// ring of two stages, one wait and one barrier per tile; weights go to their row's threads through shared memory, within a warp. No bank
// conflicts, no atomics; order of sums: ascending tiles.
// Traffic per head, b bytes per element: dkdv 4 keys d b + ceil(keys / 32) (2 queries d b + 8 queries padded to 8 R); dq (3 queries +
// 2 ceil(queries / 32) keys) d b + 8 queries padded to 32.
//
// launch attn_bwd_dkdv_d{32,64,128}_f32(AttnBwdParams): block 128; grid x = ceil(keys / 32) heads N; shared 512 d + 4352 bytes; pointers
//        16-byte aligned, strides multiples of 4; queries, keys, heads >= 1.
// launch attn_bwd_dq_d{32,64,128}_f32(AttnBwdParams): block 128; grid x = ceil(queries / 32) heads N; shared as dkdv; as above.
// launch attn_bwd_dkdv_any_{f32,f16,bf16}(AttnBwdParams): block 128; grid x = ceil(keys / 32) heads N; shared 100480; 1 <= d <= 256;
//        pointers aligned to their elements.
// launch attn_bwd_dq_any_{f32,f16,bf16}(AttnBwdParams): block 128; grid x = ceil(queries / 32) heads N; shared 100480; as above.
// Budget, no spills: 232 registers; 1 block per SM at least.
#include "common/attention_tile.cuh"

template <class T, int D, int R, bool EXACT, bool KEYS> __device__ __forceinline__ void attnTileBackward(const AttnBwdParams& p) {
    typedef AttnTile<T, D, EXACT> Tile;
    constexpr int kRows = 32, kCols = 8 * R;
    extern __shared__ __align__(128) float memory[];
    float *const one = memory, *const two = one + kRows * D, *const ring = two + kRows * D;   // owned rows; ring: one, two, one, two
    float *const weights = ring + 4 * kCols * D, *const dWeights = weights + kRows * kCols, *const columnStats = dWeights + kRows * kCols;
    const int rowsAll = KEYS ? p.keys : p.queries, colsAll = KEYS ? p.queries : p.keys;
    const AttnPlace at((rowsAll - 1) / kRows + 1, p.heads);
    const int ty = threadIdx.x >> 3, tx = threadIdx.x & 7, lane = threadIdx.x & 31;
    const int first = at.tile * kRows, tiles = (colsAll - 1) / kCols + 1, padded = ((p.queries - 1) / 64 + 1) * 64;
    const float2* const stats = (const float2*)p.stats + ((i64)at.sample * p.heads + at.head) * padded;
    const T *q = attnRows((const T*)p.q, p.qStrides, at), *dO = attnRows((const T*)p.dO, p.doStrides, at);
    const T *k = attnRows((const T*)p.k, p.kvStrides, at), *v = attnRows((const T*)p.v, p.kvStrides, at);
    const i64 ldQ = p.qStrides.row, ldO = p.doStrides.row, ldKv = p.kvStrides.row;

    const auto issue = [&](int tile) {
        if (tile < tiles) {
            float* const stage = ring + (tile & 1) * 2 * kCols * D;
            Tile::template load<kCols, R>(stage, KEYS ? q : k, KEYS ? ldQ : ldKv, tile * kCols, colsAll, p.d);
            Tile::template load<kCols, R>(stage + kCols * D, KEYS ? dO : v, KEYS ? ldO : ldKv, tile * kCols, colsAll, p.d);
            if (KEYS && threadIdx.x < kCols / 2)
                copyAsync(sharedAddress(columnStats + (tile & 1) * 2 * kCols + 4 * threadIdx.x), stats + tile * kCols + 2 * threadIdx.x, 16);
        }
        commitCopies();
    };
    Tile::template load<kRows, 1>(one, KEYS ? k : q, KEYS ? ldKv : ldQ, first, rowsAll, p.d);
    Tile::template load<kRows, 1>(two, KEYS ? v : dO, KEYS ? ldKv : ldO, first, rowsAll, p.d);
    issue(0);
    float2 own[2] = {};   // dq: stats of this thread's rows, loaded once per row and passed to its eight threads
    if (!KEYS) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float2 mine = {};
            if (tx == 0) mine = stats[first + ty + 16 * i];
            own[i] = make_float2(__shfl_sync(0xffffffffu, mine.x, lane & 24), __shfl_sync(0xffffffffu, mine.y, lane & 24));
        }
    }

    float4 sumOne[2][D / 32] = {}, sumTwo[2][D / 32] = {};   // dK and dV, or dQ
    for (int tile = 0; tile < tiles; tile++) {
        waitCopies<0>();
        __syncthreads();
        issue(tile + 1);
        const float *colsOne = ring + (tile & 1) * 2 * kCols * D, *colsTwo = colsOne + kCols * D;

        float s[2][R] = {}, ds[2][R] = {};
        Tile::template dots<R>(s, one, colsOne, p.d);
        Tile::template dots<R>(ds, two, colsTwo, p.d);
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int j = 0; j < R; j++) {
                float2 stat = own[i];
                if (KEYS) stat = ((const float2*)columnStats)[(tile & 1) * kCols + R * tx + j];
                else if (tile * kCols + R * tx + j >= p.keys) s[i][j] = -ATTN_INFINITY;
                s[i][j] = exp2f(fmaf(s[i][j], p.scaleLog2, -stat.x));
                ds[i][j] = s[i][j] * (ds[i][j] - stat.y);
            }
            if (KEYS) Tile::template putWeights<R>(weights, ty + 16 * i, s[i]);
            Tile::template putWeights<R>(dWeights, ty + 16 * i, ds[i]);
        }
        __syncwarp();
        if (KEYS) Tile::template addRows<R>(sumTwo, weights, colsTwo, p.d);
        Tile::template addRows<R>(sumOne, dWeights, colsOne, p.d);
        __syncwarp();   // weights have been read
    }

    // store; each warp's owned rows are its own
    const AttentionStrides strides = KEYS ? p.dkvStrides : p.dqStrides;
    const float scale[2] = {p.scale, p.scale}, unit[2] = {1.0f, 1.0f};
    Tile::store(sumOne, scale, one, attnRows((T*)(KEYS ? p.dk : p.dq), strides, at) + first * strides.row, strides.row, rowsAll - first, p.d);
    if (KEYS) Tile::store(sumTwo, unit, two, attnRows((T*)p.dv, strides, at) + first * strides.row, strides.row, rowsAll - first, p.d);
}

#define ATTN_TILE_BWD(name, T, D, R, EXACT, KEYS) \
    extern "C" __global__ void __launch_bounds__(128, 1) name(const __grid_constant__ AttnBwdParams p) { attnTileBackward<T, D, R, EXACT, KEYS>(p); }
#define ATTN_TILE_BWDS(NAME, S, T, D, R, EXACT) \
    ATTN_TILE_BWD(attn_bwd_dkdv_##NAME##_##S, T, D, R, EXACT, true) ATTN_TILE_BWD(attn_bwd_dq_##NAME##_##S, T, D, R, EXACT, false)
ATTN_TILE_BWDS(d32, f32, float, 32, 2, true)
ATTN_TILE_BWDS(d64, f32, float, 64, 2, true)
ATTN_TILE_BWDS(d128, f32, float, 128, 2, true)
ATTN_TILE_BWDS(any, f32, float, 256, 1, false)
ATTN_TILE_BWDS(any, f16, f16, 256, 1, false)
ATTN_TILE_BWDS(any, bf16, bf16, 256, 1, false)
