using System.Reflection;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace AdmNative.VirtualGpu.Jit;

using I = Vector512<int>;
using L = Vector512<long>;
using S = Vector512<float>;
using U = Vector512<uint>;
using W = Vector512<ulong>;

/// <summary>The vector methods that compiled code calls; the runtime turns each into an instruction or two.</summary>
internal static class VectorMethods
{
    public static readonly MethodInfo
        SplatU = Of((Func<uint, U>)Vector512.Create), SplatW = Of((Func<ulong, W>)Vector512.Create), SplatS = Of((Func<float, S>)Vector512.Create),
        AsI = Of((Func<U, I>)Vector512.AsInt32), AsS = Of((Func<U, S>)Vector512.AsSingle), AsW = Of((Func<U, W>)Vector512.AsUInt64), AsL = Of((Func<U, L>)Vector512.AsInt64),
        FromI = Of((Func<I, U>)Vector512.AsUInt32), FromS = Of((Func<S, U>)Vector512.AsUInt32), FromW = Of((Func<W, U>)Vector512.AsUInt32), FromL = Of((Func<L, U>)Vector512.AsUInt32),
        SelectU = Of((Func<U, U, U, U>)Vector512.ConditionalSelect), SelectW = Of((Func<W, W, W, W>)Vector512.ConditionalSelect),
        AddU = Of((Func<U, U, U>)Vector512.Add), SubU = Of((Func<U, U, U>)Vector512.Subtract), MulU = Of((Func<U, U, U>)Vector512.Multiply),
        AddW = Of((Func<W, W, W>)Vector512.Add), SubW = Of((Func<W, W, W>)Vector512.Subtract), MulW = Of((Func<W, W, W>)Vector512.Multiply),
        AndU = Of((Func<U, U, U>)Vector512.BitwiseAnd), OrU = Of((Func<U, U, U>)Vector512.BitwiseOr), XorU = Of((Func<U, U, U>)Vector512.Xor), NotU = Of((Func<U, U>)Vector512.OnesComplement),
        AndW = Of((Func<W, W, W>)Vector512.BitwiseAnd), OrW = Of((Func<W, W, W>)Vector512.BitwiseOr),
        NegI = Of((Func<I, I>)Vector512.Negate), AbsI = Of((Func<I, I>)Vector512.Abs), NegL = Of((Func<L, L>)Vector512.Negate), AbsL = Of((Func<L, L>)Vector512.Abs),
        MinI = Of((Func<I, I, I>)Vector512.Min), MaxI = Of((Func<I, I, I>)Vector512.Max), MinU = Of((Func<U, U, U>)Vector512.Min), MaxU = Of((Func<U, U, U>)Vector512.Max),
        MinL = Of((Func<L, L, L>)Vector512.Min), MaxL = Of((Func<L, L, L>)Vector512.Max), MinW = Of((Func<W, W, W>)Vector512.Min), MaxW = Of((Func<W, W, W>)Vector512.Max),
        ShiftLeftU = Of((Func<U, int, U>)Vector512.ShiftLeft), ShiftRightU = Of((Func<U, int, U>)Vector512.ShiftRightLogical), ShiftRightI = Of((Func<I, int, I>)Vector512.ShiftRightArithmetic),
        ShiftLeftW = Of((Func<W, int, W>)Vector512.ShiftLeft), ShiftRightW = Of((Func<W, int, W>)Vector512.ShiftRightLogical), ShiftRightL = Of((Func<L, int, L>)Vector512.ShiftRightArithmetic),
        ShiftLeftUV = Of((Func<U, U, U>)Avx512F.ShiftLeftLogicalVariable), ShiftRightUV = Of((Func<U, U, U>)Avx512F.ShiftRightLogicalVariable), ShiftRightIV = Of((Func<I, U, I>)Avx512F.ShiftRightArithmeticVariable),
        ShiftLeftWV = Of((Func<W, W, W>)Avx512F.ShiftLeftLogicalVariable), ShiftRightWV = Of((Func<W, W, W>)Avx512F.ShiftRightLogicalVariable), ShiftRightLV = Of((Func<L, W, L>)Avx512F.ShiftRightArithmeticVariable),
        Ternary = Of((Func<U, U, U, byte, U>)Avx512F.TernaryLogic), LeadingZeros = Of((Func<U, U>)Avx512CD.LeadingZeroCount),
        ProductU = Of((Func<U, U, W>)Avx512F.Multiply), ProductI = Of((Func<I, I, L>)Avx512F.Multiply),
        Fixup = Of((Func<S, S, I, byte, S>)Avx512F.Fixup), AddS = Of((Func<S, S, S>)Vector512.Add), SubS = Of((Func<S, S, S>)Vector512.Subtract), MulS = Of((Func<S, S, S>)Vector512.Multiply), DivS = Of((Func<S, S, S>)Vector512.Divide),
        FmaS = Of((Func<S, S, S, S>)Vector512.FusedMultiplyAdd), SqrtS = Of((Func<S, S>)Vector512.Sqrt), MinS = Of((Func<S, S, S>)Vector512.MinNumber), MaxS = Of((Func<S, S, S>)Vector512.MaxNumber),
        SingleFromI = Of((Func<I, S>)Vector512.ConvertToSingle), SingleFromU = Of((Func<U, S>)Vector512.ConvertToSingle),
        LowerU = Of((Func<U, Vector256<uint>>)Vector512.GetLower), UpperU = Of((Func<U, Vector256<uint>>)Vector512.GetUpper),
        AsI256 = Of((Func<Vector256<uint>, Vector256<int>>)Vector256.AsInt32),
        WidenU = Of((Func<Vector256<uint>, W>)Avx512F.ConvertToVector512UInt64), WidenI = Of((Func<Vector256<int>, L>)Avx512F.ConvertToVector512Int64),
        NarrowW = Of((Func<W, W, U>)Vector512.Narrow),
        BitsU = Of((Func<U, ulong>)Vector512.ExtractMostSignificantBits), BitsW = Of((Func<W, ulong>)Vector512.ExtractMostSignificantBits),
        BitsI = Of((Func<I, ulong>)Vector512.ExtractMostSignificantBits), BitsL = Of((Func<L, ulong>)Vector512.ExtractMostSignificantBits), BitsS = Of((Func<S, ulong>)Vector512.ExtractMostSignificantBits),
        EqualU = Of((Func<U, U, U>)Vector512.Equals), EqualW = Of((Func<W, W, W>)Vector512.Equals), EqualS = Of((Func<S, S, S>)Vector512.Equals),
        LessU = Of((Func<U, U, U>)Vector512.LessThan), LessI = Of((Func<I, I, I>)Vector512.LessThan), LessW = Of((Func<W, W, W>)Vector512.LessThan),
        LessL = Of((Func<L, L, L>)Vector512.LessThan), LessS = Of((Func<S, S, S>)Vector512.LessThan),
        LessEqualU = Of((Func<U, U, U>)Vector512.LessThanOrEqual), LessEqualI = Of((Func<I, I, I>)Vector512.LessThanOrEqual), LessEqualW = Of((Func<W, W, W>)Vector512.LessThanOrEqual),
        LessEqualL = Of((Func<L, L, L>)Vector512.LessThanOrEqual), LessEqualS = Of((Func<S, S, S>)Vector512.LessThanOrEqual);

    private static readonly MethodInfo s_create16 = typeof(Vector512).GetMethod(nameof(Vector512.Create), [.. Enumerable.Repeat(typeof(uint), 16)])!;
    private static readonly MethodInfo s_create8 = typeof(Vector512).GetMethod(nameof(Vector512.Create), [.. Enumerable.Repeat(typeof(ulong), 8)])!;

    /// <summary>Vector512.Create of 16 uints.</summary>
    public static MethodInfo Create16 => s_create16;

    /// <summary>Vector512.Create of 8 ulongs.</summary>
    public static MethodInfo Create8 => s_create8;

    private static MethodInfo Of(Delegate method) => method.Method;
}
