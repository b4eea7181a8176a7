namespace AdmNative.Core;

/// <summary>Element type and dimensions.</summary>
public sealed record TensorType(DType DType, Shape Shape)
{
    /// <summary>An f32 tensor type.</summary>
    public static TensorType F32(Shape shape) => new(DType.F32, shape);

    /// <inheritdoc/>
    public override string ToString() => $"{DType.ToString().ToLowerInvariant()}{Shape}";
}

/// <summary>Named tensors whose data is read on demand: a checkpoint, or computed weights.</summary>
public interface ITensorSource
{
    /// <summary>Where the tensors come from, for messages.</summary>
    string Description { get; }

    /// <summary>Name to type, in the source's order.</summary>
    IReadOnlyDictionary<string, TensorType> Tensors { get; }

    /// <summary>Reads one tensor as f32, row-major, whatever its stored type. May be called from several threads.</summary>
    /// <exception cref="CheckpointException">The name is unknown or the data is damaged.</exception>
    void ReadFloats(string name, Span<float> destination);
}
