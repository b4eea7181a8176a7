// C = A B^T (nt: B is [N, K]) or C = A B (nn: B is [K, N]); A [M, K], C [M, N], all row-major f16 or bf16, f32 sums rounded once.
//
// A block makes a 128x128 tile of C with 4 warps of 64x64 (mma m16n8k16). K goes in steps of 32 through a ring of 3 stages filled by
// cp.async: per step one wait_group 1, one barrier, then the copies of step + 2 into the stage whose readers have passed that barrier.
// Tiles of A and of B^T have rows of 64 bytes (32 k), tiles of B rows of 256 bytes (128 columns); all swizzled, no bank conflicts.
// Rows, columns and k past the end are zero-filled by the copies' source size and cost no branches; C is stored by 16-byte vectors
// through shared memory, only where it exists. Tiles are walked 8 rows of tiles at a time, so that neighbours in time share B.
//
// Order of sums: ascending k, 16 at a time inside the tensor core. Error: the unit's own, (K / 16) 2^-22 sum|a b| at worst (sm_80), plus
// the rounding of C.
// Traffic of one block: 512 K bytes read (both operands, padded), 32 KiB written. mma: 256 per step of 32 k.
//
// launch gemm_{nt,nn}_{f16,bf16}(GemmParams): block 128; grid x = ceil(M / 128) ceil(N / 128); shared 0; a, b, c 16-byte aligned;
//        lda, ldb, ldc multiples of 8; M, N >= 1 any; K >= 0 a multiple of 8; c overlaps neither input.
// Budget: 248 registers, no spills, 48 KiB of static shared memory: 2 blocks per SM on sm_80/86/89/90.
#include "common/mma.cuh"
#include "common/vec.cuh"

struct GemmParams {
    const void* a;         // [M, K] T, row stride lda
    const void* b;         // nt: [N, K] T, nn: [K, N] T, row stride ldb
    void* c;               // [M, N] T, row stride ldc
    i64 lda, ldb, ldc;     // elements
    int M, N, K;
    int reserved;          // 0
};
FIELD(GemmParams, a, 0, 8);
FIELD(GemmParams, b, 8, 8);
FIELD(GemmParams, c, 16, 8);
FIELD(GemmParams, lda, 24, 8);
FIELD(GemmParams, ldb, 32, 8);
FIELD(GemmParams, ldc, 40, 8);
FIELD(GemmParams, M, 48, 4);
FIELD(GemmParams, N, 52, 4);
FIELD(GemmParams, K, 56, 4);
FIELD(GemmParams, reserved, 60, 4);
SIZE(GemmParams, 64);

enum {
    kThreads = 128, kTile = 128, kWarpTile = 64, kStep = 32, kStages = 3, kGroup = 8,
    kOperandBytes = kTile * kStep * 2, kStageBytes = 2 * kOperandBytes,
};

// Copies tiles of ROWS rows of ROW_BYTES out of a row-major matrix, 16 bytes per thread and pass. Where the matrix ends, the source size
// is cut; the address may then lie outside, nothing is read there.
template <int ROWS, int ROW_BYTES> struct Loader {
    enum { kChunks = ROW_BYTES / 16, kRowsAtOnce = kThreads / kChunks };
    static_assert(kRowsAtOnce % 8 == 0 && ROWS % kRowsAtOnce == 0, "passes keep the swizzle");
    const u16* from;    // this thread's first chunk of the next tile
    i64 ld;             // elements between rows
    int rows, cols;     // rows and columns from there to the end; may be negative
    u32 slot;           // its bytes in the tile

    __device__ __forceinline__ Loader(const void* matrix, i64 stride, int row0, int rowsAll, int col0, int colsAll) : ld(stride) {
        const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
        rows = rowsAll - row0 - row, cols = colsAll - col0 - 8 * chunk;
        from = (const u16*)matrix + (row0 + row) * ld + col0 + 8 * chunk;
        slot = swizzle<ROW_BYTES>(row, chunk);
    }

    __device__ __forceinline__ void issue(u32 tile) const {
        const int bytes = min(max(2 * cols, 0), 16);
#pragma unroll
        for (int i = 0; i < ROWS; i += kRowsAtOnce) copyAsync(tile + slot + i * ROW_BYTES, from + i * ld, i < rows ? bytes : 0);
    }

    __device__ __forceinline__ void nextColumns() { from += kStep, cols -= kStep; }
    __device__ __forceinline__ void nextRows() { from += kStep * ld, rows -= kStep; }
};

template <bool NT> struct LoaderOfB { typedef Loader<kTile, kStep * 2> Type; };      // rows of B are columns of C
template <> struct LoaderOfB<false> { typedef Loader<kStep, kTile * 2> Type; };      // rows of B are k

// A place in the ring, going round.
__device__ __forceinline__ u32 nextStage(u32 stage) { return stage == (kStages - 1) * kStageBytes ? 0 : stage + kStageBytes; }

// The warp's 64x64 products of one stage: two k halves of 16.
template <class T, bool NT> __device__ __forceinline__ void multiplyStage(float (&sum)[4][8][4], u32 stage, int wm, int wn) {
    const int lane = threadIdx.x & 31;
    const u32 tileB = stage + kOperandBytes;
#pragma unroll
    for (int k = 0; k < 2; k++) {
        u32 a[4][4], b[4][4];   // b[j]: words 0, 1 of columns 16 j .. + 7, then of the next 8
#pragma unroll
        for (int i = 0; i < 4; i++) loadMatrices(a[i], stage + swizzle<64>(wm + 16 * i + (lane & 15), 2 * k + (lane >> 4)));
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (NT) loadMatrices(b[j], tileB + swizzle<64>(wn + 16 * j + (lane & 7) + 8 * (lane >> 4), 2 * k + ((lane >> 3) & 1)));
            else loadMatricesTransposed(b[j], tileB + swizzle<256>(16 * k + (lane & 15), (wn >> 3) + 2 * j + (lane >> 4)));
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 8; j++) multiply(sum[i][j], a[i], b[j >> 1][2 * (j & 1)], b[j >> 1][2 * (j & 1) + 1], T());
    }
}

// The warp's 64x64 sums to C, by way of its own 8 KiB of shared memory: rows of 128 bytes, chunk j = columns 8 j .. 8 j + 7.
template <class T> __device__ __forceinline__ void storeTile(const float (&sum)[4][8][4], unsigned char* own, u16* c, i64 ldc, int rows, int cols) {
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                *(u32*)(own + swizzle<128>(16 * i + 8 * h + g, j) + 4 * t) = pack(sum[i][j][2 * h], sum[i][j][2 * h + 1], T());
    __syncwarp();
#pragma unroll 4
    for (int i = 0; i < kWarpTile; i += 4) {   // a warp writes four rows of 128 bytes
        const int row = i + (lane >> 3), chunk = lane & 7, left = row < rows ? cols - 8 * chunk : 0;
        const uint4 w = *(const uint4*)(own + swizzle<128>(row, chunk));
        u16* to = c + row * ldc + 8 * chunk;
        if (left >= 8) {
            store16(to, w);
        } else {
            const u32 words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int e = 0; e < 7; e++)
                if (e < left) to[e] = (u16)(words[e >> 1] >> (16 * (e & 1)));
        }
    }
}

template <class T, bool NT> __device__ __forceinline__ void gemm(const GemmParams& p) {
    __shared__ __align__(128) unsigned char ring[kStages * kStageBytes];

    // place: tiles of 8 rows of tiles, column by column
    const int tilesM = (p.M - 1) / kTile + 1, tilesN = (p.N - 1) / kTile + 1;
    const int group = (int)blockIdx.x / (kGroup * tilesN), inGroup = (int)blockIdx.x % (kGroup * tilesN);
    const int height = min((int)kGroup, tilesM - group * kGroup);
    const int row0 = (group * kGroup + inGroup % height) * kTile, col0 = inGroup / height * kTile;
    const int warp = threadIdx.x >> 5, wm = (warp & 1) * kWarpTile, wn = (warp >> 1) * kWarpTile;

    Loader<kTile, kStep * 2> a(p.a, p.lda, row0, p.M, 0, p.K);
    typename LoaderOfB<NT>::Type b(p.b, p.ldb, NT ? col0 : 0, NT ? p.N : p.K, NT ? 0 : col0, NT ? p.K : p.N);
    const int steps = (p.K + kStep - 1) / kStep;
    const u32 shared = sharedAddress(ring);
    u32 write = 0, read = 0;   // stages
    float sum[4][8][4] = {};

    const auto issueStep = [&](int step) {   // both operands into the next stage; a step past the end copies nothing
        if (step < steps) {
            a.issue(shared + write), b.issue(shared + write + kOperandBytes);
            a.nextColumns();
            if (NT) b.nextColumns();
            else b.nextRows();
            write = nextStage(write);
        }
        commitCopies();
    };

    // multiply
#pragma unroll
    for (int s = 0; s < kStages - 1; s++) issueStep(s);
    for (int step = 0; step < steps; step++) {
        waitCopies<kStages - 2>();
        __syncthreads();
        issueStep(step + kStages - 1);
        multiplyStage<T, NT>(sum, shared + read, wm, wn);
        read = nextStage(read);
    }

    // store, once every warp has read its last stage
    __syncthreads();
    storeTile<T>(sum, ring + warp * (kWarpTile * kWarpTile * 2), (u16*)p.c + (row0 + wm) * p.ldc + col0 + wn, p.ldc, p.M - row0 - wm, p.N - col0 - wn);
}

#define GEMM(name, T, NT) \
    extern "C" __global__ void __launch_bounds__(128, 2) name(const __grid_constant__ GemmParams p) { gemm<T, NT>(p); }
GEMM(gemm_nt_f16, f16, true)
GEMM(gemm_nt_bf16, bf16, true)
GEMM(gemm_nn_f16, f16, false)
GEMM(gemm_nn_bf16, bf16, false)
