// Standard normals that are a function of (seed, sample, step, element): what PhiloxNoise draws on the host, from the same integers.
//
// Words r0..r3 = Philox4x32-10, key = (low, high half of seed), counter = (element / 4, step, low, high half of the sample's number).
// Elements 4 q, 4 q + 1 come from (r0, r1) and 4 q + 2, 4 q + 3 from (r2, r3) by Box-Muller (philox.cuh). The host evaluates the
// formula in double and rounds once; |z - host| <= 2^-21 |z|. So a sample's noise does not depend on the batch it is in.
// Traffic: writes samples x elements f32; a thread makes four elements and writes 16 bytes when ld is a multiple of 4.
//
// launch noise_normal_f32(NormalParams): block 128; grid x = samples ceil(elements / 512), blocks of a sample side by side; shared 0;
//        y 16-byte aligned; samples, elements >= 1.
// Budget: 40 registers, no spills, no shared memory.
#include "common/philox.cuh"
#include "common/vec.cuh"

struct NormalParams {
    float* y;          // [samples, elements], row stride ld
    i64 ld;            // elements; multiple of 4 for 16-byte stores
    u64 seed;          // key
    i64 firstSample;   // number of row 0's sample in the run
    int step;          // of the running process; x_T is -1
    int samples;       // rows
    int elements;      // per sample
    int reserved;      // 0
};
FIELD(NormalParams, y, 0, 8);
FIELD(NormalParams, ld, 8, 8);
FIELD(NormalParams, seed, 16, 8);
FIELD(NormalParams, firstSample, 24, 8);
FIELD(NormalParams, step, 32, 4);
FIELD(NormalParams, samples, 36, 4);
FIELD(NormalParams, elements, 40, 4);
FIELD(NormalParams, reserved, 44, 4);
SIZE(NormalParams, 48);

extern "C" __global__ void __launch_bounds__(128, 8) noise_normal_f32(const __grid_constant__ NormalParams p) {
    const int blocks = (p.elements - 1) / 512 + 1;   // of one sample
    const int row = (int)blockIdx.x / blocks, quad = (int)blockIdx.x % blocks * 128 + threadIdx.x;
    const int left = p.elements - 4 * quad;
    if (left <= 0) return;

    // draw
    const u64 sample = (u64)(p.firstSample + row);
    const uint4 r = philox(make_uint4((u32)quad, (u32)p.step, (u32)sample, (u32)(sample >> 32)), (u32)p.seed, (u32)(p.seed >> 32));
    float z[4];
    normals(r.x, r.y, z[0], z[1]);
    normals(r.z, r.w, z[2], z[3]);

    // store
    float* y = p.y + row * p.ld + 4 * quad;
    if ((p.ld & 3) == 0) {
        storeVec<false>(y, left, z);
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < left) y[i] = z[i];
    }
}
