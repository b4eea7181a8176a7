namespace AdmNative.Core.Tests;

/// <summary>Small networks with every structure ADM has: the graphs that passes and planner are tried on.</summary>
internal static class TinyNetworks
{
    private const int Groups = 2;

    /// <summary>
    /// Inputs x, t, y; output eps. One level down and up, each with a residual block that resamples, attention at the low
    /// resolution, two skip connections.
    /// </summary>
    public static Graph UNet(int batch = 2, int size = 4, int channels = 4)
    {
        var graph = new Graph();
        Node x = graph.Input("x", [batch, size, size, 3]);
        Node emb = Embed(graph, batch, channels);
        Node h0 = Conv(graph, "in", x, channels);
        Node h1 = ResBlock(graph, "down", h0, emb, channels, ResampleMode.Down2);
        Node h2 = ResBlock(graph, "deep", h1, emb, 2 * channels, null);
        Node middle = Attend(graph, "attention", h2);
        Node up = ResBlock(graph, "up1", graph.ConcatChannels(middle, h1), emb, channels, ResampleMode.Up2);
        Node last = ResBlock(graph, "up2", graph.ConcatChannels(up, h0), emb, channels, null);
        graph.Output("eps", Conv(graph, "out", graph.Silu(Norm(graph, "out.norm", last)), 3));
        return graph;
    }

    /// <summary>Inputs x, t, y; outputs logits and log_prob [N].</summary>
    public static Graph Classifier(int batch = 2, int size = 4, int channels = 4)
    {
        var graph = new Graph();
        Node x = graph.Input("x", [batch, size, size, 3]);
        Node y = graph.Input("y", new TensorType(DType.I32, [batch]));
        Node emb = graph.Silu(Linear(graph, "time", graph.TimestepEmbedding(graph.Input("t", [batch]), channels), channels));
        Node h = ResBlock(graph, "down", Conv(graph, "in", x, channels), emb, channels, ResampleMode.Down2);
        h = Attend(graph, "attention", ResBlock(graph, "deep", h, emb, 2 * channels, null));
        Node logits = Linear(graph, "head", graph.MeanSpatial(graph.Silu(Norm(graph, "head.norm", h))), 5);
        graph.Output("logits", logits);
        graph.Output("log_prob", graph.LogSoftmaxSelect(logits, y));
        return graph;
    }

    /// <summary>Adds outputs grad.NAME of the sum of output <paramref name="of"/>, for the inputs or parameters wanted.</summary>
    public static void AddGradients(Graph graph, string of, IEnumerable<Node> wanted)
    {
        Node value = graph.Outputs.First(o => o.Name == of).Node;
        Node[] wrt = [.. wanted];
        Node[] gradients = Gradients.Add(graph, [(value, graph.Constant(1, value.Shape))], wrt);
        for (int i = 0; i < wrt.Length; i++)
        {
            graph.Output($"grad.{wrt[i].Name}", gradients[i]);
        }
    }

    private static Node Embed(Graph graph, int batch, int channels)
    {
        Node t = graph.Input("t", [batch]);
        Node y = graph.Input("y", new TensorType(DType.I32, [batch]));
        Node time = Linear(graph, "time", graph.TimestepEmbedding(t, channels), channels);
        return graph.Silu(graph.Plus(time, graph.Embedding(graph.Parameter("label.weight", [3, channels]), y)));
    }

    private static Node ResBlock(Graph graph, string name, Node x, Node emb, int channels, ResampleMode? resample)
    {
        using IDisposable scope = graph.Scope(name);
        Node h = graph.Silu(Norm(graph, $"{name}.norm1", x));
        if (resample is ResampleMode mode)
        {
            h = graph.Resample(h, mode);
            x = graph.Resample(x, mode);
        }

        h = Conv(graph, $"{name}.conv1", h, channels);
        h = graph.Modulate(Norm(graph, $"{name}.norm2", h), Linear(graph, $"{name}.emb", emb, 2 * channels));
        h = Conv(graph, $"{name}.conv2", graph.Silu(h), channels);
        Node skip = x.Shape.Last == channels ? x : Linear(graph, $"{name}.skip", x, channels);
        return graph.Plus(skip, h);
    }

    private static Node Attend(Graph graph, string name, Node x)
    {
        Node qkv = Linear(graph, $"{name}.qkv", Norm(graph, $"{name}.norm", x), 3 * x.Shape.Last);
        return graph.Plus(x, Linear(graph, $"{name}.proj", graph.Attention(qkv, 2, newOrder: false), x.Shape.Last));
    }

    private static Node Norm(Graph graph, string name, Node x) => graph.GroupNorm(
        x, graph.Parameter($"{name}.weight", [x.Shape.Last]), graph.Parameter($"{name}.bias", [x.Shape.Last]), groups: Groups);

    private static Node Conv(Graph graph, string name, Node x, int channels) => graph.Conv2d(
        x, graph.Parameter($"{name}.weight", [channels, x.Shape.Last, 3, 3]), graph.Parameter($"{name}.bias", [channels]), padH: 1, padW: 1);

    private static Node Linear(Graph graph, string name, Node x, int channels) => graph.Linear(
        x, graph.Parameter($"{name}.weight", [channels, x.Shape.Last]), graph.Parameter($"{name}.bias", [channels]));
}
