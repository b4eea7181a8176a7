// Group normalisation as one first writes it, and the steps from there to gn_fwd.cu: for comparison only, nothing else launches these. All
// compute y = act(a x + b), act = identity or SiLU (p.act), per sample n and channel c of group g
//   a = rstd gamma (1 + scale), b = (beta - mean rstd gamma)(1 + scale) + shift, mean and rstd = 1 / sqrt(var + eps) over D = C / G channels
//   and P pixels (biased variance); scale = shift = 0 where their pointers are null.
// x, y [N, P, C] in T with row strides; mean, rstd [N, G] are written, a and b are not kept. Not in place.
//
// gn_plain: a block per sample and group, an element per thread and step, x read three times: mean, squares about it, y.
// gn_moments, gn_moments_apply: a block per sample and slice of pixels; sums of x and x^2 per channel, E[x^2] - mean^2 as variance (which loses
// all digits where mean^2 is large beside it: 13 % error at mean/std 1000); then every block adds all slices of its slab's groups, and y.
// _wide: the same with 16 bytes per access instead of one element.
//
// Traffic, elements of b bytes: plain 4 N P C b + (8 + 8) N P C (parameters per element; shared by lanes); moments N P C b + 8 N slices C;
// apply 2 N P C b + 8 N slices C slices (all slices by every block) + 16 N slices C.
// Deterministic: fixed order in threads, the trees of blockSum and sumRows, slices in ascending order.
//
// launch gn_plain_{f32,f16}(GnForwardParams): block 256; grid x = N G; shared 0; P D below 2^31.
// launch gn_moments{,_wide}_{f32,f16}(GnForwardParams): block 256; grid x = N slabs slices; shared 0; slices at most 1024; cs = whole groups, at
//        most 64 of them and 256 channels; wide: 512 channels, C, cs, strides multiples of 16 / sizeof(T), x, y 16-byte aligned.
// launch gn_moments_apply{,_wide}_{f32,f16}(GnForwardParams): block 256; grid x = N slabs slices; shared 0; as gn_moments.
// Budget: none was set; no spills.
#include "common/gn_forward.cuh"

// Every thread gets the sum; the first warp alone reads the slots before it is put there.
__device__ __forceinline__ float sumAll(float v, float (&slots)[8]) {
    v = blockSum(v, slots);
    if (threadIdx.x == 0) slots[0] = v;
    __syncthreads();
    return slots[0];
}

template <class T> __device__ __forceinline__ void gnPlain(const GnForwardParams& p) {
    __shared__ float slots[2][8];
    const int n = (int)(blockIdx.x / (u32)p.G), g = (int)(blockIdx.x - n * p.G), D = p.C / p.G, count = p.P * D;
    const T* x = (const T*)p.x + (i64)n * p.P * p.ldx + g * D;
    T* y = (T*)p.y + (i64)n * p.P * p.ldy + g * D;

    float sum = 0.0f;
    for (int i = threadIdx.x; i < count; i += kThreads) sum += toFloat(x[(i64)(i / D) * p.ldx + i % D]);
    const float mean = sumAll(sum, slots[0]) / (float)count;

    sum = 0.0f;
    for (int i = threadIdx.x; i < count; i += kThreads) {
        const float d = toFloat(x[(i64)(i / D) * p.ldx + i % D]) - mean;
        sum += d * d;
    }
    const float rstd = 1.0f / sqrtf(sumAll(sum, slots[1]) / (float)count + p.eps);
    if (threadIdx.x == 0) p.mean[(i64)blockIdx.x * p.every] = mean, p.rstd[(i64)blockIdx.x * p.every] = rstd;

    for (int i = threadIdx.x; i < count; i += kThreads) {
        const float2 f = fold(p, n, g * D + i % D, mean, rstd);
        y[(i64)(i / D) * p.ldy + i % D] = fromFloat(activate<T>(f.x * toFloat(x[(i64)(i / D) * p.ldx + i % D]) + f.y, p.act), T());
    }
}

template <class T, int V> __device__ __forceinline__ void gnMoments(const GnForwardParams& p) {
    __shared__ Lanes<2 * V, kThreads> slots;
    const Share s = shareOf<V>(p, false);
    const int first = s.slice * p.rows, count = min(p.rows, p.P - first);
    const T* x = (const T*)p.x + ((i64)s.n * p.P + first) * p.ldx + s.c0 + s.lane * V;
    float sums[2 * V] = {}, v[V];
    for (int r = s.row; s.own && r < count; r += s.inFlight) {
        spread(loadRaw<T, V>(x + (i64)r * p.ldx), v, T());
#pragma unroll
        for (int i = 0; i < V; i++) sums[i] += v[i], sums[V + i] += v[i] * v[i];
    }
    sumRows(sums, slots, s.row, s.perRow);
    if (!s.own || s.row > 0) return;   // no barrier follows
    float* to = p.partial + ((i64)s.n * p.slices + s.slice) * 2 * p.C + s.c0 + s.lane * V;
#pragma unroll
    for (int i = 0; i < V; i++) to[i] = sums[i], to[p.C + i] = sums[V + i];
}

template <class T, int V> __device__ __forceinline__ void gnMomentsApply(const GnForwardParams& p) {
    __shared__ float2 channels[512], groups[64];
    const Share s = shareOf<V>(p, false);
    const int D = p.C / p.G, first = s.slice * p.rows, count = min(p.rows, p.P - first);

    // all slices, then all channels of a group
    for (int c = threadIdx.x; c < s.channels; c += kThreads) {
        const float* from = p.partial + (i64)s.n * p.slices * 2 * p.C + s.c0 + c;
        float2 sum = make_float2(0.0f, 0.0f);
        for (int slice = 0; slice < p.slices; slice++) sum.x += from[(i64)slice * 2 * p.C], sum.y += from[((i64)slice * 2 + 1) * p.C];
        channels[c] = sum;
    }
    __syncthreads();
    for (int g = threadIdx.x; g < s.channels / D; g += kThreads) {
        float2 sum = make_float2(0.0f, 0.0f);
        for (int i = 0; i < D; i++) sum.x += channels[g * D + i].x, sum.y += channels[g * D + i].y;
        const float m = (float)D * (float)p.P, mean = sum.x / m, variance = fmaxf(sum.y / m - mean * mean, 0.0f);
        groups[g] = make_float2(mean, 1.0f / sqrtf(variance + p.eps));
        if (s.slice == 0) p.mean[groupAt(p, s.n, s.c0 / D + g)] = groups[g].x, p.rstd[groupAt(p, s.n, s.c0 / D + g)] = groups[g].y;
    }
    __syncthreads();
    if (!s.own) return;   // no barrier follows

    float a[V], b[V], v[V];
#pragma unroll
    for (int i = 0; i < V; i++) {
        const float2 g = groups[(s.lane * V + i) / D], f = fold(p, s.n, s.c0 + s.lane * V + i, g.x, g.y);
        a[i] = f.x, b[i] = f.y;
    }
    const T* x = (const T*)p.x + ((i64)s.n * p.P + first) * p.ldx + s.c0 + s.lane * V;
    T* y = (T*)p.y + ((i64)s.n * p.P + first) * p.ldy + s.c0 + s.lane * V;
    for (int r = s.row; r < count; r += s.inFlight)
        affine<T, V>(loadRaw<T, V>(x + (i64)r * p.ldx), a, b, p.act, v), store<T, V>(y + (i64)r * p.ldy, v);
}

#define GN(name, call) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ GnForwardParams p) { call(p); }
#define GN_TYPE(t, T, V) \
    GN(gn_plain_##t, (gnPlain<T>)) \
    GN(gn_moments_##t, (gnMoments<T, 1>)) \
    GN(gn_moments_wide_##t, (gnMoments<T, V>)) \
    GN(gn_moments_apply_##t, (gnMomentsApply<T, 1>)) \
    GN(gn_moments_apply_wide_##t, (gnMomentsApply<T, V>))
GN_TYPE(f32, float, 4)
GN_TYPE(f16, f16, 8)
