using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of the guided step and the forward process.</summary>
public sealed class SamplerPlanTests
{
    private static readonly SamplerShape s_step = new(SamplerPass.Ddpm, 2, 64, 3, 2, 3, GivenX0: false, Guided: true, GivenNoise: false, WantsX0: true, Clip: true);

    private static readonly SamplerOperands s_operands = new()
    {
        X = 256,
        Output = 512,
        OutputStride = 8,
        Gradient = 1024,
        Coefficients = 2048,
        Y = 4096,
        X0 = 8192,
    };

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(31)]
    [InlineData(257)]
    [InlineData(4096)]
    public void Every_legal_shape_has_a_plan(int samples)
    {
        foreach ((int pixels, int channels) in new[] { (1, 1), (1, 3), (7, 3), (341, 3), (1024, 1), (64 * 64, 3), (512 * 512, 3) })
        {
            foreach (SamplerPass pass in Enum.GetValues<SamplerPass>())
            {
                foreach (KernelDType dtype in KernelDTypes.All)
                {
                    foreach (DeviceLimits limits in PlanAssert.Devices)
                    {
                        SamplerPlan plan = SamplerKernels.Plan(s_step with { Pass = pass, Samples = samples, Pixels = pixels, Channels = channels }, dtype, limits);
                        PlanAssert.Valid(plan, limits);
                        long chunks = ((long)pixels * channels + 1023) / 1024;
                        Assert.Equal(samples * chunks, plan.Launch.Shape.GridX);
                    }
                }
            }

            PlanAssert.Valid(SamplerKernels.PlanNoising(samples, pixels * channels, givenNoise: false, wantsNoise: true, DeviceLimits.Sm80), DeviceLimits.Sm80);
        }
    }

    /// <summary>12 + 2 b bytes an element for a guided step: x, gradient, y and two channels of output; 4 more for each of given noise, written x_0.</summary>
    [Theory]
    [InlineData(SamplerPass.Ddpm, false, false, 16)]
    [InlineData(SamplerPass.Ddpm, true, true, 24)]
    [InlineData(SamplerPass.Ddim, false, false, 14)]
    [InlineData(SamplerPass.Reverse, false, true, 14)]
    [InlineData(SamplerPass.LogVariance, false, false, 6)]
    public void Traffic_follows_the_operands(SamplerPass pass, bool givenNoise, bool wantsX0, int bytes)
    {
        SamplerShape shape = s_step with { Pass = pass, GivenNoise = givenNoise, WantsX0 = wantsX0 };
        Assert.Equal((2 * 64 * 3 * bytes) + (2 * 64), SamplerKernels.Plan(shape, KernelDType.F16, DeviceLimits.Sm80).TrafficBytes);
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        static void Plan(SamplerShape shape) => SamplerKernels.Plan(shape, KernelDType.F16, DeviceLimits.Sm80);
        PlanAssert.Refused("every size must be at least 1", () => Plan(s_step with { Samples = 0 }));
        PlanAssert.Refused("beyond 32-bit indices", () => Plan(s_step with { Pixels = 1 << 30 }));
        PlanAssert.Refused("grid x must lie in", () => Plan(s_step with { Samples = int.MaxValue, Pixels = 1024 }));
        PlanAssert.Refused("mean must be 0..2", () => Plan(s_step with { Mean = 3 }));
        PlanAssert.Refused("variance must be 0..3", () => Plan(s_step with { Variance = 4 }));
        SamplerPlan plan = SamplerKernels.Plan(s_step, KernelDType.F16, DeviceLimits.Sm80);
        Assert.Equal("sampler_ddpm_f16", SamplerKernels.Enqueue(plan, s_operands).Entry);
        PlanAssert.Refused("x is missing", () => SamplerKernels.Enqueue(plan, s_operands with { X = 0 }));
        PlanAssert.Refused("the gradient is missing", () => SamplerKernels.Enqueue(plan, s_operands with { Gradient = 0 }));
        PlanAssert.Refused("noise is not part of this plan", () => SamplerKernels.Enqueue(plan, s_operands with { Noise = 16 }));
        PlanAssert.Refused("stride must be at least 6", () => SamplerKernels.Enqueue(plan, s_operands with { OutputStride = 5 }));
        PlanAssert.Refused("not aligned to its elements", () => SamplerKernels.Enqueue(plan, s_operands with { Output = 513 }));
        PlanAssert.Refused("y is not aligned to 4 bytes", () => SamplerKernels.Enqueue(plan, s_operands with { Y = 4098 }));
        NoisingPlan noising = SamplerKernels.PlanNoising(2, 192, givenNoise: true, wantsNoise: false, DeviceLimits.Sm80);
        PlanAssert.Refused("noise is missing", () => SamplerKernels.EnqueueNoising(noising, 256, 0, 512, 1024, 0));
        PlanAssert.Refused("room for the noise is not part of this plan", () => SamplerKernels.EnqueueNoising(noising, 256, 4, 512, 1024, 2048));
    }
}
