namespace AdmNative.Cuda;

/// <summary>Element type of a kernel's activations: the suffix of its entry name. Sums, statistics and parameters are f32 whatever it is.</summary>
public enum KernelDType
{
    /// <summary>IEEE binary32.</summary>
    F32,

    /// <summary>IEEE binary16, stored only: kernels compute in f32.</summary>
    F16,

    /// <summary>bfloat16, stored only: kernels compute in f32.</summary>
    BF16,
}

/// <summary>Questions about <see cref="KernelDType"/>.</summary>
public static class KernelDTypes
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<KernelDType> All { get; } = [KernelDType.F32, KernelDType.F16, KernelDType.BF16];

    /// <summary>Bytes per element.</summary>
    public static int Bytes(this KernelDType dtype) => dtype == KernelDType.F32 ? 4 : 2;

    /// <summary>"f32", "f16" or "bf16", as entry names end.</summary>
    public static string Suffix(this KernelDType dtype) => dtype switch
    {
        KernelDType.F32 => "f32",
        KernelDType.F16 => "f16",
        KernelDType.BF16 => "bf16",
        _ => throw new ArgumentOutOfRangeException(nameof(dtype)),
    };
}
