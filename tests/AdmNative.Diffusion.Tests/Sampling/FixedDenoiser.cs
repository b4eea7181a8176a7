using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>
/// A network whose result does not depend on its inputs: samplers and losses can then be checked by hand.
/// </summary>
internal sealed class FixedDenoiser : IDenoiser, ITensorSource
{
    private const string Name = "output";

    private readonly float[] _values;
    private readonly Shape _shape;

    /// <param name="channels">Image channels.</param>
    /// <param name="nhwc">Shape of the result.</param>
    /// <param name="values">The result, row-major.</param>
    public FixedDenoiser(int channels, Shape nhwc, params float[] values)
    {
        ImageChannels = channels;
        _shape = nhwc;
        _values = values;
    }

    public IReadOnlyList<ParameterSpec> Parameters => [new(Name, _shape)];

    public int ImageChannels { get; }

    public int? Classes => null;

    public string Description => "fixed result";

    public IReadOnlyDictionary<string, TensorType> Tensors => new Dictionary<string, TensorType> { [Name] = TensorType.F32(_shape) };

    // A parameter itself cannot be a result, times one it can.
    public Node Build(Graph graph, Node x, Node t, BuildOptions? options = null) => graph.Scale(graph.Parameter(Name, _shape), 1);

    public void ReadFloats(string name, Span<float> destination) => _values.CopyTo(destination);
}

/// <summary>The same noise tensor for every step, in [N,H,W,C] order.</summary>
internal sealed class SameNoise(params float[] values) : INoise
{
    public void Normals(int t, long firstSample, Shape shape, Span<float> destination) => values.CopyTo(destination);

    public void Labels(long firstSample, int classes, Span<int> destination) => destination.Clear();
}
