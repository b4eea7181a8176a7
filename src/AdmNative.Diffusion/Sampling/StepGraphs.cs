using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>The values a reverse step is made of. Images are [N,H,W,C], <paramref name="Coef"/> is [N,16].</summary>
/// <param name="X">x_t.</param>
/// <param name="Output">The denoiser's result.</param>
/// <param name="X0">The predicted x_0, clipped if asked for.</param>
/// <param name="Coef">Coefficients of the step.</param>
/// <param name="Noise">Standard normal noise.</param>
/// <param name="Gradient">Gradient of the guidance, scaled; null without guidance.</param>
internal sealed record StepNodes(Node X, Node Output, Node X0, Node Coef, Node Noise, Node? Gradient);

/// <summary>The formula of a sampler: from the values of a step to x_{t-1} and the x_0 it reports.</summary>
internal delegate (Node Sample, Node PredXStart) StepRule(Graph graph, DiffusionProcess process, StepNodes step);

/// <summary>A classifier in a sampler's graph.</summary>
internal sealed record Guidance(EncoderUNetConfig Classifier, double Scale, bool AtMean);

/// <summary>
/// The graphs samplers run: a whole guided step at once, or its pieces where a caller's function comes in between.
/// </summary>
internal static class StepGraphs
{
    public const string Output = "model_output";
    public const string PredXStart = "pred_xstart";
    public const string Sample = "sample";
    public const string Gradient = "gradient";
    public const string Mean = "mean";
    public const string LogVariance = "log_variance";
    public const string Logits = "logits";
    public const string LogProbability = "log_prob";

    /// <summary>Denoiser, prediction, classifier gradient and update. Outputs sample and pred_xstart.</summary>
    public static Graph Step(
        IDenoiser denoiser, DiffusionProcess process, StepRule rule, Shape shape, bool clip, Guidance? guidance, bool fused = true)
    {
        var forward = new Graph();
        Node x = forward.Input(InputNames.X, shape);
        Node coef = Coefficients(forward, shape);
        Node output = Denoise(forward, denoiser, process, x);
        Node x0 = forward.PredictXStart(x, output, coef, process.Config.Mean, clip);
        if (guidance is null)
        {
            (Graph plain, Node[] v) = Take(forward, fused, x, output, x0, coef);
            Node fresh = plain.Input(InputNames.Noise, shape);
            return Finish(plain, process, rule, new StepNodes(v[0], v[1], v[2], v[3], fresh, null));
        }

        Node at = guidance.AtMean ? forward.DdpmMean(x, output, x0, coef, process.Config.Mean) : x;
        (_, Node logProbability) = Classify(forward, guidance.Classifier, at, Networks.ClassifierPrefix);
        (Graph graph, Node[] values) = Take(forward, fused, x, output, x0, coef, at, logProbability);
        Node gradient = ScaledGradient(graph, values[5], guidance.Scale, values[4]);
        Node noise = graph.Input(InputNames.Noise, shape);
        return Finish(graph, process, rule, new StepNodes(values[0], values[1], values[2], values[3], noise, gradient));
    }

    /// <summary>The denoiser and its prediction alone. Outputs model_output and pred_xstart.</summary>
    public static Graph Predict(IDenoiser denoiser, DiffusionProcess process, Shape shape, bool clip)
    {
        var graph = new Graph();
        Node x = graph.Input(InputNames.X, shape);
        Node coef = Coefficients(graph, shape);
        Node output = Denoise(graph, denoiser, process, x);
        graph.Output(Output, output);
        graph.Output(PredXStart, graph.PredictXStart(x, output, coef, process.Config.Mean, clip));
        return graph;
    }

    /// <summary>The mean and log-variance of the reverse step for a given x_0. Outputs mean and log_variance.</summary>
    public static Graph MeanVariance(DiffusionProcess process, Shape shape)
    {
        var graph = new Graph();
        Node x = graph.Input(InputNames.X, shape);
        Node output = graph.Input(Output, process.OutputShape(shape));
        Node x0 = graph.Input(PredXStart, shape);
        Node coef = Coefficients(graph, shape);
        graph.Output(Mean, graph.DdpmMean(x, output, x0, coef, process.Config.Mean));
        graph.Output(LogVariance, graph.ModelLogVariance(x, output, coef, process.Config.Variance));
        return graph;
    }

    /// <summary>The update for given values. Outputs sample and pred_xstart.</summary>
    public static Graph Update(DiffusionProcess process, StepRule rule, Shape shape, bool guided)
    {
        var graph = new Graph();
        Node x = graph.Input(InputNames.X, shape);
        Node output = graph.Input(Output, process.OutputShape(shape));
        Node x0 = graph.Input(PredXStart, shape);
        Node coef = Coefficients(graph, shape);
        Node noise = graph.Input(InputNames.Noise, shape);
        Node? gradient = guided ? graph.Input(Gradient, shape) : null;
        return Finish(graph, process, rule, new StepNodes(x, output, x0, coef, noise, gradient));
    }

    /// <summary>scale * d(sum of log p(y | x)) / dx of a classifier. Outputs logits, log_prob and gradient.</summary>
    public static Graph ClassifierGradient(EncoderUNetConfig classifier, Shape shape, double scale, string prefix)
    {
        var forward = new Graph();
        Node x = forward.Input(InputNames.X, shape);
        (Node logits, Node logProbability) = Classify(forward, classifier, x, prefix);
        (Graph graph, Node[] values) = ForwardGraph.Fuse(forward, x, logits, logProbability);
        graph.Output(Logits, values[1]);
        graph.Output(LogProbability, values[2]);
        graph.Output(Gradient, ScaledGradient(graph, values[2], scale, values[0]));
        return graph;
    }

    internal static Node Coefficients(Graph graph, Shape shape) =>
        graph.Input(InputNames.Coefficients, [shape[0], Coef.Columns]);

    internal static Node Denoise(
        Graph graph, IDenoiser denoiser, DiffusionProcess process, Node x, BuildOptions? options = null)
    {
        Node output = denoiser.Build(graph, x, graph.Input(InputNames.T, [x.Shape[0]]), options);
        Shape expected = process.OutputShape(x.Shape);
        return output.Shape == expected ? output : throw new ShapeException(
            $"a process with variance {process.Config.Variance} reads {expected} from the network, which gives {output.Shape}: "
            + "check learn_sigma");
    }

    // Logits [N,K] and log p(y | x) [N].
    private static (Node Logits, Node LogProbability) Classify(
        Graph graph, EncoderUNetConfig classifier, Node x, string prefix)
    {
        Node times = graph.Input(InputNames.ClassifierT, [x.Shape[0]]);
        Node logits = EncoderUNet.Build(graph, classifier, x, times, new BuildOptions { Prefix = prefix });
        Node labels = Labels.Input(graph, x.Shape[0]);
        using (graph.Scope($"{prefix}{LogProbability}"))
        {
            return (logits, graph.LogSoftmaxSelect(logits, labels));
        }
    }

    private static Node ScaledGradient(Graph graph, Node logProbability, double scale, Node x) =>
        Gradients.Add(graph, [(logProbability, graph.Constant(scale, logProbability.Shape))], [x])[0];

    private static (Graph Graph, Node[] Values) Take(Graph forward, bool fused, params Node[] values) =>
        fused ? ForwardGraph.Fuse(forward, values) : (forward, values);

    private static Graph Finish(Graph graph, DiffusionProcess process, StepRule rule, StepNodes step)
    {
        (Node sample, Node predXStart) = rule(graph, process, step);
        graph.Output(Sample, sample);
        graph.Output(PredXStart, predXStart);
        return graph;
    }
}
