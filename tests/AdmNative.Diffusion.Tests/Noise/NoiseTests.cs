using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>Noise keyed by position, and noise given as arrays.</summary>
public sealed class NoiseTests
{
    [Fact]
    public void Values_depend_on_seed_sample_step_and_element_alone()
    {
        Shape shape = [4, 3, 5, 3];
        float[] whole = Draw(new PhiloxNoise(7), 12, 10, shape);
        Assert.Equal(whole, Draw(new PhiloxNoise(7), 12, 10, shape));
        for (int n = 0; n < 4; n++)
        {
            Assert.Equal(whole.AsSpan(n * 45, 45).ToArray(), Draw(new PhiloxNoise(7), 12, 10 + n, [1, 3, 5, 3]));
        }

        // Any other key gives other numbers.
        foreach (float[] other in (float[][])
            [Draw(new PhiloxNoise(8), 12, 10, shape), Draw(new PhiloxNoise(7), 11, 10, shape), Draw(new PhiloxNoise(7), INoise.Initial, 10, shape),
             Draw(new PhiloxNoise(7UL << 32), 12, 10, shape), Draw(new PhiloxNoise(7), 12, 10 + (1L << 32), shape)])
        {
            Assert.Equal(0, whole.Zip(other).Count(p => p.First == p.Second));
        }
    }

    [Fact]
    public void The_documented_definition_holds_at_every_element()
    {
        const ulong Seed = 0xFEDCBA9876543210;
        const long Sample = 0x1_0000_0005;
        float[] values = Draw(new PhiloxNoise(Seed), 999, Sample, [1, 1, 1, 11]);
        for (int e = 0; e < values.Length; e++)
        {
            Philox.Block(0x76543210, 0xFEDCBA98, (uint)(e / 4), 999, 5, 1, out uint r0, out uint r1, out uint r2, out uint r3);
            (uint a, uint b) = e % 4 < 2 ? (r0, r1) : (r2, r3);
            double u1 = (double)(float)(((double)(float)a / (1L << 32)) + (1.0 / (1L << 33)));
            double u2 = (b >> 8) / 16777216.0;
            double radius = Math.Sqrt(-2 * Math.Log(u1));
            double expected = radius * (e % 2 == 0 ? Math.Cos(2 * Math.PI * u2) : Math.Sin(2 * Math.PI * u2));
            // 2 pi u2 in double carries a relative error of 2^-52, and the result is rounded to float once.
            Assert.Equal(expected, values[e], (Math.Abs(expected) * 6e-8) + 1e-14);
        }
    }

    [Fact]
    public void The_edges_of_the_definition_are_finite()
    {
        var radius = new uint[PhiloxNoise.Pairs];
        var angle = new uint[PhiloxNoise.Pairs];
        var z = new float[2 * PhiloxNoise.Pairs];
        radius[0] = uint.MaxValue;
        angle[2] = uint.MaxValue;
        PhiloxNoise.BoxMuller(radius, angle, z);
        Assert.Equal((0f, 0f), (z[0], z[1]));
        Assert.Equal(Math.Sqrt(66 * Math.Log(2)), z[2], 1e-6);
        Assert.Equal(0f, z[3]);
        Assert.All(z, v => Assert.True(float.IsFinite(v)));
    }

    [Fact]
    public void Normals_are_normal()
    {
        const int N = 1 << 18;
        float[] z = Draw(new PhiloxNoise(1), 3, 0, [16, 64, 64, 4]);
        Assert.Equal(N, z.Length);
        // Standard errors of the first four moments of N samples: sqrt(1, 2, 15, 96 / N); five of them.
        double error = 5 / Math.Sqrt(N);
        Assert.Equal(0, z.Average(v => (double)v), error);
        Assert.Equal(1, z.Average(v => Math.Pow(v, 2)), error * Math.Sqrt(2));
        Assert.Equal(0, z.Average(v => Math.Pow(v, 3)), error * Math.Sqrt(15));
        Assert.Equal(3, z.Average(v => Math.Pow(v, 4)), error * Math.Sqrt(96));
        // Neighbours, and the two halves of a pair, are uncorrelated.
        foreach (int lag in (int[])[1, 2, 3, 4, 16384])
        {
            double sum = 0;
            for (int i = 0; i + lag < N; i++)
            {
                sum += (double)z[i] * z[i + lag];
            }

            Assert.Equal(0, sum / N, error);
        }

        // Kolmogorov-Smirnov against the normal distribution function; 1.95 / sqrt(N) is exceeded once in a thousand.
        Array.Sort(z);
        double worst = 0;
        for (int i = 0; i < N; i += 64)
        {
            worst = Math.Max(worst, Math.Abs(NormalCdf(z[i]) - ((i + 0.5) / N)));
        }

        Assert.InRange(worst, 0, 1.95 / Math.Sqrt(N));
    }

    [Fact]
    public void Labels_are_uniform_and_independent_of_the_batch()
    {
        var labels = new int[20000];
        new PhiloxNoise(3).Labels(0, 10, labels);
        var one = new int[1];
        new PhiloxNoise(3).Labels(1234, 10, one);
        Assert.Equal(labels[1234], one[0]);
        int[] counts = new int[10];
        foreach (int label in labels)
        {
            counts[label]++;
        }

        // Binomial deviation sqrt(20000 * 0.09) = 42; five of them.
        Assert.All(counts, c => Assert.InRange(c, 2000 - 212, 2000 + 212));
    }

    [Fact]
    public void Given_arrays_are_handed_out_by_step_and_sample()
    {
        // Two images of 2 channels and 1x3 pixels; the value says where it lies.
        float[] Planar(float add) => [.. Enumerable.Range(0, 12).Select(i => i + add)];
        var noise = new ExplicitNoise(Planar(0), [Planar(100), Planar(200)], [4, 9]);
        Assert.Equal([0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11], Draw(noise, INoise.Initial, 0, [2, 1, 3, 2]));
        Assert.Equal([106, 109, 107, 110, 108, 111], Draw(noise, 1, 1, [1, 1, 3, 2]));
        Assert.Equal([200, 203, 201, 204, 202, 205], Draw(noise, 0, 0, [1, 1, 3, 2]));
        var labels = new int[1];
        noise.Labels(1, 10, labels);
        Assert.Equal(9, labels[0]);

        Assert.Throws<ShapeException>(() => noise.Labels(1, 9, labels));
        Assert.Throws<ShapeException>(() => noise.Labels(2, 10, labels));
        Assert.Throws<ShapeException>(() => Draw(noise, 2, 0, [1, 1, 3, 2]));
        Assert.Throws<ShapeException>(() => Draw(noise, 0, 1, [2, 1, 3, 2]));
        Assert.Throws<ShapeException>(() => new ExplicitNoise(Planar(0), [[1f]]));
        Assert.Throws<ShapeException>(() => new ExplicitNoise(Planar(0), []).Labels(0, 10, labels));
    }

    [Fact]
    public void Pixel_orders_are_inverse()
    {
        float[] nchw = [.. Enumerable.Range(0, 2 * 3 * 4 * 5).Select(i => (float)i)];
        var nhwc = new float[nchw.Length];
        var back = new float[nchw.Length];
        Shape shape = [2, 4, 5, 3];
        PixelOrder.ToNhwc(nchw, shape, nhwc);
        PixelOrder.ToNchw(nhwc, shape, back);
        Assert.Equal(nchw, back);
        Assert.Equal(20, nhwc[1]);
        Assert.Throws<ShapeException>(() => PixelOrder.ToNhwc<float>(nchw, [2, 4, 5, 1], nhwc));
    }

    private static float[] Draw(INoise noise, int t, long first, Shape shape)
    {
        var values = new float[shape.Elements];
        noise.Normals(t, first, shape, values);
        return values;
    }

    /// <summary>The normal distribution function by Simpson's rule over the density; error below 1e-10.</summary>
    private static double NormalCdf(double x)
    {
        const int Steps = 200;
        double h = x / Steps;
        double sum = 0;
        for (int i = 0; i <= Steps; i++)
        {
            double weight = i is 0 or Steps ? 1 : i % 2 == 1 ? 4 : 2;
            sum += weight * Math.Exp(-0.5 * (i * h) * (i * h));
        }

        return 0.5 + (sum * h / 3 / Math.Sqrt(2 * Math.PI));
    }
}
