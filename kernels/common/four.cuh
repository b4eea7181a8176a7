// Four neighbouring elements of any type, as bits or as f32 values: 16 bytes of f32, 8 of f16 and bf16. Elements past `left` are 0 and not read, or
// not written. Aligned to the four where left >= 4.
#pragma once
#include "vec.cuh"

__device__ __forceinline__ uint2 loadBits(const u16* from, int left) {
    if (left >= 4) return __ldg((const uint2*)from);
    uint2 v = make_uint2(0, 0);
    if (left > 0) v.x = from[0];
    if (left > 1) v.x |= (u32)from[1] << 16;
    if (left > 2) v.y = from[2];
    return v;
}

__device__ __forceinline__ void loadFour(const float* from, int left, float (&v)[4]) { loadVec<false>(from, left, v); }

template <class T> __device__ __forceinline__ void loadFour(const T* from, int left, float (&v)[4]) {
    const uint2 w = loadBits((const u16*)from, left);
    unpack(w.x, v[0], v[1], T()), unpack(w.y, v[2], v[3], T());
}

__device__ __forceinline__ void storeFour(float* to, int left, const float (&v)[4]) { storeVec<false>(to, left, v); }

template <class T> __device__ __forceinline__ void storeFour(T* to, int left, const float (&v)[4]) {
    if (left >= 4) {
        *(uint2*)to = make_uint2(pack(v[0], v[1], T()), pack(v[2], v[3], T()));
    } else {
#pragma unroll
        for (int i = 0; i < 3; i++)
            if (i < left) to[i] = fromFloat(v[i], T());
    }
}
