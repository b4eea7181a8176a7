// Parameters of the backward GroupNorm kernels.
#pragma once
#include "gn.cuh"

struct GnBackwardParams {
    const void* x;        // [N P, ldx] T
    const void* dy;       // [N P', lddy] T: gradient of the result, after resampling
    const void* dxIn;     // [N P, lddxIn] T added to dx, or null
    const float* gamma;   // [C]
    const float* beta;    // [C]
    const float* scale;   // [N, ldm] or null
    const float* shift;   // [N, ldm] or null; only read where there is no ab
    const float* mean;    // [N, G], every so many elements, from forward
    const float* rstd;    // [N, G], as mean
    const float* ab;      // [N, 2, C] a, then b, from forward; null: folded from mean and rstd
    float* partial;       // [N, slices, 2, C] sums of dz xhat, of dz
    float* sums;          // [N, 2, C] A, then B: the same over all pixels; finalize: null where they are not wanted
    float* k1;            // [N, C]; null: apply makes k1, k2, k3 from the sums, finalize leaves them
    float* k23;           // [N, G, 2] k2, k3
    void* dx;             // [N P, lddx] T
    float* dscale;        // [N, lddm] or null
    float* dshift;        // [N, lddm] or null
    float* dgamma;        // [C] or null
    float* dbeta;         // [C] or null
    i64 ldx;              // elements between pixels of x
    i64 lddy;             // elements between pixels of dy
    i64 lddxIn;           // elements between pixels of dxIn
    i64 lddx;             // elements between pixels of dx
    i64 ldm;              // elements between samples of scale
    i64 lddm;             // elements between samples of dscale and dshift
    int N;                // samples
    int P;                // pixels of x per sample
    int C;                // channels
    int G;                // groups, divide C
    int W;                // width of x in pixels, for down2 and up2
    int slabs;            // slabs of channels
    int cs;               // channels per slab; the last may have fewer
    int slices;           // slices of pixels; for finalize: of the partial sums
    int rows;             // pixels per slice; the last may have fewer
    int act;              // _narrow: 0 none, 1 SiLU; param_grad: 1 adds to dgamma and dbeta, 0 overwrites
    int resample;         // _narrow: 0 keep, 1 down2, 2 up2
    int every;            // elements between groups in mean and rstd: 1, or 2 where they alternate
    u32* tickets;         // partial: [N, slabs], all 0 before and after, where it adds its slices; null: it leaves them
};
FIELD(GnBackwardParams, x, 0, 8);
FIELD(GnBackwardParams, dy, 8, 8);
FIELD(GnBackwardParams, dxIn, 16, 8);
FIELD(GnBackwardParams, gamma, 24, 8);
FIELD(GnBackwardParams, beta, 32, 8);
FIELD(GnBackwardParams, scale, 40, 8);
FIELD(GnBackwardParams, shift, 48, 8);
FIELD(GnBackwardParams, mean, 56, 8);
FIELD(GnBackwardParams, rstd, 64, 8);
FIELD(GnBackwardParams, ab, 72, 8);
FIELD(GnBackwardParams, partial, 80, 8);
FIELD(GnBackwardParams, sums, 88, 8);
FIELD(GnBackwardParams, k1, 96, 8);
FIELD(GnBackwardParams, k23, 104, 8);
FIELD(GnBackwardParams, dx, 112, 8);
FIELD(GnBackwardParams, dscale, 120, 8);
FIELD(GnBackwardParams, dshift, 128, 8);
FIELD(GnBackwardParams, dgamma, 136, 8);
FIELD(GnBackwardParams, dbeta, 144, 8);
FIELD(GnBackwardParams, ldx, 152, 8);
FIELD(GnBackwardParams, lddy, 160, 8);
FIELD(GnBackwardParams, lddxIn, 168, 8);
FIELD(GnBackwardParams, lddx, 176, 8);
FIELD(GnBackwardParams, ldm, 184, 8);
FIELD(GnBackwardParams, lddm, 192, 8);
FIELD(GnBackwardParams, N, 200, 4);
FIELD(GnBackwardParams, P, 204, 4);
FIELD(GnBackwardParams, C, 208, 4);
FIELD(GnBackwardParams, G, 212, 4);
FIELD(GnBackwardParams, W, 216, 4);
FIELD(GnBackwardParams, slabs, 220, 4);
FIELD(GnBackwardParams, cs, 224, 4);
FIELD(GnBackwardParams, slices, 228, 4);
FIELD(GnBackwardParams, rows, 232, 4);
FIELD(GnBackwardParams, act, 236, 4);
FIELD(GnBackwardParams, resample, 240, 4);
FIELD(GnBackwardParams, every, 244, 4);
FIELD(GnBackwardParams, tickets, 248, 8);
SIZE(GnBackwardParams, 256);

// gamma (1 + scale) of channel c of sample n.
__device__ __forceinline__ float gammaOf(const GnBackwardParams& p, int n, int c) {
    return __ldg(p.gamma + c) * (1.0f + (p.scale ? __ldg(p.scale + n * p.ldm + c) : 0.0f));
}
