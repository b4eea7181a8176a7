// y[i] = a[i] + b[i]: f32 sum of the stored values, rounded once.
//
// Traffic: 3 n elements (reads a and b, writes y). One thread has four 16-byte loads in flight: two vectors of each input, 256 threads
// apart, so that every access of a warp is 512 contiguous bytes. Vec<T>::N = 4 (f32), 8 (f16, bf16).
// Not in place: inputs come through the read-only path.
//
// launch eltwise_add_{f32,f16,bf16}(AddParams): block 256; grid x = max(1, ceil(n / (2048 | 4096))), 2048 for f32, 4096 for f16 and bf16;
//        shared 0; a, b, y 16-byte aligned; 0 <= n < 2^42.
// Budget: 48 registers, no spills, no shared memory.
#include "common/vec.cuh"

struct AddParams {
    const void* a;   // [n] T
    const void* b;   // [n] T
    void* y;         // [n] T
    i64 n;           // elements
};
FIELD(AddParams, a, 0, 8);
FIELD(AddParams, b, 8, 8);
FIELD(AddParams, y, 16, 8);
FIELD(AddParams, n, 24, 8);
SIZE(AddParams, 32);

enum { kThreads = 256, kVectors = 2 };

template <class T, bool FULL> __device__ __forceinline__ void addVectors(const AddParams& p, i64 first, i64 left) {
    constexpr int N = Vec<T>::N, kApart = kThreads * N;
    const T *a = (const T*)p.a + first, *b = (const T*)p.b + first;
    T* y = (T*)p.y + first;
    float x[kVectors][N], z[kVectors][N];

    // load
#pragma unroll
    for (int v = 0; v < kVectors; v++) {
        loadVec<FULL>(a + v * kApart, left - v * kApart, x[v]);
        loadVec<FULL>(b + v * kApart, left - v * kApart, z[v]);
    }

    // add, store
#pragma unroll
    for (int v = 0; v < kVectors; v++) {
#pragma unroll
        for (int i = 0; i < N; i++) x[v][i] += z[v][i];
        storeVec<FULL>(y + v * kApart, left - v * kApart, x[v]);
    }
}

template <class T> __device__ __forceinline__ void eltwiseAdd(const AddParams& p) {
    constexpr int N = Vec<T>::N, kBlock = kThreads * kVectors * N;
    const i64 start = (i64)blockIdx.x * kBlock, own = threadIdx.x * N;
    if (p.n - start >= kBlock) addVectors<T, true>(p, start + own, 0);
    else addVectors<T, false>(p, start + own, p.n - start - own);
}

#define ELTWISE_ADD(name, T) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ AddParams p) { eltwiseAdd<T>(p); }
ELTWISE_ADD(eltwise_add_f32, float)
ELTWISE_ADD(eltwise_add_f16, f16)
ELTWISE_ADD(eltwise_add_bf16, bf16)
