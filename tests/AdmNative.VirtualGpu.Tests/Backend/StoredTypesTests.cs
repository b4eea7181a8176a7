using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;
using AdmNative.Diffusion;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests.Backend;

/// <summary>What is stored in half precision, and what it saves: decided by plans alone, without running anything.</summary>
public sealed class StoredTypesTests
{
    [Theory]
    [InlineData("digits32", 0.75)]
    [InlineData("imagenet64", 0.6)]
    [InlineData("imagenet128", 0.55)]
    public void A_network_of_the_paper_takes_less_arena_in_half_precision(string preset, double most)
    {
        var config = (UNetConfig)Presets.Find(preset).Network;
        var graph = new Graph();
        Node x = graph.Input("x", [1, config.ImageSize, config.ImageSize, config.StemChannels]);
        Node? y = config.NumClasses is null ? null : graph.Input("y", new TensorType(DType.I32, [1]));
        graph.Output("eps", UNet.Build(graph, config, x, graph.Input("t", [1]), y));
        graph = Passes.Optimize(graph);

        (Plan single, Plan half) = (PlanOf(graph, KernelDType.F32), PlanOf(graph, KernelDType.F16));

        Assert.InRange((double)half.ArenaBytes / single.ArenaBytes, 0.45, most);
        AssertF32(half, "out.0.weight", "out.2.weight");
        Assert.Equal(half.ArenaBytes, PlanOf(graph, KernelDType.BF16).ArenaBytes);
    }

    [Fact]
    public void A_classifier_computes_its_head_in_f32_and_its_gradients_in_half_precision_with_and_without_them()
    {
        Graph forward = Passes.Optimize(TinyNetworks.Classifier(2, 8, 8));
        Plan plan = PlanOf(forward, KernelDType.F16);
        AssertF32(plan, "head.norm.weight");

        Graph guided = TinyNetworks.Classifier(2, 8, 8);
        TinyNetworks.AddGradients(guided, "log_prob", [guided.Inputs["x"], .. guided.Parameters.Values]);
        guided = Passes.Optimize(guided);
        var types = new StoredTypes(guided, KernelDType.F16);
        Assert.All(guided.Outputs, o => Assert.Equal(KernelDType.F32, types[o.Node]));
        Assert.All(guided.Nodes.Where(n => n.Op is Conv2dWeightGrad or LinearWeightGrad or GroupNormParamGrad or GroupNormStats or GroupNormGradSums), n => Assert.Equal(KernelDType.F32, types[n]));
        Node[] gradients = [.. guided.Nodes.Where(n => n.Op is Conv2dInputGrad or LinearInputGrad or GroupNormInputGrad or AttentionGrad && n.Shape.Rank >= 3)];
        Assert.True(gradients.Length > 10);
        Assert.All(gradients, n => Assert.Equal(guided.Outputs.Any(o => o.Node == n) ? KernelDType.F32 : KernelDType.F16, types[n]));
        Assert.Equal([.. Products(forward, new StoredTypes(forward, KernelDType.F16))], Products(guided, types));
    }

    [Fact]
    public void A_network_of_two_may_stay_in_f32()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [1, 4, 4, 8]);
        foreach (string network in new[] { "a", "b" })
        {
            Node h = x;
            for (int i = 0; i < 3; i++)
            {
                h = graph.Plus(h, graph.Silu(graph.Conv2d(h, graph.Parameter($"{network}.{i}", [8, 8, 3, 3]), padH: 1, padW: 1)));
            }

            graph.Output(network, h);
        }

        var types = new StoredTypes(graph, KernelDType.BF16, name => name.StartsWith('b'));

        Node[] half = [.. graph.Nodes.Where(n => types[n] == KernelDType.BF16)];
        Assert.Equal(["a.0", "a.1"], half.Where(n => n.Op is Conv2d).Select(n => n.Inputs[1].Name)); // a.2 leads to the output by elementwise ops alone
        Assert.Equal(6, half.Length);
        Assert.All(graph.Nodes, n => Assert.Equal(KernelDType.F32, new StoredTypes(graph, KernelDType.F32)[n]));
    }

    /// <summary>What the network's products are stored in, by weight.</summary>
    private static IEnumerable<(string? Weight, KernelDType Type)> Products(Graph graph, StoredTypes types) =>
        graph.Nodes.Where(n => n.Op is Conv2d or Linear).Select(n => (n.Inputs[1].Name, types[n])).OrderBy(p => p.Item1, StringComparer.Ordinal);

    /// <summary>Of images and tokens only the steps with these weights store f32; everything else of rank 3 and more is half.</summary>
    private static void AssertF32(Plan plan, params string[] weights)
    {
        Node[] f32 = [.. plan.Steps.Select(s => s.Node).Where(n => n.Shape.Rank >= 3 && plan.Layouts[n.Id].DType == DType.F32)];
        Assert.Equal(weights, f32.Select(n => n.Inputs[1].Name));
        Assert.All(plan.Steps.Where(s => s.Node.Shape.Rank < 3), s => Assert.Equal(DType.F32, plan.Layouts[s.Node.Id].DType));
    }

    private static Plan PlanOf(Graph graph, KernelDType precision)
    {
        using var driver = new VirtualDriver();
        using CudaBackend backend = CudaBackend.Create(driver, new CudaOptions { Precision = precision });
        return backend.Plan(graph);
    }
}
