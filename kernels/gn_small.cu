// Group normalisation in one launch, for slabs of whole groups that fit into shared memory: y = resample(act(a x + b)), act = identity or
// SiLU, resample: none, mean of 2x2, nearest 2x, per sample n and channel c of group g
//   a = rstd gamma (1 + scale), b = (beta - mean rstd gamma)(1 + scale) + shift, mean and rstd = 1 / sqrt(var + eps) over D = C / G channels
//   and P pixels (biased variance); scale = shift = 0 where their pointers are null.
// x [N, P, C], y [N, P', C] in T with row strides; everything else f32; mean, rstd [N, G] and a, b [N, 2, C] are kept for backward, a and b only where
// they have a place. Without y, mean and rstd are all that is made. Not in place.
//
// 1 load the slab    2 mean of each channel about its pixel 0, of each group about its first channel    3 squares about the mean of the group
// 4 fold    5 apply, store. x is read once.
// Traffic, elements of b bytes: N P C b + N P' C b + 8 N C (a, b) + 8 N C (gamma, beta) + 8 N C where there are scale and shift + 8 N G.
// Deterministic: a thread adds its pixels in ascending order, then the tree of sumRows, then channels in lanes of a warp.
// _narrow takes any C, stride and alignment, one channel per thread, and the modes from the parameters.
//
// launch gn_small_{none,silu}{,_down2,_up2}_{f32,f16,bf16}(GnForwardParams): block 256; grid x = N slabs; shared P cs sizeof(T); slices 1; cs =
//        whole groups, at most 512 channels and 64 groups; even W and P / W for down2; strides below 2^20 elements, P ldx and P' ldy below 2^31;
//        C, cs and strides multiples of 16 / sizeof(T), x, y, ab 16-byte aligned.
// launch gn_small_narrow_{f32,f16,bf16}(GnForwardParams): block 256; grid x = N slabs; shared P cs sizeof(T); as the others, with cs at most 256
//        and no demands on alignment.
// Budget: 64 registers, no spills, 11 KB of static shared memory beside the slab of at most 64 KB.
#include "common/gn_forward.cuh"
#include "common/mma.cuh"

template <class T, int V, int ACT, int RESAMPLE> __device__ __forceinline__ void gnSmall(const GnForwardParams& p) {
    extern __shared__ uint4 tileShared[];
    __shared__ Lanes<V, kThreads> slots;
    __shared__ Lanes<V, 512 / V> as;
    __shared__ float2 groups[64];
    Raw<T, V>* tile = (Raw<T, V>*)tileShared;   // [P, perRow]
    const Share s = shareOf<V>(p, false);
    const int act = ACT == kRuntime ? p.act : ACT, resample = RESAMPLE == kRuntime ? p.resample : RESAMPLE;
    const int D = p.C / p.G, groupCount = s.channels / D, c = s.c0 + s.lane * V, lane = threadIdx.x & 31;
    const float P = (float)p.P;
    const u32 ldx = (u32)p.ldx, ldy = (u32)p.ldy;

    // load the slab
    const T* x = (const T*)p.x + (i64)s.n * p.P * p.ldx + c;
    for (int r = s.row; s.own && r < p.P; r += s.inFlight) {
        if constexpr (V * sizeof(T) == 16) copyAsync(sharedAddress(tile + r * s.perRow + s.lane), x + (u32)r * ldx, 16);
        else tile[r * s.perRow + s.lane] = loadRaw<T, V>(x + (u32)r * ldx);
    }
    commitCopies();
    waitCopies<0>();
    __syncthreads();

    // mean of each channel about pixel 0, then of each group about its first channel
    float shift[V] = {}, v[V], sums[V] = {};
    if (s.own) {
        spread(loadShared(tile + s.lane), shift, T());
        for (int r = s.row; r < p.P; r += s.inFlight) {
            spread(loadShared(tile + r * s.perRow + s.lane), v, T());
#pragma unroll
            for (int i = 0; i < V; i++) sums[i] += v[i] - shift[i];
        }
    }
    sumRows(sums, slots, s.row, s.perRow);
#pragma unroll
    for (int i = 0; i < V; i++) sums[i] = shift[i] + sums[i] / P;
    if (s.own && s.row == 0) slots.put(s.lane, sums);
    __syncthreads();
    for (int g = threadIdx.x >> 5; g < groupCount; g += kThreads / 32) {
        const float base = slots.template at<0, V>(g * D);
        float t = 0.0f;
        for (int i = lane; i < D; i += 32) t += slots.template at<0, V>(g * D + i) - base;
        t = base + warpSum(t) / (float)D;
        for (int i = lane; i < D; i += 32) as.template at<0, V>(g * D + i) = t;
        if (lane == 0) groups[g].x = t;
    }
    __syncthreads();

    // squares about the mean of the group
#pragma unroll
    for (int i = 0; i < V; i++) sums[i] = 0.0f;
    if (s.own) {
        as.template get<0>(s.lane, shift);
        for (int r = s.row; r < p.P; r += s.inFlight) {
            spread(loadShared(tile + r * s.perRow + s.lane), v, T());
#pragma unroll
            for (int i = 0; i < V; i++) sums[i] = fmaf(v[i] - shift[i], v[i] - shift[i], sums[i]);
        }
    }
    sumRows(sums, slots, s.row, s.perRow);
    if (s.own && s.row == 0) slots.put(s.lane, sums);
    __syncthreads();
    for (int g = threadIdx.x >> 5; g < groupCount; g += kThreads / 32) {
        float t = 0.0f;
        for (int i = lane; i < D; i += 32) t += slots.template at<0, V>(g * D + i);
        t = warpSum(t);
        if (lane == 0) groups[g].y = 1.0f / sqrtf(t / (P * (float)D) + p.eps);
    }
    __syncthreads();

    // fold; b goes where the sums were
    for (int g = threadIdx.x; g < groupCount; g += kThreads) {
        p.mean[groupAt(p, s.n, s.c0 / D + g)] = groups[g].x;
        p.rstd[groupAt(p, s.n, s.c0 / D + g)] = groups[g].y;
    }
    if (p.y == nullptr) return;   // the whole grid: only they are wanted
    for (int i = threadIdx.x; i < s.channels; i += kThreads) {
        const float2 g = groups[i / D], f = fold(p, s.n, s.c0 + i, g.x, g.y);
        as.template at<0, V>(i) = f.x;
        slots.template at<0, V>(i) = f.y;
        if (p.ab == nullptr) continue;
        p.ab[(i64)s.n * 2 * p.C + s.c0 + i] = f.x;
        p.ab[((i64)s.n * 2 + 1) * p.C + s.c0 + i] = f.y;
    }
    __syncthreads();

    // apply and store
    if (!s.own) return;   // no barrier follows
    as.template get<0>(s.lane, shift);
    slots.template get<0>(s.lane, sums);
    if (resample == kKeep) {
        T* y = (T*)p.y + (i64)s.n * p.P * p.ldy + c;
        for (int r = s.row; r < p.P; r += s.inFlight)
            affine<T, V>(loadShared(tile + r * s.perRow + s.lane), shift, sums, act, v), store<T, V>(y + (u32)r * ldy, v);
    } else if (resample == kDown2) {   // a row is a pixel of y
        const int half = p.W >> 1, total = p.P >> 2;
        T* y = (T*)p.y + (i64)s.n * total * p.ldy + c;
        for (int r = s.row; r < total; r += s.inFlight) {
            const int h = (int)((u32)r / (u32)half), at = 2 * h * p.W + 2 * (r - h * half), odd = r & 1;
            float mean[V] = {};
#pragma unroll
            for (int u = 0; u < 2; u++) {   // odd rows take their pairs the other way round, so that lanes of two rows do not meet in the banks
                float right[V];
                affine<T, V>(loadShared(tile + (at + u * p.W + odd) * s.perRow + s.lane), shift, sums, act, v);
                affine<T, V>(loadShared(tile + (at + u * p.W + 1 - odd) * s.perRow + s.lane), shift, sums, act, right);
#pragma unroll
                for (int i = 0; i < V; i++) mean[i] += v[i] + right[i];
            }
#pragma unroll
            for (int i = 0; i < V; i++) mean[i] *= 0.25f;
            store<T, V>(y + (u32)r * ldy, mean);
        }
    } else {   // a row is a pixel of x
        T* y = (T*)p.y + (i64)s.n * 4 * p.P * p.ldy + c;
        for (int r = s.row; r < p.P; r += s.inFlight) {
            const int h = (int)((u32)r / (u32)p.W), w = r - h * p.W;
            affine<T, V>(loadShared(tile + r * s.perRow + s.lane), shift, sums, act, v);
            T* to = y + (u32)(4 * h * p.W + 2 * w) * ldy;
            store<T, V>(to, v), store<T, V>(to + ldy, v), store<T, V>(to + (u32)(2 * p.W) * ldy, v), store<T, V>(to + (u32)(2 * p.W + 1) * ldy, v);
        }
    }
}

#define GN(name, call) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ GnForwardParams p) { call(p); }
#define GN_ACT(act, ACT, t, T, V) \
    GN(gn_small_##act##_##t, (gnSmall<T, V, ACT, kKeep>)) \
    GN(gn_small_##act##_down2_##t, (gnSmall<T, V, ACT, kDown2>)) \
    GN(gn_small_##act##_up2_##t, (gnSmall<T, V, ACT, kUp2>))
#define GN_TYPE(t, T, V) \
    GN_ACT(none, kNone, t, T, V) \
    GN_ACT(silu, kSilu, t, T, V) \
    GN(gn_small_narrow_##t, (gnSmall<T, 1, kRuntime, kRuntime>))
GN_TYPE(f32, float, 4)
GN_TYPE(f16, f16, 8)
GN_TYPE(bf16, bf16, 8)
