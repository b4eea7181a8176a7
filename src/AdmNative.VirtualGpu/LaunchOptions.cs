namespace AdmNative.VirtualGpu;

/// <summary>Which bugs a launch looks for. Memory that does not exist is always an error: without the check it ends the launch unexplained.</summary>
[Flags]
public enum Checks
{
    /// <summary>None: the fastest engine may be used.</summary>
    None = 0,

    /// <summary>Out of bounds, use after free, wrong window.</summary>
    Bounds = 1,

    /// <summary>Addresses that are not multiples of the access size.</summary>
    Alignment = 2,

    /// <summary>Reads of shared, local or global bytes nobody wrote.</summary>
    UninitialisedMemory = 4,

    /// <summary>Registers without a value that reach an address, a branch or a store.</summary>
    UninitialisedRegisters = 8,

    /// <summary>Two warps touch a shared word without a barrier between them, one of them writing.</summary>
    SharedRaces = 16,

    /// <summary>Two lanes of a warp do, without bar.warp.sync between them; two lanes store different values to the same bytes.</summary>
    LaneHazards = 32,

    /// <summary>Access to bytes that an asynchronous copy has in flight.</summary>
    AsyncCopies = 64,

    /// <summary>Barriers under divergence, deadlocks, .aligned instructions by part of a warp.</summary>
    Barriers = 128,

    /// <summary>Shuffles and votes from lanes that do not take part.</summary>
    WarpMasks = 256,

    /// <summary>Two CTAs touch the same global bytes without atomics, one of them writing.</summary>
    InterCta = 512,

    /// <summary>Division by zero.</summary>
    Arithmetic = 1024,

    /// <summary>The first NaN or infinity made from finite inputs. Not part of <see cref="All"/>.</summary>
    Numeric = 2048,

    /// <summary>Everything but <see cref="Numeric"/>.</summary>
    All = Numeric - 1,
}

/// <summary>In which order warps and CTAs run. A right kernel gives the same bits under every policy.</summary>
public enum SchedulePolicy
{
    /// <summary>Ascending.</summary>
    InOrder,

    /// <summary>Descending.</summary>
    Reverse,

    /// <summary>Random at every block boundary, from the seed.</summary>
    Random,

    /// <summary>The warp that waited longest runs last.</summary>
    Adversarial,
}

/// <summary>How tensor cores round their sums.</summary>
public enum MmaRounding
{
    /// <summary>A chain of f32 fused multiply-adds in k order.</summary>
    Ieee,

    /// <summary>As sm_80: groups of 8 products, aligned and truncated to 24 fractional bits.</summary>
    Sm80,

    /// <summary>As sm_90: groups of 16 products, 25 fractional bits.</summary>
    Sm90,
}

/// <summary>Which engine executes.</summary>
public enum EngineKind
{
    /// <summary>Compiled code for what runs often, when nothing is checked or counted and the runtime can generate code; else the interpreter.</summary>
    Auto,

    /// <summary>One method per micro-op; does all checks and counters.</summary>
    Interpreter,

    /// <summary>All compiled to IL; refused together with checks or counters.</summary>
    Jit,
}

/// <summary>When the data of cp.async lands.</summary>
public enum AsyncDelivery
{
    /// <summary>At issue.</summary>
    Early,

    /// <summary>At the matching wait.</summary>
    Late,
}

/// <summary>How a launch is executed and watched.</summary>
public sealed record LaunchOptions
{
    /// <summary>Bugs to look for.</summary>
    public Checks Checks { get; init; } = Checks.All;

    /// <summary>Interpreter or compiler.</summary>
    public EngineKind Engine { get; init; } = EngineKind.Auto;

    /// <summary>Order of warps and CTAs.</summary>
    public SchedulePolicy Schedule { get; init; } = SchedulePolicy.InOrder;

    /// <summary>Seed of the random policy and of the approximation noise.</summary>
    public ulong Seed { get; init; }

    /// <summary>When asynchronous copies land.</summary>
    public AsyncDelivery Delivery { get; init; } = AsyncDelivery.Early;

    /// <summary>Rounding of tensor cores.</summary>
    public MmaRounding Mma { get; init; } = MmaRounding.Ieee;

    /// <summary>Adds a hash-chosen error inside the documented bound to every .approx result.</summary>
    public bool ApproxNoise { get; init; }

    /// <summary>Count instructions, sectors, bank conflicts and the rest.</summary>
    public bool Counters { get; init; } = true;

    /// <summary>Lane instructions a launch may execute before it is stopped as endless.</summary>
    public long StepBudget { get; init; } = 1L << 34;

    /// <summary>Host threads over CTAs; 0 = all cores. Checks between CTAs and float atomics in order need 1, which they imply.</summary>
    public int Threads { get; init; }

    /// <summary>Findings kept; further ones are only counted.</summary>
    public int MaxFindings { get; init; } = 100;

    /// <summary>Asks the launch to end early: it throws <see cref="OperationCanceledException"/> and leaves memory as far as it got.</summary>
    public CancellationToken Stop { get; init; }
}
