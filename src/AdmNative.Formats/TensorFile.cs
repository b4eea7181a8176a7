using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>A checkpoint file opened for reading, whatever its format. Disposal closes the file.</summary>
public sealed class TensorFile : ITensorSource, IDisposable
{
    private readonly ITensorSource _source;
    private readonly IDisposable _owner;
    private readonly Func<string, Tensor> _read;

    internal TensorFile(ITensorSource source, IDisposable owner, Func<string, Tensor> read)
    {
        _source = source;
        _owner = owner;
        _read = read;
    }

    /// <inheritdoc/>
    public string Description => _source.Description;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorType> Tensors => _source.Tensors;

    /// <inheritdoc/>
    public void ReadFloats(string name, Span<float> destination) => _source.ReadFloats(name, destination);

    /// <summary>Reads one tensor in its own type, so that integers of any size arrive as they are.</summary>
    /// <exception cref="CheckpointException">The name is unknown, the data is damaged, or it is over 2 GiB.</exception>
    public Tensor Read(string name) => _read(name);

    /// <inheritdoc/>
    public void Dispose() => _owner.Dispose();
}
