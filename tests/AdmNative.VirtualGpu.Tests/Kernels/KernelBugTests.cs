using System.Text.RegularExpressions;

namespace AdmNative.VirtualGpu.Tests.Kernels;

/// <summary>Bugs planted into the shipped PTX by text edit: the check fires at the source line that suffers. The unedited text is silent.</summary>
public sealed class KernelBugTests
{
    /// <summary>Replaces the n-th match of a pattern in an entry; it must exist.</summary>
    private static Func<string, string> Edit(string entry, string pattern, string replacement, int nth = 0) => ptx =>
    {
        int start = ptx.IndexOf($".entry {entry}(", StringComparison.Ordinal), end = ptx.IndexOf("\n}", start, StringComparison.Ordinal);
        string body = ptx[start..end];
        Match match = Regex.Matches(body, pattern, RegexOptions.Multiline).ElementAtOrDefault(nth)
            ?? throw new InvalidOperationException($"{entry} has no {nth + 1}th {pattern}");
        return ptx[..start] + body[..match.Index] + match.Result(replacement) + body[(match.Index + match.Length)..] + ptx[end..];
    };

    private static void Fires(KernelCase kernel, Func<string, string> edit, Checks check, string file, string line, AsyncDelivery delivery = AsyncDelivery.Early, SchedulePolicy policy = SchedulePolicy.InOrder)
    {
        var options = new LaunchOptions { Delivery = delivery, Schedule = policy };
        KernelResult clean = kernel.Run(options, compareEngines: false);
        Assert.True(!clean.Findings.Any(), $"unedited:\n{string.Join('\n', clean.Findings)}");
        KernelResult result = kernel.Run(options, edit);
        Assert.True(
            result.Findings.Any(f => (f.Check & check) != 0 && f.SourceFile == file && KernelRun.Source(f).Contains(line, StringComparison.Ordinal)),
            $"no {check} at {file} '{line}', but\n{string.Join('\n', result.Findings.Select(f => $"{f}\n    {KernelRun.Source(f)}"))}");
    }

    private const string Barrier = @"^\s*bar\.sync\s+0;", Reduce = "kernels/common/reduce.cuh", Mma = "kernels/common/mma.cuh", Vec = "kernels/common/vec.cuh";

    [Fact]
    public void Sum_without_its_barrier() =>
        Fires(KernelCases.Sum("f32", 4096), Edit("reduce_sum_f32", Barrier, ""), Checks.SharedRaces, Reduce, "slots[warp] = v");

    /// <summary>The other way round: the last warp runs first, so that the reading line is the second of the two.</summary>
    [Fact]
    public void Sum_without_its_barrier_seen_from_the_reader() =>
        Fires(KernelCases.Sum("f16", 4096), Edit("reduce_sum_f16", Barrier, ""), Checks.SharedRaces, Reduce, "warpSum(lane < WARPS ? slots[lane]", policy: SchedulePolicy.Reverse);

    [Fact]
    public void Sum_whose_shuffle_leaves_lanes_out() =>
        Fires(KernelCases.Sum("bf16", 4096), Edit("reduce_sum_bf16", @"(shfl\.sync\.bfly[^;]*, )(%r\d+|-1);", "${1}65535;"), Checks.WarpMasks, Reduce, "__shfl_xor_sync");

    [Fact]
    public void Sum_that_writes_one_partial_for_all_blocks() =>
        Fires(KernelCases.Sum("f32", 2 * 4096), Edit("reduce_sum_f32", @"mul\.wide\.u32(\s+%rd\d+, %r\d+), 4;", "mul.wide.u32${1}, 0;", 2), Checks.InterCta, "kernels/reduce.cu", "p.partial[blockIdx.x] = sum");

    [Fact]
    public void Add_with_a_shifted_load_is_misaligned() =>
        Fires(KernelCases.Add("f32", 2048), Edit("eltwise_add_f32", @"(ld\.global\.nc\.v4\.u32[^\[]*\[%rd\d+)\]", "${1}+4]"), Checks.Alignment, Vec, "__ldg((const uint4*)from)");

    [Fact]
    public void Add_with_a_load_one_vector_on_is_out_of_bounds() =>
        Fires(KernelCases.Add("f16", 4096), Edit("eltwise_add_f16", @"(ld\.global\.nc\.v4\.u32[^\[]*\[%rd\d+)\]", "${1}+16]", 2), Checks.Bounds, Vec, "__ldg((const uint4*)from)");

    [Fact]
    public void Add_without_the_guard_of_its_tail() =>
        Fires(KernelCases.Add("f32", 5), Edit("eltwise_add_f32", @"@%p\d+ bra\s+\$L__BB0_\d+;(\s+ld\.global\.u32)", "${1}"), Checks.Bounds, Vec, "toFloat(from[i])");

    [Theory]
    [InlineData("f32")]
    [InlineData("f16")]
    public void Transpose_without_its_barrier(string dtype) =>
        Fires(KernelCases.Transpose(dtype, 64, 64, 64, 64), Edit($"transpose_2d_{dtype}", Barrier, ""), Checks.SharedRaces, "kernels/transpose.cu", "tile[32 * c + (lane ^ (c / E))]");

    [Fact]
    public void Transpose_with_a_shifted_tile_reads_words_nobody_wrote() =>
        Fires(KernelCases.Transpose("f32", 32, 32, 32, 32), Edit("transpose_2d_f32", @"(st\.shared\.u32 \s*\[%rd\d+)\]", "${1}+128]", 3), Checks.UninitialisedMemory | Checks.SharedRaces | Checks.LaneHazards | Checks.Bounds, "kernels/transpose.cu", "tile[32");

    /// <summary>Five steps: every ring slot is used again. Each barrier in turn: in the loop, before the store.</summary>
    [Theory]
    [InlineData("gemm_nt_f16", 0, AsyncDelivery.Late)]
    [InlineData("gemm_nt_f16", 0, AsyncDelivery.Early)]
    [InlineData("gemm_nn_bf16", 0, AsyncDelivery.Late)]
    public void Product_without_the_barrier_of_its_loop(string entry, int nth, AsyncDelivery delivery)
    {
        string[] parts = entry.Split('_');
        Fires(KernelCases.Gemm(parts[1], parts[2], 128, 128, 160), Edit(entry, Barrier, "", nth), Checks.AsyncCopies | Checks.SharedRaces, Mma, "ldmatrix", delivery);
        Fires(KernelCases.Gemm(parts[1], parts[2], 128, 128, 160), Edit(entry, Barrier, "", nth), Checks.AsyncCopies | Checks.SharedRaces, Mma, "cp.async.cg", delivery);
    }

    [Fact]
    public void Product_without_the_barrier_before_its_store() =>
        Fires(KernelCases.Gemm("nt", "f16", 128, 128, 160), Edit("gemm_nt_f16", Barrier, "", 1), Checks.SharedRaces, "kernels/gemm.cu", "*(u32*)(own + swizzle<128>");

    [Theory]
    [InlineData("")]
    [InlineData("cp.async.wait_group 2;")]
    public void Product_that_waits_too_little(string wait) =>
        Fires(KernelCases.Gemm("nt", "f16", 128, 128, 160), Edit("gemm_nt_f16", @"cp\.async\.wait_group 1;", wait), Checks.AsyncCopies, Mma, "ldmatrix.sync", AsyncDelivery.Late);

    /// <summary>Without the zero fill rows past the end are read.</summary>
    [Fact]
    public void Product_whose_copies_are_always_whole() =>
        Fires(KernelCases.Gemm("nt", "f16", 127, 128, 64), Edit("gemm_nt_f16", @"(cp\.async\.cg\.shared\.global \[%r\d+\], \[%rd\d+\], 16), %r\d+;", "${1}, 16;", 3), Checks.Bounds, Mma, "cp.async.cg.shared.global");

    [Fact]
    public void Product_whose_lanes_exchange_sums_without_waiting() =>
        Fires(KernelCases.Gemm("nn", "f16", 128, 128, 32), Edit("gemm_nn_f16", @"^\s*bar\.warp\.sync[^;]*;", ""), Checks.LaneHazards, "kernels/gemm.cu", "const uint4 w = *(const uint4*)");

    /// <summary>A column of tiles placed a quarter too early: two blocks write the same part of C.</summary>
    [Fact]
    public void Product_whose_tiles_overlap() =>
        Fires(KernelCases.Gemm("nt", "f16", 128, 256, 32), Edit("gemm_nt_f16", @"shl\.b32(\s+%r\d+, %r\d+), 7;", "mul.lo.u32${1}, 96;", 1), Checks.InterCta, Vec, "st.global.v4");

    [Fact]
    public void Normals_without_the_guard_of_their_end() =>
        Fires(KernelCases.Normals(1, 0, 0, 1, 900, 900), Edit("noise_normal_f32", @"@%p1 bra", "@!%p1 bra"), Checks.Bounds, "kernels/common/vec.cuh", "to[i] = fromFloat");
}
