using System.Numerics;

namespace AdmNative.Core;

/// <summary>
/// Multi-head self-attention over the tokens of each sample (spec 1.6), d = C/Heads:
/// o[i] = sum_j softmax_j((q[i] . k[j]) / sqrt(d)) v[j]. qkv: [N,...,3C]; result [N,...,C], head-major.
/// </summary>
/// <param name="Heads">Number of heads; divides C.</param>
/// <param name="NewOrder">
/// False: the 3C channels are Heads groups [q|k|v] of d each. True: Q, K, V of C channels each, then heads inside.
/// </param>
public sealed record Attention(int Heads, bool NewOrder) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 1) && inputs[0].Shape.Rank >= 2 && Heads > 0 && inputs[0].Shape.Last % (3 * Heads) == 0,
            $"qkv[N,...,3C] with C a multiple of {Heads} heads",
            inputs);
        return TensorType.F32(Fit.WithLast(inputs[0].Shape, inputs[0].Shape.Last / 3));
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> qkv = inputs[0];
        (int N, int L, int C) = (output.Shape[0], Fit.Middle(output.Shape), output.Shape.Last);
        int d = C / Heads;
        var w = new T[L];
        for (int n = 0; n < N; n++)
        {
            for (int head = 0; head < Heads; head++)
            {
                for (int i = 0; i < L; i++)
                {
                    AttentionMath.Weights(this, qkv, n, head, i, w);
                    for (int a = 0; a < d; a++)
                    {
                        T sum = T.Zero;
                        for (int j = 0; j < L; j++)
                        {
                            sum += w[j] * qkv.Data[AttentionMath.Index(this, C, L, n, j, head, 2) + a];
                        }

                        output.Data[(((n * L) + i) * C) + (head * d) + a] = sum;
                    }
                }
            }
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Add(new AttentionGrad(Heads, NewOrder), node.Inputs[0], node, dy) : null];

    /// <summary>Two products of 2 L^2 C each per sample; the softmax is not counted.</summary>
    public override double Flops(ReadOnlySpan<TensorType> inputs, TensorType output) =>
        4.0 * output.Shape.Elements * Fit.Middle(output.Shape);

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new Attention(1, false), [TensorType.F32([2, 5, 9])], Scale: [2]),
        new(new Attention(2, false), [TensorType.F32([2, 3, 3, 30])], Scale: [2]),
        new(new Attention(2, true), [TensorType.F32([1, 5, 1, 24])], Scale: [3]),
        new(new Attention(3, true), [TensorType.F32([2, 17, 9])], Scale: [2]),
        new(new Attention(1, true), [TensorType.F32([3, 6])], Scale: [2]),
    ];
}

/// <summary>
/// With P the softmax weights, s = 1/sqrt(d): dv[j] = sum_i P[i,j] do[i]; dS[i,j] = P[i,j] (do[i].v[j] - do[i].o[i]);
/// dq[i] = s sum_j dS[i,j] k[j]; dk[j] = s sum_i dS[i,j] q[i]. qkv: [N,...,3C], o and do: [N,...,C]; result like qkv.
/// </summary>
/// <param name="Heads">As in the forward op.</param>
/// <param name="NewOrder">As in the forward op.</param>
public sealed record AttentionGrad(int Heads, bool NewOrder) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 3) && inputs[0].Shape.Rank >= 2 && Heads > 0 && inputs[0].Shape.Last % (3 * Heads) == 0
                && inputs[1].Shape == Fit.WithLast(inputs[0].Shape, inputs[0].Shape.Last / 3) && inputs[2] == inputs[1],
            $"qkv[N,...,3C], o[N,...,C] and do[N,...,C] with C a multiple of {Heads} heads",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (HostArray<T> qkv, HostArray<T> o, HostArray<T> dO) = (inputs[0], inputs[1], inputs[2]);
        var op = new Attention(Heads, NewOrder);
        (int N, int L, int C) = (o.Shape[0], Fit.Middle(o.Shape), o.Shape.Last);
        int d = C / Heads;
        T scale = T.One / T.Sqrt(Fit.Num<T>(d));
        var w = new T[L];
        Array.Clear(output.Data);
        for (int n = 0; n < N; n++)
        {
            for (int head = 0; head < Heads; head++)
            {
                for (int i = 0; i < L; i++)
                {
                    AttentionMath.Weights(op, qkv, n, head, i, w);
                    int row = (((n * L) + i) * C) + (head * d);
                    int q = AttentionMath.Index(op, C, L, n, i, head, 0);
                    T delta = T.Zero;
                    for (int a = 0; a < d; a++)
                    {
                        delta += dO.Data[row + a] * o.Data[row + a];
                    }

                    for (int j = 0; j < L; j++)
                    {
                        int k = AttentionMath.Index(op, C, L, n, j, head, 1);
                        int v = AttentionMath.Index(op, C, L, n, j, head, 2);
                        T dP = T.Zero;
                        for (int a = 0; a < d; a++)
                        {
                            dP += dO.Data[row + a] * qkv.Data[v + a];
                            output.Data[v + a] += w[j] * dO.Data[row + a];
                        }

                        T dS = scale * w[j] * (dP - delta);
                        for (int a = 0; a < d; a++)
                        {
                            output.Data[q + a] += dS * qkv.Data[k + a];
                            output.Data[k + a] += dS * qkv.Data[q + a];
                        }
                    }
                }
            }
        }
    }

    /// <summary>Five products of 2 L^2 C each per sample, one of them the scores again.</summary>
    public override double Flops(ReadOnlySpan<TensorType> inputs, TensorType output) =>
        10.0 * inputs[1].Shape.Elements * Fit.Middle(inputs[1].Shape);

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        // o is drawn freely here: the formula holds for any o, and backends must use it rather than recompute it.
        foreach (OpCase forward in new Attention(1, false).Cases())
        {
            (Attention op, TensorType qkv) = ((Attention)forward.Op, forward.Inputs[0]);
            TensorType o = op.Infer([qkv]);
            yield return new(new AttentionGrad(op.Heads, op.NewOrder), [qkv, o, o], Scale: [2, 1, 1]);
        }
    }
}

/// <summary>What attention and its gradient share.</summary>
internal static class AttentionMath
{
    /// <summary>Where q (0), k (1) or v (2) of a head begins in the row of a token.</summary>
    public static int Index(Attention op, int C, int L, int n, int token, int head, int part)
    {
        int d = C / op.Heads;
        return (((n * L) + token) * 3 * C) + (op.NewOrder ? (part * C) + (head * d) : ((head * 3) + part) * d);
    }

    /// <summary>The softmax row of token i. Scores scale q and k by d^(-1/4) each, as the reference does.</summary>
    public static void Weights<T>(Attention op, HostArray<T> qkv, int n, int head, int i, T[] w)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        (int C, int L) = (qkv.Shape.Last / 3, w.Length);
        int d = C / op.Heads;
        T s = T.One / T.Sqrt(T.Sqrt(Fit.Num<T>(d)));
        int q = Index(op, C, L, n, i, head, 0);
        T max = T.NegativeInfinity;
        for (int j = 0; j < L; j++)
        {
            int k = Index(op, C, L, n, j, head, 1);
            T dot = T.Zero;
            for (int a = 0; a < d; a++)
            {
                dot += s * qkv.Data[q + a] * (s * qkv.Data[k + a]);
            }

            w[j] = dot;
            max = T.Max(max, dot);
        }

        T sum = T.Zero;
        for (int j = 0; j < L; j++)
        {
            w[j] = T.Exp(w[j] - max);
            sum += w[j];
        }

        for (int j = 0; j < L; j++)
        {
            w[j] /= sum;
        }
    }
}

/// <summary>Builder of <see cref="Core.Attention"/>.</summary>
public static class AttentionBuilder
{
    /// <summary>Adds <see cref="Core.Attention"/>.</summary>
    public static Node Attention(this Graph graph, Node qkv, int heads, bool newOrder) =>
        graph.Add(new Attention(heads, newOrder), qkv);
}
