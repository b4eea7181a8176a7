using System.Numerics;

namespace AdmNative.Core;

/// <summary>What the network's first C channels predict (spec 4.4).</summary>
public enum MeanKind : byte
{
    /// <summary>The mean of x_{t-1}.</summary>
    PreviousX,

    /// <summary>x_0.</summary>
    StartX,

    /// <summary>The noise.</summary>
    Epsilon,
}

/// <summary>Where the variance of x_{t-1} comes from (spec 4.4).</summary>
public enum VarianceKind : byte
{
    /// <summary>The last C channels are its log.</summary>
    Learned,

    /// <summary>The posterior variance.</summary>
    FixedSmall,

    /// <summary>beta, with the posterior variance at t = 0.</summary>
    FixedLarge,

    /// <summary>The last C channels v mix log beta and the posterior's log-variance by (v + 1) / 2.</summary>
    LearnedRange,
}

/// <summary>Facts about variance kinds.</summary>
public static class VarianceKinds
{
    /// <summary>True when the network has 2C output channels, the last C of them for the variance.</summary>
    public static bool IsLearned(this VarianceKind variance) => variance is VarianceKind.Learned or VarianceKind.LearnedRange;
}

/// <summary>The relations of spec 4.3 and 4.5 for one element; k is the sample's row of coefficients.</summary>
internal static class ModelMath
{
    /// <summary>The coefficients of sample n.</summary>
    public static ReadOnlySpan<T> Row<T>(HostArray<T> coef, int n) where T : unmanaged =>
        coef.Data.AsSpan(n * Coef.Columns, Coef.Columns);

    /// <summary>x_0 as predicted by the output, not clipped.</summary>
    public static T XStart<T>(MeanKind mean, T xt, T output, ReadOnlySpan<T> k)
        where T : unmanaged, IFloatingPointIeee754<T> => mean switch
        {
            MeanKind.StartX => output,
            MeanKind.Epsilon => (k[Coef.SqrtRecip] * xt) - (k[Coef.SqrtRecipM1] * output),
            _ => (output / k[Coef.PosteriorX0]) - (k[Coef.PosteriorXt] / k[Coef.PosteriorX0] * xt),
        };

    /// <summary>The model's mean of x_{t-1}; PreviousX takes the output as it is.</summary>
    public static T Mean<T>(MeanKind mean, T xt, T output, T x0, ReadOnlySpan<T> k)
        where T : unmanaged, IFloatingPointIeee754<T> =>
        mean == MeanKind.PreviousX ? output : (k[Coef.PosteriorX0] * x0) + (k[Coef.PosteriorXt] * xt);

    /// <summary>The model's log-variance of x_{t-1}; v is ignored by the fixed kinds.</summary>
    public static T LogVariance<T>(VarianceKind variance, T v, ReadOnlySpan<T> k)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        switch (variance)
        {
            case VarianceKind.Learned:
                return v;
            case VarianceKind.LearnedRange:
                T fraction = (v + T.One) / Fit.Num<T>(2);
                return (fraction * k[Coef.LogBeta]) + ((T.One - fraction) * k[Coef.PosteriorLogVar]);
            default:
                return k[Coef.FixedLogVar];
        }
    }

    /// <summary>The noise that x_0 and x_t imply.</summary>
    public static T Epsilon<T>(T xt, T x0, ReadOnlySpan<T> k)
        where T : unmanaged, IFloatingPointIeee754<T> => ((k[Coef.SqrtRecip] * xt) - x0) / k[Coef.SqrtRecipM1];

    /// <summary>Clamp to [-1,1]; NaN stays NaN.</summary>
    public static T Clip<T>(T x)
        where T : unmanaged, IFloatingPointIeee754<T> => x < -T.One ? -T.One : x > T.One ? T.One : x;

    /// <summary>True when the shape of a network output goes with x[N,...,C]: C channels, or 2C for a learned variance.</summary>
    public static bool IsOutput(Shape output, Shape x, bool needsVariance) =>
        x.Rank >= 2 && output.Rank == x.Rank
        && (output == Fit.WithLast(x, checked(2 * x.Last)) || (!needsVariance && output == x));

    /// <summary>True for a [N,16] row per sample of x.</summary>
    public static bool IsCoef(TensorType coef, Shape x) => coef == TensorType.F32([x[0], Coef.Columns]);
}
