using System.Numerics;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>
/// Inputs of a convolution case and the three products in f64, straight from the definition y[n, i, j, k] = sum of x[n, h, w, c] f[k, r, s, c] over the
/// triples of a result pixel, a place of the filter and the source pixel it meets; gradients are the same sum with another operand's indices left.
/// </summary>
internal sealed class ConvData
{
    private readonly ConvShape _s;

    /// <summary>Inputs of a kind: "normal", or "integers" in [-5, 5], whose sums are exact in f32.</summary>
    public ConvData(ConvShape s, KernelDType dtype, string kind)
    {
        _s = s;
        float[] Make(long count, uint seed, double scale) => KernelNumbers.Rounded(
            kind switch
            {
                "normal" => KernelInputs.Normal(count, seed, scale),
                "integers" => KernelInputs.Integers(count, seed, 5),
                _ => throw new ArgumentException($"no inputs of kind '{kind}'", nameof(kind)),
            },
            dtype);
        X = Make((long)s.N * s.H * s.W * s.C, 1, 1);
        Weights = Make((long)s.K * s.Side * s.Side * s.C, 2, 1 / Math.Sqrt(s.Side * s.Side * s.C));
        Bias = kind == "normal" ? KernelInputs.Normal(s.K, 3) : KernelInputs.Integers(s.K, 3, 5);
        ResidualY = Make(s.ResultPixels * s.K, 4, 1);
        ResidualX = Make(X.Length, 5, 1);
        Dy = Make(s.ResultPixels * s.K, 6, 1);
    }

    public float[] X { get; }

    /// <summary>[K, side, side, C].</summary>
    public float[] Weights { get; }

    public float[] Bias { get; }

    public float[] ResidualY { get; }

    public float[] ResidualX { get; }

    public float[] Dy { get; }

    /// <summary>[C, side, side, K in whole 16 bytes], both sides of the filter reversed.</summary>
    public double[] Flipped(int padded)
    {
        int taps = _s.Side * _s.Side;
        var result = new double[(long)_s.C * taps * padded];
        for (int i = 0; i < Weights.Length; i++)
        {
            int c = i % _s.C, tap = i / _s.C % taps, k = i / _s.C / taps;
            result[(((long)c * taps) + taps - 1 - tap) * padded + k] = Weights[i];
        }

        return result;
    }

    /// <summary>y, or with magnitudes the sum of the magnitudes of its terms.</summary>
    public double[] Forward(bool magnitudes)
    {
        (double[] x, double[] w) = (Wide(X, magnitudes), Wide(Weights, magnitudes));
        var y = new double[_s.ResultPixels * _s.K];
        Parallel.For(0, (int)_s.ResultPixels, m =>
        {
            Span<double> to = y.AsSpan(m * _s.K, _s.K);
            for (int k = 0; k < _s.K; k++)
            {
                double residual = _s.Residual ? ResidualY[(m * _s.K) + k] : 0, bias = _s.Bias ? Bias[k] : 0;
                to[k] = magnitudes ? Math.Abs(residual) + Math.Abs(bias) : residual + bias;
            }

            foreach ((int tap, int source) in Taps(m))
            {
                ReadOnlySpan<double> from = x.AsSpan(source * _s.C, _s.C);
                for (int k = 0; k < _s.K; k++)
                {
                    to[k] += Dot(from, w.AsSpan(((k * _s.Side * _s.Side) + tap) * _s.C, _s.C));
                }
            }
        });
        return y;
    }

    /// <summary>dx + addend, or the sum of the magnitudes of its terms.</summary>
    public double[] InputGradient(bool magnitudes)
    {
        (double[] dy, double[] w) = (Wide(Dy, magnitudes), Wide(Weights, magnitudes));
        double[] dx = _s.Residual ? Wide(ResidualX, magnitudes) : new double[X.Length];
        int pixels = _s.ResultH * _s.ResultW;
        Parallel.For(0, _s.N, n =>
        {
            for (int m = n * pixels; m < (n + 1) * pixels; m++)
            {
                foreach ((int tap, int source) in Taps(m))
                {
                    Span<double> to = dx.AsSpan(source * _s.C, _s.C);
                    for (int k = 0; k < _s.K; k++)
                    {
                        AddScaled(to, w.AsSpan(((k * _s.Side * _s.Side) + tap) * _s.C, _s.C), dy[(m * _s.K) + k]);
                    }
                }
            }
        });
        return dx;
    }

    /// <summary>dw [K, side, side, padded], zero beyond C, or the sum of the magnitudes of its terms.</summary>
    public double[] WeightGradient(bool magnitudes, int padded)
    {
        (double[] x, double[] dy) = (Wide(X, magnitudes), Wide(Dy, magnitudes));
        int taps = _s.Side * _s.Side;
        var dw = new double[(long)_s.K * taps * padded];
        Parallel.For(0, _s.K, k =>
        {
            for (int m = 0; m < _s.ResultPixels; m++)
            {
                foreach ((int tap, int source) in Taps(m))
                {
                    AddScaled(dw.AsSpan(((k * taps) + tap) * padded, _s.C), x.AsSpan(source * _s.C, _s.C), dy[(m * _s.K) + k]);
                }
            }
        });
        return dw;
    }

    /// <summary>db, or the sum of the magnitudes of its terms.</summary>
    public double[] BiasGradient(bool magnitudes)
    {
        double[] dy = Wide(Dy, magnitudes);
        var db = new double[_s.K];
        for (int i = 0; i < dy.Length; i++)
        {
            db[i % _s.K] += dy[i];
        }

        return db;
    }

    /// <summary>Places of the filter with the source pixel each of them meets, for a result pixel.</summary>
    private IEnumerable<(int Tap, int Source)> Taps(int m)
    {
        (int j, int i, int n) = (m % _s.ResultW, m / _s.ResultW % _s.ResultH, m / _s.ResultW / _s.ResultH);
        int scale = _s.Upsample ? 2 : 1;
        for (int r = 0; r < _s.Side; r++)
        {
            for (int s = 0; s < _s.Side; s++)
            {
                (int h, int w) = ((i * _s.Stride) + r - (_s.Side / 2), (j * _s.Stride) + s - (_s.Side / 2));
                if (h >= 0 && w >= 0 && h < scale * _s.H && w < scale * _s.W)
                {
                    yield return ((r * _s.Side) + s, (((n * _s.H) + (h / scale)) * _s.W) + (w / scale));
                }
            }
        }
    }

    private static double[] Wide(float[] values, bool magnitudes) => magnitudes ? Array.ConvertAll(values, v => Math.Abs((double)v)) : Array.ConvertAll(values, v => (double)v);

    private static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        var sum = Vector<double>.Zero;
        int i = 0, width = Vector<double>.Count;
        for (; i + width <= a.Length; i += width)
        {
            sum += new Vector<double>(a[i..]) * new Vector<double>(b[i..]);
        }

        double total = Vector.Sum(sum);
        for (; i < a.Length; i++)
        {
            total += a[i] * b[i];
        }

        return total;
    }

    private static void AddScaled(Span<double> to, ReadOnlySpan<double> from, double factor)
    {
        int i = 0, width = Vector<double>.Count;
        for (; i + width <= to.Length; i += width)
        {
            (new Vector<double>(to[i..]) + (new Vector<double>(from[i..]) * factor)).CopyTo(to[i..]);
        }

        for (; i < to.Length; i++)
        {
            to[i] += from[i] * factor;
        }
    }
}
