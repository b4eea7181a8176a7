namespace AdmNative.Cuda;

/// <summary>Which kernels compute an attention; all but the first are kept for comparison.</summary>
public enum AttentionVersion
{
    /// <summary>The best for the shape.</summary>
    Best,

    /// <summary>All scores stored (kernels/attn_plain.cu); also what head dimensions above 256 get.</summary>
    Stored,

    /// <summary>Online softmax without tensor cores (attn_tile_fwd.cu, attn_tile_bwd.cu).</summary>
    Tiles,

    /// <summary>Tensor cores, one stage of keys, no swizzle (attn_step.cu): forward, f16 and bf16, head dimension 64.</summary>
    OneStage,
}

/// <summary>A planned forward attention: one launch, or three where scores are stored.</summary>
/// <param name="Shape">Its sizes.</param>
/// <param name="DType">Element type.</param>
/// <param name="Version">Best or Stored, if nothing else was asked for.</param>
/// <param name="Launches">In order.</param>
/// <param name="WorkspaceBytes">The scores, where they are stored.</param>
public sealed record AttentionForwardPlan(
    AttentionShape Shape, KernelDType DType, AttentionVersion Version, IReadOnlyList<PlannedLaunch> Launches, long WorkspaceBytes)
    : KernelPlan(Launches, WorkspaceBytes);

/// <summary>A planned backward attention: statistics of the queries, dK and dV, dQ; or seven launches where scores are stored.</summary>
/// <param name="Shape">Its sizes.</param>
/// <param name="DType">Element type.</param>
/// <param name="Version">Best or Stored, if nothing else was asked for.</param>
/// <param name="Launches">In order.</param>
/// <param name="WorkspaceBytes">The statistics, or the scores and their gradients.</param>
public sealed record AttentionBackwardPlan(
    AttentionShape Shape, KernelDType DType, AttentionVersion Version, IReadOnlyList<PlannedLaunch> Launches, long WorkspaceBytes)
    : KernelPlan(Launches, WorkspaceBytes)
{
    /// <summary>Whether its launches read LSE; where scores are stored they make the weights anew.</summary>
    public bool ReadsLse => Launches[0].Entry.StartsWith("attn_delta", StringComparison.Ordinal);
}

/// <summary>
/// Fused attention: kernels/attn_fwd.cu and attn_bwd.cu with tensor cores (f16, bf16; head dimensions that are multiples of 8 up to 128, padded
/// to 32, 64 or 128), attn_tile_fwd.cu and attn_tile_bwd.cu without (f32; other head dimensions up to 256), attn_delta.cu; attn_plain.cu above 256.
/// </summary>
public static class AttentionKernels
{
    internal const string Forward = "attention forward", Backward = "attention backward";

    /// <summary>Rows of queries that statistics are padded to.</summary>
    private const int StatsPadding = 64;

    /// <summary>Plans O = softmax(Q K^T / sqrt(d)) V with LSE.</summary>
    /// <param name="shape">Sizes.</param>
    /// <param name="dtype">Element type of Q, K, V and O.</param>
    /// <param name="limits">The device.</param>
    /// <param name="queryTile">Queries per block where tensor-core kernels offer a choice (64 or 128); 0 = choose.</param>
    /// <param name="version">Other kernels for comparison.</param>
    /// <exception cref="ArgumentException">A clause of the kernel does not hold.</exception>
    public static AttentionForwardPlan PlanForward(
        in AttentionShape shape, KernelDType dtype, in DeviceLimits limits, int queryTile = 0, AttentionVersion version = AttentionVersion.Best)
    {
        Validate(Forward, shape);
        if (Stored(shape, version))
        {
            LaunchRule.Require(queryTile == 0, Forward, $"stored scores have no query tile, not {queryTile}");
            return StoredAttention.PlanForward(shape, dtype, limits);
        }

        (int d, long heads) = (shape.HeadDim, (long)shape.N * shape.Heads);
        (string name, int padded, bool tensorCores) = Kind(d, dtype, version);
        bool oneStage = version == AttentionVersion.OneStage;
        LaunchRule.Require(d <= 256, Forward, $"this version's head dimension must lie in 1..256, not {d}");
        LaunchRule.Require(!oneStage || (d == 64 && tensorCores && queryTile == 0), Forward, $"one stage is only offered at head dimension 64 in f16 and bf16, not {d} in {dtype.Suffix()}");

        // Two fragments of rows per warp halve the shared-memory reads per product; worth it while every SM still gets two blocks.
        bool offered = tensorCores && padded <= 64;
        bool wide = offered && (queryTile == 128
            || (queryTile == 0 && !oneStage && shape.Queries >= 1024 && LaunchRule.CeilDiv(shape.Queries, 128) * heads >= 2L * limits.SmCount));
        int tile = !tensorCores ? 32 : wide ? 128 : 64;
        LaunchRule.Require(queryTile == 0 || queryTile == tile, Forward, $"query tile {queryTile} is not offered at head dimension {d} in {dtype.Suffix()}");

        long queryTiles = LaunchRule.CeilDiv(shape.Queries, tile), keyTiles = LaunchRule.CeilDiv(shape.Keys, 64);
        long shared = oneStage ? 16384 : tensorCores ? (wide ? 768L : 512L) * padded : name == "any" ? 100352 : (640L * d) + 4096;
        long traffic = heads * ((((2L * shape.Queries) + (2L * queryTiles * shape.Keys)) * d * dtype.Bytes()) + (4L * shape.Queries));
        long mma = tensorCores ? heads * queryTiles * keyTiles * (tile / 16) * padded : 0;
        LaunchShape launch = LaunchRule.Linear(Forward, queryTiles * heads, 128, shared, limits);
        string entry = $"attn_{(oneStage ? "step_" : "")}fwd_{name}{(wide ? "_q128" : "")}_{dtype.Suffix()}";
        return new(shape, dtype, version, [new(entry, launch, traffic, mma)], 0);
    }

    /// <summary>Plans dQ, dK and dV.</summary>
    /// <param name="shape">Sizes.</param>
    /// <param name="dtype">Element type of everything but LSE.</param>
    /// <param name="limits">The device.</param>
    /// <param name="version">Other kernels for comparison.</param>
    /// <exception cref="ArgumentException">A clause of the kernels does not hold.</exception>
    public static AttentionBackwardPlan PlanBackward(
        in AttentionShape shape, KernelDType dtype, in DeviceLimits limits, AttentionVersion version = AttentionVersion.Best)
    {
        Validate(Backward, shape);
        LaunchRule.Require(version != AttentionVersion.OneStage, Backward, $"one stage is only offered forward");
        if (Stored(shape, version))
        {
            return StoredAttention.PlanBackward(shape, dtype, limits);
        }

        (int d, int b, long heads) = (shape.HeadDim, dtype.Bytes(), (long)shape.N * shape.Heads);
        (string name, int wide, bool tensorCores) = Kind(d, dtype, version);
        (long queries, long keys) = (shape.Queries, shape.Keys);
        LaunchRule.Require(d <= 256, Backward, $"this version's head dimension must lie in 1..256, not {d}");
        int rows = tensorCores ? 64 : 32, cols = tensorCores ? (wide == 128 ? 32 : 64) : name == "any" ? 8 : 16;
        long sharedRows = tensorCores ? 512L * wide : name == "any" ? 100480 : (512L * d) + 4352;
        bool ownStats = tensorCores && wide == 128; // each warp reads a tile's statistics for itself
        long sharedColumns = sharedRows + (tensorCores && !ownStats ? 16L * cols : 0);
        long queryTiles = LaunchRule.CeilDiv(queries, rows), keyTiles = LaunchRule.CeilDiv(keys, rows), padded = LaunchRule.RoundUp(queries, StatsPadding);
        DeviceLimits device = limits; // a local function cannot see an in parameter
        PlannedLaunch Launch(string op, long blocks, long shared, long traffic, long mma) => new(
            $"attn_{op}_{name}_{dtype.Suffix()}", LaunchRule.Linear(Backward, blocks * heads, 128, shared, device), heads * traffic, heads * mma);
        long columnQueries = LaunchRule.RoundUp(queries, cols);
        return new(
            shape, dtype, version,
            [
                Launch("delta", padded / StatsPadding, 0, (2 * queries * d * b) + (4 * queries) + (8 * padded), 0),
                Launch(
                    "bwd_dkdv", keyTiles, sharedColumns, (4 * keys * d * b) + (keyTiles * ((2 * queries * d * b) + ((ownStats ? 32 : 8) * columnQueries))),
                    keyTiles * columnQueries * 4 * rows * wide / 2048 * (tensorCores ? 1 : 0)),
                Launch(
                    "bwd_dq", queryTiles, sharedRows, (3 * queries * d * b) + (8 * LaunchRule.RoundUp(queries, rows)) + (queryTiles * 2 * keys * d * b),
                    queryTiles * LaunchRule.RoundUp(keys, cols) * 3 * rows * wide / 2048 * (tensorCores ? 1 : 0)),
            ],
            heads * padded * 8);
    }

    /// <summary>The launches of a plan.</summary>
    /// <param name="plan">From <see cref="PlanForward"/>.</param>
    /// <param name="t">Addresses.</param>
    /// <param name="workspace">WorkspaceBytes of the plan, 256-byte aligned; 0 where it wants none.</param>
    /// <exception cref="ArgumentException">An address or stride breaks a clause of the kernel.</exception>
    public static IReadOnlyList<KernelLaunch> EnqueueForward(AttentionForwardPlan plan, in AttentionTensors t, ulong workspace = 0)
    {
        ArgumentNullException.ThrowIfNull(plan);
        AttentionShape shape = plan.Shape;
        Validate(Forward, shape, plan.DType, plan.Version, ("q", t.Q, t.QStrides), ("k", t.K, t.KvStrides), ("v", t.V, t.KvStrides), ("o", t.O, t.OStrides));
        LaunchRule.Require(t.Lse % 4 == 0, Forward, $"lse must be 4-byte aligned, not {t.Lse}");
        if (Stored(shape, plan.Version))
        {
            LaunchRule.Require(workspace != 0 && workspace % 256 == 0, Forward, $"the workspace must be 256-byte aligned, not {workspace}");
            return StoredAttention.EnqueueForward(plan, t, workspace);
        }

        var parameters = new AttnFwdParams
        {
            Q = t.Q,
            K = t.K,
            V = t.V,
            O = t.O,
            Lse = t.Lse,
            QStrides = t.QStrides,
            KvStrides = t.KvStrides,
            OStrides = t.OStrides,
            Queries = shape.Queries,
            Keys = shape.Keys,
            Heads = shape.Heads,
            D = shape.HeadDim,
            ScaleLog2 = ScaleLog2(shape.HeadDim),
        };
        return [KernelLaunch.Of(plan.Launches[0], parameters)];
    }

    /// <summary>The launches of a plan.</summary>
    /// <param name="plan">From <see cref="PlanBackward"/>.</param>
    /// <param name="g">Addresses.</param>
    /// <param name="workspace">WorkspaceBytes of the plan, 256-byte aligned.</param>
    /// <exception cref="ArgumentException">An address or stride breaks a clause of the kernels.</exception>
    public static IReadOnlyList<KernelLaunch> EnqueueBackward(AttentionBackwardPlan plan, in AttentionGradients g, ulong workspace)
    {
        ArgumentNullException.ThrowIfNull(plan);
        (AttentionShape shape, AttentionTensors t) = (plan.Shape, g.Forward);
        Validate(
            Backward, shape, plan.DType, plan.Version,
            ("q", t.Q, t.QStrides), ("k", t.K, t.KvStrides), ("v", t.V, t.KvStrides), ("o", t.O, t.OStrides), ("dO", g.DO, g.DOStrides),
            ("dq", g.DQ, g.DQStrides), ("dk", g.DK, g.DKvStrides), ("dv", g.DV, g.DKvStrides));
        LaunchRule.Require(t.Lse != 0 && t.Lse % 4 == 0, Backward, $"lse must be 4-byte aligned, not {t.Lse}");
        LaunchRule.Require(workspace != 0 && workspace % 256 == 0, Backward, $"the workspace must be 256-byte aligned, not {workspace}");
        if (Stored(shape, plan.Version))
        {
            return StoredAttention.EnqueueBackward(plan, g, workspace);
        }

        var delta = new AttnDeltaParams
        {
            O = t.O,
            DO = g.DO,
            Lse = t.Lse,
            Stats = workspace,
            OStrides = t.OStrides,
            DoStrides = g.DOStrides,
            Queries = shape.Queries,
            Heads = shape.Heads,
            D = shape.HeadDim,
        };
        var products = new AttnBwdParams
        {
            Q = t.Q,
            K = t.K,
            V = t.V,
            DO = g.DO,
            Dq = g.DQ,
            Dk = g.DK,
            Dv = g.DV,
            Stats = workspace,
            QStrides = t.QStrides,
            KvStrides = t.KvStrides,
            DoStrides = g.DOStrides,
            DqStrides = g.DQStrides,
            DkvStrides = g.DKvStrides,
            Queries = shape.Queries,
            Keys = shape.Keys,
            Heads = shape.Heads,
            ScaleLog2 = ScaleLog2(shape.HeadDim),
            Scale = Scale(shape.HeadDim),
            D = shape.HeadDim,
        };
        return [KernelLaunch.Of(plan.Launches[0], delta), KernelLaunch.Of(plan.Launches[1], products), KernelLaunch.Of(plan.Launches[2], products)];
    }

    /// <summary>d^-1/2, rounded once.</summary>
    internal static float Scale(int headDim) => (float)(1 / Math.Sqrt(headDim));

    /// <summary>d^-1/2 log2 e, rounded once.</summary>
    internal static float ScaleLog2(int headDim) => (float)(Math.Log2(Math.E) / Math.Sqrt(headDim));

    /// <summary>Which kernels serve a head dimension: that part of their names, the head dimension they are compiled for, whether with tensor cores.</summary>
    private static (string Name, int Padded, bool TensorCores) Kind(int headDim, KernelDType dtype, AttentionVersion version)
    {
        (int padded, bool f32) = (headDim <= 32 ? 32 : headDim <= 64 ? 64 : 128, dtype == KernelDType.F32);
        bool own = f32 ? headDim == padded : headDim % 8 == 0 && headDim <= padded && version != AttentionVersion.Tiles;
        return own ? ($"d{padded}", padded, !f32) : ("any", headDim, false);
    }

    private static bool Stored(in AttentionShape shape, AttentionVersion version) =>
        version == AttentionVersion.Stored || (version == AttentionVersion.Best && shape.HeadDim > 256);

    private static void Validate(string op, in AttentionShape shape)
    {
        (int n, int queries, int keys, int heads, int d) = shape;
        LaunchRule.Require(n >= 1, op, $"samples must be positive, not {n}");
        LaunchRule.Require(queries >= 1 && keys >= 1, op, $"queries and keys must be positive, not {queries} and {keys}");
        LaunchRule.Require(heads >= 1, op, $"heads must be positive, not {heads}");
        LaunchRule.Require(d >= 1, op, $"head dimension must be positive, not {d}");
    }

    private static void Validate(
        string op, in AttentionShape shape, KernelDType dtype, AttentionVersion version, params ReadOnlySpan<(string Name, ulong Address, AttentionStrides Strides)> all)
    {
        int headDim = shape.HeadDim, unit = Stored(shape, version) || Kind(headDim, dtype, version).Name == "any" ? 1 : 16 / dtype.Bytes();
        foreach ((string name, ulong address, AttentionStrides s) in all)
        {
            uint bytes = (uint)(unit * dtype.Bytes());
            LaunchRule.Require(address != 0 && address % bytes == 0, op, $"{name} must be {bytes}-byte aligned, not {address}");
            LaunchRule.Require(s.Row >= headDim && s.Row <= int.MaxValue, op, $"{name}: row stride must lie in {headDim}..2^31 - 1, not {s.Row}");
            bool whole = s.Row % unit == 0 && s.Head % unit == 0 && s.Sample % unit == 0;
            LaunchRule.Require(whole, op, $"{name}: strides must be multiples of {unit}, not {s}");
        }
    }
}
