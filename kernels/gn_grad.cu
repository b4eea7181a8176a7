// Gradient of group normalisation (gn_bwd.cu), what has no pixels. All f32. With A, B per sample and channel from gn_bwd_partial,
// g' = gamma (1 + scale), m = P D, c1 = sum over the group of g' B, c2 = sum over the group of g' A:
//   k1[n, c] = rstd g',  k2[n, g] = -rstd^2 c2 / m,  k3[n, g] = rstd (mean rstd c2 - c1) / m       (dx = k1 dz + k2 x + k3)
//   dscale = gamma A + beta B,  dshift = B
//   dgamma = sum_n (1 + scale) A,  dbeta = sum_n (1 + scale) B
// A guidance step, which wants dx only, skips gn_param_grad. Without k1 gn_bwd_finalize only adds slices, and makes dscale and dshift; gn_bwd_apply then
// makes its factors itself. Of dgamma and dbeta either may be left out.
//
// Traffic: finalize 8 N slices C + 8 N C (sums) + 4 N C (k1) + 8 N C (gamma, scale) or 4 + 8 N G + 8 N G (k2, k3) + 12 N C where there are dscale,
// dshift (beta, both); param_grad 8 N C + 8 C, 4 N C more for scale and 8 C more to accumulate.
// Deterministic: slices l, l + 4, ... in four lanes, added in order; channels in lanes of a warp; samples in ascending order.
//
// launch gn_bwd_finalize_f32(GnBackwardParams): block 256; grid x = N slabs; shared 8 cs; cs = whole groups, at most 64 of them.
// launch gn_param_grad_f32(GnBackwardParams): block 256; grid x = ceil(C / 256); shared 0.
// Budget: finalize 56 registers, 2.5 KB of static shared memory; param_grad 40; no spills.
#include "common/gn_backward.cuh"

extern "C" __global__ void __launch_bounds__(256, 4) gn_bwd_finalize_f32(const __grid_constant__ GnBackwardParams p) {
    extern __shared__ float dynamicShared[];
    __shared__ float2 lanes[4][64], groups[64];
    const int n = (int)(blockIdx.x / (u32)p.slabs), c0 = (int)(blockIdx.x - n * p.slabs) * p.cs, channels = min(p.cs, p.C - c0);
    const int D = p.C / p.G, groupCount = channels / D, lane = threadIdx.x & 31;
    float *as = dynamicShared, *bs = dynamicShared + p.cs;   // g' A, g' B

    addSlices(p, n, c0, channels, lanes, [&](int c, float2 sum) {
        if (p.k1) {
            const float g = gammaOf(p, n, c0 + c);
            as[c] = g * sum.x, bs[c] = g * sum.y;
            p.k1[(i64)n * p.C + c0 + c] = __ldg(p.rstd + groupAt(p, n, (c0 + c) / D)) * g;
        }
        if (p.sums) p.sums[(i64)n * 2 * p.C + c0 + c] = sum.x, p.sums[((i64)n * 2 + 1) * p.C + c0 + c] = sum.y;
        if (p.dscale) p.dscale[n * p.lddm + c0 + c] = fmaf(__ldg(p.gamma + c0 + c), sum.x, __ldg(p.beta + c0 + c) * sum.y);
        if (p.dshift) p.dshift[n * p.lddm + c0 + c] = sum.y;
    });
    if (p.k1 == nullptr) return;   // the whole grid: no factors are wanted

    // channels to groups, a warp each
    for (int g = threadIdx.x >> 5; g < groupCount; g += kThreads / 32) {
        float c1 = 0.0f, c2 = 0.0f;
        for (int i = lane; i < D; i += 32) c2 += as[g * D + i], c1 += bs[g * D + i];
        c1 = warpSum(c1), c2 = warpSum(c2);
        if (lane == 0) groups[g] = make_float2(c1, c2);
    }
    __syncthreads();
    for (int g = threadIdx.x; g < groupCount; g += kThreads) {
        const i64 at = groupAt(p, n, c0 / D + g);
        const float c1 = groups[g].x, c2 = groups[g].y, m = (float)p.P * (float)D, rstd = __ldg(p.rstd + at), mean = __ldg(p.mean + at);
        *(float2*)(p.k23 + 2 * ((i64)n * p.G + c0 / D + g)) = make_float2(-rstd * rstd * c2 / m, rstd * fmaf(mean * rstd, c2, -c1) / m);
    }
}

extern "C" __global__ void __launch_bounds__(256, 4) gn_param_grad_f32(const __grid_constant__ GnBackwardParams p) {
    const int c = (int)blockIdx.x * kThreads + threadIdx.x;
    if (c >= p.C) return;
    float dgamma = 0.0f, dbeta = 0.0f;
#pragma unroll 4
    for (int n = 0; n < p.N; n++) {
        const float one = 1.0f + (p.scale ? __ldg(p.scale + n * p.ldm + c) : 0.0f);
        dgamma = fmaf(one, __ldg(p.sums + (i64)n * 2 * p.C + c), dgamma);
        dbeta = fmaf(one, __ldg(p.sums + ((i64)n * 2 + 1) * p.C + c), dbeta);
    }
    if (p.dgamma) p.dgamma[c] = p.act ? p.dgamma[c] + dgamma : dgamma;
    if (p.dbeta) p.dbeta[c] = p.act ? p.dbeta[c] + dbeta : dbeta;
}
