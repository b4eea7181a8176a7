// AdamW with EMA, half-precision copy, gradient norm and loss scale (Loshchilov, Hutter 2019; mixed precision of the reference's trainer).
// Nothing is read back inside a step: what decides is kept in one OptimState in device memory.
//
//   optim_norms_f32    partial[s] = sums of (g / scale)^2 and of p^2 over slice s of 4096 elements
//   optim_control_f32  sums the partials; a norm that is not finite: lg -= 1, the step is skipped; else step number, bias corrections
//                      and lg += growth (the gradients of this step still carry the old scale); factor = min(1, maxNorm / norm) / scale
//   optim_adamw_T      unless skipped: g' = g factor; p = p (1 - lr wd); m += (1 - b1)(g' - m); v += (1 - b2)(g'^2 - v);
//                      p -= stepSize m / (sqrt(v) rootScale + eps), stepSize = lr / (1 - b1^k), rootScale = 1 / sqrt(1 - b2^k);
//                      ema += (1 - rate)(p - ema); copy = T(p)
//   optim_ema_f32      unless skipped: e += (1 - rate)(p - e), for further rates
//
// Order of sums: thread t of a slice adds elements 1024 j + 4 t + i for j, i ascending, then the tree of reduce.cuh; control's thread t adds
// partials t, t + 256, ... Deterministic, no atomics. Traffic, n elements: norms 8 n; adamw 28 n (p, m, v read and written, g read), + 8 n
// with EMA, + b n for the copy; ema 12 n.
//
// launch optim_norms_f32(OptimParams): block 256; grid x = ceil(n / 4096); p, g 16-byte aligned.
// launch optim_control_f32(OptimControlParams): block 256; grid x = 1.
// launch optim_adamw_{f32,f16,bf16}(OptimParams): block 256; grid x = ceil(n / 2048); all pointers 16-byte aligned.
// launch optim_ema_f32(OptimParams): block 256; grid x = ceil(n / 2048); p, ema 16-byte aligned.
// Budget: 72 registers, no spills.
#include "common/reduce.cuh"
#include "common/own.cuh"

struct OptimState {        // [1] in device memory
    float gradNorm;        // sqrt of the sum of (g / scale)^2
    float paramNorm;       // before the step
    float lgScale;         // log2 of the loss scale
    float scale;           // 2^lgScale: what the next loss is multiplied by
    float usedScale;       // what the gradients now in g were multiplied by
    float factor;          // what the update multiplies them by: undoes usedScale and clips
    float clip;            // min(1, maxNorm / gradNorm); 1 without a limit
    float stepSize;        // lr / (1 - b1^k)
    float rootScale;       // 1 / sqrt(1 - b2^k)
    int skip;              // 1: this step does nothing
    int steps;             // k, steps really made
    int skippedInRow;      // how many in a row were not; the host aborts when it grows
    double power1, power2; // b1^k, b2^k
};
SIZE(OptimState, 64);

struct OptimParams {
    float* p;                  // [n] master parameters
    float* m;                  // [n] first moment
    float* v;                  // [n] second moment
    float* ema;                // [n] or null
    const float* g;            // [n] gradients times scale
    void* copy;                // [n] T, parameters for the network, or null
    float* partial;            // [slices, 2]
    const OptimState* state;
    i64 n;                     // elements
    float keep;                // 1 - lr times weight decay; this and the others rounded once from f64 by the host:
    float beta1, grow1;        // b1, 1 - b1            1 - 0.9999f in f32 would be wrong by 2e-4
    float beta2, grow2;        // b2, 1 - b2
    float eps;
    float follow;              // 1 - EMA rate
    int reserved;              // 0
};
FIELD(OptimParams, p, 0, 8);
FIELD(OptimParams, m, 8, 8);
FIELD(OptimParams, v, 16, 8);
FIELD(OptimParams, ema, 24, 8);
FIELD(OptimParams, g, 32, 8);
FIELD(OptimParams, copy, 40, 8);
FIELD(OptimParams, partial, 48, 8);
FIELD(OptimParams, state, 56, 8);
FIELD(OptimParams, n, 64, 8);
FIELD(OptimParams, keep, 72, 4);
FIELD(OptimParams, beta1, 76, 4);
FIELD(OptimParams, grow1, 80, 4);
FIELD(OptimParams, beta2, 84, 4);
FIELD(OptimParams, grow2, 88, 4);
FIELD(OptimParams, eps, 92, 4);
FIELD(OptimParams, follow, 96, 4);
FIELD(OptimParams, reserved, 100, 4);
SIZE(OptimParams, 104);

struct OptimControlParams {
    const float* partial;   // [slices, 2]
    OptimState* state;
    i64 slices;
    double beta1, beta2;
    float lr;
    float growth;           // added to lgScale after a step that was made
    int scaled;             // 0: no loss scale; lgScale stays as it is
    float maxNorm;          // gradients with a larger norm are shortened to it; 0: no limit
};
FIELD(OptimControlParams, partial, 0, 8);
FIELD(OptimControlParams, state, 8, 8);
FIELD(OptimControlParams, slices, 16, 8);
FIELD(OptimControlParams, beta1, 24, 8);
FIELD(OptimControlParams, beta2, 32, 8);
FIELD(OptimControlParams, lr, 40, 4);
FIELD(OptimControlParams, growth, 44, 4);
FIELD(OptimControlParams, scaled, 48, 4);
FIELD(OptimControlParams, maxNorm, 52, 4);
SIZE(OptimControlParams, 56);

enum { kThreads = 256, kWarps = 8, kSlice = 4096, kPerThread = 2, kBlockElements = kThreads * 4 * kPerThread };

template <bool FULL> __device__ __forceinline__ void norms(const OptimParams& p) {
    __shared__ float slots[2][kWarps];
    const i64 first = (i64)blockIdx.x * kSlice + threadIdx.x * 4;
    const float inverse = __fdiv_rn(1.0f, p.state->scale);
    float g[4][4], w[4][4], gradients = 0.0f, weights = 0.0f;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        loadVec<FULL>(p.g + first + 1024 * j, p.n - first - 1024 * j, g[j]);
        loadVec<FULL>((const float*)p.p + first + 1024 * j, p.n - first - 1024 * j, w[j]);
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float scaled = g[j][i] * inverse;
            gradients = fmaf(scaled, scaled, gradients);
            weights = fmaf(w[j][i], w[j][i], weights);
        }
    gradients = blockSum(gradients, slots[0]);
    weights = blockSum(weights, slots[1]);
    if (threadIdx.x == 0) {
        p.partial[2 * (i64)blockIdx.x] = gradients;
        p.partial[2 * (i64)blockIdx.x + 1] = weights;
    }
}

extern "C" __global__ void __launch_bounds__(256, 4) optim_norms_f32(const __grid_constant__ OptimParams p) {
    if ((i64)(blockIdx.x + 1) * kSlice <= p.n) {
        norms<true>(p);
    } else {
        norms<false>(p);
    }
}

extern "C" __global__ void __launch_bounds__(256, 1) optim_control_f32(const __grid_constant__ OptimControlParams p) {
    __shared__ float slots[2][kWarps];
    float gradients = 0.0f, weights = 0.0f;
    for (i64 s = threadIdx.x; s < p.slices; s += kThreads) {
        const float2 sums = ((const float2*)p.partial)[s];
        gradients += sums.x, weights += sums.y;
    }
    gradients = blockSum(gradients, slots[0]);
    weights = blockSum(weights, slots[1]);
    if (threadIdx.x != 0) return;

    OptimState s = *p.state;
    s.usedScale = s.scale;
    s.gradNorm = __fsqrt_rn(gradients);
    s.paramNorm = __fsqrt_rn(weights);
    s.skip = p.scaled && !(gradients <= 3.402823466e38f);   // infinite or NaN
    if (s.skip) {
        s.skippedInRow++;
        s.lgScale -= 1.0f;
    } else {
        s.skippedInRow = 0;
        s.steps++;
        s.power1 *= p.beta1;
        s.power2 *= p.beta2;
        s.clip = p.maxNorm > 0.0f && s.gradNorm > p.maxNorm ? __fdiv_rn(p.maxNorm, s.gradNorm) : 1.0f;
        s.factor = __fdiv_rn(s.clip, s.usedScale);
        s.stepSize = (float)((double)p.lr / (1.0 - s.power1));
        s.rootScale = (float)__drcp_rn(__dsqrt_rn(1.0 - s.power2));
        if (p.scaled) s.lgScale += p.growth;
    }
    s.scale = p.scaled ? exp2f(s.lgScale) : 1.0f;
    *p.state = s;
}

template <bool FULL> __device__ __forceinline__ void storeCopy(float* to, i64 left, const float (&v)[4]) { storeVec<FULL>(to, left, v); }

template <bool FULL, class T> __device__ __forceinline__ void storeCopy(T* to, i64 left, const float (&v)[4]) {
    if (FULL || left >= 4) {
        const uint2 w = make_uint2(pack(v[0], v[1], T()), pack(v[2], v[3], T()));
        *(uint2*)to = w;
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < left) to[i] = fromFloat(v[i], T());
    }
}

template <bool FULL, class T> __device__ __forceinline__ void adamw(const OptimParams& p) {
    const float factor = p.state->factor, stepSize = p.state->stepSize, rootScale = p.state->rootScale;
    const i64 first = (i64)blockIdx.x * kBlockElements + threadIdx.x * 4;
    float w[kPerThread][4], m[kPerThread][4], v[kPerThread][4], g[kPerThread][4], e[kPerThread][4];
#pragma unroll
    for (int j = 0; j < kPerThread; j++) {
        const i64 at = first + 1024 * j, left = p.n - at;
        loadOwn<FULL>(p.p + at, left, w[j]);
        loadOwn<FULL>(p.m + at, left, m[j]);
        loadOwn<FULL>(p.v + at, left, v[j]);
        loadVec<FULL>(p.g + at, left, g[j]);
        if (p.ema != nullptr) loadOwn<FULL>(p.ema + at, left, e[j]);
    }
#pragma unroll
    for (int j = 0; j < kPerThread; j++) {
        const i64 at = first + 1024 * j, left = p.n - at;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float x = g[j][i] * factor;
            m[j][i] = fmaf(p.beta1, m[j][i], p.grow1 * x);
            v[j][i] = fmaf(p.beta2, v[j][i], p.grow2 * x * x);
            const float root = fmaf(__fsqrt_rn(v[j][i]), rootScale, p.eps);
            w[j][i] = fmaf(-stepSize, __fdiv_rn(m[j][i], root), w[j][i] * p.keep);
            if (p.ema != nullptr) e[j][i] = fmaf(p.follow, w[j][i] - e[j][i], e[j][i]);
        }
        storeVec<FULL>(p.p + at, left, w[j]);
        storeVec<FULL>(p.m + at, left, m[j]);
        storeVec<FULL>(p.v + at, left, v[j]);
        if (p.ema != nullptr) storeVec<FULL>(p.ema + at, left, e[j]);
        if (p.copy != nullptr) storeCopy<FULL>((T*)p.copy + at, left, w[j]);
    }
}

template <bool FULL> __device__ __forceinline__ void ema(const OptimParams& p) {
    const i64 first = (i64)blockIdx.x * kBlockElements + threadIdx.x * 4;
#pragma unroll
    for (int j = 0; j < kPerThread; j++) {
        const i64 at = first + 1024 * j, left = p.n - at;
        float w[4], e[4];
        loadVec<FULL>((const float*)p.p + at, left, w);
        loadOwn<FULL>(p.ema + at, left, e);
#pragma unroll
        for (int i = 0; i < 4; i++) e[i] = fmaf(p.follow, w[i] - e[i], e[i]);
        storeVec<FULL>(p.ema + at, left, e);
    }
}

extern "C" __global__ void __launch_bounds__(256, 4) optim_ema_f32(const __grid_constant__ OptimParams p) {
    if (p.state->skip) return;
    if ((i64)(blockIdx.x + 1) * kBlockElements <= p.n) {
        ema<true>(p);
    } else {
        ema<false>(p);
    }
}

template <class T> __device__ __forceinline__ void adamwBlock(const OptimParams& p) {
    if (p.state->skip) return;
    if ((i64)(blockIdx.x + 1) * kBlockElements <= p.n) {
        adamw<true, T>(p);
    } else {
        adamw<false, T>(p);
    }
}

#define OPTIM_ADAMW(name, T) \
    extern "C" __global__ void __launch_bounds__(256, 3) name(const __grid_constant__ OptimParams p) { adamwBlock<T>(p); }
OPTIM_ADAMW(optim_adamw_f32, float)
OPTIM_ADAMW(optim_adamw_f16, f16)
OPTIM_ADAMW(optim_adamw_bf16, bf16)
