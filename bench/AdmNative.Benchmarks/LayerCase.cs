using AdmNative.Core;

namespace AdmNative.Benchmarks;

/// <summary>A named op to time; the name is the row of the table.</summary>
public sealed class LayerCase(string name, Func<Graph, Node> build)
{
    /// <summary>Builds, plans and loads it.</summary>
    public Layer Create(int threads) => new(build, threads);

    /// <inheritdoc/>
    public override string ToString() => name;
}
