// Parameters of the forward GroupNorm kernels, and the map they all apply.
#pragma once
#include "gn.cuh"

struct GnForwardParams {
    const void* x;        // [N P, ldx] T
    const float* gamma;   // [C]
    const float* beta;    // [C]
    const float* scale;   // [N, ldm] or null
    const float* shift;   // [N, ldm] or null
    float* partial;       // [N, slices, 2, C] sums of d, of d^2
    float* mean;          // [N, G], every so many elements
    float* rstd;          // [N, G], as mean
    float* ab;            // [N, 2, C] a, then b; null: not kept (stats, finalize), folded from mean and rstd (apply)
    void* y;              // [N P', ldy] T; small: null for mean and rstd only
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
    int every;            // elements between groups in mean and rstd: 1, or 2 where they alternate
    float eps;            // added to the variance
    int cf;               // stats: channels whose groups are finalised together, whole groups, at most 64 of them; at least 33, or all
    u32* tickets;         // stats: [N, ceil(C / cf)], all 0 before and after
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
FIELD(GnForwardParams, every, 148, 4);
FIELD(GnForwardParams, eps, 152, 4);
FIELD(GnForwardParams, cf, 156, 4);
FIELD(GnForwardParams, tickets, 160, 8);
SIZE(GnForwardParams, 168);

template <class T, int V> __device__ __forceinline__ void affine(const Raw<T, V>& w, const float (&a)[V], const float (&b)[V], int act, float (&v)[V]) {
    spread(w, v, T());
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = activate<T>(fmaf(a[i], v[i], b[i]), act);
}
