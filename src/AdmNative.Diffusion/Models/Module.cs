using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// A place in the checkpoint's tree of names. A layer built here takes its parameters from here ("weight", "bias") and
/// carries the path as its scope, so a plan line reads like the checkpoint.
/// </summary>
internal sealed class Module(Graph graph, string path)
{
    public string Path => path;

    public Module this[string child] => new(graph, path.Length == 0 ? child : $"{path}.{child}");

    /// <summary>A weight of this layer.</summary>
    public Node Parameter(string name, Shape shape) => graph.Parameter(this[name].Path, shape);

    /// <summary>Builds under this place's path.</summary>
    public Node Do(Func<Graph, Node> build)
    {
        using (graph.Scope(path))
        {
            return build(graph);
        }
    }

    public Node Silu(Node x) => Do(g => g.Silu(x));

    /// <summary>GroupNorm over 32 groups with weight and bias [C].</summary>
    public Node GroupNorm(Node x)
    {
        int c = x.Shape.Last;
        Node gamma = Parameter("weight", [c]);
        Node beta = Parameter("bias", [c]);
        return Do(g => g.GroupNorm(x, gamma, beta, groups: NetworkConfig.NormGroups, eps: NetworkConfig.NormEps));
    }

    /// <summary>3x3 convolution with padding 1 to <paramref name="width"/> channels.</summary>
    public Node Conv3x3(Node x, int width, int stride = 1)
    {
        Node w = Parameter("weight", [width, x.Shape.Last, 3, 3]);
        Node b = Parameter("bias", [width]);
        return Do(g => g.Conv2d(x, w, b, stride: stride, padH: 1, padW: 1));
    }

    /// <summary>
    /// W x + b over the last dimension, W = [width, K] followed by <paramref name="kernelDims"/> ones: a dense layer
    /// (0), or a 1-D or 2-D convolution of size 1 under its checkpoint shape.
    /// </summary>
    public Node Linear(Node x, int width, int kernelDims = 0)
    {
        Node w = Parameter("weight", Shape.Create([width, x.Shape.Last, .. Enumerable.Repeat(1L, kernelDims)]));
        Node b = Parameter("bias", [width]);
        return Do(g => g.Linear(x, w, b));
    }
}
