using AdmNative.Core;

namespace AdmNative.Cuda;

// Tokens of the classifier's attention pool, and what fills ranges.
internal static partial class CudaSteps
{
    /// <summary>Tokens from pixels, or the pixels' gradient from the tokens'.</summary>
    private static void Pool(StepBuilder b, PoolPass pass)
    {
        (Operand x, Operand y) = (b.In(0), b.Out);
        (Operand from, Operand to) = (Whole(b, x), WholeColumns(b, y) ? y : b.Padded(y.Shape));
        (Operand pixels, Operand tokens) = pass == PoolPass.PlainTokens ? (from, to) : (to, from);
        PoolPlan plan = AttentionPoolKernels.Plan(pass, new PoolShape(x.Samples, pixels.RowsPerSample, checked((int)RowWidth(b, x))), b.Type, b.Limits);
        b.Add(AttentionPoolKernels.Enqueue(plan, new PoolTensors(tokens.Address, pixels.Address, 0, tokens.Stride, pixels.Stride)));
        if (to != y)
        {
            Copy(b, to, y);
        }
    }

    /// <summary>Positions [C, T] turned into rows of channels, then added to all tokens of every sample at once.</summary>
    private static void AddPositions(StepBuilder b)
    {
        (Operand x, Operand y) = (b.In(0), b.Out);
        (int tokens, int channels) = (x.RowsPerSample, x.Columns);
        ulong positions = b.Scratch((long)tokens * channels * b.Type.Bytes());
        ConvertPlan turn = ConvertKernels.PlanLayout(Conversion.ToRows, 1, tokens, channels, 0, 0, b.Type, b.Limits);
        b.Add(ConvertKernels.Enqueue(turn, b.InF32(1).Address, positions));
        bool unaligned = x.Address % 16 != 0 || y.Address % 16 != 0;
        var shape = new EltwiseShape(EltwiseOp.Sum, x.Samples, (long)tokens * channels) { RepeatB = true, Unaligned = unaligned };
        b.Add(EltwiseKernels.Enqueue(EltwiseKernels.Plan(shape, b.Type, b.Limits), x.Address, positions, y.Address));
    }

    /// <summary>Gradient of the positions [C, T]: the tokens' summed over samples, turned.</summary>
    private static void PositionsGrad(StepBuilder b)
    {
        (Operand dy, Operand dp) = (b.In(0), b.OutF32);
        (int tokens, int width) = (dy.RowsPerSample, checked((int)RowWidth(b, dy)));
        Operand from = Whole(b, dy);
        ulong rows = b.Scratch(4L * tokens * width);
        PoolPlan plan = AttentionPoolKernels.Plan(PoolPass.PositionGradient, new PoolShape(dy.Samples, tokens - 1, width), b.Type, b.Limits);
        b.Add(AttentionPoolKernels.Enqueue(plan, new PoolTensors(from.Address, 0, rows, from.Stride, 0)));
        ConvertPlan turn = ConvertKernels.PlanLayout(Conversion.FromRows, 1, tokens, dy.Columns, 0, width, KernelDType.F32, b.Limits);
        b.Add(ConvertKernels.Enqueue(turn, rows, dp.Address));
    }

    /// <summary>x in some columns of y, a value in the others.</summary>
    private static void Pad(StepBuilder b, Operand? x, Operand y, int begin, double value = 0)
    {
        var shape = new PadShape(y.Rows, y.Columns, begin, x?.Columns ?? 0)
        {
            StrideA = x?.Stride ?? 0,
            StrideY = y.Stride,
            Value = value,
            Unaligned = x?.Address % 16 > 0 || y.Address % 16 != 0,
        };
        b.Add(PadKernels.Enqueue(PadKernels.Plan(shape, b.Type, b.Limits), x?.Address ?? 0, y.Address));
    }

    /// <summary>One token among zeros: a row is then a sample's tokens.</summary>
    private static void Place(StepBuilder b, int index)
    {
        Operand y = b.Out;
        int columns = checked(y.RowsPerSample * y.Columns);
        Pad(b, b.In(0), y with { Shape = [y.Samples, columns], Stride = columns }, index * y.Columns);
    }

    /// <summary>The operand itself if kernels may take whole 16 bytes of its columns, else a copy with zeros behind them.</summary>
    private static Operand Whole(StepBuilder b, Operand x)
    {
        if (WholeColumns(b, x))
        {
            return x;
        }

        Operand padded = b.Padded(x.Shape);
        Pad(b, x, padded with { Shape = [x.Rows, padded.Stride] }, 0);
        return padded;
    }

    private static bool WholeColumns(StepBuilder b, Operand x) => x.Aligned && x.Columns == RowWidth(b, x);

    /// <summary>Columns of an operand in whole 16 bytes.</summary>
    private static long RowWidth(StepBuilder b, Operand x) => LaunchRule.RoundUp(x.Columns, 16 / b.Type.Bytes());
}
