using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>A checkpoint file opened for reading, whatever its format. Disposal closes the file.</summary>
public sealed class TensorFile : ITensorSource, IDisposable
{
    private readonly ITensorSource _source;
    private readonly IDisposable _owner;

    internal TensorFile(ITensorSource source, IDisposable owner)
    {
        _source = source;
        _owner = owner;
    }

    /// <inheritdoc/>
    public string Description => _source.Description;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorType> Tensors => _source.Tensors;

    /// <inheritdoc/>
    public void ReadFloats(string name, Span<float> destination) => _source.ReadFloats(name, destination);

    /// <inheritdoc/>
    public void Dispose() => _owner.Dispose();
}
