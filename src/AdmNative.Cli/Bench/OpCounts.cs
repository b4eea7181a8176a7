using System.Globalization;
using System.Text;
using AdmNative.Core;
using AdmNative.VirtualGpu;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>Times of an op on a device that nobody has measured.</summary>
/// <param name="Bound">Seconds: the sum over its launches of what no device of this kind can beat, from what the launches did.</param>
/// <param name="Roofline">Seconds: the larger of the op's operations at the peak rate and its operands and results, each moved once, at the memory bandwidth.</param>
internal readonly record struct OpTime(double Bound, double Roofline)
{
    public static OpTime operator +(OpTime a, OpTime b) => new(a.Bound + b.Bound, a.Roofline + b.Roofline);
}

/// <summary>What the launches of all steps with one op name did on the virtual device.</summary>
internal sealed record OpCounts(string Op, int Steps, int Launches, double Flops, long MovedBytes, Counters Counters, IReadOnlyList<OpTime> Times)
{
    public static OpCounts operator +(OpCounts a, OpCounts b) => new(
        a.Op, a.Steps + b.Steps, a.Launches + b.Launches, a.Flops + b.Flops, a.MovedBytes + b.MovedBytes, a.Counters + b.Counters,
        [.. a.Times.Zip(b.Times, (x, y) => x + y)]);
}

/// <summary>Counters of one run of a plan, per op, with bounds on the time for every device profile.</summary>
internal sealed class CountedRun
{
    private CountedRun(IReadOnlyList<OpCounts> ops, IReadOnlyList<Finding> findings) => (Ops, Findings) = (ops, findings);

    /// <summary>Most memory traffic first.</summary>
    public IReadOnlyList<OpCounts> Ops { get; }

    /// <summary>What the checks found; empty when they were off, or silent.</summary>
    public IReadOnlyList<Finding> Findings { get; }

    public OpCounts Total => Ops.Aggregate((a, b) => a + b) with { Op = "total" };

    /// <param name="plan">The plan that ran.</param>
    /// <param name="stepLaunches">Launches of each of its steps.</param>
    /// <param name="launches">What they did, in order.</param>
    public static CountedRun Of(Plan plan, IReadOnlyList<int> stepLaunches, IReadOnlyList<(string Kernel, Counters Counters, IReadOnlyList<Finding> Findings)> launches)
    {
        if (stepLaunches.Sum() != launches.Count)
        {
            throw new InvalidOperationException($"the steps have {stepLaunches.Sum()} launches, {launches.Count} were seen");
        }

        var rows = new Dictionary<string, OpCounts>();
        for (int s = 0, next = 0; s < plan.Steps.Count; s++)
        {
            Node node = plan.Steps[s].Node;
            Counters[] counters = [.. launches.Skip(next).Take(stepLaunches[s]).Select(l => l.Counters)];
            next += stepLaunches[s];
            PlanReport.Row cost = PlanReport.CostOf(plan, s);
            Counters sum = counters.Aggregate(new Counters(), (a, b) => a + b);
            OpTime[] times = [.. DeviceProfile.All.Select(p => new OpTime(counters.Sum(c => Bounds.Of(c, p).Seconds), Roofline(cost, sum.MmaInstructions > 0, p)))];
            var row = new OpCounts(cost.Op, 1, counters.Length, cost.Flops, cost.MovedBytes, sum, times);
            rows[row.Op] = rows.TryGetValue(row.Op, out OpCounts? before) ? before + row : row;
        }

        return new CountedRun([.. rows.Values.OrderByDescending(r => Requested(r.Counters))], [.. launches.SelectMany(l => l.Findings)]);
    }

    public static long Requested(Counters c) => c.GlobalReadBytes + c.GlobalWriteBytes;

    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append(Format($"{"op",-22}{"steps",6}{"launches",9}{"GFLOP",9}{"moved MB",10}{"asked MB",10}{"touched MB",11}{"conflicts",10}{"mma",9}{"M instr.",9}"));
        foreach (DeviceProfile p in DeviceProfile.All)
        {
            text.Append(Format($"{p.Alias,9} us{"roofline",10}"));
        }

        foreach (OpCounts r in Ops.Append(Total))
        {
            Counters c = r.Counters;
            text.Append('\n').Append(Format($"{r.Op,-22}{r.Steps,6}{r.Launches,9}{r.Flops / 1e9,9:F3}{r.MovedBytes / 1e6,10:F2}{Requested(c) / 1e6,10:F2}{c.GlobalFootprintSectors * 32 / 1e6,11:F2}{c.SharedConflicts,10}{c.MmaInstructions,9}{c.WarpInstructions / 1e6,9:F2}"));
            foreach (OpTime t in r.Times)
            {
                text.Append(Format($"{t.Bound * 1e6,12:F2}{t.Roofline * 1e6,10:F2}"));
            }
        }

        return text.Append('\n').ToString();
    }

    public JArray ToJson() => new(Ops.Append(Total).Select(r => new JObject
    {
        ["op"] = r.Op,
        ["steps"] = r.Steps,
        ["launches"] = r.Launches,
        ["flops"] = r.Flops,
        ["moved_bytes"] = r.MovedBytes,
        ["requested_bytes"] = Requested(r.Counters),
        ["touched_bytes"] = 32 * r.Counters.GlobalFootprintSectors,
        ["sectors"] = r.Counters.GlobalReadSectors + r.Counters.GlobalWriteSectors,
        ["bank_conflicts"] = r.Counters.SharedConflicts,
        ["mma"] = r.Counters.MmaInstructions,
        ["special_functions"] = r.Counters.SpecialFunctionLanes,
        ["warp_instructions"] = r.Counters.WarpInstructions,
        ["barriers"] = r.Counters.Barriers,
        ["at_least_seconds"] = new JObject(DeviceProfile.All.Zip(r.Times, (p, t) => new JProperty(p.Alias, t.Bound))),
        ["roofline_seconds"] = new JObject(DeviceProfile.All.Zip(r.Times, (p, t) => new JProperty(p.Alias, t.Roofline))),
    }));

    private static double Roofline(PlanReport.Row cost, bool tensor, DeviceProfile p) => Math.Max(
        cost.Flops / (tensor ? p.TensorHalfPerSecond : 2.0 * p.FmaPerClock * p.Multiprocessors * p.ClockKhz * 1e3), cost.MovedBytes / p.DramBytesPerSecond);

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
