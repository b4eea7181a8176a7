using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;

namespace AdmNative.Tests.Backend;

/// <summary>What the virtual device is held to, on a GPU. One after the other: a device is not shared by tests.</summary>
[Collection("gpu")]
[Trait("Needs", "Gpu")]
public sealed class GpuTests
{
    [GpuTheory]
    [InlineData(2, 8, 8)]
    [InlineData(1, 16, 32)]
    [InlineData(3, 8, 10)]
    public void A_unet_agrees_with_the_twins_replayed_or_not(int batch, int size, int channels)
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet(batch, size, channels));
        LibCudaDriver driver = LibCudaDriver.Create();
        float[] replayed = NetworkTests.Run(graph, driver, new CudaOptions());
        NetworkTests.AssertAgrees(graph, replayed);
        Assert.Equal(replayed, NetworkTests.Run(graph, driver, new CudaOptions { Replay = false }));
        Assert.Equal(replayed, NetworkTests.Run(graph, driver, new CudaOptions { SynchronizeEachLaunch = true }));
    }

    [GpuFact]
    public void Every_shipped_entry_loads_and_fits()
    {
        LibCudaDriver driver = LibCudaDriver.Create();
        driver.Check(driver.DeviceGetAttribute(out int major, CudaDeviceAttribute.ComputeCapabilityMajor, 0));
        driver.Check(driver.DeviceGetAttribute(out int minor, CudaDeviceAttribute.ComputeCapabilityMinor, 0));
        driver.Check(driver.DriverGetVersion(out int version));
        driver.Check(driver.PrimaryCtxRetain(out nint context, 0));
        try
        {
            driver.Check(driver.CtxSetCurrent(context));
            using var library = new KernelLibrary(driver, KernelBundle.Default.For((10 * major) + minor, version));
            foreach (KernelEntry entry in library.Bundle.Entries)
            {
                library.Load(entry.Name, new LaunchShape(1, 1, 1, (uint)entry.MaxThreads[0], (uint)entry.MaxThreads[1], (uint)entry.MaxThreads[2]));
            }

            Assert.Equal(library.Bundle.Images.Count, library.LoadedImages);
        }
        finally
        {
            driver.PrimaryCtxRelease(0);
        }
    }

    [GpuFact]
    public void A_backend_leaks_nothing_and_describes_the_device()
    {
        LibCudaDriver driver = LibCudaDriver.Create();
        CudaBackend backend = CudaBackend.Create(driver);
        using (IParameters parameters = backend.LoadParameters(TinyNetworks.UNet().Parameters, new NumberSource(Numbers.Parameters(TinyNetworks.UNet(), 3))))
        {
            Assert.True(parameters.Bytes > 0);
        }

        backend.Dispose();
        Assert.Equal(0, backend.LeakedHandles);
        Assert.Contains("\ncuda:0 ", CudaBackend.Describe(driver), StringComparison.Ordinal);
    }
}

/// <summary>When GPU tests are skipped.</summary>
public sealed class GpuFactTests
{
    [Fact]
    public void A_test_is_skipped_with_its_reason_unless_a_gpu_is_required()
    {
        Assert.Equal("no GPU: x", Gpu.Skip("no GPU: x", 0, 80, required: false));
        Assert.Equal("the GPU is sm_75; the test needs sm_80", Gpu.Skip(null, 75, 80, required: false));
        Assert.Null(Gpu.Skip(null, 90, 80, required: false));
        Assert.Null(Gpu.Skip("no GPU: x", 0, 80, required: true));
        Assert.Equal(Gpu.SkipReason(80), new GpuFactAttribute().Skip);
        Assert.Equal(Gpu.SkipReason(1000), new GpuTheoryAttribute(1000).Skip);
    }
}
