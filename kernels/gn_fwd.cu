// Group normalisation in two launches, for any size: y = resample(act(a x + b)), act = identity or SiLU, per sample n and channel c of group g
//   a = rstd gamma (1 + scale), b = (beta - mean rstd gamma)(1 + scale) + shift, mean and rstd = 1 / sqrt(var + eps) over D = C / G channels
//   and P pixels (biased variance); scale = shift = 0 where their pointers are null; resample: none, mean of 2x2, nearest 2x.
// x [N, P, C], y [N, P', C] in T with row strides; everything else f32; mean, rstd [N, G] and a, b [N, 2, C] are kept for backward. Not in place.
// Without ab nobody leaves a and b, and gn_apply folds them itself from mean and rstd.
//
// gn_stats: per channel and slice of pixels the sums of d and d^2, d = x - x[n, pixel 0, c] (the same in every slice, so that slices add). The last block to
// store such sums of cf channels makes of them mean_c and M2_c per channel, then mean = avg mean_c, M2 = sum M2_c + P sum (mean_c - mean)^2 per group, then
// a and b.
// gn_finalize: the same, from sums that a convolution left (gn_stats' formulas with its bias for x, ldx = 0).
// gn_apply: y. Samples in descending order: what gn_stats read last may still lie in L2.
//
// Traffic, elements of b bytes, slabs counted over samples and slices, each of cs channels: finalize 8 N slices C + N C b + 8 N G + 8 N C + 8 N C (gamma, beta)
// + 8 N C where there are scale and shift; stats (N P C + slabs cs) b + 8 slabs cs + as finalize + 4 for each block and ticket it takes; apply N P C b + N P' C b
// + 8 slabs cs (without ab 16 slabs cs: mean, rstd, gamma, beta; 8 more with scale and shift).
// Deterministic: a thread adds its pixels in ascending order, then the tree of sumRows; slices l, l + 4, ... in four lanes, added in order;
// channels in lanes of a warp. _narrow takes any C, stride and alignment, one channel per thread, modes from the parameters.
//
// launch gn_stats{,_narrow}_{f32,f16,bf16}(GnForwardParams): block 256; grid x = N slabs slices; shared 8 cf; strides as for gn_apply.
// launch gn_finalize_f32(GnForwardParams): block 256; grid x = N slabs; shared 8 cs; cs = whole groups, at most 64 of them.
// launch gn_apply_{none,silu}_{keep,down2,up2}_{f32,f16,bf16}(GnForwardParams): block 256; grid x = N slabs slices; shared 0; rows counts pixels of
//        y for down2, else of x; even W and P / W for down2; cs at most 512; C, cs, strides multiples of 16 / sizeof(T), x, y, partial, ab 16-byte
//        aligned; strides below 2^20 elements, rows at most 1024, (2 W + 4 rows) stride below 2^31.
// launch gn_apply_narrow_{f32,f16,bf16}(GnForwardParams): block 256; grid x = N slabs slices; shared 0; as gn_apply, with cs at most 256 and no
//        demands on alignment.
// Budget: stats 64 registers and 18.8 KB of static shared memory; finalize 64, 2.5 KB; apply 64, 4.3 KB; no spills.
#include "common/gn_forward.cuh"

enum { kLoads = 4 };   // vectors a thread has in flight: 256 threads x 4 x 16 bytes = 16 KB per block

// ---- groups from the sums of all slices

struct Groups { float2 lanes[4][64], groups[64]; };

// mean, rstd, a and b of the channels c0 .. c0 + channels - 1 of sample n, whole groups; 8 `channels` bytes of dynamic shared memory.
template <class T> __device__ __forceinline__ void finalize(const GnForwardParams& p, int n, int c0, int channels, Groups& shared) {
    extern __shared__ float dynamicShared[];
    const int D = p.C / p.G, groupCount = channels / D, lane = threadIdx.x & 31;
    float *means = dynamicShared, *squares = dynamicShared + channels;
    const float P = (float)p.P;
    addSlices(p, n, c0, channels, shared.lanes, [&](int c, float2 sum) {
        const float mean = sum.x / P;
        means[c] = toFloat(((const T*)p.x)[(i64)n * p.P * p.ldx + c0 + c]) + mean;
        squares[c] = fmaxf(fmaf(-sum.x, mean, sum.y), 0.0f);
    });

    // channels to groups, a warp each
    for (int g = threadIdx.x >> 5; g < groupCount; g += kThreads / 32) {
        const float base = means[g * D];
        float t = 0.0f, m2 = 0.0f;
        for (int i = lane; i < D; i += 32) t += means[g * D + i] - base;
        const float mean = base + warpSum(t) / (float)D;
        for (int i = lane; i < D; i += 32) {
            const float d = means[g * D + i] - mean;
            m2 += fmaf(P * d, d, squares[g * D + i]);
        }
        m2 = warpSum(m2);
        if (lane == 0) shared.groups[g] = make_float2(mean, 1.0f / sqrtf(m2 / (P * (float)D) + p.eps));
    }
    __syncthreads();

    // fold and store
    for (int g = threadIdx.x; g < groupCount; g += kThreads) {
        p.mean[groupAt(p, n, c0 / D + g)] = shared.groups[g].x;
        p.rstd[groupAt(p, n, c0 / D + g)] = shared.groups[g].y;
    }
    for (int c = threadIdx.x; p.ab != nullptr && c < channels; c += kThreads) {
        const float2 g = shared.groups[c / D], f = fold(p, n, c0 + c, g.x, g.y);
        p.ab[(i64)n * 2 * p.C + c0 + c] = f.x;
        p.ab[((i64)n * 2 + 1) * p.C + c0 + c] = f.y;
    }
}

__device__ __forceinline__ void gnFinalize(const GnForwardParams& p) {
    __shared__ Groups groups;
    const int n = (int)(blockIdx.x / (u32)p.slabs), c0 = (int)(blockIdx.x - n * p.slabs) * p.cs;
    finalize<float>(p, n, c0, min(p.cs, p.C - c0), groups);
}

// ---- gn_stats

template <class T, int V> __device__ __forceinline__ void gnStats(const GnForwardParams& p) {
    __shared__ Lanes<2 * V, kThreads> slots;
    __shared__ Groups groups;
    const Share s = shareOf<V>(p, false);
    const T* x = (const T*)p.x + (i64)s.n * p.P * p.ldx + s.c0;
    const u32 ld = (u32)p.ldx;
    const int first = s.slice * p.rows, count = min(p.rows, p.P - first);
    float pilot[V], sums[2 * V] = {};

    // pilot: pixel 0 of the sample, read by row 0 into its slots, which sumRows leaves alone
    if (s.own && s.row == 0) {
        spread(loadRaw<T, V>(x + s.lane * V), pilot, T());
#pragma unroll
        for (int i = 0; i < V; i++) sums[i] = pilot[i];
        slots.put(s.lane, sums);
    }
    __syncthreads();
    if (s.own) slots.template get<0>(s.lane, pilot);
#pragma unroll
    for (int i = 0; i < V; i++) sums[i] = 0.0f;

    // load and add
    x += (i64)first * p.ldx + s.lane * V;
    auto add = [&](const Raw<T, V>& w) {
        float v[V];
        spread(w, v, T());
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float d = v[i] - pilot[i];
            sums[i] += d;
            sums[V + i] = fmaf(d, d, sums[V + i]);
        }
    };
    if (s.own) {
        int r = s.row;
        for (; r + (kLoads - 1) * s.inFlight < count; r += kLoads * s.inFlight) {
            Raw<T, V> w[kLoads];
#pragma unroll
            for (int u = 0; u < kLoads; u++) w[u] = loadRaw<T, V>(x + (u32)(r + u * s.inFlight) * ld);
#pragma unroll
            for (int u = 0; u < kLoads; u++) add(w[u]);
        }
        for (; r < count; r += s.inFlight) add(loadRaw<T, V>(x + (u32)r * ld));
    }

    // reduce, then store in channel order
    sumRows(sums, slots, s.row, s.perRow);
    if (s.own && s.row == 0) slots.put(s.lane, sums);
    __syncthreads();
    float* to = p.partial + ((i64)s.n * p.slices + s.slice) * 2 * p.C + s.c0;
    unstage<0, V>(to, slots, s.channels);
    unstage<V, V>(to + p.C, slots, s.channels);

    // whole groups, cf channels of them at a time, are for the last block that has any of those channels
    u32* last = (u32*)slots.f;   // at most 512 / 33 + 2 words
    const int u0 = s.c0 / p.cf, units = (s.c0 + s.channels - 1) / p.cf - u0 + 1;
    __threadfence();
    __syncthreads();
    if ((int)threadIdx.x < units) {
        const int u = u0 + threadIdx.x, end = min((u + 1) * p.cf, p.C) - 1;
        last[threadIdx.x] = isLast(p.tickets + (i64)s.n * ((p.C - 1) / p.cf + 1) + u, (u32)((end / p.cs - u * p.cf / p.cs + 1) * p.slices));
    }
    __syncthreads();
    for (int i = 0; i < units; i++) {
        if (!last[i]) continue;
        __threadfence();
        finalize<T>(p, s.n, (u0 + i) * p.cf, min(p.cf, p.C - (u0 + i) * p.cf), groups);
    }
}

// ---- gn_apply

template <class T, int V, int ACT, int RESAMPLE> __device__ __forceinline__ void gnApply(const GnForwardParams& p) {
    __shared__ Lanes<V, 512 / V> as, bs;
    const Share s = shareOf<V>(p, true);
    const int act = ACT == kRuntime ? p.act : ACT, resample = RESAMPLE == kRuntime ? p.resample : RESAMPLE;
    stageAffine(as, bs, p, s);
    __syncthreads();
    if (!s.own) return;   // no barrier follows
    float a[V], b[V], v[V];
    as.template get<0>(s.lane, a);
    bs.template get<0>(s.lane, b);
    const int c = s.c0 + s.lane * V, first = s.slice * p.rows;
    const u32 ldx = (u32)p.ldx, ldy = (u32)p.ldy;
    const T* x = (const T*)p.x + (i64)s.n * p.P * p.ldx + c;
    T* y = (T*)p.y + c;

    if (resample == kKeep) {
        const int count = min(p.rows, p.P - first);
        x += (i64)first * p.ldx, y += ((i64)s.n * p.P + first) * p.ldy;
        int r = s.row;
        for (; r + (kLoads - 1) * s.inFlight < count; r += kLoads * s.inFlight) {
            Raw<T, V> w[kLoads];
#pragma unroll
            for (int u = 0; u < kLoads; u++) w[u] = loadRaw<T, V>(x + (u32)(r + u * s.inFlight) * ldx);
#pragma unroll
            for (int u = 0; u < kLoads; u++) affine<T, V>(w[u], a, b, act, v), store<T, V>(y + (u32)(r + u * s.inFlight) * ldy, v);
        }
        for (; r < count; r += s.inFlight) affine<T, V>(loadRaw<T, V>(x + (u32)r * ldx), a, b, act, v), store<T, V>(y + (u32)r * ldy, v);
    } else if (resample == kDown2) {   // a row is a pixel of y
        const int half = p.W >> 1, total = p.P >> 2, count = min(p.rows, total - first), top = first / half;
        x += (i64)2 * top * p.W * p.ldx, y += ((i64)s.n * total + first) * p.ldy;
        for (int r = s.row; r < count; r += s.inFlight) {
            const int h = (int)((u32)(first + r) / (u32)half), w0 = first + r - h * half;
            const T* from = x + (u32)(2 * (h - top) * p.W + 2 * w0) * ldx;
            const Raw<T, V> w[4] = {loadRaw<T, V>(from), loadRaw<T, V>(from + ldx), loadRaw<T, V>(from + (u32)p.W * ldx), loadRaw<T, V>(from + (u32)(p.W + 1) * ldx)};
            float sum[V];
            affine<T, V>(w[0], a, b, act, sum);
#pragma unroll
            for (int u = 1; u < 4; u++) {
                affine<T, V>(w[u], a, b, act, v);
#pragma unroll
                for (int i = 0; i < V; i++) sum[i] = u == 3 ? 0.25f * (sum[i] + v[i]) : sum[i] + v[i];
            }
            store<T, V>(y + (u32)r * ldy, sum);
        }
    } else {   // a row is a pixel of x
        const int count = min(p.rows, p.P - first), top = first / p.W;
        x += (i64)first * p.ldx, y += ((i64)s.n * 4 * p.P + (i64)4 * top * p.W) * p.ldy;
        for (int r = s.row; r < count; r += s.inFlight) {
            const int h = (int)((u32)(first + r) / (u32)p.W), w0 = first + r - h * p.W;
            affine<T, V>(loadRaw<T, V>(x + (u32)r * ldx), a, b, act, v);
            T* to = y + (u32)(4 * (h - top) * p.W + 2 * w0) * ldy;
            store<T, V>(to, v), store<T, V>(to + ldy, v), store<T, V>(to + (u32)(2 * p.W) * ldy, v), store<T, V>(to + (u32)(2 * p.W + 1) * ldy, v);
        }
    }
}

// ---- entries

#define GN(name, call) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ GnForwardParams p) { call(p); }
#define GN_TYPE(t, T, V) \
    GN(gn_stats_##t, (gnStats<T, V>)) \
    GN(gn_stats_narrow_##t, (gnStats<T, 1>)) \
    GN(gn_apply_none_keep_##t, (gnApply<T, V, kNone, kKeep>)) \
    GN(gn_apply_none_down2_##t, (gnApply<T, V, kNone, kDown2>)) \
    GN(gn_apply_none_up2_##t, (gnApply<T, V, kNone, kUp2>)) \
    GN(gn_apply_silu_keep_##t, (gnApply<T, V, kSilu, kKeep>)) \
    GN(gn_apply_silu_down2_##t, (gnApply<T, V, kSilu, kDown2>)) \
    GN(gn_apply_silu_up2_##t, (gnApply<T, V, kSilu, kUp2>)) \
    GN(gn_apply_narrow_##t, (gnApply<T, 1, kRuntime, kRuntime>))
GN(gn_finalize_f32, gnFinalize)
GN_TYPE(f32, float, 4)
GN_TYPE(f16, f16, 8)
GN_TYPE(bf16, bf16, 8)
