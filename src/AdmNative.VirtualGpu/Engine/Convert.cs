using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>
/// cvt between every pair of types. The common conversions run as vectors; the rest goes lane by lane through <see cref="ExactFloat"/>.
/// The value is taken from the low bits of the source register; the result is extended to the destination register by the sign of its type.
/// </summary>
internal static unsafe class Convert
{
    /// <summary>Bits of <see cref="MicroOp.Count"/> in a conversion: 64-bit destination, 64-bit source, 16-bit destination register.</summary>
    public const int WideDest = 1, WideSource = 2, NarrowDest = 4;

    /// <summary>CvtInt, CvtIntToFloat, CvtFloatToInt, CvtFloat or CvtPack2. A null destination (sink) does nothing.</summary>
    public static void Cvt(in MicroOp op, uint* d, uint* a, uint* b, uint mask)
    {
        if (d is null)
        {
            return;
        }

        if (op.Code == OpCode.CvtPack2)
        {
            Pack2(op, d, a, b, mask);
            return;
        }

        if (Fast(op, d, a, mask))
        {
            return;
        }

        bool wideDest = (op.Count & WideDest) != 0, wideSource = (op.Count & WideSource) != 0, narrow = (op.Count & NarrowDest) != 0;
        for (uint m = mask; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            ulong r = One(op, wideSource ? ((ulong*)a)[i] : a[i]);
            if (wideDest)
            {
                ((ulong*)d)[i] = r;
            }
            else
            {
                d[i] = narrow ? (uint)r & 0xFFFF : (uint)r;
            }
        }
    }

    /// <summary>One conversion; the result is extended to 64 bits.</summary>
    public static ulong One(in MicroOp op, ulong source) => op.Code switch
    {
        OpCode.CvtInt => IntToInt(op, source),
        OpCode.CvtIntToFloat => IntToFloat(op, source),
        OpCode.CvtFloatToInt => FloatToInt(op, source),
        OpCode.CvtFloat => FloatToFloat(op, source),
        _ => throw new ArgumentOutOfRangeException(nameof(op), op.Code, "not a conversion"),
    };

    /// <summary>The value of a floating-point pattern, exactly.</summary>
    public static double ToDouble(PtxType type, ulong bits) => type switch
    {
        PtxType.F16 => (double)BitConverter.UInt16BitsToHalf((ushort)bits),
        PtxType.BF16 => BitConverter.UInt32BitsToSingle((uint)bits << 16),
        PtxType.TF32 => BitConverter.UInt32BitsToSingle((uint)bits & 0xFFFF_E000),
        PtxType.F32 => BitConverter.UInt32BitsToSingle((uint)bits),
        PtxType.F64 => BitConverter.UInt64BitsToDouble(bits),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "not a scalar floating-point type"),
    };

    public static FloatFormat Format(PtxType type) => type switch
    {
        PtxType.F16 => FloatFormat.F16,
        PtxType.BF16 => FloatFormat.BF16,
        PtxType.TF32 => FloatFormat.TF32,
        PtxType.F32 => FloatFormat.F32,
        PtxType.F64 => FloatFormat.F64,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "not a scalar floating-point type"),
    };

    /// <summary>Rounds to a whole number; the result stays a double.</summary>
    public static double Integral(double value, Rounding rounding) => rounding switch
    {
        Rounding.Zero => Math.Truncate(value),
        Rounding.Down => Math.Floor(value),
        Rounding.Up => Math.Ceiling(value),
        Rounding.NearestAway => Math.Round(value, MidpointRounding.AwayFromZero),
        _ => Math.Round(value, MidpointRounding.ToEven),
    };

    private static ulong IntToInt(in MicroOp op, ulong source)
    {
        ulong value = Extend(source, op.SourceType);
        if ((op.Flags & OpFlags.Sat) != 0)
        {
            Int128 wide = op.SourceType.IsSigned() ? (Int128)(long)value : (Int128)value;
            (Int128 low, Int128 high) = Range(op.Type);
            value = (ulong)Int128.Clamp(wide, low, high);
        }

        return Extend(value, op.Type);
    }

    private static ulong IntToFloat(in MicroOp op, ulong source)
    {
        ulong value = Extend(source, op.SourceType);
        bool negative = op.SourceType.IsSigned() && (long)value < 0;
        ulong magnitude = negative ? 0 - value : value;
        FloatFormat format = Format(op.Type);
        ulong bits = ExactFloat.Round(negative, magnitude, 0, false, format, (Rounding)op.Imm);
        return (op.Flags & OpFlags.Sat) != 0 ? Saturate(bits, op.Type) : bits;
    }

    private static ulong FloatToInt(in MicroOp op, ulong source)
    {
        double value = ToDouble(op.SourceType, source);
        if ((op.Flags & OpFlags.Ftz) != 0 && op.SourceType == PtxType.F32)
        {
            value = FloatOps.Flush((float)value);
        }

        int bits = op.Type.Bits();
        if (double.IsNaN(value))
        {
            // Zero, except where 64 bits are involved: then the top bit alone.
            return op.SourceType == PtxType.F64 || bits == 64 ? Extend(1UL << (bits - 1), op.Type) : 0;
        }

        value = Integral(value, (Rounding)op.Imm);
        bool signed = op.Type.IsSigned();
        double low = signed ? -Math.ScaleB(1, bits - 1) : 0, high = Math.ScaleB(1, signed ? bits - 1 : bits);
        ulong max = signed ? (1UL << (bits - 1)) - 1 : ulong.MaxValue >> (64 - bits);
        ulong result = value >= high ? max : value <= low ? signed ? 1UL << (bits - 1) : 0 : signed ? (ulong)(long)value : (ulong)value;
        return Extend(result, op.Type);
    }

    private static ulong FloatToFloat(in MicroOp op, ulong source)
    {
        double value = ToDouble(op.SourceType, source);
        if ((op.Flags & OpFlags.Ftz) != 0 && op.SourceType == PtxType.F32)
        {
            value = FloatOps.Flush((float)value);
        }

        if (op.Imm2 != 0)
        {
            value = Integral(value, (Rounding)op.Imm);
        }

        ulong bits = ExactFloat.Round(Relu(value, op.Flags), Format(op.Type), op.Imm2 != 0 ? Rounding.Nearest : (Rounding)op.Imm);
        if ((op.Flags & OpFlags.Ftz) != 0 && op.Type == PtxType.F32)
        {
            bits = BitConverter.SingleToUInt32Bits(FloatOps.Flush(BitConverter.UInt32BitsToSingle((uint)bits)));
        }

        if ((op.Flags & OpFlags.SatFinite) != 0)
        {
            double result = ToDouble(op.Type, bits);
            bits = double.IsInfinity(result) ? bits - (op.Type == PtxType.TF32 ? 0x2000u : 1) : bits; // the pattern below infinity is the largest finite number
        }

        return (op.Flags & OpFlags.Sat) != 0 ? Saturate(bits, op.Type) : bits;
    }

    private static double Relu(double value, OpFlags flags) => (flags & OpFlags.Relu) != 0 && value <= 0 ? 0 : value;

    /// <summary>[0, 1]; NaN and -0 give +0.</summary>
    private static ulong Saturate(ulong bits, PtxType type)
    {
        double value = ToDouble(type, bits);
        return !(value > 0) ? 0 : value > 1 ? ExactFloat.Round(1, Format(type), Rounding.Nearest) : bits;
    }

    /// <summary>The low bits of the type, extended to 64 by its sign.</summary>
    private static ulong Extend(ulong value, PtxType type)
    {
        int unused = 64 - type.Bits();
        return type.IsSigned() ? (ulong)((long)(value << unused) >> unused) : value << unused >> unused;
    }

    private static (Int128 Low, Int128 High) Range(PtxType type)
    {
        int bits = type.Bits();
        return type.IsSigned() ? (-(Int128.One << (bits - 1)), (Int128.One << (bits - 1)) - 1) : (0, (Int128.One << bits) - 1);
    }

    /// <summary>Two f32 to a packed pair: the first source goes to the high half.</summary>
    private static void Pack2(in MicroOp op, uint* d, uint* a, uint* b, uint mask)
    {
        if (op.Imm == (int)Rounding.Nearest && (op.Flags & ~OpFlags.Relu) == 0)
        {
            bool relu = (op.Flags & OpFlags.Relu) != 0;
            if (op.Type == PtxType.F16x2)
            {
                LaneOps.Store(d, Pack2<F16Format>(a, b, relu), Pack2<F16Format>(a + 16, b + 16, relu), mask);
            }
            else
            {
                LaneOps.Store(d, Pack2<BF16Format>(a, b, relu), Pack2<BF16Format>(a + 16, b + 16, relu), mask);
            }

            return;
        }

        MicroOp one = op;
        one.Code = OpCode.CvtFloat;
        one.Type = op.Type == PtxType.F16x2 ? PtxType.F16 : PtxType.BF16;
        for (uint m = mask; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = ((uint)FloatToFloat(one, a[i]) << 16) | (uint)FloatToFloat(one, b[i]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Pack2<TFormat>(uint* high, uint* low, bool relu) where TFormat : struct, IHalfFormat
    {
        Vector512<float> h = Vector512.Load((float*)high), l = Vector512.Load((float*)low);
        if (relu)
        {
            h = HalfOps.Relu(h);
            l = HalfOps.Relu(l);
        }

        return Vector512.ShiftLeft(TFormat.Narrow(h), 16) | TFormat.Narrow(l);
    }

    /// <summary>The conversions worth a vector form. False: none here.</summary>
    private static bool Fast(in MicroOp op, uint* d, uint* a, uint mask)
    {
        if (op.Flags != OpFlags.None)
        {
            return false;
        }

        PtxType from = op.SourceType, to = op.Type;
        if (op.Code == OpCode.CvtInt)
        {
            return FastInt(op, d, a, mask);
        }

        if ((op.Count & (WideDest | WideSource)) != 0)
        {
            return false;
        }

        var rounding = (Rounding)op.Imm;
        bool nearest = rounding == Rounding.Nearest;
        switch (op.Code)
        {
            case OpCode.CvtFloat when op.Imm2 != 0 && from == PtxType.F32 && to == PtxType.F32:
                IntegralRow(d, a, rounding, mask);
                return true;
            case OpCode.CvtFloat when op.Imm2 != 0:
                return false;
            case OpCode.CvtFloat when from == PtxType.F16 && to == PtxType.F32:
                WidenRow<F16Format>(d, a, mask);
                return true;
            case OpCode.CvtFloat when from == PtxType.BF16 && to == PtxType.F32:
                WidenRow<BF16Format>(d, a, mask);
                return true;
            case OpCode.CvtFloat when nearest && from == PtxType.F32 && to == PtxType.F16:
                NarrowRow<F16Format>(d, a, mask);
                return true;
            case OpCode.CvtFloat when nearest && from == PtxType.F32 && to == PtxType.BF16:
                NarrowRow<BF16Format>(d, a, mask);
                return true;
            case OpCode.CvtIntToFloat when nearest && from == PtxType.S32 && to == PtxType.F32:
                LaneOps.Store(d, Vector512.ConvertToSingle(Vector512.Load((int*)a)).AsUInt32(), Vector512.ConvertToSingle(Vector512.Load((int*)a + 16)).AsUInt32(), mask);
                return true;
            case OpCode.CvtIntToFloat when nearest && from == PtxType.U32 && to == PtxType.F32:
                LaneOps.Store(d, Vector512.ConvertToSingle(Vector512.Load(a)).AsUInt32(), Vector512.ConvertToSingle(Vector512.Load(a + 16)).AsUInt32(), mask);
                return true;
            case OpCode.CvtFloatToInt when from == PtxType.F32 && to is PtxType.S32 or PtxType.U32:
                ToIntegerRow(d, a, rounding, to == PtxType.S32, mask);
                return true;
            default:
                return false;
        }
    }

    // One small method per row, each compiled by itself: the vector code of a large switch stops being inlined.
    private static void IntegralRow(uint* d, uint* a, Rounding rounding, uint mask) =>
        LaneOps.Store(d, FloatOps.Canonical(Integral(Vector512.Load((float*)a), rounding)), FloatOps.Canonical(Integral(Vector512.Load((float*)a + 16), rounding)), mask);

    private static void WidenRow<TFormat>(uint* d, uint* a, uint mask) where TFormat : struct, IHalfFormat =>
        LaneOps.Store(d, FloatOps.Canonical(TFormat.Widen(Vector512.Load(a))), FloatOps.Canonical(TFormat.Widen(Vector512.Load(a + 16))), mask);

    private static void NarrowRow<TFormat>(uint* d, uint* a, uint mask) where TFormat : struct, IHalfFormat =>
        LaneOps.Store(d, TFormat.Narrow(Vector512.Load((float*)a)), TFormat.Narrow(Vector512.Load((float*)a + 16)), mask);

    private static void ToIntegerRow(uint* d, uint* a, Rounding rounding, bool signed, uint mask)
    {
        Vector512<float> low = Integral(Vector512.Load((float*)a), rounding), high = Integral(Vector512.Load((float*)a + 16), rounding);
        LaneOps.Store(d, signed ? ToS32(low) : ToU32(low), signed ? ToS32(high) : ToU32(high), mask);
    }

    private static bool FastInt(in MicroOp op, uint* d, uint* a, uint mask)
    {
        PtxType from = op.SourceType, to = op.Type;
        bool wideDest = (op.Count & WideDest) != 0, wideSource = (op.Count & WideSource) != 0;
        if (from.Bits() == 32 && to.Bits() == 64 && wideDest && !wideSource)
        {
            for (int i = 0; i < 4; i++)
            {
                Vector256<uint> v = Vector256.Load(a + (8 * i));
                Vector512<ulong> r = from.IsSigned()
                    ? Vector512.Create(Vector256.WidenLower(v.AsInt32()), Vector256.WidenUpper(v.AsInt32())).AsUInt64()
                    : Vector512.Create(Vector256.WidenLower(v), Vector256.WidenUpper(v));
                ulong* at = (ulong*)d + (8 * i);
                uint m = (mask >> (8 * i)) & 0xFF;
                (m == 0xFF ? r : Vector512.ConditionalSelect(LaneOps.Expand64(m), r, Vector512.Load(at))).Store(at);
            }

            return true;
        }

        if (to.Bits() == 32 && from.Bits() == 64 && wideSource && !wideDest)
        {
            LaneOps.Store(
                d,
                Vector512.Narrow(Vector512.Load((ulong*)a), Vector512.Load((ulong*)a + 8)),
                Vector512.Narrow(Vector512.Load((ulong*)a + 16), Vector512.Load((ulong*)a + 24)),
                mask);
            return true;
        }

        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Integral(Vector512<float> v, Rounding rounding) => rounding switch
    {
        Rounding.Zero => Vector512.Truncate(v),
        Rounding.Down => Vector512.Floor(v),
        Rounding.Up => Vector512.Ceiling(v),
        _ => Vector512.Round(v, MidpointRounding.ToEven),
    };

    /// <summary>Whole numbers to s32: clamped, NaN gives 0. The clamp is explicit, so that every host gives the same bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> ToS32(Vector512<float> v)
    {
        Vector512<int> r = Vector512.ConvertToInt32(v);
        r = Vector512.ConditionalSelect(Vector512.GreaterThanOrEqual(v, Vector512.Create(2147483648f)).AsInt32(), Vector512.Create(int.MaxValue), r);
        r = Vector512.ConditionalSelect(Vector512.LessThan(v, Vector512.Create(-2147483648f)).AsInt32(), Vector512.Create(int.MinValue), r);
        return Vector512.ConditionalSelect(Vector512.Equals(v, v).AsInt32(), r, Vector512<int>.Zero).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> ToU32(Vector512<float> v)
    {
        Vector512<uint> r = Vector512.ConvertToUInt32(v);
        r = Vector512.ConditionalSelect(Vector512.GreaterThanOrEqual(v, Vector512.Create(4294967296f)).AsUInt32(), Vector512.Create(uint.MaxValue), r);
        return Vector512.ConditionalSelect(Vector512.GreaterThan(v, Vector512<float>.Zero).AsUInt32(), r, Vector512<uint>.Zero);
    }
}
