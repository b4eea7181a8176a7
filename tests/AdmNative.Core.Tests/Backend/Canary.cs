namespace AdmNative.Core.Tests;

/// <summary>
/// The strongest check of a plan: run by the twins at the plan's own addresses, in an arena full of NaN, every output
/// must equal direct evaluation bit for bit. A second run with other inputs must not see the first.
/// </summary>
internal static class Canary
{
    public static Plan AssertPlanIsRight(Graph graph, PlannerOptions options, string what)
    {
        using var backend = new TwinBackend(DType.F64, options);
        Plan plan = backend.Plan(graph);
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(Numbers.Parameters(graph, 1)));
        using var run = (TwinExecutable<double>)backend.Load(plan, parameters);
        foreach (int seed in new[] { 1, 2 })
        {
            Dictionary<string, HostArray<double>> inputs = Numbers.Inputs(graph, seed);
            Dictionary<string, HostArray<double>> expected = TwinEvaluator.Evaluate(graph, inputs, Numbers.Parameters(graph, 1));
            foreach ((string name, HostArray<double> value) in inputs)
            {
                run.SetValues(name, value);
            }

            run.Run();
            foreach ((string name, HostArray<double> value) in expected)
            {
                double[] actual = run.GetValues(name).Data;
                for (int i = 0; i < actual.Length; i++)
                {
                    // Text only on failure: printing a plan per element would take minutes.
                    if (!double.IsFinite(value.Data[i]))
                    {
                        Assert.Fail($"{what}: {name}[{i}] is {value.Data[i]}; the graph proves nothing");
                    }

                    if (BitConverter.DoubleToInt64Bits(value.Data[i]) != BitConverter.DoubleToInt64Bits(actual[i]))
                    {
                        Assert.Fail($"{what}: {name}[{i}] is {actual[i]:R}, not {value.Data[i]:R}\n{plan}");
                    }
                }
            }
        }

        return plan;
    }
}
