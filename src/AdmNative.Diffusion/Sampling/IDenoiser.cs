using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// A denoising network as samplers and losses see it: what it predicts is said by <see cref="DiffusionProcess"/>.
/// </summary>
public interface IDenoiser
{
    /// <summary>Its weights, in state-dictionary order.</summary>
    IReadOnlyList<ParameterSpec> Parameters { get; }

    /// <summary>Channels of the images it denoises.</summary>
    int ImageChannels { get; }

    /// <summary>Labels it is conditioned on; null when there are none.</summary>
    int? Classes { get; }

    /// <summary>
    /// Describes the network. What it needs besides x and t it declares itself: labels as input <see
    /// cref="InputNames.Labels"/>, a small image as <see cref="InputNames.LowRes"/>.
    /// </summary>
    /// <param name="graph">The graph to build in.</param>
    /// <param name="x">Noisy images [N,H,W,C].</param>
    /// <param name="t">Times [N].</param>
    /// <param name="options">Name prefix and dropout.</param>
    /// <returns>[N,H,W,C], or [N,H,W,2C] with a learned variance behind the mean.</returns>
    Node Build(Graph graph, Node x, Node t, BuildOptions? options = null);
}

/// <summary>Names of the inputs of sampling and loss graphs. Images are [N,H,W,C].</summary>
public static class InputNames
{
    /// <summary>x_t.</summary>
    public const string X = "x";

    /// <summary>Time the denoiser is told, [N].</summary>
    public const string T = "t";

    /// <summary>Labels, i32 [N].</summary>
    public const string Labels = "y";

    /// <summary>Small image of an upsampler, [N,h,w,C].</summary>
    public const string LowRes = "low_res";

    /// <summary>Coefficients of the step, [N,16]; see <see cref="Coef"/>.</summary>
    public const string Coefficients = "coef";

    /// <summary>Standard normal noise, [N,H,W,C].</summary>
    public const string Noise = "noise";

    /// <summary>Time the classifier is told, [N].</summary>
    public const string ClassifierT = "classifier_t";

    /// <summary>Seed of the dropout masks, i32 [2], each 0..2^24-1.</summary>
    public const string DropoutSeed = "dropout_seed";
}

/// <summary>A U-Net, conditioned on labels or not.</summary>
public sealed class UNetDenoiser : IDenoiser
{
    private readonly UNetConfig _config;

    /// <summary>Wraps a configuration.</summary>
    /// <exception cref="ConfigException">No such network can be built, or it is an upsampler.</exception>
    public UNetDenoiser(UNetConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        if (config is SuperResConfig)
        {
            throw new ConfigException("an upsampler needs a small image: use SuperResDenoiser");
        }

        _config = config;
        Parameters = ParameterList.Of(config);
    }

    /// <inheritdoc/>
    public IReadOnlyList<ParameterSpec> Parameters { get; }

    /// <inheritdoc/>
    public int ImageChannels => _config.InChannels;

    /// <inheritdoc/>
    public int? Classes => _config.NumClasses;

    /// <inheritdoc/>
    public Node Build(Graph graph, Node x, Node t, BuildOptions? options = null) =>
        UNet.Build(graph, _config, x, t, Labels.Input(graph, _config.NumClasses, x), options);
}

/// <summary>An upsampler over small images of one size.</summary>
public sealed class SuperResDenoiser : IDenoiser
{
    private readonly SuperResConfig _config;
    private readonly int _height;
    private readonly int _width;

    /// <summary>Wraps a configuration and the size of the small images.</summary>
    /// <exception cref="ConfigException">No such network can be built.</exception>
    public SuperResDenoiser(SuperResConfig config, int height, int width)
    {
        ArgumentNullException.ThrowIfNull(config);
        _config = config;
        _height = height;
        _width = width;
        Parameters = ParameterList.Of(config);
    }

    /// <inheritdoc/>
    public IReadOnlyList<ParameterSpec> Parameters { get; }

    /// <inheritdoc/>
    public int ImageChannels => _config.InChannels;

    /// <inheritdoc/>
    public int? Classes => _config.NumClasses;

    /// <inheritdoc/>
    public Node Build(Graph graph, Node x, Node t, BuildOptions? options = null)
    {
        Node lowRes = graph.Input(InputNames.LowRes, [x.Shape[0], _height, _width, _config.InChannels]);
        return SuperRes.Build(graph, _config, x, lowRes, t, Labels.Input(graph, _config.NumClasses, x), options);
    }
}

/// <summary>The label input, shared by a class-conditional denoiser and a classifier in one graph.</summary>
internal static class Labels
{
    public static Node? Input(Graph graph, int? classes, Node x) => classes is null ? null : Input(graph, x.Shape[0]);

    public static Node Input(Graph graph, int batch) => graph.Inputs.TryGetValue(InputNames.Labels, out Node? known)
        ? known
        : graph.Input(InputNames.Labels, new TensorType(DType.I32, [batch]));
}
