using System.Runtime.Intrinsics;
using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// Noise that is a function of (seed, sample, step, element): an image does not depend on batch size, device or number of
/// processes. Two models of one run (a base model and its upsampler) must use different seeds.
/// </summary>
/// <remarks>
/// Definition, for any device. Words r0..r3 = Philox4x32-10 with
/// <code>
/// key     = (low 32 bits of seed, high 32 bits of seed)
/// counter = (element / 4, t, low 32 bits of sample, high 32 bits of sample)
/// </code>
/// where element = (y * W + x) * C + c within one image, t = step of the running process as two's complement (x_T: -1), and sample
/// is the image's index in the run. A pair of words (r0, r1), and in the same way (r2, r3), gives two normals (Box-Muller):
/// <code>
/// u1 = fma(float32(r0), 2^-32, 2^-33)      in (0, 1]; conversion and fma each round to nearest even, so u1 is exact to define
/// u2 = float32(r1 >> 8) * 2^-24            in [0, 1); exact
/// z0 = sqrt(-2 ln u1) * cos(2 pi u2),  z1 = sqrt(-2 ln u1) * sin(2 pi u2)
/// </code>
/// Elements 4k .. 4k+3 are z0, z1 of (r0, r1) and z0, z1 of (r2, r3). Here the formula is evaluated in double and rounded once, so
/// another device agrees to the error of its own logarithm and sine. |z| is at most sqrt(66 ln 2) = 6.77.
/// <para>A label is the upper 64 bits of the 128-bit product of classes and (r0 * 2^32 + r1), at counter (0, -2, sample).</para>
/// </remarks>
public sealed class PhiloxNoise : INoise
{
    /// <summary>Pairs of normals computed at a time.</summary>
    internal const int Pairs = 16;

    private const int LabelStep = -2;

    private readonly uint _key0;
    private readonly uint _key1;

    /// <summary>All noise of a seed.</summary>
    public PhiloxNoise(ulong seed)
    {
        Seed = seed;
        _key0 = unchecked((uint)seed);
        _key1 = (uint)(seed >> 32);
    }

    /// <summary>The seed.</summary>
    public ulong Seed { get; }

    /// <inheritdoc/>
    public void Normals(int t, long firstSample, Shape shape, Span<float> destination)
    {
        if (shape.Rank < 1 || destination.Length != shape.Elements)
        {
            throw new ShapeException($"noise: {destination.Length} values do not make {shape}");
        }

        int perSample = shape[0] == 0 ? 0 : destination.Length / shape[0];
        for (int n = 0; n < shape[0]; n++)
        {
            Normals(t, firstSample + n, destination.Slice(n * perSample, perSample));
        }
    }

    /// <inheritdoc/>
    public void Labels(long firstSample, int classes, Span<int> destination)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(classes, 1);
        for (int n = 0; n < destination.Length; n++)
        {
            long sample = firstSample + n;
            Philox.Block(_key0, _key1, 0, unchecked((uint)LabelStep), unchecked((uint)sample), unchecked((uint)(sample >> 32)),
                out uint r0, out uint r1, out _, out _);
            destination[n] = (int)Math.BigMul(((ulong)r0 << 32) | r1, (ulong)classes, out _);
        }
    }

    /// <summary>
    /// The definition above for <see cref="Pairs"/> pairs of words: <paramref name="radius"/> holds r0 (or r2), <paramref name="angle"/>
    /// r1 (or r3), and z gets z0 and z1 of each pair in turn.
    /// </summary>
    internal static void BoxMuller(ReadOnlySpan<uint> radius, ReadOnlySpan<uint> angle, Span<float> z)
    {
        Span<double> u1 = stackalloc double[Pairs];
        Span<double> theta = stackalloc double[Pairs];
        for (int i = 0; i < Pairs; i++)
        {
            u1[i] = MathF.FusedMultiplyAdd(radius[i], 1f / (1L << 32), 1f / (1L << 33));
            theta[i] = 2 * Math.PI * ((angle[i] >> 8) * (1.0 / (1 << 24)));
        }

        for (int i = 0; i < Pairs; i += Vector256<double>.Count)
        {
            Vector256<double> r = Vector256.Sqrt(Vector256.Log(Vector256.Create<double>(u1[i..])) * -2.0);
            (Vector256<double> sin, Vector256<double> cos) = Vector256.SinCos(Vector256.Create<double>(theta[i..]));
            (cos, sin) = (r * cos, r * sin);
            for (int lane = 0; lane < Vector256<double>.Count; lane++)
            {
                z[2 * (i + lane)] = (float)cos[lane];
                z[(2 * (i + lane)) + 1] = (float)sin[lane];
            }
        }
    }

    private void Normals(int t, long sample, Span<float> destination)
    {
        uint sampleLow = unchecked((uint)sample);
        uint sampleHigh = unchecked((uint)(sample >> 32));
        Span<uint> radius = stackalloc uint[Pairs];
        Span<uint> angle = stackalloc uint[Pairs];
        Span<float> z = stackalloc float[2 * Pairs];
        for (int i = 0; i < destination.Length; i += z.Length)
        {
            for (int pair = 0; pair < Pairs; pair += 2)
            {
                Philox.Block(_key0, _key1, (uint)((i / 4) + (pair / 2)), unchecked((uint)t), sampleLow, sampleHigh,
                    out radius[pair], out angle[pair], out radius[pair + 1], out angle[pair + 1]);
            }

            BoxMuller(radius, angle, z);
            z[..Math.Min(z.Length, destination.Length - i)].CopyTo(destination[i..]);
        }
    }
}
