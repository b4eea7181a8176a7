using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Largest error allowed of an element: index, and the reference in f64.</summary>
internal delegate double Tolerance(long index, double reference);

/// <summary>The tolerances of the kernel design guide, section 7.</summary>
internal static class Tolerances
{
    /// <summary>Bits must match.</summary>
    public static Tolerance Exact { get; } = static (_, _) => 0;

    /// <summary>f32: absolute + relative |ref|.</summary>
    public static Tolerance Absolute(double absolute, double relative) => (_, r) => absolute + (relative * Math.Abs(r));

    /// <summary>
    /// Activations of norms, resampling and elementwise kernels: f32 2e-5 + 1e-5 |ref| (<paramref name="absolute"/> replaces 2e-5);
    /// f16, bf16 one unit in the last place of the reference + 2e-5 max|ref|.
    /// </summary>
    public static Tolerance Activation(KernelDType dtype, ReadOnlySpan<double> reference, double absolute = 2e-5)
    {
        if (dtype == KernelDType.F32)
        {
            return Absolute(absolute, 1e-5);
        }

        double largest = 0;
        foreach (double r in reference)
        {
            largest = double.IsFinite(r) ? Math.Max(largest, Math.Abs(r)) : largest;
        }

        return (_, r) => KernelNumbers.Ulp(r, dtype) + (absolute * largest);
    }

    /// <summary>f32 sums: 8 x 2^-24 x sum|terms|, given per element.</summary>
    public static Tolerance Sum(double[] sumOfMagnitudes) => (i, _) => 8 * Math.ScaleB(1, -24) * sumOfMagnitudes[i];

    /// <summary>Linear and convolution outputs in half types: one unit in the last place + factor x sum|a b|.</summary>
    public static Tolerance Product(KernelDType dtype, double[] sumOfMagnitudes, double factor) =>
        (i, r) => (dtype == KernelDType.F32 ? 0 : KernelNumbers.Ulp(r, dtype)) + (factor * sumOfMagnitudes[i]);
}
