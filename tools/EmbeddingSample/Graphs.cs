using AdmNative.Core;

namespace EmbeddingSample;

/// <summary>A network of one's own: a graph, planned and run by any backend.</summary>
internal static class Graphs
{
    public static void Run(IBackend backend)
    {
        float[] values = Plain.Values(2 * 3, seed: 5), result = new float[values.Length];

        #region graph
        var graph = new Graph();
        Node x = graph.Input("x", [2, 3]);
        graph.Output("y", graph.Silu(x));

        using IParameters weights = backend.LoadParameters(graph.Parameters, new NoWeights());
        using IExecutable run = backend.Load(backend.Plan(Passes.Optimize(graph)), weights);
        run.SetInput("x", values);
        run.Run();
        run.GetOutput("y", result);
        #endregion

        float[] expected = Array.ConvertAll(values, v => (float)(v / (1 + Math.Exp(-v))));
        Check.Near($"a graph on {backend.Description}", result, expected, 1e-6); // a few units in the last place of values below 1
    }

    #region weights
    /// <summary>Weights can come from anywhere: from a file by Checkpoints.Open, or from a class like this one, which has none.</summary>
    private sealed class NoWeights : ITensorSource
    {
        public string Description => "no weights";

        public IReadOnlyDictionary<string, TensorType> Tensors { get; } = new Dictionary<string, TensorType>();

        public void ReadFloats(string name, Span<float> destination) => throw new CheckpointException($"there is no {name}");
    }
    #endregion
}
