using System.Numerics;
using System.Runtime.Intrinsics;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>Integer operations of PTX, one struct each. 16-bit values live zero-extended in 32-bit lanes.</summary>
internal static class IntegerOps
{
    private static Vector512<uint> Low16(Vector512<uint> v) => v & Vector512.Create(0xFFFFu);

    private static Vector512<int> Signed16(Vector512<uint> v) => Vector512.ShiftRightArithmetic(Vector512.ShiftLeft(v.AsInt32(), 16), 16);

    public readonly struct Add16 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => Low16(a + b); }

    public readonly struct Sub16 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => Low16(a - b); }

    public readonly struct Mul16 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => Low16(a * b); }

    public readonly struct Mad16 : ITernary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c) => Low16((a * b) + c); }

    public readonly struct Add32 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => a + b; }

    public readonly struct Sub32 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => a - b; }

    public readonly struct Mul32 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => a * b; }

    public readonly struct Mad32 : ITernary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c) => (a * b) + c; }

    public readonly struct Add64 : IBinary64 { public static Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b) => a + b; }

    public readonly struct Sub64 : IBinary64 { public static Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b) => a - b; }

    public readonly struct Mul64 : IBinary64 { public static Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b) => a * b; }

    public readonly struct Mad64 : ILane64 { public static ulong S(ulong a, ulong b, ulong c) => unchecked((a * b) + c); }

    public readonly struct Neg16 : IUnary32 { public static Vector512<uint> V(Vector512<uint> a) => Low16(Vector512<uint>.Zero - a); }

    public readonly struct Neg32 : IUnary32 { public static Vector512<uint> V(Vector512<uint> a) => Vector512<uint>.Zero - a; }

    public readonly struct Neg64 : ILane64 { public static ulong S(ulong a, ulong b, ulong c) => unchecked(0UL - a); }

    public readonly struct Abs16 : IUnary32 { public static Vector512<uint> V(Vector512<uint> a) => Low16(Vector512.Abs(Signed16(a)).AsUInt32()); }

    public readonly struct Abs32 : IUnary32 { public static Vector512<uint> V(Vector512<uint> a) => Vector512.Abs(a.AsInt32()).AsUInt32(); }

    public readonly struct Abs64 : ILane64 { public static ulong S(ulong a, ulong b, ulong c) => unchecked((long)a < 0 ? 0UL - a : a); }

    public readonly struct MinS16 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => Low16(Vector512.Min(Signed16(a), Signed16(b)).AsUInt32()); }

    public readonly struct MaxS16 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => Low16(Vector512.Max(Signed16(a), Signed16(b)).AsUInt32()); }

    public readonly struct MinU32 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => Vector512.Min(a, b); }

    public readonly struct MaxU32 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => Vector512.Max(a, b); }

    public readonly struct MinS32 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => Vector512.Min(a.AsInt32(), b.AsInt32()).AsUInt32(); }

    public readonly struct MaxS32 : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => Vector512.Max(a.AsInt32(), b.AsInt32()).AsUInt32(); }

    public readonly struct MinU64 : IBinary64 { public static Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b) => Vector512.Min(a, b); }

    public readonly struct MaxU64 : IBinary64 { public static Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b) => Vector512.Max(a, b); }

    public readonly struct MinS64 : IBinary64 { public static Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b) => Vector512.Min(a.AsInt64(), b.AsInt64()).AsUInt64(); }

    public readonly struct MaxS64 : IBinary64 { public static Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b) => Vector512.Max(a.AsInt64(), b.AsInt64()).AsUInt64(); }

    public readonly struct MulHiS16 : ILane32 { public static uint S(uint a, uint b, uint c) => (ushort)(((short)a * (short)b) >> 16); }

    public readonly struct MulHiU16 : ILane32 { public static uint S(uint a, uint b, uint c) => unchecked((ushort)a * (uint)(ushort)b) >> 16; }

    public readonly struct MulHiS32 : ILane32 { public static uint S(uint a, uint b, uint c) => unchecked((uint)(((long)(int)a * (int)b) >> 32) + c); }

    public readonly struct MulHiU32 : ILane32 { public static uint S(uint a, uint b, uint c) => unchecked((uint)(((ulong)a * b) >> 32) + c); }

    public readonly struct MulHiS64 : ILane64 { public static ulong S(ulong a, ulong b, ulong c) => unchecked((ulong)Math.BigMul((long)a, (long)b, out _) + c); }

    public readonly struct MulHiU64 : ILane64 { public static ulong S(ulong a, ulong b, ulong c) => unchecked(Math.BigMul(a, b, out _) + c); }

    public readonly struct MulWideS16 : ILane32 { public static uint S(uint a, uint b, uint c) => unchecked((uint)((short)a * (short)b) + c); }

    public readonly struct MulWideU16 : ILane32 { public static uint S(uint a, uint b, uint c) => unchecked(((ushort)a * (uint)(ushort)b) + c); }

    // Division by zero gives all ones, remainder by zero the dividend; the most negative number divided by -1 wraps.
    public readonly struct DivS16 : ILane32 { public static uint S(uint a, uint b, uint c) => (ushort)b == 0 ? 0xFFFFu : unchecked((ushort)((short)a / (short)b)); }

    public readonly struct DivU16 : ILane32 { public static uint S(uint a, uint b, uint c) => (ushort)b == 0 ? 0xFFFFu : (uint)((ushort)a / (ushort)b); }

    public readonly struct DivS32 : ILane32
    {
        public static uint S(uint a, uint b, uint c) => b == 0 ? uint.MaxValue : b == uint.MaxValue ? unchecked(0u - a) : unchecked((uint)((int)a / (int)b));
    }

    public readonly struct DivU32 : ILane32 { public static uint S(uint a, uint b, uint c) => b == 0 ? uint.MaxValue : a / b; }

    public readonly struct DivS64 : ILane64
    {
        public static ulong S(ulong a, ulong b, ulong c) => b == 0 ? ulong.MaxValue : b == ulong.MaxValue ? unchecked(0ul - a) : unchecked((ulong)((long)a / (long)b));
    }

    public readonly struct DivU64 : ILane64 { public static ulong S(ulong a, ulong b, ulong c) => b == 0 ? ulong.MaxValue : a / b; }

    public readonly struct RemS16 : ILane32 { public static uint S(uint a, uint b, uint c) => (ushort)b == 0 ? (ushort)a : unchecked((ushort)((short)a % (short)b)); }

    public readonly struct RemU16 : ILane32 { public static uint S(uint a, uint b, uint c) => (ushort)b == 0 ? (ushort)a : (uint)((ushort)a % (ushort)b); }

    public readonly struct RemS32 : ILane32
    {
        public static uint S(uint a, uint b, uint c) => b == 0 ? a : b == uint.MaxValue ? 0 : unchecked((uint)((int)a % (int)b));
    }

    public readonly struct RemU32 : ILane32 { public static uint S(uint a, uint b, uint c) => b == 0 ? a : a % b; }

    public readonly struct RemS64 : ILane64
    {
        public static ulong S(ulong a, ulong b, ulong c) => b == 0 ? a : b == ulong.MaxValue ? 0 : unchecked((ulong)((long)a % (long)b));
    }

    public readonly struct RemU64 : ILane64 { public static ulong S(ulong a, ulong b, ulong c) => b == 0 ? a : a % b; }

    public readonly struct AddSat32 : ILane32
    {
        public static uint S(uint a, uint b, uint c) => unchecked((uint)(int)Math.Clamp((long)(int)a + (int)b, int.MinValue, int.MaxValue));
    }

    public readonly struct SubSat32 : ILane32
    {
        public static uint S(uint a, uint b, uint c) => unchecked((uint)(int)Math.Clamp((long)(int)a - (int)b, int.MinValue, int.MaxValue));
    }

    public readonly struct SadS32 : ILane32 { public static uint S(uint a, uint b, uint c) => unchecked(c + (uint)Math.Abs((long)(int)a - (int)b)); }

    public readonly struct SadU32 : ILane32 { public static uint S(uint a, uint b, uint c) => unchecked(c + (a > b ? a - b : b - a)); }

    public readonly struct And : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => a & b; }

    public readonly struct Or : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => a | b; }

    public readonly struct Xor : IBinary32 { public static Vector512<uint> V(Vector512<uint> a, Vector512<uint> b) => a ^ b; }

    public readonly struct And64 : IBinary64 { public static Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b) => a & b; }

    public readonly struct Or64 : IBinary64 { public static Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b) => a | b; }

    public readonly struct Xor64 : IBinary64 { public static Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b) => a ^ b; }

    public readonly struct Not16 : IUnary32 { public static Vector512<uint> V(Vector512<uint> a) => Low16(~a); }

    public readonly struct Not32 : IUnary32 { public static Vector512<uint> V(Vector512<uint> a) => ~a; }

    public readonly struct Not64 : ILane64 { public static ulong S(ulong a, ulong b, ulong c) => ~a; }

    // shl and shr clamp the amount at the width.
    public readonly struct Shl16 : ILane32 { public static uint S(uint a, uint b, uint c) => b >= 16 ? 0 : (a << (int)b) & 0xFFFF; }

    public readonly struct Shl32 : ILane32 { public static uint S(uint a, uint b, uint c) => b >= 32 ? 0 : a << (int)b; }

    public readonly struct ShrU16 : ILane32 { public static uint S(uint a, uint b, uint c) => b >= 16 ? 0 : (uint)(ushort)a >> (int)b; }

    public readonly struct ShrS16 : ILane32 { public static uint S(uint a, uint b, uint c) => (ushort)((short)a >> (int)Math.Min(b, 15)); }

    public readonly struct ShrU32 : ILane32 { public static uint S(uint a, uint b, uint c) => b >= 32 ? 0 : a >> (int)b; }

    public readonly struct ShrS32 : ILane32 { public static uint S(uint a, uint b, uint c) => (uint)((int)a >> (int)Math.Min(b, 31)); }

    /// <summary>l.wrap: the upper 32 bits of {b,a} shifted left.</summary>
    public readonly struct ShfLeftWrap : ILane32 { public static uint S(uint a, uint b, uint c) => Left(a, b, c & 31); }

    public readonly struct ShfLeftClamp : ILane32 { public static uint S(uint a, uint b, uint c) => Left(a, b, Math.Min(c, 32)); }

    public readonly struct ShfRightWrap : ILane32 { public static uint S(uint a, uint b, uint c) => Right(a, b, c & 31); }

    public readonly struct ShfRightClamp : ILane32 { public static uint S(uint a, uint b, uint c) => Right(a, b, Math.Min(c, 32)); }

    private static uint Left(uint a, uint b, uint n) => n == 0 ? b : n == 32 ? a : (b << (int)n) | (a >> (int)(32 - n));

    private static uint Right(uint a, uint b, uint n) => n == 0 ? a : n == 32 ? b : (a >> (int)n) | (b << (int)(32 - n));

    public readonly struct Popc32 : ILane32 { public static uint S(uint a, uint b, uint c) => (uint)BitOperations.PopCount(a); }

    public readonly struct Clz32 : ILane32 { public static uint S(uint a, uint b, uint c) => (uint)BitOperations.LeadingZeroCount(a); }

    public readonly struct Brev32 : ILane32 { public static uint S(uint a, uint b, uint c) => Reverse(a); }

    public readonly struct Brev64 : ILane64 { public static ulong S(ulong a, ulong b, ulong c) => ((ulong)Reverse((uint)a) << 32) | Reverse((uint)(a >> 32)); }

    private static uint Reverse(uint v)
    {
        v = ((v >> 1) & 0x5555_5555) | ((v & 0x5555_5555) << 1);
        v = ((v >> 2) & 0x3333_3333) | ((v & 0x3333_3333) << 2);
        v = ((v >> 4) & 0x0F0F_0F0F) | ((v & 0x0F0F_0F0F) << 4);
        return BinaryPrimitivesReverse(v);
    }

    private static uint BinaryPrimitivesReverse(uint v) => System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(v);

    public readonly struct BfeU32 : ILane32
    {
        public static uint S(uint a, uint b, uint c)
        {
            int pos = (int)(b & 0xFF), len = (int)(c & 0xFF);
            return pos >= 32 || len == 0 ? 0 : len >= 32 ? a >> pos : (a >> pos) & ((1u << len) - 1);
        }
    }

    /// <summary>The sign bit is bit min(pos + len - 1, 31) and fills what lies beyond the field.</summary>
    public readonly struct BfeS32 : ILane32
    {
        public static uint S(uint a, uint b, uint c)
        {
            int pos = (int)(b & 0xFF), len = (int)(c & 0xFF);
            if (len == 0)
            {
                return 0;
            }

            uint sign = (a >> Math.Min(pos + len - 1, 31)) & 1;
            ulong field = pos >= 32 ? 0 : a >> pos;
            int have = Math.Min(len, Math.Max(0, 32 - pos));
            uint kept = have >= 32 ? (uint)field : (uint)field & ((1u << have) - 1);
            return have >= 32 ? kept : kept | (sign == 0 ? 0 : uint.MaxValue << have);
        }
    }

    public readonly struct BfeU64 : ILane64
    {
        public static ulong S(ulong a, ulong b, ulong c)
        {
            int pos = (int)(b & 0xFF), len = (int)(c & 0xFF);
            return pos >= 64 || len == 0 ? 0 : len >= 64 ? a >> pos : (a >> pos) & ((1ul << len) - 1);
        }
    }

    public readonly struct BfeS64 : ILane64
    {
        public static ulong S(ulong a, ulong b, ulong c)
        {
            int pos = (int)(b & 0xFF), len = (int)(c & 0xFF);
            if (len == 0)
            {
                return 0;
            }

            ulong sign = (a >> Math.Min(pos + len - 1, 63)) & 1;
            ulong field = pos >= 64 ? 0 : a >> pos;
            int have = Math.Min(len, Math.Max(0, 64 - pos));
            ulong kept = have >= 64 ? field : field & ((1ul << have) - 1);
            return have >= 64 ? kept : kept | (sign == 0 ? 0 : ulong.MaxValue << have);
        }
    }

    public static uint Bfi(uint a, uint b, uint position, uint length)
    {
        int pos = (int)(position & 0xFF), len = (int)(length & 0xFF);
        if (pos >= 32 || len == 0)
        {
            return b;
        }

        uint field = len >= 32 ? uint.MaxValue : (1u << len) - 1;
        return (b & ~(field << pos)) | ((a & field) << pos);
    }

    public static ulong Bfi(ulong a, ulong b, uint position, uint length)
    {
        int pos = (int)(position & 0xFF), len = (int)(length & 0xFF);
        if (pos >= 64 || len == 0)
        {
            return b;
        }

        ulong field = len >= 64 ? ulong.MaxValue : (1ul << len) - 1;
        return (b & ~(field << pos)) | ((a & field) << pos);
    }

    /// <summary>Each selector nibble picks a byte of {b,a}; its bit 3 replicates that byte's sign instead.</summary>
    public readonly struct Prmt : ILane32
    {
        public static uint S(uint a, uint b, uint c)
        {
            ulong bytes = a | ((ulong)b << 32);
            uint result = 0;
            for (int i = 0; i < 4; i++)
            {
                uint selector = (c >> (4 * i)) & 15;
                uint value = (uint)(bytes >> (int)(8 * (selector & 7))) & 0xFF;
                if ((selector & 8) != 0)
                {
                    value = (value & 0x80) != 0 ? 0xFFu : 0;
                }

                result |= value << (8 * i);
            }

            return result;
        }
    }

    public static uint Dp4a(uint a, uint b, uint c, bool signedA, bool signedB)
    {
        long sum = 0;
        for (int i = 0; i < 4; i++)
        {
            uint x = (a >> (8 * i)) & 0xFF, y = (b >> (8 * i)) & 0xFF;
            sum += (signedA ? (sbyte)x : x) * (long)(signedB ? (sbyte)y : y);
        }

        return unchecked((uint)sum + c);
    }

    public static uint Bfind(ulong value, int bits, bool signed, bool shiftAmount)
    {
        if (signed && ((value >> (bits - 1)) & 1) != 0)
        {
            value = ~value & (bits == 64 ? ulong.MaxValue : uint.MaxValue);
        }

        if (value == 0)
        {
            return uint.MaxValue;
        }

        uint position = (uint)BitOperations.Log2(value);
        return shiftAmount ? (uint)(bits - 1) - position : position;
    }

    public static Vector512<uint> Lop3(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c, int table)
    {
        Vector512<uint> result = Vector512<uint>.Zero;
        for (int i = 0; i < 8; i++)
        {
            if ((table & (1 << i)) != 0)
            {
                result |= ((i & 4) != 0 ? a : ~a) & ((i & 2) != 0 ? b : ~b) & ((i & 1) != 0 ? c : ~c);
            }
        }

        return result;
    }
}
