using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace AdmNative.Benchmarks;

/// <summary>Turns a mean time into a rate: GFLOP/s, its share of the measured peak of the threads used, or GB/s.</summary>
public sealed class RateColumn(string name, string legend, Func<Layer, double, double> rate, string format) : IColumn
{
    /// <summary>GFLOP/s, fraction of the FMA peak, and GB/s.</summary>
    public static IColumn[] All { get; } =
    [
        new RateColumn("GFLOP/s", "direct-form operations per second / 1e9", (l, s) => l.Flops / s / 1e9, "F1"),
        new RateColumn("of peak", "GFLOP/s / measured FMA peak of one core (Winograd may pass 100 %)", (l, s) => l.Flops / s / Peak.FlopsPerSecond, "P0"),
        new RateColumn("GB/s", "operands and results moved once, per second / 1e9", (l, s) => l.MovedBytes / s / 1e9, "F1"),
    ];

    /// <inheritdoc/>
    public string Id => "Rate." + name;

    /// <inheritdoc/>
    public string ColumnName => name;

    /// <inheritdoc/>
    public bool AlwaysShow => true;

    /// <inheritdoc/>
    public ColumnCategory Category => ColumnCategory.Custom;

    /// <inheritdoc/>
    public int PriorityInCategory => 0;

    /// <inheritdoc/>
    public bool IsNumeric => true;

    /// <inheritdoc/>
    public UnitType UnitType => UnitType.Dimensionless;

    /// <inheritdoc/>
    public string Legend => legend;

    /// <inheritdoc/>
    public bool IsAvailable(Summary summary) => true;

    /// <inheritdoc/>
    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    /// <inheritdoc/>
    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) => GetValue(summary, benchmarkCase);

    /// <inheritdoc/>
    public string GetValue(Summary summary, BenchmarkCase benchmarkCase)
    {
        if (summary[benchmarkCase]?.ResultStatistics is not { } statistics || benchmarkCase.Parameters["Case"] is not LayerCase layerCase)
        {
            return "-";
        }

        using Layer layer = layerCase.Create(threads: 1);
        return rate(layer, statistics.Mean * 1e-9).ToString(format, CultureInfo.InvariantCulture);
    }
}
