// Gradient of y = resample(act(z)), z = a x + b (gn_fwd.cu), the two passes over the pixels. x, dy, dxIn, dx in T with row strides, the rest f32.
//   dz = resample^T(dy) act'(z), z recomputed;  xhat = (x - mean) rstd
//   partial: A_c = sum_p dz xhat, B_c = sum_p dz, per slice of pixels          (gn_grad.cu adds the slices and makes k1, k2, k3; with tickets the
//            last block of a slab adds them, in gn_grad.cu's order, and that is all)
//   apply:   dx = k1[n, c] dz + k2[n, g] x + k3[n, g] (+ dxIn)
// resample^T: down2 gives each of 4 pixels dy / 4, up2 sums 4 pixels of dy. dx may be dxIn, and dy without resampling; not x.
//
// Four channels per thread whatever the type: a, b, k1, k2, k3 of eight would not fit into registers beside the loads.
// Traffic, elements of b bytes, slabs counted over samples and slices, each of cs channels: partial N P C b + N P' C b + 12 slabs cs (a, b, mean)
// + 4 slabs cs (rstd) + 8 slabs cs (with tickets 8 slabs cs + 8 N C + 4 per block more); apply 2 N P C b + N P' C b (+ N P C b for dxIn) + 20 slabs cs.
// Without ab it is folded from mean, rstd, gamma, beta (16 slabs cs for 8; 8 more with scale and shift); without k1 apply makes its factors from the sums,
// 12 bytes (A, B, gamma; scale 4) for each channel of every group that a slab touches, 8 for each of those groups, 4 (scale 4) per slab and channel for 12.
// Deterministic: a thread adds its pixels in ascending order, then the tree of sumRows. _narrow takes any C, stride and alignment, one
// channel per thread, modes from the parameters.
//
// launch gn_bwd_partial_{none,silu}_{keep,down2,up2}_{f32,f16,bf16}(GnBackwardParams): block 256; grid x = N slabs slices; shared 0; rows counts pixels
//        of dy for down2, else of x; even W and P / W for down2; cs at most 512; C, cs, strides multiples of 4, x, dy 4 sizeof(T)-byte aligned, ab,
//        partial 16-byte aligned; strides below 2^20 elements, rows at most 1024, (2 W + 4 rows) stride below 2^31.
// launch gn_bwd_apply_{none,silu}_{keep,down2,up2}_{f32,f16,bf16}(GnBackwardParams): block 256; grid x = N slabs slices; shared 0; as gn_bwd_partial;
//        dxIn, dx as x, k1 16-byte aligned.
// launch gn_bwd_{partial,apply}_narrow_{f32,f16,bf16}(GnBackwardParams): block 256; grid x = N slabs slices; shared 0; as gn_bwd_partial, with cs at
//        most 256 and no demands on alignment.
// Budget: partial 64 registers, 16.1 KB of static shared memory; apply 64, 10 KB; no spills.
#include "common/gn_backward.cuh"

// Pixels a thread has in flight, 2 or 3 vectors of 16 (f32) or 8 bytes each; more would spill.
template <class T> struct InFlight { enum { kKeep = sizeof(T) == 4 ? 1 : 2, kDown2 = sizeof(T) == 4 ? 1 : 4 }; };

// The gradient at z from the gradient at act(z), in place.
template <class T, int V> __device__ __forceinline__ void toDz(float (&dz)[V], const float (&x)[V], const float (&a)[V], const float (&b)[V], int act) {
#pragma unroll
    for (int i = 0; i < V; i++) dz[i] *= activateGrad<T>(fmaf(a[i], x[i], b[i]), act);
}

// Calls body(offset of the pixel in x, raw x, gradient at it before act') for every pixel of this thread, in ascending order of its rows.
template <class T, int V, class F> __device__ __forceinline__ void forPixels(const GnBackwardParams& p, const Share& s, int resample, F body) {
    const u32 ldx = (u32)p.ldx, lddy = (u32)p.lddy;
    const int first = s.slice * p.rows, c = s.c0 + s.lane * V;
    const T* x = (const T*)p.x + (i64)s.n * p.P * p.ldx + c;
    const T* dy = (const T*)p.dy + c;
    float v[V], g[V];
    if (resample == kKeep) {
        constexpr int kPixels = InFlight<T>::kKeep;
        const int count = min(p.rows, p.P - first);
        x += (i64)first * p.ldx, dy += ((i64)s.n * p.P + first) * p.lddy;
        for (int r = s.row; r < count; r += kPixels * s.inFlight) {
            Raw<T, V> w[kPixels], d[kPixels];
#pragma unroll
            for (int u = 0; u < kPixels; u++)
                if (r + u * s.inFlight < count)
                    w[u] = loadRaw<T, V>(x + (u32)(r + u * s.inFlight) * ldx), d[u] = loadRaw<T, V>(dy + (u32)(r + u * s.inFlight) * lddy);
#pragma unroll
            for (int u = 0; u < kPixels; u++)
                if (r + u * s.inFlight < count) spread(w[u], v, T()), spread(d[u], g, T()), body(first + r + u * s.inFlight, v, g);
        }
    } else if (resample == kDown2) {   // a row is a pixel of dy
        const int half = p.W >> 1, total = p.P >> 2, count = min(p.rows, total - first);
        dy += ((i64)s.n * total + first) * p.lddy;
        for (int r = s.row; r < count; r += s.inFlight) {
            const int h = (int)((u32)(first + r) / (u32)half), at = 2 * h * p.W + 2 * (first + r - h * half);
            const T* from = x + (i64)at * p.ldx;
            const Raw<T, V> d = loadRaw<T, V>(dy + (u32)r * lddy);
            constexpr int kPixels = InFlight<T>::kDown2;
            Raw<T, V> w[kPixels];
#pragma unroll(kPixels)
            for (int u = 0; u < 4; u++) {
#pragma unroll
                for (int i = 0; u % kPixels == 0 && i < kPixels; i++) w[i] = loadRaw<T, V>(from + (u32)(((u + i) >> 1) * p.W + ((u + i) & 1)) * ldx);
                spread(w[u % kPixels], v, T()), spread(d, g, T());
#pragma unroll
                for (int i = 0; i < V; i++) g[i] *= 0.25f;
                body(at + (u >> 1) * p.W + (u & 1), v, g);
            }
        }
    } else {   // a row is a pixel of x
        const int count = min(p.rows, p.P - first);
        x += (i64)first * p.ldx, dy += (i64)s.n * 4 * p.P * p.lddy;
        for (int r = s.row; r < count; r += s.inFlight) {
            const int h = (int)((u32)(first + r) / (u32)p.W), w0 = first + r - h * p.W;
            const T* from = dy + ((i64)4 * h * p.W + 2 * w0) * p.lddy;
            const Raw<T, V> d[4] = {loadRaw<T, V>(from), loadRaw<T, V>(from + lddy), loadRaw<T, V>(from + (u32)(2 * p.W) * lddy), loadRaw<T, V>(from + (u32)(2 * p.W + 1) * lddy)};
            float other[V];
            spread(loadRaw<T, V>(x + (u32)r * ldx), v, T()), spread(d[0], g, T());
#pragma unroll
            for (int u = 1; u < 4; u++) {
                spread(d[u], other, T());
#pragma unroll
                for (int i = 0; i < V; i++) g[i] += other[i];
            }
            body(first + r, v, g);
        }
    }
}

// Makes what follows come from shared memory again: in f32, expf and division leave no registers to keep it in across pixels, nor do four pixels in flight.
__device__ __forceinline__ void reread() { asm volatile("" ::: "memory"); }

// Values per group -> per channel of the slab.
template <int V> __device__ __forceinline__ void stageGroups(Lanes<V, 512 / V>& to, const float* from, int every, const GnBackwardParams& p, const Share& s) {
    const int D = p.C / p.G;
    for (int c = threadIdx.x; c < s.channels; c += kThreads) to.template at<0, V>(c) = __ldg(from + (i64)((s.c0 + c) / D) * every);
}

// k1, k2, k3 of the slab from the sums, as gn_bwd_finalize (gn_grad.cu) makes them: a warp to a group, which may reach beyond the slab.
template <int V> __device__ __forceinline__ void makeFactors(Lanes<V, 512 / V>& k1s, Lanes<V, 512 / V>& k2s, Lanes<V, 512 / V>& k3s, const GnBackwardParams& p, const Share& s) {
    const int D = p.C / p.G, lane = threadIdx.x & 31, last = s.c0 + s.channels - 1;
    const float *as = p.sums + (i64)s.n * 2 * p.C, *bs = as + p.C;
    const float m = (float)p.P * (float)D;
    for (int g = s.c0 / D + (threadIdx.x >> 5); g * D <= last; g += kThreads / 32) {
        float c1 = 0.0f, c2 = 0.0f;
        for (int c = g * D + lane; c < (g + 1) * D; c += 32) {
            const float f = gammaOf(p, s.n, c);
            c2 = fmaf(f, __ldg(as + c), c2), c1 = fmaf(f, __ldg(bs + c), c1);
        }
        c1 = warpSum(c1), c2 = warpSum(c2);
        const float rstd = __ldg(p.rstd + groupAt(p, s.n, g)), mean = __ldg(p.mean + groupAt(p, s.n, g));
        const float k2 = -rstd * rstd * c2 / m, k3 = rstd * fmaf(mean * rstd, c2, -c1) / m;
        for (int c = max(g * D, s.c0) + lane; c < (g + 1) * D && c <= last; c += 32) {
            k1s.template at<0, V>(c - s.c0) = rstd * gammaOf(p, s.n, c);
            k2s.template at<0, V>(c - s.c0) = k2, k3s.template at<0, V>(c - s.c0) = k3;
        }
    }
}

template <class T, int V, int ACT, int RESAMPLE> __device__ __forceinline__ void gnBwdPartial(const GnBackwardParams& p) {
    __shared__ Lanes<2 * V, kThreads> slots;
    __shared__ Lanes<V, 512 / V> as, bs, means;
    __shared__ float2 lanes[4][64];
    const Share s = shareOf<V>(p, false);
    const int act = ACT == kRuntime ? p.act : ACT, resample = RESAMPLE == kRuntime ? p.resample : RESAMPLE;
    if (act != kNone) stageAffine(as, bs, p, s);
    stageGroups<V>(means, p.mean + groupAt(p, s.n, 0), p.every, p, s);
    __syncthreads();

    // add dz (x - mean) and dz
    float a[V] = {}, b[V] = {}, mean[V], sums[2 * V] = {};
    if (s.own) {
        if (act != kNone) as.template get<0>(s.lane, a), bs.template get<0>(s.lane, b);
        means.template get<0>(s.lane, mean);
        forPixels<T, V>(p, s, resample, [&](int, const float (&x)[V], float (&dz)[V]) {
            toDz<T, V>(dz, x, a, b, act);
            if (sizeof(T) == 4 || (ACT == kSilu && RESAMPLE == kDown2)) reread(), means.template get<0>(s.lane, mean);
#pragma unroll
            for (int i = 0; i < V; i++) sums[i] = fmaf(dz[i], x[i] - mean[i], sums[i]), sums[V + i] += dz[i];
        });
    }

    // reduce, scale by rstd, store
    sumRows(sums, slots, s.row, s.perRow);
    if (s.own && s.row == 0) slots.put(s.lane, sums);
    __syncthreads();
    float* to = p.partial + ((i64)s.n * p.slices + s.slice) * 2 * p.C + s.c0;
    int n = s.n, C = p.C;
    asm volatile("" : "+r"(n), "+r"(C));   // the groups' places anew: no register is left to keep them in through the loop
    const int D = C / p.G;
    for (int c = threadIdx.x; c < s.channels; c += kThreads) to[c] = slots.template at<0, V>(c) * __ldg(p.rstd + groupAt(p, n, (s.c0 + c) / D));
    unstage<V, V>(to + p.C, slots, s.channels);

    // add the slices
    if (p.tickets == nullptr) return;   // the whole grid
    u32* last = (u32*)means.f;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) *last = isLast(p.tickets + (i64)n * p.slabs + s.c0 / p.cs, (u32)p.slices);
    __syncthreads();
    if (!*last) return;
    __threadfence();
    float* sumsTo = p.sums + (i64)n * 2 * C + s.c0;
    addSlices(p, n, s.c0, s.channels, lanes, [&](int c, float2 sum) { sumsTo[c] = sum.x, sumsTo[C + c] = sum.y; });
}

template <class T, int V, int ACT, int RESAMPLE> __device__ __forceinline__ void gnBwdApply(const GnBackwardParams& p) {
    __shared__ Lanes<V, 512 / V> as, bs, k1s, k2s, k3s;
    const Share s = shareOf<V>(p, true);
    const int act = ACT == kRuntime ? p.act : ACT, resample = RESAMPLE == kRuntime ? p.resample : RESAMPLE;
    if (act != kNone) stageAffine(as, bs, p, s);
    if (p.k1 != nullptr) {
        stage(k1s, p.k1 + (i64)s.n * p.C + s.c0, s.channels);
        stageGroups<V>(k2s, p.k23 + (i64)s.n * 2 * p.G, 2, p, s);
        stageGroups<V>(k3s, p.k23 + (i64)s.n * 2 * p.G + 1, 2, p, s);
    } else {
        makeFactors(k1s, k2s, k3s, p, s);
    }
    __syncthreads();
    if (!s.own) return;   // no barrier follows
    float a[V] = {}, b[V] = {}, k1[V], k2[V], k3[V];
    if (act != kNone) as.template get<0>(s.lane, a), bs.template get<0>(s.lane, b);
    k1s.template get<0>(s.lane, k1), k2s.template get<0>(s.lane, k2), k3s.template get<0>(s.lane, k3);
    const int c = s.c0 + s.lane * V;
    const T* dxIn = p.dxIn ? (const T*)p.dxIn + (i64)s.n * p.P * p.lddxIn + c : nullptr;
    T* dx = (T*)p.dx + (i64)s.n * p.P * p.lddx + c;
    forPixels<T, V>(p, s, resample, [&](int pixel, const float (&x)[V], float (&dz)[V]) {
        float v[V] = {};
        if (dxIn) spread(loadPlain((const Raw<T, V>*)(dxIn + (i64)pixel * p.lddxIn)), v, T());
        toDz<T, V>(dz, x, a, b, act);
        if (sizeof(T) == 4) reread(), k1s.template get<0>(s.lane, k1), k2s.template get<0>(s.lane, k2), k3s.template get<0>(s.lane, k3);
#pragma unroll
        for (int i = 0; i < V; i++) v[i] += fmaf(k1[i], dz[i], fmaf(k2[i], x[i], k3[i]));
        store<T, V>(dx + (i64)pixel * p.lddx, v);
    });
}

// ---- entries

#define GN(name, call) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ GnBackwardParams p) { call(p); }
#define GN_MODES(name, body, t, T) \
    GN(name##_none_keep_##t, (body<T, 4, kNone, kKeep>)) \
    GN(name##_none_down2_##t, (body<T, 4, kNone, kDown2>)) \
    GN(name##_none_up2_##t, (body<T, 4, kNone, kUp2>)) \
    GN(name##_silu_keep_##t, (body<T, 4, kSilu, kKeep>)) \
    GN(name##_silu_down2_##t, (body<T, 4, kSilu, kDown2>)) \
    GN(name##_silu_up2_##t, (body<T, 4, kSilu, kUp2>)) \
    GN(name##_narrow_##t, (body<T, 1, kRuntime, kRuntime>))
GN_MODES(gn_bwd_partial, gnBwdPartial, f32, float)
GN_MODES(gn_bwd_partial, gnBwdPartial, f16, f16)
GN_MODES(gn_bwd_partial, gnBwdPartial, bf16, bf16)
GN_MODES(gn_bwd_apply, gnBwdApply, f32, float)
GN_MODES(gn_bwd_apply, gnBwdApply, f16, f16)
GN_MODES(gn_bwd_apply, gnBwdApply, bf16, bf16)
