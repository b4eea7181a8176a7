using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/attn_pool.cu; the pool's attention is among those of attention (one query).</summary>
internal static class PoolCases
{
    /// <summary>One pixel, fewer pixels than warps, more; a part of a slab of channels, several slabs; elements between rows.</summary>
    private static readonly (PoolShape Shape, int Gap)[] s_shapes = [(new(1, 1, 32), 0), (new(3, 5, 264), 8), (new(2, 49, 576), 16), (new(5, 64, 64), 0)];

    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach ((PoolShape shape, int gap) in s_shapes)
            {
                foreach (PoolPass pass in Enum.GetValues<PoolPass>())
                {
                    yield return new PoolCase(dtype, pass, shape, gap) { Full = dtype != KernelDType.F16 && gap == 0 };
                }
            }

            foreach (PoolPass pass in Enum.GetValues<PoolPass>())
            {
                yield return new PoolCase(dtype, pass, new(8, 64, 1024), 0) { Layer = true };
            }
        }
    }
}

/// <summary>A pass over the pool's tokens.</summary>
internal sealed class PoolCase(KernelDType dtype, PoolPass pass, PoolShape shape, int gap)
    : KernelCase("attn", $"pool {Words(pass)}", dtype, $"{shape.N}x{shape.Pixels}x{shape.Channels}{(gap > 0 ? $" ld+{gap}" : "")}")
{
    private int Tokens => shape.Pixels + 1;

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        PoolPlan plan = AttentionPoolKernels.Plan(pass, shape, DType, limits);
        (int n, int c, long stride) = (shape.N, shape.Channels, shape.Channels + gap);
        if (pass is PoolPass.Tokens or PoolPass.PlainTokens)
        {
            float[] values = KernelNumbers.Rounded(KernelInputs.Normal((long)n * shape.Pixels * c, 3, offset: 0.5), DType);
            float[] embedding = KernelInputs.Normal((long)Tokens * c, 4);
            KernelBuffer x = work.Input("x", values, DType, c, stride);
            KernelBuffer? p = pass == PoolPass.Tokens ? work.Input("position", embedding, KernelDType.F32) : null;
            KernelBuffer y = work.Output("y", (long)n * Tokens, c, DType, stride);
            work.Run(plan, () => AttentionPoolKernels.Enqueue(plan, new(y.Address, x.Address, p?.Address ?? 0, stride, stride)));
            var tokens = new HostArray<double>([n, Tokens, c]);
            new PrependMean().Twin<double>([KernelInputs.Host([n, shape.Pixels, c], values)], tokens);
            double[] expected = p is null ? tokens.Data : KernelInputs.Twin(new AddPositional(), [n, Tokens, c], tokens, Checkpoint(embedding));
            work.Expect(y, expected, Tolerances.Activation(DType, expected));
        }
        else
        {
            float[] values = KernelNumbers.Rounded(KernelInputs.Normal((long)n * Tokens * c, 5), DType);
            KernelBuffer dy = work.Input("dy", values, DType, c, stride);
            HostArray<double> host = KernelInputs.Host([n, Tokens, c], values);
            if (pass == PoolPass.TokensBackward)
            {
                KernelBuffer dx = work.Output("dx", (long)n * shape.Pixels, c, DType, stride);
                work.Run(plan, () => AttentionPoolKernels.Enqueue(plan, new(dy.Address, dx.Address, 0, stride, stride)));
                double[] expected = KernelInputs.Twin(new PrependMeanGrad([n, shape.Pixels, c]), [n, shape.Pixels, c], host);
                work.Expect(dx, expected, Tolerances.Activation(DType, expected));
            }
            else
            {
                ExpectPositions(work, plan, dy, host, stride);
            }
        }

        work.Gates = launch => new LaunchGates
        {
            Conflicts = 0,
            Sectors = c * DType.Bytes() % 32 == 0 && stride * DType.Bytes() % 32 == 0 ? 1.05 : 1.5,
            Barriers = pass is PoolPass.Tokens or PoolPass.PlainTokens ? 8L * launch.Shape.GridX : 0,
            Registers = 64,
        };
        return work;
    }

    private void ExpectPositions(CaseWork work, PoolPlan plan, KernelBuffer dy, HostArray<double> host, long stride)
    {
        (int c, bool added) = (shape.Channels, pass == PoolPass.PositionGradientAdded);
        float[] before = added ? KernelInputs.Normal((long)Tokens * c, 6) : [];
        KernelBuffer dp = added ? work.Input("dPosition", before, KernelDType.F32, c) : work.Output("dPosition", Tokens, c, KernelDType.F32);
        work.Run(plan, () => AttentionPoolKernels.Enqueue(plan, new(dy.Address, 0, dp.Address, stride, 0)));
        double[] byChannel = KernelInputs.Twin(new PositionalGrad(), [c, Tokens], host);
        (var expected, var magnitudes) = (new double[Tokens * c], new double[Tokens * c]);
        for (int i = 0; i < expected.Length; i++)
        {
            expected[i] = byChannel[(i % c * Tokens) + (i / c)] + (added ? before[i] : 0);
            magnitudes[i] = added ? Math.Abs(before[i]) : 0;
        }

        for (int i = 0; i < host.Data.Length; i++)
        {
            magnitudes[i % expected.Length] += Math.Abs(host.Data[i]);
        }

        work.Expect(dp, expected, Tolerances.Sum(magnitudes));
    }

    /// <summary>[C, Tokens], as checkpoints have it.</summary>
    private HostArray<double> Checkpoint(float[] embedding)
    {
        var p = new HostArray<double>([shape.Channels, Tokens]);
        for (int i = 0; i < embedding.Length; i++)
        {
            p[i % shape.Channels, i / shape.Channels] = embedding[i];
        }

        return p;
    }

    private static string Words(PoolPass pass) => pass switch
    {
        PoolPass.Tokens => "tokens",
        PoolPass.PlainTokens => "plain tokens",
        PoolPass.TokensBackward => "tokens backward",
        PoolPass.PositionGradient => "position gradient",
        _ => "position gradient added",
    };
}
