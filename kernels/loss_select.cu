// Log-probability of a label and its gradient: what guides sampling (sign 1), and the classifier's cross-entropy (sign -1).
//
//   value[n] = sign log softmax(logits[n])[label[n]];  dlogits[n, k] = sign weight[n] scale ((k == label[n]) - softmax(logits[n])[k])
//
// Either output may be left out. A label outside 0 .. K - 1 gives NaN and reads nothing.
// Order: thread t takes columns t, t + 128, ...; their exponentials, with the row's largest logit subtracted, are added ascending, then the tree of
// reduce.cuh. Accuracy: f32 within 8 ulp of the largest term.
// Traffic: N (4 + 8 K), with dlogits 8 K more. The second and third pass find the row in the cache.
//
// launch loss_select_f32(LossSelectParams): block 128; grid x = N; shared 0; K >= 1; dlogits is not logits.
// Budget: 40 registers, no spills.
#include "common/reduce.cuh"

struct LossSelectParams {
    const float* logits;   // [N, K], row stride ld
    const int* labels;     // [N]
    const float* weight;   // [N] or null without dlogits
    const float* scale;    // [1] loss scale, or null
    float* value;          // [N] or null
    float* dlogits;        // [N, K], row stride ldD, or null
    i64 ld, ldD;           // elements
    int K;
    float sign;            // 1, or -1 for cross-entropy
};
FIELD(LossSelectParams, logits, 0, 8);
FIELD(LossSelectParams, labels, 8, 8);
FIELD(LossSelectParams, weight, 16, 8);
FIELD(LossSelectParams, scale, 24, 8);
FIELD(LossSelectParams, value, 32, 8);
FIELD(LossSelectParams, dlogits, 40, 8);
FIELD(LossSelectParams, ld, 48, 8);
FIELD(LossSelectParams, ldD, 56, 8);
FIELD(LossSelectParams, K, 64, 4);
FIELD(LossSelectParams, sign, 68, 4);
SIZE(LossSelectParams, 72);

enum { kThreads = 128, kWarps = kThreads / 32 };

__device__ __forceinline__ float warpMax(float v) {
#pragma unroll
    for (int distance = 16; distance > 0; distance >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, distance));
    return v;
}

extern "C" __global__ void __launch_bounds__(128, 8) loss_select_f32(const __grid_constant__ LossSelectParams p) {
    __shared__ float slots[kWarps], maxima[kWarps], total;
    const int n = blockIdx.x, label = __ldg(p.labels + n);
    const bool valid = (u32)label < (u32)p.K;
    const float* row = p.logits + n * p.ld;

    // largest logit (NaN passes by fmaxf and comes back in the sum)
    float largest = __int_as_float(0xff800000);
    for (int k = threadIdx.x; k < p.K; k += kThreads) largest = fmaxf(largest, __ldg(row + k));
    largest = warpMax(largest);
    if ((threadIdx.x & 31) == 0) maxima[threadIdx.x >> 5] = largest;
    __syncthreads();
#pragma unroll
    for (int w = 0; w < kWarps; w++) largest = fmaxf(largest, maxima[w]);

    // sum
    float sum = 0.0f;
    for (int k = threadIdx.x; k < p.K; k += kThreads) sum += expf(__ldg(row + k) - largest);
    sum = blockSum(sum, slots);
    if (threadIdx.x == 0) {
        total = sum;
        if (p.value != nullptr) p.value[n] = valid ? p.sign * (__ldg(row + label) - largest - logf(sum)) : __int_as_float(0x7fffffff);
    }
    if (p.dlogits == nullptr) return;   // whole blocks
    __syncthreads();

    // gradient
    float factor = valid ? p.sign * __ldg(p.weight + n) : __int_as_float(0x7fffffff);
    if (p.scale != nullptr) factor *= __ldg(p.scale);
    const float inverse = __fdiv_rn(1.0f, total);
    for (int k = threadIdx.x; k < p.K; k += kThreads)
        p.dlogits[n * p.ldD + k] = factor * ((k == label ? 1.0f : 0.0f) - expf(__ldg(row + k) - largest) * inverse);
}
