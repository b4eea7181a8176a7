namespace AdmNative.Core.Tests;

/// <summary>Every gradient rule against central differences of its op's twin in double.</summary>
public sealed class GradientTests
{
    private const double Step = 1e-4;

    // Of larger inputs (a few weights and token grids) only every so many elements are moved; the small cases move every one.
    private const int MostProbes = 256;

    // Excused ops that no gradient rule makes, and where their values are checked instead.
    private static readonly Dictionary<Type, string> s_checkedElsewhere = new()
    {
        [typeof(GroupNormApply)] = nameof(NormalisationTests),
        [typeof(StackedLinear)] = nameof(StackLinearsTests),
        [typeof(BilinearResize)] = nameof(ClosedFormTests),
        [typeof(TimestepEmbedding)] = nameof(ClosedFormTests),
        [typeof(PredictXStart)] = nameof(SamplerStepTests),
        [typeof(DdpmMean)] = nameof(SamplerStepTests),
        [typeof(ModelLogVariance)] = nameof(SamplerStepTests),
        [typeof(DdpmStep)] = nameof(SamplerStepTests),
        [typeof(DdimStep)] = nameof(SamplerStepTests),
        [typeof(DdimXStart)] = nameof(SamplerStepTests),
        [typeof(DdimReverseStep)] = nameof(SamplerStepTests),
    };

    public static TheoryData<string, int> Differentiable()
    {
        var data = new TheoryData<string, int>();
        foreach (Op op in OpTable.Ops.Where(o => o.GradientExcuse is null))
        {
            int count = op.Cases().Count();
            for (int i = 0; i < count; i++)
            {
                data.Add(op.Name, i);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Differentiable))]
    public void The_rule_agrees_with_finite_differences(string name, int index)
    {
        OpCase sample = OpTable.Case(name, index);
        Check(sample.Op, sample.Inputs, OpTable.Draw<double>(sample, index));
    }

    [Theory]
    [MemberData(nameof(Differentiable))]
    public void Only_wanted_gradients_are_built(string name, int index)
    {
        OpCase sample = OpTable.Case(name, index);
        for (int i = 0; i < sample.Inputs.Length; i++)
        {
            if (IsData(sample.Op, i))
            {
                continue;
            }

            (Core.Graph graph, Node node, Node dy) = Build(sample.Op, sample.Inputs);
            int before = graph.Nodes.Count;
            var wanted = new bool[sample.Inputs.Length];
            Assert.All(sample.Op.Gradient(graph, node, dy, wanted), Assert.Null);
            Assert.Equal(before, graph.Nodes.Count);

            wanted[i] = true;
            Node?[] gradients = sample.Op.Gradient(graph, node, dy, wanted);
            Assert.Equal(sample.Inputs.Length, gradients.Length);
            for (int j = 0; j < gradients.Length; j++)
            {
                Assert.Equal(j == i && Carries(sample.Op, sample.Inputs[j]), gradients[j] is not null);
            }
        }
    }

    [Fact]
    public void Every_excused_op_is_made_by_a_checked_rule_or_checked_elsewhere()
    {
        var made = new HashSet<Type>();
        foreach (OpCase sample in OpTable.Ops.Where(o => o.GradientExcuse is null).SelectMany(o => o.Cases()))
        {
            (Core.Graph graph, Node node, Node dy) = Build(sample.Op, sample.Inputs);
            sample.Op.Gradient(graph, node, dy, Wanted(sample.Op, sample.Inputs));
            made.UnionWith(graph.Nodes.Where(n => n.Op is not null).Select(n => n.Op!.GetType()));
        }

        Type[] excused = [.. OpTable.Ops.Where(o => o.GradientExcuse is not null).Select(o => o.GetType())];
        Assert.DoesNotContain(excused, t => !made.Contains(t) && !s_checkedElsewhere.ContainsKey(t));
        Assert.DoesNotContain(s_checkedElsewhere.Keys, t => !excused.Contains(t) || made.Contains(t));
    }

    [Fact]
    public void The_check_sees_a_wrong_rule()
    {
        HostArray<double> x = OpTable.Random64([7], 1);
        Assert.ThrowsAny<Xunit.Sdk.XunitException>(() => Check(new SlightlyWrong(), [TensorType.F32([7])], [x]));
    }

    [Fact]
    public void The_check_sees_a_kink()
    {
        HostArray<double> x = OpTable.Array64([2], 0.5 * Step, 1);
        Assert.Contains(
            "kink",
            Assert.ThrowsAny<Xunit.Sdk.XunitException>(() => Check(new Relu(), [TensorType.F32([2])], [x])).Message,
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void The_bound_refuses_gradients_of_its_data(int input)
    {
        OpCase sample = OpTable.Case(nameof(VlbPerSample), 0);
        (Core.Graph graph, Node node, Node dy) = Build(sample.Op, sample.Inputs);
        var wanted = new bool[sample.Inputs.Length];
        wanted[input] = true;
        Assert.Throws<NotSupportedException>(() => sample.Op.Gradient(graph, node, dy, wanted));
    }

    /// <summary>
    /// Compares the rule with D = (4 D(h) - D(2h)) / 3, D(h) the central difference of sum(w * y) for a random w. The tolerance is
    /// the change that extrapolation made (which bounds what it left) plus the rounding of the sum, 2^10 roundings of its terms over h.
    /// </summary>
    internal static void Check(Op op, TensorType[] types, HostArray<double>[] inputs, double step = Step)
    {
        (Core.Graph graph, Node node, Node dy) = Build(op, types);
        bool[] wanted = Wanted(op, types);
        Node?[] gradients = op.Gradient(graph, node, dy, wanted);
        HostArray<double> w = OpTable.Random64(node.Shape, 77);
        var given = new Dictionary<string, HostArray<double>> { ["dy"] = w };
        for (int i = 0; i < inputs.Length; i++)
        {
            given[$"x{i}"] = inputs[i];
            if (gradients[i] is { } gradient)
            {
                Assert.Equal(types[i], gradient.Type);
                graph.Output($"d{i}", gradient);
            }
        }

        Dictionary<string, HostArray<double>> rule = TwinEvaluator.Evaluate(graph, given, new Dictionary<string, HostArray<double>>());
        var y = new HostArray<double>(node.Shape);
        for (int i = 0; i < inputs.Length; i++)
        {
            if (!wanted[i] || !Carries(op, types[i]))
            {
                Assert.Null(gradients[i]);
                continue;
            }

            Assert.NotNull(gradients[i]);
            double[] actual = rule[$"d{i}"].Data;
            int stride = (actual.Length + MostProbes - 1) / MostProbes;
            for (int j = 0; j < actual.Length; j += stride)
            {
                (double near, double rounding) = Difference(op, inputs, y, w, i, j, step);
                (double far, _) = Difference(op, inputs, y, w, i, j, 2 * step);
                double change = Math.Abs(near - far) / 3;
                Assert.True(
                    change <= 1e-5 * (1 + Math.Abs(near)),
                    $"{op} input {i} element {j}: a kink, or too rough for finite differences ({near:g6} and {far:g6}); choose another case");
                double expected = near + ((near - far) / 3);
                Assert.True(
                    Math.Abs(actual[j] - expected) <= change + rounding,
                    $"{op} input {i} element {j}: rule {actual[j]:R}, differences {expected:R}, allowed {change + rounding:g2}");
            }
        }
    }

    private static (double Slope, double Rounding) Difference(
        Op op, HostArray<double>[] inputs, HostArray<double> y, HostArray<double> w, int input, int element, double step)
    {
        double[] data = inputs[input].Data;
        double at = data[element];
        double magnitude = 0;
        double Sum(double value)
        {
            data[element] = value;
            op.Twin(inputs, y);
            double sum = 0;
            for (int i = 0; i < y.Data.Length; i++)
            {
                sum += w.Data[i] * y.Data[i];
                magnitude += Math.Abs(w.Data[i] * y.Data[i]);
            }

            return sum;
        }

        double slope = (Sum(at + step) - Sum(at - step)) / (2 * step);
        data[element] = at;
        return (slope, (magnitude + 1) * Math.Pow(2, -53 + 10) / step);
    }

    private static (Core.Graph Graph, Node Node, Node Dy) Build(Op op, TensorType[] types)
    {
        var graph = new Core.Graph();
        Node node = graph.Add(op, [.. types.Select((t, i) => graph.Input($"x{i}", t))]);
        return (graph, node, graph.Input("dy", node.Type));
    }

    private static bool[] Wanted(Op op, TensorType[] types) => [.. types.Select((_, i) => !IsData(op, i))];

    // Inputs whose gradient the op refuses on purpose; The_bound_refuses_gradients_of_its_data.
    private static bool IsData(Op op, int input) => op is VlbPerSample && input is (1 or 2 or 3);

    private static bool Carries(Op op, TensorType type) => type.DType == DType.F32 && op is not StopGradient;

    private sealed record SlightlyWrong : Op
    {
        public override TensorType Infer(ReadOnlySpan<TensorType> inputs) => inputs[0];

        public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
        {
            for (int i = 0; i < output.Data.Length; i++)
            {
                output.Data[i] = inputs[0].Data[i] + inputs[0].Data[i];
            }
        }

        public override Node?[] Gradient(Core.Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
            [graph.Scale(dy, 2.000001)];

        public override IEnumerable<OpCase> Cases() => [];
    }
}
