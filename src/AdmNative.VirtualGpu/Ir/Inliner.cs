using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Ir;

/// <summary>
/// Replaces calls of device functions by their bodies: registers, labels and variables are renamed per call site, the callee's parameters become the
/// caller's .param variables, and its ret becomes a branch behind the call. Recursion is an error.
/// </summary>
internal static class Inliner
{
    private const int MaxInstructions = 1 << 20, MaxCalls = 1 << 14;

    public static PtxFunction Inline(PtxModule module, PtxFunction entry)
    {
        if (!entry.Body.Any(i => i.Opcode == "call" && Callee(i) != "vprintf"))
        {
            return entry;
        }

        var result = new PtxFunction { Name = entry.Name, IsEntry = true, Line = entry.Line };
        result.Params.AddRange(entry.Params);
        result.Registers.AddRange(entry.Registers);
        result.Variables.AddRange(entry.Variables);
        foreach ((string label, IReadOnlyList<string> targets) in entry.BranchTargets)
        {
            result.BranchTargets[label] = targets;
        }

        Copy(module, entry, result, new Site(0, [], [], "", null), [entry.Name], [0]);
        return result;
    }

    /// <summary>How names of the callee map into the caller at one call site.</summary>
    private sealed record Site(int RegisterBase, Dictionary<string, string> Variables, Dictionary<int, int> Registers, string Suffix, string? ReturnLabel);

    private static string? Callee(PtxInstruction call) => call.Operands.FirstOrDefault(o => o.Kind == PtxOperandKind.Function)?.Name;

    private static void Copy(PtxModule module, PtxFunction from, PtxFunction to, Site site, List<string> stack, int[] calls)
    {
        var labelsAt = from.Labels.ToLookup(l => l.Value, l => l.Key);
        for (int i = 0; i <= from.Body.Count; i++)
        {
            foreach (string label in labelsAt[i])
            {
                to.Labels[label + site.Suffix] = to.Body.Count;
            }

            if (i == from.Body.Count)
            {
                break;
            }

            PtxInstruction instruction = from.Body[i];
            if (to.Body.Count > MaxInstructions)
            {
                throw new PtxException(instruction.Line, $"inlining '{to.Name}' gives more than {MaxInstructions} instructions");
            }

            if (instruction.Opcode == "ret" && site.ReturnLabel is not null)
            {
                to.Body.Add(Rename(instruction, site) with
                {
                    Opcode = "bra",
                    Modifiers = [],
                    Operands = [new PtxOperand(PtxOperandKind.Label) { Name = site.ReturnLabel }],
                });
            }
            else if (instruction.Opcode == "call" && Callee(instruction) is { } name && name != "vprintf")
            {
                Call(module, to, Rename(instruction, site), name, stack, calls);
            }
            else
            {
                to.Body.Add(Rename(instruction, site));
            }
        }
    }

    private static void Call(PtxModule module, PtxFunction to, PtxInstruction call, string name, List<string> stack, int[] calls)
    {
        PtxFunction callee = module.Functions.FirstOrDefault(f => f.Name == name && !f.IsDeclaration)
            ?? throw new PtxException(call.Line, $"call of '{name}', which has no body");
        if (stack.Contains(name))
        {
            throw new PtxException(call.Line, $"recursive call: {string.Join(" -> ", stack)} -> {name}");
        }

        if (call.Guard >= 0)
        {
            throw new PtxException(call.Line, $"a guarded call of '{name}' is not supported");
        }

        // Numbered, not placed: a callee that begins with a call is inlined at the same place as its own callee.
        if (++calls[0] > MaxCalls)
        {
            throw new PtxException(call.Line, $"inlining '{to.Name}' meets more than {MaxCalls} calls");
        }

        string suffix = $"@{calls[0]}";
        string after = $"return{suffix}";
        var registers = new Dictionary<int, int>();
        foreach (PtxRegister r in callee.Registers)
        {
            registers[r.Index] = to.Registers.Count;
            to.Registers.Add(new PtxRegister(to.Registers.Count, r.Name + suffix, r.Type));
            if (to.Registers.Count > PtxParser.MaxRegisters)
            {
                throw new PtxException(call.Line, $"inlining '{name}' needs more than {PtxParser.MaxRegisters} registers");
            }
        }

        var variables = new Dictionary<string, string>();
        foreach (PtxVariable v in callee.Variables)
        {
            variables[v.Name] = v.Name + suffix;
            to.Variables.Add(v with { Name = v.Name + suffix });
        }

        int functionAt = call.Operands.ToList().FindIndex(o => o.Kind == PtxOperandKind.Function);
        Bind(callee.Results, functionAt > 0 ? call.Operands[0].Elements : [], "results");
        Bind(callee.Params, functionAt + 1 < call.Operands.Count ? call.Operands[functionAt + 1].Elements : [], "arguments");

        var site = new Site(0, variables, registers, suffix, after);
        foreach ((string label, IReadOnlyList<string> targets) in callee.BranchTargets)
        {
            to.BranchTargets[label + suffix] = [.. targets.Select(t => t + suffix)];
        }

        stack.Add(name);
        Copy(module, callee, to, site, stack, calls);
        stack.RemoveAt(stack.Count - 1);
        to.Labels[after] = to.Body.Count;

        void Bind(List<PtxVariable> formal, IReadOnlyList<PtxOperand> actual, string what)
        {
            if (formal.Count != actual.Count)
            {
                throw new PtxException(call.Line, $"'{name}' has {formal.Count} {what}, the call {actual.Count}");
            }

            for (int i = 0; i < formal.Count; i++)
            {
                if (formal[i].Space != PtxSpace.Param || actual[i].Kind != PtxOperandKind.Symbol)
                {
                    throw new PtxException(call.Line, $"{what} of '{name}' are not .param variables; that is not supported");
                }

                variables[formal[i].Name] = actual[i].Name;
            }
        }
    }

    private static PtxInstruction Rename(PtxInstruction i, Site site) => site.Suffix.Length == 0 ? i : i with
    {
        Guard = i.Guard < 0 ? -1 : site.Registers[i.Guard],
        Operands = [.. i.Operands.Select(o => Rename(o, site))],
    };

    private static PtxOperand Rename(PtxOperand o, Site site) => o.Kind switch
    {
        PtxOperandKind.Register or PtxOperandKind.NegatedRegister or PtxOperandKind.RegisterAddress => o with { Register = site.Registers[o.Register] },
        PtxOperandKind.Pair => o with
        {
            Register = o.Register < 0 ? -1 : site.Registers[o.Register],
            Second = o.Second < 0 ? -1 : site.Registers[o.Second],
        },
        PtxOperandKind.Symbol or PtxOperandKind.SymbolAddress => o with { Name = site.Variables.GetValueOrDefault(o.Name, o.Name) },
        PtxOperandKind.Label => o with { Name = o.Name + site.Suffix },
        PtxOperandKind.Vector or PtxOperandKind.List => o with { Elements = [.. o.Elements.Select(e => Rename(e, site))] },
        _ => o,
    };
}
