// y[c][r] = x[r][c], through shared memory, so that both sides of device memory see whole 128-byte rows.
//
// A block turns one square of 32 E x 32 E elements, E = elements in a 32-bit word: 1 (f32), 2 (f16, or any 16-bit type). A thread
// reads words along rows of x; two rows' words are re-paired into words along columns (E = 2); the tile holds them at word
// w(c, r) = 32 c + (r ^ (c / E)), r counting words down the column; then words along rows of y are written.
// Banks: one write instruction has 32 different c / E and one r, one read one c and 32 different r: 32 different banks each time.
// Traffic: 2 rows cols elements. No aliasing of x and y.
//
// launch transpose_2d_f32(TransposeParams): block 256; grid x = ceil(rows / 32) ceil(cols / 32), tiles of a row of tiles side by side;
//        shared 0; x, y 4-byte aligned; any ldx >= cols, ldy >= rows; rows, cols >= 1; fewer than 2^31 tiles.
// launch transpose_2d_f16(TransposeParams): block 256; grid x = ceil(rows / 64) ceil(cols / 64), tiles of a row of tiles side by side;
//        shared 0; x, y 4-byte aligned; even ldx >= cols, ldy >= rows; rows, cols >= 1; fewer than 2^31 tiles.
// Budget: 40 registers, no spills; 4 KiB (f32), 8 KiB (f16) of static shared memory.
#include "common/types.cuh"

struct TransposeParams {
    const void* x;   // [rows, cols] T, row stride ldx
    void* y;         // [cols, rows] T, row stride ldy
    i64 ldx, ldy;    // elements
    int rows, cols;
};
FIELD(TransposeParams, x, 0, 8);
FIELD(TransposeParams, y, 8, 8);
FIELD(TransposeParams, ldx, 16, 8);
FIELD(TransposeParams, ldy, 24, 8);
FIELD(TransposeParams, rows, 32, 4);
FIELD(TransposeParams, cols, 36, 4);
SIZE(TransposeParams, 40);

// `left` elements remain in the row: a whole word, its low half, or nothing (then 0).
__device__ __forceinline__ u32 loadWord(const u32* from, int left) { return left > 0 ? __ldg(from) : 0u; }

__device__ __forceinline__ u32 loadWord(const u16* from, int left) {
    return left > 1 ? __ldg((const u32*)from) : left > 0 ? (u32)__ldg(from) : 0u;
}

__device__ __forceinline__ void storeWord(u32* to, int left, u32 w) {
    if (left > 0) *to = w;
}

__device__ __forceinline__ void storeWord(u16* to, int left, u32 w) {
    if (left > 1) *(u32*)to = w;
    else if (left > 0) *to = (u16)w;
}

template <class U> __device__ __forceinline__ void transpose2d(const TransposeParams& p) {
    constexpr int E = 4 / (int)sizeof(U), kSide = 32 * E, kRowsAtOnce = 8;
    __shared__ u32 tile[kSide * 32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int across = (p.cols - 1) / kSide + 1;
    const int row0 = (int)(blockIdx.x / across) * kSide, col0 = (int)(blockIdx.x % across) * kSide;

    // load: lane's word of columns, rows E r .. E r + E - 1
    const int col = col0 + E * lane;
    const U* x = (const U*)p.x + row0 * p.ldx + col;
#pragma unroll
    for (int r = warp; r < 32; r += kRowsAtOnce) {
        u32 w[E];
#pragma unroll
        for (int e = 0; e < E; e++) w[e] = loadWord(x + (E * r + e) * p.ldx, row0 + E * r + e < p.rows ? p.cols - col : 0);
        if (E == 1) {
            tile[32 * lane + (r ^ lane)] = w[0];
        } else {   // low halves are column 2 lane, high halves the next one
            tile[32 * (E * lane) + (r ^ lane)] = __byte_perm(w[0], w[E - 1], 0x5410);
            tile[32 * (E * lane + 1) + (r ^ lane)] = __byte_perm(w[0], w[E - 1], 0x7632);
        }
    }
    __syncthreads();

    // store: lane's word of rows, column c of x
    const int row = row0 + E * lane;
    U* y = (U*)p.y + col0 * p.ldy + row;
#pragma unroll
    for (int c = warp; c < kSide; c += kRowsAtOnce)
        storeWord(y + c * p.ldy, col0 + c < p.cols ? p.rows - row : 0, tile[32 * c + (lane ^ (c / E))]);
}

#define TRANSPOSE_2D(name, U) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ TransposeParams p) { transpose2d<U>(p); }
TRANSPOSE_2D(transpose_2d_f32, u32)
TRANSPOSE_2D(transpose_2d_f16, u16)
