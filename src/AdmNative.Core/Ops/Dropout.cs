namespace AdmNative.Core;

/// <summary>
/// y[i] = keep(i) ? x[i] / (1 - p) : 0, with keep(i) = (word(i) &gt;&gt; 8) / 2^24 &gt;= p and word(i) = word i mod 4 of
/// Philox(key = seed, counter = [i div 4 low, i div 4 high, Stream, 0]), i = row-major element number.
/// x: any shape; seed: i32 [2], each 0..2^24-1 (exact as an f32). Spec 1.5; the counter-based mask makes recomputation exact (spec 1.9).
/// </summary>
/// <param name="Probability">p, the chance of zero; 0 &lt;= p &lt; 1.</param>
/// <param name="Stream">Tells the dropout layers of one network apart.</param>
public sealed record Dropout(double Probability, int Stream) : Op
{
    /// <summary>The smallest value of word &gt;&gt; 8 that is kept: ceil(p * 2^24), so backends compare integers.</summary>
    public uint Threshold => (uint)Math.Ceiling(Probability * (1 << 24));

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Probability is >= 0 and < 1, $"a probability in [0,1), not {Probability}", inputs);
        Require(
            inputs.Length == 2 && inputs[0].DType == DType.F32 && inputs[1] == new TensorType(DType.I32, [2]),
            "x of any shape and seed i32[2]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        T[] x = inputs[0].Data;
        T keepScale = Fit.Num<T>(1 / (1 - Probability));
        uint key0 = uint.CreateChecked(inputs[1].Data[0]);
        uint key1 = uint.CreateChecked(inputs[1].Data[1]);
        var words = new uint[4];
        for (int i = 0; i < x.Length; i++)
        {
            if (i % 4 == 0)
            {
                Philox.Block(
                    key0, key1, (uint)(i / 4), 0, unchecked((uint)Stream), 0, out words[0], out words[1], out words[2], out words[3]);
            }

            output.Data[i] = words[i % 4] >> 8 >= Threshold ? x[i] * keepScale : T.Zero;
        }
    }

    /// <summary>The same mask over dy.</summary>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Dropout(dy, node.Inputs[1], Probability, Stream) : null, null];

    /// <inheritdoc/>
    public override bool InPlace(int input) => input == 0;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        var seed = new TensorType(DType.I32, [2]);
        return
        [
            new(new Dropout(0.1, 3), [TensorType.F32([2, 3, 5, 7]), seed], [0, 1 << 24]),
            new(new Dropout(0.5, 0), [TensorType.F32([13]), seed], [0, 1 << 24]),
            new(new Dropout(0, 1), [TensorType.F32([3, 5]), seed], [0, 1 << 24]),
        ];
    }
}

/// <summary>Builder of <see cref="Core.Dropout"/>.</summary>
public static class DropoutBuilder
{
    /// <summary>Adds <see cref="Core.Dropout"/>.</summary>
    public static Node Dropout(this Graph graph, Node x, Node seed, double probability, int stream) =>
        graph.Add(new Dropout(probability, stream), x, seed);
}
