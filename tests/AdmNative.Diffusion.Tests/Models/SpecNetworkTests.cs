using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>
/// Specification, appendix C.7: small networks whose outputs were confirmed by running the reference.
/// </summary>
public class SpecNetworkTests
{
    [Theory]
    [InlineData('A', 7, 2, 1e-4, new[] { 0.35978210, 1.02741051, 1.41206604, 1.28245750, -0.87186715, -0.28128730, 12.45213720, 233.15904148 })]
    [InlineData('B', 7, 2, 1e-4, new[] { 0.36524624, 1.03576503, 1.41574398, 1.27452397, -0.84953457, -0.26622939, 12.46706629, 235.05501850 })]
    [InlineData('C', 7, null, 1e-4, new[] { -0.14061962, -0.48872955, -0.56548500, -0.35955178, 0.25059807, 0.05012076, 27.52086318, 223.97677282 })]
    [InlineData('D', 7, 2, 1e-4, new[] { 0.37753899, 1.05677026, 1.43339431, 1.28169608, -0.85000158, -0.26344643, 12.66885522, 236.65528777 })]
    // At t = 999 the sinusoid itself is only good to 6e-5 in float32, the precision of the listed values.
    [InlineData('I', 999, null, 1e-3, new[] { -0.93541260, -1.41843394, -1.22716434, -1.17988199, -0.81827640, -0.39991073, -36.90842315, 245.15698857 })]
    public void UNet(char which, double t, int? y, double tolerance, double[] expected)
    {
        UNetConfig config = SpecNetworks.UNet(which);
        var graph = new Graph();
        Node x = graph.Input("x", [1, 8, 8, 3]);
        Node time = graph.Input("t", [1]);
        Node? label = y is null ? null : graph.Input("y", new TensorType(DType.I32, [1]));
        graph.Output("out", Diffusion.UNet.Build(graph, config, x, time, label));
        var inputs = new Dictionary<string, HostArray<double>>
        {
            ["x"] = SpecNetworks.Image(),
            ["t"] = new([1], [t]),
            ["y"] = new([1], [y ?? 0]),
        };

        HostArray<double> result = TwinEvaluator.Evaluate(graph, inputs, SpecNetworks.Weights(config))["out"];

        double[] nchw = Nchw(result);
        double[] found = [.. nchw[..4], .. nchw[^2..], nchw.Sum(), nchw.Sum(Math.Abs)];
        for (int i = 0; i < expected.Length; i++)
        {
            // Sums of 384 values: tolerance per element.
            double allowed = i < 6 ? tolerance : tolerance * Math.Abs(expected[^1]);
            Assert.True(Math.Abs(found[i] - expected[i]) <= allowed, $"entry {i}: {found[i]}, expected {expected[i]}");
        }
    }

    [Theory]
    [InlineData(PoolKind.Attention, new[] { 0.37938545, 0.34114392, 0.09153345, -0.20259971, -0.35253832, 0.25692480 })]
    [InlineData(PoolKind.Adaptive, new[] { 0.06757890, -0.14008752, -0.25158050, -0.20740837, -0.04489948, -0.57639697 })]
    [InlineData(PoolKind.Spatial, new[] { 0.46966904, -0.65588501, -1.11696273, -0.49758138, 0.56783049, -1.23292958 })]
    [InlineData(PoolKind.SpatialV2, new[] { -1.39005578, -1.42550052, -0.11196339, 1.29448101, 1.45474704, -0.17829164 })]
    public void Classifier(PoolKind pool, double[] expected)
    {
        EncoderUNetConfig config = SpecNetworks.Classifier(pool);
        var graph = new Graph();
        Node x = graph.Input("x", [1, 8, 8, 3]);
        graph.Output("logits", EncoderUNet.Build(graph, config, x, graph.Input("t", [1])));
        var inputs = new Dictionary<string, HostArray<double>> { ["x"] = SpecNetworks.Image(), ["t"] = new([1], [7]) };

        double[] logits = TwinEvaluator.Evaluate(graph, inputs, SpecNetworks.Weights(config))["logits"].Data;

        double[] found = [.. logits, logits.Sum()];
        Assert.Equal(expected.Length, found.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(found[i] - expected[i]) <= 1e-4, $"entry {i}: {found[i]}, expected {expected[i]}");
        }
    }

    private static double[] Nchw(HostArray<double> nhwc)
    {
        (int pixels, int c) = (nhwc.Shape[1] * nhwc.Shape[2], nhwc.Shape.Last);
        return [.. Enumerable.Range(0, c).SelectMany(k => Enumerable.Range(0, pixels).Select(p => nhwc.Data[(p * c) + k]))];
    }
}
