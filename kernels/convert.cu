// Images between the outside and the network: NCHW f32 <-> NHWC of any type, bytes <-> [-1, 1].
//
// convert_to_nhwc: y[n, p, c] = x[n, c, p], rounded once; channels from C to the row's padded width become 0 (a stem reads 8 of an image's 3).
//   A block turns 64 pixels x 32 channels through shared memory: reads of 64 pixels, writes of 32 channels. Traffic: S 4 + N P width b, S = N P C.
// convert_to_nchw: y[n, c, p] = x[n, p, c], C channels; the padding is not read. Traffic: S (b + 4).
// convert_from_bytes: y[n, c, p] = x[n, p, c] / 127.5 - 1, x bytes, IEEE operations one after the other as the reference's. Traffic: 5 S.
// convert_to_bytes: y[n, p, c] = (x[n, c, p] + 1) 127.5 clamped to 0 .. 255 and cut off; NaN becomes 0. Traffic: 5 S.
//   Bytes: a thread has 4 neighbouring pixels' channels: 4 C neighbouring bytes, by words where the image's are whole words.
// Deterministic: one writer per element, no sums.
//
// launch convert_to_nhwc_{f32,f16,bf16}(ConvertLayoutParams): block 256; grid x = N ceil(P / 64) ceil(width / 32); shared 0; 4-byte aligned f32, y aligned to its
//        elements; C <= width <= ldy; P, C below 2^24.
// launch convert_to_nchw_{f32,f16,bf16}(ConvertLayoutParams): block 256; grid x = N ceil(P / 64) ceil(C / 32); shared 0; as above, width is not used.
// launch convert_from_bytes_f32(ConvertBytesParams): block 256; grid x = N ceil(P / 1024); shared 0; 1 <= C <= 4; x, y 16-byte aligned; P C < 2^31.
// launch convert_to_bytes_f32(ConvertBytesParams): block 256; grid x = N ceil(P / 1024); shared 0; as above.
// Budget: 64 registers, no spills; 8.3 KiB of static shared memory (layouts).
#include "common/vec.cuh"

struct ConvertLayoutParams {
    const void* x;        // to_nhwc: [N, C, P] f32; to_nchw: [N, P, C] T, row stride ld
    void* y;              // to_nhwc: [N, P, width] T, row stride ld; to_nchw: [N, C, P] f32
    i64 ld;               // elements between pixels
    int N, P, C;          // samples, pixels of a sample, channels
    int width;            // channels written, zeros from C on
};
FIELD(ConvertLayoutParams, x, 0, 8);
FIELD(ConvertLayoutParams, y, 8, 8);
FIELD(ConvertLayoutParams, ld, 16, 8);
FIELD(ConvertLayoutParams, N, 24, 4);
FIELD(ConvertLayoutParams, P, 28, 4);
FIELD(ConvertLayoutParams, C, 32, 4);
FIELD(ConvertLayoutParams, width, 36, 4);
SIZE(ConvertLayoutParams, 40);

struct ConvertBytesParams {
    const void* x;        // from: [N, P, C] bytes; to: [N, C, P] f32
    void* y;              // from: [N, C, P] f32; to: [N, P, C] bytes
    int N, P, C;          // samples, pixels of a sample, channels
    int round;            // to: 1 rounds to nearest even instead of cutting off
};
FIELD(ConvertBytesParams, x, 0, 8);
FIELD(ConvertBytesParams, y, 8, 8);
FIELD(ConvertBytesParams, N, 16, 4);
FIELD(ConvertBytesParams, P, 20, 4);
FIELD(ConvertBytesParams, C, 24, 4);
FIELD(ConvertBytesParams, round, 28, 4);
SIZE(ConvertBytesParams, 32);

enum { kThreads = 256, kPixels = 64, kChannels = 32, kTile = kChannels * kPixels + 2 * kChannels, kQuads = 4 * kThreads };

// Threads take (pixel, channel) of rows of few channels as if there were a power of two of them: this says which.
__device__ __forceinline__ int bitsOf(int channels) { return channels == 1 ? 0 : 32 - __clz(channels - 1); }

// Floats between a tile's channels: 32 such threads fall into different banks.
__device__ __forceinline__ int strideOf(int bits) { return kPixels + (kChannels >> bits); }

// A block's place: sample, first pixel, first channel.
struct ConvertPlace {
    int n, p0, c0;
    __device__ __forceinline__ ConvertPlace(const ConvertLayoutParams& p, int channels) {
        const int tilesP = (p.P - 1) / kPixels + 1, tilesC = (channels - 1) / kChannels + 1, rest = (int)blockIdx.x / tilesC;
        c0 = ((int)blockIdx.x - rest * tilesC) * kChannels, n = rest / tilesP, p0 = (rest - n * tilesP) * kPixels;
    }
};

template <class T> __device__ __forceinline__ void toNhwc(const ConvertLayoutParams& p) {
    __shared__ float tile[kTile];
    const ConvertPlace at(p, p.width);
    const int channels = min((int)kChannels, p.width - at.c0), pixels = min((int)kPixels, p.P - at.p0), bits = bitsOf(channels), stride = strideOf(bits), lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const float* x = (const float*)p.x + ((i64)at.n * p.C + at.c0) * p.P + at.p0;
#pragma unroll
    for (int i = 0; i < kChannels * kPixels; i += kThreads) {   // a warp reads 32 pixels of a channel
        const int c = (i + 32 * warp) / kPixels, q = (i + 32 * warp) % kPixels + lane;
        if (c < channels) tile[c * stride + q] = at.c0 + c < p.C && q < pixels ? __ldg(x + (i64)c * p.P + q) : 0.0f;
    }
    __syncthreads();

    // neighbouring threads take neighbouring channels, however few there are
    T* y = (T*)p.y + ((i64)at.n * p.P + at.p0) * p.ld + at.c0;
    for (int i = threadIdx.x; i < pixels << bits; i += kThreads) {
        const int q = i >> bits, c = i & ((1 << bits) - 1);
        if (c < channels) y[q * p.ld + c] = fromFloat(tile[c * stride + q], T());
    }
}

template <class T> __device__ __forceinline__ void toNchw(const ConvertLayoutParams& p) {
    __shared__ float tile[kTile];
    const ConvertPlace at(p, p.C);
    const int channels = min((int)kChannels, p.C - at.c0), pixels = min((int)kPixels, p.P - at.p0), bits = bitsOf(channels), stride = strideOf(bits);
    const T* x = (const T*)p.x + ((i64)at.n * p.P + at.p0) * p.ld + at.c0;
    for (int i = threadIdx.x; i < pixels << bits; i += kThreads) {
        const int q = i >> bits, c = i & ((1 << bits) - 1);
        if (c < channels) tile[c * stride + q] = toFloat(x[q * p.ld + c]);
    }
    __syncthreads();
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    float* y = (float*)p.y + ((i64)at.n * p.C + at.c0) * p.P + at.p0;
#pragma unroll
    for (int i = 0; i < kChannels * kPixels; i += kThreads) {
        const int c = (i + 32 * warp) / kPixels, q = (i + 32 * warp) % kPixels + lane;
        if (c < channels && q < pixels) y[(i64)c * p.P + q] = tile[c * stride + q];
    }
}

// Byte b of the 4 C bytes of four pixels is channel b % C of pixel b / C. Loops over C are unrolled by template, so that nothing is indexed at run time.
template <int C> __device__ __forceinline__ void fromBytes(const ConvertBytesParams& p, int n, int q) {
    u32 words[C];
    const u8* x = (const u8*)p.x + ((i64)n * p.P + q) * C;
    const int left = min(4, p.P - q);
    float* y = (float*)p.y + (i64)n * C * p.P + q;
    const bool whole = p.P % 4 == 0;   // then every address is a whole number of words
#pragma unroll
    for (int w = 0; w < C; w++) {
        words[w] = 0;
        if (whole) words[w] = __ldg((const u32*)x + w);
        else
#pragma unroll
            for (int b = 0; b < 4; b++)
                if (4 * w + b < left * C) words[w] |= (u32)x[4 * w + b] << (8 * b);
    }
#pragma unroll
    for (int c = 0; c < C; c++) {
        float v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int b = i * C + c;
            v[i] = __fdiv_rn((float)((words[b / 4] >> (8 * (b % 4))) & 255u), 127.5f) - 1.0f;
        }
        if (whole) {
            *(float4*)(y + (i64)c * p.P) = make_float4(v[0], v[1], v[2], v[3]);
        } else {
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (i < left) y[(i64)c * p.P + i] = v[i];
        }
    }
}

template <int C> __device__ __forceinline__ void toBytes(const ConvertBytesParams& p, int n, int q) {
    u32 words[C] = {};
    const float* x = (const float*)p.x + (i64)n * C * p.P + q;
    const int left = min(4, p.P - q);
    u8* y = (u8*)p.y + ((i64)n * p.P + q) * C;
    const bool whole = p.P % 4 == 0;
#pragma unroll
    for (int c = 0; c < C; c++) {
        float v[4];
        loadVec<false>(x + (i64)c * p.P, whole ? 4 : 0, v);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (!whole && i < left) v[i] = __ldg(x + (i64)c * p.P + i);
            const float u = fminf(fmaxf(__fmul_rn(__fadd_rn(v[i], 1.0f), 127.5f), 0.0f), 255.0f);   // NaN: 0
            const int b = i * C + c;
            words[b / 4] |= (u32)(p.round ? __float2int_rn(u) : __float2int_rz(u)) << (8 * (b % 4));
        }
    }
#pragma unroll
    for (int w = 0; w < C; w++) {
        if (whole) *((u32*)y + w) = words[w];
        else
#pragma unroll
            for (int b = 0; b < 4; b++)
                if (4 * w + b < left * C) y[4 * w + b] = (u8)(words[w] >> (8 * b));
    }
}

template <bool TO, int C> __device__ __forceinline__ void bytes(const ConvertBytesParams& p, int n, int q) {
    if (TO) toBytes<C>(p, n, q);
    else fromBytes<C>(p, n, q);
}

template <bool TO> __device__ __forceinline__ void convertBytes(const ConvertBytesParams& p) {
    const int chunks = (p.P - 1) / kQuads + 1, n = (int)blockIdx.x / chunks, q = ((int)blockIdx.x - n * chunks) * kQuads + 4 * threadIdx.x;
    if (q >= p.P) return;
    if (p.C == 3) bytes<TO, 3>(p, n, q);
    else if (p.C == 1) bytes<TO, 1>(p, n, q);
    else if (p.C == 2) bytes<TO, 2>(p, n, q);
    else bytes<TO, 4>(p, n, q);
}

#define KERNEL(name, Params, ...) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ Params p) { __VA_ARGS__(p); }
KERNEL(convert_to_nhwc_f32, ConvertLayoutParams, toNhwc<float>)
KERNEL(convert_to_nhwc_f16, ConvertLayoutParams, toNhwc<f16>)
KERNEL(convert_to_nhwc_bf16, ConvertLayoutParams, toNhwc<bf16>)
KERNEL(convert_to_nchw_f32, ConvertLayoutParams, toNchw<float>)
KERNEL(convert_to_nchw_f16, ConvertLayoutParams, toNchw<f16>)
KERNEL(convert_to_nchw_bf16, ConvertLayoutParams, toNchw<bf16>)
KERNEL(convert_from_bytes_f32, ConvertBytesParams, convertBytes<false>)
KERNEL(convert_to_bytes_f32, ConvertBytesParams, convertBytes<true>)
