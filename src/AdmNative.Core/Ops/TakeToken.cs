namespace AdmNative.Core;

/// <summary>y[n,c] = x[n,Index,c]. x: [N,T,C]; result [N,C]. The classifier's pooled token is token 0 (spec 2.2).</summary>
/// <param name="Index">The token.</param>
public sealed record TakeToken(int Index) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 1) && inputs[0].Shape.Rank == 3 && Index >= 0 && Index < inputs[0].Shape[1],
            $"x[N,T,C] with a token {Index}",
            inputs);
        return TensorType.F32(Fit.Ends(inputs[0].Shape));
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> x = inputs[0];
        (int N, int L, int C) = (x.Shape[0], x.Shape[1], x.Shape[2]);
        for (int n = 0; n < N; n++)
        {
            x.Data.AsSpan(((n * L) + Index) * C, C).CopyTo(output.Data.AsSpan(n * C));
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.PlaceToken(dy, Index, node.Inputs[0].Shape[1]) : null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(new TakeToken(0), [TensorType.F32([2, 5, 7])]), new(new TakeToken(4), [TensorType.F32([3, 5, 33])])];
}

/// <summary>y[n,t,c] = t == Index ? dy[n,c] : 0. dy: [N,C]; result [N,Tokens,C].</summary>
/// <param name="Index">The token.</param>
/// <param name="Tokens">T of the result.</param>
public sealed record PlaceToken(int Index, int Tokens) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 1) && inputs[0].Shape.Rank == 2 && Index >= 0 && Index < Tokens,
            $"dy[N,C] and token {Index} among {Tokens}",
            inputs);
        return TensorType.F32([inputs[0].Shape[0], Tokens, inputs[0].Shape[1]]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (int N, int C) = (inputs[0].Shape[0], inputs[0].Shape[1]);
        Array.Clear(output.Data);
        for (int n = 0; n < N; n++)
        {
            inputs[0].Data.AsSpan(n * C, C).CopyTo(output.Data.AsSpan(((n * Tokens) + Index) * C));
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.TakeToken(dy, Index) : null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(new PlaceToken(0, 5), [TensorType.F32([2, 7])]), new(new PlaceToken(3, 4), [TensorType.F32([3, 33])])];
}

/// <summary>Builders of <see cref="Core.TakeToken"/> and its reverse.</summary>
public static class TakeTokenBuilder
{
    /// <summary>Adds <see cref="Core.TakeToken"/>.</summary>
    public static Node TakeToken(this Graph graph, Node x, int index) => graph.Add(new TakeToken(index), x);

    /// <summary>Adds <see cref="Core.PlaceToken"/>.</summary>
    public static Node PlaceToken(this Graph graph, Node dy, int index, int tokens) => graph.Add(new PlaceToken(index, tokens), dy);
}
