// Training losses of diffusion (Ho et al. 2020; Nichol, Dhariwal 2021), values and gradients in one pass over the image.
//
//   error  (target - out)^2; target given, or the posterior mean k2 x0 + k3 xt. k = the sample's row of 16 coefficients (AdmNative.Core.Coef).
//   bound  k8 != 0: KL of q(x_{t-1}|x_t, x_0) and the model's Gaussian; k8 = 0: -log of the Gaussian's probability of x0's bin of width 2/255.
//          mean: out | k2 x0' + k3 xt, x0' = k0 xt - k1 out | out, clamped if asked; log variance as in sampler.cu
//   loss_hybrid    partial[n, chunk] = sums of error and bound over 1024 elements;  dOut = weight[n] scale (error' / count + factor bound'): to the
//                  mean channels error' and, if through is set, bound'; to the variance channels bound'. Either output may be left out.
//   loss_finish    mse[n] = sum error / count, vb[n] = factor sum bound; loss = their sum
//
// Accuracy: f32 within 8 ulp of the largest term. log variances are carried in two f32; a learned range's KL uses their difference f (k5 - k4) itself.
// With Phi(z) = sigmoid(2 w(z)), a bin's probability sigmoid(a) - sigmoid(b) is sigmoid(a) sigmoid(-b) (1 - exp(b - a)): nothing cancels.
// Order of sums: thread t of a chunk adds elements 32 i + lane of its warp's 128, i ascending, then the tree of reduce.cuh; finish: thread t adds chunks
// t, t + 256, ..., the tree.
// Traffic, S = N P C, b bytes: reads S b or 2 S b (out), 4 S each for target, x0, xt; writes S b or 2 S b (dOut), 8 N chunks.
//
// launch loss_hybrid_{f32,f16,bf16}(LossHybridParams): block 256; grid x = N chunks, chunks = ceil(P C / 1024); shared 0; dOut is not out.
// launch loss_finish_f32(LossFinishParams): block 256; grid x = N; shared 0.
// Budget: 64 registers, no spills.
#include "common/activation.cuh"
#include "common/reduce.cuh"
#include "common/vec.cuh"

struct LossHybridParams {
    const void* out;       // [N, P, C or 2 C] T, row stride ldOut: the last C channels are the variance's
    const float* target;   // [N, P, C] what out should be; null: the posterior mean
    const float* x0;       // [N, P, C], null without a bound if target is given
    const float* xt;       // [N, P, C], as x0
    const float* coef;     // [N, 16], as x0
    const float* weight;   // [N] factor of each sample's loss in the objective; null without dOut
    const float* scale;    // [1] loss scale, or null
    float* partial;        // [N, chunks, 2] or null
    void* dOut;            // [N, P, C or 2 C] T, row stride ldD, or null
    i64 ldOut, ldD;        // elements between pixels
    int pixels, channels, chunks;
    int mean;              // what out predicts: 0 x_{t-1}, 1 x_0, 2 epsilon
    int variance;          // 0 learned, 1 fixed small, 2 fixed large, 3 learned range
    int clip;              // 1: clamp the predicted x_0 of the bound
    int error, bound;      // 1: part of the loss
    int through;           // 1: the bound's gradient reaches the mean channels
    float perElement;      // 1 / (P C)
    float perBound;        // factor / (P C ln 2)
    int reserved;          // 0
};
FIELD(LossHybridParams, out, 0, 8);
FIELD(LossHybridParams, target, 8, 8);
FIELD(LossHybridParams, x0, 16, 8);
FIELD(LossHybridParams, xt, 24, 8);
FIELD(LossHybridParams, coef, 32, 8);
FIELD(LossHybridParams, weight, 40, 8);
FIELD(LossHybridParams, scale, 48, 8);
FIELD(LossHybridParams, partial, 56, 8);
FIELD(LossHybridParams, dOut, 64, 8);
FIELD(LossHybridParams, ldOut, 72, 8);
FIELD(LossHybridParams, ldD, 80, 8);
FIELD(LossHybridParams, pixels, 88, 4);
FIELD(LossHybridParams, channels, 92, 4);
FIELD(LossHybridParams, chunks, 96, 4);
FIELD(LossHybridParams, mean, 100, 4);
FIELD(LossHybridParams, variance, 104, 4);
FIELD(LossHybridParams, clip, 108, 4);
FIELD(LossHybridParams, error, 112, 4);
FIELD(LossHybridParams, bound, 116, 4);
FIELD(LossHybridParams, through, 120, 4);
FIELD(LossHybridParams, perElement, 124, 4);
FIELD(LossHybridParams, perBound, 128, 4);
FIELD(LossHybridParams, reserved, 132, 4);
SIZE(LossHybridParams, 136);

struct LossFinishParams {
    const float* partial;  // [N, chunks, 2]
    float* loss;           // [N]
    float* mse;            // [N] or null
    float* vb;             // [N] or null
    int chunks;
    float perElement, perBound;
    int reserved;          // 0
};
FIELD(LossFinishParams, partial, 0, 8);
FIELD(LossFinishParams, loss, 8, 8);
FIELD(LossFinishParams, mse, 16, 8);
FIELD(LossFinishParams, vb, 24, 8);
FIELD(LossFinishParams, chunks, 32, 4);
FIELD(LossFinishParams, perElement, 36, 4);
FIELD(LossFinishParams, perBound, 40, 4);
FIELD(LossFinishParams, reserved, 44, 4);
SIZE(LossFinishParams, 48);

enum { kItems = 4, kWarpElements = 32 * kItems, kBlockElements = 8 * kWarpElements };
enum { kPreviousX = 0, kStartX = 1, kLearned = 0, kLearnedRange = 3 };

// 2 sqrt(2 / pi) and that times 0.044715: 2 w(z) = z (k1 + k3 z^2).
#define CDF_1 1.5957691216057308f
#define CDF_3 0.0713548162726009f

// Density of the distribution with CDF sigmoid(2 w(z)).
__device__ __forceinline__ float density(float z) {
    const float u = z * fmaf(CDF_3, z * z, CDF_1);
    return fmaf(3.0f * CDF_3, z * z, CDF_1) * sigmoid<float>(u) * sigmoid<float>(-u);
}

// -log of the probability of x's bin under a Gaussian of log variance high + low, and its slopes by mean and log variance.
__device__ __forceinline__ float likelihood(float x, float mean, float high, float low, float& byMean, float& byLog) {
    const float inverse = expf(-0.5f * high) * fmaf(-0.5f, low, 1.0f), bin = 1.0f / 255.0f, c = x - mean;
    const float up = inverse * (c + bin), down = inverse * (c - bin);
    const float a = up * fmaf(CDF_3, up * up, CDF_1), b = down * fmaf(CDF_3, down * down, CDF_1);
    const float apart = 2.0f * bin * inverse * fmaf(CDF_3, fmaf(up, up + down, down * down), CDF_1);   // a - b
    const bool first = x < -0.999f, last = x > 0.999f;
    float p = -expm1f(-apart);
    if (first || last) p = 1.0f;
    if (!last) p *= sigmoid<float>(a);
    if (!first) p *= sigmoid<float>(-b);
    const bool floored = p < 1e-12f;
    const float dUp = last || floored ? 0.0f : __fdiv_rn(density(up), p), dDown = first || floored ? 0.0f : __fdiv_rn(density(down), p);
    byMean = inverse * (dUp - dDown);
    byLog = 0.5f * (dUp * up - dDown * down);
    return -logf(floored ? 1e-12f : p);
}

// One element's bound in nats and its slopes by out and v.
__device__ __forceinline__ float bound(const LossHybridParams& p, const float (&k)[9], float o, float v, float x0, float xt, float& byOut, float& byV) {
    // log variance high + low, and what it exceeds the posterior's by
    float high = k[7], low = 0.0f, apart = k[7] - k[4], slope = 0.0f;
    if (p.variance == kLearned) {
        high = v, apart = v - k[4], slope = 1.0f;
    } else if (p.variance == kLearnedRange) {
        const float fraction = 0.5f * (v + 1.0f), width = __fsub_rn(k[5], k[4]);
        apart = fraction * width, slope = 0.5f * width;
        high = __fmaf_rn(fraction, width, k[4]);
        low = __fmaf_rn(fraction, width, __fsub_rn(k[4], high));
    }

    // mean: the difference to the posterior's has no xt in it unless out is the mean
    float x = p.mean == kStartX ? o : fmaf(k[0], xt, -__fmul_rn(k[1], o)), byMean, byLog, value;
    byOut = p.mean == kPreviousX ? 1.0f : p.mean == kStartX ? k[2] : -k[2] * k[1];
    if (p.clip && p.mean != kPreviousX && fabsf(x) > 1.0f) x = x < 0.0f ? -1.0f : 1.0f, byOut = 0.0f;
    if (k[8] == 0.0f) {
        value = likelihood(x0, p.mean == kPreviousX ? o : fmaf(k[2], x, __fmul_rn(k[3], xt)), high, low, byMean, byLog);
    } else {
        const float d = p.mean == kPreviousX ? o - fmaf(k[2], x0, __fmul_rn(k[3], xt)) : k[2] * (x - x0);
        const float precision = expf(-high) * (1.0f - low), ratio = expf(-apart);
        byMean = d * precision;
        byLog = 0.5f * (1.0f - ratio - d * byMean);
        value = 0.5f * (apart - 1.0f + ratio + d * byMean);
    }
    byOut *= byMean;
    byV = slope * byLog;
    return value;
}

template <class T> __device__ __forceinline__ void lossHybrid(const LossHybridParams& p) {
    __shared__ float slots[2][8];
    const int sample = blockIdx.x / p.chunks, elements = p.pixels * p.channels, lane = threadIdx.x & 31;
    const int chunk = blockIdx.x - sample * p.chunks, first = chunk * kBlockElements + (threadIdx.x >> 5) * kWarpElements;
    const bool learned = p.bound && (p.variance == kLearned || p.variance == kLearnedRange), posterior = p.error && p.target == nullptr;
    float k[9] = {}, errors = 0.0f, bounds = 0.0f;
    if (p.bound || posterior) {
#pragma unroll
        for (int i = 0; i < 9; i++) k[i] = __ldg(p.coef + sample * 16 + i);
    }
    float factor = p.dOut != nullptr ? __ldg(p.weight + sample) : 0.0f;
    if (p.dOut != nullptr && p.scale != nullptr) factor *= __ldg(p.scale);
#pragma unroll
    for (int i = 0; i < kItems; i++) {
        const int e = first + 32 * i + lane;
        if (e >= elements) continue;
        const int pixel = e / p.channels, c = e - pixel * p.channels;
        const i64 at = (i64)sample * elements + e, row = (i64)sample * p.pixels + pixel;
        const T* out = (const T*)p.out + row * p.ldOut + c;
        const float o = toFloat(*out), v = learned ? toFloat(out[p.channels]) : 0.0f;
        const float x0 = p.bound || posterior ? __ldg(p.x0 + at) : 0.0f, xt = p.bound || posterior ? __ldg(p.xt + at) : 0.0f;
        float byOut = 0.0f, byV = 0.0f, dMean = 0.0f;
        if (p.error) {
            const float d = o - (posterior ? fmaf(k[2], x0, __fmul_rn(k[3], xt)) : __ldg(p.target + at));
            errors = fmaf(d, d, errors);
            dMean = 2.0f * p.perElement * d;
        }
        if (p.bound) bounds += bound(p, k, o, v, x0, xt, byOut, byV);
        if (p.dOut != nullptr) {
            T* to = (T*)p.dOut + row * p.ldD + c;
            *to = fromFloat(factor * (p.through ? fmaf(p.perBound, byOut, dMean) : dMean), T());
            if (learned) to[p.channels] = fromFloat(factor * p.perBound * byV, T());
        }
    }
    if (p.partial == nullptr) return;   // whole blocks
    errors = blockSum(errors, slots[0]);
    bounds = blockSum(bounds, slots[1]);
    if (threadIdx.x == 0) *(float2*)(p.partial + 2 * (i64)blockIdx.x) = make_float2(errors, bounds);
}

extern "C" __global__ void __launch_bounds__(256, 4) loss_finish_f32(const __grid_constant__ LossFinishParams p) {
    __shared__ float slots[2][8];
    const float2* partial = (const float2*)p.partial + (i64)blockIdx.x * p.chunks;
    float errors = 0.0f, bounds = 0.0f;
    for (int i = threadIdx.x; i < p.chunks; i += 256) {
        const float2 v = __ldg(partial + i);
        errors += v.x, bounds += v.y;
    }
    errors = p.perElement * blockSum(errors, slots[0]);
    bounds = p.perBound * blockSum(bounds, slots[1]);
    if (threadIdx.x != 0) return;
    p.loss[blockIdx.x] = errors + bounds;
    if (p.mse != nullptr) p.mse[blockIdx.x] = errors;
    if (p.vb != nullptr) p.vb[blockIdx.x] = bounds;
}

#define LOSS_HYBRID(name, T) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ LossHybridParams p) { lossHybrid<T>(p); }
LOSS_HYBRID(loss_hybrid_f32, float)
LOSS_HYBRID(loss_hybrid_f16, f16)
LOSS_HYBRID(loss_hybrid_bf16, bf16)
