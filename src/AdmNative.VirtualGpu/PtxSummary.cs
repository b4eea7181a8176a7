using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu;

/// <summary>A parameter of an entry.</summary>
/// <param name="Name">Name as written.</param>
/// <param name="Type">As PTX declares it: "u64", "b8[40]".</param>
/// <param name="Offset">Byte offset in the parameter block.</param>
/// <param name="Bytes">Size.</param>
/// <param name="Align">Alignment in bytes.</param>
public sealed record ParameterSummary(string Name, string Type, int Offset, int Bytes, int Align);

/// <summary>What a launch of an entry must provide, and what limits it.</summary>
public sealed record EntrySummary
{
    /// <summary>Name.</summary>
    public required string Name { get; init; }

    /// <summary>PTX line of its declaration.</summary>
    public required int Line { get; init; }

    /// <summary>Parameters in order.</summary>
    public required IReadOnlyList<ParameterSummary> Parameters { get; init; }

    /// <summary>Bytes of the parameter block.</summary>
    public required int ParameterBytes { get; init; }

    /// <summary>.reqntid, or null.</summary>
    public (int X, int Y, int Z)? RequiredThreads { get; init; }

    /// <summary>.maxntid, or null.</summary>
    public (int X, int Y, int Z)? MaxThreads { get; init; }

    /// <summary>.minnctapersm, or 0.</summary>
    public int MinBlocksPerSm { get; init; }

    /// <summary>.maxnreg, or 0.</summary>
    public int MaxRegisters { get; init; }

    /// <summary>Static shared memory of a block; null when the entry has errors that leave it unknown.</summary>
    public int? StaticSharedBytes { get; init; }

    /// <summary>True when it uses dynamic shared memory.</summary>
    public bool UsesDynamicShared { get; init; }

    /// <summary>Local memory of a thread; null when unknown.</summary>
    public int? LocalBytes { get; init; }

    /// <summary>PTX instructions, called functions not counted.</summary>
    public required int Instructions { get; init; }

    /// <summary>False when something in it, or in a function it calls, is malformed or not known to the virtual device.</summary>
    public required bool CanRun { get; init; }
}

/// <summary>Something in a PTX file that the virtual device cannot accept.</summary>
/// <param name="Line">PTX line, from 1.</param>
/// <param name="Message">What is wrong there.</param>
public sealed record PtxError(int Line, string Message);

/// <summary>What a PTX file holds, and everything in it that could not be run; found without running it.</summary>
public sealed class PtxSummary
{
    private PtxSummary(PtxModule module, IReadOnlyList<EntrySummary> entries, IReadOnlyList<PtxError> errors)
    {
        Version = module.Version;
        Target = module.Target;
        Entries = entries;
        Functions = module.Functions.Count(f => !f.IsEntry && !f.IsDeclaration);
        Errors = errors;
    }

    /// <summary>.version; (0, 0) when the text is not PTX.</summary>
    public (int Major, int Minor) Version { get; }

    /// <summary>.target, e.g. "sm_80"; "" when the text is not PTX.</summary>
    public string Target { get; }

    /// <summary>Entries in file order.</summary>
    public IReadOnlyList<EntrySummary> Entries { get; }

    /// <summary>Device functions with a body.</summary>
    public int Functions { get; }

    /// <summary>Errors by line; none means that every entry can be loaded.</summary>
    public IReadOnlyList<PtxError> Errors { get; }

    /// <summary>Parses and lowers everything in the text: entries, and device functions whether called or not.</summary>
    public static PtxSummary Read(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var errors = new List<PtxException>();
        PtxModule module = PtxParser.Parse(text, errors);
        int malformed = errors.Count;
        errors.AddRange(ModuleImage.Problems(module));
        var entries = new List<EntrySummary>();
        foreach (PtxFunction function in module.Functions.Where(f => !f.IsDeclaration))
        {
            var mine = new List<PtxException>();
            Kernel? kernel = Lowering.TryLower(module, function.IsEntry ? function : Standalone(function), mine);
            errors.AddRange(mine);
            if (function.IsEntry)
            {
                entries.Add(Summary(function, kernel, malformed == 0 && mine.Count == 0));
            }
        }

        // A function inlined at several places fails at each.
        return new PtxSummary(module, entries, [.. errors.Select(e => new PtxError(e.Line, e.Problem)).Distinct().OrderBy(e => e.Line)]);
    }

    private static EntrySummary Summary(PtxFunction function, Kernel? kernel, bool canRun)
    {
        var parameters = new List<ParameterSummary>();
        long offset = 0;
        foreach (PtxVariable p in function.Params)
        {
            offset = (offset + p.Align - 1) / p.Align * p.Align;
            string type = p.Type.ToString().ToLowerInvariant();
            parameters.Add(new ParameterSummary(p.Name, p.IsArray ? $"{type}[{p.Elements}]" : type, (int)offset, (int)p.Bytes, p.Align));
            offset += p.Bytes;
        }

        return new EntrySummary
        {
            Name = function.Name,
            Line = function.Line,
            Parameters = parameters,
            ParameterBytes = (int)offset,
            RequiredThreads = function.ReqNtid,
            MaxThreads = function.MaxNtid,
            MinBlocksPerSm = function.MinCtaPerSm,
            MaxRegisters = function.MaxNreg,
            StaticSharedBytes = kernel?.StaticSharedBytes,
            UsesDynamicShared = kernel?.UsesDynamicShared ?? false,
            LocalBytes = kernel?.LocalBytes,
            Instructions = function.Body.Count,
            CanRun = canRun,
        };
    }

    /// <summary>A device function as an entry of its own: its results become variables.</summary>
    private static PtxFunction Standalone(PtxFunction function)
    {
        var entry = new PtxFunction { Name = function.Name, IsEntry = true, Line = function.Line };
        entry.Params.AddRange(function.Params.Where(p => p.Space == PtxSpace.Param));
        entry.Registers.AddRange(function.Registers);
        entry.Variables.AddRange(function.Results.Where(p => p.Space == PtxSpace.Param));
        entry.Variables.AddRange(function.Variables);
        entry.Body.AddRange(function.Body);
        foreach ((string label, int at) in function.Labels)
        {
            entry.Labels[label] = at;
        }

        foreach ((string label, IReadOnlyList<string> targets) in function.BranchTargets)
        {
            entry.BranchTargets[label] = targets;
        }

        return entry;
    }
}
