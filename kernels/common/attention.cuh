// What the attention kernels share: strides, the copies of a tile of rows, base-2 exponentials, stores of accumulator tiles.
#pragma once
#include "mma.cuh"
#include "vec.cuh"

// Where row t of head h of sample n begins: sample n + head h + row t, in elements. One base pointer and three strides describe both
// orders of the qkv channels (legacy: head = 3 d; new: head = d), column ranges of wider rows, and token 0 alone (the pool's query).
struct AttentionStrides {
    i64 row, head, sample;
};
SIZE(AttentionStrides, 24);

struct AttnFwdParams {
    const void* q;            // [N, queries, heads, d] T by strides
    const void* k;            // [N, keys, heads, d] T by strides
    const void* v;            // as k
    void* o;                  // as q, own strides
    float* lse;               // [N, heads, queries] or null
    AttentionStrides qStrides, kvStrides, oStrides;   // elements
    int queries, keys, heads; // rows of Q, rows of K and V, heads
    int d;                    // elements per row and head
    float scaleLog2;          // d^-1/2 log2 e
    int reserved;             // 0
};
FIELD(AttnFwdParams, q, 0, 8);
FIELD(AttnFwdParams, k, 8, 8);
FIELD(AttnFwdParams, v, 16, 8);
FIELD(AttnFwdParams, o, 24, 8);
FIELD(AttnFwdParams, lse, 32, 8);
FIELD(AttnFwdParams, qStrides, 40, 24);
FIELD(AttnFwdParams, kvStrides, 64, 24);
FIELD(AttnFwdParams, oStrides, 88, 24);
FIELD(AttnFwdParams, queries, 112, 4);
FIELD(AttnFwdParams, keys, 116, 4);
FIELD(AttnFwdParams, heads, 120, 4);
FIELD(AttnFwdParams, d, 124, 4);
FIELD(AttnFwdParams, scaleLog2, 128, 4);
FIELD(AttnFwdParams, reserved, 132, 4);
SIZE(AttnFwdParams, 136);

struct AttnBwdParams {
    const void* q;            // [N, queries, heads, d] T by strides
    const void* k;            // [N, keys, heads, d] T by strides
    const void* v;            // as k
    const void* dO;           // as q, own strides
    void* dq;                 // as q, own strides; dq only
    void* dk;                 // as k, own strides; dkdv only
    void* dv;                 // as dk
    const float* stats;       // [N, heads, padded, 2] from attn_delta
    AttentionStrides qStrides, kvStrides, doStrides, dqStrides, dkvStrides;   // elements
    int queries, keys, heads; // rows of Q, rows of K and V, heads
    float scaleLog2, scale;   // d^-1/2 log2 e, d^-1/2
    int d;                    // elements per row and head
};
FIELD(AttnBwdParams, q, 0, 8);
FIELD(AttnBwdParams, k, 8, 8);
FIELD(AttnBwdParams, v, 16, 8);
FIELD(AttnBwdParams, dO, 24, 8);
FIELD(AttnBwdParams, dq, 32, 8);
FIELD(AttnBwdParams, dk, 40, 8);
FIELD(AttnBwdParams, dv, 48, 8);
FIELD(AttnBwdParams, stats, 56, 8);
FIELD(AttnBwdParams, qStrides, 64, 24);
FIELD(AttnBwdParams, kvStrides, 88, 24);
FIELD(AttnBwdParams, doStrides, 112, 24);
FIELD(AttnBwdParams, dqStrides, 136, 24);
FIELD(AttnBwdParams, dkvStrides, 160, 24);
FIELD(AttnBwdParams, queries, 184, 4);
FIELD(AttnBwdParams, keys, 188, 4);
FIELD(AttnBwdParams, heads, 192, 4);
FIELD(AttnBwdParams, scaleLog2, 196, 4);
FIELD(AttnBwdParams, scale, 200, 4);
FIELD(AttnBwdParams, d, 204, 4);
SIZE(AttnBwdParams, 208);

// A block's place: tile, head and sample, tiles of one head side by side so that they share K and V in L2.
struct AttnPlace {
    int tile, head, sample;
    __device__ __forceinline__ AttnPlace(int tiles, int heads) {
        const int of = (int)blockIdx.x / tiles;
        tile = (int)blockIdx.x % tiles, head = of % heads, sample = of / heads;
    }
};

template <class E> __device__ __forceinline__ E* attnRows(E* base, const AttentionStrides& s, const AttnPlace& at) {
    return base + at.sample * s.sample + at.head * s.head;
}

// 2^x and log2 x; results below 2^-126 are 0. ex2 of -inf is 0.
__device__ __forceinline__ float exp2Fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float log2Fast(float x) {
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#define ATTN_INFINITY __int_as_float(0x7f800000)
#define ATTN_LOG2E 1.44269504088896341f
#define ATTN_LN2 0.693147180559945309f

// Copies tiles of ROWS rows of D 16-bit elements from two matrices of equal strides (K and V, or Q and dO) or from one, 16 bytes per
// thread and pass, 128 threads; rows past the end and elements past d become zeros. A quarter warp writes 128 contiguous (swizzled) bytes: no bank conflicts.
template <int D, int ROWS> struct AttnLoader {
    enum { kChunks = D / 8, kAtOnce = 128 / kChunks, kRowBytes = 2 * D, kTileBytes = ROWS * kRowBytes };
    static_assert(kAtOnce % 8 == 0 && ROWS % kAtOnce == 0, "passes keep the swizzle");
    const u16 *one, *two;   // this thread's chunk of the next tile's first pass
    int ldOne, ldTwo;       // elements between rows
    int rows;               // rows from there to the end; may be negative; 0 past d
    u32 slot;               // its bytes in the tile

    __device__ __forceinline__ AttnLoader(const u16* first, i64 ldFirst, const u16* second, i64 ldSecond, int rowsLeft, int d) {
        const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
        ldOne = (int)ldFirst, ldTwo = (int)ldSecond;
        one = first + row * ldFirst + 8 * chunk, two = second + row * ldSecond + 8 * chunk;
        rows = 8 * chunk < d ? rowsLeft - row : 0;
        slot = swizzle<kRowBytes>(row, chunk);
    }

    __device__ __forceinline__ void issueOne(u32 tile) const {
#pragma unroll
        for (int i = 0; i < ROWS; i += kAtOnce) copyAsync(tile + slot + i * kRowBytes, one + (i64)i * ldOne, i < rows ? 16 : 0);
    }

    // The next ROWS rows of both, the second matrix's tile behind the first's.
    __device__ __forceinline__ void issue(u32 tile) {
        issueOne(tile);
#pragma unroll
        for (int i = 0; i < ROWS; i += kAtOnce)
            copyAsync(tile + kTileBytes + slot + i * kRowBytes, two + (i64)i * ldTwo, i < rows ? 16 : 0);
        one += (i64)ROWS * ldOne, two += (i64)ROWS * ldTwo, rows -= ROWS;
    }
};

// Fragments come from tiles by a lane's own address, at = tile + attnLane..., turned by the wanted chunk pair: 2 k + h = 2 k ^ h, so that
// the swizzled address of chunk pair k is that of pair 0 with k << 5 flipped. Tiles are aligned to their rows.
template <int D> __device__ __forceinline__ u32 attnLaneOfRows() {   // lane's row of 16, its half of the chunk pair
    const int lane = threadIdx.x & 31;
    return swizzle<2 * D>(lane & 15, lane >> 4);
}

template <int D> __device__ __forceinline__ u32 attnLaneOfColumns() {
    const int lane = threadIdx.x & 31;
    return swizzle<2 * D>((lane & 7) + 8 * (lane >> 4), (lane >> 3) & 1);
}

// A words of rows 16 j .. 16 j + 15, k = 16 k .. 16 k + 15; at from attnLaneOfRows.
template <int D> __device__ __forceinline__ void attnLoadA(u32 (&a)[4], u32 at, int j, int k) { loadMatrices(a, (at ^ (k << 5)) + j * 32 * D); }

// B words of columns 16 j .. 16 j + 15 (words 0, 1: the first eight), k as above, of a tile whose rows are the columns; attnLaneOfColumns.
template <int D> __device__ __forceinline__ void attnLoadB(u32 (&b)[4], u32 at, int j, int k) { loadMatrices(b, (at ^ (k << 5)) + j * 32 * D); }

// The same of a tile whose rows are k; attnLaneOfRows.
template <int D> __device__ __forceinline__ void attnLoadBTransposed(u32 (&b)[4], u32 at, int j, int k) {
    loadMatricesTransposed(b, (at ^ (j << 5)) + k * 32 * D);
}

// An accumulator of 16 x 16 J is the A operand of the next product once rounded to pairs: no shuffle.
template <class T> __device__ __forceinline__ void attnPack(u32 (&a)[4], const float (&left)[4], const float (&right)[4]) {
    a[0] = pack(left[0], left[1], T()), a[1] = pack(left[2], left[3], T());
    a[2] = pack(right[0], right[1], T()), a[3] = pack(right[2], right[3], T());
}

__device__ __forceinline__ void storeShared(u32 to, u32 w) { asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(w) : "memory"); }

__device__ __forceinline__ uint4 loadShared16(u32 from) {
    uint4 w;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];" : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w) : "r"(from) : "memory");
    return w;
}

// Rows of D: acc times scale[0] (rows g) and scale[1] (rows g + 8), rounded once, by way of the warp's own 16 rows of shared memory and
// 16-byte stores. `to` is row 0 of the warp, `rows` how many of its 16 exist, d how many of their D elements.
template <class T, int D> __device__ __forceinline__ void attnStoreRows(
    const float (&acc)[D / 8][4], float scale0, float scale1, u32 own, u16* to, i64 ld, int rows, int d) {
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    constexpr int kChunks = D / 8, kAtOnce = 32 / kChunks;
#pragma unroll
    for (int j = 0; j < D / 8; j++) {
        storeShared(own + swizzle<2 * D>(g, j) + 4 * t, pack(acc[j][0] * scale0, acc[j][1] * scale0, T()));
        storeShared(own + swizzle<2 * D>(g + 8, j) + 4 * t, pack(acc[j][2] * scale1, acc[j][3] * scale1, T()));
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 16; i += kAtOnce) {
        const int row = i + lane / kChunks, chunk = lane % kChunks;
        const uint4 w = loadShared16(own + swizzle<2 * D>(row, chunk));
        if (row < rows && 8 * chunk < d) store16(to + row * ld + 8 * chunk, w);
    }
}
