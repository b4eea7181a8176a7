// What the attention kernels without tensor cores share: f32 tiles in shared memory, their copies, dot products and row updates.
//
// A block of 128 threads works on 32 rows; thread (ty, tx) = (thread / 8, thread % 8) on rows ty and ty + 16, so that all 8 threads of a
// row lie in one warp: weights pass from a thread to its row through shared memory with __syncwarp alone.
// Tiles hold rows of D floats in chunks of 16 bytes; chunk c of row r lies at c ^ (r / R & 7), where thread tx reads rows R tx + j: the
// eight threads of a row then hit eight different groups of banks.
#pragma once
#include "attention.cuh"

// D: padded row length; EXACT: rows are f32, d = D and everything is 16-byte aligned. Else T, any d <= D, any alignment.
template <class T, int D, bool EXACT> struct AttnTile {
    static __device__ __forceinline__ int at(int row, int chunk, int rowsPerThread) { return row * D + 4 * (chunk ^ (row / rowsPerThread & 7)); }

    // Rows first .. first + ROWS - 1 into a tile, zeros past the end and past d.
    template <int ROWS, int PER_THREAD> static __device__ __forceinline__ void load(float* tile, const T* from, i64 ld, int first, int rowsAll, int d) {
        if (EXACT) {
            constexpr int kChunks = D / 4;
#pragma unroll
            for (int i = 0; i < ROWS * kChunks; i += 128) {
                const int row = (i + (int)threadIdx.x) / kChunks, chunk = (i + (int)threadIdx.x) % kChunks;
                const bool exists = first + row < rowsAll;
                copyAsync(sharedAddress(tile + at(row, chunk, PER_THREAD)), from + (first + row) * ld + 4 * chunk, exists ? 16 : 0);
            }
        } else {   // element by element, neighbouring threads on neighbouring elements
#pragma unroll 4
            for (int i = threadIdx.x; i < ROWS * D; i += 128) {
                const int row = i / D, e = i % D;
                const bool exists = first + row < rowsAll && e < d;
                tile[at(row, e / 4, PER_THREAD) + e % 4] = exists ? toFloat(from[(first + row) * ld + e]) : 0.0f;
            }
        }
    }

    // sum[i][j] += row ty + 16 i of a . row PER_THREAD tx + j of b.
    template <int PER_THREAD> static __device__ __forceinline__ void dots(float (&sum)[2][PER_THREAD], const float* a, const float* b, int d) {
        const int ty = threadIdx.x >> 3, tx = threadIdx.x & 7, chunks = EXACT ? D / 4 : (d + 3) / 4;
#pragma unroll 4
        for (int c = 0; c < chunks; c++) {
            const float4 x[2] = {*(const float4*)(a + at(ty, c, 1)), *(const float4*)(a + at(ty + 16, c, 1))};
#pragma unroll
            for (int j = 0; j < PER_THREAD; j++) {
                const float4 y = *(const float4*)(b + (PER_THREAD * tx + j) * D + 4 * (c ^ tx));
#pragma unroll
                for (int i = 0; i < 2; i++)
                    sum[i][j] = fmaf(x[i].w, y.w, fmaf(x[i].z, y.z, fmaf(x[i].y, y.y, fmaf(x[i].x, y.x, sum[i][j]))));
            }
        }
    }

    // sum[i][c] += weights[ty + 16 i][k] times chunk tx + 8 c of row k of b, over the 8 PER_THREAD rows of b.
    template <int PER_THREAD> static __device__ __forceinline__ void addRows(float4 (&sum)[2][D / 32], const float* weights, const float* b, int d) {
        constexpr int kCols = 8 * PER_THREAD;
        const int ty = threadIdx.x >> 3, tx = threadIdx.x & 7;
#pragma unroll 2
        for (int k = 0; k < kCols; k += 4) {
            const float4 p[2] = {*(const float4*)(weights + ty * kCols + k), *(const float4*)(weights + (ty + 16) * kCols + k)};
#pragma unroll
            for (int e = 0; e < 4; e++)
#pragma unroll
                for (int c = 0; c < D / 32; c++) {
                    if (!EXACT && 32 * c >= d) continue;
                    const float4 y = *(const float4*)(b + at(k + e, tx + 8 * c, PER_THREAD));
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        const float w = e == 0 ? p[i].x : e == 1 ? p[i].y : e == 2 ? p[i].z : p[i].w;
                        sum[i][c].x = fmaf(w, y.x, sum[i][c].x), sum[i][c].y = fmaf(w, y.y, sum[i][c].y);
                        sum[i][c].z = fmaf(w, y.z, sum[i][c].z), sum[i][c].w = fmaf(w, y.w, sum[i][c].w);
                    }
                }
        }
    }

    // The thread's PER_THREAD neighbouring weights of a row, conflict-free.
    template <int PER_THREAD> static __device__ __forceinline__ void putWeights(float* weights, int row, const float (&w)[PER_THREAD]) {
        float* const to = weights + row * 8 * PER_THREAD + PER_THREAD * ((int)threadIdx.x & 7);
        if constexpr (PER_THREAD == 4) *(float4*)to = make_float4(w[0], w[1], w[2], w[3]);
        else if constexpr (PER_THREAD == 2) *(float2*)to = make_float2(w[0], w[1]);
        else *to = w[0];
    }

    // Rows ty and ty + 16 times factor[i]; rows past the end and elements past d are not stored. `own`: a tile of 32 rows of which this
    // warp alone uses its rows; needed unless EXACT.
    static __device__ __forceinline__ void store(const float4 (&sum)[2][D / 32], const float (&factor)[2], float* own, T* to, i64 ld, int rows, int d) {
        const int ty = threadIdx.x >> 3, tx = threadIdx.x & 7, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int c = 0; c < D / 32; c++) {
                const int row = ty + 16 * i;
                const float4 w = make_float4(sum[i][c].x * factor[i], sum[i][c].y * factor[i], sum[i][c].z * factor[i], sum[i][c].w * factor[i]);
                if constexpr (!EXACT) *(float4*)(own + row * D + 4 * (tx + 8 * c)) = w;
                else if (row < rows)
                    store16(to + row * ld + 4 * (tx + 8 * c), make_uint4(__float_as_uint(w.x), __float_as_uint(w.y), __float_as_uint(w.z), __float_as_uint(w.w)));
            }
        if constexpr (!EXACT) {
            __syncwarp();
            for (int r = 0; r < 8; r++) {
                const int row = 4 * warp + (r & 3) + 16 * (r >> 2);
                for (int e = lane; e < d && row < rows; e += 32) to[row * ld + e] = fromFloat(own[row * D + e], T());
            }
        }
    }
};
