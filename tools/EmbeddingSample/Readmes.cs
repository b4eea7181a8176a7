using AdmNative.Core;
using AdmNative.Cpu;
using AdmNative.Diffusion;
using AdmNative.Formats;
using AdmNative.VirtualGpu;

namespace EmbeddingSample;

/// <summary>What the packages' own pages show.</summary>
internal static class Readmes
{
    public static void Run(string path)
    {
        Core();
        Formats(path);
        Cpu();
        VirtualGpu();
        Diffusion();
    }

    private static void Core()
    {
        #region core
        var graph = new Graph();
        Node x = graph.Input("x", [2, 3]);
        graph.Output("y", graph.Silu(x));
        using var backend = new TwinBackend(); // plain formulas; AdmNative.Cpu and AdmNative.Cuda are the fast ones
        #endregion
    }

    private static void Formats(string path)
    {
        #region formats
        using TensorFile checkpoint = Checkpoints.Open(path); // .pt or safetensors: the file says what it is
        foreach ((string name, TensorType type) in checkpoint.Tensors)
        {
            Console.WriteLine($"{name} {type}");
        }
        #endregion
    }

    private static void Cpu()
    {
        #region cpu
        using var backend = new CpuBackend(new CpuOptions { Threads = 2 });
        #endregion
    }

    private static void VirtualGpu()
    {
        #region virtualgpu
        using var driver = new VirtualDriver(); // an ICudaDriver: everything that takes the installed driver takes this one
        #endregion
    }

    private static void Diffusion()
    {
        #region diffusion
        foreach (Preset preset in Presets.All)
        {
            Console.WriteLine($"{preset.Name}: {preset.Description}");
        }
        #endregion
    }
}
