using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

using I = IntegerOps;

internal sealed unsafe partial class Interpreter
{
    /// <summary>The function that executes a micro-op; control transfers have none (they end blocks and the block loop takes them).</summary>
    internal static nint HandlerOf(in MicroOp op) => (nint)Handler(op);

    private static delegate*<Interpreter, MicroOp*, uint, void> Handler(in MicroOp op)
    {
        switch (op.Code)
        {
            case OpCode.Nop or OpCode.Prefetch: return &Nothing;
            case OpCode.Fence: return &Fence;
            case OpCode.Branch or OpCode.BranchIndexed or OpCode.Exit or OpCode.Trap or OpCode.BarSync or OpCode.BarArrive or OpCode.BarReduce: return &Nothing;
            case OpCode.WarpSync: return &WarpSync;
            case OpCode.Printf: return &Printf;

            case OpCode.Mov32: return &Move32;
            case OpCode.Mov64: return &Move64;
            case OpCode.MovPred: return &MovePredicate;
            case OpCode.Pack32: return &Pack32;
            case OpCode.Unpack32: return &Unpack32;
            case OpCode.Pack64: return &Pack64;
            case OpCode.Unpack64: return &Unpack64;
            case OpCode.Pack64x4: return &Pack64x4;
            case OpCode.Unpack64x4: return &Unpack64x4;
            case OpCode.Clock32: return &Clock32;
            case OpCode.Clock64: return &Clock64;
            case OpCode.ActiveMask: return &ActiveMask;

            case OpCode.Add16: return &Binary<I.Add16>;
            case OpCode.Add32: return &Binary<I.Add32>;
            case OpCode.Add64: return &Binary64<I.Add64>;
            case OpCode.Sub16: return &Binary<I.Sub16>;
            case OpCode.Sub32: return &Binary<I.Sub32>;
            case OpCode.Sub64: return &Binary64<I.Sub64>;
            case OpCode.AddCarry32: return &AddCarry;
            case OpCode.SubBorrow32: return &SubBorrow;
            case OpCode.Neg16: return &Unary<I.Neg16>;
            case OpCode.Neg32: return &Unary<I.Neg32>;
            case OpCode.Neg64: return &Lanes64<I.Neg64>;
            case OpCode.Abs16: return &Unary<I.Abs16>;
            case OpCode.Abs32: return &Unary<I.Abs32>;
            case OpCode.Abs64: return &Lanes64<I.Abs64>;
            case OpCode.MinS16: return &Binary<I.MinS16>;
            case OpCode.MaxS16: return &Binary<I.MaxS16>;
            case OpCode.MinU16 or OpCode.MinU32: return &Binary<I.MinU32>;
            case OpCode.MaxU16 or OpCode.MaxU32: return &Binary<I.MaxU32>;
            case OpCode.MinS32: return &Binary<I.MinS32>;
            case OpCode.MaxS32: return &Binary<I.MaxS32>;
            case OpCode.MinS64: return &Binary64<I.MinS64>;
            case OpCode.MinU64: return &Binary64<I.MinU64>;
            case OpCode.MaxS64: return &Binary64<I.MaxS64>;
            case OpCode.MaxU64: return &Binary64<I.MaxU64>;
            case OpCode.MulLo16: return &Binary<I.Mul16>;
            case OpCode.MulLo32: return &Binary<I.Mul32>;
            case OpCode.MulLo64: return &Binary64<I.Mul64>;
            case OpCode.MulHiS16: return &Lanes32<I.MulHiS16>;
            case OpCode.MulHiU16: return &Lanes32<I.MulHiU16>;
            case OpCode.MulHiS32 or OpCode.MadHiS32: return &Lanes32<I.MulHiS32>;
            case OpCode.MulHiU32 or OpCode.MadHiU32: return &Lanes32<I.MulHiU32>;
            case OpCode.MulHiS64 or OpCode.MadHiS64: return &Lanes64<I.MulHiS64>;
            case OpCode.MulHiU64 or OpCode.MadHiU64: return &Lanes64<I.MulHiU64>;
            case OpCode.MulWideS16 or OpCode.MadWideS16: return &Lanes32<I.MulWideS16>;
            case OpCode.MulWideU16 or OpCode.MadWideU16: return &Lanes32<I.MulWideU16>;
            case OpCode.MulWideS32 or OpCode.MadWideS32: return &MulWideS32;
            case OpCode.MulWideU32 or OpCode.MadWideU32: return &MulWideU32;
            case OpCode.MadLo16: return &Ternary<I.Mad16>;
            case OpCode.MadLo32: return &Ternary<I.Mad32>;
            case OpCode.MadLo64: return &Lanes64<I.Mad64>;
            case OpCode.MadCarry32: return &MadCarry;
            case OpCode.DivS16: return &Divide<I.DivS16>;
            case OpCode.DivU16: return &Divide<I.DivU16>;
            case OpCode.DivS32: return &Divide<I.DivS32>;
            case OpCode.DivU32: return &Divide<I.DivU32>;
            case OpCode.DivS64: return &Divide64<I.DivS64>;
            case OpCode.DivU64: return &Divide64<I.DivU64>;
            case OpCode.RemS16: return &Divide<I.RemS16>;
            case OpCode.RemU16: return &Divide<I.RemU16>;
            case OpCode.RemS32: return &Divide<I.RemS32>;
            case OpCode.RemU32: return &Divide<I.RemU32>;
            case OpCode.RemS64: return &Divide64<I.RemS64>;
            case OpCode.RemU64: return &Divide64<I.RemU64>;
            case OpCode.Sad32: return op.Imm == 1 ? &Lanes32<I.SadS32> : &Lanes32<I.SadU32>;
            case OpCode.AddSat32: return &Lanes32<I.AddSat32>;
            case OpCode.SubSat32: return &Lanes32<I.SubSat32>;
            case OpCode.Dp4a: return &Dp4a;

            case OpCode.And32: return &Binary<I.And>;
            case OpCode.Or32: return &Binary<I.Or>;
            case OpCode.Xor32: return &Binary<I.Xor>;
            case OpCode.And64: return &Binary64<I.And64>;
            case OpCode.Or64: return &Binary64<I.Or64>;
            case OpCode.Xor64: return &Binary64<I.Xor64>;
            case OpCode.Not16: return &Unary<I.Not16>;
            case OpCode.Not32: return &Unary<I.Not32>;
            case OpCode.Not64: return &Lanes64<I.Not64>;
            case OpCode.Lop3: return &Lop3;
            case OpCode.AndPred: return &AndPredicate;
            case OpCode.OrPred: return &OrPredicate;
            case OpCode.XorPred: return &XorPredicate;
            case OpCode.NotPred: return &NotPredicate;
            case OpCode.Shl16: return &Lanes32<I.Shl16>;
            case OpCode.Shl32: return &Shl32;
            case OpCode.ShrU32: return &ShrU32;
            case OpCode.ShrS32: return &ShrS32;
            case OpCode.ShrU16: return &Lanes32<I.ShrU16>;
            case OpCode.ShrS16: return &Lanes32<I.ShrS16>;
            case OpCode.Shl64: return &Shl64;
            case OpCode.ShrU64: return &ShrU64;
            case OpCode.ShrS64: return &ShrS64;
            case OpCode.ShfLeft: return op.Flags.HasFlag(OpFlags.Clamp) ? &Lanes32<I.ShfLeftClamp> : &Lanes32<I.ShfLeftWrap>;
            case OpCode.ShfRight: return op.Flags.HasFlag(OpFlags.Clamp) ? &Lanes32<I.ShfRightClamp> : &Lanes32<I.ShfRightWrap>;
            case OpCode.BfeS32: return &Lanes32<I.BfeS32>;
            case OpCode.BfeU32: return &Lanes32<I.BfeU32>;
            case OpCode.BfeS64: return &Bfe64<I.BfeS64>;
            case OpCode.BfeU64: return &Bfe64<I.BfeU64>;
            case OpCode.Bfi32: return &Bfi32;
            case OpCode.Bfi64: return &Bfi64;
            case OpCode.Prmt: return &Lanes32<I.Prmt>;
            case OpCode.Popc32: return &Lanes32<I.Popc32>;
            case OpCode.Clz32: return &Lanes32<I.Clz32>;
            case OpCode.Popc64: return &Popc64;
            case OpCode.Clz64: return &Clz64;
            case OpCode.Brev32: return &Lanes32<I.Brev32>;
            case OpCode.Brev64: return &Lanes64<I.Brev64>;
            case OpCode.BfindS32 or OpCode.BfindU32 or OpCode.BfindS64 or OpCode.BfindU64: return &Bfind;

            case OpCode.SetpS16 or OpCode.SetpU16 or OpCode.SetpS32 or OpCode.SetpU32 or OpCode.SetpS64 or OpCode.SetpU64
                or OpCode.SetpF16 or OpCode.SetpBF16 or OpCode.SetpF32 or OpCode.SetpF64:
                return &SetPredicate;
            case OpCode.SetpF16x2 or OpCode.SetpBF16x2: return &SetPredicatePair;
            case OpCode.Set32: return &Set32;
            case OpCode.SetF16x2 or OpCode.SetBF16x2: return &SetHalf2;
            case OpCode.Selp32: return &Select32;
            case OpCode.Selp64: return &Select64;
            case OpCode.SlctS32 or OpCode.SlctF32: return &Slct;

            case OpCode.AddF32: return op.Imm == 0 ? &Float<FloatOps.Add> : &FloatDirected;
            case OpCode.SubF32: return op.Imm == 0 ? &Float<FloatOps.Sub> : &FloatDirected;
            case OpCode.MulF32: return op.Imm == 0 ? &Float<FloatOps.Mul> : &FloatDirected;
            case OpCode.FmaF32: return op.Imm == 0 ? &Float<FloatOps.Fma> : &FloatDirected;
            case OpCode.DivF32: return op.Imm == 0 ? &Float<FloatOps.Div> : &FloatDirected;
            case OpCode.RcpF32: return op.Imm == 0 ? &Float<FloatOps.Rcp> : &FloatDirected;
            case OpCode.SqrtF32: return op.Imm == 0 ? &Float<FloatOps.Sqrt> : &FloatDirected;
            case OpCode.MinF32: return &Float<FloatOps.Min>;
            case OpCode.MaxF32: return &Float<FloatOps.Max>;
            case OpCode.NegF32 or OpCode.AbsF32: return &SignF32;
            case OpCode.CopysignF32: return &Copysign;
            case OpCode.TestpF32: return &TestpF32;
            case OpCode.DivApproxF32 or OpCode.RcpApproxF32 or OpCode.SqrtApproxF32 or OpCode.RsqrtApproxF32 or OpCode.Ex2F32
                or OpCode.Lg2F32 or OpCode.SinF32 or OpCode.CosF32 or OpCode.TanhF32:
                return &Approximate;
            case OpCode.AddF64 or OpCode.SubF64 or OpCode.MulF64 or OpCode.FmaF64 or OpCode.NegF64 or OpCode.AbsF64 or OpCode.MinF64
                or OpCode.MaxF64 or OpCode.DivF64 or OpCode.RcpF64 or OpCode.SqrtF64:
                return &Double;
            case OpCode.AddHalf or OpCode.SubHalf or OpCode.MulHalf or OpCode.FmaHalf or OpCode.NegHalf or OpCode.AbsHalf
                or OpCode.MinHalf or OpCode.MaxHalf or OpCode.Ex2Half or OpCode.TanhHalf:
                return &HalfArithmetic;

            case OpCode.CvtInt or OpCode.CvtIntToFloat or OpCode.CvtFloatToInt or OpCode.CvtFloat or OpCode.CvtPack2: return &ConvertAny;

            case OpCode.Load: return &Load;
            case OpCode.Store: return &Store;
            case OpCode.Atomic or OpCode.Reduce: return &Atomic;
            case OpCode.CopyAsync: return &CopyAsync;
            case OpCode.CopyAsyncCommit: return &CopyAsyncCommit;
            case OpCode.CopyAsyncWait or OpCode.CopyAsyncWaitAll: return &CopyAsyncWait;
            case OpCode.LoadMatrix: return &LoadMatrix;
            case OpCode.StoreMatrix: return &StoreMatrix;
            case OpCode.MoveMatrix: return &MoveMatrix;
            case OpCode.IsSpace: return &IsSpace;

            case OpCode.Shuffle: return &Shuffle;
            case OpCode.Vote: return &Vote;
            case OpCode.Ballot: return &Ballot;
            case OpCode.MatchAny: return &MatchAny;
            case OpCode.MatchAll: return &MatchAll;
            case OpCode.ReduceSync: return &ReduceSync;
            case OpCode.Elect: return &Elect;
            case OpCode.Mma: return &Mma;
            default: throw new PtxException(op.Line, $"{op.Code} has no handler");
        }
    }
}
