using AdmNative.Core;
using AdmNative.Cpu;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;
using EmbeddingSample;

// EmbeddingSample [auto|cpu|cuda|virtual] [folder of the bundled model]
// A program that uses AdmNative from its packages. Every line it prints was checked against plain arithmetic or against the CPU; it ends with 1 if one is wrong.
string device = args.Length > 0 ? args[0] : "auto";
string models = args.Length > 1 ? args[1] : "models/mnist16";

Readmes.Run(Path.Combine(models, "diffusion.safetensors"));
using IBackend cpu = new CpuBackend();
Graphs.Run(cpu);
Check.InRange("ten guided digits", Sampling.Guided(models).ToFloats(), -1.1f, 1.1f);

if (device == "auto")
{
    #region auto
    if (CudaBackend.TryCreate(options: null, out CudaBackend? found, out string? reason))
    {
        Console.WriteLine($"auto: {found.Description}");
        found.Dispose();
        device = "cuda";
    }
    else
    {
        Console.WriteLine($"auto: the CPU, because {reason}");
        device = "cpu";
    }
    #endregion
}

switch (device)
{
    case "cpu":
        break;
    case "cuda":
        OnDriver(LibCudaDriver.Create());
        break;
    case "virtual":
        // For results only: compiled kernels. Left at their defaults, LaunchOptions look for memory errors, races and the like.
        using (var driver = new VirtualDriver(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.None, Counters = false } }))
        {
            OnDriver(driver);
        }

        break;
    default:
        Console.Error.WriteLine($"{device} is not one of auto, cpu, cuda, virtual");
        return 2;
}

return Check.Failures == 0 ? 0 : 1;

void OnDriver(ICudaDriver driver)
{
    using (CudaBackend gpu = CudaBackend.Create(driver))
    {
        Graphs.Run(gpu);
        Tensor expected = Sampling.Unguided(cpu, models, images: 2, steps: "ddim4"), actual = Sampling.Unguided(gpu, models, images: 2, steps: "ddim4");
        // f32 on both; sums in another order. A sampling trajectory may magnify rounding: hence far above 1e-7, and far below one step of 8 bits (8e-3).
        Check.Near($"two digits on {gpu.Description}", actual.ToFloats(), expected.ToFloats(), 1e-3);
    }

    using var kernels = new Kernels(driver);
    kernels.GroupNorm();
    kernels.Attention();
    kernels.Convolution();
    kernels.Mistakes();
}
