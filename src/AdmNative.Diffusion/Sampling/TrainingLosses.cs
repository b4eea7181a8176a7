using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// The graph of a training loss, per sample:
///   MSE, RESCALED_MSE: loss = mean (target - output)^2 + vb, where vb (only with a learned variance) sees the mean
///   through a stop-gradient and so trains the variance alone; RESCALED multiplies it by T / 1000.
///   KL, RESCALED_KL: loss = vb; RESCALED multiplies it by T.
/// </summary>
/// <remarks>
/// Inputs: x (= x_t), x_0, noise, t, coef and what the denoiser declares; with gradients also weight [N]. Outputs:
/// loss, and for the MSE kinds mse and vb, each [N]; with gradients "grad.NAME" = d(sum of weight * loss) /
/// d(parameter). weight = 1/N trains mean(loss).
/// </remarks>
public static class TrainingLosses
{
    /// <summary>Input: the clean images [N,H,W,C].</summary>
    public const string X0 = "x_0";

    /// <summary>Input: the factor of each sample's loss in the objective, [N].</summary>
    public const string Weight = "weight";

    /// <summary>Output: the loss, [N].</summary>
    public const string Loss = "loss";

    /// <summary>Output: the squared error, [N].</summary>
    public const string Mse = "mse";

    /// <summary>Output: the variational bound, [N].</summary>
    public const string Vb = "vb";

    /// <summary>Prefix of gradient outputs.</summary>
    public const string GradientPrefix = "grad.";

    /// <summary>Describes the loss of a batch [N,H,W,C].</summary>
    /// <param name="denoiser">The network in training.</param>
    /// <param name="process">Its process; says which loss.</param>
    /// <param name="shape">[N,H,W,C].</param>
    /// <param name="gradients">Also the gradients of all parameters.</param>
    /// <param name="dropout">Training build: declares the input dropout_seed.</param>
    /// <exception cref="ShapeException">The network does not give what the process reads.</exception>
    public static Graph Build(
        IDenoiser denoiser, DiffusionProcess process, Shape shape, bool gradients, bool dropout = false)
    {
        ArgumentNullException.ThrowIfNull(denoiser);
        ArgumentNullException.ThrowIfNull(process);
        ArgumentNullException.ThrowIfNull(shape);
        var forward = new Graph();
        (string Name, Node Value)[] terms = Terms(forward, denoiser, process, shape, dropout);
        if (!gradients)
        {
            return Declare(forward, terms);
        }

        // Gradients are taken of the fused graph.
        (Graph graph, Node[] values) = ForwardGraph.Fuse(forward, [.. terms.Select(t => t.Value)]);
        Declare(graph, [.. terms.Select((t, i) => (t.Name, values[i]))]);
        Node weight = graph.Input(Weight, [shape[0]]);
        Node[] parameters = [.. graph.Parameters.Values];
        Node[] found = Gradients.Add(graph, [(values[0], weight)], parameters);
        return Declare(graph, [.. parameters.Select((p, i) => (GradientPrefix + p.Name, found[i]))]);
    }

    /// <summary>
    /// The mean and the variance channels of a network's result; null when the variance is not learned.
    /// </summary>
    internal static (Node Mean, Node? Variance) Split(Graph graph, Node output, int channels) =>
        output.Shape.Last == channels ? (output, null)
        : (graph.SliceChannels(output, 0, channels), graph.SliceChannels(output, channels, channels));

    // The loss comes first.
    private static (string Name, Node Value)[] Terms(
        Graph g, IDenoiser denoiser, DiffusionProcess process, Shape shape, bool dropout)
    {
        DiffusionConfig config = process.Config;
        Node x0 = g.Input(X0, shape);
        Node xt = g.Input(InputNames.X, shape);
        Node coef = StepGraphs.Coefficients(g, shape);
        Node noise = g.Input(InputNames.Noise, shape);
        BuildOptions? options = dropout
            ? new BuildOptions { DropoutSeed = g.Input(InputNames.DropoutSeed, new TensorType(DType.I32, [2])) }
            : null;
        Node output = StepGraphs.Denoise(g, denoiser, process, xt, options);
        (Node mean, Node? variance) = Split(g, output, shape.Last);

        if (config.Loss.IsBound())
        {
            Node vb = g.VlbPerSample(mean, x0, xt, coef, variance, config.Mean, config.Variance, clip: false);
            return [(Loss, config.Loss == LossKind.RescaledKl ? g.Scale(vb, process.Steps) : vb)];
        }

        Node target = config.Mean switch
        {
            MeanKind.Epsilon => noise,
            MeanKind.StartX => x0,
            _ => g.DdpmMean(xt, x0, x0, coef, MeanKind.StartX), // the posterior mean, as if the network had found x_0
        };
        Node mse = g.MsePerSample(mean, target);
        if (variance is null)
        {
            return [(Loss, mse), (Mse, mse)];
        }

        Node frozen = g.StopGradient(mean);
        Node bound = g.VlbPerSample(frozen, x0, xt, coef, variance, config.Mean, config.Variance, clip: false);
        if (config.Loss == LossKind.RescaledMse)
        {
            bound = g.Scale(bound, process.Steps / 1000.0);
        }

        return [(Loss, g.Plus(mse, bound)), (Mse, mse), (Vb, bound)];
    }

    private static Graph Declare(Graph graph, (string Name, Node Value)[] outputs)
    {
        foreach ((string name, Node value) in outputs)
        {
            graph.Output(name, value);
        }

        return graph;
    }
}
