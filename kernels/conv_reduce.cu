// What convolutions need besides the products: ordered sums of slices, sums of columns (bias gradients), weights for input gradients.
//
// conv_reduce: y[m, k] = bias[k] + residual[m, k] + sum of partial[s, m, k] over slices s, ascending; the second launch of a convolution whose depth
//   is cut into slices. One thread per four channels. Traffic per pixel: 4 slices Kp + 4 K (bias) + (1 or 2) K b.
// conv_sum: out[i] (or out[i] +) = sum of partial[s, i] over slices, ascending. Traffic: 4 (slices + 1 or 2) count.
// conv_colsum: partial[s, k] = sum of y[m, k] over the rows of slice s; a block has 32 vectors of columns and 8 rows in flight. A thread adds
//   its rows ascending, then row 0's thread the eight in order. Traffic: M K b + 4 slices Kp.
// conv_flip: to[c, 2 - r, 2 - s, k] = w[k, r, s, c], columns k beyond K zero: the weights with which an input gradient is a convolution. Tiles of 32 x 32
//   through shared memory. Traffic: (K C + C Kw) taps b, Kw = K in whole 16 bytes.
//
// launch conv_reduce_{f32,f16,bf16}(ConvReduceParams): block 256; grid x = ceil(M Kp / 4 / 256); shared 0; partial, bias, residual, y 16-byte aligned,
//        ldr, ldy multiples of 4; M Kp / 4 below 2^31 - 1024; y overlaps only the residual, and that exactly.
// launch conv_sum_f32(ConvSumParams): block 256; grid x = ceil(count / 1024); shared 0; partial, out 16-byte aligned, stride a multiple of 4, count below 2^31 - 1024.
// launch conv_colsum_{f32,f16,bf16}(ConvColumnsParams): block 256; grid x = slices slabs, slabs = ceil(K / (32 V)), V = 4 for f32, 8 else; shared 0; y 16-byte aligned, ldy a
//        multiple of V; slices rows at least M; M at most 2^30.
// launch conv_flip_{f32,f16,bf16}(ConvFlipParams): block 256; grid x = taps ceil(K / 32) ceil(C / 32); shared 0.
// Budget: 64 registers, no spills; colsum 8.3 KiB, flip 4.1 KiB of static shared memory.
#include "common/four.cuh"

struct ConvReduceParams {
    const float* partial;   // [slices, M, Kp], Kp = K in whole eights
    const float* bias;      // [K] or null
    const void* residual;   // [M, K] T, row stride ldr, or null
    void* y;                // [M, K] T, row stride ldy
    i64 ldr, ldy;           // elements between pixels
    int M, K;               // pixels, channels
    int slices;             // of the depth
    int reserved;           // 0
};
FIELD(ConvReduceParams, partial, 0, 8);
FIELD(ConvReduceParams, bias, 8, 8);
FIELD(ConvReduceParams, residual, 16, 8);
FIELD(ConvReduceParams, y, 24, 8);
FIELD(ConvReduceParams, ldr, 32, 8);
FIELD(ConvReduceParams, ldy, 40, 8);
FIELD(ConvReduceParams, M, 48, 4);
FIELD(ConvReduceParams, K, 52, 4);
FIELD(ConvReduceParams, slices, 56, 4);
FIELD(ConvReduceParams, reserved, 60, 4);
SIZE(ConvReduceParams, 64);

struct ConvSumParams {
    const float* partial;   // [slices, stride]
    float* out;             // [count]
    i64 stride;             // elements between slices
    int count;              // of a slice that matter
    int slices, accumulate; // 1: out is added to, 0: replaced
    int reserved;           // 0
};
FIELD(ConvSumParams, partial, 0, 8);
FIELD(ConvSumParams, out, 8, 8);
FIELD(ConvSumParams, stride, 16, 8);
FIELD(ConvSumParams, count, 24, 4);
FIELD(ConvSumParams, slices, 28, 4);
FIELD(ConvSumParams, accumulate, 32, 4);
FIELD(ConvSumParams, reserved, 36, 4);
SIZE(ConvSumParams, 40);

struct ConvColumnsParams {
    const void* y;          // [M, K] T, row stride ldy
    float* partial;         // [slices, Kp]
    i64 ldy;                // elements between rows
    int M, K;               // rows, columns
    int rows, slabs;        // rows of a slice, slabs of 32 vectors of columns
};
FIELD(ConvColumnsParams, y, 0, 8);
FIELD(ConvColumnsParams, partial, 8, 8);
FIELD(ConvColumnsParams, ldy, 16, 8);
FIELD(ConvColumnsParams, M, 24, 4);
FIELD(ConvColumnsParams, K, 28, 4);
FIELD(ConvColumnsParams, rows, 32, 4);
FIELD(ConvColumnsParams, slabs, 36, 4);
SIZE(ConvColumnsParams, 40);

struct ConvFlipParams {
    const void* w;          // [K, taps, Cw] T
    void* to;               // [C, taps, Kw] T
    int K, C;               // filters, channels
    int Cw, Kw;             // in whole 16 bytes
    int taps;               // 1 or 9
    int reserved;           // 0
};
FIELD(ConvFlipParams, w, 0, 8);
FIELD(ConvFlipParams, to, 8, 8);
FIELD(ConvFlipParams, K, 16, 4);
FIELD(ConvFlipParams, C, 20, 4);
FIELD(ConvFlipParams, Cw, 24, 4);
FIELD(ConvFlipParams, Kw, 28, 4);
FIELD(ConvFlipParams, taps, 32, 4);
FIELD(ConvFlipParams, reserved, 36, 4);
SIZE(ConvFlipParams, 40);

template <class T> __device__ __forceinline__ void convReduce(const ConvReduceParams& p) {
    const int Kp = (p.K + 7) / 8 * 8, item = (int)(blockIdx.x * 256 + threadIdx.x), m = item / (Kp / 4), col = (item - m * (Kp / 4)) * 4;
    const int left = m < p.M ? p.K - col : 0;
    if (left <= 0) return;
    float sum[4] = {}, v[4];
    const auto add = [&]() {
#pragma unroll
        for (int i = 0; i < 4; i++) sum[i] += v[i];
    };
#pragma unroll 4
    for (int s = 0; s < p.slices; s++) {
        loadVec<true>(p.partial + ((i64)s * p.M + m) * Kp + col, 4, v);
        add();
    }
    if (p.bias != nullptr) {
        loadVec<false>(p.bias + col, left, v);
        add();
    }
    if (p.residual != nullptr) {
        loadFour((const T*)p.residual + m * p.ldr + col, left, v);
        add();
    }
    storeFour((T*)p.y + m * p.ldy + col, left, sum);
}

__device__ __forceinline__ void convSum(const ConvSumParams& p) {
    const int i = (int)(blockIdx.x * 256 + threadIdx.x) * 4, left = p.count - i;
    if (left <= 0) return;
    float sum[4] = {}, v[4];
#pragma unroll 4
    for (int s = 0; s < p.slices; s++) {
        loadVec<false>(p.partial + s * p.stride + i, left, v);
#pragma unroll
        for (int q = 0; q < 4; q++) sum[q] += v[q];
    }
    if (p.accumulate) {   // not by the read-only path: this kernel writes what it reads
        if (left >= 4) {
            const float4 w = *(const float4*)(p.out + i);
            sum[0] += w.x, sum[1] += w.y, sum[2] += w.z, sum[3] += w.w;
        } else {
#pragma unroll
            for (int q = 0; q < 3; q++)
                if (q < left) sum[q] += p.out[i + q];
        }
    }
    storeVec<false>(p.out + i, left, sum);
}

template <class T> __device__ __forceinline__ void convColumns(const ConvColumnsParams& p) {
    enum { V = Vec<T>::N };
    __shared__ float slots[8][33 * V];   // a word is left free after 32: lanes V apart, and neighbours, fall into different banks
    const int lane = threadIdx.x & 31, row = threadIdx.x >> 5, slab = (int)blockIdx.x % p.slabs, slice = (int)blockIdx.x / p.slabs;
    const int col = (slab * 32 + lane) * V, left = p.K - col, Kp = (p.K + 7) / 8 * 8;
    const int first = slice * p.rows, end = min(first + p.rows, p.M);
    float sum[V] = {}, v[V];
    const T* from = (const T*)p.y + first * p.ldy + col;
    if (left > 0) {
#pragma unroll 4
        for (int m = row; m < end - first; m += 8) {
            loadVec<false>(from + m * p.ldy, left, v);
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += v[i];
        }
    }
#pragma unroll
    for (int i = 0; i < V; i++) slots[row][lane * V + i + lane * V / 32] = sum[i];
    __syncthreads();

    // thread = column of the slab
    for (int c = threadIdx.x; c < 32 * V; c += 256) {
        if (slab * 32 * V + c >= Kp) continue;
        float total = 0.0f;
#pragma unroll
        for (int r = 0; r < 8; r++) total += slots[r][c + c / 32];
        p.partial[(i64)slice * Kp + slab * 32 * V + c] = total;
    }
}

template <class T> struct BitsOf { typedef u16 Type; };
template <> struct BitsOf<float> { typedef u32 Type; };

template <class T, class Bits = typename BitsOf<T>::Type> __device__ __forceinline__ void convFlip(const ConvFlipParams& p) {
    __shared__ u32 tile[32][33];
    const int lane = threadIdx.x & 31, row = threadIdx.x >> 5, tilesC = (p.C + 31) / 32, tilesK = (p.Kw + 31) / 32;
    const int tap = (int)blockIdx.x / (tilesC * tilesK), rest = (int)blockIdx.x - tap * tilesC * tilesK, k0 = rest / tilesC * 32, c0 = rest % tilesC * 32;
#pragma unroll
    for (int i = 0; i < 32; i += 8) {
        const int k = k0 + row + i, c = c0 + lane;
        if (c < p.C) tile[row + i][lane] = k < p.K ? ((const Bits*)p.w)[((i64)k * p.taps + tap) * p.Cw + c] : 0u;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 32; i += 8) {
        const int c = c0 + row + i, k = k0 + lane;
        if (c < p.C && k < p.Kw) ((Bits*)p.to)[((i64)c * p.taps + (p.taps - 1 - tap)) * p.Kw + k] = (Bits)tile[lane][row + i];
    }
}

#define KERNEL(name, Params, call) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ Params p) { call(p); }
KERNEL(conv_reduce_f32, ConvReduceParams, convReduce<float>)
KERNEL(conv_reduce_f16, ConvReduceParams, convReduce<f16>)
KERNEL(conv_reduce_bf16, ConvReduceParams, convReduce<bf16>)
KERNEL(conv_sum_f32, ConvSumParams, convSum)
KERNEL(conv_colsum_f32, ConvColumnsParams, convColumns<float>)
KERNEL(conv_colsum_f16, ConvColumnsParams, convColumns<f16>)
KERNEL(conv_colsum_bf16, ConvColumnsParams, convColumns<bf16>)
KERNEL(conv_flip_f32, ConvFlipParams, convFlip<float>)
KERNEL(conv_flip_f16, ConvFlipParams, convFlip<f16>)
KERNEL(conv_flip_bf16, ConvFlipParams, convFlip<bf16>)
