// Elementwise operations on rows of any stride, so that a tensor may be a range of another's columns. f32 inside, rounded once.
//
//   silu      y = a sigmoid(a)                 silu_grad  y = b s (1 + a (1 - s)), s = sigmoid(a), b = dy
//   relu      y = max(a, 0)                    relu_grad  y = a > 0 ? b : 0, b = dy
//   scale     y = factor a                     sum        y = a + b (a residual)
//   copy      y = a: into or out of a range of columns (concatenation, slices)
//   cast      y = a in another type: between f32 and a storage type; eltwise_cast_f16 makes f16 of f32, eltwise_cast_f16_f32 f32 of f16
// a, b, y [rows, cols] T with row strides lda, ldb, ldy. A dense tensor is one row of all its elements. ldb = 0 repeats the first
// row of b, as positions are added to tokens. In place ok: y may be a or b (not for cast).
//
// A thread takes V elements (16 bytes; _narrow: one) of 4 (one input) or 2 (two inputs) places 256 V apart: 64 bytes in flight per thread.
// Vector q lies in row q / chunks, chunks = ceil(cols / V), by a multiplication that the host prepared.
// cast takes 4 elements of 4 places. Traffic, n = rows cols: 2 n b with one input, 3 n b with two; cast 6 n.
//
// launch eltwise_{silu,relu,scale,copy}_{f32,f16,bf16}(EltwiseRowsParams): block 256; grid x = ceil(vectors / 1024); shared 0; strides and
//        cols multiples of 16 / sizeof(T) unless rows = 1; a, b, y 16-byte aligned; 1 <= vectors < 2^31.
// launch eltwise_{silu_grad,relu_grad,sum}_{f32,f16,bf16}(EltwiseRowsParams): block 256; grid x = ceil(vectors / 512); shared 0; the rest as above.
// launch eltwise_{silu,relu,scale,copy,silu_grad,relu_grad,sum}_narrow_{f32,f16,bf16}(EltwiseRowsParams): block 256; grid x = ceil(vectors / 1024) or
//        ceil(vectors / 512) as above; shared 0; any strides and alignment; vectors = elements.
// launch eltwise_cast_{f16,bf16,f16_f32,bf16_f32}(EltwiseRowsParams): block 256; grid x = ceil(vectors / 1024); shared 0; strides and cols multiples
//        of 4 unless rows = 1; f32 16-byte, the other 8-byte aligned.
// launch eltwise_cast_narrow_{f16,bf16,f16_f32,bf16_f32}(EltwiseRowsParams): block 256; grid x = ceil(vectors / 1024); shared 0; vectors = elements.
// Budget: 64 registers, no spills, no shared memory. Deterministic: one writer per element.
#include "common/activation.cuh"
#include "common/own.cuh"

struct EltwiseRowsParams {
    const void* a;       // [rows, cols] T
    const void* b;       // [rows, cols] T where there is a second input
    void* y;             // [rows, cols] T
    i64 lda, ldb, ldy;   // elements between rows
    i64 cols;            // elements of a row
    u32 vectors;         // rows chunks
    u32 chunks;          // vectors of a row
    u32 magic;           // floor(2^shift / chunks) + 1
    int shift;           // 31 + ceil(log2 chunks)
    float factor;        // of scale
    int whole;           // 1: cols is a multiple of V
};
FIELD(EltwiseRowsParams, a, 0, 8);
FIELD(EltwiseRowsParams, b, 8, 8);
FIELD(EltwiseRowsParams, y, 16, 8);
FIELD(EltwiseRowsParams, lda, 24, 8);
FIELD(EltwiseRowsParams, ldb, 32, 8);
FIELD(EltwiseRowsParams, ldy, 40, 8);
FIELD(EltwiseRowsParams, cols, 48, 8);
FIELD(EltwiseRowsParams, vectors, 56, 4);
FIELD(EltwiseRowsParams, chunks, 60, 4);
FIELD(EltwiseRowsParams, magic, 64, 4);
FIELD(EltwiseRowsParams, shift, 68, 4);
FIELD(EltwiseRowsParams, factor, 72, 4);
FIELD(EltwiseRowsParams, whole, 76, 4);
SIZE(EltwiseRowsParams, 80);

enum { kThreads = 256 };

// ---- operations on elements

struct Silu {
    enum { kInputs = 1 };
    template <class T> static __device__ __forceinline__ float of(float a, float, float) { return a * sigmoid<T>(a); }
};
struct SiluGrad {
    enum { kInputs = 2 };
    template <class T> static __device__ __forceinline__ float of(float a, float b, float) {
        const float s = sigmoid<T>(a);
        return b * (s * fmaf(a, 1.0f - s, 1.0f));
    }
};
struct Relu {
    enum { kInputs = 1 };
    template <class T> static __device__ __forceinline__ float of(float a, float, float) { return a < 0.0f ? 0.0f : a; }   // NaN stays NaN
};
struct ReluGrad {
    enum { kInputs = 2 };
    template <class T> static __device__ __forceinline__ float of(float a, float b, float) { return a > 0.0f ? b : 0.0f; }
};
struct Scale {
    enum { kInputs = 1 };
    template <class T> static __device__ __forceinline__ float of(float a, float, float factor) { return factor * a; }
};
struct Copy {
    enum { kInputs = 1 };
    template <class T> static __device__ __forceinline__ float of(float a, float, float) { return a; }
};
struct Sum {
    enum { kInputs = 2 };
    template <class T> static __device__ __forceinline__ float of(float a, float b, float) { return a + b; }
};

// ---- V elements at a place

template <int V, bool FULL, class T> __device__ __forceinline__ void load(const T* from, i64 left, float (&v)[V]) {
    if constexpr (V == 1) v[0] = toFloat(*from);
    else loadOwn<FULL>(from, left, v);
}

template <int V, bool FULL, class T> __device__ __forceinline__ void store(T* to, i64 left, const float (&v)[V]) {
    if constexpr (V == 1) *to = fromFloat(v[0], T());
    else storeVec<FULL>(to, left, v);
}

template <class Op, class T, int V, bool FULL> __device__ __forceinline__ void rows(const EltwiseRowsParams& p) {
    constexpr int kPlaces = Op::kInputs == 1 ? 4 : 2;
    const u32 first = blockIdx.x * (kThreads * kPlaces) + threadIdx.x;
    float a[kPlaces][V], b[kPlaces][V];
    i64 left[kPlaces], row[kPlaces], col[kPlaces];

    // load
#pragma unroll
    for (int i = 0; i < kPlaces; i++) {
        const u32 q = first + i * kThreads, r = (u32)(((u64)q * p.magic) >> p.shift);
        row[i] = r, col[i] = (i64)(q - r * p.chunks) * V;
        left[i] = FULL ? V : q < p.vectors ? p.cols - col[i] : 0;
        if (!FULL && left[i] <= 0) continue;
        load<V, FULL>((const T*)p.a + row[i] * p.lda + col[i], left[i], a[i]);
        if (Op::kInputs == 2) load<V, FULL>((const T*)p.b + row[i] * p.ldb + col[i], left[i], b[i]);
    }

    // compute, store
#pragma unroll
    for (int i = 0; i < kPlaces; i++) {
        if (!FULL && left[i] <= 0) continue;
#pragma unroll
        for (int e = 0; e < V; e++) a[i][e] = Op::template of<T>(a[i][e], Op::kInputs == 2 ? b[i][e] : 0.0f, p.factor);
        store<V, FULL>((T*)p.y + row[i] * p.ldy + col[i], left[i], a[i]);
    }
}

template <class Op, class T, int V> __device__ __forceinline__ void eltwiseRows(const EltwiseRowsParams& p) {
    constexpr u32 kBlock = kThreads * (Op::kInputs == 1 ? 4 : 2);
    if (p.whole && p.vectors - blockIdx.x * kBlock >= kBlock) rows<Op, T, V, true>(p);
    else rows<Op, T, V, false>(p);
}

// ---- cast: four elements are 16 bytes of f32 and 8 of a storage type

template <int V, class T> __device__ __forceinline__ void loadSome(const T* from, i64 left, float (&v)[4]) {
    if constexpr (V == 1) v[0] = toFloat(*from);
    else if constexpr (sizeof(T) == 4) loadOwn<false>(from, left, v);
    else if (left >= 4) {
        const uint2 w = *(const uint2*)from;
        unpack(w.x, v[0], v[1], T()), unpack(w.y, v[2], v[3], T());
    }
    else
#pragma unroll
        for (int i = 0; i < 4; i++) v[i] = i < left ? toFloat(from[i]) : 0.0f;
}

template <int V, class T> __device__ __forceinline__ void storeSome(T* to, i64 left, const float (&v)[4]) {
    if constexpr (V == 1) *to = fromFloat(v[0], T());
    else if constexpr (sizeof(T) == 4) storeVec<false>(to, left, v);
    else if (left >= 4) *(uint2*)to = make_uint2(pack(v[0], v[1], T()), pack(v[2], v[3], T()));
    else
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < left) to[i] = fromFloat(v[i], T());
}

template <class From, class To, int V> __device__ __forceinline__ void cast(const EltwiseRowsParams& p) {
    const u32 first = blockIdx.x * (kThreads * 4) + threadIdx.x;
    float a[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const u32 q = first + i * kThreads, r = (u32)(((u64)q * p.magic) >> p.shift);
        const i64 col = (i64)(q - r * p.chunks) * V;
        if (q < p.vectors) loadSome<V>((const From*)p.a + r * p.lda + col, p.cols - col, a[i]);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const u32 q = first + i * kThreads, r = (u32)(((u64)q * p.magic) >> p.shift);
        const i64 col = (i64)(q - r * p.chunks) * V;
        if (q < p.vectors) storeSome<V>((To*)p.y + r * p.ldy + col, p.cols - col, a[i]);
    }
}

#define ELTWISE(name, Op) \
    ELTWISE_TYPE(name##_f32, Op, float, 4) ELTWISE_TYPE(name##_f16, Op, f16, 8) ELTWISE_TYPE(name##_bf16, Op, bf16, 8) \
    ELTWISE_TYPE(name##_narrow_f32, Op, float, 1) ELTWISE_TYPE(name##_narrow_f16, Op, f16, 1) ELTWISE_TYPE(name##_narrow_bf16, Op, bf16, 1)
#define ELTWISE_TYPE(name, Op, T, V) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ EltwiseRowsParams p) { eltwiseRows<Op, T, V>(p); }
ELTWISE(eltwise_silu, Silu)
ELTWISE(eltwise_silu_grad, SiluGrad)
ELTWISE(eltwise_relu, Relu)
ELTWISE(eltwise_relu_grad, ReluGrad)
ELTWISE(eltwise_scale, Scale)
ELTWISE(eltwise_copy, Copy)
ELTWISE(eltwise_sum, Sum)

#define CAST(name, From, To) CAST_TYPE(eltwise_cast_##name, From, To, 4) CAST_TYPE(eltwise_cast_narrow_##name, From, To, 1)
#define CAST_TYPE(name, From, To, V) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ EltwiseRowsParams p) { cast<From, To, V>(p); }
CAST(f16, float, f16)
CAST(bf16, float, bf16)
CAST(f16_f32, f16, float)
CAST(bf16_f32, bf16, float)
