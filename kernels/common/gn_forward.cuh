// Parameters of the forward GroupNorm kernels, and the affine map they all apply.
#pragma once
#include "gn.cuh"

struct GnForwardParams {
    const void* x;        // [N P, ldx] T
    const float* gamma;   // [C]
    const float* beta;    // [C]
    const float* scale;   // [N, ldm] or null
    const float* shift;   // [N, ldm] or null
    float* partial;       // [N, slices, 2, C] sums of d, of d^2
    float* mean;          // [N, G]
    float* rstd;          // [N, G]
    float* ab;            // [N, 2, C] a, then b
    void* y;              // [N P', ldy] T
    i64 ldx;              // elements between pixels of x
    i64 ldy;              // elements between pixels of y
    i64 ldm;              // elements between samples of scale and shift
    int N;                // samples
    int P;                // pixels of x per sample
    int C;                // channels
    int G;                // groups, divide C
    int W;                // width of x in pixels, for down2 and up2
    int slabs;            // slabs of channels
    int cs;               // channels per slab; the last may have fewer
    int slices;           // slices of pixels; for finalize: of the partial sums
    int rows;             // pixels per slice; the last may have fewer
    int act;              // _narrow: 0 none, 1 SiLU
    int resample;         // _narrow: 0 keep, 1 down2, 2 up2
    float eps;            // added to the variance
};
FIELD(GnForwardParams, x, 0, 8);
FIELD(GnForwardParams, gamma, 8, 8);
FIELD(GnForwardParams, beta, 16, 8);
FIELD(GnForwardParams, scale, 24, 8);
FIELD(GnForwardParams, shift, 32, 8);
FIELD(GnForwardParams, partial, 40, 8);
FIELD(GnForwardParams, mean, 48, 8);
FIELD(GnForwardParams, rstd, 56, 8);
FIELD(GnForwardParams, ab, 64, 8);
FIELD(GnForwardParams, y, 72, 8);
FIELD(GnForwardParams, ldx, 80, 8);
FIELD(GnForwardParams, ldy, 88, 8);
FIELD(GnForwardParams, ldm, 96, 8);
FIELD(GnForwardParams, N, 104, 4);
FIELD(GnForwardParams, P, 108, 4);
FIELD(GnForwardParams, C, 112, 4);
FIELD(GnForwardParams, G, 116, 4);
FIELD(GnForwardParams, W, 120, 4);
FIELD(GnForwardParams, slabs, 124, 4);
FIELD(GnForwardParams, cs, 128, 4);
FIELD(GnForwardParams, slices, 132, 4);
FIELD(GnForwardParams, rows, 136, 4);
FIELD(GnForwardParams, act, 140, 4);
FIELD(GnForwardParams, resample, 144, 4);
FIELD(GnForwardParams, eps, 148, 4);
SIZE(GnForwardParams, 152);

// a and b of channel c of sample n. b comes from the rounded a, so that a's rounding drops out of a x + b where x is near the mean.
__device__ __forceinline__ float2 fold(const GnForwardParams& p, int n, int c, float mean, float rstd) {
    const float one = 1.0f + (p.scale ? __ldg(p.scale + n * p.ldm + c) : 0.0f), a = rstd * __ldg(p.gamma + c) * one;
    return make_float2(a, fmaf(-mean, a, fmaf(__ldg(p.beta + c), one, p.shift ? __ldg(p.shift + n * p.ldm + c) : 0.0f)));
}

template <class T, int V> __device__ __forceinline__ void affine(const Raw<T, V>& w, const float (&a)[V], const float (&b)[V], int act, float (&v)[V]) {
    spread(w, v, T());
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = activate<T>(fmaf(a[i], v[i], b[i]), act);
}
