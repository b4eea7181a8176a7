using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Ir;

internal sealed partial class Lowering
{
    private static HalfKind Half(PtxType type) => type switch
    {
        PtxType.F16x2 => HalfKind.F16x2,
        PtxType.BF16 => HalfKind.BF16,
        PtxType.BF16x2 => HalfKind.BF16x2,
        _ => HalfKind.F16,
    };

    private OpCode FloatCode(PtxType type, OpCode f32, OpCode f64, OpCode half) => type switch
    {
        PtxType.F32 => f32,
        PtxType.F64 => f64,
        PtxType.F16 or PtxType.F16x2 or PtxType.BF16 or PtxType.BF16x2 => half,
        _ => throw Bad($"does not work on .{type.ToString().ToLowerInvariant()}"),
    };

    private OpFlags FloatFlags(Modifiers mods, PtxType type)
    {
        OpFlags flags = OpFlags.None;
        if (mods.Take("ftz"))
        {
            flags |= OpFlags.Ftz;
        }

        if (mods.Take("sat"))
        {
            flags |= OpFlags.Sat;
        }

        if (mods.Take("relu"))
        {
            flags |= OpFlags.Relu;
        }

        if ((flags.HasFlag(OpFlags.Ftz) && (type == PtxType.F64 || (type is PtxType.BF16 or PtxType.BF16x2 && _at.Opcode != "ex2")))
            || (flags.HasFlag(OpFlags.Relu) && type is PtxType.F32 or PtxType.F64))
        {
            throw Bad("combines a modifier with a type that does not have it");
        }

        return flags;
    }

    private void FloatBinary(Modifiers mods, PtxType type, OpCode f32, OpCode f64, OpCode half, OpFlags extra = OpFlags.None)
    {
        Rounding rounding = Round(mods, type);
        OpFlags flags = FloatFlags(mods, type) | extra;
        mods.End();
        OperandCount(3);
        MicroOp op = Op(FloatCode(type, f32, f64, half));
        op.Type = type;
        op.Flags = flags;
        op.Imm = op.Code == half ? (int)Half(type) : (int)rounding;
        op.D = Dest(Operand(0), type.Bits());
        op.A = Source(Operand(1), type);
        op.B = Source(Operand(2), type);
        Emit(op);
    }

    private Rounding Round(Modifiers mods, PtxType type)
    {
        (Rounding Mode, bool Integral)? rounding = mods.TakeRounding();
        if (rounding is null)
        {
            return Rounding.Nearest;
        }

        bool half = type is not (PtxType.F32 or PtxType.F64);
        if (rounding.Value.Integral || (half && rounding.Value.Mode != Rounding.Nearest) || rounding.Value.Mode == Rounding.NearestAway)
        {
            throw Bad("has a rounding mode this type does not have");
        }

        return rounding.Value.Mode;
    }

    private void NeedsRounding()
    {
        if (!_at.Modifiers.Any(m => m is "rn" or "rz" or "rm" or "rp"))
        {
            throw Bad("needs a rounding mode");
        }
    }

    private void Fma()
    {
        Modifiers mods = Mods();
        PtxType type = mods.Type();
        FloatFma(mods, type);
    }

    private void FloatFma(Modifiers mods, PtxType type)
    {
        NeedsRounding();
        Rounding rounding = Round(mods, type);
        OpFlags flags = FloatFlags(mods, type);
        mods.End();
        OperandCount(4);
        MicroOp op = Op(FloatCode(type, OpCode.FmaF32, OpCode.FmaF64, OpCode.FmaHalf));
        op.Type = type;
        op.Flags = flags;
        op.Imm = op.Code == OpCode.FmaHalf ? (int)Half(type) : (int)rounding;
        op.D = Dest(Operand(0), type.Bits());
        op.A = Source(Operand(1), type);
        op.B = Source(Operand(2), type);
        op.C = Source(Operand(3), type);
        Emit(op);
    }

    private void FloatDiv(Modifiers mods, PtxType type)
    {
        bool approx = mods.Take("approx"), full = mods.Take("full");
        if (!approx && !full)
        {
            NeedsRounding();
        }

        Rounding rounding = approx || full ? Rounding.Nearest : Round(mods, type);
        OpFlags flags = FloatFlags(mods, type);
        mods.End();
        if (type is not (PtxType.F32 or PtxType.F64) || ((approx || full) && type == PtxType.F64))
        {
            throw Bad("is not supported");
        }

        OperandCount(3);
        MicroOp op = Op(type == PtxType.F64 ? OpCode.DivF64 : approx || full ? OpCode.DivApproxF32 : OpCode.DivF32);
        op.Type = type;
        op.Flags = flags;
        op.Imm = (int)rounding;
        op.Imm2 = full ? 1 : 0;
        op.D = Dest(Operand(0), type.Bits());
        op.A = Source(Operand(1), type);
        op.B = Source(Operand(2), type);
        Emit(op);
    }

    private void FloatUnary()
    {
        Modifiers mods = Mods();
        bool approx = mods.Take("approx");
        string? test = _at.Opcode == "testp" ? mods.TakeOneOf("finite", "infinite", "number", "notanumber", "normal", "subnormal") : null;
        PtxType type = mods.Type();
        (Rounding Mode, bool Integral)? rounding = mods.TakeRounding();
        OpFlags flags = FloatFlags(mods, type);
        mods.End();
        bool half = type is PtxType.F16 or PtxType.F16x2 or PtxType.BF16 or PtxType.BF16x2;
        MicroOp op = Op((_at.Opcode, type, approx) switch
        {
            ("rcp", PtxType.F32, true) => OpCode.RcpApproxF32,
            ("rcp", PtxType.F32, false) => OpCode.RcpF32,
            ("rcp", PtxType.F64, false) => OpCode.RcpF64,
            ("sqrt", PtxType.F32, true) => OpCode.SqrtApproxF32,
            ("sqrt", PtxType.F32, false) => OpCode.SqrtF32,
            ("sqrt", PtxType.F64, false) => OpCode.SqrtF64,
            ("rsqrt", PtxType.F32, true) => OpCode.RsqrtApproxF32,
            ("ex2", PtxType.F32, true) => OpCode.Ex2F32,
            ("ex2", _, true) when half => OpCode.Ex2Half,
            ("lg2", PtxType.F32, true) => OpCode.Lg2F32,
            ("sin", PtxType.F32, true) => OpCode.SinF32,
            ("cos", PtxType.F32, true) => OpCode.CosF32,
            ("tanh", PtxType.F32, true) => OpCode.TanhF32,
            ("tanh", _, true) when half => OpCode.TanhHalf,
            ("copysign", PtxType.F32, false) => OpCode.CopysignF32,
            ("testp", PtxType.F32, false) when test is not null => OpCode.TestpF32,
            _ => throw Bad("is not supported"),
        });
        if (rounding is { } r && (approx || r.Integral || r.Mode == Rounding.NearestAway || _at.Opcode is not ("rcp" or "sqrt")))
        {
            throw Bad("has a rounding mode it cannot have");
        }

        if (!approx && rounding is null && _at.Opcode is "rcp" or "sqrt")
        {
            throw Bad("needs .approx or a rounding mode");
        }

        op.Type = type;
        op.Flags = flags;
        op.Imm = half ? (int)Half(type) : (int)(rounding?.Mode ?? Rounding.Nearest);
        if (_at.Opcode == "testp")
        {
            OperandCount(2);
            op.D = DestPredicate(Operand(0));
            op.A = Source(Operand(1), type);
            op.Imm = Array.IndexOf(["finite", "infinite", "number", "notanumber", "normal", "subnormal"], test);
        }
        else if (_at.Opcode == "copysign")
        {
            OperandCount(3);
            op.D = Dest(Operand(0), 32);
            op.A = Source(Operand(1), type);
            op.B = Source(Operand(2), type);
        }
        else
        {
            OperandCount(2);
            op.D = Dest(Operand(0), type.Bits());
            op.A = Source(Operand(1), type);
        }

        Emit(op);
    }

    private void Cvt()
    {
        Modifiers mods = Mods();
        (Rounding Mode, bool Integral)? rounding = mods.TakeRounding();
        OpFlags flags = (mods.Take("ftz") ? OpFlags.Ftz : 0) | (mods.Take("sat") ? OpFlags.Sat : 0) | (mods.Take("relu") ? OpFlags.Relu : 0);
        flags |= mods.Take("satfinite") ? OpFlags.SatFinite : 0;
        PtxType source = mods.Type(), target = mods.Type();
        mods.End();
        if ((flags & (OpFlags.Relu | OpFlags.SatFinite)) != 0
            && (source != PtxType.F32 || target is not (PtxType.F16 or PtxType.BF16 or PtxType.F16x2 or PtxType.BF16x2 or PtxType.TF32)))
        {
            throw Bad("has .relu or .satfinite on types that do not have it");
        }

        if (target is PtxType.F16x2 or PtxType.BF16x2)
        {
            OperandCount(3);
            if (source != PtxType.F32 || rounding is not { Integral: false, Mode: Rounding.Nearest or Rounding.Zero })
            {
                throw Bad("packs two .f32 with .rn or .rz only");
            }

            MicroOp pack = Op(OpCode.CvtPack2);
            pack.Type = target;
            pack.SourceType = source;
            pack.Flags = flags;
            pack.Imm = (int)rounding.Value.Mode;
            pack.D = Dest(Operand(0), 32);
            pack.A = Source(Operand(1), source);
            pack.B = Source(Operand(2), source);
            Emit(pack);
            return;
        }

        OperandCount(2);
        if (source is PtxType.B16 or PtxType.B32 or PtxType.B64 or PtxType.F16x2 or PtxType.BF16x2 or PtxType.Pred
            || target is PtxType.B16 or PtxType.B64 or PtxType.Pred)
        {
            throw Bad("is not supported");
        }

        bool fromFloat = source.IsFloat(), toFloat = target.IsFloat();
        MicroOp op = Op((fromFloat, toFloat) switch
        {
            (false, false) => OpCode.CvtInt,
            (false, true) => OpCode.CvtIntToFloat,
            (true, false) => OpCode.CvtFloatToInt,
            _ => OpCode.CvtFloat,
        });
        if ((op.Code == OpCode.CvtFloatToInt && rounding is not { Integral: true }) || (op.Code == OpCode.CvtIntToFloat && rounding is not { Integral: false }))
        {
            throw Bad(op.Code == OpCode.CvtFloatToInt ? "needs .rni, .rzi, .rmi or .rpi" : "needs .rn, .rz, .rm or .rp");
        }

        bool narrowing = op.Code == OpCode.CvtFloat && target.Bits() < source.Bits();
        if (op.Code == OpCode.CvtFloat && ((narrowing && rounding is null) || (target == PtxType.TF32 && rounding is null)))
        {
            throw Bad("needs a rounding mode");
        }

        // Whole numbers stay in their format; other roundings are for formats that lose digits.
        if (op.Code == OpCode.CvtFloat && rounding is { } mode && (mode.Integral ? target != source : !narrowing && target != PtxType.TF32 && !(target.Bits() == 16 && source.Bits() == 16)))
        {
            throw Bad("has a rounding mode it cannot have");
        }

        op.Type = target;
        op.SourceType = source;
        op.Flags = flags;
        op.Imm = (int)(rounding?.Mode ?? Rounding.Nearest);
        op.Imm2 = rounding?.Integral == true ? 1 : 0;

        // Register operands may be wider than the types of cvt: the value is taken from the low bits, the result extended to the register.
        op.D = LooseDest(Operand(0), target, out bool wideDest);
        op.A = LooseSource(Operand(1), source, out bool wideSource);
        bool narrowDest = op.D >= 0 && RegisterOf(Operand(0).Register).Type.Bits() == 16;
        op.Count = (byte)((wideDest ? 1 : 0) | (wideSource ? 2 : 0) | (narrowDest ? 4 : 0));
        Emit(op);
    }

    /// <summary>A destination that may be wider than the type.</summary>
    private int LooseDest(PtxOperand operand, PtxType type, out bool wide)
    {
        wide = false;
        if (operand.Kind == PtxOperandKind.Sink)
        {
            return -1;
        }

        if (operand.Kind != PtxOperandKind.Register)
        {
            throw Bad("needs a register as its destination");
        }

        PtxRegister r = RegisterOf(operand.Register);
        if (r.Type == PtxType.Pred || r.Type.Bits() < type.Bits())
        {
            throw Bad($"does not fit in '{r.Name}' (.{r.Type.ToString().ToLowerInvariant()})");
        }

        wide = r.Type.Bits() == 64;
        return _place[operand.Register];
    }

    /// <summary>A source that may be wider than the type.</summary>
    private int LooseSource(PtxOperand operand, PtxType type, out bool wide)
    {
        if (operand.Kind == PtxOperandKind.Register)
        {
            PtxRegister r = RegisterOf(operand.Register);
            if (r.Type == PtxType.Pred || r.Type.Bits() < type.Bits())
            {
                throw Bad($"needs {type.Bits()} bits, '{r.Name}' has {r.Type.Bits()}");
            }

            wide = r.Type.Bits() == 64;
            return _place[operand.Register];
        }

        wide = type.Bits() == 64;
        return Source(operand, type.Bits(), type);
    }
}
