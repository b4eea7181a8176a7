using AdmNative.Cuda;
using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>What --precision and the flags use_fp16 ask of a GPU.</summary>
internal static class Precisions
{
    /// <summary>A precision for everything; f32 where none is given.</summary>
    /// <exception cref="UsageException">No such precision.</exception>
    public static CudaOptions Of(string? precision) => new() { Precision = Parse(precision) ?? KernelDType.F32 };

    /// <summary>What --precision says of all networks, else what use_fp16 and classifier_use_fp16 say of each.</summary>
    /// <exception cref="UsageException">No such precision.</exception>
    public static CudaOptions Of(string? precision, bool useFp16, bool? classifierUseFp16 = null)
    {
        if (Parse(precision) is KernelDType all)
        {
            return new CudaOptions { Precision = all };
        }

        bool classifier = classifierUseFp16 ?? useFp16;
        return new CudaOptions
        {
            Precision = useFp16 || classifier ? KernelDType.F16 : KernelDType.F32,
            IsSinglePrecision = useFp16 == classifier ? null : name => useFp16 == Networks.IsOfClassifier(name),
        };
    }

    private static KernelDType? Parse(string? precision) => precision switch
    {
        null => null,
        "f32" => KernelDType.F32,
        "f16" => KernelDType.F16,
        "bf16" => KernelDType.BF16,
        _ => throw new UsageException($"--precision: '{precision}' is not one of f32, f16, bf16"),
    };
}
