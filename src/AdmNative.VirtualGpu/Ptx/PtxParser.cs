namespace AdmNative.VirtualGpu.Ptx;

/// <summary>
/// PTX text to <see cref="PtxModule"/>. Names are resolved here: every register has one index per function whatever scope declared
/// it, and every operand says what it is. Spellings of instructions are not judged here but when they are lowered.
/// </summary>
public sealed class PtxParser
{
    /// <summary>Registers one function may declare; a hostile ".reg .b32 %r&lt;4000000000&gt;" must not exhaust memory.</summary>
    public const int MaxRegisters = 1 << 16;

    /// <summary>Bytes one variable may have.</summary>
    public const long MaxVariableBytes = 1L << 30;

    /// <summary>Bytes all variables of a module may have together.</summary>
    public const long MaxModuleBytes = 1L << 34;

    private const int MaxScopeDepth = 256;

    /// <summary>Errors collected before a parse gives up.</summary>
    private const int MaxErrors = 1000;

    private readonly List<Token> _tokens;
    private readonly PtxModule _module = new();
    private int _at;

    private PtxFunction? _function;
    private readonly List<Scope> _scopes = [];
    private readonly Dictionary<string, PtxVariable> _globals = [];
    private readonly Dictionary<string, PtxFunction> _functions = [];
    private readonly List<(PtxInstruction Instruction, string Name)> _pendingLabels = [];
    private long _moduleBytes;
    private int _file;
    private int _sourceLine;
    private readonly List<PtxException>? _errors;

    private PtxParser(string text, List<PtxException>? errors)
    {
        _tokens = PtxLexer.Tokenize(text);
        _errors = errors;
    }

    private Token Now => _tokens[_at];

    /// <summary>Parses a module.</summary>
    /// <exception cref="PtxException">Malformed text, or a directive that is not known; carries the line.</exception>
    public static PtxModule Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var parser = new PtxParser(text, null);
        parser.Module();
        return parser._module;
    }

    /// <summary>Parses as much as can be understood: an error costs its statement only and is added to the list.</summary>
    internal static PtxModule Parse(string text, List<PtxException> errors)
    {
        try
        {
            var parser = new PtxParser(text, errors);
            try
            {
                parser.Module();
            }
            catch (PtxException e)
            {
                errors.Add(e);
            }

            return parser._module;
        }
        catch (PtxException e) // from the lexer: nothing is known
        {
            errors.Add(e);
            return new PtxModule();
        }
    }

    private bool Collect(PtxException e)
    {
        if (_errors is null || _errors.Count >= MaxErrors)
        {
            return false;
        }

        _errors.Add(e);
        return true;
    }

    /// <summary>Behind the statement that began at the token: its semicolon, or the brace that closes the scope around it.</summary>
    private void SkipStatement(int start)
    {
        int depth = 0;
        for (int i = start; ; i++)
        {
            Token token = _tokens[i];
            if (token.Kind == TokenKind.End || (token.Is('}') && depth == 0))
            {
                _at = i;
                return;
            }

            if (token.Is(';'))
            {
                _at = i + 1;
                return;
            }

            depth += token.Is('{') ? 1 : token.Is('}') ? -1 : 0;
        }
    }

    /// <summary>The next directive at module level that can begin a declaration.</summary>
    private void SkipDeclaration(int start)
    {
        int depth = 0;
        for (_at = Math.Max(_at, start + 1); Now.Kind != TokenKind.End; _at++)
        {
            depth = Math.Max(0, depth + (Now.Is('{') ? 1 : Now.Is('}') ? -1 : 0));
            if (depth == 0 && Now.Kind == TokenKind.Dotted
                && Now.Text is "visible" or "extern" or "weak" or "common" or "entry" or "func" or "global" or "const" or "shared" or "file" or "section")
            {
                return;
            }
        }
    }

    private void Module()
    {
        if (!(Now.Kind == TokenKind.Dotted && Now.Text == "version"))
        {
            throw new PtxException(Now.Line, $"PTX begins with .version, found {Now}");
        }

        while (Now.Kind != TokenKind.End)
        {
            int start = _at;
            try
            {
                ModuleStatement();
            }
            catch (PtxException e) when (Collect(e))
            {
                _function = null;
                SkipDeclaration(start);
            }
        }

        if (_module.Target.Length == 0)
        {
            throw new PtxException(Now.Line, "no .target directive");
        }
    }

    private void ModuleStatement()
    {
        if (Now.Is(';'))
        {
            _at++;
            return;
        }

        Token token = Take(TokenKind.Dotted, "a directive");
        switch (token.Text)
        {
            case "version":
                Version();
                break;
            case "target":
                Target();
                break;
            case "address_size":
                if (Integer() != 64)
                {
                    throw new PtxException(token.Line, "only .address_size 64 is supported");
                }

                break;
            case "file":
                File();
                break;
            case "section":
                SkipBlock();
                break;
            case "pragma":
                SkipTo(';');
                break;
            case "loc":
                Loc();
                break;
            case "alias":
                throw new PtxException(token.Line, ".alias is not supported");
            case "visible" or "extern" or "weak" or "common":
                bool isExtern = token.Text == "extern";
                while (Now.Kind == TokenKind.Dotted && Now.Text is "visible" or "extern" or "weak" or "common")
                {
                    isExtern |= Now.Text == "extern";
                    _at++;
                }

                Declaration(Take(TokenKind.Dotted, "a declaration"), isExtern);
                break;
            default:
                Declaration(token, false);
                break;
        }
    }

    private void Declaration(Token token, bool isExtern)
    {
        switch (token.Text)
        {
            case "entry":
                Function(true, token.Line, isExtern);
                break;
            case "func":
                Function(false, token.Line, isExtern);
                break;
            case "global" or "const" or "shared":
                foreach (PtxVariable variable in Variables(Space(token.Text), isExtern, token.Line))
                {
                    if (!_globals.TryAdd(variable.Name, variable) && !variable.IsExtern)
                    {
                        throw new PtxException(variable.Line, $"'{variable.Name}' is declared twice");
                    }

                    _module.Globals.Add(variable);
                    _moduleBytes += variable.Bytes;
                    if (_moduleBytes > MaxModuleBytes)
                    {
                        throw new PtxException(variable.Line, $"the variables of the module have more than {MaxModuleBytes} bytes");
                    }
                }

                break;
            default:
                throw new PtxException(token.Line, $"unknown directive .{token.Text}");
        }
    }

    private void Version()
    {
        Token number = Now;
        string[] parts = number.Text.Split('.');
        if (number.Kind != TokenKind.Float64 || parts.Length != 2 || !int.TryParse(parts[0], out int major) || !int.TryParse(parts[1], out int minor))
        {
            throw new PtxException(number.Line, $".version takes major.minor, found {number}");
        }

        _at++;
        _module.Version = (major, minor);
    }

    private void Target()
    {
        Token name = Take(TokenKind.Word, "a target such as sm_80");
        if (!name.Text.StartsWith("sm_", StringComparison.Ordinal))
        {
            throw new PtxException(name.Line, $"target {name} is not of the form sm_80");
        }

        _module.Target = name.Text;
        while (Now.Is(','))
        {
            _at++;
            Token option = Take(TokenKind.Word, "a target option");
            if (option.Text is not ("texmode_unified" or "texmode_independent" or "debug" or "map_f64_to_f32"))
            {
                throw new PtxException(option.Line, $"unknown target option {option}");
            }

            if (option.Text == "map_f64_to_f32")
            {
                throw new PtxException(option.Line, "map_f64_to_f32 is not supported");
            }
        }
    }

    private void File()
    {
        Token id = Take(TokenKind.Integer, "a file number");
        Token name = Take(TokenKind.Text, "a file name");
        if (id.Bits > int.MaxValue)
        {
            throw new PtxException(id.Line, "file number out of range");
        }

        _module.Files[(int)id.Bits] = name.Text;
        while (Now.Is(','))
        {
            _at++;
            Take(TokenKind.Integer, "a number");
        }
    }

    /// <summary>.loc file line column [, function_name label [+ n], inlined_at file line column]</summary>
    private void Loc()
    {
        int file = Int32(), line = Int32();
        Int32();
        _file = file;
        _sourceLine = line;
        while (Now.Is(','))
        {
            _at++;
            Token word = Take(TokenKind.Word, "function_name or inlined_at");
            switch (word.Text)
            {
                case "function_name":
                    Take(TokenKind.Word, "a label");
                    if (Now.Is('+'))
                    {
                        _at++;
                        Int32();
                    }

                    break;
                case "inlined_at":
                    Int32();
                    Int32();
                    Int32();
                    break;
                default:
                    throw new PtxException(word.Line, $"unknown .loc attribute {word}");
            }
        }
    }

    private void Function(bool isEntry, int line, bool isExtern)
    {
        var results = new List<PtxVariable>();
        if (!isEntry && Now.Is('('))
        {
            results = Parameters();
        }

        Token name = Take(TokenKind.Word, "a function name");
        var function = new PtxFunction { Name = name.Text, IsEntry = isEntry, Line = line };
        function.Results.AddRange(results);
        if (Now.Is('('))
        {
            function.Params.AddRange(Parameters());
        }

        while (Now.Kind == TokenKind.Dotted)
        {
            Token directive = Now;
            _at++;
            switch (directive.Text)
            {
                case "maxntid":
                    function.MaxNtid = Triple();
                    break;
                case "reqntid":
                    function.ReqNtid = Triple();
                    break;
                case "minnctapersm":
                    function.MinCtaPerSm = Int32();
                    break;
                case "maxnctapersm":
                    Int32();
                    break;
                case "maxnreg":
                    function.MaxNreg = Int32();
                    break;
                case "noreturn":
                    break;
                case "pragma":
                    SkipTo(';');
                    break;
                default:
                    throw new PtxException(directive.Line, $"unknown function directive .{directive.Text}");
            }
        }

        if (_functions.TryGetValue(name.Text, out PtxFunction? earlier) && !earlier.IsDeclaration && !Now.Is(';'))
        {
            throw new PtxException(line, $"'{name.Text}' is defined twice");
        }

        if (Now.Is(';'))
        {
            _at++;
            function.IsDeclaration = true;
            if (earlier is null)
            {
                _functions[name.Text] = function;
                _module.Functions.Add(function);
            }

            return;
        }

        if (isExtern)
        {
            throw new PtxException(line, $".extern '{name.Text}' has a body");
        }

        if (earlier is not null)
        {
            _module.Functions.Remove(earlier);
        }

        _functions[name.Text] = function;
        _module.Functions.Add(function);
        Body(function);
    }

    private (int X, int Y, int Z) Triple()
    {
        int x = Int32(), y = 1, z = 1;
        if (Now.Is(','))
        {
            _at++;
            y = Int32();
            if (Now.Is(','))
            {
                _at++;
                z = Int32();
            }
        }

        return (x, y, z);
    }

    private List<PtxVariable> Parameters()
    {
        var list = new List<PtxVariable>();
        Expect('(');
        while (!Now.Is(')'))
        {
            Token space = Take(TokenKind.Dotted, ".param or .reg");
            if (space.Text is not ("param" or "reg"))
            {
                throw new PtxException(space.Line, $"a parameter is .param or .reg, found .{space.Text}");
            }

            list.Add(Variable(Space(space.Text), false, space.Line));
            if (!Now.Is(')'))
            {
                Expect(',');
            }
        }

        _at++;
        return list;
    }

    private void Body(PtxFunction function)
    {
        _function = function;
        _scopes.Clear();
        _pendingLabels.Clear();
        (_file, _sourceLine) = (0, 0);
        var outer = new Scope();
        foreach (PtxVariable p in function.Params.Concat(function.Results))
        {
            if (p.Space == PtxSpace.Reg)
            {
                DeclareRegister(outer, p.Name, p.Type, p.Line);
            }
            else if (!outer.Variables.TryAdd(p.Name, p))
            {
                throw new PtxException(p.Line, $"parameter '{p.Name}' is declared twice");
            }
        }

        _scopes.Add(outer);
        int open = Now.Line;
        Expect('{');
        int depth = 1;
        while (depth > 0)
        {
            if (Now.Kind == TokenKind.End)
            {
                throw new PtxException(open, $"the body of '{function.Name}' has no closing brace");
            }

            if (Now.Is('{'))
            {
                if (++depth > MaxScopeDepth)
                {
                    throw new PtxException(Now.Line, "scopes nested too deep");
                }

                _scopes.Add(new Scope());
                _at++;
            }
            else if (Now.Is('}'))
            {
                depth--;
                if (depth > 0)
                {
                    _scopes.RemoveAt(_scopes.Count - 1);
                }

                _at++;
            }
            else
            {
                int start = _at;
                try
                {
                    Statement(function);
                }
                catch (PtxException e) when (Collect(e))
                {
                    SkipStatement(start);
                }
            }
        }

        foreach ((PtxInstruction instruction, string label) in _pendingLabels)
        {
            if (!function.Labels.ContainsKey(label) && !function.BranchTargets.ContainsKey(label))
            {
                var error = new PtxException(instruction.Line, $"unknown label or name '{label}'");
                if (!Collect(error))
                {
                    throw error;
                }
            }
        }

        _function = null;
    }

    private void Statement(PtxFunction function)
    {
        Token token = Now;
        if (token.Is(';'))
        {
            _at++;
            return;
        }

        if (token.Kind == TokenKind.Dotted)
        {
            _at++;
            BodyDirective(function, token);
            return;
        }

        if (token.Kind == TokenKind.Word && _tokens[_at + 1].Is(':'))
        {
            _at += 2;
            if (Now.Kind == TokenKind.Dotted && Now.Text == "branchtargets")
            {
                _at++;
                var targets = new List<string>();
                do
                {
                    targets.Add(Take(TokenKind.Word, "a label").Text);
                }
                while (TakeIf(','));
                Expect(';');
                function.BranchTargets[token.Text] = targets;
                return;
            }

            if (Now.Kind == TokenKind.Dotted && Now.Text is "callprototype" or "calltargets")
            {
                throw new PtxException(token.Line, $"indirect calls (.{Now.Text}) are not supported");
            }

            if (!function.Labels.TryAdd(token.Text, function.Body.Count))
            {
                throw new PtxException(token.Line, $"label '{token.Text}' is defined twice");
            }

            return;
        }

        Instruction(function);
    }

    private void BodyDirective(PtxFunction function, Token directive)
    {
        switch (directive.Text)
        {
            case "reg":
                Registers(directive.Line);
                break;
            case "shared" or "local" or "param" or "const" or "global":
                foreach (PtxVariable variable in Variables(Space(directive.Text), false, directive.Line))
                {
                    Dictionary<string, PtxVariable> scope = _scopes[^1].Variables;
                    bool taken = function.Variables.Any(v => v.Name == variable.Name);
                    PtxVariable unique = taken ? variable with { Name = $"{variable.Name}:{function.Variables.Count}" } : variable;
                    if (!scope.TryAdd(variable.Name, unique))
                    {
                        throw new PtxException(variable.Line, $"'{variable.Name}' is declared twice in one scope");
                    }

                    function.Variables.Add(unique);
                }

                break;
            case "loc":
                Loc();
                break;
            case "pragma":
                SkipTo(';');
                break;
            case "file":
                File();
                break;
            case "section":
                SkipBlock();
                break;
            default:
                throw new PtxException(directive.Line, $"unknown directive .{directive.Text}");
        }
    }

    private void Registers(int line)
    {
        Token typeToken = Take(TokenKind.Dotted, "a register type");
        PtxType type = PtxTypes.Parse(typeToken.Text);
        if (type == PtxType.None)
        {
            throw new PtxException(line, $"unknown register type .{typeToken.Text}");
        }

        do
        {
            Token name = Take(TokenKind.Word, "a register name");
            if (TakeIf('<'))
            {
                Token count = Take(TokenKind.Integer, "a register count");
                Expect('>');
                if (count.Bits > MaxRegisters)
                {
                    throw new PtxException(line, $"{count.Bits} registers '{name.Text}': more than {MaxRegisters}");
                }

                for (int i = 0; i < (int)count.Bits; i++)
                {
                    DeclareRegister(_scopes[^1], $"{name.Text}{i}", type, line);
                }
            }
            else
            {
                DeclareRegister(_scopes[^1], name.Text, type, line);
            }
        }
        while (TakeIf(','));
        Expect(';');
    }

    private void DeclareRegister(Scope scope, string name, PtxType type, int line)
    {
        List<PtxRegister> all = _function!.Registers;
        if (all.Count >= MaxRegisters)
        {
            throw new PtxException(line, $"more than {MaxRegisters} registers in one function");
        }

        if (!scope.Registers.TryAdd(name, all.Count))
        {
            throw new PtxException(line, $"register '{name}' is declared twice in one scope");
        }

        all.Add(new PtxRegister(all.Count, name, type));
    }

    private void Instruction(PtxFunction function)
    {
        int guard = -1;
        bool negated = false;
        Token first = Now;
        if (TakeIf('@'))
        {
            negated = TakeIf('!');
            Token name = Take(TokenKind.Word, "a predicate register");
            guard = FindRegister(name.Text);
            if (guard < 0 || function.Registers[guard].Type != PtxType.Pred)
            {
                throw new PtxException(name.Line, $"'{name.Text}' is not a predicate register");
            }
        }

        Token opcode = Take(TokenKind.Word, "an instruction");
        var modifiers = new List<string>();
        while (Now.Kind == TokenKind.Dotted)
        {
            modifiers.Add(Now.Text);
            _at++;
        }

        var operands = new List<PtxOperand>();
        var labels = new List<string>();
        bool isBranch = opcode.Text is "bra" or "brx";
        bool isCall = opcode.Text == "call";
        try
        {
            if (!Now.Is(';'))
            {
                do
                {
                    operands.Add(Operand(labels, isBranch, isCall, 0));
                }
                while (TakeIf(','));
            }

            Expect(';');
        }
        catch (PtxException e)
        {
            // Operands of instructions that are not known here may look like nothing else.
            throw new PtxException(e.Line, $"{string.Join('.', [opcode.Text, .. modifiers])}: {e.Problem}");
        }

        var instruction = new PtxInstruction(opcode.Text, modifiers, operands, guard, negated, first.Line, _file, _sourceLine);
        function.Body.Add(instruction);
        foreach (string label in labels)
        {
            _pendingLabels.Add((instruction, label));
        }
    }

    private PtxOperand Operand(List<string> labels, bool isBranch, bool isCall, int depth)
    {
        Token token = Now;
        if (token.Is('{') || token.Is('('))
        {
            if (depth > 0)
            {
                throw new PtxException(token.Line, "nested vector operand");
            }

            char close = token.Is('{') ? '}' : ')';
            _at++;
            var elements = new List<PtxOperand>();
            while (!Now.Is(close))
            {
                elements.Add(Operand(labels, false, isCall, depth + 1));
                if (!Now.Is(close))
                {
                    Expect(',');
                }
            }

            _at++;
            return new PtxOperand(close == '}' ? PtxOperandKind.Vector : PtxOperandKind.List) { Elements = elements };
        }

        if (token.Is('['))
        {
            return Address();
        }

        if (token.Is('!'))
        {
            _at++;
            Token name = Take(TokenKind.Word, "a predicate register");
            return new PtxOperand(PtxOperandKind.NegatedRegister) { Register = Register(name), Name = name.Text };
        }

        if (token.Is('-') || token.Is('+') || token.Kind is TokenKind.Integer or TokenKind.Float32 or TokenKind.Float64)
        {
            return Literal();
        }

        Token word = Take(TokenKind.Word, "an operand");
        if (word.Text == "_")
        {
            if (TakeIf('|'))
            {
                return new PtxOperand(PtxOperandKind.Pair) { Register = -1, Second = Register(Take(TokenKind.Word, "a predicate register")) };
            }

            return new PtxOperand(PtxOperandKind.Sink);
        }

        int register = FindRegister(word.Text);
        if (register >= 0 && !isBranch)
        {
            if (TakeIf('|'))
            {
                Token second = Take(TokenKind.Word, "a predicate register");
                int p = second.Text == "_" ? -1 : Register(second);
                return new PtxOperand(PtxOperandKind.Pair) { Register = register, Second = p, Name = word.Text };
            }

            return new PtxOperand(PtxOperandKind.Register) { Register = register, Name = word.Text };
        }

        if (register >= 0)
        {
            return new PtxOperand(PtxOperandKind.Register) { Register = register, Name = word.Text };
        }

        if (word.Text[0] == '%')
        {
            string name = word.Text;
            if (Now.Kind == TokenKind.Dotted && Now.Text is "x" or "y" or "z" or "w")
            {
                name += "." + Now.Text;
                _at++;
            }

            if (!PtxSpecialRegisters.IsKnown(name))
            {
                throw new PtxException(word.Line, $"unknown register '{name}'");
            }

            return new PtxOperand(PtxOperandKind.Special) { Name = name };
        }

        if (!isBranch && FindVariable(word.Text) is { } variable)
        {
            return new PtxOperand(PtxOperandKind.Symbol) { Name = variable.Name, Offset = SignedOffset() };
        }

        if (isCall && _functions.ContainsKey(word.Text))
        {
            return new PtxOperand(PtxOperandKind.Function) { Name = word.Text };
        }

        labels.Add(word.Text);
        return new PtxOperand(PtxOperandKind.Label) { Name = word.Text };
    }

    private PtxOperand Address()
    {
        Expect('[');
        PtxOperand result;
        Token token = Now;
        if (token.Kind == TokenKind.Word)
        {
            _at++;
            int register = FindRegister(token.Text);
            if (register >= 0)
            {
                result = new PtxOperand(PtxOperandKind.RegisterAddress) { Register = register, Name = token.Text, Offset = SignedOffset() };
            }
            else if (FindVariable(token.Text) is { } variable)
            {
                result = new PtxOperand(PtxOperandKind.SymbolAddress) { Name = variable.Name, Offset = SignedOffset() };
            }
            else
            {
                throw new PtxException(token.Line, $"unknown name '{token.Text}' in an address");
            }
        }
        else
        {
            result = new PtxOperand(PtxOperandKind.AbsoluteAddress) { Offset = unchecked((long)Literal().Bits) };
        }

        Expect(']');
        return result;
    }

    /// <summary>+4, -4 or +-4 after a name.</summary>
    private long SignedOffset()
    {
        if (!Now.Is('+') && !Now.Is('-'))
        {
            return 0;
        }

        // +-4: the compiler writes a plus and then the number.
        bool negative = Now.Is('-');
        _at++;
        if (Now.Is('-') && !negative)
        {
            negative = true;
            _at++;
        }

        Token number = Take(TokenKind.Integer, "an offset");
        long value = unchecked((long)number.Bits);
        return negative ? unchecked(-value) : value;
    }

    private PtxOperand Literal()
    {
        bool negative = Now.Is('-');
        _at += negative || Now.Is('+') ? 1 : 0;
        Token token = Now;
        _at++;
        return token.Kind switch
        {
            TokenKind.Integer => new PtxOperand(PtxOperandKind.IntegerLiteral) { Bits = negative ? unchecked(0UL - token.Bits) : token.Bits },
            TokenKind.Float32 => new PtxOperand(PtxOperandKind.SingleLiteral) { Bits = negative ? token.Bits ^ 0x8000_0000UL : token.Bits },
            TokenKind.Float64 => new PtxOperand(PtxOperandKind.DoubleLiteral) { Bits = negative ? token.Bits ^ (1UL << 63) : token.Bits },
            _ => throw new PtxException(token.Line, $"expected a number, found {token}"),
        };
    }

    private List<PtxVariable> Variables(PtxSpace space, bool isExtern, int line)
    {
        var list = new List<PtxVariable>();
        PtxVariable first = Variable(space, isExtern, line);
        list.Add(first);
        while (TakeIf(','))
        {
            list.Add(Declarator(space, first.Type, first.Align, isExtern, line));
        }

        Expect(';');
        return list;
    }

    /// <summary>[.align n] [.ptr ...] .type name [dims] [= init]</summary>
    private PtxVariable Variable(PtxSpace space, bool isExtern, int line)
    {
        int align = 0;
        var type = PtxType.None;
        int vector = 1;
        while (Now.Kind == TokenKind.Dotted)
        {
            Token token = Now;
            _at++;
            if (token.Text == "align")
            {
                align = Int32();
                if (align is <= 0 or > 4096 || (align & (align - 1)) != 0)
                {
                    throw new PtxException(token.Line, $".align {align} is not a power of two up to 4096");
                }
            }
            else if (token.Text is "ptr" or "global" or "shared" or "local" or "const")
            {
                // .param .u64 .ptr .global .align 4 p: a hint about what the pointer points to.
                if (token.Text == "ptr")
                {
                    while (Now.Kind == TokenKind.Dotted && Now.Text is "global" or "shared" or "local" or "const" or "align")
                    {
                        bool isAlign = Now.Text == "align";
                        _at++;
                        if (isAlign)
                        {
                            Int32();
                        }
                    }
                }
                else
                {
                    throw new PtxException(token.Line, $"unexpected .{token.Text} in a declaration");
                }
            }
            else if (token.Text is "v2" or "v4")
            {
                vector = token.Text[1] - '0';
            }
            else if (token.Text is "attribute")
            {
                throw new PtxException(token.Line, ".attribute is not supported");
            }
            else
            {
                type = PtxTypes.Parse(token.Text);
                if (type == PtxType.None)
                {
                    throw new PtxException(token.Line, $"unknown type .{token.Text}");
                }
            }
        }

        if (type is PtxType.None)
        {
            throw new PtxException(line, "a declaration without a type");
        }

        PtxVariable variable = Declarator(space, type, align == 0 ? type.Bytes() * vector : align, isExtern, line);
        return vector == 1 ? variable : variable with { Elements = variable.Elements * vector };
    }

    private PtxVariable Declarator(PtxSpace space, PtxType type, int align, bool isExtern, int line)
    {
        Token name = Take(TokenKind.Word, "a variable name");
        if (TakeIf('<'))
        {
            throw new PtxException(line, "parameterised names are for registers");
        }

        long elements = 1;
        bool isArray = false;
        while (TakeIf('['))
        {
            long dim = 0;
            if (!Now.Is(']'))
            {
                Token size = Take(TokenKind.Integer, "an array size");
                if (size.Bits > (ulong)MaxVariableBytes)
                {
                    throw new PtxException(line, $"'{name.Text}' is too large");
                }

                dim = (long)size.Bits;
            }

            Expect(']');
            elements = isArray ? elements * dim : dim;
            isArray = true;
            if (elements * type.Bytes() > MaxVariableBytes)
            {
                throw new PtxException(line, $"'{name.Text}' is larger than {MaxVariableBytes} bytes");
            }
        }

        byte[]? init = null;
        var relocations = new List<PtxRelocation>();
        if (TakeIf('='))
        {
            var values = new List<byte>();
            Initialiser(type, values, relocations, 0);
            long expected = isArray && elements == 0 ? values.Count : elements * type.Bytes();
            if (values.Count > expected)
            {
                throw new PtxException(line, $"'{name.Text}' has {values.Count} initial bytes for {expected}");
            }

            if (isArray && elements == 0)
            {
                elements = values.Count / type.Bytes();
            }

            if (space is not (PtxSpace.Global or PtxSpace.Const))
            {
                throw new PtxException(line, $"'{name.Text}' is initialised, but is not in .global or .const");
            }

            init = [.. values];
        }

        return new PtxVariable(space, type, align, name.Text, elements, isArray, isExtern, init, relocations, line);
    }

    private void Initialiser(PtxType type, List<byte> bytes, List<PtxRelocation> relocations, int depth)
    {
        if (TakeIf('{'))
        {
            if (depth > 8)
            {
                throw new PtxException(Now.Line, "initialiser nested too deep");
            }

            while (!Now.Is('}'))
            {
                Initialiser(type, bytes, relocations, depth + 1);
                if (!Now.Is('}'))
                {
                    Expect(',');
                }
            }

            _at++;
            return;
        }

        ulong bits = 0;
        if (Now.Kind == TokenKind.Word)
        {
            Token word = Now;
            _at++;
            bool generic = word.Text == "generic";
            if (generic)
            {
                Expect('(');
                word = Take(TokenKind.Word, "a symbol");
                Expect(')');
            }

            if (!_globals.ContainsKey(word.Text))
            {
                throw new PtxException(word.Line, $"unknown symbol '{word.Text}' in an initialiser");
            }

            relocations.Add(new PtxRelocation(bytes.Count, word.Text, SignedOffset(), generic));
        }
        else
        {
            PtxOperand literal = Literal();
            bits = literal.Kind == PtxOperandKind.DoubleLiteral && type == PtxType.F32
                ? BitConverter.SingleToUInt32Bits((float)BitConverter.UInt64BitsToDouble(literal.Bits))
                : literal.Bits;
        }

        for (int i = 0; i < type.Bytes(); i++)
        {
            bytes.Add((byte)(bits >> (8 * i)));
        }
    }

    private int FindRegister(string name)
    {
        for (int i = _scopes.Count - 1; i >= 0; i--)
        {
            if (_scopes[i].Registers.TryGetValue(name, out int index))
            {
                return index;
            }
        }

        return -1;
    }

    private int Register(Token name)
    {
        int index = FindRegister(name.Text);
        return index >= 0 ? index : throw new PtxException(name.Line, $"unknown register '{name.Text}'");
    }

    private PtxVariable? FindVariable(string name)
    {
        for (int i = _scopes.Count - 1; i >= 0; i--)
        {
            if (_scopes[i].Variables.TryGetValue(name, out PtxVariable? variable))
            {
                return variable;
            }
        }

        return _globals.GetValueOrDefault(name);
    }

    private static PtxSpace Space(string name) => name switch
    {
        "reg" => PtxSpace.Reg,
        "global" => PtxSpace.Global,
        "const" => PtxSpace.Const,
        "shared" => PtxSpace.Shared,
        "local" => PtxSpace.Local,
        _ => PtxSpace.Param,
    };

    private Token Take(TokenKind kind, string what)
    {
        Token token = Now;
        if (token.Kind != kind)
        {
            throw new PtxException(token.Line, $"expected {what}, found {token}");
        }

        _at++;
        return token;
    }

    private bool TakeIf(char mark)
    {
        if (!Now.Is(mark))
        {
            return false;
        }

        _at++;
        return true;
    }

    private void Expect(char mark)
    {
        if (!TakeIf(mark))
        {
            throw new PtxException(Now.Line, $"expected '{mark}', found {Now}");
        }
    }

    private ulong Integer() => Take(TokenKind.Integer, "a number").Bits;

    private int Int32()
    {
        Token token = Take(TokenKind.Integer, "a number");
        return token.Bits <= int.MaxValue ? (int)token.Bits : throw new PtxException(token.Line, $"{token} is too large");
    }

    private void SkipTo(char mark)
    {
        while (!Now.Is(mark))
        {
            if (Now.Kind == TokenKind.End)
            {
                throw new PtxException(Now.Line, $"expected '{mark}' before the end of the file");
            }

            _at++;
        }

        _at++;
    }

    /// <summary>.section name { ... }: debug data, not used.</summary>
    private void SkipBlock()
    {
        while (!Now.Is('{'))
        {
            if (Now.Kind == TokenKind.End || Now.Is(';'))
            {
                throw new PtxException(Now.Line, $"expected a block, found {Now}");
            }

            _at++;
        }

        int depth = 0;
        do
        {
            if (Now.Kind == TokenKind.End)
            {
                throw new PtxException(Now.Line, "block without closing brace");
            }

            depth += Now.Is('{') ? 1 : Now.Is('}') ? -1 : 0;
            _at++;
        }
        while (depth > 0);
    }

    private sealed class Scope
    {
        public Dictionary<string, int> Registers { get; } = [];

        public Dictionary<string, PtxVariable> Variables { get; } = [];
    }
}
