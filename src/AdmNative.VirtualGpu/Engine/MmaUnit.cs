using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>
/// mma.sync: D = A B + C over the fragments of a warp. Three implementations give the same bits: one unpacks to row-major matrices
/// (every shape, every rounding model, and the plain twin of the others), two stay in fragment layout, with AVX-512 or with 256-bit vectors (IEEE sums).
///
/// Lane l = 4g + t. f16/bf16 A register r holds row g + 8(r and 1), columns 2t, 2t+1 + 8(r shr 1); B register r holds k = 2t, 2t+1 + 8r, column g;
/// a 32-bit C register r holds row g + 8(r shr 1), column 2t + (r and 1), a 16-bit one row g + 8r, columns 2t, 2t+1. tf32 and 8-bit fragments differ in the
/// elements per register: 1 and 4.
/// </summary>
internal static unsafe class MmaUnit
{
    /// <summary>Row i of an operand is the 32 lanes of its fragment register i. Destination rows may be operand rows; a null one is not written.</summary>
    public static void Mma(MmaShape shape, MmaRounding mode, uint** d, uint** a, uint** b, uint** c)
    {
        if (mode == MmaRounding.Ieee && FragmentLayout(shape, Avx512F.IsSupported, d, a, b, c))
        {
            return;
        }

        RowMajor(shape, mode, d, a, b, c);
    }

    /// <summary>Sizes and element types of a shape: depth, multiplicand format, 16-bit accumulators.</summary>
    private static (int K, Element Element, bool HalfSum) Describe(MmaShape shape) => shape switch
    {
        MmaShape.M16N8K16F16F32 => (16, Element.F16, false),
        MmaShape.M16N8K16BF16F32 => (16, Element.BF16, false),
        MmaShape.M16N8K16F16F16 => (16, Element.F16, true),
        MmaShape.M16N8K8F16F32 => (8, Element.F16, false),
        MmaShape.M16N8K8F16F16 => (8, Element.F16, true),
        MmaShape.M16N8K8BF16F32 => (8, Element.BF16, false),
        MmaShape.M16N8K8TF32F32 => (8, Element.TF32, false),
        MmaShape.M16N8K4TF32F32 => (4, Element.TF32, false),
        MmaShape.M16N8K32S8S32 => (32, Element.S8, false),
        MmaShape.M16N8K32U8S32 => (32, Element.U8, false),
        MmaShape.M16N8K16S8S32 => (16, Element.S8, false),
        MmaShape.M16N8K16U8S32 => (16, Element.U8, false),
        _ => throw new ArgumentOutOfRangeException(nameof(shape), shape, "not a matrix shape"),
    };

    private enum Element
    {
        F16, BF16, TF32, S8, U8,
    }

    /// <summary>Any shape and mode by way of row-major matrices: the plain twin of <see cref="FragmentLayout"/>.</summary>
    [SkipLocalsInit]
    internal static void RowMajor(MmaShape shape, MmaRounding mode, uint** d, uint** a, uint** b, uint** c)
    {
        (int k, Element element, bool halfSum) = Describe(shape);
        uint* ma = stackalloc uint[16 * 32], mb = stackalloc uint[32 * 8], mc = stackalloc uint[16 * 8];
        int perRegister = element switch { Element.TF32 => 1, Element.F16 or Element.BF16 => 2, _ => 4 };
        int tiles = k / (4 * perRegister);
        uint* lanes = stackalloc uint[32];
        for (int tile = 0; tile < tiles; tile++)
        {
            for (int e = 0; e < perRegister; e++)
            {
                int at = (4 * perRegister * tile) + e;
                Unpack(element, a[2 * tile], e, lanes);
                Place(lanes, ma + at, k, perRegister);
                Unpack(element, a[(2 * tile) + 1], e, lanes);
                Place(lanes, ma + (8 * k) + at, k, perRegister);
                Unpack(element, b[tile], e, lanes);
                Place(lanes, mb + (8 * at), 1, 8 * perRegister);
            }
        }

        for (int r = 0; r < 4; r++)
        {
            if (halfSum)
            {
                Unpack(Element.F16, c[r / 2], r & 1, lanes);
            }

            Place(halfSum ? lanes : c[r], mc + (64 * (r >> 1)) + (r & 1), 8, 2);
        }

        if (element is Element.S8 or Element.U8)
        {
            MultiplyIntegers((int*)ma, (int*)mb, (int*)mc, k);
        }
        else if (mode == MmaRounding.Ieee)
        {
            Chain((float*)ma, (float*)mb, (float*)mc, k);
        }
        else
        {
            // sm_80 adds half of the deepest shapes at a time.
            int widest = element == Element.TF32 ? 8 : 16;
            int step = Math.Min(k, mode == MmaRounding.Sm80 ? widest / 2 : widest);
            int fraction = mode == MmaRounding.Sm80 ? 24 : 25, least = element == Element.F16 ? -14 : -126;
            if (!Avx2.IsSupported || !TensorCoreVector((float*)ma, (float*)mb, (float*)mc, k, step, fraction, least, halfSum))
            {
                TensorCore((float*)ma, (float*)mb, (float*)mc, k, step, fraction, least, halfSum);
            }
        }

        for (int l = 0; l < 32; l++)
        {
            int g = l / 4, t = l % 4;
            for (int r = 0; r < 4; r++)
            {
                uint v = mc[((g + (8 * (r >> 1))) * 8) + (2 * t) + (r & 1)];
                if (!halfSum)
                {
                    if (d[r] is not null)
                    {
                        d[r][l] = element is Element.S8 or Element.U8 ? v : Canonical(v);
                    }
                }
                else if (d[r / 2] is not null)
                {
                    uint half = (uint)ExactFloat.Round(BitConverter.UInt32BitsToSingle(v), FloatFormat.F16, Rounding.Nearest);
                    uint* to = d[r / 2] + l;
                    *to = (r & 1) == 0 ? half : (*to & 0xFFFF) | (half << 16);
                }
            }
        }
    }

    private static uint Canonical(uint bits) => (bits & 0x7FFF_FFFF) > 0x7F80_0000 ? FloatOps.CanonicalNan : bits;

    /// <summary>Lane 4g + t goes to row g, column t times a stride.</summary>
    private static void Place(uint* lanes, uint* matrix, int rowStride, int columnStride)
    {
        for (int g = 0; g < 8; g++)
        {
            for (int t = 0; t < 4; t++)
            {
                matrix[(g * rowStride) + (t * columnStride)] = lanes[(4 * g) + t];
            }
        }
    }

    /// <summary>Element e of a row of registers: f32 bits of the values, or whole numbers.</summary>
    private static void Unpack(Element element, uint* register, int e, uint* to)
    {
        for (int i = 0; i < 32; i += 16)
        {
            Vector512<uint> v = Vector512.Load(register + i);
            (element switch
            {
                Element.F16 => F16Format.Widen(Vector512.ShiftRightLogical(v, 16 * e)).AsUInt32(),
                Element.BF16 => Vector512.ShiftLeft(Vector512.ShiftRightLogical(v, 16 * e), 16),
                Element.TF32 => v & Vector512.Create(0xFFFF_E000u),
                Element.S8 => Vector512.ShiftRightArithmetic(Vector512.ShiftLeft(v.AsInt32(), 24 - (8 * e)), 24).AsUInt32(),
                _ => Vector512.ShiftRightLogical(v, 8 * e) & Vector512.Create(0xFFu),
            }).Store(to + i);
        }
    }

    private static void MultiplyIntegers(int* a, int* b, int* c, int k)
    {
        for (int m = 0; m < 16; m++)
        {
            Vector256<int> sum = Vector256.Load(c + (8 * m));
            for (int i = 0; i < k; i++)
            {
                sum += Vector256.Create(a[(m * k) + i]) * Vector256.Load(b + (8 * i));
            }

            sum.Store(c + (8 * m));
        }
    }

    /// <summary>c = fma(a[k], b[k], c) for ascending k.</summary>
    private static void Chain(float* a, float* b, float* c, int k)
    {
        for (int m = 0; m < 16; m++)
        {
            Vector256<float> sum = Vector256.Load(c + (8 * m));
            for (int i = 0; i < k; i++)
            {
                sum = Vector256.FusedMultiplyAdd(Vector256.Create(a[(m * k) + i]), Vector256.Load(b + (8 * i)), sum);
            }

            sum.Store(c + (8 * m));
        }
    }

    /// <summary>
    /// The tensor core's sum: `step` products and the accumulator, aligned to the largest exponent, each cut to `fraction` bits after the point,
    /// added exactly, cut to f32 (f16 accumulators: rounded to nearest even), again for the next products.
    /// </summary>
    private static void TensorCore(float* a, float* b, float* c, int k, int step, int fraction, int minExponent, bool halfSum)
    {
        for (int m = 0; m < 16; m++)
        {
            for (int n = 0; n < 8; n++)
            {
                float sum = c[(8 * m) + n];
                for (int i = 0; i < k; i += step)
                {
                    sum = Step(a + (m * k) + i, b + (8 * i) + n, sum, step, fraction, minExponent, halfSum);
                }

                c[(8 * m) + n] = sum;
            }
        }
    }

    private static float Step(float* a, float* b, float c, int step, int fraction, int minExponent, bool halfSum)
    {
        // Infinities and NaN follow IEEE; no finite product of these formats, nor a sum of 17, overflows a double.
        double plain = c;
        for (int i = 0; i < step; i++)
        {
            plain += (double)a[i] * b[8 * i];
        }

        if (!double.IsFinite(plain))
        {
            return (float)plain;
        }

        long* terms = stackalloc long[17];
        int* exponents = stackalloc int[17];
        (terms[step], exponents[step]) = Split(c, halfSum ? -14 : -126);
        int largest = terms[step] == 0 ? -126 : exponents[step];
        for (int i = 0; i < step; i++)
        {
            (long x, int ex) = Split(a[i], minExponent);
            (long y, int ey) = Split(b[8 * i], minExponent);
            terms[i] = x * y;
            exponents[i] = ex + ey;
            largest = Math.Max(largest, terms[i] == 0 ? -126 : exponents[i]);
        }

        long total = 0;
        for (int i = 0; i <= step; i++)
        {
            // A factor has 23 fraction bits, a product 46.
            int drop = (i == step ? 23 : 46) - fraction + largest - exponents[i];
            long magnitude = Math.Abs(terms[i]);
            magnitude = drop <= 0 ? magnitude << -drop : drop > 63 ? 0 : magnitude >> drop;
            total += terms[i] < 0 ? -magnitude : magnitude;
        }

        FloatFormat format = halfSum ? FloatFormat.F16 : FloatFormat.F32;
        ulong bits = ExactFloat.Round(total < 0, (ulong)Math.Abs(total), largest - fraction, false, format, halfSum ? Rounding.Nearest : Rounding.Zero);
        if (halfSum)
        {
            return (float)BitConverter.UInt16BitsToHalf((ushort)bits);
        }

        // Cutting never rounds up to infinity by itself, yet a sum past the range is infinite.
        bool overflow = largest > 127 - 5 && Math.Abs((double)total) * Math.ScaleB(1, largest - fraction) >= Math.ScaleB(1, 128);
        return overflow ? total < 0 ? float.NegativeInfinity : float.PositiveInfinity : BitConverter.UInt32BitsToSingle((uint)bits);
    }

    /// <summary>value = significand * 2^(exponent - 23), the exponent no smaller than the format's least.</summary>
    private static (long Significand, int Exponent) Split(float value, int minExponent)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        int field = (int)(bits >> 23) & 0xFF;
        long significand = bits & 0x7F_FFFF;
        int exponent = -126;
        if (field != 0)
        {
            significand |= 0x80_0000;
            exponent = field - 127;
        }

        if (exponent < minExponent)
        {
            significand >>= minExponent - exponent; // a subnormal of the format: the bits shifted out are zero
            exponent = minExponent;
        }

        return (value < 0 ? -significand : significand, exponent);
    }

    /// <summary>
    /// <see cref="TensorCore"/> for the eight columns of a row at once, in 32-bit whole numbers: significands of 11 bits, products of 22, terms below 2^27.
    /// False, with nothing changed, if an infinity or NaN is about: those take the plain road.
    /// </summary>
    [SkipLocalsInit]
    private static bool TensorCoreVector(float* a, float* b, float* c, int k, int step, int fraction, int minExponent, bool halfSum)
    {
        if (!AllFinite(a, 16 * k) || !AllFinite(b, 8 * k) || !AllFinite(c, 128))
        {
            return false;
        }

        int* sa = stackalloc int[256], ea = stackalloc int[256], sb = stackalloc int[128], eb = stackalloc int[128];
        for (int i = 0; i < 16 * k; i += 8)
        {
            Split(Vector256.Load(a + i), minExponent, 13, sa + i, ea + i);
        }

        for (int i = 0; i < 8 * k; i += 8)
        {
            Split(Vector256.Load(b + i), minExponent, 13, sb + i, eb + i);
        }

        int* terms = stackalloc int[128], exponents = stackalloc int[128], sc = stackalloc int[8], ec = stackalloc int[8];
        float* results = stackalloc float[128];
        Vector256<int> zeroExponent = Vector256.Create(-126), infinity = Vector256.Create(0x7F80_0000), overflow = Vector256<int>.Zero;
        for (int m = 0; m < 16; m++)
        {
            Vector256<float> sum = Vector256.Load(c + (8 * m));
            for (int first = 0; first < k; first += step)
            {
                Split(sum, halfSum ? -14 : -126, 0, sc, ec);
                Vector256<int> c0 = Vector256.Load(sc), largest = Vector256.ConditionalSelect(Vector256.Equals(c0, Vector256<int>.Zero), zeroExponent, Vector256.Load(ec));
                for (int i = 0; i < step; i++)
                {
                    int at = first + i;
                    Vector256<int> term = Vector256.Create(sa[(m * k) + at]) * Vector256.Load(sb + (8 * at));
                    Vector256<int> exponent = Vector256.Create(ea[(m * k) + at]) + Vector256.Load(eb + (8 * at));
                    largest = Vector256.Max(largest, Vector256.ConditionalSelect(Vector256.Equals(term, Vector256<int>.Zero), zeroExponent, exponent));
                    term.Store(terms + (8 * i));
                    exponent.Store(exponents + (8 * i));
                }

                // Sixteen terms of 2^27 need a bit more than 31: two sums.
                Vector256<int> even = Align(c0, fraction - 23, largest - Vector256.Load(ec)), odd = Vector256<int>.Zero;
                for (int i = 0; i < step; i += 2)
                {
                    even += Align(Vector256.Load(terms + (8 * i)), fraction - 20, largest - Vector256.Load(exponents + (8 * i)));
                    odd += Align(Vector256.Load(terms + (8 * i) + 8), fraction - 20, largest - Vector256.Load(exponents + (8 * i) + 8));
                }

                Vector512<long> unit = Vector512.Create(Vector256.WidenLower(largest), Vector256.WidenUpper(largest)) + Vector512.Create(1023L - fraction);
                Vector512<long> total = Vector512.Create(Vector256.WidenLower(even), Vector256.WidenUpper(even)) + Vector512.Create(Vector256.WidenLower(odd), Vector256.WidenUpper(odd));
                Vector512<double> exact = Vector512.ConvertToDouble(total) * Vector512.ShiftLeft(unit, 52).AsDouble();
                sum = halfSum
                    ? F16Format.Widen(F16Format.Narrow(RoundOdd.Narrow(exact, Vector512<double>.Zero))).GetLower()
                    : Cut(exact);
                if (first + step < k)
                {
                    overflow |= Vector256.Equals(sum.AsInt32() & infinity, infinity);
                }
            }

            sum.Store(results + (8 * m));
        }

        // A sum that left the range on the way had to meet the next products as an infinity.
        if (overflow != Vector256<int>.Zero)
        {
            return false;
        }

        new ReadOnlySpan<float>(results, 128).CopyTo(new Span<float>(c, 128));
        return true;
    }

    private static bool AllFinite(float* values, int count)
    {
        Vector256<int> largest = Vector256<int>.Zero;
        for (int i = 0; i < count; i += 8)
        {
            largest = Vector256.Max(largest, Vector256.Load((int*)values + i) & Vector256.Create(0x7F80_0000));
        }

        return !Vector256.EqualsAny(largest, Vector256.Create(0x7F80_0000));
    }

    /// <summary>value = significand * 2^(exponent - 23 + drop): the low bits that the format does not have are dropped.</summary>
    private static void Split(Vector256<float> value, int minExponent, int drop, int* significands, int* exponents)
    {
        Vector256<int> bits = value.AsInt32(), field = Vector256.ShiftRightLogical(bits, 23) & Vector256.Create(0xFF), fraction = bits & Vector256.Create(0x7F_FFFF);
        Vector256<int> subnormal = Vector256.Equals(field, Vector256<int>.Zero);
        Vector256<int> significand = Vector256.ConditionalSelect(subnormal, fraction, fraction | Vector256.Create(0x80_0000));
        Vector256<int> exponent = Vector256.Max(field, Vector256<int>.One) - Vector256.Create(127), least = Vector256.Create(minExponent);
        Vector256<int> below = Vector256.Max(least - exponent, Vector256<int>.Zero) + Vector256.Create(drop);
        significand = Avx2.ShiftRightLogicalVariable(significand, below.AsUInt32());
        Vector256<int> sign = Vector256.ShiftRightArithmetic(bits, 31);
        ((significand ^ sign) - sign).Store(significands);
        Vector256.Max(exponent, least).Store(exponents);
    }

    /// <summary>The term moved up by the fraction bits it lacks and down by its distance from the largest exponent, cut towards zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Align(Vector256<int> term, int up, Vector256<int> down)
    {
        Vector256<int> sign = Vector256.ShiftRightArithmetic(term, 31);
        Vector256<int> magnitude = Avx2.ShiftRightLogicalVariable(Vector256.ShiftLeft(Vector256.Abs(term), up), down.AsUInt32());
        return (magnitude ^ sign) - sign;
    }

    /// <summary>Singles cut towards zero; what lies past the range is infinite.</summary>
    private static Vector256<float> Cut(Vector512<double> value)
    {
        Vector256<float> near = Vector512.Narrow(value, value).GetLower();
        Vector512<double> back = Vector512.Create(Vector256.WidenLower(near), Vector256.WidenUpper(near));
        Vector512<double> away = Vector512.GreaterThan(Vector512.Abs(back), Vector512.Abs(value));
        Vector512<double> inRange = Vector512.LessThan(Vector512.Abs(value), Vector512.Create(3.402823669209385e38)); // 2^128
        Vector256<int> step = Vector512.Narrow((away & inRange).AsInt64(), Vector512<long>.Zero).GetLower();
        return (near.AsInt32() + step).AsSingle();
    }

    /// <summary>The IEEE chain without leaving the fragment layout; false for integer shapes.</summary>
    internal static bool FragmentLayout(MmaShape shape, bool wide, uint** d, uint** a, uint** b, uint** c)
    {
        switch (shape)
        {
            case MmaShape.M16N8K16F16F32: Fragments<F16Finite, TwoTiles, Singles>(wide, d, a, b, c); break;
            case MmaShape.M16N8K16F16F16: Fragments<F16Finite, TwoTiles, Pairs>(wide, d, a, b, c); break;
            case MmaShape.M16N8K8F16F32: Fragments<F16Finite, OneTile, Singles>(wide, d, a, b, c); break;
            case MmaShape.M16N8K8F16F16: Fragments<F16Finite, OneTile, Pairs>(wide, d, a, b, c); break;
            case MmaShape.M16N8K16BF16F32: Fragments<BF16Any, TwoTiles, Singles>(wide, d, a, b, c); break;
            case MmaShape.M16N8K8BF16F32: Fragments<BF16Any, OneTile, Singles>(wide, d, a, b, c); break;
            case MmaShape.M16N8K8TF32F32: Fragments<TF32Any, TwoTiles, Singles>(wide, d, a, b, c); break;
            case MmaShape.M16N8K4TF32F32: Fragments<TF32Any, OneTile, Singles>(wide, d, a, b, c); break;
            default: return false;
        }

        return true;
    }

    private static void Fragments<TPair, TTiles, TAccumulator>(bool wide, uint** d, uint** a, uint** b, uint** c)
        where TPair : struct, IPair
        where TTiles : struct, ITiles
        where TAccumulator : struct, IAccumulator
    {
        if (TPair.FiniteOnly)
        {
            Vector512<uint> special = Carry(a[0]) | Carry(a[1]) | Carry(b[0]);
            if (TTiles.Count == 2)
            {
                special |= Carry(a[2]) | Carry(a[3]) | Carry(b[1]);
            }

            if (special != Vector512<uint>.Zero)
            {
                Fragments<F16Any, TTiles, TAccumulator>(wide, d, a, b, c);
                return;
            }
        }

        if (wide)
        {
            Wide<TPair, TTiles, TAccumulator>(d, a, b, c);
        }
        else
        {
            Narrow<TPair, TTiles, TAccumulator>(d, a, b, c);
        }
    }

    private interface ITiles { static abstract int Count { get; } }

    private readonly struct OneTile : ITiles { public static int Count => 1; }

    private readonly struct TwoTiles : ITiles { public static int Count => 2; }

    private interface IAccumulator { static abstract bool Halves { get; } }

    private readonly struct Singles : IAccumulator { public static bool Halves => false; }

    private readonly struct Pairs : IAccumulator { public static bool Halves => true; }

    private interface IPair
    {
        /// <summary>True if <see cref="Low"/> and <see cref="High"/> are wrong for infinities and NaN, so that those must be looked for first.</summary>
        static abstract bool FiniteOnly { get; }

        /// <summary>1 or 2 elements in a register.</summary>
        static abstract int Elements { get; }

        static abstract Vector512<float> Low(Vector512<uint> pair);

        static abstract Vector512<float> High(Vector512<uint> pair);
    }

    private readonly struct F16Finite : IPair
    {
        public static bool FiniteOnly => true;

        public static int Elements => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Low(Vector512<uint> pair) => F16Format.WidenFinite(pair);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> High(Vector512<uint> pair) =>
            (Vector512.ShiftRightArithmetic(pair.AsInt32(), 3) & Vector512.Create(unchecked((int)0x8FFF_E000))).AsSingle() * Vector512.Create(F16Format.Scale);
    }

    private readonly struct F16Any : IPair
    {
        public static bool FiniteOnly => false;

        public static int Elements => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Low(Vector512<uint> pair) => F16Format.Widen(pair);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> High(Vector512<uint> pair) => F16Format.Widen(Vector512.ShiftRightLogical(pair, 16));
    }

    private readonly struct BF16Any : IPair
    {
        public static bool FiniteOnly => false;

        public static int Elements => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Low(Vector512<uint> pair) => Vector512.ShiftLeft(pair, 16).AsSingle();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> High(Vector512<uint> pair) => (pair & Vector512.Create(0xFFFF_0000u)).AsSingle();
    }

    private readonly struct TF32Any : IPair
    {
        public static bool FiniteOnly => false;

        public static int Elements => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Low(Vector512<uint> pair) => (pair & Vector512.Create(0xFFFF_E000u)).AsSingle();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> High(Vector512<uint> pair) => default;
    }

    /// <summary>Exponent fields of all ones in either half of any lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Carry(uint* row) =>
        (((Vector512.Load(row) & Vector512.Create(0x7C00_7C00u)) + Vector512.Create(0x0400_0400u))
        | ((Vector512.Load(row + 16) & Vector512.Create(0x7C00_7C00u)) + Vector512.Create(0x0400_0400u))) & Vector512.Create(0x8000_8000u);

    /// <summary>
    /// A vector of 16 lanes covers four g; its 128-bit groups are one g each. For one k the A factors of a group are one element of that group, four times
    /// (a permutation with an immediate); the B factors are the same four columns in every group (a broadcast load from a small table).
    /// </summary>
    [SkipLocalsInit]
    private static void Wide<TPair, TTiles, TAccumulator>(uint** d, uint** a, uint** b, uint** c)
        where TPair : struct, IPair
        where TTiles : struct, ITiles
        where TAccumulator : struct, IAccumulator
    {
        // factors: [tile][t][h][column parity][4 columns], so [k][parity][4].
        float* factors = stackalloc float[(16 * 8) + 16];
        factors = (float*)(((nuint)factors + 63) & ~(nuint)63);
        for (int tile = 0; tile < TTiles.Count; tile++)
        {
            Vector512<uint> low = Vector512.Load(b[tile]), high = Vector512.Load(b[tile] + 16);
            Vector512<float> evenLow = TPair.Low(low), evenHigh = TPair.Low(high), oddLow = TPair.High(low), oddHigh = TPair.High(high);
            float* to = factors + (32 * TPair.Elements * tile);

            // Lane 4n + t of B holds k = 2t + h, column n: for t and h the columns 0, 2, 4, 6 then 1, 3, 5, 7.
            Vector512<int> columns = Vector512.Create(0, 8, 16, 24, 4, 12, 20, 28, 0, 8, 16, 24, 4, 12, 20, 28);
            for (int t = 0; t < 4; t++)
            {
                Vector512<int> index = columns + Vector512.Create(t);
                Avx512F.PermuteVar16x32x2(evenLow, index, evenHigh).GetLower().Store(to + (8 * TPair.Elements * t));
                if (TPair.Elements == 2)
                {
                    Avx512F.PermuteVar16x32x2(oddLow, index, oddHigh).GetLower().Store(to + (16 * t) + 8);
                }
            }
        }

        // s<register of a 32-bit accumulator><half of the warp>
        Vector512<float> s00, s01, s10, s11, s20, s21, s30, s31;
        if (TAccumulator.Halves)
        {
            Vector512<uint> p00 = Vector512.Load(c[0]), p01 = Vector512.Load(c[0] + 16), p10 = Vector512.Load(c[1]), p11 = Vector512.Load(c[1] + 16);
            (s00, s01, s10, s11) = (F16Format.Widen(p00), F16Format.Widen(p01), F16Format.Widen(Vector512.ShiftRightLogical(p00, 16)), F16Format.Widen(Vector512.ShiftRightLogical(p01, 16)));
            (s20, s21, s30, s31) = (F16Format.Widen(p10), F16Format.Widen(p11), F16Format.Widen(Vector512.ShiftRightLogical(p10, 16)), F16Format.Widen(Vector512.ShiftRightLogical(p11, 16)));
        }
        else
        {
            (s00, s01) = (Vector512.Load((float*)c[0]), Vector512.Load((float*)c[0] + 16));
            (s10, s11) = (Vector512.Load((float*)c[1]), Vector512.Load((float*)c[1] + 16));
            (s20, s21) = (Vector512.Load((float*)c[2]), Vector512.Load((float*)c[2] + 16));
            (s30, s31) = (Vector512.Load((float*)c[3]), Vector512.Load((float*)c[3] + 16));
        }

        for (int tile = 0; tile < TTiles.Count; tile++)
        {
            uint* top = a[2 * tile], bottom = a[(2 * tile) + 1];
            Vector512<uint> t0 = Vector512.Load(top), t1 = Vector512.Load(top + 16), u0 = Vector512.Load(bottom), u1 = Vector512.Load(bottom + 16);
            Vector512<float> t0e = TPair.Low(t0), t1e = TPair.Low(t1), u0e = TPair.Low(u0), u1e = TPair.Low(u1);
            Vector512<float> t0o = TPair.High(t0), t1o = TPair.High(t1), u0o = TPair.High(u0), u1o = TPair.High(u1);
            float* f = factors + (32 * TPair.Elements * tile);
            Column(Avx512F.Permute4x32(t0e, 0x00), Avx512F.Permute4x32(t1e, 0x00), f, ref s00, ref s01, ref s10, ref s11);
            Column(Avx512F.Permute4x32(u0e, 0x00), Avx512F.Permute4x32(u1e, 0x00), f, ref s20, ref s21, ref s30, ref s31);
            if (TPair.Elements == 2)
            {
                Column(Avx512F.Permute4x32(t0o, 0x00), Avx512F.Permute4x32(t1o, 0x00), f + 8, ref s00, ref s01, ref s10, ref s11);
                Column(Avx512F.Permute4x32(u0o, 0x00), Avx512F.Permute4x32(u1o, 0x00), f + 8, ref s20, ref s21, ref s30, ref s31);
            }

            Column(Avx512F.Permute4x32(t0e, 0x55), Avx512F.Permute4x32(t1e, 0x55), f + (8 * TPair.Elements), ref s00, ref s01, ref s10, ref s11);
            Column(Avx512F.Permute4x32(u0e, 0x55), Avx512F.Permute4x32(u1e, 0x55), f + (8 * TPair.Elements), ref s20, ref s21, ref s30, ref s31);
            if (TPair.Elements == 2)
            {
                Column(Avx512F.Permute4x32(t0o, 0x55), Avx512F.Permute4x32(t1o, 0x55), f + 24, ref s00, ref s01, ref s10, ref s11);
                Column(Avx512F.Permute4x32(u0o, 0x55), Avx512F.Permute4x32(u1o, 0x55), f + 24, ref s20, ref s21, ref s30, ref s31);
            }

            Column(Avx512F.Permute4x32(t0e, 0xAA), Avx512F.Permute4x32(t1e, 0xAA), f + (16 * TPair.Elements), ref s00, ref s01, ref s10, ref s11);
            Column(Avx512F.Permute4x32(u0e, 0xAA), Avx512F.Permute4x32(u1e, 0xAA), f + (16 * TPair.Elements), ref s20, ref s21, ref s30, ref s31);
            if (TPair.Elements == 2)
            {
                Column(Avx512F.Permute4x32(t0o, 0xAA), Avx512F.Permute4x32(t1o, 0xAA), f + 40, ref s00, ref s01, ref s10, ref s11);
                Column(Avx512F.Permute4x32(u0o, 0xAA), Avx512F.Permute4x32(u1o, 0xAA), f + 40, ref s20, ref s21, ref s30, ref s31);
            }

            Column(Avx512F.Permute4x32(t0e, 0xFF), Avx512F.Permute4x32(t1e, 0xFF), f + (24 * TPair.Elements), ref s00, ref s01, ref s10, ref s11);
            Column(Avx512F.Permute4x32(u0e, 0xFF), Avx512F.Permute4x32(u1e, 0xFF), f + (24 * TPair.Elements), ref s20, ref s21, ref s30, ref s31);
            if (TPair.Elements == 2)
            {
                Column(Avx512F.Permute4x32(t0o, 0xFF), Avx512F.Permute4x32(t1o, 0xFF), f + 56, ref s00, ref s01, ref s10, ref s11);
                Column(Avx512F.Permute4x32(u0o, 0xFF), Avx512F.Permute4x32(u1o, 0xFF), f + 56, ref s20, ref s21, ref s30, ref s31);
            }
        }

        if (TAccumulator.Halves)
        {
            StorePacked(d[0], s00, s01, s10, s11);
            StorePacked(d[1], s20, s21, s30, s31);
        }
        else
        {
            StoreSingle(d[0], s00, s01);
            StoreSingle(d[1], s10, s11);
            StoreSingle(d[2], s20, s21);
            StoreSingle(d[3], s30, s31);
        }
    }

    /// <summary>One k: s += a b, the columns of even and of odd number apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Column(
        Vector512<float> a0, Vector512<float> a1, float* f, ref Vector512<float> even0, ref Vector512<float> even1, ref Vector512<float> odd0, ref Vector512<float> odd1)
    {
        Vector512<float> even = Avx512F.BroadcastVector128ToVector512(f), odd = Avx512F.BroadcastVector128ToVector512(f + 4);
        even0 = Avx512F.FusedMultiplyAdd(a0, even, even0);
        odd0 = Avx512F.FusedMultiplyAdd(a0, odd, odd0);
        even1 = Avx512F.FusedMultiplyAdd(a1, even, even1);
        odd1 = Avx512F.FusedMultiplyAdd(a1, odd, odd1);
    }

    /// <summary>The same on vectors of eight lanes, two g each, for machines without AVX-512: a quarter of the warp at a time.</summary>
    [SkipLocalsInit]
    private static void Narrow<TPair, TTiles, TAccumulator>(uint** d, uint** a, uint** b, uint** c)
        where TPair : struct, IPair
        where TTiles : struct, ITiles
        where TAccumulator : struct, IAccumulator
    {
        // [register][h][32 lanes] of A; [k][parity][4 columns, twice] of B; [register][32 lanes] of the sums
        float* left = stackalloc float[4 * 2 * 32], right = stackalloc float[16 * 16], sums = stackalloc float[4 * 32];
        float* lanes = stackalloc float[2 * 32];
        for (int r = 0; r < 2 * TTiles.Count; r++)
        {
            Widen<TPair>(a[r], left + (64 * r));
        }

        for (int tile = 0; tile < TTiles.Count; tile++)
        {
            Widen<TPair>(b[tile], lanes);
            for (int h = 0; h < TPair.Elements; h++)
            {
                for (int t = 0; t < 4; t++)
                {
                    float* to = right + (16 * ((4 * TPair.Elements * tile) + (TPair.Elements * t) + h));
                    for (int n = 0; n < 8; n++)
                    {
                        int at = (8 * (n & 1)) + (n >> 1);
                        to[at] = to[at + 4] = lanes[(32 * h) + (4 * n) + t];
                    }
                }
            }
        }

        for (int r = 0; r < 4; r++)
        {
            for (int i = 0; i < 32; i += 16)
            {
                Vector512<uint> row = Vector512.Load((TAccumulator.Halves ? c[r / 2] : c[r]) + i);
                (TAccumulator.Halves ? F16Format.Widen(Vector512.ShiftRightLogical(row, 16 * (r & 1))) : row.AsSingle()).Store(sums + (32 * r) + i);
            }
        }

        for (int quarter = 0; quarter < 32; quarter += 8)
        {
            float* s = sums + quarter;
            Vector256<float> s0 = Vector256.Load(s), s1 = Vector256.Load(s + 32), s2 = Vector256.Load(s + 64), s3 = Vector256.Load(s + 96);
            for (int tile = 0; tile < TTiles.Count; tile++)
            {
                float* top = left + (128 * tile) + quarter, f = right + (64 * TPair.Elements * tile);
                for (int t = 0; t < 4; t++)
                {
                    Vector256<int> pick = Vector256.Create(t, t, t, t, 4 + t, 4 + t, 4 + t, 4 + t);
                    for (int h = 0; h < TPair.Elements; h++)
                    {
                        Vector256<float> x = Vector256.Shuffle(Vector256.Load(top + (32 * h)), pick), y = Vector256.Shuffle(Vector256.Load(top + 64 + (32 * h)), pick);
                        Vector256<float> even = Vector256.Load(f), odd = Vector256.Load(f + 8);
                        s0 = Vector256.FusedMultiplyAdd(x, even, s0);
                        s1 = Vector256.FusedMultiplyAdd(x, odd, s1);
                        s2 = Vector256.FusedMultiplyAdd(y, even, s2);
                        s3 = Vector256.FusedMultiplyAdd(y, odd, s3);
                        f += 16;
                    }
                }
            }

            s0.Store(s);
            s1.Store(s + 32);
            s2.Store(s + 64);
            s3.Store(s + 96);
        }

        for (int r = 0; r < (TAccumulator.Halves ? 2 : 4); r++)
        {
            if (TAccumulator.Halves)
            {
                float* s = sums + (64 * r);
                StorePacked(d[r], Vector512.Load(s), Vector512.Load(s + 16), Vector512.Load(s + 32), Vector512.Load(s + 48));
            }
            else
            {
                StoreSingle(d[r], Vector512.Load(sums + (32 * r)), Vector512.Load(sums + (32 * r) + 16));
            }
        }
    }

    private static void Widen<TPair>(uint* row, float* to) where TPair : struct, IPair
    {
        for (int i = 0; i < 32; i += 16)
        {
            Vector512<uint> pair = Vector512.Load(row + i);
            TPair.Low(pair).Store(to + i);
            TPair.High(pair).Store(to + 32 + i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreSingle(uint* d, Vector512<float> low, Vector512<float> high)
    {
        if (d is not null)
        {
            FloatOps.Canonical(low).Store(d);
            FloatOps.Canonical(high).Store(d + 16);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StorePacked(uint* d, Vector512<float> evenLow, Vector512<float> evenHigh, Vector512<float> oddLow, Vector512<float> oddHigh)
    {
        if (d is not null)
        {
            (F16Format.Narrow(evenLow) | Vector512.ShiftLeft(F16Format.Narrow(oddLow), 16)).Store(d);
            (F16Format.Narrow(evenHigh) | Vector512.ShiftLeft(F16Format.Narrow(oddHigh), 16)).Store(d + 16);
        }
    }
}
