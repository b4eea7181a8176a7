using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>What backward must give, and for each sum the sum of the magnitudes of its terms.</summary>
internal sealed record GroupNormGradients(
    double[] Dx, double[] Dgamma, double[] DgammaTerms, double[] Dbeta, double[] DbetaTerms, double[] Dscale, double[] DscaleTerms, double[] Dshift, double[] DshiftTerms);

/// <summary>Inputs of a group normalisation case and its references in f64 from the same rounded inputs.</summary>
internal sealed class GroupNormData
{
    private readonly GroupNormShape _s;
    private readonly NormResample _resample;
    private readonly Shape _x, _y;
    private readonly double[] _stats;

    public GroupNormData(GroupNormShape s, KernelDType dtype, string kind, float eps, NormResample resample)
    {
        (_s, _resample) = (s, resample);
        (_x, _y) = ([s.N, s.H, s.W, s.C], resample switch
        {
            NormResample.Down2 => [s.N, s.H / 2, s.W / 2, s.C],
            NormResample.Up2 => [s.N, 2 * s.H, 2 * s.W, s.C],
            _ => [s.N, s.H, s.W, s.C],
        });
        float[] x = KernelInputs.Normal(_x.Elements, 1, 1, 0.5);
        switch (kind)
        {
            case "constant":
                Array.Fill(x, 1.75f);
                break;
            case "mean 1000":
                x = KernelInputs.Normal(_x.Elements, 1, 1, 1000);
                break;
            case "outlier":
                x[0] = 1000;
                break;
            case "nan sample":
                Array.Fill(x, float.NaN, x.Length - (x.Length / s.N), x.Length / s.N);
                break;
            case "denormal":
                x = KernelInputs.Normal(_x.Elements, 1, 1e-40);
                break;
            case "normal":
                break;
            default:
                throw new ArgumentException($"no inputs of kind '{kind}'", nameof(kind));
        }

        X = KernelNumbers.Rounded(x, dtype);
        Dy = KernelNumbers.Rounded(KernelInputs.Normal(_y.Elements, 2), dtype);
        DxIn = KernelNumbers.Rounded(KernelInputs.Normal(_x.Elements, 3), dtype);
        Gamma = KernelInputs.Normal(s.C, 4, 0.3, 1);
        Beta = KernelInputs.Normal(s.C, 5, 0.3);
        Scale = KernelInputs.Normal((long)s.N * s.C, 6, 0.3);
        Shift = KernelInputs.Normal((long)s.N * s.C, 7, 0.3);
        _stats = KernelInputs.Twin(new GroupNormStats(s.G, eps), [s.N, s.G, 2], KernelInputs.Host(_x, X));
        Mean = [.. Enumerable.Range(0, s.N * s.G).Select(i => _stats[2 * i])];
        Rstd = [.. Enumerable.Range(0, s.N * s.G).Select(i => _stats[(2 * i) + 1])];
        (Mean32, Rstd32) = ([.. Mean.Select(v => (float)v)], [.. Rstd.Select(v => (float)v)]);
        Ab = new float[2L * s.N * s.C];
        for (int n = 0; n < s.N; n++)
        {
            for (int c = 0; c < s.C; c++)
            {
                (double a, double b) = Fold(n, c);
                (Ab[(2 * n * s.C) + c], Ab[((2 * n) + 1) * s.C + c]) = ((float)a, (float)b);
            }
        }
    }

    public float[] X { get; }

    public float[] Dy { get; }

    public float[] DxIn { get; }

    public float[] Gamma { get; }

    public float[] Beta { get; }

    public float[] Scale { get; }

    public float[] Shift { get; }

    public double[] Mean { get; }

    public double[] Rstd { get; }

    public float[] Mean32 { get; }

    public float[] Rstd32 { get; }

    public float[] Ab { get; }

    /// <summary>Largest |a|, at least 1: what dx is magnified by.</summary>
    public double Magnification => Math.Max(1, Finite(Scales().Select(Math.Abs)));

    /// <summary>Largest |a mean|: how much of a x + b cancels.</summary>
    public double Cancellation => Finite(Scales().Select((a, i) => Math.Abs(a * Mean[(i / _s.C * _s.G) + (i % _s.C / (_s.C / _s.G))])));

    /// <summary>Largest |x|.</summary>
    public double Largest => Finite(X.Select(v => (double)Math.Abs(v)));

    /// <summary>What the sums of backward may lose where their terms are subnormal: half the smallest f32 in each, magnified by rstd.</summary>
    public double SubnormalLoss => Finite(Rstd) * _s.N * _s.Pixels * float.Epsilon;

    /// <summary>y.</summary>
    public double[] Forward()
    {
        var stats = new HostArray<double>([_s.N, _s.G, 2]);
        _stats.CopyTo(stats.Data, 0);
        return KernelInputs.Twin(new GroupNormApply(_s.G, _s.Silu, _resample), _y, [KernelInputs.Host(_x, X), stats, .. Parameters()]);
    }

    /// <summary>All gradients, from statistics rounded to f32, as the kernels get them.</summary>
    public GroupNormGradients Backward(bool addDxIn)
    {
        (int N, int C) = (_s.N, _s.C);
        var stats = new HostArray<double>([N, _s.G, 2]);
        for (int i = 0; i < N * _s.G; i++)
        {
            (stats.Data[2 * i], stats.Data[(2 * i) + 1]) = (Mean32[i], Rstd32[i]);
        }

        HostArray<double> x = KernelInputs.Host(_x, X), dy = KernelInputs.Host(_y, Dy);
        HostArray<double>[] p = Parameters();
        var sums = new HostArray<double>([N, 2, C]);
        new GroupNormGradSums(_s.G, _s.Silu, _resample).Twin<double>([x, dy, stats, .. p], sums);
        HostArray<double>[] inputs = addDxIn ? [x, dy, stats, sums, .. p, KernelInputs.Host(_x, DxIn)] : [x, dy, stats, sums, .. p];
        double[] dx = KernelInputs.Twin(new GroupNormInputGrad(_s.G, _s.Silu, _resample, _s.Modulated), _x, inputs);
        double[] dgamma = KernelInputs.Twin(new GroupNormParamGrad(GroupNormParam.Gamma), [C], [sums, .. p]);
        double[] dbeta = KernelInputs.Twin(new GroupNormParamGrad(GroupNormParam.Beta), [C], [sums, .. p]);
        (double[] aTerms, double[] bTerms) = Magnitudes();
        (var gammaTerms, var betaTerms) = (new double[C], new double[C]);
        (var dscale, var dshift, var scaleTerms, var shiftTerms) = (new double[N * C], new double[N * C], new double[N * C], new double[N * C]);
        for (int n = 0; n < N; n++)
        {
            for (int c = 0; c < C; c++)
            {
                int i = (n * C) + c;
                double one = Math.Abs(_s.Modulated ? 1 + Scale[i] : 1), a = sums.Data[(2 * n * C) + c], b = sums.Data[(((2 * n) + 1) * C) + c];
                gammaTerms[c] += one * aTerms[i];
                betaTerms[c] += one * bTerms[i];
                (dscale[i], dshift[i]) = ((Gamma[c] * a) + (Beta[c] * b), b);
                (scaleTerms[i], shiftTerms[i]) = ((Math.Abs(Gamma[c]) * aTerms[i]) + (Math.Abs(Beta[c]) * bTerms[i]), bTerms[i]);
            }
        }

        return new(dx, dgamma, gammaTerms, dbeta, betaTerms, dscale, scaleTerms, dshift, shiftTerms);
    }

    private HostArray<double>[] Parameters()
    {
        HostArray<double> gamma = KernelInputs.Host([_s.C], Gamma), beta = KernelInputs.Host([_s.C], Beta);
        if (!_s.Modulated)
        {
            return [gamma, beta];
        }

        var m = new HostArray<double>([_s.N, 2L * _s.C]);
        for (int i = 0; i < _s.N * _s.C; i++)
        {
            int at = ((i / _s.C) * 2 * _s.C) + (i % _s.C);
            (m.Data[at], m.Data[at + _s.C]) = (Scale[i], Shift[i]);
        }

        return [gamma, beta, m];
    }

    private (double A, double B) Fold(int n, int c)
    {
        int g = (n * _s.G) + (c / (_s.C / _s.G)), i = (n * _s.C) + c;
        double one = _s.Modulated ? 1 + Scale[i] : 1, shift = _s.Modulated ? Shift[i] : 0;
        return (Rstd[g] * Gamma[c] * one, ((Beta[c] - (Mean[g] * Rstd[g] * Gamma[c])) * one) + shift);
    }

    /// <summary>a per sample and channel.</summary>
    private IEnumerable<double> Scales() => Enumerable.Range(0, _s.N * _s.C).Select(i => Fold(i / _s.C, i % _s.C).A);

    private static double Finite(IEnumerable<double> values) => values.Where(double.IsFinite).DefaultIfEmpty(0).Max();

    /// <summary>Per sample and channel, sum |dz xhat| and sum |dz|.</summary>
    private (double[] A, double[] B) Magnitudes()
    {
        (int N, int P, int C, int D) = (_s.N, (int)_s.Pixels, _s.C, _s.C / _s.G);
        (var a, var b) = (new double[N * C], new double[N * C]);
        for (int n = 0; n < N; n++)
        {
            for (int c = 0; c < C; c++)
            {
                (double scale, double offset) = Fold(n, c);
                int g = (n * _s.G) + (c / D), i = (n * C) + c;
                for (int p = 0; p < P; p++)
                {
                    double x = X[(((n * P) + p) * (long)C) + c], z = (scale * x) + offset, s = 1 / (1 + Math.Exp(-z));
                    // SiLU' is a sum of two terms that may cancel; and z = a x + b is known to the rounding of its own terms only.
                    double dz = Incoming(n, p, c) * (_s.Silu ? (s * (1 + (Math.Abs(z) * (1 - s)))) + ((Math.Abs(scale * x) + Math.Abs(offset)) / 8) : 1);
                    a[i] += dz * Math.Abs((x - Mean[g]) * Rstd[g]);
                    b[i] += dz;
                }
            }
        }

        return (a, b);
    }

    /// <summary>Sum of the magnitudes of dy that reach a pixel of x.</summary>
    private double Incoming(int n, int p, int c)
    {
        (int h, int w, int width) = (p / _s.W, p % _s.W, _y[2]);
        double At(int y, int x) => Math.Abs(Dy[(((((long)n * _y[1]) + y) * width) + x) * _s.C + c]);
        return _resample switch
        {
            NormResample.Down2 => At(h / 2, w / 2) / 4,
            NormResample.Up2 => At(2 * h, 2 * w) + At(2 * h, (2 * w) + 1) + At((2 * h) + 1, 2 * w) + At((2 * h) + 1, (2 * w) + 1),
            _ => At(h, w),
        };
    }
}
