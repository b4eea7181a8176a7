// Nearest upsampling by 2, mean of 2x2 pixels, and bilinear resizing; images NHWC with row strides, f32 inside, rounded once.
//
//   resample_up2       y[h, w] = factor x[h / 2, w / 2]                      gradient: down2 with 4 factor
//   resample_down2     y[h, w] = factor / 4 (sum of x[2 h .. 2 h + 1, 2 w .. 2 w + 1])   gradient: up2 with factor / 4
//   resample_bilinear  half-pixel centres, no antialiasing: position max((i + 0.5) in / out - 0.5, 0), weights between neighbours
// up2 and down2 count items of the small image [N h, w]: a thread copies one vector of V channels (16 bytes; _narrow: one channel) to four
// places or adds four; up2 takes 2 items, _narrow 4. bilinear: one channel of one pixel of y per thread, as only images of 3 channels need it.
// Traffic, s elements of the small image: up2, down2 5 s b. bilinear: N H' W' C 5 b (every neighbour counted).
//
// launch resample_{up2,down2}_{f32,f16,bf16}(ResampleParams): block 256; grid x = ceil(items / 512), ceil(items / 256); shared 0; C and strides
//        multiples of 16 / sizeof(T); x, y 16-byte aligned; 1 <= items < 2^31; even H and W of the large image. Not in place.
// launch resample_{up2,down2}_narrow_{f32,f16,bf16}(ResampleParams): block 256; grid x = ceil(items / 1024); shared 0; items = elements.
// launch resample_bilinear_{f32,f16,bf16}(ResampleParams): block 256; grid x = ceil(items / 256); shared 0; items = elements of y.
// Budget: 64 registers, no spills, no shared memory. Deterministic: one writer per element.
#include "common/vec.cuh"

struct ResampleParams {
    const void* x;       // [N, H, W, C] T
    void* y;             // [N, H', W', C] T
    i64 ldx, ldy;        // elements between pixels
    u32 items;           // N h w chunks, or elements of y
    u32 chunks;          // vectors of a pixel
    u32 magicChunks;     // q / chunks = q magic >> shift
    int shiftChunks;
    u32 magicWidth;      // the same for w; bilinear: for W'
    int shiftWidth;
    int w;               // columns of the small image; bilinear: of y
    int h;               // bilinear: rows of y
    int inW, inH;        // bilinear: of x
    float factor;        // of the result; down2: a quarter of it
    float scaleX;        // bilinear: W / W'
    float scaleY;        // bilinear: H / H'
    int reserved;        // 0
};
FIELD(ResampleParams, x, 0, 8);
FIELD(ResampleParams, y, 8, 8);
FIELD(ResampleParams, ldx, 16, 8);
FIELD(ResampleParams, ldy, 24, 8);
FIELD(ResampleParams, items, 32, 4);
FIELD(ResampleParams, chunks, 36, 4);
FIELD(ResampleParams, magicChunks, 40, 4);
FIELD(ResampleParams, shiftChunks, 44, 4);
FIELD(ResampleParams, magicWidth, 48, 4);
FIELD(ResampleParams, shiftWidth, 52, 4);
FIELD(ResampleParams, w, 56, 4);
FIELD(ResampleParams, h, 60, 4);
FIELD(ResampleParams, inW, 64, 4);
FIELD(ResampleParams, inH, 68, 4);
FIELD(ResampleParams, factor, 72, 4);
FIELD(ResampleParams, scaleX, 76, 4);
FIELD(ResampleParams, scaleY, 80, 4);
FIELD(ResampleParams, reserved, 84, 4);
SIZE(ResampleParams, 88);

enum { kThreads = 256 };

__device__ __forceinline__ u32 divide(u32 q, u32 magic, int shift) { return (u32)(((u64)q * magic) >> shift); }

template <int V, class T> __device__ __forceinline__ void load(const T* from, float (&v)[V]) {
    if constexpr (V == 1) v[0] = toFloat(*from);
    else loadVec<true>(from, 0, v);
}

template <int V, class T> __device__ __forceinline__ void store(T* to, const float (&v)[V]) {
    if constexpr (V == 1) *to = fromFloat(v[0], T());
    else storeVec<true>(to, 0, v);
}

// Item q: pixel of the small image, first channel, and the upper left of its four pixels in the large image.
struct Place { i64 small, large; int c; };

template <int V> __device__ __forceinline__ Place placeOf(const ResampleParams& p, u32 q) {
    const u32 pixel = divide(q, p.magicChunks, p.shiftChunks), row = divide(pixel, p.magicWidth, p.shiftWidth);
    return Place{(i64)pixel, (i64)(2 * row) * (2 * p.w) + 2 * (pixel - row * p.w), (int)(q - pixel * p.chunks) * V};
}

template <class T, int V, int K> __device__ __forceinline__ void up2(const ResampleParams& p) {
    const u32 first = blockIdx.x * (kThreads * K) + threadIdx.x;
    float v[K][V];
#pragma unroll
    for (int k = 0; k < K; k++) {
        const u32 q = first + k * kThreads;
        if (q >= p.items) continue;
        const Place at = placeOf<V>(p, q);
        load((const T*)p.x + at.small * p.ldx + at.c, v[k]);
    }
#pragma unroll
    for (int k = 0; k < K; k++) {
        const u32 q = first + k * kThreads;
        if (q >= p.items) continue;
        const Place at = placeOf<V>(p, q);
#pragma unroll
        for (int i = 0; i < V; i++) v[k][i] *= p.factor;
        T* y = (T*)p.y + at.large * p.ldy + at.c;
#pragma unroll
        for (int corner = 0; corner < 4; corner++) store(y + ((corner >> 1) * 2 * (i64)p.w + (corner & 1)) * p.ldy, v[k]);
    }
}

template <class T, int V, int K> __device__ __forceinline__ void down2(const ResampleParams& p) {
    const u32 first = blockIdx.x * (kThreads * K) + threadIdx.x;
    float v[K][4][V];
#pragma unroll
    for (int k = 0; k < K; k++) {
        const u32 q = first + k * kThreads;
        if (q >= p.items) continue;
        const Place at = placeOf<V>(p, q);
        const T* x = (const T*)p.x + at.large * p.ldx + at.c;
#pragma unroll
        for (int corner = 0; corner < 4; corner++) load(x + ((corner >> 1) * 2 * (i64)p.w + (corner & 1)) * p.ldx, v[k][corner]);
    }
#pragma unroll
    for (int k = 0; k < K; k++) {
        const u32 q = first + k * kThreads;
        if (q >= p.items) continue;
        const Place at = placeOf<V>(p, q);
#pragma unroll
        for (int i = 0; i < V; i++) v[k][0][i] = p.factor * ((v[k][0][i] + v[k][1][i]) + (v[k][2][i] + v[k][3][i]));
        store((T*)p.y + at.small * p.ldy + at.c, v[k][0]);
    }
}

// Neighbours of output i and the weight of the second.
__device__ __forceinline__ void neighbours(int i, float scale, int size, int& low, int& high, float& weight) {
    const float position = fmaxf(fmaf((float)i + 0.5f, scale, -0.5f), 0.0f);
    low = min((int)position, size - 1), high = min(low + 1, size - 1), weight = position - (float)low;
}

template <class T> __device__ __forceinline__ void bilinear(const ResampleParams& p) {
    const u32 q = blockIdx.x * kThreads + threadIdx.x;
    if (q >= p.items) return;
    const u32 pixel = divide(q, p.magicChunks, p.shiftChunks), row = divide(pixel, p.magicWidth, p.shiftWidth), n = row / (u32)p.h;
    const int c = (int)(q - pixel * p.chunks);
    int x0, x1, y0, y1;
    float u, v, corners[4];
    neighbours((int)(pixel - row * p.w), p.scaleX, p.inW, x0, x1, u);
    neighbours((int)(row - n * p.h), p.scaleY, p.inH, y0, y1, v);
    const T* x = (const T*)p.x + (i64)n * p.inH * p.inW * p.ldx + c;
#pragma unroll
    for (int k = 0; k < 4; k++) corners[k] = toFloat(x[((i64)(k >> 1 ? y1 : y0) * p.inW + (k & 1 ? x1 : x0)) * p.ldx]);
    const float top = fmaf(u, corners[1] - corners[0], corners[0]), bottom = fmaf(u, corners[3] - corners[2], corners[2]);
    ((T*)p.y)[(i64)pixel * p.ldy + c] = fromFloat(fmaf(v, bottom - top, top), T());
}

#define RESAMPLE(name, body, K) \
    RESAMPLE_TYPE(name##_f32, (body<float, 4, K>)) RESAMPLE_TYPE(name##_f16, (body<f16, 8, K>)) RESAMPLE_TYPE(name##_bf16, (body<bf16, 8, K>)) \
    RESAMPLE_TYPE(name##_narrow_f32, (body<float, 1, 4>)) RESAMPLE_TYPE(name##_narrow_f16, (body<f16, 1, 4>)) \
    RESAMPLE_TYPE(name##_narrow_bf16, (body<bf16, 1, 4>))
#define RESAMPLE_TYPE(name, body) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ ResampleParams p) { body(p); }
RESAMPLE(resample_up2, up2, 2)
RESAMPLE(resample_down2, down2, 1)
RESAMPLE_TYPE(resample_bilinear_f32, bilinear<float>)
RESAMPLE_TYPE(resample_bilinear_f16, bilinear<f16>)
RESAMPLE_TYPE(resample_bilinear_bf16, bilinear<bf16>)
