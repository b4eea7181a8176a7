// Rows with a range of columns given and one value everywhere else.
//
//   pad_rows   y[r, c] = begin <= c < begin + count ? a[r, c - begin] : value. Gradients of slices of channels, and of one token of several (a row is
//              then a sample's tokens); rows brought to whole 16 bytes; with count = 0 a tensor of one value. y is not a.
//
// A thread takes V elements (16 bytes; _narrow: one) of 4 places 256 V apart. Vector q lies in row q / chunks, chunks = ceil(cols / V), by a
// multiplication that the host prepared. Exact: elements are copied. Traffic: rows (cols + count) b.
//
// launch pad_rows_{f32,f16,bf16}(PadParams): block 256; grid x = ceil(vectors / 1024); shared 0; begin and count multiples of 16 / sizeof(T), strides and
//        cols too unless rows = 1; a, y 16-byte aligned; 1 <= vectors < 2^31.
// launch pad_rows_narrow_{f32,f16,bf16}(PadParams): block 256; grid x = ceil(vectors / 1024); shared 0; any strides and alignment; vectors = elements.
// Budget: 64 registers, no spills, no shared memory. Deterministic: one writer per element.
#include "common/vec.cuh"

struct PadParams {
    const void* a;      // [rows, count] T; null if count = 0
    void* y;            // [rows, cols] T
    i64 lda, ldy;       // elements between rows
    i64 cols;           // elements of a row of y
    i64 begin, count;   // columns of y that a gives
    u32 vectors;        // rows chunks
    u32 chunks;         // vectors of a row
    u32 magic;          // floor(2^shift / chunks) + 1
    int shift;          // 31 + ceil(log2 chunks)
    float value;        // of the other columns
    int reserved;       // 0
};
FIELD(PadParams, a, 0, 8);
FIELD(PadParams, y, 8, 8);
FIELD(PadParams, lda, 16, 8);
FIELD(PadParams, ldy, 24, 8);
FIELD(PadParams, cols, 32, 8);
FIELD(PadParams, begin, 40, 8);
FIELD(PadParams, count, 48, 8);
FIELD(PadParams, vectors, 56, 4);
FIELD(PadParams, chunks, 60, 4);
FIELD(PadParams, magic, 64, 4);
FIELD(PadParams, shift, 68, 4);
FIELD(PadParams, value, 72, 4);
FIELD(PadParams, reserved, 76, 4);
SIZE(PadParams, 80);

enum { kThreads = 256, kPlaces = 4 };

template <class T, int V> __device__ __forceinline__ void padRows(const PadParams& p) {
    const u32 first = blockIdx.x * (kThreads * kPlaces) + threadIdx.x;
    float v[kPlaces][V];
    i64 row[kPlaces], col[kPlaces];

    // load
#pragma unroll
    for (int i = 0; i < kPlaces; i++) {
        const u32 q = first + i * kThreads, r = (u32)(((u64)q * p.magic) >> p.shift);
        row[i] = r, col[i] = (i64)(q - r * p.chunks) * V;
        const i64 at = col[i] - p.begin;
        const bool given = q < p.vectors && at >= 0 && at < p.count;
        const T* from = (const T*)p.a + row[i] * p.lda + at;
#pragma unroll
        for (int e = 0; e < V; e++) v[i][e] = p.value;
        if constexpr (V == 1) {
            if (given) v[i][0] = toFloat(*from);
        } else {
            if (given) loadVec<true>(from, V, v[i]);
        }
    }

    // store
#pragma unroll
    for (int i = 0; i < kPlaces; i++) {
        if (first + i * kThreads >= p.vectors) continue;
        T* to = (T*)p.y + row[i] * p.ldy + col[i];
        if constexpr (V == 1) *to = fromFloat(v[i][0], T());
        else storeVec<false>(to, p.cols - col[i], v[i]);
    }
}

#define PAD(name, T, V) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ PadParams p) { padRows<T, V>(p); }
PAD(pad_rows_f32, float, 4)
PAD(pad_rows_f16, f16, 8)
PAD(pad_rows_bf16, bf16, 8)
PAD(pad_rows_narrow_f32, float, 1)
PAD(pad_rows_narrow_f16, f16, 1)
PAD(pad_rows_narrow_bf16, bf16, 1)
