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
