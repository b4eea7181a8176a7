using System.Globalization;
using System.Text;

namespace AdmNative.Core;

/// <summary>What a plan costs, per kind of op and in total.</summary>
/// <param name="Ops">One row per op name, most floating-point operations first, then most bytes.</param>
/// <param name="Steps">Steps in the plan.</param>
/// <param name="Flops">Floating-point operations of one run.</param>
/// <param name="MovedBytes">Operands and results of all steps as they are stored, each counted once per step: the least a run can touch.</param>
/// <param name="ArenaBytes">Inputs, activations, outputs and workspaces.</param>
/// <param name="ParameterBytes">Parameters the plan reads, as f32.</param>
/// <param name="Seconds">Sum of the step times given; 0 without timing.</param>
public sealed record PlanReport(
    IReadOnlyList<PlanReport.Row> Ops,
    int Steps,
    double Flops,
    long MovedBytes,
    long ArenaBytes,
    long ParameterBytes,
    double Seconds)
{
    /// <summary>Totals of all steps with one op name.</summary>
    /// <param name="Op">Op name.</param>
    /// <param name="Steps">How many.</param>
    /// <param name="Flops">Floating-point operations.</param>
    /// <param name="MovedBytes">Operands and results.</param>
    /// <param name="Seconds">Measured time; 0 without timing.</param>
    public sealed record Row(string Op, int Steps, double Flops, long MovedBytes, double Seconds);

    /// <summary>Counts a plan.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="stepSeconds">Seconds per step, e.g. <see cref="IExecutable.StepSeconds"/> of a timed run.</param>
    public static PlanReport Of(Plan plan, IReadOnlyList<double>? stepSeconds = null)
    {
        ArgumentNullException.ThrowIfNull(plan);
        if (stepSeconds is not null && stepSeconds.Count != plan.Steps.Count)
        {
            throw new ArgumentException($"{stepSeconds.Count} step times for a plan of {plan.Steps.Count} steps");
        }

        var rows = new Dictionary<string, Row>();
        var parameters = new HashSet<Node>();
        for (int s = 0; s < plan.Steps.Count; s++)
        {
            parameters.UnionWith(plan.Steps[s].Node.Inputs.Where(i => i.Kind == NodeKind.Parameter));
            Row step = CostOf(plan, s);
            Row row = rows.GetValueOrDefault(step.Op) ?? new Row(step.Op, 0, 0, 0, 0);
            rows[row.Op] = row with
            {
                Steps = row.Steps + 1,
                Flops = row.Flops + step.Flops,
                MovedBytes = row.MovedBytes + step.MovedBytes,
                Seconds = row.Seconds + (stepSeconds?[s] ?? 0),
            };
        }

        Row[] sorted = [.. rows.Values.OrderByDescending(r => r.Flops).ThenByDescending(r => r.MovedBytes)
            .ThenBy(r => r.Op, StringComparer.Ordinal)];
        return new PlanReport(sorted, plan.Steps.Count, sorted.Sum(r => r.Flops), sorted.Sum(r => r.MovedBytes),
            plan.ArenaBytes, parameters.Sum(p => Bytes(plan, p)), sorted.Sum(r => r.Seconds));
    }

    /// <summary>The row of one step, without a time.</summary>
    public static Row CostOf(Plan plan, int step)
    {
        ArgumentNullException.ThrowIfNull(plan);
        Node node = plan.Steps[step].Node;
        return new Row(node.Op!.Name, 1, node.Op.Flops([.. node.Inputs.Select(i => i.Type)], node.Type), Bytes(plan, node) + node.Inputs.Sum(i => Bytes(plan, i)), 0);
    }

    /// <summary>A table; with times, also the share of each op and its rate.</summary>
    public override string ToString()
    {
        bool timed = Seconds > 0;
        var text = new StringBuilder();
        text.Append(Format($"{"op",-22}{"steps",7}{"GFLOP",12}{"moved MB",12}"));
        text.Append(timed ? Format($"{"ms",12}{"share",8}{"GFLOP/s",10}\n") : "\n");
        foreach (Row row in Ops.Append(new Row("total", Steps, Flops, MovedBytes, Seconds)))
        {
            text.Append(Format($"{row.Op,-22}{row.Steps,7}{row.Flops / 1e9,12:F4}{row.MovedBytes / 1e6,12:F3}"));
            text.Append(timed
                ? Format($"{row.Seconds * 1e3,12:F3}{row.Seconds / Seconds,8:P1}{(row.Seconds > 0 ? row.Flops / row.Seconds / 1e9 : 0),10:F2}\n")
                : "\n");
        }

        return text.Append(Format($"arena {ArenaBytes / 1e6:F3} MB, parameters {ParameterBytes / 1e6:F3} MB\n")).ToString();
    }

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static long Bytes(Plan plan, Node node) => node.Shape.Elements * plan.Layouts[node.Id].DType.SizeBytes();
}
