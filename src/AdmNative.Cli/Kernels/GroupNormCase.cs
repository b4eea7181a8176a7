using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Group normalisation forward or backward, against the operations of AdmNative.Core evaluated in f64.</summary>
internal sealed class GroupNormCase : KernelCase
{
    private const float Eps = 1e-5f;

    private readonly GroupNormShape _shape;
    private readonly bool _backward;
    private readonly int _pad;
    private readonly GroupNormVersion? _version;

    public GroupNormCase(GroupNormShape shape, KernelDType dtype, bool backward, string input = "normal", int pad = 0, GroupNormVersion? version = null)
        : base("gn", Describe(shape, backward, version), dtype, $"{shape.N}x{shape.H}x{shape.W}x{shape.C} G{shape.G}", pad == 0 ? input : $"{input}, strides + {pad}")
    {
        (Kind, _backward, _pad, _version) = (input, backward, pad, version);
        Plain = version is not null;
        long ld = shape.C + pad;
        _shape = shape with { StrideX = ld, StrideY = ld, StrideDy = ld, StrideDx = ld, StrideDxIn = ld };
    }

    /// <summary>True to be compared with earlier versions.</summary>
    public bool Compared { get; init; }

    /// <inheritdoc/>
    public override IReadOnlyList<KernelVariant> Variants
    {
        get
        {
            if (!Compared)
            {
                return [];
            }

            KernelVariant Version(string name, GroupNormVersion version, string next) =>
                new(name, next, new GroupNormCase(_shape, DType, _backward, Kind, _pad, version) { Full = Full, Layer = Layer });
            List<KernelVariant> all =
            [
                Version("plain", GroupNormVersion.Plain,
                    "Blocks take slices of pixels with all their channels, not groups, and sum x and x^2 in one pass: x is read twice and not three times, and a warp reads whole sectors."),
                Version("moments", GroupNormVersion.Moments,
                    "16 bytes per access: fewer loads, stores and index arithmetic for the same bytes; but as each thread folds the parameters of its own channels, those reads no longer fill sectors."),
                Version("wide", GroupNormVersion.Wide,
                    "The last block of a group adds the slices and folds the parameters once, not every block; slabs and slices are divided until the device is full; sums about a pilot pixel keep their digits where the mean is large."),
            ];
            if (Plan(DeviceLimits.Sm80).IsSmall)
            {
                all.Add(new(
                    "staged", "The slab waits in shared memory for its statistics: x is read once, and one launch does for two.",
                    new GroupNormCase(_shape with { Staged = true }, DType, _backward, Kind, _pad) { Full = Full, Layer = Layer, Plain = true }));
            }

            return all;
        }
    }

    private string Kind { get; }

    private NormResample Resampling => _shape.Resample switch
    {
        KernelResample.Down2 => NormResample.Down2,
        KernelResample.Up2 => NormResample.Up2,
        _ => NormResample.None,
    };

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        var data = new GroupNormData(_shape, DType, Kind, Eps, Resampling);
        long ticketsTaken = Plan(limits).TicketsTaken;
        work.Gates = l => new LaunchGates
        {
            Bytes = 1.03,
            Sectors = SectorLimit(l),
            Conflicts = ConflictLimit(l.Entry),
            SpecialFunctions = SpecialFunctions(l.Entry),
            Atomics = l.Entry.StartsWith("gn_stats", StringComparison.Ordinal) ? ticketsTaken : 0,
            Registers = 64,
        };
        if (_backward)
        {
            Backward(work, data, limits);
        }
        else
        {
            Forward(work, data, limits);
        }

        return work;
    }

    /// <inheritdoc/>
    public override IReadOnlyList<KernelPlan> Plans(in DeviceLimits limits) => [Plan(limits)];

    private GroupNormPlan Plan(in DeviceLimits limits) => _backward
        ? GroupNormKernels.PlanBackward(_shape, DType, Adds, parameterGradients: true, limits)
        : _version is { } version ? GroupNormKernels.PlanVersion(_shape, DType, version, limits)
        : GroupNormKernels.Plan(_shape, DType, limits);

    /// <summary>Whether backward adds a gradient that is already there.</summary>
    private bool Adds => _shape.N % 2 == 0;

    /// <summary>
    /// Rows that begin in the middle of a sector cannot do with the fewest; rows of 60 bytes, every other one of them, least of all. Nor can gn_small
    /// where whole groups and whole sectors do not fit into its slab together: 16x16 pixels of 576 channels in 32 groups take slabs of 72, rows
    /// of 4.5 sectors that touch 5; a request of a warp is 3.6 rows, and every other one ends inside a sector: (3.6 x 5 + 0.5) / 16 of the fewest.
    /// </summary>
    private double SectorLimit(PlannedLaunch l) => _shape.Pixels <= 4 ? 1.35 // k2 and k3 alternate in memory: two sectors for one, and here as large as a sample
        : _shape.C * DType.Bytes() % 32 == 0 && (_shape.C + _pad) * DType.Bytes() % 32 == 0
            ? l.Entry.StartsWith("gn_small", StringComparison.Ordinal) && l.Shape.SharedBytes / _shape.Pixels % 32 != 0 ? 1.15 : 1.05
        : _shape.C * DType.Bytes() % 16 == 0 ? 1.5 : _pad > 0 || _shape.Resample != KernelResample.Keep ? 2 : 1.5;

    /// <summary>
    /// Where rows of the block are no multiple of eight 16-byte lanes, the lanes of two rows meet in the banks. Only gn_small reads shared memory
    /// in its pixel loops, without conflicts; but each thread also reads six vectors of its channels' parameters, and each warp can need four more
    /// passes for each: 192 of a block, 10 % where it has 1900 (16x16 pixels, slabs of 72 channels). The others touch shared memory
    /// once per block, so that their few accesses are no measure.
    /// </summary>
    private static double? ConflictLimit(string entry) => entry.Contains("small", StringComparison.Ordinal) ? 0.1 : entry.Contains("finalize", StringComparison.Ordinal) ? 0.02 : null;

    private static string Describe(GroupNormShape s, bool backward, GroupNormVersion? version) => string.Join(' ', new[]
    {
        backward ? "backward" : "forward", s.Silu ? "silu" : "", s.Modulated ? "adagn" : "", s.Resample == KernelResample.Keep ? "" : s.Resample.ToString().ToLowerInvariant(),
        s.Staged ? "staged" : "", version is { } v ? v.ToString().ToLowerInvariant() : "",
    }.Where(t => t.Length > 0));

    /// <summary>Two of every element with SiLU (ex2, rcp); none without. Statistics have theirs per group, which is left out.</summary>
    private long? SpecialFunctions(string entry) => entry.Contains("finalize", StringComparison.Ordinal) || entry.Contains("stats", StringComparison.Ordinal) || entry.Contains("small", StringComparison.Ordinal)
        ? null : _shape.Silu ? 2 * _shape.N * _shape.Pixels * _shape.C : 0;

    private void Forward(CaseWork work, GroupNormData data, in DeviceLimits limits)
    {
        GroupNormPlan plan = Plan(limits);
        (long n, long c, long ld) = (_shape.N, _shape.C, _shape.C + _pad);
        KernelBuffer x = work.Input("x", data.X, DType, c, ld), gamma = work.Input("gamma", data.Gamma, KernelDType.F32), beta = work.Input("beta", data.Beta, KernelDType.F32);
        KernelBuffer? scale = _shape.Modulated ? work.Input("scale", data.Scale, KernelDType.F32) : null;
        KernelBuffer? shift = _shape.Modulated ? work.Input("shift", data.Shift, KernelDType.F32) : null;
        KernelBuffer y = work.Output("y", n * _shape.ResultPixels, c, DType, ld), mean = work.Output("mean", n, _shape.G, KernelDType.F32);
        KernelBuffer rstd = work.Output("rstd", n, _shape.G, KernelDType.F32), ab = work.Output("ab", n, 2 * c, KernelDType.F32);
        KernelBuffer? workspace = work.Workspace(plan), tickets = work.Tickets(plan.TicketBytes);
        GroupNormArguments Arguments() => new()
        {
            X = x.Address,
            Y = y.Address,
            Gamma = gamma.Address,
            Beta = beta.Address,
            Scale = scale?.Address ?? 0,
            Shift = shift?.Address ?? 0,
            Mean = mean.Address,
            Rstd = rstd.Address,
            Ab = ab.Address,
            Workspace = workspace?.Address ?? 0,
            Tickets = tickets?.Address ?? 0,
            Eps = Eps,
        };
        work.Run(plan, () => _version is null ? GroupNormKernels.Enqueue(plan, Arguments()) : GroupNormKernels.EnqueueVersion(plan, Arguments()));
        double[] expected = data.Forward();
        work.Expect(y, expected, Tolerances.Activation(DType, expected, Math.Max(2e-5, 1e-7 * data.Cancellation)));
        work.Expect(mean, data.Mean, Tolerances.Absolute(1e-7 * Math.Max(1, data.Largest), 1e-6));
        work.Expect(rstd, data.Rstd, Tolerances.Absolute(0, 1e-5));
        SetContract(work, plan);
    }

    private void Backward(CaseWork work, GroupNormData data, in DeviceLimits limits)
    {
        GroupNormPlan plan = Plan(limits);
        (long n, long c, long ld, long rows) = (_shape.N, _shape.C, _shape.C + _pad, _shape.N * _shape.Pixels);
        KernelBuffer x = work.Input("x", data.X, DType, c, ld), dy = work.Input("dy", data.Dy, DType, c, ld);
        KernelBuffer? dxIn = Adds ? work.Input("dxIn", data.DxIn, DType, c, ld) : null;
        KernelBuffer gamma = work.Input("gamma", data.Gamma, KernelDType.F32), beta = work.Input("beta", data.Beta, KernelDType.F32);
        KernelBuffer? scale = _shape.Modulated ? work.Input("scale", data.Scale, KernelDType.F32) : null;
        KernelBuffer mean = work.Input("mean", data.Mean32, KernelDType.F32), rstd = work.Input("rstd", data.Rstd32, KernelDType.F32);
        KernelBuffer ab = work.Input("ab", data.Ab, KernelDType.F32);
        KernelBuffer dx = work.Output("dx", rows, c, DType, ld);
        KernelBuffer dgamma = work.Output("dgamma", 1, c, KernelDType.F32), dbeta = work.Output("dbeta", 1, c, KernelDType.F32);
        KernelBuffer? dscale = _shape.Modulated ? work.Output("dscale", n, c, KernelDType.F32) : null;
        KernelBuffer? dshift = _shape.Modulated ? work.Output("dshift", n, c, KernelDType.F32) : null;
        KernelBuffer workspace = work.Workspace(plan)!;
        work.Run(plan, () => GroupNormKernels.EnqueueBackward(plan, new GroupNormGradArguments
        {
            X = x.Address,
            Dy = dy.Address,
            Dx = dx.Address,
            DxIn = dxIn?.Address ?? 0,
            Gamma = gamma.Address,
            Beta = beta.Address,
            Scale = scale?.Address ?? 0,
            Mean = mean.Address,
            Rstd = rstd.Address,
            Ab = ab.Address,
            DGamma = dgamma.Address,
            DBeta = dbeta.Address,
            DScale = dscale?.Address ?? 0,
            DShift = dshift?.Address ?? 0,
            Workspace = workspace.Address,
        }));
        GroupNormGradients g = data.Backward(Adds);
        // z is off by 1e-7 of what cancels in it, dz by as much, and dx by |a| times that; halves relative to max|dx| or 1.
        double loss = Math.Max(2e-5, 1e-7 * data.Cancellation * data.Magnification);
        work.Expect(dx, g.Dx, Tolerances.Activation(DType, [.. g.Dx, 1], loss));
        Tolerance Sum(double[] terms)
        {
            Tolerance sum = Tolerances.Sum(terms);
            return (i, r) => sum(i, r) + data.SubnormalLoss;
        }

        work.Expect(dgamma, g.Dgamma, Sum(g.DgammaTerms));
        work.Expect(dbeta, g.Dbeta, Sum(g.DbetaTerms));
        if (_shape.Modulated)
        {
            work.Expect(dscale!, g.Dscale, Sum(g.DscaleTerms));
            work.Expect(dshift!, g.Dshift, Sum(g.DshiftTerms));
        }

        SetContract(work, plan);
    }

    /// <summary>The formula of the whole operation is for tensors whose parameters and partial sums are small beside them.</summary>
    private void SetContract(CaseWork work, GroupNormPlan plan)
    {
        if (!Plain && _shape.Pixels >= 4096 && _shape.C * DType.Bytes() % 16 == 0)
        {
            work.Contract = (plan.ContractBytes, 1.05);
        }
    }
}
