using System.CommandLine;

namespace AdmNative.Cli;

/// <summary>Options every verb spells the same way.</summary>
internal static class CommonFlags
{
    public const string OutputGroup = "Output";
    public const string DeviceGroup = "Device";

    // More than any machine has; each costs a stack, and a slip of the finger should not cost the machine.
    private const int MaxThreads = 1024;

    public static Flag<bool> Json() => Flag.Bool("json", OutputGroup, false, "Print the result as one JSON document.");

    public static Flag<bool> Quiet() => Flag.Bool("quiet", OutputGroup, false, "No progress and no notes on stderr; errors still show.");

    public static Flag<string?> Out(string description) => Flag.Text("out", OutputGroup, null, "path", description, "output");

    public static Flag<string?> Device() => Flag.Text(
        "device", DeviceGroup, "auto", "auto|cpu|cuda[:N]|virtual", "Where to compute; auto takes cuda if there is one, else cpu, and says so.");

    public static Flag<string?> Conv() => Flag.Text(
        "conv", DeviceGroup, "auto", "auto|cudnn|native", "Whose convolutions the cuda device runs; auto takes cuDNN's where it is installed, else ours, and says so.");

    public static Flag<string?> Precision(string otherwise = "use_fp16 decides") => Flag.Text(
        "precision", DeviceGroup, null, "f32|f16|bf16", $"What a GPU stores activations in and multiplies filters in; without it {otherwise}. The cpu computes in f32.");

    public static Flag<string?> Driver() => Flag.Text(
        "driver", DeviceGroup, Drivers.Installed, $"{Drivers.Installed}|{Drivers.ManagedCuda}", "How the cuda device calls its driver; managedcuda is an optional part of the program.");

    public static Flag<int?> Threads() => Flag.Int("threads", DeviceGroup, 0, "Threads of the cpu and the virtual device; 0 means all cores. Results do not depend on it.", min: 0, max: MaxThreads);
}
