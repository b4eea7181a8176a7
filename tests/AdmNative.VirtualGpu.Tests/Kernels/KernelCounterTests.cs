namespace AdmNative.VirtualGpu.Tests.Kernels;

/// <summary>Counters of the shipped kernels against values computed by hand from the shape and the header comments of the sources.</summary>
public sealed class KernelCounterTests
{
    private static Counters Count(KernelCase kernel)
    {
        KernelResult result = kernel.Run(new LaunchOptions(), compareEngines: false);
        Assert.Empty(result.Findings);
        return result.Counters;
    }

    /// <summary>
    /// n = 5003 f32, blocks of 2048 elements: 1250 whole vectors and 3 elements. A warp takes 32 neighbouring vectors: 39 full warp accesses of
    /// 512 bytes (16 sectors), one of 2 lanes (32 bytes, 1 sector), then 3 scalar accesses of 4 bytes (1 sector each), for each array.
    /// </summary>
    [Fact]
    public void Vector_add()
    {
        Counters c = Count(KernelCases.Add("f32", 5003));
        Assert.Equal((2 * (39 + 1 + 3), 2 * ((39 * 16) + 1 + 3), 2 * 5003 * 4), (c.GlobalReadRequests, c.GlobalReadSectors, c.GlobalReadBytes));
        Assert.Equal((39 + 1 + 3, (39 * 16) + 1 + 3, 5003 * 4), (c.GlobalWriteRequests, c.GlobalWriteSectors, c.GlobalWriteBytes));
        Assert.Equal(3 * 2048, c.Flops); // 3 blocks; past the end 0 + 0 is added, not stored
        Assert.Equal((0, 0, 0), (c.SharedRequests, c.Barriers, c.Atomics));
    }

    /// <summary>n = 8192 f16: two blocks of 4096, each 2 vectors of 8 for 256 threads: 16 warp accesses of 16 sectors per array and block.</summary>
    [Fact]
    public void Vector_add_of_halves()
    {
        Counters c = Count(KernelCases.Add("f16", 8192));
        Assert.Equal((2 * 2 * 16, 2 * 2 * 16 * 16, 2 * 8192 * 2), (c.GlobalReadRequests, c.GlobalReadSectors, c.GlobalReadBytes));
        Assert.Equal((2 * 16, 2 * 16 * 16, 8192 * 2), (c.GlobalWriteRequests, c.GlobalWriteSectors, c.GlobalWriteBytes));
        Assert.Equal(8192, c.Flops);
    }

    /// <summary>
    /// n = 10000 f32, three slices, then the finish of three partials.
    /// Reads: 2500 vectors = 78 warp accesses of 16 sectors and one of 4 lanes (2 sectors); the finish one access of 3 lanes (12 bytes, which
    /// begin 4 bytes into the room: 1 sector). Writes: one lane per slice and one for the sum.
    /// A block of 8 warps: 16 additions per thread in stage 1; 5 shuffles and 5 additions of 32 lanes in each warp and again in the first;
    /// one barrier; shared memory 8 single stores and one load of 8 lanes, a pass each. In the finish only three threads add a partial.
    /// </summary>
    [Fact]
    public void Sum()
    {
        Counters c = Count(KernelCases.Sum("f32", 10000));
        Assert.Equal((79 + 1, (78 * 16) + 2 + 1, 40000 + 12), (c.GlobalReadRequests, c.GlobalReadSectors, c.GlobalReadBytes));
        Assert.Equal((4, 4, 16), (c.GlobalWriteRequests, c.GlobalWriteSectors, c.GlobalWriteBytes));
        Assert.Equal((3 * 256 * 16) + (4 * 9 * 5 * 32) + 3, c.Flops);
        Assert.Equal(4 * 9 * 5, c.WarpOperations);
        Assert.Equal(4 * 8, c.Barriers);
        Assert.Equal((4 * 9, 4 * 9, 4 * 9), (c.SharedRequests, c.SharedPasses, c.SharedIdealPasses));
        Assert.Equal(0, c.Atomics);
    }

    /// <summary>
    /// 45 x 70 f32 with rows of 288 and 192 bytes, which are whole sectors: 2 x 3 tiles of 32. A row of x is read in pieces of 32, 32 and 6
    /// elements: 4 + 4 + 1 sectors; a row of y is written in pieces of 32 and 13: 4 + 2 sectors. Every tile is stored whole (zeros past the end).
    /// </summary>
    [Fact]
    public void Transpose()
    {
        Counters c = Count(KernelCases.Transpose("f32", 45, 70, 72, 48));
        Assert.Equal((45 * 3, 45 * 9, 45 * 70 * 4), (c.GlobalReadRequests, c.GlobalReadSectors, c.GlobalReadBytes));
        Assert.Equal((70 * 2, 70 * 6, 45 * 70 * 4), (c.GlobalWriteRequests, c.GlobalWriteSectors, c.GlobalWriteBytes));
        Assert.Equal((6 * 8, 0, 0), (c.Barriers, c.SharedConflicts, c.Flops));
    }

    /// <summary>
    /// 64 x 192 f16: three tiles of 64 x 64. A warp moves 32 words of 2 elements: 128 bytes, 4 sectors. Per tile 64 reads and 64 writes of
    /// device memory; shared memory 32 pairs of rows, 2 stores each, and 64 loads, a pass each.
    /// </summary>
    [Fact]
    public void Transpose_of_halves()
    {
        Counters c = Count(KernelCases.Transpose("f16", 64, 192, 192, 64));
        Assert.Equal((3 * 64, 3 * 64 * 4, 64 * 192 * 2), (c.GlobalReadRequests, c.GlobalReadSectors, c.GlobalReadBytes));
        Assert.Equal((3 * 64, 3 * 64 * 4, 64 * 192 * 2), (c.GlobalWriteRequests, c.GlobalWriteSectors, c.GlobalWriteBytes));
        Assert.Equal((3 * 128, 3 * 128, 3 * 128), (c.SharedRequests, c.SharedPasses, c.SharedIdealPasses));
        Assert.Equal(3 * 8, c.Barriers);
    }

    /// <summary>
    /// 128 x 128 x 96: one tile, 3 steps, 4 warps.
    /// Per step: 16 KiB copied by 8 instructions per warp, each 512 bytes (16 sectors; into shared memory 4 passes, one per 8 lanes);
    /// 16 ldmatrix.x4 per warp, 4 passes each; 64 mma per warp; one barrier.
    /// At the end: one barrier; 64 word stores per warp, a pass each; 16 vector loads per warp, 4 passes each, and as many vector stores to C,
    /// 16 sectors each. No pass is lost.
    /// </summary>
    [Theory]
    [InlineData("nt", "f16")]
    [InlineData("nn", "bf16")]
    public void Tensor_core_product(string form, string dtype)
    {
        Counters c = Count(KernelCases.Gemm(form, dtype, 128, 128, 96));
        Assert.Equal((3 * 32, 3 * 32 * 16, 3 * 16384), (c.GlobalReadRequests, c.GlobalReadSectors, c.GlobalReadBytes));
        Assert.Equal((64, 64 * 16, 128 * 128 * 2), (c.GlobalWriteRequests, c.GlobalWriteSectors, c.GlobalWriteBytes));
        Assert.Equal((3 * (32 + 64)) + 256 + 64, c.SharedRequests);
        Assert.Equal((3 * (128 + 256)) + 256 + 256, c.SharedPasses);
        Assert.Equal(c.SharedPasses, c.SharedIdealPasses);
        Assert.Equal((3 * 256, 2L * 128 * 128 * 96, 4 * 4), (c.MmaInstructions, c.MmaFlops, c.Barriers));
        Assert.Equal([("m16n8k16" + dtype + "f32", 3 * 256L)], [.. c.MmaByShape.Select(s => (s.Key, s.Value))]);
        Assert.Equal(0, c.DivergentBranches);
    }

    /// <summary>
    /// 130 x 129 x 40: 2 x 2 tiles and 2 steps, the second with 8 of 32 k. All mma of the padded tiles are made: 4 tiles x 2 steps x 256.
    /// The copies read what exists, in each of the two columns of tiles (A) and rows of tiles (B^T). Rows lie 80 bytes apart, so those with even
    /// numbers begin on a sector and those with odd numbers in the middle of one: of step 0, 64 bytes, 2 or 3 sectors; of step 1, 16 bytes, one.
    /// A: 65 x 2 + 65 x 3 + 130 = 455; B^T: 65 x 2 + 64 x 3 + 129 = 451.
    /// </summary>
    [Fact]
    public void Tensor_core_product_with_tails()
    {
        Counters c = Count(KernelCases.Gemm("nt", "f16", 130, 129, 40));
        Assert.Equal(4 * 2 * 256, c.MmaInstructions);
        Assert.Equal(4 * 4 * 3, c.Barriers);
        Assert.Equal((2 * (130 + 129) * 80, 2 * (455 + 451)), (c.GlobalReadBytes, c.GlobalReadSectors));
        Assert.Equal(0, c.SharedConflicts);
        Assert.Equal(130 * 129 * 2, c.GlobalWriteBytes);
    }

    /// <summary>
    /// 2 samples of 1000: 250 quads each, in 2 blocks of 128 threads: 7 full warp stores of 512 bytes and one of 26 lanes, 125 sectors a sample.
    /// Nothing is read, nothing shared.
    /// </summary>
    [Fact]
    public void Normals()
    {
        Counters c = Count(KernelCases.Normals(1, 0, 5, 2, 1000, 1000));
        Assert.Equal((2 * 8, 2 * 125, 2 * 4000), (c.GlobalWriteRequests, c.GlobalWriteSectors, c.GlobalWriteBytes));
        Assert.Equal((0, 0, 0, 0), (c.GlobalReadRequests, c.SharedRequests, c.Barriers, c.LocalInstructions));
    }
}
