// y = act(x W^T + bias + residual) for few rows x: time embedding, embedding projections (one product over concatenated weights), classifier
// head. act is nothing or SiLU. f16 and bf16, f32 sums, rounded once. Bound by reading W, which goes from device memory to registers directly.
//
// A block makes 16 results of 32 rows with 4 warps that share the depth: warp w takes steps w, w + 4, ... of 32 inputs. In the tensor core W's rows
// are rows (16), x's rows columns (8). A lane reads 16 bytes of a row, 8 neighbouring inputs, and gives them to two products as if they were
// inputs 2t, 2t + 1, 2t + 8, 2t + 9: both operands are permuted alike, so the sum is the same, every access is whole sectors, and nothing
// passes through shared memory. Columns of 8 rows that do not exist are left out. The warps' sums meet in shared memory, rows of 20 floats: no bank conflicts.
//
// Order of sums: a warp's steps ascending, within them inputs {8t .. 8t + 3}, then {8t + 4 .. 8t + 7} (t = 0 .. 3, in the tensor core); warps 0 to 3;
// bias; residual. Error: (K / 64) 2^-22 sum|x w| at worst (sm_80), plus the rounding of y.
// Traffic: M K b ceil(N / 32) (W) + N K b ceil(M / 16) (x, from L2) + 4 M ceil(N / 8) (bias) + (1 or 2) N M b. mma: 2 ceil(K / 32) ceil(N / 8) ceil(M / 16).
//
// launch linear_fwd_{f16,bf16}(LinearParams): block 128; grid x = ceil(M / 16) ceil(N / 32); shared 0; x, w 16-byte aligned, bias 16-byte, residual, y
//        8-byte; K, ldx multiples of 8, ldr, ldy of 4; y overlaps only the residual, and that exactly.
// Budget: 128 registers, no spills, 10 KiB of static shared memory: 4 blocks per SM.
#include "common/linear.cuh"

enum { kWarps = 4, kTileM = 16, kTileN = 32, kJ = kTileN / 8, kStep = 32, kAhead = 2, kSlotRow = 20 };

// Products of all steps of this warp: sum[j][r]: row of W g + 8 (r >> 1), row of x 8 j + 2 t + (r & 1).
template <class T> __device__ __forceinline__ void multiplySteps(const LinearParams& p, int m0, int n0, float (&sum)[kJ][4]) {
    const int lane = threadIdx.x & 31, g = lane >> 2, own = 8 * (lane & 3), first = kStep * (threadIdx.x >> 5);
    const int rowsW = p.M - m0 - g, rowsX = p.N - n0;
    const u16* w = (const u16*)p.w + (i64)(m0 + g) * p.K + own;
    const u16* x = (const u16*)p.x + (n0 + g) * p.ldx + own;
    for (int k = first; k < p.K; k += kAhead * kWarps * kStep) {
        uint4 a[kAhead][2], b[kAhead][kJ];
#pragma unroll
        for (int s = 0; s < kAhead; s++) {
            const int at = k + s * kWarps * kStep;
            const bool exists = at + own < p.K;
            a[s][0] = loadChunk(w + at, exists && rowsW > 0);
            a[s][1] = loadChunk(w + 8 * (i64)p.K + at, exists && rowsW > 8);
#pragma unroll
            for (int j = 0; j < kJ; j++) b[s][j] = loadChunk(x + 8 * j * p.ldx + at, exists && 8 * j + g < rowsX);
        }
#pragma unroll
        for (int s = 0; s < kAhead; s++) {
            if (k + s * kWarps * kStep >= p.K) break;
            const u32 low[4] = {a[s][0].x, a[s][1].x, a[s][0].y, a[s][1].y}, high[4] = {a[s][0].z, a[s][1].z, a[s][0].w, a[s][1].w};
#pragma unroll
            for (int j = 0; j < kJ; j++) {
                if (8 * j >= rowsX) continue;
                multiply(sum[j], low, b[s][j].x, b[s][j].y, T());
                multiply(sum[j], high, b[s][j].z, b[s][j].w, T());
            }
        }
    }
}

template <class T> __device__ __forceinline__ void linearFwd(const LinearParams& p) {
    __shared__ __align__(16) float slots[kWarps][kTileN * kSlotRow];
    const int tilesN = (p.N - 1) / kTileN + 1, m0 = (int)blockIdx.x / tilesN * kTileM, n0 = (int)blockIdx.x % tilesN * kTileN;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    float sum[kJ][4] = {};
    multiplySteps<T>(p, m0, n0, sum);

    // the warps' sums: a lane takes four results of one row; rows q, q + 4 neighbour, so that their chunks fall into different banks
#pragma unroll
    for (int j = 0; j < kJ; j++)
#pragma unroll
        for (int r = 0; r < 4; r++) slots[warp][(8 * j + 2 * t + (r & 1)) * kSlotRow + g + 8 * (r >> 1)] = sum[j][r];
    __syncthreads();
    const int row = 8 * warp + 4 * (g & 1) + (g >> 1), n = n0 + row, m = m0 + 4 * t, left = n < p.N ? p.M - m : 0;
    float v[4] = {}, u[4];
#pragma unroll
    for (int w = 0; w < kWarps; w++) addFour(v, *(const float4*)&slots[w][row * kSlotRow + 4 * t]);

    // bias, residual, act, store
    if (p.bias != nullptr) {
        loadVec<false>(p.bias + m, left, u);
        addFour(v, make_float4(u[0], u[1], u[2], u[3]));
    }
    if (p.residual != nullptr) {
        loadFour((const T*)p.residual + n * p.ldr + m, left, u);
        addFour(v, make_float4(u[0], u[1], u[2], u[3]));
    }
    if (p.silu) {
#pragma unroll
        for (int i = 0; i < 4; i++) v[i] = silu<T>(v[i]);
    }
    storeFour((T*)p.y + n * p.ldy + m, left, v);
}

#define LINEAR_FWD(name, T) \
    extern "C" __global__ void __launch_bounds__(128, 4) name(const __grid_constant__ LinearParams p) { linearFwd<T>(p); }
LINEAR_FWD(linear_fwd_f16, f16)
LINEAR_FWD(linear_fwd_bf16, bf16)
