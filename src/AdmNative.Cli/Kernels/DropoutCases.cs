using System.Runtime.InteropServices;
using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/dropout.cu.</summary>
internal static class DropoutCases
{
    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            yield return new DropoutCase(dtype, 5003, 0.1, 3);
            yield return new DropoutCase(dtype, 1, 0.5, -1);
            yield return new DropoutCase(dtype, 4096, 0, 0);
            yield return new DropoutCase(dtype, 64 * 64 * 192, 0.1, 0) { Layer = true };
        }
    }
}

/// <summary>Dropout against its twin in f64: the same mask, bit for bit.</summary>
internal sealed class DropoutCase(KernelDType dtype, int elements, double probability, int layer)
    : KernelCase("dropout", FormattableString.Invariant($"apply p {probability} layer {layer}"), dtype, $"{elements}")
{
    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        DropoutPlan plan = DropoutKernels.Plan(elements, DType, probability, layer, limits);
        float[] values = KernelNumbers.Rounded(KernelInputs.Normal(elements, 1), DType);
        int[] seed = [0xABCDEF, 77];
        KernelBuffer x = work.Input("x", values, DType), bSeed = work.Input("seed", MemoryMarshal.AsBytes<int>(seed).ToArray()), y = work.Output("y", 1, elements, DType);
        work.Run(plan, () => [DropoutKernels.Enqueue(plan, x.Address, bSeed.Address, y.Address)]);
        double[] expected = KernelInputs.Twin(new Dropout(probability, layer), [elements], KernelInputs.Host([elements], values), KernelInputs.Host([2], [seed[0], seed[1]]));

        // What is dropped is exactly zero; what is kept is rounded once (half a unit), after an f32 factor rounded once (up to a unit).
        work.Expect(y, expected, (_, r) => r == 0 ? 0 : (0.5 * KernelNumbers.Ulp(r, DType)) + KernelNumbers.Ulp(r, KernelDType.F32));
        work.Gates = _ => new LaunchGates { Bytes = 1.03, SpecialFunctions = 0, Registers = 48, Barriers = 0 };
        return work;
    }
}
