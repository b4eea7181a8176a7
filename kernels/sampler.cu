// One step of guided sampling, in one pass over the image (Dhariwal, Nichol 2021): from x_t, the network's output, the classifier's
// gradient and noise to x_{t-1} and the predicted x_0. k = the sample's row of 16 coefficients (AdmNative.Core.Coef).
//
//   x0    = k0 x - k1 out (predicts epsilon) | out (x_0) | (out - k3 x) / k2 (x_{t-1}), clamped to [-1, 1] if asked; or given
//   ddpm  Algorithm 1, mean shift:  y = mean + variance grad + k8 exp(logvar / 2) z,  mean = k2 x0 + k3 x | out
//         logvar = v (learned) | f k5 + (1 - f) k4, f = (v + 1) / 2 (learned range) | k7;  variance = exp(logvar), fixed kinds: k6
//   ddim  Algorithm 2, score shift: eps = (k0 x - x0) / k1 - k10 grad,  x0 = k0 x - k1 eps (guided),
//         y = k9 x0 + k12 eps + k8 k11 z
//   reverse (no noise, no gradient): y = k13 x0 + k14 eps
//   xstart: only x0, guided if a gradient is given;  mean: y = k2 x0 + k3 x | out;  logvar: y = logvar
//
// z: given, or Philox normals of (seed, sample, step, element) as AdmNative.Diffusion.PhiloxNoise defines them; each warp draws the 32
// quads of its 128 elements once and hands them over by shuffles. Values are f32; only the network's output has storage type T.
// Accuracy: every sum is formed within 8 ulp of its largest term. The mixed log-variance is carried in two f32, so that its size (20 and
// more) does not cost the exponential digits.
// Traffic of ddpm, S = samples pixels channels: reads 4 S (x) + b S or 2 b S (out) + 4 S each for x0, grad, noise if given; writes 4 S (y)
// + 4 S (x0) if asked. Accesses to x, x0, grad, noise, y are 128 contiguous bytes per warp; out is read at every other channel group.
//
// launch sampler_{ddpm,ddim,reverse,xstart,mean,logvar}_{f32,f16,bf16}(SamplerStepParams): block 256; grid x = samples chunks, chunks =
//        ceil(pixels channels / 1024); shared 0; y may be x, x0, grad or noise (each element is read and written by one thread).
// Budget: 64 registers, no spills, no shared memory. Deterministic: one writer per element, no sums across threads.
#include "common/philox.cuh"

struct SamplerStepParams {
    const float* x;       // [N, P, C] x_t
    const void* out;      // [N, P, C or 2 C] T, row stride ldOut: the last C channels are the variance's
    const float* x0In;    // [N, P, C] x_0 to take instead of the prediction, or null
    const float* grad;    // [N, P, C] gradient of the classifier times its scale, or null
    const float* noise;   // [N, P, C] standard normals, or null: Philox
    const float* coef;    // [N, 16]
    float* y;             // [N, P, C] x_{t-1}; null: not wanted
    float* x0;            // [N, P, C] predicted x_0, guided if ddim; null: not wanted
    i64 ldOut;            // elements between pixels of out
    u64 seed;             // Philox key
    i64 firstSample;      // number of sample 0 in the run
    int step;             // of the process, names the noise
    int samples;          // N
    int pixels;           // P per sample; P C < 2^31
    int channels;         // C
    int chunks;           // of 1024 elements per sample
    int mean;             // what out predicts: 0 x_{t-1}, 1 x_0, 2 epsilon
    int variance;         // 0 learned, 1 fixed small, 2 fixed large, 3 learned range
    int clip;             // 1: clamp the predicted x_0
};
FIELD(SamplerStepParams, x, 0, 8);
FIELD(SamplerStepParams, out, 8, 8);
FIELD(SamplerStepParams, x0In, 16, 8);
FIELD(SamplerStepParams, grad, 24, 8);
FIELD(SamplerStepParams, noise, 32, 8);
FIELD(SamplerStepParams, coef, 40, 8);
FIELD(SamplerStepParams, y, 48, 8);
FIELD(SamplerStepParams, x0, 56, 8);
FIELD(SamplerStepParams, ldOut, 64, 8);
FIELD(SamplerStepParams, seed, 72, 8);
FIELD(SamplerStepParams, firstSample, 80, 8);
FIELD(SamplerStepParams, step, 88, 4);
FIELD(SamplerStepParams, samples, 92, 4);
FIELD(SamplerStepParams, pixels, 96, 4);
FIELD(SamplerStepParams, channels, 100, 4);
FIELD(SamplerStepParams, chunks, 104, 4);
FIELD(SamplerStepParams, mean, 108, 4);
FIELD(SamplerStepParams, variance, 112, 4);
FIELD(SamplerStepParams, clip, 116, 4);
SIZE(SamplerStepParams, 120);

enum { kItems = 4, kWarpElements = 32 * kItems, kBlockElements = 8 * kWarpElements };
enum { kPreviousX = 0, kStartX = 1, kLearned = 0, kLearnedRange = 3 };
enum Update { kDdpm, kDdim, kReverse, kXStart, kMean, kLogVariance };

// What an update reads. Compile-time, so that the others' loads vanish.
template <int U> struct Reads {
    enum { X0 = U != kLogVariance, V = U == kDdpm || U == kLogVariance, Grad = U == kDdpm || U == kDdim || U == kXStart,
           Noise = U == kDdpm || U == kDdim };
};

// log variance as an unevaluated sum of two f32: high carries its size, low the digits that high has no room for.
__device__ __forceinline__ void logVariance(int kind, float v, const float (&k)[16], float& high, float& low) {
    low = 0.0f;
    if (kind == kLearned) {
        high = v;
    } else if (kind == kLearnedRange) {
        const float fraction = 0.5f * (v + 1.0f), width = __fsub_rn(k[5], k[4]);
        high = __fmaf_rn(fraction, width, k[4]);
        low = __fmaf_rn(fraction, width, __fsub_rn(k[4], high));
    } else {
        high = k[7];
    }
}

__device__ __forceinline__ float clampUnit(float x) { return x < -1.0f ? -1.0f : x > 1.0f ? 1.0f : x; }   // NaN stays NaN

template <int U> __device__ __forceinline__ void update(const SamplerStepParams& p, const float (&k)[16], float x, float o, float v, float given, float g,
                                                        float z, float& y, float& x0) {
    x0 = given;
    if (Reads<U>::X0 && p.x0In == nullptr) {
        x0 = p.mean == kStartX ? o : p.mean == kPreviousX ? __fdiv_rn(fmaf(-k[3], x, o), k[2]) : fmaf(k[0], x, -__fmul_rn(k[1], o));
        if (p.clip) x0 = clampUnit(x0);
    }

    if (U == kDdpm || U == kMean) y = p.mean == kPreviousX ? o : fmaf(k[2], x0, __fmul_rn(k[3], x));
    if (U == kDdpm) {
        float high, low;
        logVariance(p.variance, v, k, high, low);
        const float deviation = expf(0.5f * high) * fmaf(0.5f, low, 1.0f);
        const bool learned = p.variance == kLearned || p.variance == kLearnedRange;
        if (p.grad != nullptr) y = fmaf(learned ? expf(high) * (1.0f + low) : k[6], g, y);
        y = fmaf(__fmul_rn(k[8], deviation), z, y);
    }

    if (U == kDdim || U == kReverse || U == kXStart) {
        float eps = __fdiv_rn(fmaf(k[0], x, -x0), k[1]);
        if (Reads<U>::Grad && p.grad != nullptr) {
            eps = fmaf(-k[10], g, eps);
            x0 = fmaf(k[0], x, -__fmul_rn(k[1], eps));
        }

        if (U == kDdim) y = fmaf(__fmul_rn(k[8], k[11]), z, fmaf(k[9], x0, __fmul_rn(k[12], eps)));
        if (U == kReverse) y = fmaf(k[13], x0, __fmul_rn(k[14], eps));
    }

    if (U == kLogVariance) {
        float high, low;
        logVariance(p.variance, v, k, high, low);
        y = high + low;
    }
}

// Normals of the warp's 128 elements from `first` on: item i of lane l is element first + 32 i + l. All lanes take part.
__device__ __forceinline__ void draw(const SamplerStepParams& p, int sample, int first, float (&z)[kItems]) {
    const int lane = threadIdx.x & 31;
    const u64 number = (u64)(p.firstSample + sample);
    const uint4 r = philox(make_uint4((u32)(first / 4 + lane), (u32)p.step, (u32)number, (u32)(number >> 32)), (u32)p.seed, (u32)(p.seed >> 32));
    float q[4];
    normals(r.x, r.y, q[0], q[1]);
    normals(r.z, r.w, q[2], q[3]);
#pragma unroll
    for (int i = 0; i < kItems; i++) {
        z[i] = 0.0f;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float other = __shfl_sync(0xffffffffu, q[j], 8 * i + lane / 4);
            if ((lane & 3) == j) z[i] = other;
        }
    }
}

template <int U, class T> __device__ __forceinline__ void stepBody(const SamplerStepParams& p) {
    const int sample = blockIdx.x / p.chunks, elements = p.pixels * p.channels;
    const int first = (blockIdx.x - sample * p.chunks) * kBlockElements + (threadIdx.x >> 5) * kWarpElements;
    if (first >= elements) return;   // whole warps
    const i64 base = (i64)sample * elements;
    float k[16];   // loaded once, before stores that could alias them; what an update does not use vanishes
#pragma unroll
    for (int i = 0; i < 16; i++) k[i] = p.coef[sample * 16 + i];
    const T* out = (const T*)p.out + (i64)sample * p.pixels * p.ldOut;

    // load
    const bool learned = p.variance == kLearned || p.variance == kLearnedRange;
    const bool predicts = Reads<U>::X0 && (p.x0In == nullptr || ((U == kDdpm || U == kMean) && p.mean == kPreviousX));
    const int lane = threadIdx.x & 31;
    float x[kItems], o[kItems] = {}, v[kItems] = {}, given[kItems] = {}, g[kItems] = {}, z[kItems] = {};
#pragma unroll
    for (int i = 0; i < kItems; i++) {
        const int e = first + 32 * i + lane;
        x[i] = 0.0f;
        if (e >= elements) continue;
        const int pixel = e / p.channels;
        const T* at = out + pixel * p.ldOut + (e - pixel * p.channels);
        if (U != kLogVariance) x[i] = p.x[base + e];
        if (predicts) o[i] = toFloat(*at);
        if (Reads<U>::V && learned) v[i] = toFloat(at[p.channels]);
        if (Reads<U>::X0 && p.x0In != nullptr) given[i] = p.x0In[base + e];
        if (Reads<U>::Grad && p.grad != nullptr) g[i] = p.grad[base + e];
        if (Reads<U>::Noise && p.noise != nullptr) z[i] = p.noise[base + e];
    }

    if (Reads<U>::Noise && p.noise == nullptr) draw(p, sample, first, z);

    // update, store
#pragma unroll
    for (int i = 0; i < kItems; i++) {
        const int e = first + 32 * i + lane;
        if (e >= elements) continue;
        float y = 0.0f, x0;
        update<U>(p, k, x[i], o[i], v[i], given[i], g[i], z[i], y, x0);
        if (U != kXStart && p.y != nullptr) p.y[base + e] = y;
        if (Reads<U>::X0 && p.x0 != nullptr) p.x0[base + e] = x0;
    }
}

#define STEP(name, U) STEP_TYPE(name##_f32, U, float) STEP_TYPE(name##_f16, U, f16) STEP_TYPE(name##_bf16, U, bf16)
#define STEP_TYPE(name, U, T) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ SamplerStepParams p) { stepBody<U, T>(p); }
STEP(sampler_ddpm, kDdpm)
STEP(sampler_ddim, kDdim)
STEP(sampler_reverse, kReverse)
STEP(sampler_xstart, kXStart)
STEP(sampler_mean, kMean)
STEP(sampler_logvar, kLogVariance)

// The forward process (equation 17 of Nichol, Dhariwal 2021): y = a x0 + b z, z given or Philox; the drawn z is written if asked.
// Traffic: 8 S + 4 S for each of noise read, noise written.
//
// launch sampler_qsample_f32(SamplerNoisingParams): block 256; grid x = samples chunks, chunks = ceil(elements / 1024); shared 0; y may be
//        x0 or noise.
struct SamplerNoisingParams {
    const float* x0;      // [N, elements]
    const float* noise;   // [N, elements], or null: Philox
    const float* ab;      // [N, 2]: a = sqrt(alpha bar), b = sqrt(1 - alpha bar)
    float* y;             // [N, elements]
    float* drawn;         // [N, elements] the normals used, or null
    u64 seed;
    i64 firstSample;
    int step, samples, elements, chunks;
};
FIELD(SamplerNoisingParams, x0, 0, 8);
FIELD(SamplerNoisingParams, noise, 8, 8);
FIELD(SamplerNoisingParams, ab, 16, 8);
FIELD(SamplerNoisingParams, y, 24, 8);
FIELD(SamplerNoisingParams, drawn, 32, 8);
FIELD(SamplerNoisingParams, seed, 40, 8);
FIELD(SamplerNoisingParams, firstSample, 48, 8);
FIELD(SamplerNoisingParams, step, 56, 4);
FIELD(SamplerNoisingParams, samples, 60, 4);
FIELD(SamplerNoisingParams, elements, 64, 4);
FIELD(SamplerNoisingParams, chunks, 68, 4);
SIZE(SamplerNoisingParams, 72);

extern "C" __global__ void __launch_bounds__(256, 4) sampler_qsample_f32(const __grid_constant__ SamplerNoisingParams p) {
    const int sample = blockIdx.x / p.chunks, lane = threadIdx.x & 31;
    const int first = (blockIdx.x - sample * p.chunks) * kBlockElements + (threadIdx.x >> 5) * kWarpElements;
    if (first >= p.elements) return;   // whole warps
    const i64 base = (i64)sample * p.elements;
    float z[kItems];
    if (p.noise == nullptr) {
        SamplerStepParams s;
        s.seed = p.seed, s.firstSample = p.firstSample, s.step = p.step;
        draw(s, sample, first, z);
    }

    const float a = p.ab[2 * sample], b = p.ab[2 * sample + 1];
#pragma unroll
    for (int i = 0; i < kItems; i++) {
        const int e = first + 32 * i + lane;
        if (e >= p.elements) continue;
        if (p.noise != nullptr) z[i] = p.noise[base + e];
        if (p.drawn != nullptr) p.drawn[base + e] = z[i];
        p.y[base + e] = fmaf(a, p.x0[base + e], __fmul_rn(b, z[i]));
    }
}
