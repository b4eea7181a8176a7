// Small kernels that exercise the devices they run on: a guarded copy, a shuffle reduction, a shared-memory transpose, random
// normals, and a tensor-core product with asynchronous copies. No CUDA headers: NVRTC alone compiles this file, nvcc as well.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned short u16;

// ---- y = a + b, elementwise

struct AddParams {
    float* y;         // [n]
    const float* a;   // [n]
    const float* b;   // [n]
    int n;            // elements
};

extern "C" __global__ void __launch_bounds__(256) probe_add_f32(const __grid_constant__ AddParams p) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i < p.n) p.y[i] = p.a[i] + p.b[i];
}

// ---- partial[block] = sum of the block's 1024 elements, fixed order

struct SumParams {
    float* partial;   // [ceil(n / 1024)]
    const float* x;   // [n]
    int n;            // elements
};

__device__ __forceinline__ float warpSum(float v) {
    for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

extern "C" __global__ void __launch_bounds__(256) probe_sum_f32(const __grid_constant__ SumParams p) {
    __shared__ float warps[8];
    float v = 0.0f;
    for (int k = 0; k < 4; k++) {
        int i = blockIdx.x * 1024 + k * 256 + threadIdx.x;
        if (i < p.n) v += p.x[i];
    }
    v = warpSum(v);
    if ((threadIdx.x & 31) == 0) warps[threadIdx.x >> 5] = v;
    __syncthreads();
    if (threadIdx.x < 32) {
        v = threadIdx.x < 8 ? warps[threadIdx.x] : 0.0f;
        v = warpSum(v);
        if (threadIdx.x == 0) p.partial[blockIdx.x] = v;
    }
}

// ---- y[c][r] = x[r][c], 32x32 tiles

struct TransposeParams {
    float* y;         // [cols, rows]
    const float* x;   // [rows, cols]
    int rows, cols;
};

extern "C" __global__ void __launch_bounds__(256) probe_transpose_f32(const __grid_constant__ TransposeParams p) {
    __shared__ float tile[32][33];   // one column of padding: no bank conflicts
    int tx = threadIdx.x & 31, ty = threadIdx.x >> 5;
    int c = blockIdx.x * 32 + tx;
    for (int k = 0; k < 32; k += 8) {
        int r = blockIdx.y * 32 + ty + k;
        if (r < p.rows && c < p.cols) tile[ty + k][tx] = p.x[(u64)r * p.cols + c];
    }
    __syncthreads();
    int r = blockIdx.y * 32 + tx;
    for (int k = 0; k < 32; k += 8) {
        int column = blockIdx.x * 32 + ty + k;
        if (r < p.rows && column < p.cols) p.y[(u64)column * p.rows + r] = tile[tx][ty + k];
    }
}

// ---- standard normals from Philox4x32-10: counter (element / 4, stream, 0, 0), Box-Muller on each pair

struct NormalParams {
    float* y;         // [n]
    u32 key0, key1;   // seed
    u32 stream;
    int n;            // elements
};

extern "C" __global__ void __launch_bounds__(128) probe_normal_f32(const __grid_constant__ NormalParams p) {
    u32 quad = blockIdx.x * 128 + threadIdx.x;
    if ((u64)quad * 4 >= (u64)p.n) return;
    u32 c0 = quad, c1 = p.stream, c2 = 0, c3 = 0, k0 = p.key0, k1 = p.key1;
    for (int round = 0; round < 10; round++) {
        u64 a = (u64)0xD2511F53u * c0, b = (u64)0xCD9E8D57u * c2;
        u32 n0 = (u32)(b >> 32) ^ c1 ^ k0, n2 = (u32)(a >> 32) ^ c3 ^ k1;
        c1 = (u32)b;
        c3 = (u32)a;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    u32 words[4] = {c0, c1, c2, c3};
    for (int h = 0; h < 2; h++) {
        float u = ((words[2 * h] >> 8) + 1) * 0x1p-24f;       // (0, 1]
        float angle = (words[2 * h + 1] >> 8) * 0x1p-23f;      // [0, 2) half turns
        float radius = sqrtf(-2.0f * logf(u));
        float s, c;
        sincospif(angle, &s, &c);
        int i = quad * 4 + 2 * h;
        if (i < p.n) p.y[i] = radius * c;
        if (i + 1 < p.n) p.y[i + 1] = radius * s;
    }
}

// ---- C = A B^T: A [m, k] f16, B [n, k] f16, C [m, n] f32; 64x64 tiles, k in steps of 32, three stages

struct GemmParams {
    float* c;         // [m, n]
    const u16* a;     // [m, k], k a multiple of 32, 16-byte aligned
    const u16* b;     // [n, k]
    int m, n, k;      // any m and n
};

__device__ __forceinline__ u32 sharedAddress(const void* p) { return (u32)__cvta_generic_to_shared(p); }

__device__ __forceinline__ void copyAsync(u32 to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
}

__device__ __forceinline__ void loadMatrices(u32* r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
}

__device__ __forceinline__ void multiply(float* d, const u32* a, const u32* b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Byte offset of 16-byte chunk c of a 64-byte row: eight rows of one ldmatrix phase fall into eight bank groups.
__device__ __forceinline__ u32 swizzle(int row, int chunk) { return (u32)(row * 64 + ((chunk ^ ((row >> 1) & 3)) << 4)); }

extern "C" __global__ void __launch_bounds__(128) probe_gemm_f16(const __grid_constant__ GemmParams p) {
    __shared__ __align__(128) unsigned char ring[3][2][64 * 64];   // stage, operand, 64 rows of 32 halves
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    int row0 = blockIdx.x * 64, column0 = blockIdx.y * 64;
    int steps = p.k / 32;
    float sum[2][4][4] = {};

    auto issue = [&](int step) {
        if (step < steps) {
            int stage = step % 3;
            for (int t = 0; t < 2; t++) {
                int row = (threadIdx.x >> 2) + 32 * t, chunk = threadIdx.x & 3;
                u64 k = (u64)step * 32 + chunk * 8;
                bool aIn = row0 + row < p.m, bIn = column0 + row < p.n;
                copyAsync(sharedAddress(ring[stage][0]) + swizzle(row, chunk), p.a + (aIn ? (u64)(row0 + row) * p.k + k : 0), aIn ? 16 : 0);
                copyAsync(sharedAddress(ring[stage][1]) + swizzle(row, chunk), p.b + (bIn ? (u64)(column0 + row) * p.k + k : 0), bIn ? 16 : 0);
            }
        }
        asm volatile("cp.async.commit_group;");
    };

    issue(0);
    issue(1);
    int wm = (warp & 1) * 32, wn = (warp >> 1) * 32;   // each warp makes 32x32
    for (int step = 0; step < steps; step++) {
        asm volatile("cp.async.wait_group 1;" ::: "memory");
        __syncthreads();
        issue(step + 2);
        u32 a0 = sharedAddress(ring[step % 3][0]), b0 = sharedAddress(ring[step % 3][1]);
        for (int k = 0; k < 2; k++) {
            u32 a[2][4], b[2][4];
            for (int i = 0; i < 2; i++) {
                loadMatrices(a[i], a0 + swizzle(wm + 16 * i + (lane & 15), 2 * k + (lane >> 4)));
                loadMatrices(b[i], b0 + swizzle(wn + 16 * i + (lane & 7) + 8 * (lane >> 4), 2 * k + ((lane >> 3) & 1)));
            }
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 4; j++) multiply(sum[i][j], a[i], b[j >> 1] + 2 * (j & 1));
        }
    }

    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            for (int r = 0; r < 4; r++) {
                int row = row0 + wm + 16 * i + (lane >> 2) + 8 * (r >> 1), column = column0 + wn + 8 * j + 2 * (lane & 3) + (r & 1);
                if (row < p.m && column < p.n) p.c[(u64)row * p.n + column] = sum[i][j][r];
            }
}
