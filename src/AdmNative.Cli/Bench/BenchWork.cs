using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>What is timed.</summary>
/// <param name="Name">E.g. "forward".</param>
/// <param name="Graph">The graph; passes still to come.</param>
/// <param name="GraphOps">Ops of the graph as the model describes it, before anything is fused.</param>
internal sealed record BenchWork(string Name, Graph Graph, int GraphOps)
{
    /// <summary>The network alone.</summary>
    public static BenchWork Forward(UNetConfig config, int batch)
    {
        Graph graph = Network(config, batch);
        return new BenchWork("forward", graph, StepDescription.Ops(graph));
    }

    /// <summary>Forward, and backward with the gradient of sum(out * w) for every weight.</summary>
    public static BenchWork Train(UNetConfig config, int batch) =>
        new("forward + backward", AddBackward(Passes.Optimize(Network(config, batch))), StepDescription.Ops(AddBackward(Network(config, batch))));

    /// <summary>A step of a sampler, guided when there is a classifier.</summary>
    /// <exception cref="UsageException">No such sampler.</exception>
    public static BenchWork Step(string sampler, UNetConfig config, DiffusionConfig process, EncoderUNetConfig? classifier, int batch)
    {
        return new BenchWork($"{(classifier is null ? "" : "guided ")}{sampler} step", Build(fused: true), StepDescription.Ops(Build(fused: false)));

        Graph Build(bool fused) => StepDescription.Of(
            sampler, new UNetDenoiser(config), process, [batch, config.ImageSize, config.ImageSize, config.InChannels], classifier, scale: 1, fused);
    }

    private static Graph Network(UNetConfig config, int batch)
    {
        var graph = new Graph();
        Node x = graph.Input(InputNames.X, [batch, config.ImageSize, config.ImageSize, config.StemChannels]);
        Node t = graph.Input(InputNames.T, [batch]);
        Node? y = config.NumClasses is null ? null : graph.Input(InputNames.Labels, new TensorType(DType.I32, [batch]));
        graph.Output("out", UNet.Build(graph, config, x, t, y));
        return graph;
    }

    private static Graph AddBackward(Graph graph)
    {
        Node output = graph.Outputs.Single(o => o.Name == "out").Node;
        Node seed = graph.Input("w", output.Shape);
        Node[] weights = [.. graph.Parameters.Values];
        Node[] gradients = Gradients.Add(graph, [(output, seed)], weights);
        for (int i = 0; i < weights.Length; i++)
        {
            graph.Output($"grad.{weights[i].Name}", gradients[i]);
        }

        return graph;
    }
}
