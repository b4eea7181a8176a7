// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) and standard normals from its words: the same integers, bit for bit, as
// AdmNative.Core.Philox, and the formula of AdmNative.Diffusion.PhiloxNoise.
#pragma once
#include "types.cuh"

// Four words for one key and counter.
__device__ __forceinline__ uint4 philox(uint4 c, u32 key0, u32 key1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const u64 a = (u64)0xD2511F53u * c.x, b = (u64)0xCD9E8D57u * c.z;
        c = make_uint4((u32)(b >> 32) ^ c.y ^ key0, (u32)b, (u32)(a >> 32) ^ c.w ^ key1, (u32)a);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return c;
}

// Box-Muller: u1 = fma(float(r0), 2^-32, 2^-33) in (0, 1], u2 = float(r1 >> 8) 2^-24 in [0, 1);
// z0 = sqrt(-2 ln u1) cos(2 pi u2), z1 = sqrt(-2 ln u1) sin(2 pi u2).
// Error against exact arithmetic on the same u1, u2: logf 1 ulp, halved by the root, sqrtf and the product half an ulp each, sincospif
// 2 ulp; together at most 2^-21 of |z|.
__device__ __forceinline__ void normals(u32 r0, u32 r1, float& z0, float& z1) {
    const float u1 = fmaf(__uint2float_rn(r0), 0x1p-32f, 0x1p-33f);
    const float halfTurns = __uint2float_rn(r1 >> 8) * 0x1p-23f;   // 2 u2, exact
    const float radius = sqrtf(-2.0f * logf(u1));
    float sine, cosine;
    sincospif(halfTurns, &sine, &cosine);
    z0 = radius * cosine;
    z1 = radius * sine;
}
