// What all convolution kernels share: division by constants of the launch, chunks at the end of a row, and the ring of stages.
#pragma once
#include "mma.cuh"
#include "vec.cuh"

enum { kThreads = 128 };   // of a block

// n / d for n < 2^31 by multiplication: magic = ceil(2^(31 + shift) / d), shift = ceil(log2 d).
__device__ __forceinline__ int divide(int n, u32 magic, u32 shift) { return (int)(__umulhi((u32)n << 1, magic) >> shift); }

// Bytes of a 16-byte chunk that exist when `left` elements remain.
template <class T> __device__ __forceinline__ int bytesLeft(int left) { return min(max(left * (int)sizeof(T), 0), 16); }

// Steps begin .. end - 1: each is copied STAGES - 1 steps ahead and multiplied once; one wait and one barrier per step. The barrier says both that
// a stage has arrived and that the stage about to be filled has been read.
template <int STAGES, class Loader, class Params, class Multiply>
__device__ __forceinline__ void convSteps(const Params& p, Loader& loader, int begin, int end, u32 ring, Multiply multiplyStage) {
    enum { kStageBytes = 2 * Loader::kOperandBytes };
    u32 write = ring, read = ring;
    const auto issue = [&](int step) {   // a step past the end copies nothing
        if (step < end) {
            loader.issue(p, write);
            write = write == ring + (STAGES - 1) * kStageBytes ? ring : write + kStageBytes;
        }
        commitCopies();
    };
#pragma unroll 1
    for (int s = 0; s < STAGES - 1; s++) issue(begin + s);
    for (int step = begin; step < end; step++) {
        waitCopies<STAGES - 2>();
        __syncthreads();
        issue(step + STAGES - 1);
        multiplyStage(read);
        read = read == ring + (STAGES - 1) * kStageBytes ? ring : read + kStageBytes;
    }
}
