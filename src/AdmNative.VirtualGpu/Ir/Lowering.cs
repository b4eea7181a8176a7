using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Ir;

/// <summary>
/// Turns a parsed entry into micro-ops: every spelling is resolved to one <see cref="OpCode"/>, every operand to a row, every label to a block. A spelling
/// that is not known is an error that names it and its line; nothing is guessed and nothing skipped.
/// </summary>
internal sealed partial class Lowering
{
    private const int MaxParameterBytes = 32764, MaxSharedBytes = 1 << 20, MaxLocalBytes = 1 << 20;

    private readonly PtxModule _module;
    private readonly PtxFunction _function;
    private readonly List<MicroOp> _code = [];
    private readonly List<int[]> _rowLists = [];
    private readonly List<ConstantRow> _constants = [];
    private readonly Dictionary<(ConstantKind, ulong, string, bool), int> _constantRows = [];
    private readonly Dictionary<string, long> _symbolOffsets = [];
    private readonly Dictionary<string, PtxVariable> _symbols = [];
    private readonly HashSet<string> _dynamicShared = [];
    private readonly int[] _place;
    private readonly List<string> _rowNames = [];
    private readonly Dictionary<int, string> _branchLabels = [];
    private int _rows;
    private int _predicates;
    private int _parameterBytes;
    private int _staticShared;
    private int _dynamicAlign = 16;
    private int _localBytes;
    private PtxInstruction _at = null!;

    private Lowering(PtxModule module, PtxFunction function)
    {
        _module = module;
        _function = function;
        _place = new int[function.Registers.Count];
    }

    /// <summary>Lowers one entry.</summary>
    /// <exception cref="PtxException">An unknown spelling, an operand of the wrong kind or width; carries the line.</exception>
    public static Kernel Lower(PtxModule module, PtxFunction entry)
    {
        PtxFunction inlined = Inliner.Inline(module, entry);
        return new Lowering(module, inlined).Run(entry);
    }

    /// <summary>Lowers a function to see whether it can be: every instruction that cannot is an error in the list.</summary>
    /// <returns>A kernel, with no code if there are errors; null when not even its variables could be placed.</returns>
    public static Kernel? TryLower(PtxModule module, PtxFunction function, List<PtxException> errors)
    {
        try
        {
            PtxFunction inlined = Inliner.Inline(module, function);
            return new Lowering(module, inlined).Run(function, errors);
        }
        catch (PtxException e)
        {
            errors.Add(e);
            return null;
        }
    }

    private Kernel Run(PtxFunction entry, List<PtxException>? errors = null)
    {
        PlaceRegisters();
        KernelParameter[] parameters = PlaceVariables();
        int registerRows = _rows;

        // Straight lowering first, remembering where each PTX instruction begins, then cutting into blocks.
        var starts = new int[_function.Body.Count + 1];
        for (int i = 0; i < _function.Body.Count; i++)
        {
            starts[i] = _code.Count;
            _at = _function.Body[i];
            try
            {
                Instruction();
            }
            catch (PtxException e) when (errors is not null)
            {
                errors.Add(e);
            }
        }

        starts[^1] = _code.Count;
        MicroOp end = Op(OpCode.Exit); // falling off the end is ret, whatever guards the last instruction
        end.Line = _function.Body.Count > 0 ? _at.Line : entry.Line;
        _code.Add(end);
        (MicroOp[] code, Block[] blocks) = errors is { Count: > 0 } ? ([], []) : Cut(starts);

        // Constants were given rows from registerRows up as they were met.
        return new Kernel
        {
            Name = entry.Name,
            Module = _module,
            Function = entry,
            Code = code,
            Blocks = blocks,
            Rows = _rows,
            RegisterRows = registerRows,
            Registers = _function.Registers,
            Predicates = _predicates,
            Constants = [.. _constants],
            RowLists = [.. _rowLists],
            Parameters = parameters,
            ParameterBytes = _parameterBytes,
            StaticSharedBytes = _staticShared,
            DynamicSharedAlign = _dynamicAlign,
            UsesDynamicShared = _dynamicShared.Count > 0,
            LocalBytes = _localBytes,
            SymbolOffsets = _symbolOffsets,
            RowNames = [.. _rowNames],
        };
    }

    private void PlaceRegisters()
    {
        foreach (PtxRegister r in _function.Registers)
        {
            if (r.Type == PtxType.Pred)
            {
                _place[r.Index] = _predicates++;
            }
            else
            {
                _place[r.Index] = NewRow(r.Type.Bits() == 64, r.Name);
            }
        }
    }

    private int NewRow(bool wide, string name)
    {
        int row = _rows;
        _rows += wide ? 2 : 1;
        _rowNames.Add(name);
        if (wide)
        {
            _rowNames.Add(name);
        }

        return row;
    }

    private KernelParameter[] PlaceVariables()
    {
        var parameters = new List<KernelParameter>();
        foreach (PtxVariable p in _function.Params)
        {
            Room(p, _parameterBytes, MaxParameterBytes, "parameters");
            int offset = Align(_parameterBytes, p.Align);
            parameters.Add(new KernelParameter(p.Name, offset, checked((int)p.Bytes), p.Align));
            _parameterBytes = checked(offset + (int)p.Bytes);
            Symbol(p, offset);
        }

        // A module's shared variables cost only the entries that name them.
        HashSet<string> named = [.. _function.Body.SelectMany(i => i.Operands).SelectMany(o => (IEnumerable<PtxOperand>)[o, .. o.Elements]).Select(o => o.Name)];
        foreach (PtxVariable v in _module.Globals.Where(g => g.Space == PtxSpace.Shared && named.Contains(g.Name)).Concat(_function.Variables))
        {
            switch (v.Space)
            {
                case PtxSpace.Shared when v.IsExtern && v.Elements == 0:
                    _dynamicShared.Add(v.Name);
                    _dynamicAlign = Math.Max(_dynamicAlign, v.Align);
                    Symbol(v, 0);
                    break;
                case PtxSpace.Shared:
                    Room(v, _staticShared, MaxSharedBytes, "shared memory");
                    _staticShared = Align(_staticShared, v.Align);
                    Symbol(v, _staticShared);
                    _staticShared = checked(_staticShared + (int)v.Bytes);
                    break;
                case PtxSpace.Local or PtxSpace.Param:
                    // Arguments of calls that were inlined live in local memory.
                    Room(v, _localBytes, MaxLocalBytes, "local memory");
                    _localBytes = Align(_localBytes, v.Align);
                    Symbol(v, _localBytes);
                    _localBytes = checked(_localBytes + (int)v.Bytes);
                    break;
                default:
                    throw new PtxException(v.Line, $"a .{v.Space.ToString().ToLowerInvariant()} variable inside a function is not supported");
            }
        }

        foreach (PtxVariable v in _module.Globals.Where(g => g.Space is PtxSpace.Global or PtxSpace.Const))
        {
            _symbols.TryAdd(v.Name, v);
        }

        return [.. parameters];
    }

    /// <summary>Refuses what no device has, before the sums overflow.</summary>
    private static void Room(PtxVariable v, int used, int most, string what)
    {
        if (v.Bytes > most || used > most - (int)v.Bytes)
        {
            throw new PtxException(v.Line, $"'{v.Name}' takes the {what} beyond {most} bytes");
        }
    }

    private void Symbol(PtxVariable v, long offset)
    {
        _symbols[v.Name] = v;
        _symbolOffsets[v.Name] = offset;
    }

    private static int Align(int value, int align) => checked(value + align - 1) / align * align;

    /// <summary>Cuts the code into blocks at labels and after control transfers, orders them, and resolves branch targets.</summary>
    private (MicroOp[] Code, Block[] Blocks) Cut(int[] starts)
    {
        int n = _code.Count;
        var leader = new bool[n + 1];
        leader[0] = true;
        leader[n] = true;
        foreach (int instruction in _function.Labels.Values)
        {
            leader[starts[instruction]] = true;
        }

        for (int i = 0; i < n; i++)
        {
            if (EndsBlock(_code[i].Code))
            {
                leader[i + 1] = true;
            }
        }

        var blockStarts = new List<int>();
        var blockOf = new int[n + 1];
        for (int i = 0; i < n; i++)
        {
            if (leader[i])
            {
                blockStarts.Add(i);
            }

            blockOf[i] = blockStarts.Count - 1;
        }

        int Target(string label, int line) =>
            _function.Labels.TryGetValue(label, out int instruction) ? blockOf[starts[instruction]] : throw new PtxException(line, $"unknown label '{label}'");

        var successors = new List<int[]>();
        var tables = new Dictionary<int, int[]>();
        for (int b = 0; b < blockStarts.Count; b++)
        {
            int end = b + 1 < blockStarts.Count ? blockStarts[b + 1] : n;
            MicroOp last = _code[end - 1];
            var next = new List<int>();
            if (last.Code == OpCode.Branch)
            {
                next.Add(Target(_branchLabels[end - 1], last.Line));
            }
            else if (last.Code == OpCode.BranchIndexed)
            {
                string list = _branchLabels[end - 1];
                int[] targets = [.. _function.BranchTargets[list].Select(l => Target(l, last.Line))];
                tables[end - 1] = targets;
                next.AddRange(targets);
            }

            bool leaves = last.Code is OpCode.Branch or OpCode.BranchIndexed or OpCode.Exit && last.Guard < 0;
            if (!leaves && b + 1 < blockStarts.Count)
            {
                next.Add(b + 1);
            }

            successors.Add([.. next.Distinct()]);
        }

        int[] order = ControlFlow.Order(successors);
        var priority = new int[blockStarts.Count];
        Array.Fill(priority, -1);
        for (int i = 0; i < order.Length; i++)
        {
            priority[order[i]] = i;
        }

        var code = new List<MicroOp>(n);
        var blocks = new Block[order.Length];
        for (int i = 0; i < order.Length; i++)
        {
            int b = order[i];
            int end = b + 1 < blockStarts.Count ? blockStarts[b + 1] : n;
            int start = code.Count;
            for (int k = blockStarts[b]; k < end; k++)
            {
                MicroOp op = _code[k];
                if (op.Code == OpCode.Branch)
                {
                    op.Imm = priority[Target(_branchLabels[k], op.Line)];
                }
                else if (op.Code == OpCode.BranchIndexed)
                {
                    op.Extra = _rowLists.Count;
                    _rowLists.Add([.. tables[k].Select(t => priority[t])]);
                }
                else if (op.Code is OpCode.Clock32 or OpCode.Clock64)
                {
                    op.Imm = k - blockStarts[b]; // the warp's count is brought up to date at the ends of blocks
                }

                code.Add(op);
            }

            MicroOp last = _code[end - 1];
            bool leaves = last.Code is OpCode.Branch or OpCode.BranchIndexed or OpCode.Exit && last.Guard < 0;
            blocks[i] = new Block(start, end - blockStarts[b], leaves || b + 1 >= blockStarts.Count ? -1 : priority[b + 1]);
        }

        return ([.. code], blocks);
    }

    private static bool EndsBlock(OpCode code) =>
        code is OpCode.Branch or OpCode.BranchIndexed or OpCode.Exit or OpCode.Trap or OpCode.BarSync or OpCode.BarArrive or OpCode.BarReduce;

    private void Emit(MicroOp op)
    {
        op.Line = _at.Line;
        op.SourceFile = _at.SourceFile;
        op.SourceLine = _at.SourceLine;
        op.Guard = _at.Guard < 0 ? -1 : _place[_at.Guard];
        op.GuardNegated = _at.GuardNegated;
        _code.Add(op);
    }

    private static MicroOp Op(OpCode code) => new()
    {
        Code = code,
        Guard = -1,
        D = -1,
        D2 = -1,
        A = -1,
        B = -1,
        C = -1,
        E = -1,
        Extra = -1,
    };

    // ---- operands

    private PtxOperand Operand(int i) => i < _at.Operands.Count ? _at.Operands[i] : throw Bad($"needs at least {i + 1} operands");

    private void OperandCount(int min, int max = -1)
    {
        int n = _at.Operands.Count;
        if (n < min || n > (max < 0 ? min : max))
        {
            throw Bad($"takes {(max < 0 || max == min ? $"{min}" : $"{min} to {max}")} operands, has {n}");
        }
    }

    private PtxException Bad(string what) => new(_at.Line, $"{_at.Spelling} {what}");

    private PtxRegister RegisterOf(int index) => _function.Registers[index];

    /// <summary>A destination of the given width in bits (16 and 8 share a 32-bit row); -1 for the sink.</summary>
    private int Dest(PtxOperand operand, int bits)
    {
        if (operand.Kind == PtxOperandKind.Sink)
        {
            return -1;
        }

        int register = operand.Kind is PtxOperandKind.Register or PtxOperandKind.Pair ? operand.Register : throw Bad("needs a register as its destination");
        if (register < 0)
        {
            return -1;
        }

        CheckWidth(register, bits);
        return _place[register];
    }

    private void CheckWidth(int register, int bits)
    {
        PtxRegister r = RegisterOf(register);
        int have = r.Type.Bits();
        if (r.Type == PtxType.Pred || (have == 64) != (bits == 64) || have < Math.Min(bits, 16))
        {
            throw Bad($"needs a {bits}-bit register, '{r.Name}' is .{r.Type.ToString().ToLowerInvariant()}");
        }

        if (bits is 16 or 32 && have != bits)
        {
            throw Bad($"needs a {bits}-bit register, '{r.Name}' has {have}");
        }
    }

    private int DestPredicate(PtxOperand operand)
    {
        if (operand.Kind == PtxOperandKind.Sink)
        {
            return -1;
        }

        return operand.Kind == PtxOperandKind.Register && RegisterOf(operand.Register).Type == PtxType.Pred
            ? _place[operand.Register] : throw Bad("needs a predicate register as its destination");
    }

    /// <summary>The predicate of d|p, or -1.</summary>
    private int PairPredicate(PtxOperand operand)
    {
        if (operand.Kind != PtxOperandKind.Pair || operand.Second < 0)
        {
            return -1;
        }

        return RegisterOf(operand.Second).Type == PtxType.Pred ? _place[operand.Second] : throw Bad("needs a predicate after the bar");
    }

    private (int Index, bool Negated) SourcePredicate(PtxOperand operand)
    {
        bool negated = operand.Kind == PtxOperandKind.NegatedRegister;
        if ((operand.Kind == PtxOperandKind.Register || negated) && RegisterOf(operand.Register).Type == PtxType.Pred)
        {
            return (_place[operand.Register], negated);
        }

        throw Bad("needs a predicate register");
    }

    /// <summary>The row of a source of the given width and type; literals and symbols get constant rows.</summary>
    private int Source(PtxOperand operand, PtxType type) => Source(operand, type.Bits(), type);

    private int Source(PtxOperand operand, int bits, PtxType type)
    {
        bool wide = bits == 64;
        switch (operand.Kind)
        {
            case PtxOperandKind.Register:
                CheckWidth(operand.Register, bits);
                return _place[operand.Register];
            case PtxOperandKind.IntegerLiteral:
                ulong value = bits >= 64 ? operand.Bits : operand.Bits & ((1UL << bits) - 1);
                return Constant(ConstantKind.Literal, value, "", wide);
            case PtxOperandKind.SingleLiteral when type is PtxType.F32 or PtxType.B32 or PtxType.TF32 or PtxType.U32 or PtxType.S32:
                return Constant(ConstantKind.Literal, operand.Bits, "", false);
            case PtxOperandKind.SingleLiteral when type is PtxType.F64:
                return Constant(ConstantKind.Literal, BitConverter.DoubleToUInt64Bits(BitConverter.UInt32BitsToSingle((uint)operand.Bits)), "", true);
            case PtxOperandKind.DoubleLiteral when type is PtxType.F64 or PtxType.B64:
                return Constant(ConstantKind.Literal, operand.Bits, "", true);
            case PtxOperandKind.DoubleLiteral when type is PtxType.F32:
                return Constant(ConstantKind.Literal, BitConverter.SingleToUInt32Bits((float)BitConverter.UInt64BitsToDouble(operand.Bits)), "", false);
            case PtxOperandKind.Special:
                if (_at.Opcode != "mov" || operand.Name is "%clock" or "%clock64" or "%globaltimer")
                {
                    throw Bad($"reads {operand.Name} other than by mov");
                }

                return Constant(ConstantKind.Special, 0, operand.Name, wide);
            case PtxOperandKind.Symbol:
                return SymbolRow(operand, wide);
            default:
                throw Bad($"does not take a {operand.Kind} operand here");
        }
    }

    private int SymbolRow(PtxOperand operand, bool wide)
    {
        PtxVariable v = _symbols.TryGetValue(operand.Name, out PtxVariable? found) ? found : throw Bad($"uses '{operand.Name}', which has no address here");
        ulong addend = unchecked((ulong)operand.Offset);
        return v.Space switch
        {
            PtxSpace.Global or PtxSpace.Const when wide => Constant(ConstantKind.GlobalSymbol, addend, v.Name, true),
            PtxSpace.Global or PtxSpace.Const => throw Bad($"takes the 64-bit address of '{v.Name}' as 32 bits"),
            PtxSpace.Shared when _dynamicShared.Contains(v.Name) => Constant(ConstantKind.DynamicShared, addend, v.Name, wide),
            PtxSpace.Shared => Constant(ConstantKind.SharedSymbol, addend, v.Name, wide),
            PtxSpace.Param when _function.Params.Contains(v) => Constant(ConstantKind.ParamSymbol, addend, v.Name, wide),
            PtxSpace.Param => Constant(ConstantKind.LocalSymbol, unchecked(addend + (ulong)AddressWindows.CallParam), v.Name, wide),
            _ => Constant(ConstantKind.LocalSymbol, addend, v.Name, wide),
        };
    }

    private int Constant(ConstantKind kind, ulong bits, string name, bool wide)
    {
        if (!_constantRows.TryGetValue((kind, bits, name, wide), out int row))
        {
            row = NewRow(wide, kind == ConstantKind.Literal ? $"0x{bits:x}" : name);
            _constantRows[(kind, bits, name, wide)] = row;
            _constants.Add(new ConstantRow(row, wide, kind, bits, name));
        }

        return row;
    }

    private int Literal(uint value) => Constant(ConstantKind.Literal, value, "", false);

    private int RowList(IEnumerable<int> rows)
    {
        _rowLists.Add([.. rows]);
        return _rowLists.Count - 1;
    }

    private Modifiers Mods() => new(_at);

    private void Instruction()
    {
        switch (_at.Opcode)
        {
            case "mov": Mov(); break;
            case "add" or "sub" or "addc" or "subc": AddSub(); break;
            case "mul" or "mad" or "madc" or "mul24" or "mad24": MulMad(); break;
            case "fma": Fma(); break;
            case "div" or "rem": DivRem(); break;
            case "neg" or "abs" or "not" or "popc" or "clz" or "brev" or "bfind" or "cnot": Unary(); break;
            case "min" or "max": MinMax(); break;
            case "and" or "or" or "xor": Logic(); break;
            case "lop3": Lop3(); break;
            case "shl" or "shr": Shift(); break;
            case "shf": Funnel(); break;
            case "bfe" or "bfi" or "prmt" or "sad" or "dp4a": BitField(); break;
            case "setp" or "set": SetCompare(); break;
            case "selp" or "slct": Select(); break;
            case "rcp" or "sqrt" or "rsqrt" or "ex2" or "lg2" or "sin" or "cos" or "tanh" or "copysign" or "testp": FloatUnary(); break;
            case "cvt": Cvt(); break;
            case "cvta": Cvta(); break;
            case "ld" or "ldu" or "st": LoadStore(); break;
            case "atom" or "red": Atomic(); break;
            case "cp": CopyAsync(); break;
            case "ldmatrix" or "stmatrix" or "movmatrix": Matrix(); break;
            case "mma": Mma(); break;
            case "shfl" or "vote" or "match" or "redux" or "activemask" or "elect": WarpOp(); break;
            case "bar" or "barrier" or "membar" or "fence" or "griddepcontrol": Synchronise(); break;
            case "bra" or "brx" or "ret" or "exit" or "trap" or "call" or "brkpt" or "nanosleep": Control(); break;
            case "isspacep" or "prefetch" or "prefetchu" or "discard" or "applypriority": AddressOp(); break;
            default: throw Bad("is not an instruction the virtual device knows");
        }
    }
}
