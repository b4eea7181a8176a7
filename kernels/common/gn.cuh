// What the kernels of the GroupNorm family share: vectors of V channels, the block's share of the work, sums over rows, activations.
//
// A block of 256 threads owns one slab of channels of one sample, and a slice of its pixels. A row of the block is perRow = ceil(slab / V)
// threads with V channels each; rowsInFlight = 256 / perRow rows are worked on at once, thread t on channels V (t % perRow) of row t / perRow,
// then of that row + rowsInFlight, and so on. Threads beyond the last whole row only take part in barriers.
#pragma once
#include "reduce.cuh"
#include "vec.cuh"

enum { kThreads = 256, kNone = 0, kSilu = 1, kKeep = 0, kDown2 = 1, kUp2 = 2, kRuntime = -1 };

// ---- V elements in one access: 16, 8, 4 or 2 bytes

template <int BYTES> struct Words;
template <> struct Words<16> { typedef uint4 W; };
template <> struct Words<8> { typedef uint2 W; };
template <> struct Words<4> { typedef u32 W; };
template <> struct Words<2> { typedef u16 W; };

template <class T, int V> using Raw = typename Words<V * (int)sizeof(T)>::W;

template <class T> __device__ __forceinline__ void spread(const uint2& w, float (&v)[4], T t) { unpack(w.x, v[0], v[1], t), unpack(w.y, v[2], v[3], t); }
__device__ __forceinline__ void spread(u32 w, float (&v)[1], float) { v[0] = __uint_as_float(w); }
template <class T> __device__ __forceinline__ void spread(u16 w, float (&v)[1], T) { v[0] = toFloat(T{w}); }

template <class T, int V> __device__ __forceinline__ Raw<T, V> loadRaw(const T* from) { return __ldg((const Raw<T, V>*)from); }

// For what another buffer's store may have changed: not through the read-only path. Spelled out, as below.
__device__ __forceinline__ uint4 loadPlain(const uint4* from) {
    uint4 w;
    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w) : "l"(__cvta_generic_to_global(from)) : "memory");
    return w;
}

__device__ __forceinline__ uint2 loadPlain(const uint2* from) {
    uint2 w;
    asm volatile("ld.global.v2.u32 {%0, %1}, [%2];" : "=r"(w.x), "=r"(w.y) : "l"(__cvta_generic_to_global(from)) : "memory");
    return w;
}

template <class W> __device__ __forceinline__ W loadPlain(const W* from) { return *from; }

// One 16-byte load: the compiler makes four of it, 16 bytes apart from lane to lane, which meet in the banks.
__device__ __forceinline__ uint4 loadShared(const uint4* from) {
    uint4 w;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w) : "r"((u32)__cvta_generic_to_shared(from)) : "memory");
    return w;
}

template <class W> __device__ __forceinline__ W loadShared(const W* from) { return *from; }

// Rounds once.
template <class T, int V> __device__ __forceinline__ void store(T* to, const float (&v)[V]) {
    if constexpr (V * sizeof(T) == 16) store16(to, gather(v, T()));
    else if constexpr (V == 4) *(uint2*)to = make_uint2(pack(v[0], v[1], T()), pack(v[2], v[3], T()));
    else *to = fromFloat(v[0], T());
}

// ---- V floats for each of LENGTH threads in shared memory. In 16-byte accesses thread by thread, and in channel order, without bank
// conflicts: float4 j of thread t lies at [j][t], and the planes are 64 bytes apart in the banks.

template <int V, int LENGTH> struct Lanes {
    enum { kPlane = V >= 8 ? LENGTH + 4 : LENGTH };
    __align__(16) float f[V * kPlane];

    __device__ __forceinline__ void put(int t, const float (&v)[V]) {
        if constexpr (V >= 4) {
#pragma unroll
            for (int j = 0; j < V / 4; j++) ((float4*)f)[j * kPlane + t] = make_float4(v[4 * j], v[4 * j + 1], v[4 * j + 2], v[4 * j + 3]);
        } else {
#pragma unroll
            for (int j = 0; j < V; j++) f[j * kPlane + t] = v[j];
        }
    }

    template <int FIRST, int N> __device__ __forceinline__ void get(int t, float (&v)[N]) const {
        if constexpr (N >= 4) {
#pragma unroll
            for (int j = 0; j < N / 4; j++) {
                const float4 w = ((const float4*)f)[(FIRST / 4 + j) * kPlane + t];
                v[4 * j] = w.x, v[4 * j + 1] = w.y, v[4 * j + 2] = w.z, v[4 * j + 3] = w.w;
            }
        } else {
#pragma unroll
            for (int j = 0; j < N; j++) v[j] = f[(FIRST + j) * kPlane + t];
        }
    }

    // Channel c of values FIRST .. FIRST + N - 1, N channels to a thread.
    template <int FIRST, int N> __device__ __forceinline__ float& at(int c) {
        if constexpr (N >= 4) return f[(((FIRST + c % N) >> 2) * kPlane + c / N) * 4 + (c & 3)];
        else return f[FIRST * kPlane + c];
    }
};

// Global f32 per channel -> shared; the caller's barrier makes it visible. Aligned to 16 bytes where V >= 4.
template <int V, int LENGTH> __device__ __forceinline__ void stage(Lanes<V, LENGTH>& to, const float* from, int channels) {
    if constexpr (V >= 4) {
        for (int q = threadIdx.x; 4 * q < channels; q += kThreads)
            ((float4*)to.f)[q % (V / 4) * to.kPlane + q / (V / 4)] = __ldg((const float4*)from + q);
    } else {
        for (int c = threadIdx.x; c < channels; c += kThreads) to.f[c] = __ldg(from + c);
    }
}

// Shared values FIRST .. FIRST + N - 1 per channel -> global.
template <int FIRST, int N, int V, int LENGTH> __device__ __forceinline__ void unstage(float* to, const Lanes<V, LENGTH>& from, int channels) {
    if constexpr (N >= 4) {
        for (int q = threadIdx.x; 4 * q < channels; q += kThreads)
            store16(to + 4 * q, *(const uint4*)((const float4*)from.f + (FIRST / 4 + q % (N / 4)) * from.kPlane + q / (N / 4)));
    } else {
        for (int c = threadIdx.x; c < channels; c += kThreads) to[c] = from.f[FIRST * from.kPlane + c];
    }
}

// Sums v over the rows in flight by a fixed tree: row r takes row r + ceil(R / 2), then R = ceil(R / 2); row 0 ends with the sum.
// Slots of row 0 are never touched. Every thread must call it.
template <int V> __device__ __forceinline__ void sumRows(float (&v)[V], Lanes<V, kThreads>& slots, int row, int perRow) {
    for (int rows = kThreads / perRow; rows > 1;) {
        const int half = (rows + 1) >> 1;
        if (row >= half && row < rows) slots.put(threadIdx.x, v);
        __syncthreads();
        if (row < rows - half) {
            float other[V];
            slots.template get<0>(threadIdx.x + half * perRow, other);
#pragma unroll
            for (int i = 0; i < V; i++) v[i] += other[i];
        }
        rows = half;
    }
}

// ---- slices of pixels, and the blocks that have them

// A ticket is 0 before and after; true for the last of so many blocks. Their stores come before it, with a fence, and a fence comes before what the last one reads.
__device__ __forceinline__ bool isLast(u32* ticket, u32 blocks) { return atomicInc(ticket, blocks - 1) == blocks - 1; }

// body(c, sums) for channels c0 + c of sample n, each by one thread: slices l, l + 4, ... in four lanes, those in order. Not by the read-only path: this launch may
// have stored them. Ends with a barrier.
template <class P, class F> __device__ __forceinline__ void addSlices(const P& p, int n, int c0, int channels, float2 (&lanes)[4][64], F body) {
    const int column = threadIdx.x & 63, l = threadIdx.x >> 6;
    for (int c = column; c - column < channels; c += 64) {
        float2 sum = make_float2(0.0f, 0.0f);
        if (c < channels) {
            const float* from = p.partial + (i64)n * p.slices * 2 * p.C + c0 + c;
            for (int slice = l; slice < p.slices; slice += 4) {
                sum.x += from[(i64)slice * 2 * p.C];
                sum.y += from[((i64)slice * 2 + 1) * p.C];
            }
        }
        lanes[l][column] = sum;
        __syncthreads();
        if (l == 0 && c < channels) {
#pragma unroll
            for (int i = 1; i < 4; i++) sum.x += lanes[i][column].x, sum.y += lanes[i][column].y;
            body(c, sum);
        }
        __syncthreads();
    }
}

// ---- activations: f32 by expf and division, storage types by ex2.approx and rcp.approx (flushing: exp of very negative is 0 either way).
// Both are finite for every finite u: an overflowing exp gives 1 / inf = 0.

template <class T> __device__ __forceinline__ float sigmoid(float u) {
    float e, s;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(u * -1.44269504f));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(s) : "f"(1.0f + e));
    return s;
}

template <> __device__ __forceinline__ float sigmoid<float>(float u) { return 1.0f / (1.0f + expf(-u)); }

template <class T> __device__ __forceinline__ float activate(float u, int act) { return act == kSilu ? u * sigmoid<T>(u) : u; }

// d activate / du
template <class T> __device__ __forceinline__ float activateGrad(float u, int act) {
    if (act != kSilu) return 1.0f;
    const float s = sigmoid<T>(u);
    return s * fmaf(u, 1.0f - s, 1.0f);
}

// ---- the affine map, statistics

// Where mean and rstd of group g of sample n lie.
template <class P> __device__ __forceinline__ i64 groupAt(const P& p, int n, int g) { return ((i64)n * p.G + g) * p.every; }

// a and b of channel c of sample n. b comes from the rounded a, so that a's rounding drops out of a x + b where x is near the mean.
template <class P> __device__ __forceinline__ float2 fold(const P& p, int n, int c, float mean, float rstd) {
    const float one = 1.0f + (p.scale ? __ldg(p.scale + n * p.ldm + c) : 0.0f), a = rstd * __ldg(p.gamma + c) * one;
    return make_float2(a, fmaf(-mean, a, fmaf(__ldg(p.beta + c), one, p.shift ? __ldg(p.shift + n * p.ldm + c) : 0.0f)));
}

// ---- the block's share

struct Share {
    int n, slice, c0, channels;   // sample, slice of pixels, first channel and channels of the slab
    int perRow, inFlight;         // threads per row, rows in flight
    int lane, row;                // this thread: channels V lane .. of row `row`
    bool own;                     // false beyond the last row or channel
};

// Blocks count slices fastest, then slabs, then samples; descending runs samples and slices from the end, so that what an ascending
// launch read last, and L2 still holds, is read first.
template <int V, class P> __device__ __forceinline__ Share shareOf(const P& p, bool descending) {
    Share s;
    u32 b = descending ? gridDim.x - 1 - blockIdx.x : blockIdx.x;
    s.slice = (int)(b % (u32)p.slices), b /= (u32)p.slices;
    s.c0 = (int)(b % (u32)p.slabs) * p.cs, s.n = (int)(b / (u32)p.slabs);
    s.channels = min(p.cs, p.C - s.c0);
    s.perRow = (u32)p.cs / V, s.inFlight = kThreads / s.perRow;
    s.row = (int)(threadIdx.x / (u32)s.perRow), s.lane = (int)threadIdx.x - s.row * s.perRow;
    s.own = s.row < s.inFlight && s.lane * V < s.channels;
    return s;
}

// a and b of the slab: as kept, or folded here where nobody kept them.
template <int V, int LENGTH, class P> __device__ __forceinline__ void stageAffine(Lanes<V, LENGTH>& as, Lanes<V, LENGTH>& bs, const P& p, const Share& s) {
    if (p.ab != nullptr) {
        stage(as, p.ab + (i64)s.n * 2 * p.C + s.c0, s.channels);
        stage(bs, p.ab + ((i64)s.n * 2 + 1) * p.C + s.c0, s.channels);
        return;
    }
    const int D = p.C / p.G;
    for (int i = threadIdx.x; i < s.channels; i += kThreads) {
        const i64 at = groupAt(p, s.n, (s.c0 + i) / D);
        const float2 f = fold(p, s.n, s.c0 + i, __ldg(p.mean + at), __ldg(p.rstd + at));
        as.template at<0, V>(i) = f.x, bs.template at<0, V>(i) = f.y;
    }
}
