using System.Globalization;
using System.Runtime.CompilerServices;

namespace AdmNative.Cuda;

/// <summary>The checks launchers make before a launch, so that kernels need not: each failure names the clause it breaks.</summary>
internal static class LaunchRule
{
    /// <summary>Throws unless the clause holds.</summary>
    /// <param name="holds">The clause.</param>
    /// <param name="operation">Whose clause, e.g. "gn forward".</param>
    /// <param name="clause">The clause in words, with the values that break it.</param>
    /// <exception cref="ArgumentException">It does not hold.</exception>
    public static void Require(bool holds, string operation, [InterpolatedStringHandlerArgument("holds")] Clause clause)
    {
        if (!holds)
        {
            throw new ArgumentException($"{operation}: {clause.Text}");
        }
    }

    /// <summary>Smallest multiple of <paramref name="unit"/> that is at least <paramref name="value"/>.</summary>
    public static long RoundUp(long value, long unit) => checked((value + unit - 1) / unit * unit);

    /// <summary>ceil(a / b) for a >= 0, b > 0.</summary>
    public static long CeilDiv(long a, long b) => (a / b) + (a % b == 0 ? 0 : 1);

    /// <summary>A one-dimensional launch; refuses grids beyond the device's limit.</summary>
    /// <exception cref="ArgumentException">Too many blocks, or none.</exception>
    public static LaunchShape Linear(string operation, long blocks, uint threads, long sharedBytes, in DeviceLimits limits)
    {
        long most = limits.MaxGridX;
        Require(blocks >= 1 && blocks <= most, operation, $"grid x must lie in 1..{most}, not {blocks}");
        return new LaunchShape((uint)blocks, 1, 1, threads, 1, 1, checked((uint)sharedBytes));
    }

    /// <summary>Vectors of <paramref name="width"/> elements in all rows: kernels count them in 32 bits.</summary>
    /// <exception cref="ArgumentException">There are more.</exception>
    public static long Vectors(string operation, long rows, long columns, int width)
    {
        long vectors = checked(rows * CeilDiv(columns, width));
        Require(vectors <= int.MaxValue, operation, $"{vectors} vectors are beyond 32-bit indices");
        return vectors;
    }

    /// <summary>An operand is there exactly when the plan wants it, and is aligned.</summary>
    /// <exception cref="ArgumentException">It is missing, misaligned or not part of the plan.</exception>
    public static void Address(string operation, ulong address, bool wanted, int alignment, string what)
    {
        Require(address != 0 || !wanted, operation, $"{what} is missing");
        Require(address == 0 || wanted, operation, $"{what} is not part of this plan");
        Require(address % (ulong)alignment == 0, operation, $"{what} must be {alignment}-byte aligned, not {address}");
    }

    /// <summary>The scratch memory of a plan is there, and aligned, when the plan wants some.</summary>
    /// <exception cref="ArgumentException">It is missing or misaligned.</exception>
    public static void CheckWorkspace(string operation, KernelPlan plan, ulong workspace) =>
        Require(plan.WorkspaceBytes == 0 || (workspace != 0 && workspace % 256 == 0), operation, $"needs {plan.WorkspaceBytes} bytes of workspace, 256-byte aligned");

    /// <summary>
    /// q / d = q magic &gt;&gt; shift for every q below 2^31: shift = 31 + ceil(log2 d), magic = floor(2^shift / d) + 1, which exceeds 2^shift / d by
    /// at most 1, so that the quotient is too large by less than q / 2^shift &lt;= 1 / d.
    /// </summary>
    public static (uint Magic, int Shift) Divisor(uint d)
    {
        int shift = 31 + (d <= 1 ? 0 : 32 - System.Numerics.BitOperations.LeadingZeroCount(d - 1));
        return ((uint)((1ul << shift) / d) + 1, shift);
    }

    /// <summary>Text that is only built when a clause fails.</summary>
    [InterpolatedStringHandler]
    public ref struct Clause
    {
        private DefaultInterpolatedStringHandler _text;

        public Clause(int literalLength, int formattedCount, bool holds, out bool build)
        {
            build = !holds;
            _text = build ? new DefaultInterpolatedStringHandler(literalLength, formattedCount, CultureInfo.InvariantCulture) : default;
        }

        public string Text => _text.ToStringAndClear();

        public void AppendLiteral(string value) => _text.AppendLiteral(value);

        public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

        public void AppendFormatted<T>(T value, string? format) => _text.AppendFormatted(value, format);
    }
}
