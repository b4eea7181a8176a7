// Parameters of the plain and earlier convolutions: 3x3, stride 1, padding 1, dense.
#pragma once
#include "mma.cuh"

struct ConvPlainParams {
    const void* x;       // [N, H, W, C] T
    const void* weights; // [K, 3, 3, C] T
    const float* bias;   // [K]
    void* y;             // [N, H, W, K] T
    int N, H, W, C, K;   // samples, height, width, channels of x and of y
    int reserved;        // 0
};
FIELD(ConvPlainParams, x, 0, 8);
FIELD(ConvPlainParams, weights, 8, 8);
FIELD(ConvPlainParams, bias, 16, 8);
FIELD(ConvPlainParams, y, 24, 8);
FIELD(ConvPlainParams, N, 32, 4);
FIELD(ConvPlainParams, H, 36, 4);
FIELD(ConvPlainParams, W, 40, 4);
FIELD(ConvPlainParams, C, 44, 4);
FIELD(ConvPlainParams, K, 48, 4);
FIELD(ConvPlainParams, reserved, 52, 4);
SIZE(ConvPlainParams, 56);
