using System.Numerics;
using System.Runtime.Intrinsics;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

// Floating point, conversions and tensor cores.
internal sealed unsafe partial class Interpreter
{
    private static void Float<T>(Interpreter x, MicroOp* op, uint m) where T : struct, FloatOps.IFloat
    {
        uint* a = x.Row(op->A);
        FloatOps.Apply<T>(x.To(op->D), a, op->B < 0 ? a : x.Row(op->B), op->C < 0 ? a : x.Row(op->C), op->Flags, m);
    }

    private static void FloatDirected(Interpreter x, MicroOp* op, uint m) =>
        FloatOps.Directed(op->Code, x.To(op->D), x.Row(op->A), x.RowOrNull(op->B), x.RowOrNull(op->C), (Rounding)op->Imm, op->Flags, m);

    private static void SignF32(Interpreter x, MicroOp* op, uint m)
    {
        uint* a = x.Row(op->A);
        Vector512<uint> a0 = Vector512.Load(a), a1 = Vector512.Load(a + 16);
        if ((op->Flags & OpFlags.Ftz) != 0)
        {
            a0 = FloatOps.Flush(a0.AsSingle()).AsUInt32();
            a1 = FloatOps.Flush(a1.AsSingle()).AsUInt32();
        }

        Vector512<uint> sign = Vector512.Create(0x8000_0000u);
        (a0, a1) = op->Code == OpCode.NegF32 ? (a0 ^ sign, a1 ^ sign) : (a0 & ~sign, a1 & ~sign);
        LaneOps.Store(x.To(op->D), FloatOps.Canonical(a0.AsSingle()), FloatOps.Canonical(a1.AsSingle()), m);
    }

    private static void Copysign(Interpreter x, MicroOp* op, uint m)
    {
        // copysign d, a, b: the magnitude of b with the sign of a
        uint* d = x.To(op->D), a = x.Row(op->A), b = x.Row(op->B);
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = (a[i] & 0x8000_0000) | (b[i] & 0x7FFF_FFFF);
        }
    }

    private static void TestpF32(Interpreter x, MicroOp* op, uint m)
    {
        uint* a = x.Row(op->A);
        uint bits = 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            float v = BitConverter.UInt32BitsToSingle(a[i]);
            bool r = op->Imm switch
            {
                0 => float.IsFinite(v),
                1 => float.IsInfinity(v),
                2 => !float.IsNaN(v),
                3 => float.IsNaN(v),
                4 => float.IsNormal(v),
                _ => float.IsSubnormal(v),
            };
            bits |= (r ? 1u : 0) << i;
        }

        x.SetPredicateBits(op->D, bits, m);
    }

    private static void Approximate(Interpreter x, MicroOp* op, uint m) =>
        MathApprox.Row(op->Code, x.To(op->D), x.Row(op->A), x.RowOrNull(op->B), op->Imm2 != 0, op->Flags, x._noise, m);

    private static void Double(Interpreter x, MicroOp* op, uint m) =>
        DoubleOps.Row(op->Code, x.To(op->D), x.Row(op->A), x.RowOrNull(op->B), x.RowOrNull(op->C), (Rounding)op->Imm, op->Flags, m);

    private static void HalfArithmetic(Interpreter x, MicroOp* op, uint m) =>
        HalfOps.Row(op->Code, (HalfKind)op->Imm, x.To(op->D), x.Row(op->A), x.RowOrNull(op->B), x.RowOrNull(op->C), op->Flags, x._noise, m);

    private static void ConvertAny(Interpreter x, MicroOp* op, uint m) => Convert.Cvt(*op, x.To(op->D), x.Row(op->A), x.RowOrNull(op->B), m);

    // ---- tensor cores

    private static void Mma(Interpreter x, MicroOp* op, uint m)
    {
        if (!x.AllLanes(op, m))
        {
            return;
        }

        var shape = (MmaShape)op->Imm;
        (int na, int nb, int nc) = Lowering.MmaRegisters(shape);
        int* list = x.Lists + op->Extra;
        uint** rows = stackalloc uint*[16];
        int total = nc + na + nb + nc;
        for (int i = 0; i < total; i++)
        {
            rows[i] = i < nc ? x.To(list[i]) : x.Row(list[i]);
        }

        MmaUnit.Mma(shape, x._launch.Options.Mma, rows, rows + nc, rows + nc + na, rows + nc + na + nb);
    }
}
