// Convolution written plainly, to compare conv_igemm.cu with: y[n, i, j, k] = bias[k] + sum over r, s, c of x[n, i + r - 1, j + s - 1, c] w[k, r, s, c], 3x3, stride 1,
// padding 1, dense NHWC. One thread per result, which reads its nine pixels and its filter element by element from global memory.
//
// Order of sums: taps, channels. Traffic: N H W K C (9 less what lies outside) b for x, counted once where the lanes of a warp share a pixel, as much
// for w unshared, + results.
//
// launch conv_plain_{f32,f16,bf16}(ConvPlainParams): block 256; grid x = ceil(N H W K / 256); shared 0; N H W K below 2^31 - 1024.
// Budget: 64 registers, no spills.
#include "common/conv_plain.cuh"

template <class T> __device__ __forceinline__ void convPlain(const ConvPlainParams& p) {
    const int item = (int)(blockIdx.x * 256 + threadIdx.x), k = item % p.K, m = item / p.K;
    if (m >= p.N * p.H * p.W) return;
    const int j = m % p.W, i = m / p.W % p.H;
    float sum = 0.0f;
    for (int r = 0; r < 3; r++)
        for (int s = 0; s < 3; s++) {
            if ((u32)(i + r - 1) >= (u32)p.H || (u32)(j + s - 1) >= (u32)p.W) continue;
            const T* x = (const T*)p.x + (i64)(m + (r - 1) * p.W + s - 1) * p.C;
            const T* w = (const T*)p.weights + (i64)(k * 9 + 3 * r + s) * p.C;
            for (int c = 0; c < p.C; c++) sum = fmaf(toFloat(x[c]), toFloat(w[c]), sum);
        }
    ((T*)p.y)[item] = fromFloat(sum + p.bias[k], T());
}

#define PLAIN(name, T) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ ConvPlainParams p) { convPlain<T>(p); }
PLAIN(conv_plain_f32, float)
PLAIN(conv_plain_f16, f16)
PLAIN(conv_plain_bf16, bf16)
