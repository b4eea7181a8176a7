using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

// Moves, integers, logic, comparison: everything a lane does on its own.
internal sealed unsafe partial class Interpreter
{
    private static void Nothing(Interpreter x, MicroOp* op, uint m)
    {
    }

    private static void Unary<T>(Interpreter x, MicroOp* op, uint m) where T : struct, IUnary32 => LaneOps.Unary<T>(x.To(op->D), x.Row(op->A), m);

    private static void Binary<T>(Interpreter x, MicroOp* op, uint m) where T : struct, IBinary32 => LaneOps.Binary<T>(x.To(op->D), x.Row(op->A), x.Row(op->B), m);

    private static void Ternary<T>(Interpreter x, MicroOp* op, uint m) where T : struct, ITernary32 =>
        LaneOps.Ternary<T>(x.To(op->D), x.Row(op->A), x.Row(op->B), x.Row(op->C), m);

    private static void Binary64<T>(Interpreter x, MicroOp* op, uint m) where T : struct, IBinary64 => LaneOps.Binary64<T>(x.To(op->D), x.Row(op->A), x.Row(op->B), m);

    private static void Lanes32<T>(Interpreter x, MicroOp* op, uint m) where T : struct, ILane32 =>
        LaneOps.Lanes32<T>(x.To(op->D), x.Row(op->A), x.RowOrNull(op->B), x.RowOrNull(op->C), m);

    private static void Lanes64<T>(Interpreter x, MicroOp* op, uint m) where T : struct, ILane64 =>
        LaneOps.Lanes64<T>(x.To(op->D), x.Row(op->A), x.RowOrNull(op->B), x.RowOrNull(op->C), m);

    private static void Move32(Interpreter x, MicroOp* op, uint m) => LaneOps.Copy(x.To(op->D), x.Row(op->A), m);

    private static void Move64(Interpreter x, MicroOp* op, uint m) => LaneOps.Copy64(x.To(op->D), x.Row(op->A), m);

    // ---- predicates

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void SetPredicateBits(int predicate, uint bits, uint m)
    {
        if (predicate >= 0)
        {
            P[predicate] = (P[predicate] & ~m) | (bits & m);
        }
    }

    private uint PredicateA(MicroOp* op) => (op->Flags & OpFlags.NegA) != 0 ? ~P[op->A] : P[op->A];

    private uint PredicateB(MicroOp* op) => (op->Flags & OpFlags.NegB) != 0 ? ~P[op->B] : P[op->B];

    private uint PredicateC(MicroOp* op) => (op->Flags & OpFlags.NegC) != 0 ? ~P[op->C] : P[op->C];

    private static void MovePredicate(Interpreter x, MicroOp* op, uint m) =>
        x.SetPredicateBits(op->D, op->A < 0 ? (op->Imm != 0 ? uint.MaxValue : 0) : x.PredicateA(op), m);

    private static void NotPredicate(Interpreter x, MicroOp* op, uint m) => x.SetPredicateBits(op->D, ~x.PredicateA(op), m);

    private static void AndPredicate(Interpreter x, MicroOp* op, uint m) => x.SetPredicateBits(op->D, x.PredicateA(op) & x.PredicateB(op), m);

    private static void OrPredicate(Interpreter x, MicroOp* op, uint m) => x.SetPredicateBits(op->D, x.PredicateA(op) | x.PredicateB(op), m);

    private static void XorPredicate(Interpreter x, MicroOp* op, uint m) => x.SetPredicateBits(op->D, x.PredicateA(op) ^ x.PredicateB(op), m);

    // ---- packing: source and destinations differ in width, so they never share a row

    private static void Pack32(Interpreter x, MicroOp* op, uint m)
    {
        uint* low = x.Row(x.Lists[op->Extra]), high = x.Row(x.Lists[op->Extra + 1]);
        Vector512<uint> mask = Vector512.Create(0xFFFFu);
        LaneOps.Store(
            x.To(op->D),
            (Vector512.Load(low) & mask) | Vector512.ShiftLeft(Vector512.Load(high), 16),
            (Vector512.Load(low + 16) & mask) | Vector512.ShiftLeft(Vector512.Load(high + 16), 16),
            m);
    }

    private static void Unpack32(Interpreter x, MicroOp* op, uint m)
    {
        uint* a = x.Row(op->A);
        Vector512<uint> mask = Vector512.Create(0xFFFFu), a0 = Vector512.Load(a), a1 = Vector512.Load(a + 16);
        LaneOps.Store(x.To(x.Lists[op->Extra]), a0 & mask, a1 & mask, m);
        LaneOps.Store(x.To(x.Lists[op->Extra + 1]), Vector512.ShiftRightLogical(a0, 16), Vector512.ShiftRightLogical(a1, 16), m);
    }

    private static void Pack64(Interpreter x, MicroOp* op, uint m)
    {
        uint* low = x.Row(x.Lists[op->Extra]), high = x.Row(x.Lists[op->Extra + 1]);
        ulong* d = (ulong*)x.To(op->D);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = low[i] | ((ulong)high[i] << 32);
        }
    }

    private static void Unpack64(Interpreter x, MicroOp* op, uint m)
    {
        ulong* a = (ulong*)x.Row(op->A);
        uint* low = x.To(x.Lists[op->Extra]), high = x.To(x.Lists[op->Extra + 1]);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            ulong v = a[i];
            low[i] = (uint)v;
            high[i] = (uint)(v >> 32);
        }
    }

    private static void Pack64x4(Interpreter x, MicroOp* op, uint m)
    {
        ulong* d = (ulong*)x.To(op->D);
        int* list = x.Lists + op->Extra;
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            ulong v = 0;
            for (int k = 0; k < 4; k++)
            {
                v |= (ulong)(x.Row(list[k])[i] & 0xFFFF) << (16 * k);
            }

            d[i] = v;
        }
    }

    private static void Unpack64x4(Interpreter x, MicroOp* op, uint m)
    {
        ulong* a = (ulong*)x.Row(op->A);
        int* list = x.Lists + op->Extra;
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            ulong v = a[i];
            for (int k = 0; k < 4; k++)
            {
                if (list[k] >= 0)
                {
                    x.Row(list[k])[i] = (uint)(v >> (16 * k)) & 0xFFFF;
                }
            }
        }
    }

    private static void Clock32(Interpreter x, MicroOp* op, uint m)
    {
        Vector512<uint> v = Vector512.Create((uint)(x._warp.Instructions + op->Imm));
        LaneOps.Store(x.To(op->D), v, v, m);
    }

    private static void Clock64(Interpreter x, MicroOp* op, uint m)
    {
        ulong* d = (ulong*)x.To(op->D);
        for (; m != 0; m &= m - 1)
        {
            d[BitOperations.TrailingZeroCount(m)] = (ulong)(x._warp.Instructions + op->Imm);
        }
    }

    private static void ActiveMask(Interpreter x, MicroOp* op, uint m)
    {
        Vector512<uint> v = Vector512.Create(m);
        LaneOps.Store(x.To(op->D), v, v, m);
    }

    // ---- integers

    private static void AddCarry(Interpreter x, MicroOp* op, uint m)
    {
        uint* d = x.To(op->D), a = x.Row(op->A), b = x.Row(op->B);
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            x.CarryOut(op, i, (ulong)a[i] + b[i] + x.CarryIn(op, i), d);
        }
    }

    private uint CarryIn(MicroOp* op, int lane) => (op->Flags & OpFlags.UseCarry) != 0 ? (_warp.Carry >> lane) & 1 : 0;

    private void CarryOut(MicroOp* op, int lane, ulong sum, uint* d)
    {
        d[lane] = (uint)sum;
        if ((op->Flags & OpFlags.SetCarry) != 0)
        {
            _warp.Carry = (_warp.Carry & ~(1u << lane)) | ((uint)((sum >> 32) & 1) << lane);
        }
    }

    private static void SubBorrow(Interpreter x, MicroOp* op, uint m)
    {
        uint* d = x.To(op->D), a = x.Row(op->A), b = x.Row(op->B);
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            x.CarryOut(op, i, (ulong)a[i] - b[i] - x.CarryIn(op, i), d); // bit 32 of the difference is the borrow
        }
    }

    private static void MadCarry(Interpreter x, MicroOp* op, uint m)
    {
        uint* d = x.To(op->D), a = x.Row(op->A), b = x.Row(op->B), c = x.Row(op->C);
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            uint product = op->Imm switch
            {
                0 => a[i] * b[i],
                1 => (uint)(((ulong)a[i] * b[i]) >> 32),
                _ => (uint)(((long)(int)a[i] * (int)b[i]) >> 32),
            };
            x.CarryOut(op, i, (ulong)product + c[i] + x.CarryIn(op, i), d);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store64(ulong* d, int part, Vector512<ulong> v, uint m)
    {
        uint m8 = (m >> (8 * part)) & 0xFF;
        ulong* to = d + (8 * part);
        if (m8 != 0xFF)
        {
            v = Vector512.ConditionalSelect(LaneOps.Expand64(m8), v, Vector512.Load(to));
        }

        v.Store(to);
    }

    private static void MulWideU32(Interpreter x, MicroOp* op, uint m)
    {
        uint* a = x.Row(op->A), b = x.Row(op->B);
        ulong* c = op->C < 0 ? null : (ulong*)x.Row(op->C), d = (ulong*)x.To(op->D);
        Vector512<uint> a0 = Vector512.Load(a), a1 = Vector512.Load(a + 16), b0 = Vector512.Load(b), b1 = Vector512.Load(b + 16);
        (Vector512<ulong> a00, Vector512<ulong> a01) = Vector512.Widen(a0);
        (Vector512<ulong> a10, Vector512<ulong> a11) = Vector512.Widen(a1);
        (Vector512<ulong> b00, Vector512<ulong> b01) = Vector512.Widen(b0);
        (Vector512<ulong> b10, Vector512<ulong> b11) = Vector512.Widen(b1);
        Vector512<ulong> zero = Vector512<ulong>.Zero;
        Vector512<ulong> c0 = c is null ? zero : Vector512.Load(c), c1 = c is null ? zero : Vector512.Load(c + 8);
        Vector512<ulong> c2 = c is null ? zero : Vector512.Load(c + 16), c3 = c is null ? zero : Vector512.Load(c + 24);
        Store64(d, 0, (a00 * b00) + c0, m);
        Store64(d, 1, (a01 * b01) + c1, m);
        Store64(d, 2, (a10 * b10) + c2, m);
        Store64(d, 3, (a11 * b11) + c3, m);
    }

    private static void MulWideS32(Interpreter x, MicroOp* op, uint m)
    {
        int* a = (int*)x.Row(op->A), b = (int*)x.Row(op->B);
        long* c = op->C < 0 ? null : (long*)x.Row(op->C);
        ulong* d = (ulong*)x.To(op->D);
        (Vector512<long> a00, Vector512<long> a01) = Vector512.Widen(Vector512.Load(a));
        (Vector512<long> a10, Vector512<long> a11) = Vector512.Widen(Vector512.Load(a + 16));
        (Vector512<long> b00, Vector512<long> b01) = Vector512.Widen(Vector512.Load(b));
        (Vector512<long> b10, Vector512<long> b11) = Vector512.Widen(Vector512.Load(b + 16));
        Vector512<long> zero = Vector512<long>.Zero;
        Vector512<long> c0 = c is null ? zero : Vector512.Load(c), c1 = c is null ? zero : Vector512.Load(c + 8);
        Vector512<long> c2 = c is null ? zero : Vector512.Load(c + 16), c3 = c is null ? zero : Vector512.Load(c + 24);
        Store64(d, 0, ((a00 * b00) + c0).AsUInt64(), m);
        Store64(d, 1, ((a01 * b01) + c1).AsUInt64(), m);
        Store64(d, 2, ((a10 * b10) + c2).AsUInt64(), m);
        Store64(d, 3, ((a11 * b11) + c3).AsUInt64(), m);
    }

    private static void Divide<T>(Interpreter x, MicroOp* op, uint m) where T : struct, ILane32
    {
        uint* b = x.Row(op->B);
        if ((x._checks & Checks.Arithmetic) != 0)
        {
            uint relevant = op->Type.Bits() == 16 ? 0xFFFFu : uint.MaxValue;
            for (uint l = m; l != 0; l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                if ((b[i] & relevant) == 0)
                {
                    x.Report(Checks.Arithmetic, op, i, "integer division by zero");
                }
            }
        }

        LaneOps.Lanes32<T>(x.To(op->D), x.Row(op->A), b, null, m);
    }

    private static void Divide64<T>(Interpreter x, MicroOp* op, uint m) where T : struct, ILane64
    {
        uint* b = x.Row(op->B);
        if ((x._checks & Checks.Arithmetic) != 0)
        {
            for (uint l = m; l != 0; l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                if (((ulong*)b)[i] == 0)
                {
                    x.Report(Checks.Arithmetic, op, i, "integer division by zero");
                }
            }
        }

        LaneOps.Lanes64<T>(x.To(op->D), x.Row(op->A), b, null, m);
    }

    private static void Dp4a(Interpreter x, MicroOp* op, uint m)
    {
        uint* d = x.To(op->D), a = x.Row(op->A), b = x.Row(op->B), c = x.Row(op->C);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = IntegerOps.Dp4a(a[i], b[i], c[i], (op->Imm & 1) != 0, (op->Imm & 2) != 0);
        }
    }

    private static void Lop3(Interpreter x, MicroOp* op, uint m)
    {
        uint* a = x.Row(op->A), b = x.Row(op->B), c = x.Row(op->C);
        LaneOps.Store(
            x.To(op->D),
            IntegerOps.Lop3(Vector512.Load(a), Vector512.Load(b), Vector512.Load(c), op->Imm),
            IntegerOps.Lop3(Vector512.Load(a + 16), Vector512.Load(b + 16), Vector512.Load(c + 16), op->Imm),
            m);
    }

    /// <summary>True when the amount is the same in every lane (a literal nearly always is); then it is the vector's scalar.</summary>
    private static bool Uniform(uint* row, out int value)
    {
        value = (int)Math.Min(row[0], 64);
        Vector512<uint> first = Vector512.Create(row[0]);
        return Vector512.EqualsAll(Vector512.Load(row), first) && Vector512.EqualsAll(Vector512.Load(row + 16), first);
    }

    private static void Shl32(Interpreter x, MicroOp* op, uint m)
    {
        uint* a = x.Row(op->A), b = x.Row(op->B);
        if (Uniform(b, out int n) && n < 32)
        {
            LaneOps.Store(x.To(op->D), Vector512.ShiftLeft(Vector512.Load(a), n), Vector512.ShiftLeft(Vector512.Load(a + 16), n), m);
            return;
        }

        LaneOps.Lanes32<IntegerOps.Shl32>(x.To(op->D), a, b, null, m);
    }

    private static void ShrU32(Interpreter x, MicroOp* op, uint m)
    {
        uint* a = x.Row(op->A), b = x.Row(op->B);
        if (Uniform(b, out int n) && n < 32)
        {
            LaneOps.Store(x.To(op->D), Vector512.ShiftRightLogical(Vector512.Load(a), n), Vector512.ShiftRightLogical(Vector512.Load(a + 16), n), m);
            return;
        }

        LaneOps.Lanes32<IntegerOps.ShrU32>(x.To(op->D), a, b, null, m);
    }

    private static void ShrS32(Interpreter x, MicroOp* op, uint m)
    {
        uint* a = x.Row(op->A), b = x.Row(op->B);
        if (Uniform(b, out int n) && n < 32)
        {
            LaneOps.Store(
                x.To(op->D),
                Vector512.ShiftRightArithmetic(Vector512.Load((int*)a), n).AsUInt32(),
                Vector512.ShiftRightArithmetic(Vector512.Load((int*)a + 16), n).AsUInt32(),
                m);
            return;
        }

        LaneOps.Lanes32<IntegerOps.ShrS32>(x.To(op->D), a, b, null, m);
    }

    private static void Shl64(Interpreter x, MicroOp* op, uint m)
    {
        ulong* d = (ulong*)x.To(op->D), a = (ulong*)x.Row(op->A);
        uint* n = x.Row(op->B);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = n[i] >= 64 ? 0 : a[i] << (int)n[i];
        }
    }

    private static void ShrU64(Interpreter x, MicroOp* op, uint m)
    {
        ulong* d = (ulong*)x.To(op->D), a = (ulong*)x.Row(op->A);
        uint* n = x.Row(op->B);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = n[i] >= 64 ? 0 : a[i] >> (int)n[i];
        }
    }

    private static void ShrS64(Interpreter x, MicroOp* op, uint m)
    {
        long* d = (long*)x.To(op->D), a = (long*)x.Row(op->A);
        uint* n = x.Row(op->B);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = a[i] >> (int)Math.Min(n[i], 63);
        }
    }

    private static void Bfe64<T>(Interpreter x, MicroOp* op, uint m) where T : struct, ILane64
    {
        ulong* d = (ulong*)x.To(op->D), a = (ulong*)x.Row(op->A);
        uint* position = x.Row(op->B), length = x.Row(op->C);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = T.S(a[i], position[i], length[i]);
        }
    }

    private static void Bfi32(Interpreter x, MicroOp* op, uint m)
    {
        uint* d = x.To(op->D), a = x.Row(op->A), b = x.Row(op->B), c = x.Row(op->C), e = x.Row(op->E);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = IntegerOps.Bfi(a[i], b[i], c[i], e[i]);
        }
    }

    private static void Bfi64(Interpreter x, MicroOp* op, uint m)
    {
        ulong* d = (ulong*)x.To(op->D), a = (ulong*)x.Row(op->A), b = (ulong*)x.Row(op->B);
        uint* c = x.Row(op->C), e = x.Row(op->E);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = IntegerOps.Bfi(a[i], b[i], c[i], e[i]);
        }
    }

    private static void Popc64(Interpreter x, MicroOp* op, uint m)
    {
        uint* d = x.To(op->D);
        ulong* a = (ulong*)x.Row(op->A);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = (uint)BitOperations.PopCount(a[i]);
        }
    }

    private static void Clz64(Interpreter x, MicroOp* op, uint m)
    {
        uint* d = x.To(op->D);
        ulong* a = (ulong*)x.Row(op->A);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = (uint)BitOperations.LeadingZeroCount(a[i]);
        }
    }

    private static void Bfind(Interpreter x, MicroOp* op, uint m)
    {
        uint* d = x.To(op->D), a = x.Row(op->A);
        bool wide = op->Type.Bits() == 64, signed = op->Type.IsSigned(), amount = (op->Flags & OpFlags.Clamp) != 0;
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = IntegerOps.Bfind(wide ? ((ulong*)a)[i] : a[i], wide ? 64 : 32, signed, amount);
        }
    }

    // ---- comparison and selection

    private static uint CompareVectors<T>(Compare compare, Vector512<T> a0, Vector512<T> a1, Vector512<T> b0, Vector512<T> b1)
    {
        Vector512<T> r0, r1;
        switch (compare)
        {
            case Compare.Eq: (r0, r1) = (Vector512.Equals(a0, b0), Vector512.Equals(a1, b1)); break;
            case Compare.Ne: (r0, r1) = (~Vector512.Equals(a0, b0), ~Vector512.Equals(a1, b1)); break;
            case Compare.Lt: (r0, r1) = (Vector512.LessThan(a0, b0), Vector512.LessThan(a1, b1)); break;
            case Compare.Le: (r0, r1) = (Vector512.LessThanOrEqual(a0, b0), Vector512.LessThanOrEqual(a1, b1)); break;
            case Compare.Gt: (r0, r1) = (Vector512.GreaterThan(a0, b0), Vector512.GreaterThan(a1, b1)); break;
            default: (r0, r1) = (Vector512.GreaterThanOrEqual(a0, b0), Vector512.GreaterThanOrEqual(a1, b1)); break;
        }

        return LaneOps.Bits(r0.AsUInt32(), r1.AsUInt32());
    }

    private static uint CompareIntegers<T>(Compare compare, T* a, T* b, uint m) where T : unmanaged, IBinaryInteger<T>
    {
        uint bits = 0;
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            bool r = compare switch
            {
                Compare.Eq => a[i] == b[i],
                Compare.Ne => a[i] != b[i],
                Compare.Lt => a[i] < b[i],
                Compare.Le => a[i] <= b[i],
                Compare.Gt => a[i] > b[i],
                _ => a[i] >= b[i],
            };
            bits |= (r ? 1u : 0) << i;
        }

        return bits;
    }

    private static uint CompareFloats(Compare compare, float* a, float* b, bool ftz)
    {
        Vector512<float> a0 = Vector512.Load(a), a1 = Vector512.Load(a + 16), b0 = Vector512.Load(b), b1 = Vector512.Load(b + 16);
        if (ftz)
        {
            (a0, a1, b0, b1) = (FloatOps.Flush(a0), FloatOps.Flush(a1), FloatOps.Flush(b0), FloatOps.Flush(b1));
        }

        uint unordered = ~LaneOps.Bits(
            (Vector512.Equals(a0, a0) & Vector512.Equals(b0, b0)).AsUInt32(), (Vector512.Equals(a1, a1) & Vector512.Equals(b1, b1)).AsUInt32());
        if (compare is Compare.Num or Compare.Nan)
        {
            return compare == Compare.Num ? ~unordered : unordered;
        }

        bool orUnordered = compare >= Compare.Equ;
        Compare plain = orUnordered ? compare - (int)Compare.Equ : compare;
        uint bits = CompareVectors(plain, a0, a1, b0, b1) & ~unordered;
        return orUnordered ? bits | unordered : bits;
    }

    /// <summary>Lanes where the comparison of a setp or set holds; code names the setp.</summary>
    private uint CompareLanes(OpCode code, MicroOp* op, uint m)
    {
        uint* a = Row(op->A), b = Row(op->B);
        var compare = (Compare)op->Imm;
        switch (code)
        {
            case OpCode.SetpS32:
                return CompareVectors(compare, Vector512.Load((int*)a), Vector512.Load((int*)a + 16), Vector512.Load((int*)b), Vector512.Load((int*)b + 16));
            case OpCode.SetpU32:
                return CompareVectors(compare, Vector512.Load(a), Vector512.Load(a + 16), Vector512.Load(b), Vector512.Load(b + 16));
            case OpCode.SetpF32:
                return CompareFloats(compare, (float*)a, (float*)b, (op->Flags & OpFlags.Ftz) != 0);
            case OpCode.SetpS64:
                return CompareIntegers(compare, (long*)a, (long*)b, m);
            case OpCode.SetpU64:
                return CompareIntegers(compare, (ulong*)a, (ulong*)b, m);
        }

        if (code is OpCode.SetpF16 or OpCode.SetpBF16)
        {
            return HalfOps.Compare(code == OpCode.SetpF16 ? HalfKind.F16 : HalfKind.BF16, compare, a, b, op->Flags, 0);
        }

        uint bits = 0;
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            bool r = code switch
            {
                OpCode.SetpS16 => FloatOps.Compare(compare, (short)a[i], (short)b[i]),
                OpCode.SetpU16 => FloatOps.Compare(compare, (ushort)a[i], (ushort)b[i]),
                _ => FloatOps.Compare(compare, ((double*)a)[i], ((double*)b)[i]),
            };
            bits |= (r ? 1u : 0) << i;
        }

        return bits;
    }

    /// <summary>setp: p = compare (op) c; q = !compare (op) c.</summary>
    private static void SetPredicate(Interpreter x, MicroOp* op, uint m)
    {
        uint r = x.CompareLanes(op->Code, op, m);
        x.Combine(op, r, ~r, m);
    }

    private static void SetPredicatePair(Interpreter x, MicroOp* op, uint m)
    {
        // p: low halves, q: high halves
        uint* a = x.Row(op->A), b = x.Row(op->B);
        HalfKind kind = op->Code == OpCode.SetpBF16x2 ? HalfKind.BF16x2 : HalfKind.F16x2;
        uint low = HalfOps.Compare(kind, (Compare)op->Imm, a, b, op->Flags, 0), high = HalfOps.Compare(kind, (Compare)op->Imm, a, b, op->Flags, 1);
        x.Combine(op, low, high, m);
    }

    private void Combine(MicroOp* op, uint p, uint q, uint m)
    {
        if (op->Imm2 != 0)
        {
            uint c = PredicateC(op);
            (p, q) = op->Imm2 switch
            {
                1 => (p & c, q & c),
                2 => (p | c, q | c),
                _ => (p ^ c, q ^ c),
            };
        }

        SetPredicateBits(op->D, p, m);
        SetPredicateBits(op->D2, q, m);
    }

    private static void Set32(Interpreter x, MicroOp* op, uint m)
    {
        uint bits = x.CompareLanes((OpCode)op->Imm2, op, m);
        Vector512<uint> yes = Vector512.Create(op->Type switch
        {
            PtxType.F32 => 0x3F80_0000u,
            PtxType.F16 => 0x3C00u,
            PtxType.BF16 => 0x3F80u,
            PtxType.U16 or PtxType.S16 => 0xFFFFu,
            _ => uint.MaxValue,
        });
        LaneOps.Store(x.To(op->D), LaneOps.Expand(bits) & yes, LaneOps.Expand(bits >> 16) & yes, m);
    }

    private static void SetHalf2(Interpreter x, MicroOp* op, uint m)
    {
        uint* d = x.To(op->D), a = x.Row(op->A), b = x.Row(op->B);
        HalfKind kind = op->Code == OpCode.SetBF16x2 ? HalfKind.BF16x2 : HalfKind.F16x2;
        if (op->Type is PtxType.F16x2 or PtxType.BF16x2)
        {
            HalfOps.SetX2(kind, (Compare)op->Imm, d, a, b, op->Flags, m);
            return;
        }

        uint low = HalfOps.Compare(kind, (Compare)op->Imm, a, b, op->Flags, 0), high = HalfOps.Compare(kind, (Compare)op->Imm, a, b, op->Flags, 1);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = (((low >> i) & 1) != 0 ? 0xFFFFu : 0) | (((high >> i) & 1) != 0 ? 0xFFFF_0000u : 0);
        }
    }

    private static void Select32(Interpreter x, MicroOp* op, uint m)
    {
        uint c = x.PredicateC(op);
        uint* a = x.Row(op->A), b = x.Row(op->B);
        LaneOps.Store(
            x.To(op->D),
            Vector512.ConditionalSelect(LaneOps.Expand(c), Vector512.Load(a), Vector512.Load(b)),
            Vector512.ConditionalSelect(LaneOps.Expand(c >> 16), Vector512.Load(a + 16), Vector512.Load(b + 16)),
            m);
    }

    private static void Select64(Interpreter x, MicroOp* op, uint m)
    {
        uint c = x.PredicateC(op);
        ulong* d = (ulong*)x.To(op->D), a = (ulong*)x.Row(op->A), b = (ulong*)x.Row(op->B);
        for (int part = 0; part < 4; part++)
        {
            Vector512<ulong> choose = LaneOps.Expand64((c >> (8 * part)) & 0xFF);
            Store64(d, part, Vector512.ConditionalSelect(choose, Vector512.Load(a + (8 * part)), Vector512.Load(b + (8 * part))), m);
        }
    }

    private static void Slct(Interpreter x, MicroOp* op, uint m)
    {
        uint* d = x.To(op->D), a = x.Row(op->A), b = x.Row(op->B), c = x.Row(op->C);
        bool isFloat = op->Code == OpCode.SlctF32, ftz = (op->Flags & OpFlags.Ftz) != 0;
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            float f = BitConverter.UInt32BitsToSingle(c[i]);
            bool first = isFloat ? (ftz ? FloatOps.Flush(f) : f) >= 0 : (int)c[i] >= 0;
            d[i] = first ? a[i] : b[i];
        }
    }
}
