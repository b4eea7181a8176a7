namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>What fills an operand: which register, and which edge values besides random ones.</summary>
internal enum Kind
{
    I8, I16, I32, I64, F16, F16x2, BF16, BF16x2, F32, F64, Pred, Count, Byte,

    /// <summary>Finite f32 of moderate size, for functions whose bound holds there.</summary>
    Angle,
}

/// <summary>The operands of one warp as the case sees them.</summary>
internal sealed class WarpValues(ulong[][] inputs, int first, uint mask, uint warp)
{
    public uint Mask => mask;

    /// <summary>Index of the warp in its block.</summary>
    public uint Warp => warp;

    /// <summary>An operand of any thread of the block.</summary>
    public ulong Thread(int operand, int thread) => inputs[operand][thread];

    public ulong A(int lane) => inputs[0][first + lane];

    public ulong B(int lane) => inputs[1][first + lane];

    public ulong C(int lane) => inputs[2][first + lane];

    public ulong E(int lane) => inputs[3][first + lane];

    public ulong[] Operands(int lane) => [.. inputs.Select(i => i[first + lane])];
}

/// <summary>
/// One row of the opcode table: PTX that makes %d from %a, %b, %c and %e, and what must come out. The registers are as wide as their kinds; %m is the
/// mask of executing lanes, %lane the lane, %thread the thread, %at 32 bytes of global memory of the thread. Temporaries: %t0-%t7 (32 bits), %u0-%u7 (64),
/// %h0-%h7 (16), %p0-%p3 (predicates).
/// </summary>
internal sealed record OpcodeCase(string Spelling, string Statement, Kind Result, Kind[] Inputs, Func<WarpValues, int, ulong> Expected)
{
    /// <summary>Says whether a result will do, where that is not one bit pattern; arguments: operands, expected, got.</summary>
    public Func<ulong[], ulong, ulong, bool>? Accepts { get; init; }

    /// <summary>Lanes whose result is not specified under this mask.</summary>
    public Func<WarpValues, int, bool>? Ignores { get; init; }

    public string Target { get; init; } = "sm_80";

    /// <summary>Module-scope declarations; NAME is replaced by the kernel's name.</summary>
    public string Declarations { get; init; } = "";

    /// <summary>Declarations inside the body.</summary>
    public string Locals { get; init; } = "";

    /// <summary>Findings that the inputs provoke by design.</summary>
    public Checks Provokes { get; init; }

    /// <summary>When asynchronous copies land.</summary>
    public AsyncDelivery Delivery { get; init; }

    /// <summary>False when the statement cannot stand behind a guard (several statements, or one for the whole warp).</summary>
    public bool Guardable { get; init; } = true;

    /// <summary>True when only whole warps may execute it.</summary>
    public bool WholeWarp { get; init; }

    public int Threads { get; init; } = 512;

    /// <summary>Statements as they stand in front of the guarded one, executed by every lane.</summary>
    public string Before { get; init; } = "";

    /// <summary>True when a lane's result depends on its own operands only.</summary>
    public bool IsLane { get; init; }

    public bool IsSingle => Guardable && !WholeWarp && !Statement.TrimEnd(';').Contains(';', StringComparison.Ordinal);

    public override string ToString() => Spelling;

    /// <summary>A row whose lanes do not look at each other.</summary>
    public static OpcodeCase Lane(string statement, Kind result, Kind[] inputs, Func<ulong[], ulong> expected) =>
        new(statement.Split(' ')[0], statement, result, inputs, (w, lane) => expected(w.Operands(lane))) { IsLane = true, Threads = inputs.Length > 1 ? 512 : 128 };
}
