using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>
/// One operation of a kernel family at one shape, element type and kind of input, with everything needed to judge it. Families derive from
/// it and list their cases in <see cref="KernelCases"/>; tests, <c>adm kernels check</c> and <c>adm kernels profile</c> run them.
/// </summary>
/// <param name="family">E.g. "gn".</param>
/// <param name="operation">E.g. "forward silu".</param>
/// <param name="dtype">Of the activations.</param>
/// <param name="shape">As the family writes shapes, e.g. "2x7x7x64 G32"; what --shape matches.</param>
/// <param name="input">Kind of input, e.g. "normal", "constant", "outlier".</param>
internal abstract class KernelCase(string family, string operation, KernelDType dtype, string shape, string input = "normal")
{
    /// <summary>Of the kernels.</summary>
    public string Family { get; } = family;

    /// <summary>What is computed.</summary>
    public string Operation { get; } = operation;

    /// <summary>Of the activations.</summary>
    public KernelDType DType { get; } = dtype;

    /// <summary>Text of the shape.</summary>
    public string Shape { get; } = shape;

    /// <summary>Kind of input.</summary>
    public string Input { get; } = input;

    /// <summary>True for cases that only run on request: what takes more than a second or two.</summary>
    public bool Full { get; init; }

    /// <summary>True for the layer shapes of real models: only run on request, and without the run-time checks that would take minutes.</summary>
    public bool Layer
    {
        get;
        init
        {
            field = value;
            Full |= value;
        }
    }

    /// <summary>True for the plainly written kernels that ours are compared with: reported beside them, judged by their results only.</summary>
    public bool Plain { get; init; }

    /// <summary>
    /// Plain and earlier versions of the same, oldest first; ours comes after the last. A case has them where the comparison tells something:
    /// one or two shapes per operation. Tests check their results with the case's.
    /// </summary>
    public virtual IReadOnlyList<KernelVariant> Variants => [];

    /// <summary>All of it in one line.</summary>
    public string Name => $"{Family} {Operation} {DType.Suffix()} {Shape}{(Input == "normal" ? "" : $" {Input}")}";

    /// <summary>Data, launches, expectations. Called once per check; the same every time.</summary>
    /// <exception cref="ArgumentException">The launcher refuses the shape.</exception>
    public abstract CaseWork Build(in DeviceLimits limits);

    /// <summary>The plans alone; a family whose references take long overrides this.</summary>
    public virtual IReadOnlyList<KernelPlan> Plans(in DeviceLimits limits) => [.. Build(limits).Plans];

    /// <inheritdoc/>
    public override string ToString() => Name;
}
