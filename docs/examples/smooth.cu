// Smooths a signal and sums it: y[i] = (x[i-1] + x[i] + x[i+1]) / 3 inside, x[i] at the ends; total[b] = sum of block b's y.
// Three bugs are planted; docs/virtual-device.md finds them. smooth-fixed.cu is the kernel without them.

struct Params {
    float* y;        // [n]
    float* total;    // [blocks]
    const float* x;  // [n]
    int n;
};

extern "C" __global__ void smooth(const __grid_constant__ Params p) {
    __shared__ float tile[130];  // this block's 128 elements and one neighbour on each side
    __shared__ float sum[4];
    int i = blockIdx.x * 128 + threadIdx.x;
    if (i < p.n) tile[threadIdx.x + 1] = p.x[i];
    if (threadIdx.x == 0 && i > 0) tile[0] = p.x[i - 1];
    if (threadIdx.x == 127) tile[129] = p.x[i + 1];

    float v = 0.0f;
    if (i < p.n) {
        __syncthreads();
        bool inside = i > 0 && i < p.n - 1;
        v = inside ? (tile[threadIdx.x] + tile[threadIdx.x + 1] + tile[threadIdx.x + 2]) / 3.0f : tile[threadIdx.x + 1];
        p.y[i] = v;
    }

    for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(0xffffffffu, v, d);
    if ((threadIdx.x & 31) == 0) sum[threadIdx.x >> 5] = v;
    if (threadIdx.x == 0) p.total[blockIdx.x] = sum[0] + sum[1] + sum[2] + sum[3];
}
