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
    const float* mean;    // [N, G], from forward
    const float* rstd;    // [N, G], from forward
    const float* ab;      // [N, 2, C] a, then b, from forward
    float* partial;       // [N, slices, 2, C] sums of dz xhat, of dz
    float* sums;          // [N, 2, C] A, then B: the same over all pixels
    float* k1;            // [N, C]
    float* k23;           // [N, G, 2] k2, k3
    void* dx;             // [N P, lddx] T
    float* dscale;        // [N, lddm] or null
    float* dshift;        // [N, lddm] or null
    float* dgamma;        // [C]
    float* dbeta;         // [C]
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
    int act;              // _narrow: 0 none, 1 SiLU
    int resample;         // _narrow: 0 keep, 1 down2, 2 up2
    int accumulate;       // param_grad: 1 adds to dgamma and dbeta, 0 overwrites
};
FIELD(GnBackwardParams, x, 0, 8);
FIELD(GnBackwardParams, dy, 8, 8);
FIELD(GnBackwardParams, dxIn, 16, 8);
FIELD(GnBackwardParams, gamma, 24, 8);
FIELD(GnBackwardParams, beta, 32, 8);
FIELD(GnBackwardParams, scale, 40, 8);
FIELD(GnBackwardParams, mean, 48, 8);
FIELD(GnBackwardParams, rstd, 56, 8);
FIELD(GnBackwardParams, ab, 64, 8);
FIELD(GnBackwardParams, partial, 72, 8);
FIELD(GnBackwardParams, sums, 80, 8);
FIELD(GnBackwardParams, k1, 88, 8);
FIELD(GnBackwardParams, k23, 96, 8);
FIELD(GnBackwardParams, dx, 104, 8);
FIELD(GnBackwardParams, dscale, 112, 8);
FIELD(GnBackwardParams, dshift, 120, 8);
FIELD(GnBackwardParams, dgamma, 128, 8);
FIELD(GnBackwardParams, dbeta, 136, 8);
FIELD(GnBackwardParams, ldx, 144, 8);
FIELD(GnBackwardParams, lddy, 152, 8);
FIELD(GnBackwardParams, lddxIn, 160, 8);
FIELD(GnBackwardParams, lddx, 168, 8);
FIELD(GnBackwardParams, ldm, 176, 8);
FIELD(GnBackwardParams, lddm, 184, 8);
FIELD(GnBackwardParams, N, 192, 4);
FIELD(GnBackwardParams, P, 196, 4);
FIELD(GnBackwardParams, C, 200, 4);
FIELD(GnBackwardParams, G, 204, 4);
FIELD(GnBackwardParams, W, 208, 4);
FIELD(GnBackwardParams, slabs, 212, 4);
FIELD(GnBackwardParams, cs, 216, 4);
FIELD(GnBackwardParams, slices, 220, 4);
FIELD(GnBackwardParams, rows, 224, 4);
FIELD(GnBackwardParams, act, 228, 4);
FIELD(GnBackwardParams, resample, 232, 4);
FIELD(GnBackwardParams, accumulate, 236, 4);
SIZE(GnBackwardParams, 240);
