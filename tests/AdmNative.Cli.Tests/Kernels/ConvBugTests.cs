using AdmNative.Cli;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests.Kernels;

/// <summary>
/// What keeps the stages of the ring, the residual and the sums of the convolutions apart is needed: taken out of the shipped text, each barrier and
/// each wait is missed by a check, in a line of the kernel.
/// </summary>
public sealed class ConvBugTests
{
    /// <summary>
    /// Ring slots are all used twice at least. Seven steps in the first: the last is read from the slot that results go through (with 3x3 and three
    /// slots it never is).
    /// </summary>
    private static readonly Dictionary<string, KernelCase> s_cases = new(StringComparer.Ordinal)
    {
        ["conv_igemm_64_s3_f16"] = new ConvCase(new(1, 9, 7, 448, 64) { Side = 1, Residual = true }, KernelDType.F16, ConvWork.Forward, slices: 1),
        ["conv_igemm_128_s4_f16"] = new ConvStatisticsCase(new(1, 9, 7, 64, 96), 32, KernelDType.F16, tile: 128),
        ["conv_igemm_f32"] = new ConvCase(new(1, 9, 7, 40, 64), KernelDType.F32, ConvWork.Forward, slices: 1),
        ["conv_wgrad_64_s3_bf16"] = new ConvCase(new(1, 20, 19, 8, 24), KernelDType.BF16, ConvWork.WeightGradient, slices: 1),
        ["conv_wgrad_f32"] = new ConvCase(new(1, 20, 10, 8, 24), KernelDType.F32, ConvWork.WeightGradient, slices: 1),
    };

    [Theory]
    [InlineData("conv_igemm_64_s3_f16", "bar.sync", 0)] // a step's stage is read before all have copied their share
    [InlineData("conv_igemm_64_s3_f16", "cp.async.wait_group 1", 0)] // the same, a thread's own share
    [InlineData("conv_igemm_64_s3_f16", "bar.sync", 1)] // results go where another warp still reads its last stage
    [InlineData("conv_igemm_64_s3_f16", "cp.async.wait_group 0", 0)] // the residual is added before it is there
    [InlineData("conv_igemm_64_s3_f16", "bar.warp.sync", 0)] // the residual of other lanes
    [InlineData("conv_igemm_64_s3_f16", "bar.warp.sync", 1)] // results of other lanes
    [InlineData("conv_igemm_128_s4_f16", "bar.sync", 0)]
    [InlineData("conv_igemm_128_s4_f16", "cp.async.wait_group 2", 0)]
    [InlineData("conv_igemm_128_s4_f16", "bar.sync", 2)] // sums of other warps
    [InlineData("conv_igemm_f32", "bar.sync", 0)]
    [InlineData("conv_igemm_f32", "cp.async.wait_group 1", 0)]
    [InlineData("conv_wgrad_64_s3_bf16", "bar.sync", 0)]
    [InlineData("conv_wgrad_64_s3_bf16", "cp.async.wait_group 1", 0)]
    [InlineData("conv_wgrad_f32", "bar.sync", 0)]
    [InlineData("conv_wgrad_f32", "cp.async.wait_group 1", 0)]
    public void Every_barrier_and_wait_is_needed(string entry, string instruction, int which)
    {
        const Checks order = Checks.SharedRaces | Checks.AsyncCopies | Checks.LaneHazards;
        Assert.Contains(Findings(entry, instruction, which), f => (f.Check & order) != 0 && f.SourceFile.StartsWith("kernels/", StringComparison.Ordinal) && f.SourceLine > 0);
    }

    [Fact]
    public void The_shipped_text_is_silent() => Assert.All(s_cases.Keys, entry => Assert.Empty(Findings(entry, "", 0)));

    /// <summary>Runs the case's launch of an entry with the nth such instruction of the entry left out.</summary>
    private static IReadOnlyList<Finding> Findings(string entry, string instruction, int which)
    {
        // Of the file, its head, the entry and its tail: what is parsed anew for each bug.
        string all = KernelBundle.Default[entry].Image.Text, mark = ".visible .entry ";
        int first = all.IndexOf(mark, StringComparison.Ordinal), start = all.IndexOf($"{mark}{entry}(", StringComparison.Ordinal);
        int After(int from) => all.IndexOf("\n}\n", from, StringComparison.Ordinal) + 3;
        string body = all[start..After(start)];
        if (instruction.Length > 0)
        {
            int at = -1;
            for (int i = 0; i <= which; i++)
            {
                at = body.IndexOf($"\t{instruction}", at + 1, StringComparison.Ordinal);
                Assert.True(at > 0, $"{entry} has no {instruction} number {i}");
            }

            body = string.Concat(body.AsSpan(0, at + 1), "//", body.AsSpan(at + 1));
        }

        string text = string.Concat(all.AsSpan(0, first), body, all.AsSpan(After(all.LastIndexOf(mark, StringComparison.Ordinal))));
        using var device = new VirtualDevice(DeviceProfile.A100);
        CaseWork work = s_cases[entry].Build(device.Profile.Limits);
        foreach (KernelBuffer buffer in work.Buffers)
        {
            buffer.Address = device.Allocate(buffer.Bytes);
            if (buffer.Initial is not null)
            {
                device.Write(buffer.Address, buffer.Initial);
            }
        }

        KernelLaunch launch = work.Launches().Select(l => l.Launch).Single(l => l.Entry == entry);
        PtxProgram program = PtxProgram.Parse(text);
        device.Load(program);
        return device.Launch(program.Entry(entry), launch.Shape, launch.Parameters.Span, new LaunchOptions { Delivery = AsyncDelivery.Late, Counters = false }).Findings;
    }
}
