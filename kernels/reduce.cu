// sum = x[0] + ... + x[n - 1] in f32, in one fixed order: two launches, no atomics, the same bits on every run.
//
// Stage 1, reduce_sum_T: slice s of kSlice = 4096 elements -> partial[s]. With V = Vec<T>::N elements to a vector, thread t adds, in this
// order, elements (256 j + t) V + i of the slice for j = 0, 1, ... and i = 0 .. V - 1 (f32: 4 vectors, f16 and bf16: 2); then the tree
// of reduce.cuh. Elements past n count as +0.
// Stage 2, reduce_finish_f32: thread t adds partial[t], partial[t + 256], ...; the same tree.
// Worst-case error: (16 + 5 + 3 + ceil(slices / 256) + 5 + 3) 2^-24 sum|x|; that is the longest chain of additions an element passes.
// Traffic: reads n elements and writes and reads ceil(n / 4096) f32.
//
// launch reduce_sum_{f32,f16,bf16}(SumParams): block 256; grid x = ceil(n / 4096), n >= 1; shared 0; x 16-byte aligned.
// launch reduce_finish_f32(FinishParams): block 256; grid x = 1; shared 0; count >= 0.
// Budget: 40 registers, no spills, 32 bytes of static shared memory.
#include "common/reduce.cuh"
#include "common/vec.cuh"

struct SumParams {
    const void* x;    // [n] T
    float* partial;   // [ceil(n / 4096)] sums of slices
    i64 n;            // elements
};
FIELD(SumParams, x, 0, 8);
FIELD(SumParams, partial, 8, 8);
FIELD(SumParams, n, 16, 8);
SIZE(SumParams, 24);

struct FinishParams {
    const float* partial;   // [count]
    float* sum;             // [1]
    i64 count;              // slices
};
FIELD(FinishParams, partial, 0, 8);
FIELD(FinishParams, sum, 8, 8);
FIELD(FinishParams, count, 16, 8);
SIZE(FinishParams, 24);

enum { kThreads = 256, kWarps = kThreads / 32, kSlice = 4096 };

template <class T, bool FULL> __device__ __forceinline__ float threadSum(const T* x, i64 left) {
    constexpr int N = Vec<T>::N, kVectors = kSlice / (kThreads * N), kApart = kThreads * N;
    float v[kVectors][N], sum = 0.0f;
#pragma unroll
    for (int j = 0; j < kVectors; j++) loadVec<FULL>(x + j * kApart, left - j * kApart, v[j]);
#pragma unroll
    for (int j = 0; j < kVectors; j++)
#pragma unroll
        for (int i = 0; i < N; i++) sum += v[j][i];
    return sum;
}

template <class T> __device__ __forceinline__ void reduceSum(const SumParams& p) {
    __shared__ float slots[kWarps];
    const i64 start = (i64)blockIdx.x * kSlice, own = threadIdx.x * Vec<T>::N;
    const T* x = (const T*)p.x + start + own;
    float sum = p.n - start >= kSlice ? threadSum<T, true>(x, 0) : threadSum<T, false>(x, p.n - start - own);
    sum = blockSum(sum, slots);
    if (threadIdx.x == 0) p.partial[blockIdx.x] = sum;
}

#define REDUCE_SUM(name, T) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ SumParams p) { reduceSum<T>(p); }
REDUCE_SUM(reduce_sum_f32, float)
REDUCE_SUM(reduce_sum_f16, f16)
REDUCE_SUM(reduce_sum_bf16, bf16)

extern "C" __global__ void __launch_bounds__(256, 4) reduce_finish_f32(const __grid_constant__ FinishParams p) {
    __shared__ float slots[kWarps];
    float sum = 0.0f;
    for (i64 s = threadIdx.x; s < p.count; s += kThreads) sum += p.partial[s];
    sum = blockSum(sum, slots);
    if (threadIdx.x == 0) *p.sum = sum;
}
