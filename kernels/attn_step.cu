// An earlier version of attn_fwd.cu, kept for comparison: tensor cores and online softmax, but one stage of keys, rows of shared memory as they
// lie in global memory (no swizzle), and every tile rescales. f16 and bf16, d = 64. The formula is that of attn_fwd.cu.
//
// A block of 4 warps makes 64 rows of O; Q is read through the keys' place before the first tile. Per tile: copy, wait, barrier, products,
// barrier. Rows of 128 bytes all begin in bank 0, so that the eight rows of an ldmatrix phase meet in four banks: eight passes for one.
// What the next version gained: no bank conflicts (the swizzle of mma.cuh), one barrier per tile instead of two, copies that run during
// the products, and rescaling only where a maximum rises.
// Traffic as attn_fwd.cu. mma: 4 d per block and key tile; barriers: 2 per tile + 2.
//
// launch attn_step_fwd_d64_{f16,bf16}(AttnFwdParams): block 128; grid x = ceil(queries / 64) heads N; shared 16384; as attn_fwd.cu; d = 64.
// Budget, no spills: 168 registers.
#include "common/attention.cuh"

enum { kD = 64, kTile = 64, kRow = 2 * kD, kTileBytes = kTile * kRow };

// 64 rows of 64, zeros past the end.
__device__ __forceinline__ void stepLoad(u32 tile, const u16* from, i64 ld, int rows) {
#pragma unroll
    for (int i = 0; i < kTile; i += 16) {
        const int row = i + (int)threadIdx.x / 8, chunk = (int)threadIdx.x % 8;
        copyAsync(tile + row * kRow + 16 * chunk, from + row * ld + 8 * chunk, row < rows ? 16 : 0);
    }
}

template <class T> __device__ __forceinline__ void attnStep(const AttnFwdParams& p) {
    extern __shared__ __align__(256) unsigned char place[];
    const AttnPlace at((p.queries - 1) / 64 + 1, p.heads);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int first = at.tile * 64, tiles = (p.keys - 1) / kTile + 1;
    const u32 keys = sharedAddress(place), values = keys + kTileBytes;
    const u32 ofRows = (lane & 15) * kRow + 16 * (lane >> 4), ofColumns = ((lane & 7) + 8 * (lane >> 4)) * kRow + 16 * ((lane >> 3) & 1);

    stepLoad(keys, attnRows((const u16*)p.q, p.qStrides, at) + first * p.qStrides.row, p.qStrides.row, p.queries - first);
    commitCopies();
    waitCopies<0>();
    __syncthreads();
    u32 a[kD / 16][4];
#pragma unroll
    for (int c = 0; c < kD / 16; c++) loadMatrices(a[c], keys + ofRows + warp * 16 * kRow + 32 * c);
    __syncthreads();

    float o[kD / 8][4] = {}, m[2] = {-ATTN_INFINITY, -ATTN_INFINITY}, sum[2] = {};
    for (int tile = 0; tile < tiles; tile++) {
        const int left = p.keys - tile * kTile;
        stepLoad(keys, attnRows((const u16*)p.k, p.kvStrides, at) + tile * kTile * p.kvStrides.row, p.kvStrides.row, left);
        stepLoad(values, attnRows((const u16*)p.v, p.kvStrides, at) + tile * kTile * p.kvStrides.row, p.kvStrides.row, left);
        commitCopies();
        waitCopies<0>();
        __syncthreads();

        // scores
        float s[kTile / 8][4] = {};
#pragma unroll
        for (int c = 0; c < kD / 16; c++)
#pragma unroll
            for (int j = 0; j < kTile / 16; j++) {
                u32 b[4];
                loadMatrices(b, keys + ofColumns + j * 16 * kRow + 32 * c);
                multiply(s[2 * j], a[c], b[0], b[1], T());
                multiply(s[2 * j + 1], a[c], b[2], b[3], T());
            }

        // softmax so far
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float top = -ATTN_INFINITY;
#pragma unroll
            for (int j = 0; j < kTile / 8; j++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) {
                    if (8 * j + 2 * t + (e & 1) >= left) s[j][e] = -ATTN_INFINITY;
                    top = fmaxf(top, s[j][e]);
                }
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
            const float next = fmaxf(m[h], top), rescale = exp2Fast((m[h] - next) * p.scaleLog2);
            m[h] = next, sum[h] *= rescale;
#pragma unroll
            for (int j = 0; j < kTile / 8; j++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) {
                    s[j][e] = exp2Fast((s[j][e] - next) * p.scaleLog2);
                    sum[h] += s[j][e], o[j][e] *= rescale;
                }
        }

        // values
#pragma unroll
        for (int c = 0; c < kTile / 16; c++) {
            u32 w[4];
            attnPack<T>(w, s[2 * c], s[2 * c + 1]);
#pragma unroll
            for (int j = 0; j < kD / 16; j++) {
                u32 b[4];
                loadMatricesTransposed(b, values + ofRows + c * 16 * kRow + 32 * j);
                multiply(o[2 * j], w, b[0], b[1], T());
                multiply(o[2 * j + 1], w, b[2], b[3], T());
            }
        }
        __syncthreads();
    }

    // divide, store pairs
    T* const to = attnRows((T*)p.o, p.oStrides, at);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        sum[h] += __shfl_xor_sync(0xffffffffu, sum[h], 1);
        sum[h] += __shfl_xor_sync(0xffffffffu, sum[h], 2);
        const int row = first + 16 * warp + g + 8 * h;
        if (row >= p.queries) continue;
        const float factor = __frcp_rn(sum[h]);
#pragma unroll
        for (int j = 0; j < kD / 8; j++)
            *(u32*)(to + row * p.oStrides.row + 8 * j + 2 * t) = pack(o[j][2 * h] * factor, o[j][2 * h + 1] * factor, T());
        if (p.lse != nullptr && t == 0)
            p.lse[((i64)at.sample * p.heads + at.head) * p.queries + row] = fmaf(m[h], p.scaleLog2, log2Fast(sum[h])) * ATTN_LN2;
    }
}

extern "C" __global__ void __launch_bounds__(128, 3) attn_step_fwd_d64_f16(const __grid_constant__ AttnFwdParams p) { attnStep<f16>(p); }
extern "C" __global__ void __launch_bounds__(128, 3) attn_step_fwd_d64_bf16(const __grid_constant__ AttnFwdParams p) { attnStep<bf16>(p); }
