using System.Reflection;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;
using IlCodes = System.Reflection.Emit.OpCodes;
using LocalBuilder = System.Reflection.Emit.LocalBuilder;
using M = AdmNative.VirtualGpu.Jit.VectorMethods;
using OpCode = AdmNative.VirtualGpu.Ir.OpCode;

namespace AdmNative.VirtualGpu.Jit;

// Micro-ops as vector code. Every formula here is the handler's, on the same bits.
internal sealed unsafe partial class RegionCompiler
{
    /// <summary>How a stack entry of some vector type becomes Vector512 of uint and back.</summary>
    private enum Kind
    {
        U, I, S, W, L,
    }

    /// <summary>Lanes an op may write: all, those of the region's mask, those a guard lets pass.</summary>
    private enum Lanes
    {
        All, Region, Guarded,
    }

    private readonly RowCache _cache;
    private readonly LocalBuilder?[] _mask32, _mask64;
    private readonly LocalBuilder _temp, _single;
    private Lanes _lanes;

    /// <summary>Emits the op as vector code; false, with nothing emitted, if there is none for it.</summary>
    private bool EmitVector(in MicroOp op)
    {
        if (!Avx512F.IsSupported || !Avx512CD.IsSupported)
        {
            return false;
        }

        switch (op.Code)
        {
            case OpCode.Mov32: return Map32(op, null, 1);
            case OpCode.Not32: return Map32(op, M.NotU, 1);
            case OpCode.Neg32: return Map32(op, M.NegI, 1, Kind.I);
            case OpCode.Abs32: return Map32(op, M.AbsI, 1, Kind.I);
            case OpCode.Clz32: return Map32(op, M.LeadingZeros, 1);
            case OpCode.Add32: return Map32(op, M.AddU, 2);
            case OpCode.Sub32: return Map32(op, M.SubU, 2);
            case OpCode.MulLo32: return Map32(op, M.MulU, 2);
            case OpCode.And32: return Map32(op, M.AndU, 2);
            case OpCode.Or32: return Map32(op, M.OrU, 2);
            case OpCode.Xor32: return Map32(op, M.XorU, 2);
            case OpCode.MinS32: return Map32(op, M.MinI, 2, Kind.I);
            case OpCode.MaxS32: return Map32(op, M.MaxI, 2, Kind.I);
            case OpCode.MinU32 or OpCode.MinU16: return Map32(op, M.MinU, 2);
            case OpCode.MaxU32 or OpCode.MaxU16: return Map32(op, M.MaxU, 2);
            case OpCode.Not16: return Map32(op, M.NotU, 1, low16: true);
            case OpCode.Add16: return Map32(op, M.AddU, 2, low16: true);
            case OpCode.Sub16: return Map32(op, M.SubU, 2, low16: true);
            case OpCode.MulLo16: return Map32(op, M.MulU, 2, low16: true);
            case OpCode.MadLo32 or OpCode.MadLo16: return MultiplyAdd(op);
            case OpCode.MulHiU32 or OpCode.MadHiU32: return MultiplyHigh(op, M.ProductU, null, M.FromW);
            case OpCode.MulHiS32 or OpCode.MadHiS32: return MultiplyHigh(op, M.ProductI, M.AsI, M.FromL);
            case OpCode.Lop3: return Lop3(op);
            case OpCode.Shl32: return Shift32(op, M.ShiftLeftU, M.ShiftLeftUV, Kind.U);
            case OpCode.ShrU32: return Shift32(op, M.ShiftRightU, M.ShiftRightUV, Kind.U);
            case OpCode.ShrS32: return Shift32(op, M.ShiftRightI, M.ShiftRightIV, Kind.I);
            case OpCode.ShfLeft or OpCode.ShfRight: return Funnel(op);
            case OpCode.BfeU32 or OpCode.BfeS32: return Extract(op);
            case OpCode.Bfi32: return Insert(op);
            case OpCode.Prmt: return Permute(op);
            case OpCode.Pack32: return Pack32(op);
            case OpCode.Unpack32: return Unpack32(op);
            case OpCode.ActiveMask: return Write32(op.D, _ => { LoadMask(); Emit(M.SplatU); });

            case OpCode.Mov64: return Map64(op, null, 1, Kind.U);
            case OpCode.Not64: return Map64(op, M.NotU, 1, Kind.U);
            case OpCode.Neg64: return Map64(op, M.NegL, 1, Kind.L);
            case OpCode.Abs64: return Map64(op, M.AbsL, 1, Kind.L);
            case OpCode.Add64: return Map64(op, M.AddW, 2);
            case OpCode.Sub64: return Map64(op, M.SubW, 2);
            case OpCode.MulLo64: return Map64(op, M.MulW, 2);
            case OpCode.And64: return Map64(op, M.AndU, 2, Kind.U);
            case OpCode.Or64: return Map64(op, M.OrU, 2, Kind.U);
            case OpCode.Xor64: return Map64(op, M.XorU, 2, Kind.U);
            case OpCode.MinS64: return Map64(op, M.MinL, 2, Kind.L);
            case OpCode.MaxS64: return Map64(op, M.MaxL, 2, Kind.L);
            case OpCode.MinU64: return Map64(op, M.MinW, 2);
            case OpCode.MaxU64: return Map64(op, M.MaxW, 2);
            case OpCode.MadLo64: return MultiplyAdd64(op);
            case OpCode.MulWideU32 or OpCode.MadWideU32: return MultiplyWide(op, signed: false);
            case OpCode.MulWideS32 or OpCode.MadWideS32: return MultiplyWide(op, signed: true);
            case OpCode.Shl64: return Shift64(op, M.ShiftLeftW, M.ShiftLeftWV, Kind.W);
            case OpCode.ShrU64: return Shift64(op, M.ShiftRightW, M.ShiftRightWV, Kind.W);
            case OpCode.ShrS64: return Shift64(op, M.ShiftRightL, M.ShiftRightLV, Kind.L);
            case OpCode.Pack64: return Pack64(op);
            case OpCode.Unpack64: return Unpack64(op);
            case OpCode.CvtInt: return ConvertInteger(op);

            case OpCode.AddF32: return Float(op, M.AddS, 2);
            case OpCode.SubF32: return Float(op, M.SubS, 2);
            case OpCode.MulF32: return Float(op, M.MulS, 2);
            case OpCode.DivF32: return Float(op, M.DivS, 2);
            case OpCode.FmaF32: return Float(op, M.FmaS, 3);
            case OpCode.SqrtF32: return Float(op, M.SqrtS, 1);
            case OpCode.MinF32: return Float(op, M.MinS, 2);
            case OpCode.MaxF32: return Float(op, M.MaxS, 2);
            case OpCode.NegF32: return Sign(op, M.XorU, 0x8000_0000);
            case OpCode.AbsF32: return Sign(op, M.AndU, 0x7FFF_FFFF);
            case OpCode.CvtIntToFloat: return ConvertToSingle(op);

            case OpCode.MovPred or OpCode.NotPred or OpCode.AndPred or OpCode.OrPred or OpCode.XorPred: return PredicateLogic(op);
            case OpCode.SetpS32: return SetPredicate(op, Kind.I);
            case OpCode.SetpU32: return SetPredicate(op, Kind.U);
            case OpCode.SetpS64: return SetPredicate(op, Kind.L);
            case OpCode.SetpU64: return SetPredicate(op, Kind.W);
            case OpCode.SetpF32: return SetPredicate(op, Kind.S);
            case OpCode.Selp32: return Select32(op);
            case OpCode.Selp64: return Select64(op);
            default: return false;
        }
    }

    // ---- rows

    /// <summary>Pushes half h of a 32-bit row, or quarter h of a 64-bit one.</summary>
    private void Push(int row, int h, Kind kind = Kind.U)
    {
        _cache.Load((2 * row) + h);
        To(kind);
    }

    private void To(Kind kind)
    {
        if (kind != Kind.U)
        {
            Emit(kind switch { Kind.I => M.AsI, Kind.S => M.AsS, Kind.W => M.AsW, _ => M.AsL });
        }
    }

    private void From(Kind kind)
    {
        if (kind != Kind.U)
        {
            Emit(kind switch { Kind.I => M.FromI, Kind.S => M.FromS, Kind.W => M.FromW, _ => M.FromL });
        }
    }

    private void Emit(MethodInfo method) => _il.Emit(IlCodes.Call, method);

    private void Splat(uint value)
    {
        _il.Emit(IlCodes.Ldc_I4, (int)value);
        Emit(M.SplatU);
    }

    /// <summary>Writes a 32-bit row: value pushes the Vector512 of uint of a half. True.</summary>
    private bool Write32(int row, Action<int> value)
    {
        for (int h = 0; h < 2 && row >= 0; h++)
        {
            int slot = (2 * row) + h;
            switch (_lanes)
            {
                case Lanes.All:
                    value(h);
                    break;
                case Lanes.Region:
                    _il.Emit(IlCodes.Ldloc, Mask32(h));
                    value(h);
                    _cache.Load(slot);
                    Emit(M.SelectU);
                    break;
                default:
                    GuardOff32(h, _guarded);
                    _cache.Load(slot);
                    value(h);
                    Emit(M.SelectU);
                    break;
            }

            _cache.Store(slot);
        }

        return true;
    }

    /// <summary>Writes a 64-bit row: value pushes the Vector512 of uint that is a quarter.</summary>
    private bool Write64(int row, Action<int> value)
    {
        for (int q = 0; q < 4 && row >= 0; q++)
        {
            int slot = (2 * row) + q;
            switch (_lanes)
            {
                case Lanes.All:
                    value(q);
                    break;
                case Lanes.Region:
                    _il.Emit(IlCodes.Ldloc, Mask64(q));
                    value(q);
                    Emit(M.AsW);
                    _cache.Load(slot);
                    Emit(M.AsW);
                    Emit(M.SelectW);
                    Emit(M.FromW);
                    break;
                default:
                    GuardOff64(q, _guarded);
                    _cache.Load(slot);
                    Emit(M.AsW);
                    value(q);
                    Emit(M.AsW);
                    Emit(M.SelectW);
                    Emit(M.FromW);
                    break;
            }

            _cache.Store(slot);
        }

        return true;
    }

    private LocalBuilder Mask32(int h) => _mask32[h]!;

    private LocalBuilder Mask64(int q) => _mask64[q]!;

    /// <summary>Pushes all ones where the lane's bit is clear.</summary>
    private void GuardOff32(int h, LocalBuilder bits)
    {
        _il.Emit(IlCodes.Ldloc, bits);
        Emit(M.SplatU);
        for (int i = 0; i < 16; i++)
        {
            _il.Emit(IlCodes.Ldc_I4, 1 << ((16 * h) + i));
        }

        Emit(M.Create16);
        Emit(M.AndU);
        Splat(0);
        Emit(M.EqualU);
    }

    private void GuardOff64(int q, LocalBuilder bits)
    {
        _il.Emit(IlCodes.Ldloc, bits);
        _il.Emit(IlCodes.Conv_U8);
        Emit(M.SplatW);
        for (int i = 0; i < 8; i++)
        {
            _il.Emit(IlCodes.Ldc_I8, 1L << ((8 * q) + i));
        }

        Emit(M.Create8);
        Emit(M.AndW);
        _il.Emit(IlCodes.Ldc_I8, 0L);
        Emit(M.SplatW);
        Emit(M.EqualW);
    }

    /// <summary>Mask vectors of a region that runs under a mask.</summary>
    private void EmitMasks()
    {
        _il.Emit(IlCodes.Ldarg_3);
        _il.Emit(IlCodes.Stloc, _guarded);
        for (int h = 0; h < 2; h++)
        {
            _mask32[h] = _il.DeclareLocal(typeof(Vector512<uint>));
            GuardOff32(h, _guarded);
            Emit(M.NotU);
            _il.Emit(IlCodes.Stloc, _mask32[h]!);
        }

        for (int q = 0; q < 4; q++)
        {
            _mask64[q] = _il.DeclareLocal(typeof(Vector512<ulong>));
            GuardOff64(q, _guarded);
            Emit(M.FromW);
            Emit(M.NotU);
            Emit(M.AsW);
            _il.Emit(IlCodes.Stloc, _mask64[q]!);
        }
    }

    private void LoadMask()
    {
        if (_lanes == Lanes.Guarded)
        {
            _il.Emit(IlCodes.Ldloc, _guarded);
        }
        else
        {
            _il.Emit(IlCodes.Ldarg_3);
        }
    }

    private bool Map32(MicroOp op, MethodInfo? method, int operands, Kind kind = Kind.U, bool low16 = false) => Write32(op.D, h =>
    {
        Push(op.A, h, kind);
        if (operands > 1)
        {
            Push(op.B, h, kind);
        }

        if (method is not null)
        {
            Emit(method);
        }

        From(kind);
        if (low16)
        {
            Splat(0xFFFF);
            Emit(M.AndU);
        }
    });

    private bool Map64(MicroOp op, MethodInfo? method, int operands, Kind kind = Kind.W) => Write64(op.D, q =>
    {
        Push(op.A, q, kind);
        if (operands > 1)
        {
            Push(op.B, q, kind);
        }

        if (method is not null)
        {
            Emit(method);
        }

        From(kind);
    });

    // ---- integers

    private bool MultiplyAdd(MicroOp op) => Write32(op.D, h =>
    {
        Push(op.A, h);
        Push(op.B, h);
        Emit(M.MulU);
        Push(op.C, h);
        Emit(M.AddU);
        if (op.Code == OpCode.MadLo16)
        {
            Splat(0xFFFF);
            Emit(M.AndU);
        }
    });

    private bool MultiplyAdd64(MicroOp op) => Write64(op.D, q =>
    {
        Push(op.A, q, Kind.W);
        Push(op.B, q, Kind.W);
        Emit(M.MulW);
        Push(op.C, q, Kind.W);
        Emit(M.AddW);
        Emit(M.FromW);
    });

    /// <summary>Products of the even lanes and of the odd ones; their high words take turns.</summary>
    private bool MultiplyHigh(MicroOp op, MethodInfo product, MethodInfo? signed, MethodInfo from) => Write32(op.D, h =>
    {
        for (int odd = 0; odd < 2; odd++)
        {
            foreach (int row in new[] { op.A, op.B })
            {
                Push(row, h);
                if (odd == 1)
                {
                    Emit(M.AsW);
                    _il.Emit(IlCodes.Ldc_I4, 32);
                    Emit(M.ShiftRightW);
                    Emit(M.FromW);
                }

                if (signed is not null)
                {
                    Emit(signed);
                }
            }

            Emit(product);
            Emit(from);
            Emit(M.AsW);
            _il.Emit(IlCodes.Ldc_I4, 32);
            Emit(M.ShiftRightW);
            if (odd == 1)
            {
                _il.Emit(IlCodes.Ldc_I4, 32);
                Emit(M.ShiftLeftW);
            }
        }

        Emit(M.OrW);
        Emit(M.FromW);
        if (op.C >= 0)
        {
            Push(op.C, h);
            Emit(M.AddU);
        }
    });

    /// <summary>Pushes lanes 8q to 8q+7 of a 32-bit row as 64-bit ones.</summary>
    private void PushWide(int row, int q, bool signed)
    {
        Push(row, q / 2);
        Widen(q, signed);
    }

    private void Widen(int q, bool signed)
    {
        Emit(q % 2 == 0 ? M.LowerU : M.UpperU);
        if (signed)
        {
            Emit(M.AsI256);
            Emit(M.WidenI);
            Emit(M.FromL);
        }
        else
        {
            Emit(M.WidenU);
            Emit(M.FromW);
        }
    }

    private bool MultiplyWide(MicroOp op, bool signed) => Write64(op.D, q =>
    {
        foreach (int row in new[] { op.A, op.B })
        {
            PushWide(row, q, signed: false);
            if (signed)
            {
                Emit(M.AsI);
            }
        }

        Emit(signed ? M.ProductI : M.ProductU);
        Emit(signed ? M.FromL : M.FromW);
        if (op.C >= 0)
        {
            Emit(M.AsW);
            Push(op.C, q, Kind.W);
            Emit(M.AddW);
            Emit(M.FromW);
        }
    });

    private bool Lop3(MicroOp op) => Write32(op.D, h =>
    {
        Push(op.A, h);
        Push(op.B, h);
        Push(op.C, h);
        _il.Emit(IlCodes.Ldc_I4, op.Imm & 0xFF);
        _il.Emit(IlCodes.Conv_U1);
        Emit(M.Ternary);
    });

    private bool Literal(int row, out ulong value)
    {
        value = 0;
        return row >= 0 && _literals.TryGetValue(row, out value);
    }

    private bool Shift32(MicroOp op, MethodInfo byAmount, MethodInfo byRow, Kind kind) => Write32(op.D, h =>
    {
        if (Literal(op.B, out ulong n))
        {
            ShiftByLiteral(() => Push(op.A, h, kind), byAmount, kind, (uint)n, 32);
        }
        else
        {
            Push(op.A, h, kind);
            Push(op.B, h);
            Emit(byRow);
        }

        From(kind);
    });

    private bool Shift64(MicroOp op, MethodInfo byAmount, MethodInfo byRow, Kind kind) => Write64(op.D, q =>
    {
        if (Literal(op.B, out ulong n))
        {
            ShiftByLiteral(() => Push(op.A, q, kind), byAmount, kind, (uint)n, 64);
        }
        else
        {
            Push(op.A, q, kind);
            PushWide(op.B, q, signed: false);
            Emit(M.AsW);
            Emit(byRow);
        }

        From(kind);
    });

    /// <summary>Amounts at or beyond the width leave nothing, or the sign.</summary>
    private void ShiftByLiteral(Action push, MethodInfo shift, Kind kind, uint n, uint width)
    {
        if (n >= width && kind is Kind.U or Kind.W)
        {
            Splat(0);
            To(kind);
            return;
        }

        push();
        _il.Emit(IlCodes.Ldc_I4, (int)Math.Min(n, width - 1));
        Emit(shift);
    }

    /// <summary>shf: the left form gives the upper word of {b,a} shifted left, the right one the lower word shifted right.</summary>
    private bool Funnel(MicroOp op)
    {
        bool clamp = (op.Flags & OpFlags.Clamp) != 0, left = op.Code == OpCode.ShfLeft;
        return Write32(op.D, h =>
        {
            // Shifts of 32 give zero, which is what an amount of 0 or 32 needs.
            Push(left ? op.B : op.A, h);
            Amount(h);
            Emit(left ? M.ShiftLeftUV : M.ShiftRightUV);
            Push(left ? op.A : op.B, h);
            Splat(32);
            Amount(h);
            Emit(M.SubU);
            Emit(left ? M.ShiftRightUV : M.ShiftLeftUV);
            Emit(M.OrU);
        });

        void Amount(int h)
        {
            Push(op.C, h);
            Splat(clamp ? 32u : 31u);
            Emit(clamp ? M.MinU : M.AndU);
        }
    }

    private bool Extract(MicroOp op)
    {
        if (!Literal(op.B, out ulong position) || !Literal(op.C, out ulong length))
        {
            return false;
        }

        int pos = (int)(position & 0xFF), len = (int)(length & 0xFF);
        if (pos >= 32 || len == 0 || pos + len > 32)
        {
            return false;
        }

        bool signed = op.Code == OpCode.BfeS32;
        return Write32(op.D, h =>
        {
            Push(op.A, h);
            _il.Emit(IlCodes.Ldc_I4, 32 - pos - len);
            Emit(M.ShiftLeftU);
            To(signed ? Kind.I : Kind.U);
            _il.Emit(IlCodes.Ldc_I4, 32 - len);
            Emit(signed ? M.ShiftRightI : M.ShiftRightU);
            From(signed ? Kind.I : Kind.U);
        });
    }

    private bool Insert(MicroOp op)
    {
        if (!Literal(op.C, out ulong position) || !Literal(op.E, out ulong length))
        {
            return false;
        }

        int pos = (int)(position & 0xFF), len = (int)(length & 0xFF);
        uint field = len >= 32 ? uint.MaxValue : (1u << len) - 1;
        if (pos >= 32 || len == 0)
        {
            return Map32(op with { A = op.B }, null, 1);
        }

        return Write32(op.D, h =>
        {
            Push(op.A, h);
            _il.Emit(IlCodes.Ldc_I4, pos);
            Emit(M.ShiftLeftU);
            Splat(field << pos);
            Emit(M.AndU);
            Push(op.B, h);
            Splat(~(field << pos));
            Emit(M.AndU);
            Emit(M.OrU);
        });
    }

    /// <summary>prmt by a literal without sign replication: bytes that move alike move together.</summary>
    private bool Permute(MicroOp op)
    {
        if (!Literal(op.C, out ulong selector) || (selector & 0x8888) != 0)
        {
            return false;
        }

        var moves = new Dictionary<(int Row, int Distance), uint>();
        for (int i = 0; i < 4; i++)
        {
            int from = (int)(selector >> (4 * i)) & 7;
            (int, int) move = (from < 4 ? op.A : op.B, (from & 3) - i);
            moves[move] = moves.GetValueOrDefault(move) | (0xFFu << (8 * i));
        }

        return Write32(op.D, h =>
        {
            bool first = true;
            foreach (((int row, int distance), uint bytes) in moves)
            {
                Push(row, h);
                if (distance != 0)
                {
                    _il.Emit(IlCodes.Ldc_I4, 8 * Math.Abs(distance));
                    Emit(distance > 0 ? M.ShiftRightU : M.ShiftLeftU);
                }

                Splat(bytes);
                Emit(M.AndU);
                if (!first)
                {
                    Emit(M.OrU);
                }

                first = false;
            }
        });
    }

    // ---- packing

    private bool Pack32(MicroOp op)
    {
        int[] list = _kernel.RowLists[op.Extra];
        return Write32(op.D, h =>
        {
            Push(list[0], h);
            Splat(0xFFFF);
            Emit(M.AndU);
            Push(list[1], h);
            _il.Emit(IlCodes.Ldc_I4, 16);
            Emit(M.ShiftLeftU);
            Emit(M.OrU);
        });
    }

    private bool Unpack32(MicroOp op)
    {
        int[] list = _kernel.RowLists[op.Extra];
        Write32(list[0], h =>
        {
            Push(op.A, h);
            Splat(0xFFFF);
            Emit(M.AndU);
        });
        return Write32(list[1], h =>
        {
            Push(op.A, h);
            _il.Emit(IlCodes.Ldc_I4, 16);
            Emit(M.ShiftRightU);
        });
    }

    private bool Pack64(MicroOp op)
    {
        int[] list = _kernel.RowLists[op.Extra];
        return Write64(op.D, q =>
        {
            PushWide(list[0], q, signed: false);
            PushWide(list[1], q, signed: false);
            Emit(M.AsW);
            _il.Emit(IlCodes.Ldc_I4, 32);
            Emit(M.ShiftLeftW);
            Emit(M.FromW);
            Emit(M.OrU);
        });
    }

    private bool Unpack64(MicroOp op)
    {
        int[] list = _kernel.RowLists[op.Extra];
        Write32(list[0], h => PushNarrow(op.A, h, 0));
        return Write32(list[1], h => PushNarrow(op.A, h, 32));
    }

    /// <summary>Pushes half h of the low words of a 64-bit row shifted right.</summary>
    private void PushNarrow(int row, int h, int shift)
    {
        for (int q = 2 * h; q < (2 * h) + 2; q++)
        {
            Push(row, q, Kind.W);
            if (shift != 0)
            {
                _il.Emit(IlCodes.Ldc_I4, shift);
                Emit(M.ShiftRightW);
            }
        }

        Emit(M.NarrowW);
    }

    private bool ConvertInteger(MicroOp op)
    {
        bool wideDest = (op.Count & Engine.Convert.WideDest) != 0, wideSource = (op.Count & Engine.Convert.WideSource) != 0, narrow = (op.Count & Engine.Convert.NarrowDest) != 0;
        PtxType from = op.SourceType, to = op.Type;
        if (op.Flags != OpFlags.None || (wideDest && wideSource) || (from.Bits() == 64 && !wideSource) || (to.Bits() == 64 && !wideDest))
        {
            return false;
        }

        if (!wideDest)
        {
            return Write32(op.D, h =>
            {
                if (wideSource)
                {
                    PushNarrow(op.A, h, 0);
                }
                else
                {
                    Push(op.A, h);
                }

                Extend(from);
                Extend(to);
                if (narrow)
                {
                    Splat(0xFFFF);
                    Emit(M.AndU);
                }
            });
        }

        return Write64(op.D, q =>
        {
            Push(op.A, q / 2);
            Extend(from);
            Extend(to);
            Widen(q, to.Bits() == 64 ? from.IsSigned() : to.IsSigned());
        });
    }

    /// <summary>The low bits of the type, extended to 32 by its sign.</summary>
    private void Extend(PtxType type)
    {
        int unused = 32 - type.Bits();
        if (unused <= 0)
        {
            return;
        }

        if (!type.IsSigned())
        {
            Splat(uint.MaxValue >> unused);
            Emit(M.AndU);
            return;
        }

        _il.Emit(IlCodes.Ldc_I4, unused);
        Emit(M.ShiftLeftU);
        Emit(M.AsI);
        _il.Emit(IlCodes.Ldc_I4, unused);
        Emit(M.ShiftRightI);
        Emit(M.FromI);
    }

    // ---- f32

    private bool Float(MicroOp op, MethodInfo method, int operands)
    {
        bool ftz = op.Flags == OpFlags.Ftz;
        if ((op.Imm != 0 && op.Code is not (OpCode.MinF32 or OpCode.MaxF32)) || (op.Flags != OpFlags.None && !ftz))
        {
            return false;
        }

        return Write32(op.D, h =>
        {
            foreach (int row in new[] { op.A, op.B, op.C }.AsSpan(0, operands))
            {
                Push(row, h);
                if (ftz)
                {
                    Flush();
                }

                Emit(M.AsS);
            }

            Emit(method);
            if (ftz)
            {
                Emit(M.FromS);
                Flush();
                Emit(M.AsS);
            }

            Canonical();
        });
    }

    /// <summary>Subnormals to zero of the same sign.</summary>
    private void Flush()
    {
        _il.Emit(IlCodes.Stloc, _temp);
        _il.Emit(IlCodes.Ldloc, _temp);
        Splat(0x7F80_0000);
        Emit(M.AndU);
        Splat(0);
        Emit(M.EqualU);
        _il.Emit(IlCodes.Ldloc, _temp);
        Splat(0x8000_0000);
        Emit(M.AndU);
        _il.Emit(IlCodes.Ldloc, _temp);
        Emit(M.SelectU);
    }

    /// <summary>Every NaN becomes the canonical one; pops singles, pushes uints.</summary>
    private void Canonical()
    {
        // Of the eight classes the fixup tells apart, the two of NaN keep the first operand, all others take the second.
        _il.Emit(IlCodes.Stloc, _single);
        Splat(FloatOps.CanonicalNan);
        Emit(M.AsS);
        _il.Emit(IlCodes.Ldloc, _single);
        Splat(0x1111_1100);
        Emit(M.AsI);
        _il.Emit(IlCodes.Ldc_I4_0);
        Emit(M.Fixup);
        Emit(M.FromS);
    }

    private bool Sign(MicroOp op, MethodInfo method, uint bits)
    {
        if ((op.Flags & ~OpFlags.Ftz) != 0)
        {
            return false;
        }

        return Write32(op.D, h =>
        {
            Push(op.A, h);
            if ((op.Flags & OpFlags.Ftz) != 0)
            {
                Flush();
            }

            Splat(bits);
            Emit(method);
            Emit(M.AsS);
            Canonical();
        });
    }

    private bool ConvertToSingle(MicroOp op)
    {
        if (op.Flags != OpFlags.None || op.Imm != (int)Rounding.Nearest || op.Type != PtxType.F32 || op.SourceType is not (PtxType.S32 or PtxType.U32)
            || (op.Count & (Engine.Convert.WideDest | Engine.Convert.WideSource)) != 0)
        {
            return false;
        }

        bool signed = op.SourceType == PtxType.S32;
        return Write32(op.D, h =>
        {
            Push(op.A, h, signed ? Kind.I : Kind.U);
            Emit(signed ? M.SingleFromI : M.SingleFromU);
            Emit(M.FromS);
        });
    }

    // ---- predicates

    /// <summary>Pops the bits of a predicate; lanes outside keep theirs.</summary>
    private void StorePredicate(int predicate, Action bits)
    {
        if (predicate < 0)
        {
            return;
        }

        _il.Emit(IlCodes.Ldarg_2);
        _il.Emit(IlCodes.Ldc_I4, 4 * predicate);
        _il.Emit(IlCodes.Add);
        bits();
        if (_lanes != Lanes.All)
        {
            // old ^ ((old ^ new) & mask)
            LoadPredicate(predicate, false);
            _il.Emit(IlCodes.Xor);
            LoadMask();
            _il.Emit(IlCodes.And);
            LoadPredicate(predicate, false);
            _il.Emit(IlCodes.Xor);
        }

        _il.Emit(IlCodes.Stind_I4);
    }

    private bool PredicateLogic(MicroOp op)
    {
        StorePredicate(op.D, () =>
        {
            if (op.Code == OpCode.MovPred && op.A < 0)
            {
                _il.Emit(IlCodes.Ldc_I4, op.Imm != 0 ? -1 : 0);
                return;
            }

            LoadPredicate(op.A, (op.Flags & OpFlags.NegA) != 0);
            if (op.Code == OpCode.NotPred)
            {
                _il.Emit(IlCodes.Not);
            }
            else if (op.Code != OpCode.MovPred)
            {
                LoadPredicate(op.B, (op.Flags & OpFlags.NegB) != 0);
                _il.Emit(op.Code switch { OpCode.AndPred => IlCodes.And, OpCode.OrPred => IlCodes.Or, _ => IlCodes.Xor });
            }
        });
        return true;
    }

    /// <summary>setp: p = compare (op) c; q = !compare (op) c.</summary>
    private bool SetPredicate(MicroOp op, Kind kind)
    {
        var compare = (Compare)op.Imm;
        if (kind != Kind.S && compare > Compare.Ge)
        {
            return false;
        }

        bool ftz = (op.Flags & OpFlags.Ftz) != 0;
        int parts = kind is Kind.W or Kind.L ? 4 : 2;
        for (int i = 0; i < parts; i++)
        {
            EmitCompare(op, compare, kind, i, ftz);
            _il.Emit(IlCodes.Conv_U4);
            if (i > 0)
            {
                _il.Emit(IlCodes.Ldc_I4, 32 / parts * i);
                _il.Emit(IlCodes.Shl);
                _il.Emit(IlCodes.Or);
            }
        }

        if (compare is Compare.Ne or Compare.Nan || (kind == Kind.S && compare is Compare.Equ or Compare.Neu or Compare.Ltu or Compare.Leu or Compare.Gtu or Compare.Geu))
        {
            if (!(kind == Kind.S && compare == Compare.Ne))
            {
                _il.Emit(IlCodes.Not);
            }
        }

        _il.Emit(IlCodes.Stloc, _bits);
        if (op.Imm2 != 0)
        {
            // c is read before p is written: they may be the same.
            LoadPredicate(op.C, (op.Flags & OpFlags.NegC) != 0);
            _il.Emit(IlCodes.Stloc, _combined);
        }

        StorePredicate(op.D, () => Combine(negated: false));
        StorePredicate(op.D2, () => Combine(negated: true));
        return true;

        void Combine(bool negated)
        {
            _il.Emit(IlCodes.Ldloc, _bits);
            if (negated)
            {
                _il.Emit(IlCodes.Not);
            }

            if (op.Imm2 != 0)
            {
                _il.Emit(IlCodes.Ldloc, _combined);
                _il.Emit(op.Imm2 switch { 1 => IlCodes.And, 2 => IlCodes.Or, _ => IlCodes.Xor });
            }
        }
    }

    /// <summary>Pushes the bits of a part's comparison; Ne of integers, Nan and the unordered forms are pushed negated.</summary>
    private void EmitCompare(MicroOp op, Compare compare, Kind kind, int part, bool ftz)
    {
        void Operands(bool swapped)
        {
            PushOperand(swapped ? op.B : op.A);
            PushOperand(swapped ? op.A : op.B);
        }

        void PushOperand(int row)
        {
            Push(row, part);
            if (ftz)
            {
                Flush();
            }

            To(kind);
        }

        MethodInfo bits = kind switch { Kind.I => M.BitsI, Kind.U => M.BitsU, Kind.W => M.BitsW, Kind.L => M.BitsL, _ => M.BitsS };
        if (kind is Kind.U or Kind.I or Kind.W or Kind.L)
        {
            (MethodInfo equal, MethodInfo less, MethodInfo lessEqual) = kind switch
            {
                Kind.I => (M.EqualU, M.LessI, M.LessEqualI),
                Kind.U => (M.EqualU, M.LessU, M.LessEqualU),
                Kind.L => (M.EqualW, M.LessL, M.LessEqualL),
                _ => (M.EqualW, M.LessW, M.LessEqualW),
            };
            if (compare is Compare.Eq or Compare.Ne)
            {
                Kind plain = kind is Kind.I or Kind.U ? Kind.U : Kind.W;
                Push(op.A, part, plain);
                Push(op.B, part, plain);
                Emit(equal);
                Emit(plain == Kind.U ? M.BitsU : M.BitsW);
                return;
            }

            Operands(swapped: compare is Compare.Gt or Compare.Ge);
            Emit(compare is Compare.Lt or Compare.Gt ? less : lessEqual);
            Emit(bits);
            return;
        }

        switch (compare)
        {
            case Compare.Eq or Compare.Neu:
                Operands(swapped: false);
                Emit(M.EqualS);
                break;
            case Compare.Lt or Compare.Geu:
                Operands(swapped: false);
                Emit(M.LessS);
                break;
            case Compare.Le or Compare.Gtu:
                Operands(swapped: false);
                Emit(M.LessEqualS);
                break;
            case Compare.Gt or Compare.Leu:
                Operands(swapped: true);
                Emit(M.LessS);
                break;
            case Compare.Ge or Compare.Ltu:
                Operands(swapped: true);
                Emit(M.LessEqualS);
                break;
            case Compare.Ne or Compare.Equ:
                Operands(swapped: false);
                Emit(M.LessS);
                Emit(bits);
                Operands(swapped: true);
                Emit(M.LessS);
                Emit(bits);
                _il.Emit(IlCodes.Or);
                return;
            default: // Num, Nan
                for (int i = 0; i < 2; i++)
                {
                    int row = i == 0 ? op.A : op.B;
                    PushOperand(row);
                    PushOperand(row);
                    Emit(M.EqualS);
                    Emit(bits);
                }

                _il.Emit(IlCodes.And);
                return;
        }

        Emit(bits);
    }

    private bool Select32(MicroOp op)
    {
        LoadPredicate(op.C, (op.Flags & OpFlags.NegC) != 0);
        _il.Emit(IlCodes.Stloc, _bits);
        return Write32(op.D, h =>
        {
            GuardOff32(h, _bits);
            Push(op.B, h);
            Push(op.A, h);
            Emit(M.SelectU);
        });
    }

    private bool Select64(MicroOp op)
    {
        LoadPredicate(op.C, (op.Flags & OpFlags.NegC) != 0);
        _il.Emit(IlCodes.Stloc, _bits);
        return Write64(op.D, q =>
        {
            GuardOff64(q, _bits);
            Push(op.B, q, Kind.W);
            Push(op.A, q, Kind.W);
            Emit(M.SelectW);
            Emit(M.FromW);
        });
    }
}
