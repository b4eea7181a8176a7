namespace AdmNative.Core.Tests;

/// <summary>What every op of the table owes, walked by reflection.</summary>
public sealed class OpTableTests
{
    public static TheoryData<string, int> Cases() => OpTable.Cases();

    public static TheoryData<string> Names() => OpTable.Names();

    [Fact]
    public void The_table_is_not_empty() => Assert.True(OpTable.Ops.Count >= 60, $"only {OpTable.Ops.Count} ops found");

    [Theory]
    [MemberData(nameof(Names))]
    public void Each_op_has_cases_of_its_own_kind_and_a_gradient_rule_or_an_excuse(string name)
    {
        Op op = OpTable.Prototype(name);
        OpCase[] cases = [.. op.Cases()];
        Assert.NotEmpty(cases);
        Assert.All(cases, c => Assert.Equal(op.GetType(), c.Op.GetType()));
        Assert.Distinct(cases.Select(c => $"{c.Op} {string.Join(' ', c.Inputs.AsEnumerable())} {string.Join(' ', c.Scale ?? [])}"));
        bool hasRule = op.GetType().GetMethod(nameof(Op.Gradient))!.DeclaringType == op.GetType();
        Assert.NotEqual(hasRule, op.GradientExcuse is not null);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void An_excused_op_refuses_to_be_differentiated(string name)
    {
        OpCase sample = OpTable.Case(name, 0);
        if (sample.Op.GradientExcuse is null)
        {
            return; // GradientTests differentiates it
        }

        var graph = new Core.Graph();
        Node node = graph.Add(sample.Op, [.. sample.Inputs.Select((t, i) => graph.Input($"x{i}", t))]);
        var wanted = new bool[sample.Inputs.Length];
        string message = Assert.Throws<NotSupportedException>(() => sample.Op.Gradient(graph, node, node, wanted)).Message;
        Assert.Contains(name, message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_twin_writes_every_element_and_f32_agrees_with_f64(string name, int index)
    {
        OpCase sample = OpTable.Case(name, index);
        double[] wide = OpTable.Run(sample.Op, OpTable.Draw<double>(sample, index)).Data;
        float[] narrow = OpTable.Run(sample.Op, OpTable.Draw<float>(sample, index)).Data;

        // Output starts as NaN in Run, so an element that is skipped fails here. The largest sums have about 150 terms and the
        // likelihood's difference of two CDFs loses about 6 bits: 64 ulps of the largest value, twice.
        Assert.All(wide, v => Assert.True(double.IsFinite(v)));
        double tolerance = 128 * Math.Pow(2, -24) * Math.Max(1, wide.Select(Math.Abs).DefaultIfEmpty(0).Max());
        OpTable.Close(wide, [.. narrow.Select(v => (double)v)], tolerance);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void In_place_is_only_promised_where_it_can_hold(string name, int index)
    {
        OpCase sample = OpTable.Case(name, index);
        TensorType result = sample.Op.Infer(sample.Inputs);
        HostArray<double>[] inputs = OpTable.Draw<double>(sample, index);
        double[] expected = OpTable.Run(sample.Op, inputs).Data;
        for (int i = 0; i < sample.Inputs.Length; i++)
        {
            if (sample.Op.InPlace(i))
            {
                Assert.Equal(result, sample.Inputs[i]);
                HostArray<double>[] copies = [.. inputs.Select(a => new HostArray<double>(a.Shape, [.. a.Data]))];
                sample.Op.Twin(copies, copies[i]);
                Assert.Equal(expected, copies[i].Data);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Wrong_element_types_and_counts_are_refused_by_name(string name, int index)
    {
        OpCase sample = OpTable.Case(name, index);
        for (int i = 0; i < sample.Inputs.Length; i++)
        {
            TensorType[] types = [.. sample.Inputs];
            types[i] = types[i] with { DType = DType.F16 };
            Refused(sample.Op, types);
        }

        if (sample.Inputs.Length > 0)
        {
            Refused(sample.Op, []);
        }

        if (sample.Op is not ConcatChannels)
        {
            // No op takes five scalars more than its cases have.
            Refused(sample.Op, [.. sample.Inputs, .. Enumerable.Repeat(TensorType.F32([]), 5)]);
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Equal_attributes_make_equal_ops(string name, int index)
    {
        Op a = OpTable.Case(name, index).Op;
        Op b = OpTable.Case(name, index).Op;
        Assert.Equal(a, b);
        Assert.Equal(a.GetHashCode(), b.GetHashCode());
    }

    private static void Refused(Op op, TensorType[] types)
    {
        string message = Assert.Throws<ShapeException>(() => op.Infer(types)).Message;
        Assert.StartsWith(op.Name + ":", message, StringComparison.Ordinal);
        Assert.EndsWith("; got " + string.Join(" ", types.Select(t => t.ToString())), message, StringComparison.Ordinal);
    }
}
