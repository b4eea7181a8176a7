// Embeddings of timesteps and class labels, and the gradient of the label table.
//
//   embed_timestep     y[n, i] = cos(t[n] f_i), y[n, half + i] = sin(t[n] f_i), f_i = exp(-i ln(maxPeriod) / half), half = dim / 2; an odd last
//                      column is 0. The angle and its reduction to one turn are f64 (a few thousand values in all): an f32 angle near 1000 would
//                      leave 6e-5, and fast sine less
//   embed_label        y[n] = table[label[n]] (+ add[n], if given); a label outside the table gives NaN
//   embed_label_grad   dtable[k] = sum of dy[n] over the n with label[n] = k, in ascending n (+ dtable[k], if asked); f32
// Traffic, b bytes per element: timestep N dim b + 4 N dim / 2 (t once per pair); label 2 N E b (+ N E b) + 4 N E; label_grad: N E b + 4 K E (8 K E
// when accumulating) + 4 N per warp, which reads all labels once, 32 at a time.
// One thread per element (timestep: per pair). Deterministic: one writer per element, ascending sums.
//
// launch embed_timestep_{f32,f16,bf16}(EmbedParams): block 256; grid x = ceil(N ceil(E / 2) / 256), E = dim; shared 0.
// launch embed_label_{f32,f16,bf16}(EmbedParams): block 256; grid x = N ceil(E / 256); shared 0.
// launch embed_label_grad_{f32,f16,bf16}(EmbedParams): block 256; grid x = K ceil(E / 256); shared 0.
// Budget: 48 registers, no spills, no shared memory.
#include "common/types.cuh"

struct EmbedParams {
    const float* t;        // timestep: [N]
    const int* labels;     // label, label_grad: [N]
    const void* table;     // label: [K, E] T
    const void* add;       // label: [N, lda] T or null
    const void* dy;        // label_grad: [N, ldy] T
    void* y;               // timestep, label: [N, ldy] T
    float* dtable;         // label_grad: [K, E]
    i64 ldy;               // elements between rows of y or dy
    i64 lda;               // elements between rows of add
    double rate;           // timestep: -ln(maxPeriod) / half
    int N;                 // samples
    int E;                 // columns
    int K;                 // rows of the table
    int accumulate;        // label_grad: 1 adds to dtable
};
FIELD(EmbedParams, t, 0, 8);
FIELD(EmbedParams, labels, 8, 8);
FIELD(EmbedParams, table, 16, 8);
FIELD(EmbedParams, add, 24, 8);
FIELD(EmbedParams, dy, 32, 8);
FIELD(EmbedParams, y, 40, 8);
FIELD(EmbedParams, dtable, 48, 8);
FIELD(EmbedParams, ldy, 56, 8);
FIELD(EmbedParams, lda, 64, 8);
FIELD(EmbedParams, rate, 72, 8);
FIELD(EmbedParams, N, 80, 4);
FIELD(EmbedParams, E, 84, 4);
FIELD(EmbedParams, K, 88, 4);
FIELD(EmbedParams, accumulate, 92, 4);
SIZE(EmbedParams, 96);

enum { kThreads = 256 };

template <class T> __device__ __forceinline__ void timestep(const EmbedParams& p) {
    const int half = p.E / 2, pairs = (p.E + 1) / 2;
    const i64 q = (i64)blockIdx.x * kThreads + threadIdx.x;
    const int n = (int)(q / pairs), i = (int)(q - (i64)n * pairs);
    if (n >= p.N) return;
    T* y = (T*)p.y + n * p.ldy;
    if (i == half) {   // the odd column
        y[p.E - 1] = fromFloat(0.0f, T());
        return;
    }

    const double turns = (double)p.t[n] * exp(p.rate * i) * 0.15915494309189535;   // 1 / 2 pi
    float sine, cosine;
    sincospif((float)(2.0 * (turns - rint(turns))), &sine, &cosine);
    y[i] = fromFloat(cosine, T());
    y[half + i] = fromFloat(sine, T());
}

template <class T> __device__ __forceinline__ void label(const EmbedParams& p) {
    const int across = (p.E + kThreads - 1) / kThreads, n = (int)(blockIdx.x / (u32)across), e = (int)(blockIdx.x - n * across) * kThreads + threadIdx.x;
    if (e >= p.E) return;
    const int k = __ldg(p.labels + n);
    float v = __int_as_float(0x7fffffff);
    if (k >= 0 && k < p.K) v = toFloat(((const T*)p.table)[(i64)k * p.E + e]);
    if (p.add != nullptr) v += toFloat(((const T*)p.add)[n * p.lda + e]);
    ((T*)p.y)[n * p.ldy + e] = fromFloat(v, T());
}

template <class T> __device__ __forceinline__ void labelGrad(const EmbedParams& p) {
    const int across = (p.E + kThreads - 1) / kThreads, k = (int)(blockIdx.x / (u32)across), lane = threadIdx.x & 31;
    const int e = (int)(blockIdx.x - k * across) * kThreads + threadIdx.x;
    const T* dy = (const T*)p.dy + e;
    float sum = p.accumulate && e < p.E ? p.dtable[(i64)k * p.E + e] : 0.0f;
    for (int first = 0; first < p.N; first += 32) {
        const int n = first + lane;
        u32 rows = __ballot_sync(0xffffffffu, n < p.N && __ldg(p.labels + min(n, p.N - 1)) == k);
        for (; rows != 0; rows &= rows - 1) {   // ascending; the same rows for all lanes
            const i64 row = first + __ffs((int)rows) - 1;
            if (e < p.E) sum += toFloat(dy[row * p.ldy]);
        }
    }
    if (e < p.E) p.dtable[(i64)k * p.E + e] = sum;
}

#define EMBED(name, body) EMBED_TYPE(name##_f32, body<float>) EMBED_TYPE(name##_f16, body<f16>) EMBED_TYPE(name##_bf16, body<bf16>)
#define EMBED_TYPE(name, body) \
    extern "C" __global__ void __launch_bounds__(256, 4) name(const __grid_constant__ EmbedParams p) { body(p); }
EMBED(embed_timestep, timestep)
EMBED(embed_label, label)
EMBED(embed_label_grad, labelGrad)
