using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;

namespace AdmNative.Tests.Backend;

/// <summary>
/// The real cuDNN on a real GPU: what the stand-ins cannot say. Skipped, with the reason, where there is none; ADMNATIVE_REQUIRE_GPU=1 makes that a failure.
/// </summary>
[Trait("Needs", "Gpu")]
public sealed class GpuCudnnTests
{
    private static readonly CudaOptions s_cudnn = new() { Convolutions = ConvolutionChoice.Cudnn };

    [CudnnTheory]
    [InlineData(2, 8, 8)]
    [InlineData(1, 16, 32)]
    [InlineData(3, 8, 10)]
    public void A_unet_agrees_with_the_twins_replayed_or_not(int batch, int size, int channels)
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet(batch, size, channels));
        Dictionary<string, float[]> replayed = CudnnBackendTests.Run(graph, LibCudaDriver.Create(), s_cudnn);
        CudnnBackendTests.AssertAgree(graph, replayed, 1e-4);
        Assert.Equal(replayed, CudnnBackendTests.Run(graph, LibCudaDriver.Create(), s_cudnn with { Replay = false }));
    }

    [CudnnTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void Gradients_agree_with_the_twins(bool measure)
    {
        Graph graph = CudnnBackendTests.WithGradients();
        CudaOptions options = s_cudnn with { Cudnn = new CudnnOptions { Measure = measure } };
        CudnnBackendTests.AssertAgree(graph, CudnnBackendTests.Run(graph, LibCudaDriver.Create(), options), 1e-4);
    }

    [CudnnTheory]
    [InlineData(KernelDType.F16)]
    [InlineData(KernelDType.BF16)]
    public void Half_precision_is_as_far_off_as_rounding_what_is_stored_makes_it(KernelDType type)
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet(2, 8, 8));
        CudaOptions options = s_cudnn with { Precision = type };
        double[] expected = Numbers.Evaluate(graph, 3)["eps"].Data;
        using CudaBackend backend = CudaBackend.Create(options);
        double[] rounded = RoundedTwins.Evaluate(backend.Plan(graph), type, Numbers.Inputs(graph, 3), Numbers.Parameters(graph, 3))["eps"].Data;
        double allowed = 2 * 3 * expected.Zip(rounded, (e, r) => Math.Abs(e - r)).Max(); // as in CudnnBackendTests
        float[] y = CudnnBackendTests.Run(graph, LibCudaDriver.Create(), options)["eps"];
        Assert.All(expected.Zip(y), p => Assert.InRange(p.Second, p.First - allowed, p.First + allowed));
    }
}

/// <summary>A theory on a GPU of sm_80 or newer with cuDNN; skipped with what is missing.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class CudnnTheoryAttribute : TheoryAttribute
{
    private static readonly Lazy<string?> s_missing = new(Missing);

    public CudnnTheoryAttribute() => Skip = Environment.GetEnvironmentVariable("ADMNATIVE_REQUIRE_GPU") == "1" ? null : s_missing.Value;

    private static string? Missing()
    {
        if (!CudaBackend.TryCreate(new CudaOptions { Convolutions = ConvolutionChoice.Native }, out CudaBackend? backend, out string? reason))
        {
            return reason;
        }

        backend.Dispose();
        return LibCudnn.TryCreate(out _, out string? why) ? null : why;
    }
}
