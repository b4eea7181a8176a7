using System.Numerics;
using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Tests.Numerics;

public sealed unsafe class MmaTests
{
    /// <summary>The layout tables of the manual: element i of register r of lane (g, t).</summary>
    private sealed record Layout(
        int K, int Bits, Func<int, int, int, int, (int Row, int Column)> A, Func<int, int, int, int, int> BRow, bool HalfSum, string Type);

    private static Layout Of(MmaShape shape) => shape switch
    {
        MmaShape.M16N8K16F16F32 => new(16, 16, (g, t, r, i) => (g + (8 * (r & 1)), (2 * t) + i + (8 * (r >> 1))), (g, t, r, i) => (2 * t) + i + (8 * r), false, "f16"),
        MmaShape.M16N8K16F16F16 => Of(MmaShape.M16N8K16F16F32) with { HalfSum = true },
        MmaShape.M16N8K16BF16F32 => Of(MmaShape.M16N8K16F16F32) with { Type = "bf16" },
        MmaShape.M16N8K8F16F32 => new(8, 16, (g, t, r, i) => (g + (8 * r), (2 * t) + i), (g, t, r, i) => (2 * t) + i, false, "f16"),
        MmaShape.M16N8K8F16F16 => Of(MmaShape.M16N8K8F16F32) with { HalfSum = true },
        MmaShape.M16N8K8BF16F32 => Of(MmaShape.M16N8K8F16F32) with { Type = "bf16" },
        MmaShape.M16N8K8TF32F32 => new(8, 32, (g, t, r, i) => (g + (8 * (r & 1)), t + (4 * (r >> 1))), (g, t, r, i) => t + (4 * r), false, "tf32"),
        MmaShape.M16N8K4TF32F32 => new(4, 32, (g, t, r, i) => (g + (8 * r), t), (g, t, r, i) => t, false, "tf32"),
        MmaShape.M16N8K32S8S32 => new(32, 8, (g, t, r, i) => (g + (8 * (r & 1)), (4 * t) + i + (16 * (r >> 1))), (g, t, r, i) => (4 * t) + i + (16 * r), false, "s8"),
        MmaShape.M16N8K32U8S32 => Of(MmaShape.M16N8K32S8S32) with { Type = "u8" },
        MmaShape.M16N8K16S8S32 => new(16, 8, (g, t, r, i) => (g + (8 * r), (4 * t) + i), (g, t, r, i) => (4 * t) + i, false, "s8"),
        _ => Of(MmaShape.M16N8K16S8S32) with { Type = "u8" },
    };

    public static TheoryData<int> Shapes() => new(Enum.GetValues<MmaShape>().Select(s => (int)s));

    public static TheoryData<int> FloatShapes() => new(Enum.GetValues<MmaShape>().Where(s => Of(s).Bits > 8).Select(s => (int)s));

    /// <summary>Which implementation runs.</summary>
    private enum Path
    {
        Chosen, Narrow, Plain,
    }

    /// <summary>A, B, C as bit patterns of single elements; D as the fragment registers give it back.</summary>
    private sealed class Problem
    {
        public readonly Layout Layout;
        public readonly uint[,] A, B, C = new uint[16, 8];
        private readonly MmaShape _shape;

        public Problem(MmaShape shape)
        {
            _shape = shape;
            Layout = Of(shape);
            A = new uint[16, Layout.K];
            B = new uint[Layout.K, 8];
        }

        public void Fill(Func<uint> element, Func<uint> sum)
        {
            Each(A, element);
            Each(B, element);
            Each(C, sum);
        }

        private static void Each(uint[,] m, Func<uint> element)
        {
            for (int i = 0; i < m.GetLength(0); i++)
            {
                for (int j = 0; j < m.GetLength(1); j++)
                {
                    m[i, j] = element();
                }
            }
        }

        /// <summary>Where row and column of a sum live: (register, half).</summary>
        private (int Row, int Column) Sum(int g, int t, int r, int h) => Layout.HalfSum ? (g + (8 * r), (2 * t) + h) : (g + (8 * (r >> 1)), (2 * t) + (r & 1));

        public uint[,] Run(MmaRounding mode, Path path = Path.Chosen, bool inPlace = false)
        {
            (int na, int nb, int nc) = Lowering.MmaRegisters(_shape);
            using var rows = new Rows(na + nb + nc + nc);
            int perRegister = 32 / Layout.Bits;
            for (int l = 0; l < 32; l++)
            {
                int g = l / 4, t = l % 4;
                for (int r = 0; r < na; r++)
                {
                    rows.Lanes(r)[l] = 0;
                    for (int i = 0; i < perRegister; i++)
                    {
                        (int row, int column) = Layout.A(g, t, r, i);
                        rows.Lanes(r)[l] |= A[row, column] << (Layout.Bits * i);
                    }
                }

                for (int r = 0; r < nb; r++)
                {
                    rows.Lanes(na + r)[l] = 0;
                    for (int i = 0; i < perRegister; i++)
                    {
                        rows.Lanes(na + r)[l] |= B[Layout.BRow(g, t, r, i), g] << (Layout.Bits * i);
                    }
                }

                for (int r = 0; r < nc; r++)
                {
                    (int row, int column) = Sum(g, t, r, 0);
                    rows.Lanes(na + nb + r)[l] = C[row, column] | (Layout.HalfSum ? C[row, column + 1] << 16 : 0);
                }
            }

            int dest = inPlace ? na + nb : na + nb + nc;
            fixed (nint* d = rows.Table(dest, nc), a = rows.Table(0, na), b = rows.Table(na, nb), c = rows.Table(na + nb, nc))
            {
                if (path == Path.Narrow)
                {
                    Assert.True(MmaUnit.FragmentLayout(_shape, wide: false, (uint**)d, (uint**)a, (uint**)b, (uint**)c));
                }
                else if (path == Path.Plain)
                {
                    MmaUnit.RowMajor(_shape, mode, (uint**)d, (uint**)a, (uint**)b, (uint**)c);
                }
                else
                {
                    MmaUnit.Mma(_shape, mode, (uint**)d, (uint**)a, (uint**)b, (uint**)c);
                }
            }

            var result = new uint[16, 8];
            for (int l = 0; l < 32; l++)
            {
                for (int r = 0; r < nc; r++)
                {
                    for (int h = 0; h < (Layout.HalfSum ? 2 : 1); h++)
                    {
                        (int row, int column) = Sum(l / 4, l % 4, r, h);
                        result[row, column] = Layout.HalfSum ? (rows.Lanes(dest + r)[l] >> (16 * h)) & 0xFFFF : rows.Lanes(dest + r)[l];
                    }
                }
            }

            return result;
        }

        public double Value(uint bits) => Layout.Type switch
        {
            "f16" => (double)BitConverter.UInt16BitsToHalf((ushort)bits),
            "bf16" => BitConverter.UInt32BitsToSingle(bits << 16),
            "tf32" => BitConverter.UInt32BitsToSingle(bits & 0xFFFF_E000),
            "s8" => (sbyte)bits,
            _ => (byte)bits,
        };

        public uint Bits(double value) => Layout.Type switch
        {
            "f16" => BitConverter.HalfToUInt16Bits((Half)value),
            "bf16" => BitConverter.SingleToUInt32Bits((float)value) >> 16,
            "tf32" => BitConverter.SingleToUInt32Bits((float)value),
            _ => (uint)(int)value & 0xFF,
        };

        public double SumValue(uint bits) => Layout.Bits == 8 ? (int)bits : Layout.HalfSum ? (double)BitConverter.UInt16BitsToHalf((ushort)bits) : BitConverter.UInt32BitsToSingle(bits);

        public uint SumBits(double value) => Layout.Bits == 8 ? (uint)(int)value : Layout.HalfSum ? BitConverter.HalfToUInt16Bits((Half)value) : BitConverter.SingleToUInt32Bits((float)value);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Every_element_meets_its_partners(int shapeValue)
    {
        // One element of A or B at a time would be slow; instead A counts upwards and B is a permutation-like matrix with one entry per column, and the reverse.
        // All products are exact, so every mode gives the matrix product.
        var shape = (MmaShape)shapeValue;
        foreach (MmaRounding mode in Enum.GetValues<MmaRounding>())
        {
            foreach (bool transposed in (bool[])[false, true])
            {
                for (int shift = 0; shift < 4; shift++)
                {
                    var p = new Problem(shape);
                    int k = p.Layout.K;
                    for (int i = 0; i < 16; i++)
                    {
                        for (int j = 0; j < k; j++)
                        {
                            p.A[i, j] = p.Bits(transposed ? (j == (i + (shift * 3)) % k ? 1 : 0) : ((i * k) + j) % 127);
                        }
                    }

                    for (int i = 0; i < k; i++)
                    {
                        for (int n = 0; n < 8; n++)
                        {
                            p.B[i, n] = p.Bits(transposed ? ((i * 8) + n) % 127 : i == ((n * 3) + shift) % k ? 1 : 0);
                        }
                    }

                    for (int i = 0; i < 16; i++)
                    {
                        for (int n = 0; n < 8; n++)
                        {
                            p.C[i, n] = p.SumBits(128 * ((i * 8) + n) % 1024);
                        }
                    }

                    uint[,] d = p.Run(mode), plain = p.Run(mode, Path.Plain);
                    for (int i = 0; i < 16; i++)
                    {
                        for (int n = 0; n < 8; n++)
                        {
                            double sum = p.SumValue(p.C[i, n]);
                            for (int j = 0; j < k; j++)
                            {
                                sum += p.Value(p.A[i, j]) * p.Value(p.B[j, n]);
                            }

                            Assert.Equal(sum, p.SumValue(d[i, n]));
                            Assert.Equal(d[i, n], plain[i, n]);
                        }
                    }
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(FloatShapes))]
    public void Ieee_is_a_chain_of_fused_multiply_adds_and_both_paths_agree(int shapeValue)
    {
        var shape = (MmaShape)shapeValue;
        var random = new Random(1);
        for (int repeat = 0; repeat < 60; repeat++)
        {
            var p = new Problem(shape);
            bool wild = repeat % 3 == 2; // infinities, NaN, subnormals, anything
            p.Fill(
                () => !wild ? p.Bits(random.NextDouble() - 0.5) : p.Layout.Bits == 16 ? Patterns.NextHalf(random) : Patterns.NextSingle(random),
                () => !wild ? p.SumBits(random.NextDouble() - 0.5) : p.Layout.HalfSum ? Patterns.NextHalf(random) : Patterns.NextSingle(random));
            if (repeat % 6 == 5)
            {
                // One special value among ordinary ones, so that most sums stay finite.
                p.Fill(() => p.Bits(random.NextDouble() - 0.5), () => p.SumBits(random.NextDouble() - 0.5));
                p.A[random.Next(16), random.Next(p.Layout.K)] = p.Bits(double.PositiveInfinity);
                p.B[random.Next(p.Layout.K), random.Next(8)] = p.Bits(double.NaN);
            }

            uint[,] d = p.Run(MmaRounding.Ieee, inPlace: repeat % 2 == 1), plain = p.Run(MmaRounding.Ieee, Path.Plain), narrow = p.Run(MmaRounding.Ieee, Path.Narrow, inPlace: repeat % 2 == 1);
            for (int i = 0; i < 16; i++)
            {
                for (int n = 0; n < 8; n++)
                {
                    float sum = (float)p.SumValue(p.C[i, n]);
                    for (int j = 0; j < p.Layout.K; j++)
                    {
                        sum = MathF.FusedMultiplyAdd((float)p.Value(p.A[i, j]), (float)p.Value(p.B[j, n]), sum);
                    }

                    uint expected = float.IsNaN(sum) ? (p.Layout.HalfSum ? 0x7FFF : FloatOps.CanonicalNan) : p.SumBits(sum);
                    Assert.Equal(expected, d[i, n]);
                    Assert.Equal(expected, plain[i, n]);
                    Assert.Equal(expected, narrow[i, n]);
                }
            }
        }
    }

    /// <summary>The published model on whole numbers of any length: align to the largest exponent, cut, add, cut.</summary>
    private static double Model(Problem p, int i, int n, int step, int fraction)
    {
        int least = p.Layout.Type == "f16" ? -14 : -126;
        static (BigInteger M, int E) Split(double value, int least)
        {
            if (value == 0)
            {
                return (0, least);
            }

            int e = Math.Max(Math.ILogB(value), least);
            return ((BigInteger)Math.ScaleB(value, 60 - e), e); // value = M * 2^(E-60), exact for 24-bit values
        }

        double sum = p.SumValue(p.C[i, n]);
        for (int k = 0; k < p.Layout.K; k += step)
        {
            (BigInteger mc, int ec) = Split(sum, p.Layout.HalfSum ? -14 : -126);
            var terms = new List<(BigInteger M, int E)> { (mc << 60, mc.IsZero ? -126 : ec) };
            for (int j = k; j < k + step; j++)
            {
                (BigInteger ma, int ea) = Split(p.Value(p.A[i, j]), least);
                (BigInteger mb, int eb) = Split(p.Value(p.B[j, n]), least);
                terms.Add((ma * mb, (ma * mb).IsZero ? -126 : ea + eb));
            }

            int largest = terms.Max(t => t.E);
            BigInteger total = 0;
            foreach ((BigInteger m, int e) in terms)
            {
                // m 2^(e-120) in units of 2^(largest-fraction), cut towards zero.
                total += BigInteger.Divide(m, BigInteger.One << (120 - fraction + largest - e));
            }

            // Cut to single, or round to f16.
            double exact = (double)total * Math.ScaleB(1, largest - fraction); // below 53 bits: exact
            sum = p.Layout.HalfSum ? (double)(Half)exact : Cut(exact);
        }

        return sum;
    }

    private static double Cut(double value)
    {
        float f = (float)value;
        return Math.Abs((double)f) <= Math.Abs(value) ? f : value > 0 ? MathF.BitDecrement(f) : MathF.BitIncrement(f);
    }

    [Theory]
    [MemberData(nameof(FloatShapes))]
    public void Tensor_core_modes_follow_the_published_model(int shapeValue)
    {
        var shape = (MmaShape)shapeValue;
        var random = new Random(2);
        foreach (MmaRounding mode in (MmaRounding[])[MmaRounding.Sm80, MmaRounding.Sm90])
        {
            for (int repeat = 0; repeat < 30; repeat++)
            {
                var p = new Problem(shape);
                int widest = p.Layout.Bits == 32 ? 8 : 16, step = Math.Min(p.Layout.K, mode == MmaRounding.Sm80 ? widest / 2 : widest);
                int spread = repeat % 5 * 3;
                double Next() => repeat % 7 == 6 && random.Next(3) == 0 ? 0 : (random.NextDouble() - 0.5) * Math.ScaleB(1, random.Next(-spread, Math.Min(spread, 6) + 1));
                p.Fill(() => p.Bits(Next() * (repeat % 7 == 5 ? 1e-4 : 1)), () => p.SumBits(Next()));
                uint[,] d = p.Run(mode);
                for (int i = 0; i < 16; i++)
                {
                    for (int n = 0; n < 8; n++)
                    {
                        Assert.Equal(Model(p, i, n, step, mode == MmaRounding.Sm80 ? 24 : 25), p.SumValue(d[i, n]));
                    }
                }
            }
        }
    }

    [Fact]
    public void Tensor_core_modes_pass_infinities_and_make_one_NaN()
    {
        foreach (MmaRounding mode in (MmaRounding[])[MmaRounding.Sm80, MmaRounding.Sm90])
        {
            var p = new Problem(MmaShape.M16N8K16F16F32);
            p.Fill(() => 0x3C00, () => 0x3F80_0000);
            p.A[0, 0] = 0x7C00;                          // inf * 1
            (p.A[1, 0], p.A[1, 9]) = (0x7C00, 0xFC00);   // inf - inf
            p.A[2, 15] = 0x7E01;                         // NaN
            p.B[4, 5] = 0;
            p.A[3, 4] = 0xFC00;                          // -inf * 0 in column 5
            uint[,] d = p.Run(mode);
            Assert.Equal(0x7F80_0000u, d[0, 0]);
            Assert.Equal(FloatOps.CanonicalNan, d[1, 3]);
            Assert.Equal(FloatOps.CanonicalNan, d[2, 7]);
            Assert.Equal(0xFF80_0000u, d[3, 4]);
            Assert.Equal(FloatOps.CanonicalNan, d[3, 5]);
            Assert.Equal(17f, BitConverter.UInt32BitsToSingle(d[4, 0]));

            var large = new Problem(MmaShape.M16N8K16BF16F32);
            large.Fill(() => 0x7F00, () => 0);
            Assert.Equal(0x7F80_0000u, large.Run(mode)[0, 0]);
        }
    }

    [Theory]
    [InlineData(MmaRounding.Ieee, -1e-7, 1e-7)]
    [InlineData(MmaRounding.Sm80, -1.7e-5, -1.1e-5)]
    [InlineData(MmaRounding.Sm90, -9e-6, -5e-6)]
    public void Truncation_biases_long_chains_of_one_sign(MmaRounding mode, double low, double high)
    {
        // 72 chained mma, K = 1152: sm_80 loses 1.4e-5 of the sum, sm_90 7e-6; an IEEE chain errs by some 1e-7 without bias.
        var random = new Random(3);
        double drift = 0, worst = 0;
        const int trials = 2;
        for (int trial = 0; trial < trials; trial++)
        {
            var p = new Problem(MmaShape.M16N8K16F16F32);
            var exact = new double[16, 8];
            var sums = new uint[16, 8];
            for (int step = 0; step < 72; step++)
            {
                p.Fill(() => p.Bits(random.NextDouble()), () => 0);
                Array.Copy(sums, p.C, sums.Length);
                for (int i = 0; i < 16; i++)
                {
                    for (int n = 0; n < 8; n++)
                    {
                        for (int j = 0; j < 16; j++)
                        {
                            exact[i, n] += p.Value(p.A[i, j]) * p.Value(p.B[j, n]);
                        }
                    }
                }

                sums = p.Run(mode);
            }

            for (int i = 0; i < 16; i++)
            {
                for (int n = 0; n < 8; n++)
                {
                    double error = (BitConverter.UInt32BitsToSingle(sums[i, n]) - exact[i, n]) / exact[i, n];
                    drift += error / (128 * trials);
                    worst = Math.Max(worst, Math.Abs(error));
                }
            }
        }

        if (mode == MmaRounding.Ieee)
        {
            // 1152 roundings of at most half a unit wander; the mean over 256 sums hardly does.
            Assert.InRange(drift, low, high);
            Assert.InRange(worst, 0, 1152 * Math.ScaleB(1, -24));
        }
        else
        {
            Assert.InRange(drift, low, high);
        }
    }

    [Fact]
    public void Sinks_are_not_written()
    {
        using var rows = new Rows(14);
        for (int i = 0; i < 10; i++)
        {
            rows.Lanes(i).Clear();
        }

        foreach (MmaRounding mode in (MmaRounding[])[MmaRounding.Ieee, MmaRounding.Sm80])
        {
            nint[] sinks = rows.Table(10, 4);
            sinks[2] = 0;
            rows.Lanes(11).Fill(7);
            fixed (nint* d = sinks, a = rows.Table(0, 4), b = rows.Table(4, 2), c = rows.Table(6, 4))
            {
                MmaUnit.Mma(MmaShape.M16N8K16F16F32, mode, (uint**)d, (uint**)a, (uint**)b, (uint**)c);
            }

            Assert.Equal(0u, rows.Lanes(11)[3]);
            Assert.Equal(0xDEAD_BEEFu, rows.Lanes(12)[3]);
        }
    }
}
