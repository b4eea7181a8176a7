// What relates values per pixel to values per sample and channel: x, dy, y [N, P, C] in T with row strides; per sample and channel f32.
//
//   spatial_modulate   y = x (1 + scale) + shift, 0 where their pointers are null: AdaGN's affine map, the embedding added to a block; its input
//                      gradient is dx = dy (1 + scale). In place ok
//   spatial_broadcast  y = factor shift: the gradient of a sum or mean over pixels
//   spatial_sum        partial sums of x over slices of pixels; N = 1 sums over all rows: the gradient of a bias
//   spatial_dot        partial sums of x dy, then of dy: the gradients of scale and shift
//   spatial_finish     out[n, c] = factor sum over slices of partial[n, slice, c] (+ out, if asked), rounded to T; c runs over K = C or 2 C columns
//
// A block has one slab of channels of one sample and a slice of its pixels; threads keep their channels (gn.cuh) and have 4 vectors in flight.
// _narrow: one channel per thread, any C, stride and alignment.
// Traffic, S = N P C elements of b bytes, m = slabs cs channels counted over samples and slices: modulate 2 S b + 4 m for each of scale, shift;
// broadcast S b + 4 m; sum S b + 4 m; dot 2 S b + 8 m; finish 4 N slices K + N K b (+ N K b).
// Deterministic: a thread adds its pixels in ascending order, then the tree of sumRows; finish adds slices l, l + 4, ... in four lanes, then the
// lanes in order.
//
// launch spatial_{modulate,broadcast,sum,dot}_{f32,f16,bf16}(SpatialParams): block 256; grid x = N slabs slices; shared 0; C, cs, strides
//        multiples of 16 / sizeof(T), cs at most 512; x, dy, y, scale, shift, partial 16-byte aligned, ldm a multiple of 4; rows stride below 2^31.
// launch spatial_{modulate,broadcast,sum,dot}_narrow_{f32,f16,bf16}(SpatialParams): block 256; grid x = N slabs slices; shared 0; cs at most 256.
// launch spatial_finish_{f32,f16,bf16}(SpatialFinishParams): block 256; grid x = N ceil(K / 64); shared 0.
// Budget: 64 registers, no spills, 16.3 KB of static shared memory (dot), 8.2 KB (sum).
#include "common/gn.cuh"

struct SpatialParams {
    const void* x;        // [N P, ldx] T
    const void* dy;       // [N P, lddy] T
    const float* scale;   // [N, ldm] or null
    const float* shift;   // [N, ldm] or null
    float* partial;       // [N, slices, C] sums of x; dot: [N, slices, 2, C] sums of x dy, of dy
    void* y;              // [N P, ldy] T
    i64 ldx, lddy, ldy;   // elements between pixels
    i64 ldm;              // elements between samples of scale and shift
    int P;                // pixels per sample
    int C;                // channels
    int slabs;            // slabs of channels
    int cs;               // channels per slab; the last may have fewer
    int slices;           // slices of pixels
    int rows;             // pixels per slice; the last may have fewer
    float factor;         // of broadcast
    int reserved;         // 0
};
FIELD(SpatialParams, x, 0, 8);
FIELD(SpatialParams, dy, 8, 8);
FIELD(SpatialParams, scale, 16, 8);
FIELD(SpatialParams, shift, 24, 8);
FIELD(SpatialParams, partial, 32, 8);
FIELD(SpatialParams, y, 40, 8);
FIELD(SpatialParams, ldx, 48, 8);
FIELD(SpatialParams, lddy, 56, 8);
FIELD(SpatialParams, ldy, 64, 8);
FIELD(SpatialParams, ldm, 72, 8);
FIELD(SpatialParams, P, 80, 4);
FIELD(SpatialParams, C, 84, 4);
FIELD(SpatialParams, slabs, 88, 4);
FIELD(SpatialParams, cs, 92, 4);
FIELD(SpatialParams, slices, 96, 4);
FIELD(SpatialParams, rows, 100, 4);
FIELD(SpatialParams, factor, 104, 4);
FIELD(SpatialParams, reserved, 108, 4);
SIZE(SpatialParams, 112);

struct SpatialFinishParams {
    const float* partial;   // [N, slices, K]
    void* out;              // [N, K] T, row stride ldo
    i64 ldo;                // elements
    int slices;             // added in ascending order within four lanes
    int K;                  // columns
    float factor;           // of the sum
    int accumulate;         // 1: added to what out holds
};
FIELD(SpatialFinishParams, partial, 0, 8);
FIELD(SpatialFinishParams, out, 8, 8);
FIELD(SpatialFinishParams, ldo, 16, 8);
FIELD(SpatialFinishParams, slices, 24, 4);
FIELD(SpatialFinishParams, K, 28, 4);
FIELD(SpatialFinishParams, factor, 32, 4);
FIELD(SpatialFinishParams, accumulate, 36, 4);
SIZE(SpatialFinishParams, 40);

enum { kLoads = 4, kColumns = 64, kLanes = kThreads / kColumns };   // vectors a thread has in flight; columns and lanes of a finishing block

// Calls load(u, pixel) for kLoads pixels of the slice, then use(u, pixel) for each; the rest one by one.
template <class L, class U> __device__ __forceinline__ void walk(const Share& s, int count, const L& load, const U& use) {
    int r = s.row;
    for (; r + (kLoads - 1) * s.inFlight < count; r += kLoads * s.inFlight) {
#pragma unroll
        for (int u = 0; u < kLoads; u++) load(u, (u32)(r + u * s.inFlight));
#pragma unroll
        for (int u = 0; u < kLoads; u++) use(u, (u32)(r + u * s.inFlight));
    }
    for (; r < count; r += s.inFlight) load(0, (u32)r), use(0, (u32)r);
}

template <class T, int V, bool X> __device__ __forceinline__ void modulate(const SpatialParams& p) {
    constexpr int kLanesWide = V == 1 ? 256 : 512 / V;
    __shared__ Lanes<V, kLanesWide> scales, shifts;
    const Share s = shareOf<V>(p, false);

    // the slab's row of scale and shift, once per block
    const i64 row = s.n * p.ldm + s.c0;
    if (X && p.scale != nullptr) stage(scales, p.scale + row, s.channels);
    if (p.shift != nullptr) stage(shifts, p.shift + row, s.channels);
    __syncthreads();
    if (!s.own) return;
    float scale[V] = {}, shift[V] = {};
    if (X && p.scale != nullptr) scales.template get<0>(s.lane, scale);
    if (p.shift != nullptr) shifts.template get<0>(s.lane, shift);

    // load, map, store
    const int c = s.c0 + s.lane * V, first = s.slice * p.rows, count = min(p.rows, p.P - first);
    const i64 pixel = (i64)s.n * p.P + first;
    const T* x = (const T*)p.x + pixel * p.ldx + c;
    T* y = (T*)p.y + pixel * p.ldy + c;
    const u32 ldx = (u32)p.ldx, ldy = (u32)p.ldy;
    Raw<T, V> w[kLoads];
    walk(s, count, [&](int u, u32 r) { if (X) w[u] = loadPlain((const Raw<T, V>*)(x + r * ldx)); }, [&](int u, u32 r) {
        float v[V];
        if (X) spread(w[u], v, T());
#pragma unroll
        for (int i = 0; i < V; i++) v[i] = X ? fmaf(v[i], 1.0f + scale[i], shift[i]) : p.factor * shift[i];
        store(y + r * ldy, v);
    });
}

template <class T, int V, bool DOT> __device__ __forceinline__ void sums(const SpatialParams& p) {
    constexpr int K = DOT ? 2 : 1;
    __shared__ Lanes<K * V, kThreads> slots;
    const Share s = shareOf<V>(p, false);
    const int first = s.slice * p.rows, count = min(p.rows, p.P - first);
    const i64 pixel = (i64)s.n * p.P + first;
    const T* x = (const T*)p.x + pixel * p.ldx + s.c0 + s.lane * V;
    const T* dy = (const T*)p.dy + pixel * p.lddy + s.c0 + s.lane * V;
    const u32 ldx = (u32)p.ldx, lddy = (u32)p.lddy;
    float sum[K * V] = {};
    Raw<T, V> w[kLoads], d[kLoads];
    if (s.own)
        walk(s, count, [&](int u, u32 r) {
            w[u] = loadRaw<T, V>(x + r * ldx);
            if (DOT) d[u] = loadRaw<T, V>(dy + r * lddy);
        }, [&](int u, u32) {
            float v[V], g[V];
            spread(w[u], v, T());
            if (DOT) spread(d[u], g, T());
#pragma unroll
            for (int i = 0; i < V; i++) {
                sum[i] = DOT ? fmaf(v[i], g[i], sum[i]) : sum[i] + v[i];
                if (DOT) sum[(K - 1) * V + i] += g[i];
            }
        });

    // reduce, then store in channel order
    sumRows(sum, slots, s.row, s.perRow);
    if (s.own && s.row == 0) slots.put(s.lane, sum);
    __syncthreads();
    float* to = p.partial + ((i64)s.n * p.slices + s.slice) * K * p.C + s.c0;
    unstage<0, V>(to, slots, s.channels);
    if (DOT) unstage<(K - 1) * V, V>(to + p.C, slots, s.channels);
}

template <class T> __device__ __forceinline__ void finish(const SpatialFinishParams& p) {
    __shared__ float lanes[kLanes][kColumns];
    const u32 across = ((u32)p.K + kColumns - 1) / kColumns, n = blockIdx.x / across;
    const int column = threadIdx.x % kColumns, lane = threadIdx.x / kColumns, k = (int)(blockIdx.x - n * across) * kColumns + column;
    const float* from = p.partial + (i64)n * p.slices * p.K + k;
    float sum = 0.0f;
    if (k < p.K)
        for (int s = lane; s < p.slices; s += kLanes) sum += __ldg(from + (i64)s * p.K);
    lanes[lane][column] = sum;
    __syncthreads();
    if (lane != 0 || k >= p.K) return;
#pragma unroll
    for (int l = 1; l < kLanes; l++) sum += lanes[l][column];
    T* out = (T*)p.out + n * p.ldo + k;
    *out = fromFloat(p.accumulate ? fmaf(p.factor, sum, toFloat(*out)) : p.factor * sum, T());
}

#define SPATIAL(name, body, FLAG) \
    SPATIAL_TYPE(name##_f32, body, float, 4, FLAG) SPATIAL_TYPE(name##_f16, body, f16, 8, FLAG) SPATIAL_TYPE(name##_bf16, body, bf16, 8, FLAG) \
    SPATIAL_TYPE(name##_narrow_f32, body, float, 1, FLAG) SPATIAL_TYPE(name##_narrow_f16, body, f16, 1, FLAG) \
    SPATIAL_TYPE(name##_narrow_bf16, body, bf16, 1, FLAG)
#define SPATIAL_TYPE(name, body, T, V, FLAG) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ SpatialParams p) { body<T, V, FLAG>(p); }
SPATIAL(spatial_modulate, modulate, true)
SPATIAL(spatial_broadcast, modulate, false)
SPATIAL(spatial_sum, sums, false)
SPATIAL(spatial_dot, sums, true)

#define SPATIAL_FINISH(name, T) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ SpatialFinishParams p) { finish<T>(p); }
SPATIAL_FINISH(spatial_finish_f32, float)
SPATIAL_FINISH(spatial_finish_f16, f16)
SPATIAL_FINISH(spatial_finish_bf16, bf16)
