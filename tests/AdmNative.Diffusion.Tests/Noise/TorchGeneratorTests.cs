using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;

namespace AdmNative.Tests;

/// <summary>Streams of torch's CPU generator, replayed.</summary>
public sealed class TorchGeneratorTests
{
    private static string Golden => Repo.Path("tests", "golden", "torch-random.npz");

    [Theory]
    [InlineData(0)]
    [InlineData(1234567)]
    public void A_stream_of_mixed_draws_is_the_recorded_one(ulong seed)
    {
        var generator = new TorchGenerator(seed);
        using NpzFile file = NpzFile.Open(Golden);
        string[] names = [.. file.Names.Where(n => n.StartsWith($"seed{seed}.", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
        Assert.Equal(11, names.Length);
        foreach (string name in names)
        {
            string[] parts = name.Split('.');
            Tensor expected = file.Read(name);
            int count = (int)expected.Shape.Elements;
            switch (parts[2])
            {
                case "randint":
                    long[] arguments = [.. parts[3].Split('x').Select(long.Parse)];
                    var integers = new long[count];
                    generator.Integers(arguments[0], arguments[1], integers);
                    Assert.Equal(expected.AsSpan<long>().ToArray(), integers);
                    break;
                case "rand":
                    var uniforms = new float[count];
                    generator.Uniforms(uniforms);
                    Assert.Equal(expected.AsSpan<float>().ToArray(), uniforms);
                    break;
                case "randn":
                    var normals = new float[count];
                    generator.Normals(normals);
                    CheckNormals(name, expected.AsSpan<float>(), normals);
                    break;
                default:
                    Assert.Fail($"{name}: unknown function");
                    break;
            }
        }
    }

    [Fact]
    public void Ranges_above_32_bits_take_two_words_each()
    {
        var words = new TorchGenerator(5);
        var values = new long[3];
        new TorchGenerator(5).Integers(-10, (1L << 32) - 10, values);
        foreach (long value in values)
        {
            ulong upper = words.NextUInt32();
            Assert.Equal((long)(((upper << 32) | words.NextUInt32()) % (1UL << 32)) - 10, value);
        }

        var narrow = new long[1];
        new TorchGenerator(5).Integers(0, (1L << 32) - 1, narrow);
        Assert.Equal(new TorchGenerator(5).NextUInt32() % 0xFFFFFFFFL, narrow[0]);
        Assert.Throws<ArgumentOutOfRangeException>(() => new TorchGenerator(5).Integers(3, 3, new long[1]));
    }

    [Fact]
    public void The_generator_is_the_mersenne_twister_of_the_literature()
    {
        // The 10000th output for seed 5489 is required by the C++ standard (26.5.5): 4123659995.
        var generator = new TorchGenerator(5489);
        uint value = 0;
        for (int i = 0; i < 10000; i++)
        {
            value = generator.NextUInt32();
        }

        Assert.Equal(4123659995u, value);
    }

    [Fact]
    public void Noise_of_a_run_is_drawn_planar_after_the_labels()
    {
        var stream = new TorchGenerator(9);
        var labels64 = new long[2];
        stream.Integers(0, 10, labels64);
        var nchw = new float[2 * 3 * 4 * 5];
        stream.Normals(nchw);

        var noise = new TorchNoise(9);
        var labels = new int[2];
        noise.Labels(0, 10, labels);
        Assert.Equal(labels64, labels.Select(l => (long)l).ToArray());
        var nhwc = new float[nchw.Length];
        noise.Normals(INoise.Initial, 0, [2, 4, 5, 3], nhwc);
        Assert.Equal(nchw[(((1 * 3) + 2) * 4 * 5) + (3 * 5) + 1], nhwc[(((((1 * 4) + 3) * 5) + 1) * 3) + 2]);
        Assert.Equal(nchw.Order(), nhwc.Order());
    }

    /// <summary>
    /// Radius and angle are the same numbers; logarithm, square root, sine and product each add at most an ulp or two. Where the sine
    /// is near a zero its error is that of the rounded angle, which both sides share up to 2^-24 * 2 pi times the radius.
    /// </summary>
    private static void CheckNormals(string name, ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            float tolerance = Math.Max(1e-6f, 4 * MathF.BitIncrement(Math.Abs(expected[i])) - 4 * Math.Abs(expected[i]));
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance, $"{name}[{i}]: expected {expected[i]:R}, got {actual[i]:R}");
        }
    }
}
