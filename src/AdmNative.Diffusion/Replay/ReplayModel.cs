using AdmNative.Core;
using AdmNative.Formats;

namespace AdmNative.Diffusion;

/// <summary>One evaluation of a network with the gradients a case asks for.</summary>
internal static class ReplayModel
{
    private const string Cotangent = "w";

    public static Dictionary<string, Tensor> Run(
        ReplayConfig config, IBackend backend, ITensorSource weights, NpzFile input, CancellationToken stop)
    {
        Tensor x = ReplayInput.Floats(input, "x");
        Shape shape = ChannelsLast.Of(ReplayInput.Images(x, "x"));
        int[]? labels = ReplayInput.Labels(input);
        bool cotangent = input.Contains(Cotangent);
        Graph graph = config.Model.Config is EncoderUNetConfig classifier
            ? Classifier(classifier, shape, labels is not null, cotangent)
            : Denoiser(ReplayInput.Denoiser(config, input), shape, cotangent);

        using IParameters parameters = backend.LoadParameters(graph.Parameters, weights);
        using IExecutable run = backend.Load(backend.Plan(Passes.Optimize(graph)), parameters);
        run.SetInput(InputNames.X, ChannelsLast.From(x));
        run.SetInput(InputNames.T, Floats(input, "t", [shape[0]]));
        if (graph.Inputs.TryGetValue(InputNames.Labels, out Node? y))
        {
            run.SetInput(InputNames.Labels, labels is not null && labels.Length == y.Shape[0]
                ? labels
                : throw new ShapeException($"the network needs {y.Shape[0]} labels y, the case has {labels?.Length ?? 0}"));
        }

        if (graph.Inputs.ContainsKey(InputNames.LowRes))
        {
            run.SetInput(InputNames.LowRes, ChannelsLast.From(ReplayInput.Floats(input, "low_res")));
        }

        if (graph.Inputs.TryGetValue(Cotangent, out Node? w))
        {
            run.SetInput(Cotangent, w.Shape.Rank == 4
                ? ChannelsLast.From(ReplayInput.Floats(input, Cotangent))
                : Floats(input, Cotangent, w.Shape));
        }

        stop.ThrowIfCancellationRequested();
        run.Run();
        stop.ThrowIfCancellationRequested();
        return Outputs(run);
    }

    /// <summary>Every output of a run; maps come back as [N,C,H,W].</summary>
    internal static Dictionary<string, Tensor> Outputs(IExecutable run)
    {
        var result = new Dictionary<string, Tensor>();
        foreach ((string name, Node node) in run.Plan.Graph.Outputs)
        {
            var values = new float[node.Shape.Elements];
            run.GetOutput(name, values);
            bool image = node.Shape.Rank == 4 && !name.StartsWith(TrainingLosses.GradientPrefix, StringComparison.Ordinal);
            result.Add(name, image ? ChannelsLast.ToTensor(values, node.Shape) : Tensor.From(node.Shape, values));
        }

        return result;
    }

    private static Graph Denoiser(IDenoiser denoiser, Shape shape, bool cotangent)
    {
        var graph = new Graph();
        Node x = graph.Input(InputNames.X, shape);
        Node output = denoiser.Build(graph, x, graph.Input(InputNames.T, [shape[0]]));
        return cotangent ? WithGradients(graph, "out", x, output) : WithOutputs(graph, ("out", output));
    }

    private static Graph Classifier(EncoderUNetConfig config, Shape shape, bool labelled, bool cotangent)
    {
        var graph = new Graph();
        Node x = graph.Input(InputNames.X, shape);
        Node logits = EncoderUNet.Build(graph, config, x, graph.Input(InputNames.T, [shape[0]]));
        if (cotangent)
        {
            return WithGradients(graph, "logits", x, logits);
        }

        if (!labelled)
        {
            return WithOutputs(graph, ("logits", logits));
        }

        Node logProbability = graph.LogSoftmaxSelect(logits, Labels.Input(graph, shape[0]));
        (Graph fused, Node[] v) = ForwardGraph.Fuse(graph, x, logits, logProbability);
        Node seed = fused.Constant(1, v[2].Shape);
        Node gradient = Gradients.Add(fused, [(v[2], seed)], [v[0]])[0];
        return WithOutputs(fused, ("logits", v[1]), ("log_prob", v[2]), ("grad_x", gradient));
    }

    // d(sum of output * w) / d(x and every parameter)
    private static Graph WithGradients(Graph forward, string name, Node x, Node output)
    {
        (Graph graph, Node[] v) = ForwardGraph.Fuse(forward, x, output);
        Node w = graph.Input(Cotangent, output.Shape);
        Node[] parameters = [.. graph.Parameters.Values];
        Node[] found = Gradients.Add(graph, [(v[1], w)], [v[0], .. parameters]);
        var gradients = parameters.Select((p, i) => (TrainingLosses.GradientPrefix + p.Name, found[i + 1]));
        return WithOutputs(graph, [(name, v[1]), ("grad_x", found[0]), .. gradients]);
    }

    private static Graph WithOutputs(Graph graph, params ReadOnlySpan<(string Name, Node Node)> outputs)
    {
        foreach ((string name, Node node) in outputs)
        {
            graph.Output(name, node);
        }

        return graph;
    }

    private static float[] Floats(NpzFile input, string name, Shape expected)
    {
        Tensor tensor = ReplayInput.Floats(input, name);
        return tensor.Shape == expected
            ? tensor.ToFloats()
            : throw new ShapeException($"{name} must be {expected}, it is {tensor.Shape}");
    }
}
