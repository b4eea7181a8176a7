// y[i] = a[i] + b[i]: f32 sum of the stored values, rounded once.
//
// Traffic: 3 n elements (reads a and b, writes y). One thread has four 16-byte loads in flight: two vectors of each input, 256 threads
// apart, so that every access of a warp is 512 contiguous bytes. Vec<T>::N = 4 (f32), 8 (f16, bf16).
// In place is fine: y may be a or b, each element is read and written by the same thread.
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

template <class T> __device__ __forceinline__ void eltwiseAdd(const AddParams& p) {
    constexpr int N = Vec<T>::N, kThreads = 256, kVectors = 2;
    const i64 first = ((i64)blockIdx.x * (kThreads * kVectors) + threadIdx.x) * N;
    const T *a = (const T*)p.a + first, *b = (const T*)p.b + first;
    const i64 left = p.n - first;
    float x[kVectors][N], z[kVectors][N];

    // load
#pragma unroll
    for (int v = 0; v < kVectors; v++) {
        loadVec(a + v * kThreads * N, left - v * kThreads * N, x[v]);
        loadVec(b + v * kThreads * N, left - v * kThreads * N, z[v]);
    }

    // add, store
#pragma unroll
    for (int v = 0; v < kVectors; v++) {
#pragma unroll
        for (int i = 0; i < N; i++) x[v][i] += z[v][i];
        storeVec((T*)p.y + first + v * kThreads * N, left - v * kThreads * N, x[v]);
    }
}

#define ELTWISE_ADD(name, T) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ AddParams p) { eltwiseAdd<T>(p); }
ELTWISE_ADD(eltwise_add_f32, float)
ELTWISE_ADD(eltwise_add_f16, f16)
ELTWISE_ADD(eltwise_add_bf16, bf16)
