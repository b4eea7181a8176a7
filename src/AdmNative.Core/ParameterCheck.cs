namespace AdmNative.Core;

/// <summary>Do the tensors of a source fit the parameters of a graph?</summary>
public static class ParameterCheck
{
    private const int Listed = 20;

    /// <summary>Compares names and shapes; tensors that no parameter wants are ignored.</summary>
    /// <exception cref="CheckpointException">Some are missing or of another shape; the message lists them.</exception>
    public static void Fits(IReadOnlyDictionary<string, Node> parameters, ITensorSource source)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(source);
        List<string> wrong = [];
        foreach ((string name, Node node) in parameters)
        {
            if (!source.Tensors.TryGetValue(name, out TensorType? type))
            {
                wrong.Add($"{name} {node.Shape} is missing");
            }
            else if (type.Shape != node.Shape)
            {
                wrong.Add($"{name} is {type.Shape}, the model wants {node.Shape}");
            }
            else if (node.Shape.Elements > int.MaxValue)
            {
                wrong.Add($"{name} {node.Shape} has more than 2^31 elements");
            }
        }

        if (wrong.Count > 0)
        {
            string more = wrong.Count > Listed ? $"\n  and {wrong.Count - Listed} more" : "";
            throw new CheckpointException(
                $"{source.Description} does not fit the model ({wrong.Count} of {parameters.Count} tensors):\n  "
                + string.Join("\n  ", wrong.Take(Listed)) + more);
        }
    }
}
