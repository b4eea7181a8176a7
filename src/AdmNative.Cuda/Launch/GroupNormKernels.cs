using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>Launches of the GroupNorm family: kernels/gn_small.cu, gn_fwd.cu, gn_bwd.cu, gn_grad.cu, whose headers hold the formulas.</summary>
/// <remarks>
/// Geometry. A block of 256 threads takes a slab of channels (at most 512, 256 for the narrow kernels) and a slice of pixels (32 to 1024).
/// Of all divisions the first that gives four blocks per multiprocessor is taken, in this order: long slices of wide slabs; slices of 128
/// pixels (64 in f32), below which partial sums cost more than 3 % of the traffic, of ever narrower slabs (to 128 bytes, which costs nothing);
/// and, only where even that leaves multiprocessors without a block, slices of 64 and 32.
/// </remarks>
public static partial class GroupNormKernels
{
    private const string Op = "group norm";
    private const uint Threads = 256;
    private const int TileBytes = 64 << 10, SmallStaticBytes = 11008, SmallGroups = 64;

    /// <summary>Plans y = resample(act(a x + b)) with the statistics and a, b kept.</summary>
    /// <param name="shape">Sizes, strides, modes.</param>
    /// <param name="dtype">Element type of x and y.</param>
    /// <param name="limits">Of the device.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static GroupNormPlan Plan(GroupNormShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        Validate(shape);
        int b = dtype.Bytes(), full = 16 / b;
        bool narrow = shape.C % full != 0 || shape.X % full != 0 || shape.Y % full != 0;
        (long n, long p, long c) = (shape.N, shape.Pixels, shape.C);
        long modulation = shape.Modulated ? 8 * n * c : 0, stats = 8 * n * shape.G, activations = n * p * c * b;
        string type = dtype.Suffix(), act = shape.Silu ? "silu" : "none";
        long result = n * shape.ResultPixels * c * b;
        if (!shape.Staged && Slab(shape, b, narrow ? 1 : full, limits) is { } slab)
        {
            long slabs = CeilDiv(c, slab);
            string entry = $"gn_small_{(narrow ? "narrow" : shape.Resample == KernelResample.Keep ? act : $"{act}_{Name(shape.Resample)}")}_{type}";
            LaunchShape grid = Linear(Op, n * slabs, Threads, p * slab * b, limits);
            long bytes = activations + result + (16 * n * c) + modulation + stats;
            return new(shape, dtype, [new(new(entry, grid, bytes), (int)slabs, slab, 1, (int)p)], 0, activations + result);
        }

        (int cs, int rows) = Divide(n, p, shape.C, narrow ? 1 : full, b, limits);
        GroupNormPlan.Step sums = Step($"gn_stats_{(narrow ? "narrow_" : "")}{type}", n, p, shape.C, cs, rows, limits, channels => activations + (channels * (16 + b)));
        sums = sums with
        {
            Unit = FinalChannels(shape),
            Launch = sums.Launch with { Shape = Linear(Op, n * sums.Slabs * sums.Slices, Threads, 8L * FinalChannels(shape), limits) },
        };
        sums = WithTraffic(sums, sums.Launch.TrafficBytes + (16 * n * c) + (n * c * b) + modulation + stats + (4 * n * sums.Slices * sums.TicketsOfSlice(shape.C)));
        long items = shape.Resample == KernelResample.Down2 ? shape.ResultPixels : p;
        (cs, rows) = Divide(n, items, shape.C, narrow ? 1 : full, b, limits);
        string apply = narrow ? $"gn_apply_narrow_{type}" : $"gn_apply_{act}_{Name(shape.Resample)}_{type}";
        GroupNormPlan.Step last = Step(apply, n, items, shape.C, cs, rows, limits, channels => activations + result + (8 * channels));
        return new(shape, dtype, [sums, last], RoundUp(8 * n * sums.Slices * c, 256), (2 * activations) + result);
    }

    /// <summary>Launches of a forward plan at addresses.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> Enqueue(GroupNormPlan plan, in GroupNormArguments a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        GroupNormShape s = plan.Shape;
        Require(plan.Steps[^1].Launch.Entry.StartsWith("gn_small", StringComparison.Ordinal) || plan.Steps[0].Launch.Entry.StartsWith("gn_stats", StringComparison.Ordinal), Op, $"not a forward plan");
        CheckAddresses(plan, a);
        GroupNormArguments arguments = a; // a lambda cannot see an in parameter
        return [.. plan.Steps.Select(step => KernelLaunch.Of(step.Launch, Parameters(s, step, arguments)))];
    }

    private static void CheckAddresses(GroupNormPlan plan, in GroupNormArguments a)
    {
        GroupNormShape s = plan.Shape;
        Require(a.X != 0 && a.Y != 0 && a.Gamma != 0 && a.Beta != 0 && a.Mean != 0 && a.Rstd != 0 && a.Ab != 0, Op, $"x, y, gamma, beta, mean, rstd and ab must be given");
        Require(a.X != a.Y, Op, $"y must not be x");
        CheckModulation(s, a.Scale, a.Shift, a.ModulationStride);
        CheckWorkspace(Op, plan, a.Workspace);
        CheckTickets(plan, a.Tickets);
        bool wide = !plan.Steps[^1].Launch.Entry.Contains("narrow", StringComparison.Ordinal);
        Require(!wide || (a.X % 16 == 0 && a.Y % 16 == 0 && a.Ab % 16 == 0), Op, $"x, y and ab must be 16-byte aligned");
    }

    /// <summary>Parameters of a launch.</summary>
    private static GnForwardParams Parameters(GroupNormShape s, GroupNormPlan.Step step, in GroupNormArguments a) => new()
    {
        X = a.X,
        Gamma = a.Gamma,
        Beta = a.Beta,
        Scale = a.Scale,
        Shift = a.Shift,
        Partial = a.Workspace,
        Mean = a.Mean,
        Rstd = a.Rstd,
        Ab = a.Ab,
        Y = a.Y,
        Ldx = s.X,
        Ldy = s.Y,
        Ldm = a.ModulationStride == 0 ? s.C : a.ModulationStride,
        N = s.N,
        P = (int)s.Pixels,
        C = s.C,
        G = s.G,
        W = s.W,
        Slabs = step.Slabs,
        Cs = step.Channels,
        Slices = step.Slices,
        Rows = step.Rows,
        Act = s.Silu ? 1 : 0,
        Resample = (int)s.Resample,
        Every = Math.Max(1, a.StatsStride),
        Eps = a.Eps,
        Cf = step.Unit,
        Tickets = step.Unit > 0 ? a.Tickets : 0,
    };

    private static string Name(KernelResample resample) => resample switch
    {
        KernelResample.Keep => "keep",
        KernelResample.Down2 => "down2",
        _ => "up2",
    };

    private static void Validate(GroupNormShape s)
    {
        ArgumentNullException.ThrowIfNull(s);
        Require(s.N >= 1 && s.H >= 1 && s.W >= 1 && s.C >= 1, Op, $"N, H, W and C must be at least 1, not {s.N}, {s.H}, {s.W}, {s.C}");
        Require(s.G >= 1 && s.C % s.G == 0, Op, $"{s.G} groups must divide {s.C} channels");
        Require(s.D <= 4096, Op, $"a group may have 4096 channels, not {s.D}");
        Require(s.Pixels <= 1 << 28, Op, $"a sample may have 2^28 pixels, not {s.Pixels}");
        Require(s.Resample != KernelResample.Down2 || (s.H % 2 == 0 && s.W % 2 == 0), Op, $"down2 needs even height and width, not {s.H} x {s.W}");
        foreach (long stride in (ReadOnlySpan<long>)[s.X, s.Y, s.Dy, s.Dx, s.DxIn])
        {
            Require(stride >= s.C && stride < 1 << 20, Op, $"a row stride must lie in C..2^20-1, not {stride}");
            Require(((4L * 1024) + (4L * s.W)) * stride < 1L << 31, Op, $"(4 x 1024 + 4 W) x stride must be below 2^31: W = {s.W}, stride {stride}");
        }
    }

    private static void CheckTickets(GroupNormPlan plan, ulong tickets) =>
        Require((plan.TicketBytes > 0) == (tickets != 0) && tickets % 4 == 0, Op, $"tickets must be given, 4-byte aligned, when the plan has them, else not");

    private static void CheckModulation(GroupNormShape s, ulong scale, ulong shift, long stride)
    {
        Require(s.Modulated == (scale != 0) && (scale != 0) == (shift != 0), Op, $"scale and shift must both be given when the plan is modulated, else neither");
        Require(stride == 0 || stride >= s.C, Op, $"the stride of scale and shift must be at least {s.C}, not {stride}");
    }

    /// <summary>Channels of a slab of the one-launch kernel, or null when none fits.</summary>
    private static int? Slab(GroupNormShape s, int b, int vector, in DeviceLimits limits)
    {
        int most = Math.Min(vector == 1 ? 256 : 512, s.D * SmallGroups);
        long tile = Math.Min(TileBytes, limits.SharedPerBlockOptIn - SmallStaticBytes);
        bool Fits(long channels) => channels <= most && s.Pixels * channels * b <= tile;
        // Whole groups, whole vectors; whole sectors of 32 bytes too if such slabs fit.
        long Basis(long unit) => Math.Min(s.C, unit * Math.Max(1, CeilDiv(64 / b, unit)));
        long basisOfSectors = Basis(Lcm(s.D, 32 / b));
        int basis = (int)(Fits(basisOfSectors) ? basisOfSectors : Basis(Lcm(s.D, vector)));
        if (!Fits(basis) || Math.Max(s.Pixels * s.X, s.ResultPixels * s.Y) >= 1L << 31)
        {
            return null;
        }

        int best = basis;
        for (int cs = 2 * basis; cs <= Math.Min(most, s.C) && s.Pixels * cs * b <= 16 << 10; cs += basis)
        {
            best = s.N * CeilDiv(s.C, cs) >= 4L * limits.SmCount ? cs : best;
        }

        return best;
    }

    /// <summary>Channels of a slab and pixels of a slice; see the remarks of the class.</summary>
    internal static (int Channels, int Rows) Divide(long n, long pixels, int c, int vector, int b, in DeviceLimits limits)
    {
        int widest = vector == 1 ? 256 : 512, narrowest = 128 / b, usual = b == 4 ? 64 : 128;
        long most = limits.SmCount * 4L, least = limits.SmCount;
        int slabs = (int)CeilDiv(c, widest), cs = Width(slabs); // c and 32 / b are multiples of a vector
        for (int rows = 1024; rows >= usual; rows /= 2)
        {
            if (Blocks(cs, rows) >= most)
            {
                return (cs, rows);
            }
        }

        while (Blocks(cs, usual) < most && Width(slabs + 1) >= narrowest)
        {
            cs = Width(++slabs);
        }

        int slice = usual;
        while (slice > 32 && Blocks(cs, slice) < least)
        {
            slice /= 2;
        }

        return (cs, slice);

        int Width(int count) => (int)Math.Min(c, RoundUp(CeilDiv(c, count), 32 / b)); // whole sectors
        long Blocks(int width, int rows) => n * CeilDiv(c, width) * CeilDiv(pixels, rows);
    }

    /// <summary>A launch over slabs and slices; its traffic from the channels of all blocks together.</summary>
    private static GroupNormPlan.Step Step(
        string entry, long n, long pixels, int c, int cs, int rows, in DeviceLimits limits, Func<long, long> traffic)
    {
        long slabs = CeilDiv(c, cs), slices = CeilDiv(pixels, rows), blocks = n * slabs * slices;
        return new(new(entry, Linear(Op, blocks, Threads, 0, limits), traffic(n * slices * c)), (int)slabs, cs, (int)slices, rows);
    }

    private static GroupNormPlan.Step FinalizeStep(string entry, GroupNormShape s, int slices, in DeviceLimits limits, long otherBytes)
    {
        int cs = FinalChannels(s);
        long slabs = CeilDiv(s.C, cs);
        LaunchShape grid = Linear(Op, s.N * slabs, Threads, 8L * cs, limits);
        return new(new(entry, grid, (8L * s.N * slices * s.C) + otherBytes), (int)slabs, cs, slices, 0);
    }

    /// <summary>About 64 channels: as many as a block adds at once, in whole groups, and in whole sectors where that takes few more.</summary>
    private static int FinalChannels(GroupNormShape s)
    {
        long unit = Lcm(s.D, 8) <= 192 ? Lcm(s.D, 8) : s.D;
        return (int)Math.Min(Math.Min(s.C, 64L * s.D), Math.Max(1, 64 / unit) * unit);
    }

    private static long Lcm(long a, long b) => a / Gcd(a, b) * b;

    private static long Gcd(long a, long b) => b == 0 ? a : Gcd(b, a % b);
}
