using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Shapes and inputs the GroupNorm family is judged by.</summary>
internal static class GroupNormCases
{
    /// <summary>The shape list of the kernel design guide.</summary>
    private static readonly GroupNormShape[] s_shapes =
    [
        new(1, 1, 1, 32, 32), new(2, 7, 7, 64, 32), new(1, 8, 8, 1024, 32), new(3, 8, 8, 1344, 32), new(2, 9, 5, 192, 32), new(1, 16, 16, 2048, 32),
        new(2, 28, 28, 96, 32), new(1, 64, 64, 576, 32), new(5, 14, 14, 160, 32), new(257, 2, 2, 64, 32), new(1, 3, 3, 30, 3), new(1, 33, 31, 256, 16),
        new(2, 5, 3, 125, 5), new(33, 2, 2, 64, 32),
    ];

    private static readonly string[] s_hard = ["constant", "mean 1000", "outlier", "nan sample", "denormal"];

    /// <summary>Layers of ADM-64 (batch 8) and ADM-256 (batch 1).</summary>
    private static readonly GroupNormShape[] s_layers =
    [
        new(8, 64, 64, 192, 32), new(8, 32, 32, 384, 32), new(8, 16, 16, 576, 32), new(8, 8, 8, 768, 32), new(8, 64, 64, 576, 32),
        new(1, 256, 256, 256, 32), new(1, 128, 128, 512, 32), new(1, 64, 64, 1024, 32), new(1, 32, 32, 1024, 32), new(1, 256, 256, 512, 32),
    ];

    /// <summary>All of them.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach (bool backward in new[] { false, true })
            {
                foreach (GroupNormShape shape in s_shapes)
                {
                    yield return new GroupNormCase(shape with { Silu = true, Modulated = true }, dtype, backward)
                    {
                        Full = Large(shape, dtype),
                        Compared = Compared(shape, dtype, backward),
                    };
                }

                foreach (KernelCase c in Variants(dtype, backward))
                {
                    yield return c;
                }

                foreach (GroupNormShape shape in new GroupNormShape[] { new(2, 28, 28, 96, 32), new(3, 8, 8, 1344, 32), new(2, 5, 3, 125, 5) })
                {
                    foreach (string input in s_hard.Where(i => i != "denormal" || dtype == KernelDType.F32))
                    {
                        yield return new GroupNormCase(shape with { Silu = true, Modulated = true }, dtype, backward, input) { Full = true };
                    }
                }

                foreach (GroupNormShape layer in s_layers)
                {
                    yield return new GroupNormCase(layer with { Silu = true, Modulated = true }, dtype, backward) { Layer = true, Compared = Compared(layer, dtype, backward) };
                }
            }
        }
    }

    /// <summary>Shapes that only run on request: f16 runs larger ones for all types, and 33 samples stand for 257.</summary>
    private static bool Large(GroupNormShape s, KernelDType dtype) => s.N > 100 || s.N * s.Pixels * s.C > (dtype == KernelDType.F16 ? 300_000 : 35_000);

    /// <summary>The shapes at which earlier versions run beside ours: two of the list, a layer that takes one launch, one that takes two.</summary>
    private static bool Compared(GroupNormShape s, KernelDType dtype, bool backward) =>
        !backward && dtype != KernelDType.BF16 && (s.N, s.H, s.C) is (2, 7, 64) or (2, 28, 96) or (8, 16, 576) or (8, 64, 192);

    private static IEnumerable<KernelCase> Variants(KernelDType dtype, bool backward)
    {
        GroupNormShape odd = new(2, 7, 7, 64, 32), even = new(2, 6, 10, 96, 32), narrow = new(2, 4, 6, 30, 3), tall = new(2, 28, 28, 96, 32);
        yield return new GroupNormCase(odd, dtype, backward);
        yield return new GroupNormCase(tall, dtype, backward) { Full = Large(tall, dtype) };
        yield return new GroupNormCase(narrow, dtype, backward);
        foreach (KernelResample resample in new[] { KernelResample.Down2, KernelResample.Up2 })
        {
            foreach (GroupNormShape shape in new[] { even, narrow, tall with { N = 1 } })
            {
                yield return new GroupNormCase(shape with { Silu = true, Modulated = true, Resample = resample }, dtype, backward) { Full = Large(shape, dtype) };
                yield return new GroupNormCase(shape with { Resample = resample }, dtype, backward, pad: 8) { Full = Large(shape, dtype) };
            }
        }

        foreach (KernelResample resample in backward ? [] : Enum.GetValues<KernelResample>())
        {
            yield return new GroupNormCase(even with { Silu = true, Modulated = true, Resample = resample, Staged = true }, dtype, backward);
            yield return new GroupNormCase(even with { Resample = resample, Staged = true }, dtype, backward);
            yield return new GroupNormCase(narrow with { Resample = resample, Staged = true }, dtype, backward);
        }

        foreach (bool staged in backward ? [false] : new[] { false, true })
        {
            yield return new GroupNormCase(odd with { Silu = true, Staged = staged }, dtype, backward, pad: 16);
            yield return new GroupNormCase(narrow with { Silu = true, Staged = staged }, dtype, backward, pad: 3);
            foreach (string input in s_hard.Where(i => i != "denormal" || dtype == KernelDType.F32))
            {
                yield return new GroupNormCase((dtype == KernelDType.BF16 ? odd : even) with { Silu = true, Modulated = true, Staged = staged }, dtype, backward, input);
            }
        }
    }
}
