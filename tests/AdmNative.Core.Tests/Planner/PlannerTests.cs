namespace AdmNative.Core.Tests;

public sealed class PlannerTests
{
    private static readonly PlannerOptions s_zeroCopy = new() { ZeroCopyGrowth = double.PositiveInfinity };
    private static readonly PlannerOptions s_dense = new() { AllowStrided = static _ => false };
    private readonly Graph _graph = new();

    [Fact]
    public void Skip_concatenation_is_two_column_ranges_of_one_buffer()
    {
        Node x = _graph.Input("x", [2, 4, 4, 3]);
        Node skip = _graph.Scale(x, 2);
        Node h = Linear(_graph.Silu(skip), 5);
        Node joined = _graph.ConcatChannels(h, skip);
        _graph.Output("y", Linear(joined, 2));

        Plan plan = Right();

        Assert.DoesNotContain(plan.Steps, s => s.Node.Op is ConcatChannels);
        Assert.True(plan.IsInPlacePart(joined, 0) && plan.IsInPlacePart(joined, 1));
        ValueLayout whole = plan.Layouts[joined.Id];
        Assert.Equal(new ValueLayout(Storage.Arena, whole.OffsetBytes, 8, joined.Id), plan.Layouts[h.Id]);
        Assert.Equal(new ValueLayout(Storage.Arena, whole.OffsetBytes + 20, 8, joined.Id), plan.Layouts[skip.Id]);
    }

    [Fact]
    public void Half_stored_values_take_half_the_bytes_and_their_columns_lie_as_close()
    {
        Node x = _graph.Input("x", [2, 4, 4, 3]);
        Node skip = _graph.Scale(x, 2);
        Node h = Linear(_graph.Silu(skip), 5);
        Node joined = _graph.ConcatChannels(h, skip);
        Node cut = _graph.SliceChannels(joined, 1, 4);
        _graph.Output("y", Linear(joined, 2));
        _graph.Output("z", Linear(cut, 2));

        Plan plan = Right(s_zeroCopy with { StoredAs = Half });

        Assert.DoesNotContain(plan.Steps, s => s.Node.Op is ConcatChannels or SliceChannels);
        ValueLayout whole = plan.Layouts[joined.Id];
        Assert.Equal(DType.F16, whole.DType);
        Assert.Equal(new ValueLayout(Storage.Arena, whole.OffsetBytes + 10, 8, joined.Id, DType.F16), plan.Layouts[skip.Id]);
        Assert.Equal(new ValueLayout(Storage.Arena, whole.OffsetBytes + 2, 8, joined.Id, DType.F16), plan.Layouts[cut.Id]);
        Assert.Equal(DType.F32, plan.Layouts[x.Id].DType);
        Assert.Contains($"%{joined.Id}:f32[2,4,4,8] as F16@{whole.OffsetBytes}", plan.ToString(), StringComparison.Ordinal);
        Assert.True(plan.ArenaBytes < Right().ArenaBytes);

        DType Half(Node n) => _graph.Outputs.Any(o => o.Node == n) || n.Kind != NodeKind.Op ? n.Type.DType : DType.F16;
    }

    [Fact]
    public void Values_of_two_types_share_no_view_no_columns_and_no_buffer()
    {
        Node x = _graph.Input("x", [2, 4, 4, 4]);
        Node a = _graph.Silu(x); // half
        Node view = _graph.Reshape(a, [2, 16, 4]);
        Node b = _graph.Scale(a, 2);
        Node joined = _graph.ConcatChannels(a, b); // half
        Node part = _graph.SliceChannels(joined, 0, 4);
        Node c = _graph.Silu(_graph.Scale(part, 3));
        _graph.Output("v", _graph.Scale(view, 2));
        _graph.Output("y", c);

        Assert.DoesNotContain(Right().Steps, s => s.Node.Op is Reshape or SliceChannels or ConcatChannels);
        Plan mixed = Right(s_zeroCopy with { StoredAs = n => n == a || n == joined ? DType.BF16 : n.Type.DType });

        Assert.Contains(mixed.Steps, s => s.Node == view);
        Assert.Contains(mixed.Steps, s => s.Node == part);
        Assert.Contains(mixed.Steps, s => s.Node == joined);
        Assert.Equal([true, false], [mixed.IsInPlacePart(joined, 0), mixed.IsInPlacePart(joined, 1)]);
        Assert.Equal(-1, mixed.Layouts[view.Id].AliasOf);
        Assert.Equal(-1, mixed.Layouts[part.Id].AliasOf);
    }

    [Fact]
    public void A_result_of_another_type_does_not_overwrite_its_operand()
    {
        Node x = _graph.Input("x", [2, 8]);
        Node a = _graph.Scale(x, 2);
        Node b = _graph.Silu(a);
        _graph.Output("y", _graph.Scale(b, 3));
        Assert.Equal(a.Id, Right().Layouts[b.Id].AliasOf);
        Plan mixed = Right(s_zeroCopy with { StoredAs = n => n == b ? DType.F16 : n.Type.DType });
        Assert.Equal(-1, mixed.Layouts[b.Id].AliasOf);
        Plan all = Right(s_zeroCopy with { StoredAs = n => n == a || n == b ? DType.F16 : n.Type.DType });
        Assert.Equal(a.Id, all.Layouts[b.Id].AliasOf);
    }

    [Fact]
    public void Without_strides_every_part_is_copied()
    {
        Node x = _graph.Input("x", [2, 4, 4, 3]);
        Node joined = _graph.ConcatChannels(_graph.Silu(x), _graph.Scale(x, 2));
        _graph.Output("y", joined);
        Plan plan = Right(s_dense);
        Assert.Contains(plan.Steps, s => s.Node == joined);
        Assert.False(plan.IsInPlacePart(joined, 0) || plan.IsInPlacePart(joined, 1));
    }

    [Fact]
    public void Parts_that_cannot_be_born_in_place_are_copied_by_the_step()
    {
        Node x = _graph.Input("x", [2, 4, 4, 3]);
        Node a = _graph.Silu(x);
        Node wanted = _graph.Scale(x, 2);
        Node joined = _graph.ConcatChannels(a, x, wanted, a, _graph.SliceChannels(a, 0, 2), _graph.Parameter("p", [2, 4, 4, 1]));
        _graph.Output("wanted", wanted); // outputs are dense
        _graph.Output("y", joined);
        Plan plan = Right();
        Assert.Contains(plan.Steps, s => s.Node == joined);
        Assert.Equal([true, false, false, false, false, false], Enumerable.Range(0, 6).Select(i => plan.IsInPlacePart(joined, i)));
    }

    [Fact]
    public void A_skip_that_waits_long_is_copied_when_that_saves_memory()
    {
        Node x = _graph.Input("x", [1, 8, 8, 4]);
        Node skip = Linear(x, 4);
        Node h = skip;
        for (int i = 0; i < 3; i++)
        {
            h = Linear(_graph.Silu(Linear(h, 16)), 4); // peaks while the skip waits
        }

        Node joined = _graph.ConcatChannels(Linear(h, 16), skip);
        _graph.Output("y", _graph.MeanSpatial(joined));

        Plan always = Right();
        Plan small = Right(new PlannerOptions());
        Assert.DoesNotContain(always.Steps, s => s.Node == joined);
        Assert.Equal([true, false], [small.IsInPlacePart(joined, 0), small.IsInPlacePart(joined, 1)]);
        Assert.True(always.ArenaBytes > 1.1 * small.ArenaBytes, $"{always.ArenaBytes} and {small.ArenaBytes}");
    }

    [Fact]
    public void A_value_in_two_concatenations_is_born_in_the_first()
    {
        Node x = _graph.Input("x", [2, 2, 2, 3]);
        Node a = _graph.Silu(x);
        Node first = _graph.ConcatChannels(a, _graph.Scale(x, 2));
        Node second = _graph.ConcatChannels(_graph.Scale(x, 3), a);
        _graph.Output("y", first);
        _graph.Output("z", second);
        Plan plan = Right();
        Assert.True(plan.IsInPlacePart(first, 0));
        Assert.False(plan.IsInPlacePart(second, 1));
        Assert.Equal([second], plan.Steps.Select(s => s.Node).Where(n => n.Op is ConcatChannels));
    }

    [Fact]
    public void A_reader_that_needs_dense_rows_keeps_a_part_out()
    {
        Node x = _graph.Input("x", [2, 2, 2, 4]);
        Node a = _graph.Silu(x);
        Node flat = _graph.Reshape(a, [2, 16]); // rows of other lengths cannot be a view of strided ones
        Node joined = _graph.ConcatChannels(a, _graph.Scale(x, 2));
        _graph.Output("y", joined);
        _graph.Output("z", _graph.Scale(flat, 2));
        Plan plan = Right();
        Assert.False(plan.IsInPlacePart(joined, 0));
        Assert.True(plan.IsInPlacePart(joined, 1));
        Assert.DoesNotContain(plan.Steps, s => s.Node == flat);
    }

    [Fact]
    public void A_view_that_must_be_dense_keeps_its_source_out_of_a_concatenation()
    {
        Node x = _graph.Input("x", [2, 2, 2, 4]);
        Node a = _graph.Silu(x);
        Node joined = _graph.ConcatChannels(a, _graph.Scale(x, 2));
        _graph.Output("a", _graph.StopGradient(a));
        _graph.Output("y", joined);
        Plan plan = Right();
        Assert.False(plan.IsInPlacePart(joined, 0));
        Assert.Equal(["Silu", "Scale", "ConcatChannels"], plan.Steps.Select(s => s.Node.Op!.Name));
    }

    [Fact]
    public void Slices_are_views_where_readers_allow_and_copies_elsewhere()
    {
        Node x = _graph.Input("x", [2, 4, 4, 6]);
        Node slice = _graph.SliceChannels(x, 1, 3);
        _graph.Output("y", Linear(slice, 2));

        Plan plan = Right();
        Assert.Single(plan.Steps);
        Assert.Equal(new ValueLayout(Storage.Arena, plan.Layouts[x.Id].OffsetBytes + 4, 6, x.Id), plan.Layouts[slice.Id]);

        Plan dense = Right(s_dense);
        Assert.Equal([slice, slice], [dense.Steps[0].Node, dense.Steps[1].Node.Inputs[0]]);
        Assert.Equal(3, dense.Layouts[slice.Id].RowStride);
    }

    [Fact]
    public void A_single_row_is_dense_however_it_is_cut()
    {
        Node x = _graph.Input("x", [1, 6]);
        Node slice = _graph.SliceChannels(x, 1, 3);
        _graph.Output("y", _graph.Reshape(_graph.Silu(slice), [3, 1]));
        _graph.Output("slice", slice);
        Plan plan = Right(s_dense);
        Assert.Equal("Silu", Assert.Single(plan.Steps).Node.Op!.Name);
        Assert.Equal(3, plan.Layouts[slice.Id].RowStride);
    }

    [Fact]
    public void Reshapes_and_stopped_gradients_are_views_with_no_step()
    {
        Node x = _graph.Input("x", [2, 4, 4, 6]);
        Node view = _graph.StopGradient(_graph.Reshape(_graph.SliceChannels(x, 0, 3), [2, 16, 3]));
        _graph.Output("y", _graph.Silu(view));
        _graph.Output("flat", _graph.Reshape(x, [192]));
        Plan plan = Right();
        Assert.Equal("Silu", Assert.Single(plan.Steps).Node.Op!.Name);
        Assert.Equal(6, plan.Layouts[view.Id].RowStride);
    }

    [Fact]
    public void A_slice_whose_rows_are_reshaped_to_others_is_copied()
    {
        Node x = _graph.Input("x", [2, 4, 4, 6]);
        Node flat = _graph.Reshape(_graph.SliceChannels(x, 0, 4), [2, 64]);
        _graph.Output("y", _graph.Silu(flat));
        Assert.Equal(["SliceChannels", "Silu"], Right().Steps.Select(s => s.Node.Op!.Name));
    }

    [Fact]
    public void A_view_of_a_parameter_is_copied_into_the_arena()
    {
        _graph.Output("y", _graph.Silu(_graph.Reshape(_graph.Parameter("w", [2, 3]), [6])));
        Assert.Equal(["Reshape", "Silu"], Right().Steps.Select(s => s.Node.Op!.Name));
    }

    [Fact]
    public void Outputs_are_dense_copies_of_strided_views()
    {
        Node x = _graph.Input("x", [2, 4, 4, 6]);
        Node slice = _graph.SliceChannels(x, 1, 3);
        _graph.Output("y", slice);
        Plan plan = Right();
        Assert.Equal(slice, Assert.Single(plan.Steps).Node);
        Assert.Equal(3, plan.Layouts[slice.Id].RowStride);
    }

    [Fact]
    public void A_chain_of_in_place_ops_uses_one_buffer()
    {
        Node x = _graph.Input("x", [256]);
        Node y = _graph.Silu(_graph.Scale(_graph.Silu(_graph.Scale(x, 2)), 3));
        _graph.Output("y", y);
        Plan plan = Right();
        Assert.Equal(2 * 1024, plan.ArenaBytes); // x must survive the run
        Assert.Equal(3, plan.Steps.Count(s => plan.Layouts[s.Node.Id].AliasOf == s.Node.Inputs[0].Id));
    }

    [Fact]
    public void Nothing_is_overwritten_that_is_still_read()
    {
        Node x = _graph.Input("x", [256]);
        Node a = _graph.Scale(x, 2);
        Node b = _graph.Silu(a); // a is read again by the sum
        _graph.Output("y", _graph.Plus(a, b));
        Plan plan = Right();
        Assert.Equal(-1, plan.Layouts[b.Id].AliasOf);
        Assert.NotEqual(-1, plan.Layouts[plan.Graph.Outputs[0].Node.Id].AliasOf);
    }

    [Fact]
    public void An_operand_read_twice_by_one_op_is_overwritten_only_if_both_readings_allow_it()
    {
        Node x = _graph.Input("x", [4, 4, 3]);
        Node a = _graph.Scale(x, 2);
        _graph.Output("sum", _graph.Plus(a, a));
        Node b = _graph.Scale(x, 3);
        Node linear = _graph.Linear(b, _graph.Parameter("w", [3, 3]), _graph.Parameter("bias", [3]), b); // may overwrite its residual
        _graph.Output("linear", linear);
        Plan plan = Right();
        Assert.Equal(a.Id, plan.Layouts[plan.Graph.Outputs[0].Node.Id].AliasOf);
        Assert.Equal(-1, plan.Layouts[linear.Id].AliasOf);
    }

    [Fact]
    public void Inputs_and_outputs_are_never_overwritten()
    {
        Node x = _graph.Input("x", [256]);
        Node y = _graph.Silu(x);
        _graph.Output("y", y);
        _graph.Output("z", _graph.Silu(y));
        Plan plan = Right();
        Assert.Equal(3 * 1024, plan.ArenaBytes);
    }

    [Fact]
    public void Workspace_lies_in_the_arena_during_its_step_only()
    {
        Node x = _graph.Input("x", [16]);
        Node y = x;
        for (int i = 0; i < 4; i++)
        {
            y = _graph.Silu(y);
        }

        _graph.Output("y", y);
        Plan plan = Right(new PlannerOptions { WorkspaceBytes = static _ => 1000 });
        Assert.All(plan.Steps, s => Assert.Equal(1000, s.WorkspaceBytes));
        Assert.Equal(64 + 64 + 1024, plan.ArenaBytes);
    }

    [Fact]
    public void Ops_no_output_needs_are_left_out()
    {
        Node x = _graph.Input("x", [16]);
        Node dead = _graph.Scale(x, 2);
        _graph.Output("y", _graph.Silu(x));
        Plan plan = Right();
        Assert.Single(plan.Steps);
        Assert.Equal(Storage.None, plan.Layouts[dead.Id].Storage);
    }

    [Fact]
    public void An_op_that_frees_memory_is_pulled_forward_when_that_lowers_the_peak()
    {
        Node x = _graph.Input("x", [1, 8, 8, 4]);
        Node[] large = [.. Enumerable.Range(1, 6).Select(i => _graph.Scale(x, i))];
        Node sum = _graph.MeanSpatial(large[0]);
        foreach (Node value in large.Skip(1))
        {
            sum = _graph.Plus(sum, _graph.MeanSpatial(value)); // all six are alive when the first mean is due
        }

        _graph.Output("y", sum);
        Plan plan = Right();
        Assert.Equal("MeanSpatial", plan.Steps[1].Node.Op!.Name);
        Assert.True(plan.ArenaBytes < 3 * 1024, $"{plan.ArenaBytes}"); // input, one large value, a few small ones
    }

    [Fact]
    public void The_given_order_stays_when_nothing_is_won()
    {
        Node x = _graph.Input("x", [1, 8, 8, 4]);
        Node a = _graph.MeanSpatial(_graph.Scale(x, 2));
        Node b = _graph.MeanSpatial(_graph.Scale(x, 3)); // could follow its operand at once, as it already does
        Node c = _graph.Silu(a); // could be pulled before b
        _graph.Output("y", _graph.Plus(b, c));
        Plan plan = Right();
        Assert.Equal(plan.Steps.Select(s => s.Node.Id).Order(), plan.Steps.Select(s => s.Node.Id));
    }

    [Fact]
    public void The_arena_is_close_to_the_most_that_is_alive_at_once()
    {
        foreach (int batch in new[] { 1, 3 })
        {
            Graph graph = Passes.Optimize(TinyNetworks.UNet(batch, 8, 8));
            TinyNetworks.AddGradients(graph, "eps", [graph.Inputs["x"], .. graph.Parameters.Values]);
            graph = Passes.Optimize(graph);
            DType[] stored = [.. graph.Nodes.Select(n => n.Type.DType)];
            var views = new PlannerViews(graph, static _ => true, stored);
            long bound = new[] { PlannerOrder.AsGiven(graph, views.Live), PlannerOrder.ShrinkingFirst(graph, views.Live, stored) }
                .Min(order => ArenaPacker.Bound(new PlannerLifetimes(graph, views, order, static _ => 0).Buffers, 64));
            Plan plan = Planner.Plan(graph, s_zeroCopy);
            Assert.InRange(plan.ArenaBytes, bound, bound * 1.05);
        }
    }

    [Fact]
    public void Bad_graphs_and_options_are_refused()
    {
        Node w = _graph.Parameter("w", [2]);
        _graph.Output("w", w);
        Assert.Contains("output w is the parameter w", Refusal(_graph, new PlannerOptions()), StringComparison.Ordinal);
        var half = new Graph();
        half.Input("x", new TensorType(DType.F16, [2]));
        Assert.Contains("neither f32 nor i32", Refusal(half, new PlannerOptions()), StringComparison.Ordinal);
        Assert.Contains("alignment 48", Refusal(new Graph(), new PlannerOptions { Alignment = 48 }), StringComparison.Ordinal);
        var one = new Graph();
        one.Output("y", one.Silu(one.Input("x", [2])));
        Assert.Contains("-1 bytes of workspace", Refusal(one, new PlannerOptions { WorkspaceBytes = static _ => -1 }), StringComparison.Ordinal);
        Assert.Contains("cannot be stored as I8", Refusal(one, new PlannerOptions { StoredAs = static _ => DType.I8 }), StringComparison.Ordinal);
    }

    [Fact]
    public void A_plan_prints_every_address()
    {
        Node x = _graph.Input("x", [2, 4, 4, 3]);
        Node h;
        using (_graph.Scope("block"))
        {
            h = Linear(_graph.Silu(x), 2);
        }

        _graph.Output("y", _graph.ConcatChannels(_graph.Scale(x, 2), h));
        Plan plan = Right(s_zeroCopy with { WorkspaceBytes = static n => n.Op is Linear ? 128 : 0 });
        Assert.Equal("""
            plan: 3 steps, arena 1536 bytes
            input x = %0:f32[2,4,4,3]@640
                0  %1:f32[2,4,4,3]@1024 = Silu(%0:f32[2,4,4,3]@640)  # block
                1  %4:f32[2,4,4,2]@12/5 in %6 = Linear(%1:f32[2,4,4,3]@1024, w0:f32[2,3], b0:f32[2]) workspace 128 bytes @1408  # block
                2  %5:f32[2,4,4,3]@0/5 in %6 = Scale{Factor=2}(%0:f32[2,4,4,3]@640)
            output y = %6:f32[2,4,4,5]@0

            """, plan.ToString(), ignoreLineEndingDifferences: true);
    }

    private static string Refusal(Graph graph, PlannerOptions options) =>
        Assert.Throws<ArgumentException>(() => Planner.Plan(graph, options)).Message;

    private Plan Right(PlannerOptions? options = null) => Right(_graph, options);

    private static Plan Right(Graph graph, PlannerOptions? options = null) =>
        Canary.AssertPlanIsRight(graph, options ?? s_zeroCopy, "planned");

    private Node Linear(Node x, int channels)
    {
        int n = _graph.Parameters.Count / 2;
        return _graph.Linear(x, _graph.Parameter($"w{n}", [channels, x.Shape.Last]), _graph.Parameter($"b{n}", [channels]));
    }
}
