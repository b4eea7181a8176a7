using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of conversions.</summary>
public sealed class ConvertPlanTests
{
    private static readonly DeviceLimits s_limits = DeviceLimits.Sm80;

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(257)]
    [InlineData(4096)]
    public void Every_legal_shape_has_a_plan(int samples)
    {
        foreach (int pixels in new[] { 1, 49, 4096, 65_537, 512 * 512 })
        {
            foreach (int channels in new[] { 1, 3, 4, 6, 33 })
            {
                foreach (KernelDType dtype in KernelDTypes.All)
                {
                    ConvertPlan rows = ConvertKernels.PlanLayout(Conversion.ToRows, samples, pixels, channels, 40, 48, dtype, s_limits);
                    PlanAssert.Valid(rows, s_limits);
                    Assert.Equal((long)samples * pixels * ((4 * channels) + (40 * dtype.Bytes())), rows.TrafficBytes);
                    Assert.Equal(samples * ((pixels + 63L) / 64) * 2, rows.Launch.Shape.GridX);
                    PlanAssert.Valid(ConvertKernels.PlanLayout(Conversion.FromRows, samples, pixels, channels, 0, 0, dtype, s_limits), s_limits);
                }

                if (channels <= 4)
                {
                    foreach (Conversion kind in new[] { Conversion.FromBytes, Conversion.ToBytes, Conversion.ToBytesRounded })
                    {
                        ConvertPlan bytes = ConvertKernels.PlanBytes(kind, samples, pixels, channels, s_limits);
                        PlanAssert.Valid(bytes, s_limits);
                        Assert.Equal(samples * ((pixels + 1023L) / 1024), bytes.Launch.Shape.GridX);
                    }
                }
            }
        }
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        PlanAssert.Refused("FromBytes is no change of layout", () => ConvertKernels.PlanLayout(Conversion.FromBytes, 1, 1, 1, 0, 0, KernelDType.F16, s_limits));
        PlanAssert.Refused("N, P and C must be at least 1", () => ConvertKernels.PlanLayout(Conversion.ToRows, 1, 0, 1, 0, 0, KernelDType.F16, s_limits));
        PlanAssert.Refused("the width must be in 3..", () => ConvertKernels.PlanLayout(Conversion.ToRows, 1, 1, 3, 2, 0, KernelDType.F16, s_limits));
        PlanAssert.Refused("the row stride must be at least 8, not 7", () => ConvertKernels.PlanLayout(Conversion.ToRows, 1, 1, 3, 8, 7, KernelDType.F16, s_limits));
        PlanAssert.Refused("P and C must be below 2^24", () => ConvertKernels.PlanLayout(Conversion.FromRows, 1, 1 << 24, 3, 0, 0, KernelDType.F16, s_limits));
        PlanAssert.Refused("grid x must lie in", () => ConvertKernels.PlanLayout(Conversion.FromRows, int.MaxValue, 65, 3, 0, 0, KernelDType.F16, s_limits));
        PlanAssert.Refused("ToRows has no bytes", () => ConvertKernels.PlanBytes(Conversion.ToRows, 1, 1, 3, s_limits));
        PlanAssert.Refused("1 to 4 channels, not 5", () => ConvertKernels.PlanBytes(Conversion.ToBytes, 1, 1, 5, s_limits));
        PlanAssert.Refused("beyond 32-bit indices", () => ConvertKernels.PlanBytes(Conversion.ToBytes, 1, 1 << 30, 3, s_limits));
        ConvertPlan plan = ConvertKernels.PlanBytes(Conversion.ToBytes, 1, 9, 3, s_limits);
        Assert.Equal("convert_to_bytes_f32", ConvertKernels.Enqueue(plan, 256, 512).Entry);
        PlanAssert.Refused("x must be 16-byte aligned, not 258", () => ConvertKernels.Enqueue(plan, 258, 512));
        PlanAssert.Refused("y must be 16-byte aligned, not 0", () => ConvertKernels.Enqueue(plan, 256, 0));
        PlanAssert.Refused("y must not be x", () => ConvertKernels.Enqueue(plan, 256, 256));
    }
}
