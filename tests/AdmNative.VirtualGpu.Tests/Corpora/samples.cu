// Sample kernels for the virtual device's tests: what real programs are made of, in plain CUDA C++ without headers, so that NVRTC, nvcc and
// clang all compile this one file. How each golden .ptx beside it was made is said in README.md; CorpusTests.cs runs every kernel of every
// file against a reference in C#.
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned short u16;
typedef unsigned char u8;

#ifdef __clang__
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(n) __attribute__((launch_bounds(n)))
#define TID_X ((int)__nvvm_read_ptx_sreg_tid_x())
#define CTA_X ((int)__nvvm_read_ptx_sreg_ctaid_x())
#define DIM_X ((int)__nvvm_read_ptx_sreg_ntid_x())
#define GRID_X ((int)__nvvm_read_ptx_sreg_nctaid_x())
#define SHFL_XOR(v, m) __nvvm_shfl_sync_bfly_f32(0xffffffffu, (v), (m), 31)
#define FENCE() __nvvm_membar_gl()
#define ATOMIC_ADD(p, v) __nvvm_atom_add(p, v)
#define SQRT(x) __builtin_sqrtf(x)
#define FMA(a, b, c) __builtin_fmaf(a, b, c)
extern "C" __device__ int printf(const char*, ...);
static __device__ inline u32 __nvvm_atom_add(u32* p, u32 v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
static __device__ inline float __nvvm_atom_add(float* p, float v) { return __nvvm_atom_add_gen_f(p, v); }
#else
#define TID_X ((int)threadIdx.x)
#define CTA_X ((int)blockIdx.x)
#define DIM_X ((int)blockDim.x)
#define GRID_X ((int)gridDim.x)
#define SHFL_XOR(v, m) __shfl_xor_sync(0xffffffffu, (v), (m))
#define FENCE() __threadfence()
#define ATOMIC_ADD(p, v) atomicAdd(p, v)
#define SQRT(x) sqrtf(x)
#define FMA(a, b, c) fmaf(a, b, c)
#endif

static __device__ inline float ex2(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
static __device__ inline float fromHalf(u16 h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }
static __device__ inline u16 toHalf(float f) { u16 h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
static __device__ inline u32 pack(float lo, float hi) { u32 d; asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(hi), "f"(lo)); return d; }
static __device__ inline u32 sharedAddress(const void* p) {
    u32 a; asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(a) : "l"(p)); return a;
}
static __device__ inline void mma(float* d, const u32* a, u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
static __device__ inline void loadMatrices(u32* r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}
static __device__ inline void loadMatricesTransposed(u32* r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}
static __device__ inline void copyAsync(u32 to, const void* from, int bytes) {
    asm volatile("{ .reg .u64 g; cvta.to.global.u64 g, %1; cp.async.cg.shared.global [%0], [g], 16, %2; }" :: "r"(to), "l"(from), "r"(bytes) : "memory");
}
static __device__ inline void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
static __device__ inline void waitAll() { asm volatile("cp.async.wait_group 0;" ::: "memory"); }

// ---- group norm: y = (x - mean) / sqrt(var + eps) * gamma + beta over the P * C / G values of a group; x, y: [N, P, C]
static __device__ float blockSum(float v) {
    __shared__ float partial[32];
    for (int m = 16; m > 0; m >>= 1) v += SHFL_XOR(v, m);
    __syncthreads();
    if ((TID_X & 31) == 0) partial[TID_X >> 5] = v;
    __syncthreads();
    float s = 0;
    for (int i = 0; i < (DIM_X + 31) / 32; i++) s += partial[i];
    return s;
}

extern "C" __global__ void __launch_bounds__(128) group_norm(float* y, const float* x, const float* gamma, const float* beta, int P, int C, int G, float eps) {
    const int n = CTA_X / G, g = CTA_X % G, per = C / G, count = P * per;
    const float* xs = x + (long long)n * P * C + g * per;
    float s = 0;
    for (int i = TID_X; i < count; i += DIM_X) s += xs[(i / per) * C + i % per];
    const float mean = blockSum(s) / count;
    float q = 0;
    for (int i = TID_X; i < count; i += DIM_X) { float d = xs[(i / per) * C + i % per] - mean; q += d * d; }
    const float rstd = 1.0f / SQRT(blockSum(q) / count + eps);
    for (int i = TID_X; i < count; i += DIM_X) {
        const int at = (i / per) * C + i % per, c = g * per + i % per;
        y[(long long)n * P * C + g * per + at] = (xs[at] - mean) * rstd * gamma[c] + beta[c];
    }
}

// ---- attention of one head of 16 channels: one warp per 16 queries, keys in blocks of 16, online softmax; q, k, v: f16 [T, 16], T % 16 == 0
extern "C" __global__ void __launch_bounds__(32) flash_attention(float* o, const u16* q, const u16* k, const u16* v, int T, float scale) {
    __shared__ __attribute__((aligned(16))) u16 tile[2][2][16 * 16];   // ring of two, K and V
    const int lane = TID_X, row = lane >> 2, col = (lane & 3) * 2, first = CTA_X * 16;
    u32 a[4];
    for (int r = 0; r < 4; r++) a[r] = *(const u32*)(q + (first + row + 8 * (r & 1)) * 16 + col + 8 * (r >> 1));
    float acc[2][4] = {}, top[2] = {-1e30f, -1e30f}, sum[2] = {0, 0};
    const float toLog2 = scale * 1.44269504f;
    copyAsync(sharedAddress(&tile[0][0][lane * 8]), k + lane * 8, 16);
    copyAsync(sharedAddress(&tile[0][1][lane * 8]), v + lane * 8, 16);
    commit();
    for (int t = 0; t < T / 16; t++) {
        waitAll();
        __syncthreads();
        if (t + 1 < T / 16) {
            copyAsync(sharedAddress(&tile[(t + 1) & 1][0][lane * 8]), k + (t + 1) * 256 + lane * 8, 16);
            copyAsync(sharedAddress(&tile[(t + 1) & 1][1][lane * 8]), v + (t + 1) * 256 + lane * 8, 16);
            commit();
        }
        u32 b[4], w[4];
        loadMatrices(b, sharedAddress(&tile[t & 1][0][((lane & 7) + 8 * (lane >> 4)) * 16 + ((lane >> 3) & 1) * 8]));
        loadMatricesTransposed(w, sharedAddress(&tile[t & 1][1][(lane & 15) * 16 + (lane >> 4) * 8]));
        float s[2][4] = {};
        mma(s[0], a, b[0], b[1]);
        mma(s[1], a, b[2], b[3]);
        for (int h = 0; h < 2; h++) {
            float m = top[h];
            for (int j = 0; j < 2; j++) for (int i = 0; i < 2; i++) { float x = s[j][2 * h + i] * toLog2; m = x > m ? x : m; }
            float other = SHFL_XOR(m, 1); m = other > m ? other : m;
            other = SHFL_XOR(m, 2); m = other > m ? other : m;
            const float shrink = ex2(top[h] - m);
            top[h] = m;
            sum[h] *= shrink;
            for (int j = 0; j < 2; j++) for (int i = 0; i < 2; i++) {
                acc[j][2 * h + i] *= shrink;
                s[j][2 * h + i] = ex2(s[j][2 * h + i] * toLog2 - m);
                sum[h] += s[j][2 * h + i];
            }
        }
        const u32 p[4] = {pack(s[0][0], s[0][1]), pack(s[0][2], s[0][3]), pack(s[1][0], s[1][1]), pack(s[1][2], s[1][3])};
        mma(acc[0], p, w[0], w[1]);
        mma(acc[1], p, w[2], w[3]);
    }
    for (int h = 0; h < 2; h++) {
        sum[h] += SHFL_XOR(sum[h], 1);
        sum[h] += SHFL_XOR(sum[h], 2);
        for (int j = 0; j < 2; j++) for (int i = 0; i < 2; i++) o[(first + row + 8 * h) * 16 + 8 * j + col + i] = acc[j][2 * h + i] / sum[h];
    }
}

// ---- 3x3 convolution as a product: a warp makes 16 pixels x 16 outputs; x: f16 [H, W, 16], w: f16 [16 out][9][16 in], y: f32 [H, W, 16]
struct ConvParams { float* y; const u16* x; const u16* w; int H, W; };

extern "C" __global__ void __launch_bounds__(64) conv_tile(const ConvParams p) {
    __shared__ __attribute__((aligned(128))) u16 a[2][16 * 16], b[16 * 16];
    const int lane = TID_X & 31, warp = TID_X >> 5, first = (CTA_X * 2 + warp) * 16;
    float acc[2][4] = {};
    for (int tap = 0; tap < 9; tap++) {
        const int pixel = first + (lane >> 1), h = pixel / p.W + tap / 3 - 1, w = pixel % p.W + tap % 3 - 1;
        const bool inside = pixel < p.H * p.W && h >= 0 && h < p.H && w >= 0 && w < p.W;
        copyAsync(sharedAddress(&a[warp][lane * 8]), p.x + (inside ? (h * p.W + w) * 16 + (lane & 1) * 8 : 0), inside ? 16 : 0);
        if (warp == 0) copyAsync(sharedAddress(&b[lane * 8]), p.w + ((lane >> 1) * 9 + tap) * 16 + (lane & 1) * 8, 16);
        commit();
        waitAll();
        __syncthreads();
        u32 fa[4], fb[4];
        loadMatrices(fa, sharedAddress(&a[warp][(lane & 15) * 16 + (lane >> 4) * 8]));
        loadMatrices(fb, sharedAddress(&b[((lane & 7) + 8 * (lane >> 4)) * 16 + ((lane >> 3) & 1) * 8]));
        mma(acc[0], fa, fb[0], fb[1]);
        mma(acc[1], fa, fb[2], fb[3]);
        __syncthreads();
    }
    for (int j = 0; j < 2; j++) for (int r = 0; r < 4; r++) {
        const int pixel = first + (lane >> 2) + 8 * (r >> 1);
        if (pixel < p.H * p.W) p.y[pixel * 16 + 8 * j + (lane & 3) * 2 + (r & 1)] = acc[j][r];
    }
}

// ---- AdamW with noise of Philox4x32-10 added to the gradient
struct AdamParams { float* weight; float* m; float* v; const float* grad; u64 seed; float lr, beta1, beta2, eps, decay, noise; int n; };

static __device__ u32 mulHigh(u32 a, u32 b) { return (u32)(((u64)a * b) >> 32); }

static __device__ u32 philox(u64 seed, u32 index) {
    u32 c0 = index, c1 = 0, c2 = 0, c3 = 0, k0 = (u32)seed, k1 = (u32)(seed >> 32);
    for (int i = 0; i < 10; i++) {
        const u32 h0 = mulHigh(0xD2511F53u, c0), l0 = 0xD2511F53u * c0, h1 = mulHigh(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
        c0 = h1 ^ c1 ^ k0; c1 = l1; c2 = h0 ^ c3 ^ k1; c3 = l0;
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
    return c0;
}

extern "C" __global__ void adamw(const AdamParams p) {
    const int i = CTA_X * DIM_X + TID_X;
    if (i >= p.n) return;
    const float uniform = (philox(p.seed, i) >> 8) * (1.0f / 16777216.0f);
    const float g = p.grad[i] + p.noise * (uniform - 0.5f);
    const float m = p.beta1 * p.m[i] + (1 - p.beta1) * g, v = p.beta2 * p.v[i] + (1 - p.beta2) * g * g;
    p.m[i] = m;
    p.v[i] = v;
    p.weight[i] = p.weight[i] * (1 - p.lr * p.decay) - p.lr * m / (SQRT(v) + p.eps);
}

// ---- a private array indexed at run time: a local depot
extern "C" __global__ void local_sort(int* y, const int* x, int n) {
    int a[16];
    const int first = (CTA_X * DIM_X + TID_X) * 16;
    for (int i = 0; i < 16; i++) a[i] = x[first + i];
    for (int i = 1; i < n; i++) {
        const int v = a[i];
        int j = i - 1;
        while (j >= 0 && a[j] > v) { a[j + 1] = a[j]; j--; }
        a[j + 1] = v;
    }
    for (int i = 0; i < 16; i++) y[first + i] = a[i];
}

#ifndef __clang__
// ---- sine and cosine of large arguments: the compiler's slow path with its table and depot
extern "C" __global__ void sincos_large(float* y, const float* x, int n) {
    const int i = CTA_X * DIM_X + TID_X;
    if (i < n) { y[2 * i] = sinf(x[i]); y[2 * i + 1] = cosf(x[i]); }
}
#endif

extern "C" __global__ void print_some(const int* x, float f) {
    if (x[TID_X] > 2) printf("lane %d: %d %.3f %s\n", TID_X, x[TID_X], (double)f * x[TID_X], "end");
}

// ---- a dense switch: an indexed branch, and a call that is not inlined
static __device__ __noinline__ float poly(float x, int n) {
    float s = 1;
    for (int i = 0; i < n; i++) s = FMA(s, x, (float)i);
    return s;
}

extern "C" __global__ void switch_op(float* y, const float* a, const float* b, const u8* op) {
    const int i = CTA_X * DIM_X + TID_X;
    const float x = a[i], z = b[i];
    float r;
    switch (op[i]) {
        case 0: r = x + z; break;
        case 1: r = x - z; break;
        case 2: r = x * z; break;
        case 3: r = x / z; break;
        case 4: r = x < z ? x : z; break;
        case 5: r = SQRT(x * x + z * z); break;
        case 6: r = FMA(x, z, x); break;
        case 7: r = poly(x, 3); break;
        case 8: r = poly(z, 5); break;
        case 9: r = (float)(int)(x * 100.0f); break;
        case 10: r = (float)((int)x ^ (int)z); break;
        default: r = -1; break;
    }
    y[i] = r;
}

// ---- a sum over blocks whose last one finishes the work: tickets by an atomic, data by a fence
extern "C" __global__ void ticket_sum(float* total, float* partial, u32* ticket, const float* x, int n) {
    __shared__ bool last;
    float s = 0;
    for (int i = CTA_X * DIM_X + TID_X; i < n; i += DIM_X * GRID_X) s += x[i];
    s = blockSum(s);
    if (TID_X == 0) {
        partial[CTA_X] = s;
        FENCE();
        last = ATOMIC_ADD(ticket, 1u) == (u32)GRID_X - 1;
    }
    __syncthreads();
    if (last) {
        FENCE();
        float t = 0;
        for (int i = TID_X; i < GRID_X; i += DIM_X) t += *(volatile float*)(partial + i);
        t = blockSum(t);
        if (TID_X == 0) *total = t;
    }
}

// ---- integers: 64-bit division, bit counts, permuted bytes, funnel shifts, narrow types
__constant__ u32 salt[4] = {0x9E3779B9u, 0x85EBCA6Bu, 0xC2B2AE35u, 0x27D4EB2Fu};

extern "C" __global__ void int_mix(u64* y, const u64* x, const signed char* s, const u16* h) {
    const int i = CTA_X * DIM_X + TID_X;
    const u64 a = x[i], b = x[i ^ 1] | 1;
    const u32 lo = (u32)a, hi = (u32)(a >> 32);
    u64 r = a / b + a % (b >> 7 | 1) * 3;
    r ^= (u64)((long long)a / (long long)(lo | 3)) * 31;
    r += (lo / 10) * 7 + (u32)((int)hi / 13) + hi % 1000;
    r ^= (u64)(lo << (hi & 31) | (lo >> 1) >> (31 - (hi & 31))) << 17;
    int count = 0;
    for (u32 v = lo; v != 0; v &= v - 1) count++;
    r += (u64)count << 40;
    r += (u64)(s[i] * s[i ^ 1]) ^ (u64)((u16)(h[i] * 3) >> 2);
    r ^= salt[i & 3];
    r += (u64)((hi >> 5) & 0x1FFF) << 20 | ((lo >> 24 & 0xFF) | (lo << 24));
    y[i] = r;
}

// ---- counts by shared atomics in dynamic shared memory
#ifdef __clang__
extern __shared__ u32 bins[];
#else
extern __shared__ u32 bins[];
#endif

extern "C" __global__ void histogram(u32* y, const u8* x, int n, int nbins) {
    for (int i = TID_X; i < nbins; i += DIM_X) bins[i] = 0;
    __syncthreads();
    for (int i = CTA_X * DIM_X + TID_X; i < n; i += DIM_X * GRID_X) ATOMIC_ADD(&bins[x[i] % nbins], 1u);
    __syncthreads();
    for (int i = TID_X; i < nbins; i += DIM_X) ATOMIC_ADD(&y[i], bins[i]);
}

// ---- doubles, halves and conversions
extern "C" __global__ void convert_mix(double* y, const float* x, const u16* h) {
    const int i = CTA_X * DIM_X + TID_X;
    double d = x[i];
    d = d * d + 1.0 / (d * d + 2.0);
    d += (double)(long long)(x[i] * 1000.0f) + (double)(u32)(x[i] < 0 ? -x[i] : x[i]);
    d -= fromHalf(h[i]) + fromHalf(toHalf(x[i] * 1.0009765f));
    y[i] = d + (float)(signed char)(int)x[i];
}
