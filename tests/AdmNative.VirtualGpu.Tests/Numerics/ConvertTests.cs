using System.Numerics;
using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;
using Convert = AdmNative.VirtualGpu.Engine.Convert;

namespace AdmNative.VirtualGpu.Tests.Numerics;

public sealed unsafe class ConvertTests
{
    private static readonly PtxType[] s_integers = [PtxType.U8, PtxType.S8, PtxType.U16, PtxType.S16, PtxType.U32, PtxType.S32, PtxType.U64, PtxType.S64];
    private static readonly PtxType[] s_floats = [PtxType.F16, PtxType.BF16, PtxType.F32, PtxType.F64];
    private static readonly Rounding[] s_roundings = [Rounding.Nearest, Rounding.Zero, Rounding.Down, Rounding.Up];

    private static MicroOp Op(PtxType from, PtxType to, Rounding rounding = Rounding.Nearest, OpFlags flags = 0, bool integral = false) => new()
    {
        Code = (from.IsFloat(), to.IsFloat()) switch
        {
            (false, false) => OpCode.CvtInt,
            (false, true) => OpCode.CvtIntToFloat,
            (true, false) => OpCode.CvtFloatToInt,
            _ => OpCode.CvtFloat,
        },
        SourceType = from,
        Type = to,
        Imm = (int)rounding,
        Imm2 = integral ? 1 : 0,
        Flags = flags,
        Count = (byte)((to.Bits() == 64 ? Convert.WideDest : 0) | (from.Bits() == 64 ? Convert.WideSource : 0)),
    };

    private static ulong Run(in MicroOp op, ulong source)
    {
        using var rows = new Rows(4);
        rows.Lanes64(0)[5] = source;
        if ((op.Count & Convert.WideSource) == 0)
        {
            rows.Lanes(0)[5] = (uint)source;
        }

        Convert.Cvt(op, rows[2], rows[0], null, 1u << 5);
        Assert.Equal(0xDEAD_BEEFu, rows.Lanes(2)[4]); // lanes outside the mask keep what they had
        return (op.Count & Convert.WideDest) != 0 ? rows.Lanes64(2)[5] : rows.Lanes(2)[5];
    }

    /// <summary>Converts many patterns, 32 lanes at a time.</summary>
    private static uint[] RunAll(MicroOp op, ReadOnlySpan<uint> source)
    {
        using var rows = new Rows(2);
        var result = new uint[source.Length];
        for (int i = 0; i < source.Length; i += 32)
        {
            source.Slice(i, 32).CopyTo(rows.Lanes(0));
            Convert.Cvt(op, rows[1], rows[0], null, LaneOps.Full);
            rows.Lanes(1).CopyTo(result.AsSpan(i));
        }

        return result;
    }

    private static uint[] AllHalves() => [.. Enumerable.Range(0, 65536).Select(i => (uint)i)];

    [Fact]
    public void Every_f16_widens_as_System_Half_does()
    {
        uint[] wide = RunAll(Op(PtxType.F16, PtxType.F32), AllHalves());
        for (int i = 0; i < 65536; i++)
        {
            var h = BitConverter.UInt16BitsToHalf((ushort)i);
            Assert.Equal(Half.IsNaN(h) ? 0x7FFF_FFFFu : BitConverter.SingleToUInt32Bits((float)h), wide[i]);
        }
    }

    [Fact]
    public void Every_bf16_widens_by_a_shift()
    {
        uint[] wide = RunAll(Op(PtxType.BF16, PtxType.F32), AllHalves());
        for (uint i = 0; i < 65536; i++)
        {
            Assert.Equal((i & 0x7FFF) > 0x7F80 ? 0x7FFF_FFFFu : i << 16, wide[i]);
        }
    }

    [Fact]
    public void F32_to_f16_rounds_at_every_boundary_between_two_halves()
    {
        // Between consecutive halves: the middle and its two neighbours, both signs.
        uint[] source = new uint[6 * 0x7C00 + 32 - (6 * 0x7C00 % 32)];
        for (uint i = 0, n = 0; i < 0x7C00; i++)
        {
            double low = (double)BitConverter.UInt16BitsToHalf((ushort)i), high = i == 0x7BFF ? 65536 : (double)BitConverter.UInt16BitsToHalf((ushort)(i + 1));
            uint middle = BitConverter.SingleToUInt32Bits((float)((low + high) / 2));
            foreach (uint bits in (uint[])[middle - 1, middle, middle + 1])
            {
                source[n++] = bits;
                source[n++] = bits | 0x8000_0000;
            }
        }

        uint[] narrow = RunAll(Op(PtxType.F32, PtxType.F16), source);
        for (int i = 0; i < source.Length; i++)
        {
            Assert.Equal(BitConverter.HalfToUInt16Bits((Half)BitConverter.UInt32BitsToSingle(source[i])), narrow[i]);
        }
    }

    [Fact]
    public void F32_to_bf16_rounds_at_every_boundary()
    {
        uint[] source = new uint[0x7F80 * 4];
        for (uint i = 0; i < 0x7F80; i++)
        {
            source[4 * i] = i << 16;
            source[(4 * i) + 1] = (i << 16) | 0x7FFF;
            source[(4 * i) + 2] = (i << 16) | 0x8000;
            source[(4 * i) + 3] = (i << 16) | 0x8001;
        }

        uint[] narrow = RunAll(Op(PtxType.F32, PtxType.BF16), source);
        for (uint i = 0; i < 0x7F80; i++)
        {
            Assert.Equal([i, i, i + (i & 1), i + 1], narrow.AsSpan((int)(4 * i), 4).ToArray());
        }
    }

    /// <summary>A float type's value of a positive pattern, and the pattern of infinity.</summary>
    private static (Func<ulong, double> Value, ulong Infinity, int SignBit) Ladder(PtxType type) => type switch
    {
        PtxType.F16 => (b => (double)BitConverter.UInt16BitsToHalf((ushort)b), 0x7C00, 15),
        PtxType.BF16 => (b => BitConverter.UInt32BitsToSingle((uint)b << 16), 0x7F80, 15),
        PtxType.TF32 => (b => BitConverter.UInt32BitsToSingle((uint)b << 13), 0x7F80_0000 >> 13, 18),
        PtxType.F32 => (b => BitConverter.UInt32BitsToSingle((uint)b), 0x7F80_0000, 31),
        _ => (b => BitConverter.UInt64BitsToDouble(b), 0x7FF0_0000_0000_0000, 63),
    };

    /// <summary>Rounds by looking for the two neighbours among all values of the type.</summary>
    private static ulong Bracket(PtxType type, Exact value, bool negative, Rounding rounding)
    {
        (Func<ulong, double> at, ulong infinity, int signBit) = Ladder(type);
        Exact magnitude = negative ? new Exact(-value.Integer, value.Power) : value;
        ulong low = 0, high = infinity;
        while (high - low > 1)
        {
            ulong middle = low + ((high - low) / 2);
            if (Exact.Of(at(middle)).CompareTo(magnitude) <= 0)
            {
                low = middle;
            }
            else
            {
                high = middle;
            }
        }

        ulong bits = low;
        if (Exact.Of(at(low)).CompareTo(magnitude) != 0)
        {
            // Past the largest value the next step of the ladder would be twice as far as infinity's place in it.
            Exact above = high == infinity ? Exact.Of(at(low)) + (Exact.Of(at(low)) - Exact.Of(at(low - 1))) : Exact.Of(at(high));
            int side = (magnitude - Exact.Of(at(low))).CompareTo(above - magnitude);
            bool up = rounding switch
            {
                Rounding.Zero => false,
                Rounding.Down => negative,
                Rounding.Up => !negative,
                Rounding.NearestAway => side >= 0,
                _ => side > 0 || (side == 0 && (low & 1) != 0),
            };
            bits += up ? 1UL : 0;
        }

        bits |= negative ? 1UL << signBit : 0;
        return type == PtxType.TF32 ? bits << 13 : bits;
    }

    public static TheoryData<string, string> FloatPairs()
    {
        var data = new TheoryData<string, string>();
        foreach (PtxType from in s_floats)
        {
            foreach (PtxType to in (PtxType[])[.. s_floats, PtxType.TF32])
            {
                data.Add(from.ToString(), to.ToString());
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(FloatPairs))]
    public void Float_to_float_rounds_to_the_right_neighbour_in_every_mode(string fromName, string toName)
    {
        PtxType from = Enum.Parse<PtxType>(fromName), to = Enum.Parse<PtxType>(toName);
        var random = new Random(1);
        for (int i = 0; i < 400; i++)
        {
            ulong bits = from switch
            {
                PtxType.F64 when i % 2 == 1 => BitConverter.DoubleToUInt64Bits(BitConverter.UInt32BitsToSingle(Patterns.NextSingle(random)) * (1 + random.Next(-3, 4) * Math.ScaleB(1, -40))),
                PtxType.F64 => i < Patterns.Double.Length ? Patterns.Double[i] : Patterns.NextDouble(random),
                PtxType.F32 => i < Patterns.Single.Length ? Patterns.Single[i] : Patterns.NextSingle(random),
                _ => i < Patterns.Half.Length ? Patterns.Half[i] : Patterns.NextHalf(random),
            };
            double value = Convert.ToDouble(from, bits);
            foreach (Rounding rounding in (Rounding[])[.. s_roundings, Rounding.NearestAway])
            {
                ulong expected = double.IsNaN(value) ? Convert.Format(to).Nan
                    : double.IsInfinity(value) ? Convert.Format(to).Infinity(value < 0)
                    : Bracket(to, Exact.Of(value), double.IsNegative(value), rounding);
                Assert.Equal(expected, Run(Op(from, to, rounding), bits));
            }
        }
    }

    [Fact]
    public void Integers_become_floats_by_the_right_neighbour_in_every_mode()
    {
        var random = new Random(2);
        foreach (PtxType from in s_integers)
        {
            foreach (PtxType to in s_floats)
            {
                for (int i = 0; i < 120; i++)
                {
                    // Numbers of every length, and those around powers of two, where ties are.
                    ulong bits = (ulong)random.NextInt64() >> random.Next(64);
                    bits = (i % 3) switch { 0 => bits, 1 => ~bits, _ => (1UL << random.Next(64)) + (ulong)(random.Next(5) - 2) };
                    BigInteger value = Value(from, bits);
                    foreach (Rounding rounding in s_roundings)
                    {
                        Assert.Equal(Bracket(to, new Exact(value, 0), value.Sign < 0, rounding), Run(Op(from, to, rounding), bits));
                    }
                }
            }
        }
    }

    private static BigInteger Value(PtxType type, ulong bits)
    {
        BigInteger low = bits & (ulong.MaxValue >> (64 - type.Bits()));
        return type.IsSigned() && !(low >> (type.Bits() - 1)).IsZero ? low - (BigInteger.One << type.Bits()) : low;
    }

    private static (BigInteger Low, BigInteger High) Range(PtxType type) => type.IsSigned()
        ? (-(BigInteger.One << (type.Bits() - 1)), (BigInteger.One << (type.Bits() - 1)) - 1)
        : (0, (BigInteger.One << type.Bits()) - 1);

    [Fact]
    public void Floats_become_integers_clamped_and_NaN_gives_zero()
    {
        var random = new Random(3);
        foreach (PtxType from in s_floats)
        {
            foreach (PtxType to in s_integers)
            {
                (BigInteger low, BigInteger high) = Range(to);
                for (int i = 0; i < 200; i++)
                {
                    ulong bits = from switch
                    {
                        PtxType.F64 => i % 2 == 0 ? Patterns.NextDouble(random) : BitConverter.DoubleToUInt64Bits((random.NextDouble() - 0.5) * Math.ScaleB(1, random.Next(70))),
                        PtxType.F32 => i % 2 == 0 ? Patterns.NextSingle(random) : BitConverter.SingleToUInt32Bits(random.Next(-600, 600) / 4f),
                        PtxType.F16 => i % 2 == 0 ? Patterns.NextHalf(random) : BitConverter.HalfToUInt16Bits((Half)(random.Next(-600, 600) / 4f)),
                        _ => Patterns.NextHalf(random),
                    };
                    double value = Convert.ToDouble(from, bits);
                    foreach (Rounding rounding in s_roundings)
                    {
                        ulong result = Run(Op(from, to, rounding), bits);
                        if (double.IsNaN(value))
                        {
                            bool zero = from != PtxType.F64 && to.Bits() != 64;
                            Assert.Equal(zero ? 0 : to.IsSigned() ? Range(to).Low : BigInteger.One << (to.Bits() - 1), Value(to, result));
                            continue;
                        }

                        BigInteger whole = double.IsInfinity(value) ? (value > 0 ? high : low) : Whole(value, rounding);
                        BigInteger expected = BigInteger.Clamp(whole, low, high);
                        Assert.True(expected == Value(to, result), $"cvt.{rounding}i.{to}.{from} of {value:R}: {Value(to, result)}, expected {expected}");
                    }
                }
            }
        }
    }

    /// <summary>Rounds to a whole number by exact comparison with the neighbours.</summary>
    private static BigInteger Whole(double value, Rounding rounding)
    {
        BigInteger floor = new(Math.Floor(value));
        double rest = value - Math.Floor(value); // exact: below 1
        return rounding switch
        {
            Rounding.Down => floor,
            Rounding.Up => rest > 0 ? floor + 1 : floor,
            Rounding.Zero => rest > 0 && value < 0 ? floor + 1 : floor,
            _ => rest > 0.5 || (rest == 0.5 && !floor.IsEven) ? floor + 1 : floor,
        };
    }

    [Fact]
    public void Integers_are_cut_extended_and_saturated()
    {
        var random = new Random(4);
        foreach (PtxType from in s_integers)
        {
            foreach (PtxType to in s_integers)
            {
                for (int i = 0; i < 60; i++)
                {
                    ulong bits = (i % 4) switch { 0 => (ulong)random.NextInt64() >> random.Next(64), 1 => ~((ulong)random.NextInt64() >> random.Next(64)), 2 => 1UL << random.Next(64), _ => (1UL << random.Next(64)) - 1 };
                    BigInteger value = Value(from, bits);
                    (BigInteger low, BigInteger high) = Range(to);
                    foreach (bool sat in (bool[])[false, true])
                    {
                        BigInteger expected = sat ? BigInteger.Clamp(value, low, high) : Value(to, (ulong)(value & ulong.MaxValue));
                        MicroOp op = Op(from, to, flags: sat ? OpFlags.Sat : 0);

                        // A register wider than the type holds the value extended by its sign; a 16-bit register leaves the upper half of the lane zero.
                        op.Count = (byte)(Convert.WideDest | (op.Count & Convert.WideSource));
                        Assert.Equal((ulong)(expected & ulong.MaxValue), Run(op, bits));
                        if (to.Bits() <= 32)
                        {
                            op.Count &= Convert.WideSource;
                            Assert.Equal((uint)(expected & uint.MaxValue), (uint)Run(op, bits));
                        }

                        if (to.Bits() <= 16)
                        {
                            op.Count |= Convert.NarrowDest;
                            Assert.Equal((uint)(expected & ushort.MaxValue), (uint)Run(op, bits));
                        }
                    }
                }
            }
        }
    }

    [Fact]
    public void Whole_rows_agree_with_single_values()
    {
        // The vector paths against the exact one, for every pair of types, rounding and kind.
        var random = new Random(5);
        PtxType[] all = [.. s_integers, .. s_floats];
        using var rows = new Rows(4);
        foreach (PtxType from in all)
        {
            foreach (PtxType to in all)
            {
                foreach (Rounding rounding in s_roundings)
                {
                    foreach (bool integral in (bool[])[false, true])
                    {
                        MicroOp op = Op(from, to, rounding, integral: integral);
                        for (int repeat = 0; repeat < 8; repeat++)
                        {
                            for (int i = 0; i < 32; i++)
                            {
                                ulong bits = from switch
                                {
                                    PtxType.F64 => Patterns.NextDouble(random),
                                    PtxType.F16 or PtxType.BF16 => Patterns.NextHalf(random),
                                    PtxType.F32 when repeat % 2 == 0 => BitConverter.SingleToUInt32Bits(Patterns.NextSingle(random, 34)),
                                    _ => from.Bits() == 64 ? (ulong)random.NextInt64() : Patterns.NextSingle(random),
                                };
                                if (from.Bits() == 64)
                                {
                                    rows.Lanes64(0)[i] = bits;
                                }
                                else
                                {
                                    rows.Lanes(0)[i] = (uint)bits;
                                }
                            }

                            uint mask = repeat == 0 ? LaneOps.Full : (uint)random.NextInt64(1L << 32);
                            rows.Lanes64(2).Fill(0xDEAD_BEEF_DEAD_BEEF);
                            Convert.Cvt(op, rows[2], rows[0], null, mask);
                            for (int i = 0; i < 32; i++)
                            {
                                ulong expected = (mask & (1u << i)) == 0 ? 0xDEAD_BEEF_DEAD_BEEF : Convert.One(op, from.Bits() == 64 ? rows.Lanes64(0)[i] : rows.Lanes(0)[i]);
                                if (to.Bits() == 64)
                                {
                                    Assert.Equal(expected, rows.Lanes64(2)[i]);
                                }
                                else
                                {
                                    Assert.Equal((uint)expected, rows.Lanes(2)[i]);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData(2.5f, (int)Rounding.Nearest, 2f)]
    [InlineData(3.5f, (int)Rounding.Nearest, 4f)]
    [InlineData(-0.5f, (int)Rounding.Nearest, -0f)]
    [InlineData(-1.5f, (int)Rounding.Zero, -1f)]
    [InlineData(-1.5f, (int)Rounding.Down, -2f)]
    [InlineData(-1.5f, (int)Rounding.Up, -1f)]
    [InlineData(1.5f, (int)Rounding.Up, 2f)]
    [InlineData(1e-30f, (int)Rounding.Up, 1f)]
    [InlineData(8388609f, (int)Rounding.Nearest, 8388609f)]
    [InlineData(float.PositiveInfinity, (int)Rounding.Down, float.PositiveInfinity)]
    public void Integral_rounding_keeps_the_type(float value, int rounding, float expected) => Assert.Equal(
        BitConverter.SingleToUInt32Bits(expected), (uint)Run(Op(PtxType.F32, PtxType.F32, (Rounding)rounding, integral: true), BitConverter.SingleToUInt32Bits(value)));

    [Fact]
    public void Flags_flush_saturate_and_clamp()
    {
        uint tiny = 0x8000_0001, minusOne = 0xBF80_0000, nan = 0x7FC0_0000, two = 0x4000_0000, half = 0x3F00_0000;
        Assert.Equal(0x8000_0000u, (uint)Run(Op(PtxType.F32, PtxType.F32, flags: OpFlags.Ftz), tiny));
        Assert.Equal(0x8000_0000_0000_0000u, Run(Op(PtxType.F32, PtxType.F64, flags: OpFlags.Ftz), tiny));
        Assert.Equal(0u, (uint)Run(Op(PtxType.F32, PtxType.S32, Rounding.Down, OpFlags.Ftz), tiny));
        Assert.Equal(uint.MaxValue, (uint)Run(Op(PtxType.F32, PtxType.S32, Rounding.Down), tiny));
        Assert.Equal(0u, (uint)Run(Op(PtxType.F64, PtxType.F32, flags: OpFlags.Ftz), BitConverter.DoubleToUInt64Bits(1e-40)));
        Assert.Equal(0u, (uint)Run(Op(PtxType.F32, PtxType.F32, flags: OpFlags.Sat), minusOne));
        Assert.Equal(0u, (uint)Run(Op(PtxType.F32, PtxType.F32, flags: OpFlags.Sat), nan));
        Assert.Equal(0x3F80_0000u, (uint)Run(Op(PtxType.F32, PtxType.F32, flags: OpFlags.Sat), two));
        Assert.Equal(half, (uint)Run(Op(PtxType.F32, PtxType.F32, flags: OpFlags.Sat), half));
        Assert.Equal(0x3C00u, (uint)Run(Op(PtxType.S32, PtxType.F16, flags: OpFlags.Sat), 7));
        Assert.Equal(0u, (uint)Run(Op(PtxType.F32, PtxType.F16, flags: OpFlags.Relu), minusOne));
        Assert.Equal(0x7FFFu, (uint)Run(Op(PtxType.F32, PtxType.F16, flags: OpFlags.Relu), nan));
        Assert.Equal(0x4000u, (uint)Run(Op(PtxType.F32, PtxType.BF16, flags: OpFlags.Relu), two));
    }

    [Fact]
    public void Pairs_take_the_first_source_into_the_high_half()
    {
        var random = new Random(6);
        using var rows = new Rows(3);
        foreach (PtxType type in (PtxType[])[PtxType.F16x2, PtxType.BF16x2])
        {
            PtxType one = type == PtxType.F16x2 ? PtxType.F16 : PtxType.BF16;
            foreach (Rounding rounding in (Rounding[])[Rounding.Nearest, Rounding.Zero])
            {
                foreach (OpFlags flags in (OpFlags[])[OpFlags.None, OpFlags.Relu])
                {
                    for (int repeat = 0; repeat < 20; repeat++)
                    {
                        for (int i = 0; i < 32; i++)
                        {
                            rows.Lanes(0)[i] = Patterns.NextSingle(random);
                            rows.Lanes(1)[i] = Patterns.NextSingle(random);
                        }

                        MicroOp op = Op(PtxType.F32, one, rounding, flags);
                        MicroOp pack = op;
                        pack.Code = OpCode.CvtPack2;
                        pack.Type = type;
                        Convert.Cvt(pack, rows[2], rows[0], rows[1], LaneOps.Full);
                        for (int i = 0; i < 32; i++)
                        {
                            Assert.Equal(((uint)Convert.One(op, rows.Lanes(0)[i]) << 16) | (uint)Convert.One(op, rows.Lanes(1)[i]), rows.Lanes(2)[i]);
                        }
                    }
                }
            }
        }

        rows.Lanes(0)[0] = 0x3F80_0000;
        rows.Lanes(1)[0] = 0x7FC0_0000;
        Convert.Cvt(new MicroOp { Code = OpCode.CvtPack2, Type = PtxType.F16x2, SourceType = PtxType.F32 }, rows[2], rows[0], rows[1], 1);
        Assert.Equal(0x3C00_7FFFu, rows.Lanes(2)[0]);
    }
}
