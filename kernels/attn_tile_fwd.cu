// O = softmax(s Q K^T) V and LSE without tensor cores: f32 with d = 32, 64, 128 (the correctness path), and any d up to 256 in f32, f16
// and bf16 (computed in f32, rounded once). The formula and the online softmax are those of attn_fwd.cu.
//
// A block of 128 threads makes 32 rows of O and walks over tiles of 8 R keys, R = 4 (any d: 2), through a ring of two stages of K and V: one
// wait and one barrier per tile. Exact entries fill it by cp.async; the others load element by element, convert, and zero-fill d to 256.
// Weights go to their row's threads through shared memory, within a warp. No bank conflicts. Order of sums: ascending keys.
// Traffic per head, b bytes per element: (2 queries + 2 ceil(queries / 32) keys) d b + 4 queries.
//
// launch attn_fwd_d{32,64,128}_f32(AttnFwdParams): block 128; grid x = ceil(queries / 32) heads N; shared 640 d + 4096 bytes; q, k, v, o
//        16-byte aligned, strides multiples of 4; queries, keys, heads >= 1; o overlaps no input.
// launch attn_fwd_any_{f32,f16,bf16}(AttnFwdParams): block 128; grid x = ceil(queries / 32) heads N; shared 100352; 1 <= d <= 256; q, k,
//        v, o aligned to their elements.
// Budget, no spills: 176 registers; 1 block per SM at least.
#include "common/attention_tile.cuh"

template <class T, int D, int R, bool EXACT> __device__ __forceinline__ void attnTileForward(const AttnFwdParams& p) {
    typedef AttnTile<T, D, EXACT> Tile;
    constexpr int kQueries = 32, kKeys = 8 * R;
    extern __shared__ __align__(128) float memory[];
    float *const queries = memory, *const ring = queries + kQueries * D, *const weights = ring + 4 * kKeys * D;   // ring: K, V, K, V
    const AttnPlace at((p.queries - 1) / kQueries + 1, p.heads);
    const int ty = threadIdx.x >> 3, tx = threadIdx.x & 7, first = at.tile * kQueries, tiles = (p.keys - 1) / kKeys + 1;
    const T *k = attnRows((const T*)p.k, p.kvStrides, at), *v = attnRows((const T*)p.v, p.kvStrides, at);

    const auto issue = [&](int tile) {
        if (tile < tiles) {
            float* const stage = ring + (tile & 1) * 2 * kKeys * D;
            Tile::template load<kKeys, R>(stage, k, p.kvStrides.row, tile * kKeys, p.keys, p.d);
            Tile::template load<kKeys, R>(stage + kKeys * D, v, p.kvStrides.row, tile * kKeys, p.keys, p.d);
        }
        commitCopies();
    };
    Tile::template load<kQueries, 1>(queries, attnRows((const T*)p.q, p.qStrides, at), p.qStrides.row, first, p.queries, p.d);
    issue(0);

    float4 o[2][D / 32] = {};
    float m[2] = {-ATTN_INFINITY, -ATTN_INFINITY}, sum[2] = {};
    for (int tile = 0; tile < tiles; tile++) {
        waitCopies<0>();
        __syncthreads();
        issue(tile + 1);
        const float *keys = ring + (tile & 1) * 2 * kKeys * D, *values = keys + kKeys * D;

        // scores
        float s[2][R] = {};
        Tile::template dots<R>(s, queries, keys, p.d);

        // softmax so far
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float top = -ATTN_INFINITY;
#pragma unroll
            for (int j = 0; j < R; j++) {
                if (tile * kKeys + R * tx + j >= p.keys) s[i][j] = -ATTN_INFINITY;
                top = fmaxf(top, s[i][j]);
            }
#pragma unroll
            for (int distance = 4; distance > 0; distance >>= 1) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, distance));
            const float next = fmaxf(m[i], top * p.scaleLog2), rescale = exp2f(m[i] - next);
            m[i] = next, sum[i] *= rescale;
#pragma unroll
            for (int j = 0; j < R; j++) {
                s[i][j] = exp2f(fmaf(s[i][j], p.scaleLog2, -next));
                sum[i] += s[i][j];
            }
#pragma unroll
            for (int c = 0; c < D / 32; c++) o[i][c].x *= rescale, o[i][c].y *= rescale, o[i][c].z *= rescale, o[i][c].w *= rescale;
            Tile::template putWeights<R>(weights, ty + 16 * i, s[i]);
        }
        __syncwarp();

        // values
        Tile::template addRows<R>(o, weights, values, p.d);
        __syncwarp();   // weights have been read
    }

    // divide, store
    float factor[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int distance = 4; distance > 0; distance >>= 1) sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], distance);
        factor[i] = 1.0f / sum[i];
        const int row = first + ty + 16 * i;
        if (p.lse != nullptr && tx == 0 && row < p.queries)
            p.lse[((i64)at.sample * p.heads + at.head) * p.queries + row] = (m[i] + log2f(sum[i])) * ATTN_LN2;
    }
    T* const to = attnRows((T*)p.o, p.oStrides, at) + first * p.oStrides.row;
    Tile::store(o, factor, queries, to, p.oStrides.row, p.queries - first, p.d);
}

#define ATTN_TILE_FWD(name, T, D, R, EXACT) \
    extern "C" __global__ void __launch_bounds__(128, 1) name(const __grid_constant__ AttnFwdParams p) { attnTileForward<T, D, R, EXACT>(p); }
ATTN_TILE_FWD(attn_fwd_d32_f32, float, 32, 4, true)
ATTN_TILE_FWD(attn_fwd_d64_f32, float, 64, 4, true)
ATTN_TILE_FWD(attn_fwd_d128_f32, float, 128, 4, true)
ATTN_TILE_FWD(attn_fwd_any_f32, float, 256, 2, false)
ATTN_TILE_FWD(attn_fwd_any_f16, f16, 256, 2, false)
ATTN_TILE_FWD(attn_fwd_any_bf16, bf16, 256, 2, false)
