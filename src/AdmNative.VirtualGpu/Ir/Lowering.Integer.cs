using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Ir;

internal sealed partial class Lowering
{
    private static OpCode ByWidth(int bits, OpCode b16, OpCode b32, OpCode b64) => bits switch
    {
        <= 16 => b16,
        32 => b32,
        _ => b64,
    };

    private static OpCode BySign(PtxType type, OpCode s16, OpCode u16, OpCode s32, OpCode u32, OpCode s64, OpCode u64) =>
        type.IsSigned() ? ByWidth(type.Bits(), s16, s32, s64) : ByWidth(type.Bits(), u16, u32, u64);

    private void RequireInteger(PtxType type, bool allowBits = false)
    {
        bool ok = type is PtxType.U16 or PtxType.U32 or PtxType.U64 or PtxType.S16 or PtxType.S32 or PtxType.S64
            || (allowBits && type is PtxType.B16 or PtxType.B32 or PtxType.B64);
        if (!ok)
        {
            throw Bad($"does not work on .{type.ToString().ToLowerInvariant()}");
        }
    }

    private void Binary(OpCode code, PtxType type, OpFlags flags = OpFlags.None)
    {
        OperandCount(3);
        MicroOp op = Op(code);
        op.Type = type;
        op.Flags = flags;
        op.D = Dest(Operand(0), type.Bits());
        op.A = Source(Operand(1), type);
        op.B = Source(Operand(2), type);
        Emit(op);
    }

    private void Mov()
    {
        Modifiers mods = Mods();
        PtxType type = mods.Type();
        mods.End();
        OperandCount(2);
        PtxOperand d = Operand(0), a = Operand(1);
        if (type == PtxType.Pred)
        {
            MicroOp p = Op(OpCode.MovPred);
            p.D = DestPredicate(d);
            if (a.Kind == PtxOperandKind.IntegerLiteral)
            {
                p.A = -1;
                p.Imm = a.Bits != 0 ? 1 : 0;
            }
            else
            {
                (p.A, bool negated) = SourcePredicate(a);
                p.Flags = negated ? OpFlags.NegA : OpFlags.None;
            }

            Emit(p);
            return;
        }

        if (a.Kind == PtxOperandKind.Vector || d.Kind == PtxOperandKind.Vector)
        {
            PackUnpack(d, a, type);
            return;
        }

        int bits = type.Bits();
        MicroOp op = Op(bits == 64 ? OpCode.Mov64 : OpCode.Mov32);
        op.Type = type;
        if (a.Kind == PtxOperandKind.Special && a.Name is "%clock" or "%clock64" or "%globaltimer")
        {
            bool wide = a.Name != "%clock";
            if (wide != (bits == 64))
            {
                throw Bad($"reads {a.Name} as {bits} bits");
            }

            op.Code = wide ? OpCode.Clock64 : OpCode.Clock32;
            op.D = Dest(d, bits);
            Emit(op);
            return;
        }

        op.D = Dest(d, bits);
        op.A = Source(a, bits, type);
        Emit(op);
    }

    private void PackUnpack(PtxOperand d, PtxOperand a, PtxType type)
    {
        int bits = type.Bits();
        bool pack = a.Kind == PtxOperandKind.Vector;
        PtxOperand vector = pack ? a : d;
        int count = vector.Elements.Count;
        int element = count == 0 ? 0 : bits / count;
        OpCode code = (bits, count) switch
        {
            (32, 2) => pack ? OpCode.Pack32 : OpCode.Unpack32,
            (64, 2) => pack ? OpCode.Pack64 : OpCode.Unpack64,
            (64, 4) => pack ? OpCode.Pack64x4 : OpCode.Unpack64x4,
            _ => throw Bad($"cannot split {bits} bits into {count} parts"),
        };
        MicroOp op = Op(code);
        var elementType = element == 16 ? PtxType.B16 : PtxType.B32;
        if (pack)
        {
            op.D = Dest(d, bits);
            op.Extra = RowList(vector.Elements.Select(e => Source(e, elementType)));
        }
        else
        {
            op.A = Source(a, bits, type);
            op.Extra = RowList(vector.Elements.Select(e => Dest(e, element)));
        }

        Emit(op);
    }

    private void AddSub()
    {
        Modifiers mods = Mods();
        bool add = _at.Opcode.StartsWith("add", StringComparison.Ordinal);
        bool setCarry = mods.Take("cc"), useCarry = _at.Opcode is "addc" or "subc";
        PtxType type = mods.Type();
        if (type.IsFloat())
        {
            FloatBinary(mods, type, add ? OpCode.AddF32 : OpCode.SubF32, add ? OpCode.AddF64 : OpCode.SubF64, add ? OpCode.AddHalf : OpCode.SubHalf);
            return;
        }

        RequireInteger(type, allowBits: true);
        bool sat = mods.Take("sat");
        mods.End();
        if (setCarry || useCarry)
        {
            if (type.Bits() != 32)
            {
                throw Bad("is provided for 32 bits only");
            }

            Binary(add ? OpCode.AddCarry32 : OpCode.SubBorrow32, type, (setCarry ? OpFlags.SetCarry : 0) | (useCarry ? OpFlags.UseCarry : 0));
        }
        else if (sat)
        {
            if (type != PtxType.S32)
            {
                throw Bad("saturates for .s32 only");
            }

            Binary(add ? OpCode.AddSat32 : OpCode.SubSat32, type);
        }
        else
        {
            Binary(add ? ByWidth(type.Bits(), OpCode.Add16, OpCode.Add32, OpCode.Add64) : ByWidth(type.Bits(), OpCode.Sub16, OpCode.Sub32, OpCode.Sub64), type);
        }
    }

    private void MulMad()
    {
        Modifiers mods = Mods();
        if (_at.Opcode is "mul24" or "mad24")
        {
            throw Bad("is not supported");
        }

        bool mad = _at.Opcode is "mad" or "madc";
        bool setCarry = mods.Take("cc"), useCarry = _at.Opcode == "madc";
        string? half = mods.TakeOneOf("lo", "hi", "wide");
        PtxType type = mods.Type();
        if (type.IsFloat())
        {
            if (half is not null)
            {
                throw Bad("mixes .lo/.hi/.wide with a float type");
            }

            if (mad)
            {
                FloatFma(mods, type);
            }
            else
            {
                FloatBinary(mods, type, OpCode.MulF32, OpCode.MulF64, OpCode.MulHalf);
            }

            return;
        }

        RequireInteger(type);
        mods.End();
        int bits = type.Bits();
        OperandCount(mad ? 4 : 3);
        int resultBits = half == "wide" ? 2 * bits : bits;
        if (half is null || (half == "wide" && bits == 64))
        {
            throw Bad("needs .lo, .hi or a narrower .wide");
        }

        MicroOp op = Op((half, mad) switch
        {
            ("lo", false) => ByWidth(bits, OpCode.MulLo16, OpCode.MulLo32, OpCode.MulLo64),
            ("hi", false) => BySign(type, OpCode.MulHiS16, OpCode.MulHiU16, OpCode.MulHiS32, OpCode.MulHiU32, OpCode.MulHiS64, OpCode.MulHiU64),
            ("wide", false) => BySign(type, OpCode.MulWideS16, OpCode.MulWideU16, OpCode.MulWideS32, OpCode.MulWideU32, OpCode.Nop, OpCode.Nop),
            ("lo", true) => ByWidth(bits, OpCode.MadLo16, OpCode.MadLo32, OpCode.MadLo64),
            ("hi", true) when bits > 16 => BySign(type, OpCode.Nop, OpCode.Nop, OpCode.MadHiS32, OpCode.MadHiU32, OpCode.MadHiS64, OpCode.MadHiU64),
            ("wide", true) => BySign(type, OpCode.MadWideS16, OpCode.MadWideU16, OpCode.MadWideS32, OpCode.MadWideU32, OpCode.Nop, OpCode.Nop),
            _ => throw Bad("is not supported"),
        });
        if (setCarry || useCarry)
        {
            if (bits != 32 || half == "wide")
            {
                throw Bad("is provided for 32 bits only");
            }

            op.Imm = half == "lo" ? 0 : type.IsSigned() ? 2 : 1;
            op.Code = OpCode.MadCarry32;
            op.Flags = (setCarry ? OpFlags.SetCarry : 0) | (useCarry ? OpFlags.UseCarry : 0);
        }

        op.Type = type;
        op.D = Dest(Operand(0), resultBits);
        op.A = Source(Operand(1), type);
        op.B = Source(Operand(2), type);
        if (mad)
        {
            op.C = Source(Operand(3), resultBits, type);
        }

        Emit(op);
    }

    private void DivRem()
    {
        Modifiers mods = Mods();
        PtxType type = mods.Type();
        if (_at.Opcode == "div" && type.IsFloat())
        {
            FloatDiv(mods, type);
            return;
        }

        RequireInteger(type);
        mods.End();
        Binary(
            _at.Opcode == "div"
                ? BySign(type, OpCode.DivS16, OpCode.DivU16, OpCode.DivS32, OpCode.DivU32, OpCode.DivS64, OpCode.DivU64)
                : BySign(type, OpCode.RemS16, OpCode.RemU16, OpCode.RemS32, OpCode.RemU32, OpCode.RemS64, OpCode.RemU64),
            type);
    }

    private void Unary()
    {
        Modifiers mods = Mods();
        bool shiftAmount = _at.Opcode == "bfind" && mods.Take("shiftamt");
        PtxType type = mods.Type();
        if (type.IsFloat())
        {
            bool neg = _at.Opcode == "neg";
            if (!neg && _at.Opcode != "abs")
            {
                throw Bad("does not work on floats");
            }

            OpFlags ftz = mods.Take("ftz") ? OpFlags.Ftz : OpFlags.None;
            mods.End();
            OperandCount(2);
            MicroOp f = Op(FloatCode(type, neg ? OpCode.NegF32 : OpCode.AbsF32, neg ? OpCode.NegF64 : OpCode.AbsF64, neg ? OpCode.NegHalf : OpCode.AbsHalf));
            f.Type = type;
            f.Flags = ftz;
            f.Imm = (int)Half(type);
            f.D = Dest(Operand(0), type.Bits());
            f.A = Source(Operand(1), type);
            Emit(f);
            return;
        }

        mods.End();
        OperandCount(2);
        if (type == PtxType.Pred)
        {
            if (_at.Opcode != "not")
            {
                throw Bad("does not work on predicates");
            }

            MicroOp p = Op(OpCode.NotPred);
            p.D = DestPredicate(Operand(0));
            (p.A, bool negated) = SourcePredicate(Operand(1));
            p.Flags = negated ? OpFlags.NegA : OpFlags.None;
            Emit(p);
            return;
        }

        int bits = type.Bits();
        bool signed = type.IsSigned(), untyped = type is PtxType.B16 or PtxType.B32 or PtxType.B64;
        OpCode code = _at.Opcode switch
        {
            "neg" when signed => ByWidth(bits, OpCode.Neg16, OpCode.Neg32, OpCode.Neg64),
            "abs" when signed => ByWidth(bits, OpCode.Abs16, OpCode.Abs32, OpCode.Abs64),
            "popc" or "clz" or "brev" or "not" when !untyped => throw Bad("works on untyped bits: .b16, .b32 or .b64"),
            "bfind" when untyped => throw Bad("needs a signed or unsigned type"),
            "not" => ByWidth(bits, OpCode.Not16, OpCode.Not32, OpCode.Not64),
            "popc" when bits >= 32 => bits == 64 ? OpCode.Popc64 : OpCode.Popc32,
            "clz" when bits >= 32 => bits == 64 ? OpCode.Clz64 : OpCode.Clz32,
            "brev" when bits >= 32 => bits == 64 ? OpCode.Brev64 : OpCode.Brev32,
            "bfind" when bits >= 32 => bits == 64 ? (signed ? OpCode.BfindS64 : OpCode.BfindU64) : signed ? OpCode.BfindS32 : OpCode.BfindU32,
            _ => throw Bad("is not supported"),
        };
        MicroOp op = Op(code);
        op.Type = type;
        op.Flags = shiftAmount ? OpFlags.Clamp : OpFlags.None;
        op.D = Dest(Operand(0), _at.Opcode is "popc" or "clz" or "bfind" ? 32 : bits);
        op.A = Source(Operand(1), type);
        Emit(op);
    }

    private void MinMax()
    {
        Modifiers mods = Mods();
        bool min = _at.Opcode == "min";
        PtxType type = mods.Type();
        if (type.IsFloat())
        {
            OpFlags flags = mods.Take("NaN") ? OpFlags.Nan : 0;
            bool xorSign = mods.Take("xorsign"), abs = mods.Take("abs");
            if (xorSign != abs || ((xorSign || flags != OpFlags.None) && type == PtxType.F64))
            {
                throw Bad("is not supported: .xorsign and .abs go together, and f64 has neither them nor .NaN");
            }

            flags |= xorSign ? OpFlags.XorSign : 0;
            FloatBinary(mods, type, min ? OpCode.MinF32 : OpCode.MaxF32, min ? OpCode.MinF64 : OpCode.MaxF64, min ? OpCode.MinHalf : OpCode.MaxHalf, flags);
            return;
        }

        RequireInteger(type);
        mods.End();
        Binary(
            min ? BySign(type, OpCode.MinS16, OpCode.MinU16, OpCode.MinS32, OpCode.MinU32, OpCode.MinS64, OpCode.MinU64)
                : BySign(type, OpCode.MaxS16, OpCode.MaxU16, OpCode.MaxS32, OpCode.MaxU32, OpCode.MaxS64, OpCode.MaxU64),
            type);
    }

    private void Logic()
    {
        Modifiers mods = Mods();
        PtxType type = mods.Type();
        mods.End();
        if (type == PtxType.Pred)
        {
            OperandCount(3);
            MicroOp p = Op(_at.Opcode switch { "and" => OpCode.AndPred, "or" => OpCode.OrPred, _ => OpCode.XorPred });
            p.D = DestPredicate(Operand(0));
            (p.A, bool negA) = SourcePredicate(Operand(1));
            (p.B, bool negB) = SourcePredicate(Operand(2));
            p.Flags = (negA ? OpFlags.NegA : 0) | (negB ? OpFlags.NegB : 0);
            Emit(p);
            return;
        }

        if (type is not (PtxType.B16 or PtxType.B32 or PtxType.B64))
        {
            throw Bad($"does not work on .{type.ToString().ToLowerInvariant()}");
        }

        bool wide = type.Bits() == 64;
        Binary(_at.Opcode switch
        {
            "and" => wide ? OpCode.And64 : OpCode.And32,
            "or" => wide ? OpCode.Or64 : OpCode.Or32,
            _ => wide ? OpCode.Xor64 : OpCode.Xor32,
        }, type);
    }

    private void Lop3()
    {
        Modifiers mods = Mods();
        PtxType type = mods.Type();
        mods.End();
        OperandCount(5);
        if (type != PtxType.B32 || Operand(4).Kind != PtxOperandKind.IntegerLiteral || Operand(4).Bits > 255)
        {
            throw Bad("needs .b32 and a table of 0 to 255");
        }

        MicroOp op = Op(OpCode.Lop3);
        op.D = Dest(Operand(0), 32);
        op.A = Source(Operand(1), type);
        op.B = Source(Operand(2), type);
        op.C = Source(Operand(3), type);
        op.Imm = (int)Operand(4).Bits;
        Emit(op);
    }

    private void Shift()
    {
        Modifiers mods = Mods();
        PtxType type = mods.Type();
        mods.End();
        OperandCount(3);
        int bits = type.Bits();
        MicroOp op = Op(_at.Opcode == "shl"
            ? ByWidth(bits, OpCode.Shl16, OpCode.Shl32, OpCode.Shl64)
            : BySign(type, OpCode.ShrS16, OpCode.ShrU16, OpCode.ShrS32, OpCode.ShrU32, OpCode.ShrS64, OpCode.ShrU64));
        if (type.IsFloat() || bits < 16 || (_at.Opcode == "shl" && type is not (PtxType.B16 or PtxType.B32 or PtxType.B64)))
        {
            throw Bad($"does not work on .{type.ToString().ToLowerInvariant()}");
        }

        op.Type = type;
        op.D = Dest(Operand(0), bits);
        op.A = Source(Operand(1), type);
        op.B = Source(Operand(2), PtxType.U32);
        Emit(op);
    }

    private void Funnel()
    {
        Modifiers mods = Mods();
        string? direction = mods.TakeOneOf("l", "r");
        string? mode = mods.TakeOneOf("wrap", "clamp");
        PtxType type = mods.Type();
        mods.End();
        OperandCount(4);
        if (direction is null || mode is null || type != PtxType.B32)
        {
            throw Bad("needs .l or .r, .wrap or .clamp, and .b32");
        }

        MicroOp op = Op(direction == "l" ? OpCode.ShfLeft : OpCode.ShfRight);
        op.Flags = mode == "clamp" ? OpFlags.Clamp : OpFlags.None;
        op.D = Dest(Operand(0), 32);
        op.A = Source(Operand(1), type);
        op.B = Source(Operand(2), type);
        op.C = Source(Operand(3), PtxType.U32);
        Emit(op);
    }

    private void BitField()
    {
        Modifiers mods = Mods();
        PtxType type = _at.Opcode == "dp4a" ? PtxType.None : mods.Type();
        MicroOp op;
        switch (_at.Opcode)
        {
            case "bfe":
                RequireInteger(type);
                mods.End();
                OperandCount(4);
                op = Op(BySign(type, OpCode.Nop, OpCode.Nop, OpCode.BfeS32, OpCode.BfeU32, OpCode.BfeS64, OpCode.BfeU64));
                op.D = Dest(Operand(0), type.Bits());
                op.A = Source(Operand(1), type);
                op.B = Source(Operand(2), PtxType.U32);
                op.C = Source(Operand(3), PtxType.U32);
                break;
            case "bfi":
                mods.End();
                if (type is not (PtxType.B32 or PtxType.B64))
                {
                    throw Bad("needs .b32 or .b64");
                }

                OperandCount(5);
                op = Op(type.Bits() == 64 ? OpCode.Bfi64 : OpCode.Bfi32);
                op.D = Dest(Operand(0), type.Bits());
                op.A = Source(Operand(1), type);
                op.B = Source(Operand(2), type);
                op.C = Source(Operand(3), PtxType.U32);
                op.E = Source(Operand(4), PtxType.U32);
                break;
            case "prmt":
                string? mode = mods.TakeOneOf("f4e", "b4e", "rc8", "ecl", "ecr", "rc16");
                mods.End();
                OperandCount(4);
                if (mode is not null || type != PtxType.B32)
                {
                    throw Bad("is provided as .b32 without a mode only");
                }

                op = Op(OpCode.Prmt);
                op.D = Dest(Operand(0), 32);
                op.A = Source(Operand(1), PtxType.B32);
                op.B = Source(Operand(2), PtxType.B32);
                op.C = Source(Operand(3), PtxType.B32);
                break;
            case "dp4a":
                // dp4a.atype.btype: both types, in this order.
                if (_at.Modifiers.Count != 2 || _at.Modifiers.Any(m => m is not ("s32" or "u32")))
                {
                    throw Bad("needs two types, .s32 or .u32");
                }

                bool signedA = _at.Modifiers[0] == "s32", signedB = _at.Modifiers[1] == "s32";
                OperandCount(4);
                op = Op(OpCode.Dp4a);
                op.Imm = (signedA ? 1 : 0) | (signedB ? 2 : 0);
                op.D = Dest(Operand(0), 32);
                op.A = Source(Operand(1), PtxType.B32);
                op.B = Source(Operand(2), PtxType.B32);
                op.C = Source(Operand(3), PtxType.B32);
                break;
            default:
                mods.End();
                OperandCount(4);
                if (type.Bits() != 32)
                {
                    throw Bad("is provided for 32 bits only");
                }

                op = Op(OpCode.Sad32);
                op.Imm = type.IsSigned() ? 1 : 0;
                op.D = Dest(Operand(0), 32);
                op.A = Source(Operand(1), type);
                op.B = Source(Operand(2), type);
                op.C = Source(Operand(3), type);
                break;
        }

        if (op.Code == OpCode.Nop)
        {
            throw Bad("is not supported");
        }

        op.Type = type;
        Emit(op);
    }

    private void SetCompare()
    {
        Modifiers mods = Mods();
        bool isSetp = _at.Opcode == "setp";
        string? boolean = mods.TakeOneOf("and", "or", "xor");
        string? name = mods.TakeOneOf("eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan");
        OpFlags flags = mods.Take("ftz") ? OpFlags.Ftz : OpFlags.None;
        PtxType source = mods.Type();
        PtxType result = isSetp ? PtxType.Pred : mods.Type();
        mods.End();
        if (name is null)
        {
            throw Bad("has no comparison");
        }

        Compare compare = name switch
        {
            "lo" => Compare.Lt,
            "ls" => Compare.Le,
            "hi" => Compare.Gt,
            "hs" => Compare.Ge,
            _ => Enum.Parse<Compare>(name, ignoreCase: true),
        };
        if (flags != OpFlags.None && source is not (PtxType.F32 or PtxType.F16 or PtxType.F16x2))
        {
            throw Bad("has .ftz on a type without it");
        }

        bool unsignedName = name is "lo" or "ls" or "hi" or "hs";
        if ((!source.IsFloat() && compare >= Compare.Equ) || (unsignedName && (source.IsFloat() || source.IsSigned()))
            || (source is PtxType.B16 or PtxType.B32 or PtxType.B64 && compare is not (Compare.Eq or Compare.Ne)))
        {
            throw Bad($"does not compare .{source.ToString().ToLowerInvariant()} by .{name}");
        }

        OpCode code = source switch
        {
            PtxType.F16 => OpCode.SetpF16,
            PtxType.BF16 => OpCode.SetpBF16,
            PtxType.F16x2 => OpCode.SetpF16x2,
            PtxType.BF16x2 => OpCode.SetpBF16x2,
            PtxType.F32 => OpCode.SetpF32,
            PtxType.F64 => OpCode.SetpF64,
            PtxType.Pred => throw Bad("does not compare predicates"),
            _ => BySign(source, OpCode.SetpS16, OpCode.SetpU16, OpCode.SetpS32, OpCode.SetpU32, OpCode.SetpS64, OpCode.SetpU64),
        };
        MicroOp op = Op(code);
        op.Type = result;
        op.SourceType = source;
        op.Imm = (int)compare;
        op.Imm2 = boolean switch { "and" => 1, "or" => 2, "xor" => 3, _ => 0 };
        OperandCount(boolean is null ? 3 : 4);
        PtxOperand d = Operand(0);
        if (isSetp)
        {
            if (d.Kind == PtxOperandKind.Pair && source is PtxType.F16 or PtxType.BF16)
            {
                throw Bad("has no second predicate for scalar halves");
            }

            if (d.Kind == PtxOperandKind.Pair)
            {
                op.D = d.Register < 0 ? -1 : DestPredicate(new PtxOperand(PtxOperandKind.Register) { Register = d.Register });
                op.D2 = PairPredicate(d);
            }
            else
            {
                op.D = DestPredicate(d);
            }
        }
        else
        {
            if (boolean is not null)
            {
                throw Bad("is provided without a boolean operator only");
            }

            op.Code = source switch
            {
                PtxType.F16x2 => OpCode.SetF16x2,
                PtxType.BF16x2 => OpCode.SetBF16x2,
                _ => OpCode.Set32,
            };
            op.Imm2 = (int)code; // the comparison that Set32 performs
            op.D = Dest(d, result.Bits());
        }

        op.Flags = flags;
        op.A = Source(Operand(1), source);
        op.B = Source(Operand(2), source);
        if (boolean is not null)
        {
            (op.C, bool negated) = SourcePredicate(Operand(3));
            op.Flags |= negated ? OpFlags.NegC : 0;
        }

        Emit(op);
    }

    private void Select()
    {
        Modifiers mods = Mods();
        OpFlags flags = mods.Take("ftz") ? OpFlags.Ftz : OpFlags.None;
        OperandCount(4);
        if (_at.Opcode == "selp")
        {
            PtxType type = mods.Type();
            mods.End();
            MicroOp op = Op(type.Bits() == 64 ? OpCode.Selp64 : OpCode.Selp32);
            op.D = Dest(Operand(0), type.Bits());
            op.A = Source(Operand(1), type);
            op.B = Source(Operand(2), type);
            (op.C, bool negated) = SourcePredicate(Operand(3));
            op.Flags = negated ? OpFlags.NegC : OpFlags.None;
            Emit(op);
            return;
        }

        PtxType selector = mods.Type(), value = mods.Type();
        mods.End();
        if (value.Bits() != 32)
        {
            throw Bad("is provided for 32 bits only");
        }

        MicroOp slct = Op(selector == PtxType.F32 ? OpCode.SlctF32 : OpCode.SlctS32);
        slct.Flags = flags;
        slct.D = Dest(Operand(0), 32);
        slct.A = Source(Operand(1), value);
        slct.B = Source(Operand(2), value);
        slct.C = Source(Operand(3), selector);
        Emit(slct);
    }
}
