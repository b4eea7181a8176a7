namespace AdmNative.Core;

/// <summary>
/// Columns of the coefficient rows coef[N,16] that sampler steps and the variational bound read: one row per sample for its
/// timestep, computed in double on the host and rounded once to f32 (spec 4.2).
/// </summary>
public static class Coef
{
    /// <summary>sqrt(1 / ac).</summary>
    public const int SqrtRecip = 0;

    /// <summary>sqrt(1 / ac - 1).</summary>
    public const int SqrtRecipM1 = 1;

    /// <summary>c1, the weight of x_0 in the posterior mean.</summary>
    public const int PosteriorX0 = 2;

    /// <summary>c2, the weight of x_t in the posterior mean.</summary>
    public const int PosteriorXt = 3;

    /// <summary>log of the posterior variance, clipped at t = 0.</summary>
    public const int PosteriorLogVar = 4;

    /// <summary>log(beta).</summary>
    public const int LogBeta = 5;

    /// <summary>The model's fixed variance, by variance kind.</summary>
    public const int FixedVariance = 6;

    /// <summary>The model's fixed log-variance, by variance kind; at t = 0 of FixedSmall not the log of the column before.</summary>
    public const int FixedLogVar = 7;

    /// <summary>0 at t = 0, otherwise 1.</summary>
    public const int NotFirst = 8;

    /// <summary>sqrt(ac_prev).</summary>
    public const int SqrtAcPrev = 9;

    /// <summary>sqrt(1 - ac).</summary>
    public const int SqrtOneMinusAc = 10;

    /// <summary>DDIM's sigma, eta included.</summary>
    public const int DdimSigma = 11;

    /// <summary>sqrt(1 - ac_prev - sigma^2).</summary>
    public const int DdimDirection = 12;

    /// <summary>sqrt(ac_next).</summary>
    public const int SqrtAcNext = 13;

    /// <summary>sqrt(1 - ac_next).</summary>
    public const int SqrtOneMinusAcNext = 14;

    /// <summary>Columns of a row; column 15 is unused.</summary>
    public const int Columns = 16;
}
