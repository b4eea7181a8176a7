// Asynchronous copies, matrix fragments and tensor-core products of f16 and bf16 (sm_80), and the one swizzle of shared tiles.
//
// Fragments of m16n8k16, lane l, g = l / 4, t = l % 4 (a word holds two neighbouring k, or columns of C):
//   A word r: row g + 8 (r & 1), k 2t + 8 (r >> 1)    B word r: k 2t + 8 r, column g    C float r: row g + 8 (r >> 1), column 2t + (r & 1)
#pragma once
#include "types.cuh"

// Shared addresses are 32 bits.
__device__ __forceinline__ u32 sharedAddress(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Byte offset of 16-byte chunk c of a row, in a tile of rows of ROW_BYTES. Eight neighbouring rows at one chunk, which is a phase of
// ldmatrix, fall into eight different groups of four banks. Rows of 128 bytes (or multiples) all begin in bank 0: row & 7 turns the chunk.
// Rows of 64 bytes begin in banks 0 and 16 in turn: every second row turns it. Stores and loads both come through here.
template <int ROW_BYTES> __device__ __forceinline__ u32 swizzle(int row, int chunk) {
    static_assert(ROW_BYTES == 64 || ROW_BYTES % 128 == 0, "rows of 64 bytes or multiples of 128");
    return (u32)(row * ROW_BYTES + ((chunk ^ (ROW_BYTES == 64 ? (row >> 1) & 3 : row & 7)) << 4));
}

// Copies `bytes` (0 to 16) to 16 bytes of shared memory and fills the rest with zeros; bytes = 0 reads nothing. Both 16-byte aligned.
__device__ __forceinline__ void copyAsync(u32 to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

__device__ __forceinline__ void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most PENDING of this thread's newest groups are under way. Other threads' copies need a barrier after it.
template <int PENDING> __device__ __forceinline__ void waitCopies() { asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory"); }

// Four 8x8 matrices of 16-bit elements: lanes 8 j .. 8 j + 7 give the row addresses of matrix j, which arrives in r[j].
__device__ __forceinline__ void loadMatrices(u32 (&r)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

// The same, each matrix transposed.
__device__ __forceinline__ void loadMatricesTransposed(u32 (&r)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

// d += a b over 16 of k, f32 sums. The last argument names the type.
__device__ __forceinline__ void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, f16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, bf16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// d = c + a b.
__device__ __forceinline__ void multiply(float (&d)[4], const float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, f16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}

__device__ __forceinline__ void multiply(float (&d)[4], const float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, bf16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}
