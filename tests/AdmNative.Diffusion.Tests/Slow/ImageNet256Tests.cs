using System.Diagnostics;
using AdmNative.Core;
using AdmNative.Cpu;
using AdmNative.Formats;
using AdmNative.Tests;

namespace AdmNative.Diffusion.Tests;

/// <summary>The largest common model at its real size: dotnet test -c Release --filter Category=Slow. Writes 2.2 GB to the temporary folder.</summary>
public sealed class ImageNet256Tests
{
    private const long MemoryLimitBytes = 12L << 30;

    [Fact]
    [Trait("Category", "Slow")]
    public void Loads_from_a_pt_file_and_samples_one_ddim_step_within_12_GiB()
    {
        string folder = Directory.CreateTempSubdirectory("adm-imagenet256-").FullName;
        try
        {
            Preset preset = Presets.Find("imagenet256");
            var config = (UNetConfig)preset.Network;
            string path = Path.Combine(folder, "256x256_diffusion.pt");
            var weights = new ComputedWeights(new ReplayNetwork(config, new Dictionary<string, double>()), 1);
            TorchWriter.Write(path, weights.Tensors.Keys.Select(name => TensorEntry.From(name, weights)));
            Assert.InRange(new FileInfo(path).Length, 553_838_086L * 4, (553_838_086L * 4) + (1 << 20));

            using TensorFile checkpoint = Checkpoints.Open(path);
            Mismatch.Check(config, checkpoint);
            using var backend = new CpuBackend(new CpuOptions());
            using var networks = new Networks(backend, new UNetDenoiser(config), checkpoint);
            using var sampler = new DdimSampler(networks, new DiffusionProcess(preset.Flags.Diffusion.ToConfig() with { Respacing = "ddim25" }));
            SamplerStep step = sampler.Progressive(new SampleBatch
            {
                Count = 1,
                Height = 256,
                Width = 256,
                Noise = new PhiloxNoise(0),
                Labels = [207],
            }).First();

            Assert.Equal(24, step.T);
            Assert.Equal([1, 3, 256, 256], step.Sample.Shape);
            Assert.All(step.Sample.ToFloats(), v => Assert.True(float.IsFinite(v)));
            using Process self = Process.GetCurrentProcess();
            Assert.InRange(self.PeakWorkingSet64, 1, MemoryLimitBytes);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
