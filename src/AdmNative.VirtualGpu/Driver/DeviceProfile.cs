using System.Diagnostics.CodeAnalysis;
using AdmNative.Cuda;

namespace AdmNative.VirtualGpu;

/// <summary>
/// Limits and peak rates of a GPU the virtual device stands for. Limits decide which launches are refused and how many blocks fit on a
/// multiprocessor; rates are used for lower bounds only, never to claim a speed.
/// </summary>
/// <remarks>
/// Sources: the compute-capability table of the CUDA programming guide (limits) and the vendor's data sheets (rates, dense, without
/// sparsity). Rates are the highest a data sheet states, so that times derived from them stay lower bounds.
/// </remarks>
public sealed record DeviceProfile
{
    /// <summary>Name the driver reports.</summary>
    public required string Name { get; init; }

    /// <summary>Short name accepted by <see cref="Parse"/>, e.g. "a100".</summary>
    public required string Alias { get; init; }

    /// <summary>Compute capability, major.</summary>
    public required int Major { get; init; }

    /// <summary>Compute capability, minor.</summary>
    public required int Minor { get; init; }

    /// <summary>"sm_80" and the like.</summary>
    public string Target => $"sm_{Major}{Minor}";

    /// <summary>Streaming multiprocessors.</summary>
    public required int Multiprocessors { get; init; }

    /// <summary>Device memory, bytes.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>L2 cache, bytes.</summary>
    public required long L2Bytes { get; init; }

    /// <summary>Highest core clock, kHz.</summary>
    public required int ClockKhz { get; init; }

    /// <summary>Memory clock, kHz (two transfers each).</summary>
    public required int MemoryClockKhz { get; init; }

    /// <summary>Memory bus, bits.</summary>
    public required int MemoryBusBits { get; init; }

    /// <summary>Peak DRAM bandwidth, bytes per second.</summary>
    public required double DramBytesPerSecond { get; init; }

    /// <summary>f32 fused multiply-adds per clock and multiprocessor.</summary>
    public required int FmaPerClock { get; init; }

    /// <summary>f64 fused multiply-adds per clock and multiprocessor, without tensor cores.</summary>
    public required int DoubleFmaPerClock { get; init; }

    /// <summary>Special-function results per clock and multiprocessor.</summary>
    public int SpecialPerClock { get; init; } = 16;

    /// <summary>Tensor-core operations per second for f16 and bf16 inputs (a multiply-add counts 2).</summary>
    public required double TensorHalfPerSecond { get; init; }

    /// <summary>Tensor-core operations per second for TF32 inputs.</summary>
    public required double TensorTf32PerSecond { get; init; }

    /// <summary>Tensor-core operations per second for 8-bit integers.</summary>
    public required double TensorInt8PerSecond { get; init; }

    /// <summary>Threads per block.</summary>
    public int MaxThreadsPerBlock { get; init; } = 1024;

    /// <summary>Largest block in x, y, z.</summary>
    public (int X, int Y, int Z) MaxBlock { get; init; } = (1024, 1024, 64);

    /// <summary>Largest grid in x, y, z.</summary>
    public (long X, long Y, long Z) MaxGrid { get; init; } = (int.MaxValue, 65535, 65535);

    /// <summary>Resident threads per multiprocessor.</summary>
    public required int ThreadsPerMultiprocessor { get; init; }

    /// <summary>Resident blocks per multiprocessor.</summary>
    public required int BlocksPerMultiprocessor { get; init; }

    /// <summary>32-bit registers per multiprocessor.</summary>
    public int RegistersPerMultiprocessor { get; init; } = 65536;

    /// <summary>32-bit registers per block.</summary>
    public int RegistersPerBlock { get; init; } = 65536;

    /// <summary>Registers of a warp are handed out in units of this many.</summary>
    public int RegisterGranule { get; init; } = 256;

    /// <summary>Shared bytes per multiprocessor.</summary>
    public required int SharedPerMultiprocessor { get; init; }

    /// <summary>Shared bytes per block without opting in.</summary>
    public int SharedPerBlock { get; init; } = 48 * 1024;

    /// <summary>Shared bytes per block after raising the function's MaxDynamicSharedBytes.</summary>
    public required int SharedPerBlockOptin { get; init; }

    /// <summary>Shared bytes the system keeps of every block.</summary>
    public int ReservedSharedPerBlock { get; init; } = 1024;

    /// <summary>NVIDIA A100-SXM4-80GB, sm_80.</summary>
    public static DeviceProfile A100 { get; } = new()
    {
        Name = "Virtual A100-SXM4-80GB",
        Alias = "a100",
        Major = 8,
        Minor = 0,
        Multiprocessors = 108,
        MemoryBytes = 80L << 30,
        L2Bytes = 40L << 20,
        ClockKhz = 1_410_000,
        MemoryClockKhz = 1_593_000,
        MemoryBusBits = 5120,
        DramBytesPerSecond = 2.039e12,
        FmaPerClock = 64,
        DoubleFmaPerClock = 32,
        TensorHalfPerSecond = 312e12,
        TensorTf32PerSecond = 156e12,
        TensorInt8PerSecond = 624e12,
        ThreadsPerMultiprocessor = 2048,
        BlocksPerMultiprocessor = 32,
        SharedPerMultiprocessor = 164 * 1024,
        SharedPerBlockOptin = 163 * 1024,
    };

    /// <summary>NVIDIA GeForce RTX 3090, sm_86.</summary>
    public static DeviceProfile Rtx3090 { get; } = new()
    {
        Name = "Virtual GeForce RTX 3090",
        Alias = "rtx3090",
        Major = 8,
        Minor = 6,
        Multiprocessors = 82,
        MemoryBytes = 24L << 30,
        L2Bytes = 6L << 20,
        ClockKhz = 1_695_000,
        MemoryClockKhz = 9_751_000,
        MemoryBusBits = 384,
        DramBytesPerSecond = 936e9,
        FmaPerClock = 128,
        DoubleFmaPerClock = 2,
        TensorHalfPerSecond = 142e12, // with f16 sums; f32 sums run at half of it
        TensorTf32PerSecond = 35.6e12,
        TensorInt8PerSecond = 284e12,
        ThreadsPerMultiprocessor = 1536,
        BlocksPerMultiprocessor = 16,
        SharedPerMultiprocessor = 100 * 1024,
        SharedPerBlockOptin = 99 * 1024,
    };

    /// <summary>NVIDIA GeForce RTX 4090, sm_89.</summary>
    public static DeviceProfile Rtx4090 { get; } = new()
    {
        Name = "Virtual GeForce RTX 4090",
        Alias = "rtx4090",
        Major = 8,
        Minor = 9,
        Multiprocessors = 128,
        MemoryBytes = 24L << 30,
        L2Bytes = 72L << 20,
        ClockKhz = 2_520_000,
        MemoryClockKhz = 10_501_000,
        MemoryBusBits = 384,
        DramBytesPerSecond = 1.008e12,
        FmaPerClock = 128,
        DoubleFmaPerClock = 2,
        TensorHalfPerSecond = 330.3e12, // with f16 sums; f32 sums run at half of it
        TensorTf32PerSecond = 82.6e12,
        TensorInt8PerSecond = 660.6e12,
        ThreadsPerMultiprocessor = 1536,
        BlocksPerMultiprocessor = 24,
        SharedPerMultiprocessor = 100 * 1024,
        SharedPerBlockOptin = 99 * 1024,
    };

    /// <summary>NVIDIA H100 SXM5 80GB, sm_90.</summary>
    public static DeviceProfile H100 { get; } = new()
    {
        Name = "Virtual H100-SXM5-80GB",
        Alias = "h100",
        Major = 9,
        Minor = 0,
        Multiprocessors = 132,
        MemoryBytes = 80L << 30,
        L2Bytes = 50L << 20,
        ClockKhz = 1_980_000,
        MemoryClockKhz = 2_619_000,
        MemoryBusBits = 5120,
        DramBytesPerSecond = 3.35e12,
        FmaPerClock = 128,
        DoubleFmaPerClock = 64,
        TensorHalfPerSecond = 989.4e12,
        TensorTf32PerSecond = 494.7e12,
        TensorInt8PerSecond = 1978.9e12,
        ThreadsPerMultiprocessor = 2048,
        BlocksPerMultiprocessor = 32,
        SharedPerMultiprocessor = 228 * 1024,
        SharedPerBlockOptin = 227 * 1024,
    };

    /// <summary>The built-in profiles, oldest first.</summary>
    public static IReadOnlyList<DeviceProfile> All { get; } = [A100, Rtx3090, Rtx4090, H100];

    /// <summary>The part of it that launch plans are made from.</summary>
    public DeviceLimits Limits => new()
    {
        SmCount = Multiprocessors,
        SharedPerBlockOptIn = SharedPerBlockOptin,
        SharedPerSm = SharedPerMultiprocessor,
        SharedReservedPerBlock = ReservedSharedPerBlock,
        MaxThreadsPerSm = ThreadsPerMultiprocessor,
        MaxBlocksPerSm = BlocksPerMultiprocessor,
        RegistersPerSm = RegistersPerMultiprocessor,
        RegisterGranule = RegisterGranule,
        L2Bytes = L2Bytes,
        MaxGridX = MaxGrid.X,
    };

    /// <summary>The profile of that name: an architecture ("sm_86", "8.6", "86"), an alias ("rtx3090") or the full name; case does not matter.</summary>
    /// <exception cref="ArgumentException">No such profile; the message lists those there are.</exception>
    public static DeviceProfile Parse(string text) => TryParse(text, out DeviceProfile? profile)
        ? profile
        : throw new ArgumentException($"no device profile '{text}'; there are {string.Join(", ", All.Select(p => $"{p.Target} ({p.Alias})"))}", nameof(text));

    /// <summary>As <see cref="Parse"/>, without an exception.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out DeviceProfile? profile)
    {
        string name = (text ?? "").Trim();
        profile = All.FirstOrDefault(p => new[] { p.Target, $"{p.Major}.{p.Minor}", $"{p.Major}{p.Minor}", p.Alias, p.Name }
            .Contains(name, StringComparer.OrdinalIgnoreCase));
        return profile is not null;
    }

    /// <summary>Why a module for that .target cannot run here, or null when it can.</summary>
    /// <param name="target">"sm_80", "sm_90a", ...</param>
    internal string? WhyNotTarget(string target)
    {
        string digits = target.StartsWith("sm_", StringComparison.Ordinal) ? target[3..] : "";
        bool exact = digits.EndsWith('a'), family = digits.EndsWith('f');
        if (!int.TryParse(exact || family ? digits[..^1] : digits, out int number))
        {
            return $"'{target}' is not a target";
        }

        int own = (Major * 10) + Minor;
        if (number > own)
        {
            return $"the module is for {target}, newer than this device ({Target})";
        }

        if ((exact || family) && number != own)
        {
            return $"the module is for {target}, which runs on sm_{number} only; this device is {Target}";
        }

        return null;
    }
}
