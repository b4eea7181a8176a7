using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>A checkpoint without data: names and shapes.</summary>
internal sealed class ShapesOnly : ITensorSource
{
    public ShapesOnly(IEnumerable<ParameterSpec> parameters) =>
        Tensors = parameters.ToDictionary(p => p.Name, p => TensorType.F32(p.Shape));

    public ShapesOnly(NetworkConfig config) : this(ParameterList.Of(config))
    {
    }

    public string Description => "test.pt";

    public IReadOnlyDictionary<string, TensorType> Tensors { get; }

    public void ReadFloats(string name, Span<float> destination) => throw new InvalidOperationException("inspection reads no data");
}
