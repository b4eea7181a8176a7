using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Ir;

/// <summary>Values of <see cref="MicroOp.Imm"/> for shuffles.</summary>
internal enum ShuffleKind
{
    Up, Down, Butterfly, Index,
}

/// <summary>Values of <see cref="MicroOp.Imm"/> for votes.</summary>
internal enum VoteKind
{
    All, Any, Uniform,
}

/// <summary>Shapes and types of mma.sync; the values of <see cref="MicroOp.Imm"/>.</summary>
internal enum MmaShape
{
    M16N8K16F16F32, M16N8K16BF16F32, M16N8K16F16F16, M16N8K8F16F32, M16N8K8F16F16, M16N8K8BF16F32, M16N8K8TF32F32, M16N8K4TF32F32,
    M16N8K32S8S32, M16N8K32U8S32, M16N8K16S8S32, M16N8K16U8S32,
}

internal sealed partial class Lowering
{
    /// <summary>Fills address row, offset and space of a memory op; the space named by the instruction may be Generic.</summary>
    private void Address(ref MicroOp op, PtxOperand operand, PtxSpace space)
    {
        op.Space = space;
        switch (operand.Kind)
        {
            case PtxOperandKind.RegisterAddress:
                PtxRegister r = RegisterOf(operand.Register);
                bool wide = r.Type.Bits() == 64;
                if (r.Type == PtxType.Pred || r.Type.Bits() < 32 || (!wide && space is PtxSpace.Global or PtxSpace.Generic or PtxSpace.Const))
                {
                    throw Bad($"uses '{r.Name}' (.{r.Type.ToString().ToLowerInvariant()}) as an address");
                }

                op.A = _place[operand.Register];
                op.Flags |= wide ? OpFlags.Address64 : 0;
                op.Offset = operand.Offset;
                break;
            case PtxOperandKind.SymbolAddress:
                PtxVariable v = _symbols.TryGetValue(operand.Name, out PtxVariable? found) ? found : throw Bad($"uses '{operand.Name}', which has no address here");
                bool matches = space == v.Space || space == PtxSpace.Generic || (v.Space == PtxSpace.Param && space == PtxSpace.Local);
                if (!matches)
                {
                    throw Bad($"reaches '{operand.Name}', which is in .{v.Space.ToString().ToLowerInvariant()}");
                }

                if (v.Space is PtxSpace.Global or PtxSpace.Const)
                {
                    op.A = Constant(ConstantKind.GlobalSymbol, 0, v.Name, true);
                    op.Flags |= OpFlags.Address64;
                    op.Offset = operand.Offset;
                    op.Space = v.Space;
                }
                else if (v.Space == PtxSpace.Shared && _dynamicShared.Contains(v.Name))
                {
                    op.A = Constant(ConstantKind.DynamicShared, 0, v.Name, false);
                    op.Offset = operand.Offset;
                    op.Space = PtxSpace.Shared;
                }
                else
                {
                    op.A = -1;
                    op.Offset = _symbolOffsets[v.Name] + operand.Offset;
                    op.Space = v.Space == PtxSpace.Param && !_function.Params.Contains(v) ? PtxSpace.Local : v.Space;
                }

                break;
            case PtxOperandKind.AbsoluteAddress:
                op.A = -1;
                op.Offset = operand.Offset;
                break;
            default:
                throw Bad("needs an address in brackets");
        }
    }

    private static PtxSpace TakeSpace(Modifiers mods)
    {
        string? name = mods.TakeOneOf("global", "shared", "local", "param", "const", "shared::cta", "param::entry", "param::func");
        return name switch
        {
            "global" => PtxSpace.Global,
            "shared" or "shared::cta" => PtxSpace.Shared,
            "local" => PtxSpace.Local,
            "param" or "param::entry" or "param::func" => PtxSpace.Param,
            "const" => PtxSpace.Const,
            _ => PtxSpace.Generic,
        };
    }

    private void LoadStore()
    {
        Modifiers mods = Mods();
        bool store = _at.Opcode == "st";
        PtxSpace space = TakeSpace(mods);
        bool isRelease = mods.Take("release"), isVolatile = isRelease || mods.TakeOneOf("volatile", "relaxed", "acquire") is not null;
        mods.Ignore("nc", "ca", "cg", "cs", "cv", "lu", "wb", "wt", "weak", "cta", "gpu", "sys");
        mods.IgnorePrefix("L1::");
        mods.IgnorePrefix("L2::");
        int count = mods.TakeOneOf("v2", "v4") switch { "v2" => 2, "v4" => 4, _ => 1 };
        PtxType type = mods.Type();
        mods.End();
        OperandCount(2);
        if (type == PtxType.Pred || type.Bytes() * count > 16)
        {
            throw Bad("is too wide");
        }

        MicroOp op = Op(store ? OpCode.Store : OpCode.Load);
        op.Type = type;
        op.Bytes = (byte)type.Bytes();
        op.Count = (byte)count;
        op.Flags = (isVolatile ? OpFlags.Volatile : 0) | (isRelease ? OpFlags.Release : 0) | (type.IsSigned() ? OpFlags.Signed : 0);
        Address(ref op, Operand(store ? 0 : 1), space);
        if (store && op.Space is PtxSpace.Param or PtxSpace.Const)
        {
            throw Bad($"stores to read-only .{op.Space.ToString().ToLowerInvariant()}");
        }

        PtxOperand data = Operand(store ? 1 : 0);
        IReadOnlyList<PtxOperand> elements = data.Kind == PtxOperandKind.Vector ? data.Elements : [data];
        if (elements.Count != count)
        {
            throw Bad($"moves {count} elements, {elements.Count} operands given");
        }

        // Row list: rows, then widths (1 = 64-bit register), for registers may be wider than the access.
        var rows = new List<int>();
        var widths = new List<int>();
        foreach (PtxOperand element in elements)
        {
            bool wide;
            rows.Add(store ? LooseSource(element, type, out wide) : LooseDest(element, type, out wide));
            widths.Add(wide ? 1 : 0);
        }

        if (!store && type.IsSigned() && elements.Any(e => e.Kind == PtxOperandKind.Register && RegisterOf(e.Register).Type.Bits() == 16))
        {
            op.Flags |= elements.All(e => e.Kind == PtxOperandKind.Sink || RegisterOf(e.Register).Type.Bits() == 16)
                ? OpFlags.Narrow : throw Bad("mixes registers of different widths");
        }

        op.D = rows[0];
        op.Imm2 = widths[0];
        op.Extra = RowList([.. rows, .. widths]);
        Emit(op);
    }

    private void Atomic()
    {
        Modifiers mods = Mods();
        bool reduce = _at.Opcode == "red";
        PtxSpace space = TakeSpace(mods);
        bool isRelease = mods.TakeOneOf("release", "acq_rel") is not null && !_at.Modifiers.Contains("cta");
        mods.Ignore("relaxed", "acquire", "cta", "gpu", "sys");
        mods.IgnorePrefix("L2::");
        bool noftz = mods.Take("noftz");
        string? name = mods.TakeOneOf("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec");
        PtxType type = mods.Type();
        mods.End();
        if (name is null)
        {
            throw Bad("has no operation");
        }

        var kind = Enum.Parse<AtomicOp>(name, ignoreCase: true);
        bool ok = kind switch
        {
            AtomicOp.Add => type is PtxType.U32 or PtxType.S32 or PtxType.U64 or PtxType.S64 or PtxType.F32 or PtxType.F64 or PtxType.F16x2 or PtxType.F16 or PtxType.BF16 or PtxType.BF16x2,
            AtomicOp.Min or AtomicOp.Max => type is PtxType.U32 or PtxType.S32 or PtxType.U64 or PtxType.S64,
            AtomicOp.Inc or AtomicOp.Dec => type is PtxType.U32,
            AtomicOp.Cas => type is PtxType.B16 or PtxType.B32 or PtxType.B64 or PtxType.U32 or PtxType.U64 or PtxType.S32,
            _ => type is PtxType.B32 or PtxType.B64 or PtxType.U32 or PtxType.U64 or PtxType.S32,
        };
        if (!ok || noftz != type is PtxType.F16 or PtxType.F16x2 or PtxType.BF16 or PtxType.BF16x2 || (reduce && kind is AtomicOp.Cas or AtomicOp.Exch))
        {
            throw Bad("is not supported");
        }

        OperandCount(kind == AtomicOp.Cas ? 4 : reduce ? 2 : 3);
        MicroOp op = Op(reduce ? OpCode.Reduce : OpCode.Atomic);
        op.Type = type;
        op.Bytes = (byte)type.Bytes();
        op.Count = 1;
        op.Imm = (int)kind;
        op.Flags = isRelease ? OpFlags.Release : OpFlags.None;
        int next = 0;
        if (!reduce)
        {
            op.D = Dest(Operand(next++), type.Bits());
        }

        Address(ref op, Operand(next++), space);
        op.B = Source(Operand(next++), type);
        if (kind == AtomicOp.Cas)
        {
            op.C = Source(Operand(next), type);
        }

        Emit(op);
    }

    private void CopyAsync()
    {
        Modifiers mods = Mods();
        if (!mods.Take("async"))
        {
            throw Bad("is not supported");
        }

        if (mods.Take("commit_group"))
        {
            mods.End();
            OperandCount(0);
            Emit(Op(OpCode.CopyAsyncCommit));
            return;
        }

        if (mods.Take("wait_group"))
        {
            mods.End();
            OperandCount(1);
            if (Operand(0).Kind != PtxOperandKind.IntegerLiteral || Operand(0).Bits > 64)
            {
                throw Bad("takes a small number");
            }

            MicroOp wait = Op(OpCode.CopyAsyncWait);
            wait.Imm = (int)Operand(0).Bits;
            Emit(wait);
            return;
        }

        if (mods.Take("wait_all"))
        {
            mods.End();
            OperandCount(0);
            Emit(Op(OpCode.CopyAsyncWaitAll));
            return;
        }

        string? cache = mods.TakeOneOf("ca", "cg");
        bool toShared = mods.Take("shared") || mods.Take("shared::cta"), fromGlobal = mods.Take("global");
        mods.IgnorePrefix("L2::");
        mods.End();
        OperandCount(3, 4);
        if (cache is null || !toShared || !fromGlobal || Operand(2).Kind != PtxOperandKind.IntegerLiteral || Operand(2).Bits is not (4 or 8 or 16)
            || (cache == "cg" && Operand(2).Bits != 16))
        {
            throw Bad("needs .ca or .cg, .shared.global and 4, 8 or 16 bytes (.cg: 16)");
        }

        MicroOp op = Op(OpCode.CopyAsync);
        op.Bytes = (byte)Operand(2).Bits;
        op.Count = 1;
        Address(ref op, Operand(0), PtxSpace.Shared);
        MicroOp source = Op(OpCode.Nop);
        Address(ref source, Operand(1), PtxSpace.Global);
        op.B = source.A;
        op.Offset2 = source.Offset;
        if (_at.Operands.Count == 4)
        {
            op.C = Source(Operand(3), PtxType.U32);
        }

        Emit(op);
    }

    private void Matrix()
    {
        Modifiers mods = Mods();
        if (!mods.Take("sync") | !mods.Take("aligned"))
        {
            throw Bad("needs .sync.aligned");
        }

        bool shape = mods.Take("m8n8"), transposed = mods.Take("trans"), bits = mods.Take("b16");
        if (!shape || !bits)
        {
            throw Bad("is provided for .m8n8 and .b16");
        }

        if (_at.Opcode == "movmatrix")
        {
            mods.End();
            OperandCount(2);
            MicroOp move = Op(OpCode.MoveMatrix);
            move.Flags = OpFlags.Aligned | (transposed ? OpFlags.Transposed : throw Bad("needs .trans"));
            move.D = Dest(Operand(0), 32);
            move.A = Source(Operand(1), PtxType.B32);
            Emit(move);
            return;
        }

        int count = mods.TakeOneOf("x1", "x2", "x4") switch { "x1" => 1, "x2" => 2, "x4" => 4, _ => throw Bad("needs .x1, .x2 or .x4") };
        PtxSpace space = TakeSpace(mods);
        mods.End();
        OperandCount(2);
        bool store = _at.Opcode == "stmatrix";
        MicroOp op = Op(store ? OpCode.StoreMatrix : OpCode.LoadMatrix);
        op.Count = (byte)count;
        op.Bytes = 16;
        op.Flags = OpFlags.Aligned | (transposed ? OpFlags.Transposed : 0);
        Address(ref op, Operand(store ? 0 : 1), space == PtxSpace.Generic ? PtxSpace.Generic : PtxSpace.Shared);
        PtxOperand data = Operand(store ? 1 : 0);
        IReadOnlyList<PtxOperand> elements = data.Kind == PtxOperandKind.Vector ? data.Elements : [data];
        if (elements.Count != count)
        {
            throw Bad($"moves {count} matrices, {elements.Count} registers given");
        }

        op.Extra = RowList(elements.Select(e => store ? Source(e, PtxType.B32) : Dest(e, 32)));
        Emit(op);
    }

    private void Mma()
    {
        Modifiers mods = Mods();
        string spelling = string.Join('.', _at.Modifiers);
        MmaShape shape = spelling switch
        {
            "sync.aligned.m16n8k16.row.col.f32.f16.f16.f32" => MmaShape.M16N8K16F16F32,
            "sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32" => MmaShape.M16N8K16BF16F32,
            "sync.aligned.m16n8k16.row.col.f16.f16.f16.f16" => MmaShape.M16N8K16F16F16,
            "sync.aligned.m16n8k8.row.col.f32.f16.f16.f32" => MmaShape.M16N8K8F16F32,
            "sync.aligned.m16n8k8.row.col.f16.f16.f16.f16" => MmaShape.M16N8K8F16F16,
            "sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32" => MmaShape.M16N8K8BF16F32,
            "sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32" => MmaShape.M16N8K8TF32F32,
            "sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32" => MmaShape.M16N8K4TF32F32,
            "sync.aligned.m16n8k32.row.col.s32.s8.s8.s32" => MmaShape.M16N8K32S8S32,
            "sync.aligned.m16n8k32.row.col.s32.u8.u8.s32" => MmaShape.M16N8K32U8S32,
            "sync.aligned.m16n8k16.row.col.s32.s8.s8.s32" => MmaShape.M16N8K16S8S32,
            "sync.aligned.m16n8k16.row.col.s32.u8.u8.s32" => MmaShape.M16N8K16U8S32,
            _ => throw mods.Unknown("is not a matrix shape the virtual device knows"),
        };
        (int a, int b, int c) = MmaRegisters(shape);
        OperandCount(4);
        var rows = new List<int>();
        void Take(int operand, int count, bool dest)
        {
            PtxOperand v = Operand(operand);
            IReadOnlyList<PtxOperand> elements = v.Kind == PtxOperandKind.Vector ? v.Elements : [v];
            if (elements.Count != count)
            {
                throw Bad($"takes {count} registers as operand {operand}, {elements.Count} given");
            }

            rows.AddRange(elements.Select(e => dest ? Dest(e, 32) : Source(e, 32, PtxType.F32)));
        }

        Take(0, c, true);
        Take(1, a, false);
        Take(2, b, false);
        Take(3, c, false);
        MicroOp op = Op(OpCode.Mma);
        op.Imm = (int)shape;
        op.Flags = OpFlags.Aligned;
        op.Extra = RowList(rows);
        Emit(op);
    }

    /// <summary>Registers of the A, B and C fragments of one lane.</summary>
    internal static (int A, int B, int C) MmaRegisters(MmaShape shape) => shape switch
    {
        MmaShape.M16N8K16F16F32 or MmaShape.M16N8K16BF16F32 or MmaShape.M16N8K8TF32F32 or MmaShape.M16N8K32S8S32 or MmaShape.M16N8K32U8S32 => (4, 2, 4),
        MmaShape.M16N8K16F16F16 => (4, 2, 2),
        MmaShape.M16N8K8F16F16 => (2, 1, 2),
        _ => (2, 1, 4),
    };

    private void WarpOp()
    {
        Modifiers mods = Mods();
        if (_at.Opcode == "activemask")
        {
            mods.Take("b32");
            mods.End();
            OperandCount(1);
            MicroOp active = Op(OpCode.ActiveMask);
            active.D = Dest(Operand(0), 32);
            Emit(active);
            return;
        }

        if (!mods.Take("sync"))
        {
            throw Bad("is provided in its .sync form only");
        }

        MicroOp op;
        switch (_at.Opcode)
        {
            case "shfl":
                string mode = mods.TakeOneOf("up", "down", "bfly", "idx") ?? throw Bad("needs .up, .down, .bfly or .idx");
                mods.Take("b32");
                mods.End();
                OperandCount(5);
                op = Op(OpCode.Shuffle);
                op.Imm = (int)(mode switch { "up" => ShuffleKind.Up, "down" => ShuffleKind.Down, "bfly" => ShuffleKind.Butterfly, _ => ShuffleKind.Index });
                op.D = Dest(Operand(0), 32);
                op.D2 = PairPredicate(Operand(0));
                op.A = Source(Operand(1), PtxType.B32);
                op.B = Source(Operand(2), PtxType.B32);
                op.C = Source(Operand(3), PtxType.B32);
                op.E = Source(Operand(4), PtxType.B32);
                break;
            case "vote":
                string vote = mods.TakeOneOf("all", "any", "uni", "ballot") ?? throw Bad("needs .all, .any, .uni or .ballot");
                mods.Ignore("pred", "b32");
                mods.End();
                OperandCount(3);
                op = Op(vote == "ballot" ? OpCode.Ballot : OpCode.Vote);
                op.D = vote == "ballot" ? Dest(Operand(0), 32) : DestPredicate(Operand(0));
                op.Imm = (int)(vote switch { "all" => VoteKind.All, "any" => VoteKind.Any, _ => VoteKind.Uniform });
                (op.A, bool negated) = SourcePredicate(Operand(1));
                op.Flags = negated ? OpFlags.NegA : OpFlags.None;
                op.E = Source(Operand(2), PtxType.B32);
                break;
            case "match":
                string match = mods.TakeOneOf("any", "all") ?? throw Bad("needs .any or .all");
                PtxType matchType = mods.Type();
                mods.End();
                OperandCount(3);
                op = Op(match == "any" ? OpCode.MatchAny : OpCode.MatchAll);
                op.Type = matchType;
                op.D = Dest(Operand(0), 32);
                op.D2 = PairPredicate(Operand(0));
                op.A = Source(Operand(1), matchType);
                op.E = Source(Operand(2), PtxType.B32);
                break;
            case "redux":
                string reduce = mods.TakeOneOf("add", "min", "max", "and", "or", "xor") ?? throw Bad("has no operation");
                PtxType type = mods.Type();
                mods.End();
                OperandCount(3);
                if (type is not (PtxType.S32 or PtxType.U32 or PtxType.B32))
                {
                    throw Bad("is not supported");
                }

                op = Op(OpCode.ReduceSync);
                op.Type = type;
                op.Imm = (int)Enum.Parse<AtomicOp>(reduce, ignoreCase: true);
                op.D = Dest(Operand(0), 32);
                op.A = Source(Operand(1), type);
                op.E = Source(Operand(2), PtxType.B32);
                break;
            default:
                mods.End();
                OperandCount(2);
                op = Op(OpCode.Elect);
                op.D = Dest(Operand(0), 32);
                op.D2 = PairPredicate(Operand(0));
                op.E = Source(Operand(1), PtxType.B32);
                break;
        }

        Emit(op);
    }

    private void Synchronise()
    {
        Modifiers mods = Mods();
        if (_at.Opcode is "membar" or "fence")
        {
            bool block = mods.Take("cta");
            mods.Ignore("gl", "sys", "gpu", "sc", "acq_rel");
            mods.End();
            OperandCount(0);
            MicroOp fence = Op(OpCode.Fence);
            fence.Imm = block ? 1 : 0; // other blocks do not see this one
            Emit(fence);
            return;
        }

        if (_at.Opcode == "griddepcontrol")
        {
            throw Bad("is not supported");
        }

        if (mods.Take("warp"))
        {
            if (!mods.Take("sync"))
            {
                throw Bad("is provided in its .sync form only");
            }

            mods.End();
            OperandCount(1);
            MicroOp warp = Op(OpCode.WarpSync);
            warp.E = Source(Operand(0), PtxType.B32);
            Emit(warp);
            return;
        }

        mods.Take("cta");
        bool aligned = mods.Take("aligned") || _at.Opcode == "bar";
        if (mods.Take("red"))
        {
            string operation = mods.TakeOneOf("popc", "and", "or") ?? throw Bad("has no operation");
            mods.Ignore("u32", "pred");
            mods.End();
            OperandCount(3, 4);
            MicroOp reduce = Op(OpCode.BarReduce);
            reduce.Imm = operation switch { "popc" => 0, "and" => 1, _ => 2 };
            reduce.D = operation == "popc" ? Dest(Operand(0), 32) : DestPredicate(Operand(0));
            reduce.A = Source(Operand(1), PtxType.U32);
            reduce.B = _at.Operands.Count == 4 ? Source(Operand(2), PtxType.U32) : -1;
            (reduce.C, bool negated) = SourcePredicate(Operand(_at.Operands.Count - 1));
            reduce.Flags = (negated ? OpFlags.NegC : 0) | (aligned ? OpFlags.Aligned : 0);
            Emit(reduce);
            return;
        }

        bool arrive = mods.Take("arrive");
        if (!arrive && !mods.Take("sync"))
        {
            throw Bad("needs .sync, .arrive or .red");
        }

        mods.End();
        OperandCount(arrive ? 2 : 1, 2);
        MicroOp op = Op(arrive ? OpCode.BarArrive : OpCode.BarSync);
        op.Flags = aligned ? OpFlags.Aligned : OpFlags.None;
        op.A = Source(Operand(0), PtxType.U32);
        op.B = _at.Operands.Count == 2 ? Source(Operand(1), PtxType.U32) : -1;
        Emit(op);
    }

    private void Control()
    {
        Modifiers mods = Mods();
        switch (_at.Opcode)
        {
            case "ret" or "exit":
                mods.Take("uni");
                mods.End();
                OperandCount(0);
                Emit(Op(OpCode.Exit));
                break;
            case "trap" or "brkpt":
                mods.End();
                OperandCount(0);
                Emit(Op(OpCode.Trap));
                break;
            case "nanosleep":
                mods.Take("u32");
                mods.End();
                OperandCount(1);
                Emit(Op(OpCode.Nop));
                break;
            case "bra":
                mods.Take("uni");
                mods.End();
                OperandCount(1);
                if (Operand(0).Kind != PtxOperandKind.Label)
                {
                    throw Bad("needs a label");
                }

                _branchLabels[_code.Count] = Operand(0).Name;
                Emit(Op(OpCode.Branch));
                break;
            case "brx":
                mods.Take("uni");
                if (!mods.Take("idx"))
                {
                    throw Bad("needs .idx");
                }

                mods.End();
                OperandCount(2);
                if (Operand(1).Kind != PtxOperandKind.Label || !_function.BranchTargets.ContainsKey(Operand(1).Name))
                {
                    throw Bad("needs the label of a .branchtargets list");
                }

                _branchLabels[_code.Count] = Operand(1).Name;
                MicroOp indexed = Op(OpCode.BranchIndexed);
                indexed.A = Source(Operand(0), PtxType.U32);
                Emit(indexed);
                break;
            default:
                Call(mods);
                break;
        }
    }

    /// <summary>Only vprintf is left after inlining: (result), vprintf, (format, arguments), all parameters in local memory.</summary>
    private void Call(Modifiers mods)
    {
        mods.Take("uni");
        mods.End();
        PtxOperand? function = _at.Operands.FirstOrDefault(o => o.Kind == PtxOperandKind.Function);
        List<PtxOperand> lists = [.. _at.Operands.Where(o => o.Kind == PtxOperandKind.List)];
        if (function?.Name != "vprintf" || lists.Count != 2 || lists[0].Elements.Count != 1 || lists[1].Elements.Count != 2)
        {
            throw Bad($"of '{function?.Name ?? "an unknown target"}' is not supported");
        }

        MicroOp op = Op(OpCode.Printf);
        // Local offsets of the result, the format pointer and the argument pointer.
        op.Extra = RowList(lists[0].Elements.Select(e => Place(e, 4)).Concat(lists[1].Elements.Select(e => Place(e, 8))));
        Emit(op);

        int Place(PtxOperand operand, int bytes) =>
            operand.Kind == PtxOperandKind.Symbol && _symbols.TryGetValue(operand.Name, out PtxVariable? v) && v.Space == PtxSpace.Param && !_function.Params.Contains(v) && v.Bytes >= bytes
                ? checked((int)_symbolOffsets[operand.Name]) : throw Bad($"needs a .param variable of {bytes} bytes");
    }

    private void Cvta()
    {
        Modifiers mods = Mods();
        bool to = mods.Take("to");
        PtxSpace space = TakeSpace(mods);
        PtxType type = mods.Type();
        mods.End();
        OperandCount(2);
        if (type.Bits() != 64 || space == PtxSpace.Generic)
        {
            throw Bad("needs a space and 64 bits");
        }

        // Global and constant addresses are generic already; the windows of the others lie far apart.
        long window = space switch
        {
            PtxSpace.Shared => AddressWindows.Shared,
            PtxSpace.Local => AddressWindows.Local,
            PtxSpace.Param => AddressWindows.Param,
            _ => 0,
        };
        MicroOp op = Op(window == 0 ? OpCode.Mov64 : OpCode.Add64);
        op.Type = PtxType.U64;
        op.D = Dest(Operand(0), 64);
        op.A = Source(Operand(1), PtxType.U64);
        if (window != 0)
        {
            op.B = Constant(ConstantKind.Literal, unchecked((ulong)(to ? -window : window)), "", true);
        }

        Emit(op);
    }

    private void AddressOp()
    {
        Modifiers mods = Mods();
        if (_at.Opcode != "isspacep")
        {
            mods.Ignore("global", "L1", "L2", "evict_last", "evict_normal");
            mods.IgnorePrefix("L2::");
            mods.End();
            Emit(Op(OpCode.Prefetch));
            return;
        }

        PtxSpace space = TakeSpace(mods);
        mods.End();
        OperandCount(2);
        MicroOp op = Op(OpCode.IsSpace);
        op.Space = space;
        op.D = DestPredicate(Operand(0));
        op.A = Source(Operand(1), PtxType.U64);
        Emit(op);
    }
}
