namespace AdmNative.Diffusion;

/// <summary>
/// PyTorch's CPU random number generator: the same draws in the same order as torch.manual_seed(seed) followed by torch.randn,
/// torch.randint and torch.rand. Integers and uniforms are equal bit for bit, normals to the last place or two (the logarithm and
/// the sine are those of the platform). A stream: not thread-safe, and the order of draws matters.
/// </summary>
public sealed class TorchGenerator
{
    private const int N = 624;
    private const int M = 397;
    private const float TwoPi = (float)(2 * Math.PI);

    private readonly uint[] _state = new uint[N];
    private int _next = N;
    private double? _secondNormal;

    /// <summary>The state after torch.manual_seed: MT19937 started from the low 32 bits of the seed.</summary>
    public TorchGenerator(ulong seed)
    {
        unchecked
        {
            _state[0] = (uint)seed;
            for (uint i = 1; i < N; i++)
            {
                uint before = _state[i - 1];
                _state[i] = (1812433253u * (before ^ (before >> 30))) + i;
            }
        }
    }

    /// <summary>The next 32 random bits.</summary>
    public uint NextUInt32()
    {
        if (_next == N)
        {
            Twist();
        }

        uint y = _state[_next++];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C5680u;
        y ^= (y << 15) & 0xEFC60000u;
        return y ^ (y >> 18);
    }

    /// <summary>The next 64 random bits, upper half first.</summary>
    public ulong NextUInt64()
    {
        ulong upper = NextUInt32();
        return (upper << 32) | NextUInt32();
    }

    /// <summary>torch.rand: uniform over [0,1) in steps of 2^-24.</summary>
    public void Uniforms(Span<float> destination)
    {
        for (int i = 0; i < destination.Length; i++)
        {
            destination[i] = NextFloat();
        }
    }

    /// <summary>torch.randint(low, high): a remainder of 32 random bits, or of 64 when the range needs them.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="high"/> is not above <paramref name="low"/>.</exception>
    public void Integers(long low, long high, Span<long> destination)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(high, low);
        unchecked
        {
            ulong range = (ulong)high - (ulong)low;
            for (int i = 0; i < destination.Length; i++)
            {
                ulong bits = range >= 1UL << 32 ? NextUInt64() : NextUInt32();
                destination[i] = (long)(bits % range) + low;
            }
        }
    }

    /// <summary>torch.randn of a tensor with this many elements. Below 16 elements the draws differ from those of a longer one.</summary>
    public void Normals(Span<float> destination)
    {
        if (destination.Length < 16)
        {
            for (int i = 0; i < destination.Length; i++)
            {
                destination[i] = (float)NextNormal();
            }

            return;
        }

        Uniforms(destination);
        int whole = destination.Length & ~15;
        for (int i = 0; i < whole; i += 16)
        {
            BoxMuller16(destination.Slice(i, 16));
        }

        if (whole < destination.Length)
        {
            // The last 16 values are drawn again, over some that were already transformed.
            Span<float> tail = destination[^16..];
            Uniforms(tail);
            BoxMuller16(tail);
        }
    }

    private float NextFloat() => (NextUInt32() & 0xFFFFFF) * (1f / (1 << 24));

    private double NextDouble() => (NextUInt64() & ((1UL << 53) - 1)) * (1.0 / (1UL << 53));

    /// <summary>The scalar path: pairs in double; the second of a pair is kept for the next call, across tensors.</summary>
    private double NextNormal()
    {
        if (_secondNormal is double kept)
        {
            _secondNormal = null;
            return kept;
        }

        double u1 = NextDouble();
        double u2 = NextDouble();
        // log1p(-u2): 1 - u2 is exact for a multiple of 2^-53 below 1, so the plain logarithm loses nothing.
        double radius = Math.Sqrt(-2 * Math.Log(1 - u2));
        double theta = 2 * Math.PI * u1;
        _secondNormal = radius * Math.Sin(theta);
        return radius * Math.Cos(theta);
    }

    /// <summary>The vector path in single precision: values j and j + 8 become a pair.</summary>
    private static void BoxMuller16(Span<float> u)
    {
        for (int j = 0; j < 8; j++)
        {
            float radius = MathF.Sqrt(-2 * MathF.Log(1 - u[j]));
            float theta = TwoPi * u[j + 8];
            u[j] = radius * MathF.Cos(theta);
            u[j + 8] = radius * MathF.Sin(theta);
        }
    }

    private void Twist()
    {
        for (int i = 0; i < N; i++)
        {
            uint y = (_state[i] & 0x80000000u) | (_state[(i + 1) % N] & 0x7FFFFFFFu);
            _state[i] = _state[(i + M) % N] ^ (y >> 1) ^ ((y & 1) * 0x9908B0DFu);
        }

        _next = 0;
    }
}
