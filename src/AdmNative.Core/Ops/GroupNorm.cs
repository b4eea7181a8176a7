using System.Numerics;

namespace AdmNative.Core;

/// <summary>Resampling that follows a fused normalisation.</summary>
public enum NormResample : byte
{
    /// <summary>None.</summary>
    None,

    /// <summary>Nearest neighbour, twice the size.</summary>
    Up2,

    /// <summary>Mean of 2x2 blocks.</summary>
    Down2,
}

/// <summary>Which parameter a <see cref="GroupNormParamGrad"/> is for.</summary>
public enum GroupNormParam : byte
{
    /// <summary>gamma [C].</summary>
    Gamma,

    /// <summary>beta [C].</summary>
    Beta,

    /// <summary>m [N,2C].</summary>
    Modulation,
}

/// <summary>
/// y = resample(act(modulate(gamma * (x - mean) * rstd + beta))), rstd = 1/sqrt(var + eps), mean and biased variance per sample
/// and group over C/Groups channels and all positions; modulate(z) = z * (1 + m[:, :C]) + m[:, C:] when m is given; act = SiLU or
/// identity (spec 1.5). x: [N,...,C], gamma, beta: [C], m: [N,2C]. Models say Groups and Eps; the other attributes come from fusion.
/// </summary>
/// <param name="Groups">G; divides C.</param>
/// <param name="Eps">Added to the variance.</param>
/// <param name="Silu">SiLU after the affine part.</param>
/// <param name="Resample">Resampling after the activation; needs [N,H,W,C].</param>
public sealed record GroupNorm(int Groups, double Eps, bool Silu = false, NormResample Resample = NormResample.None) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 3, 4) && GroupNormMath.Fits(inputs[0].Shape, Groups, Resample)
                && GroupNormMath.AreParams(inputs[0].Shape, inputs[1..]),
            GroupNormMath.Expected(Groups, Resample, "x[N,...,C], gamma[C], beta[C], then m[N,2C] if any"),
            inputs);
        return TensorType.F32(GroupNormMath.Result(inputs[0].Shape, Resample));
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        var stats = new HostArray<T>([inputs[0].Shape[0], Groups, 2]);
        new GroupNormStats(Groups, Eps).Twin([inputs[0]], stats);
        new GroupNormApply(Groups, Silu, Resample).Twin([inputs[0], stats, .. inputs[1..]], output);
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted)
    {
        var result = new Node?[wanted.Length];
        if (!wanted.Contains(true))
        {
            return result;
        }

        (Node x, Node gamma, Node beta) = (node.Inputs[0], node.Inputs[1], node.Inputs[2]);
        Node? m = node.Inputs.Count > 3 ? node.Inputs[3] : null;
        Node stats = graph.GroupNormStats(x, Groups, Eps);
        Node sums = graph.Add(new GroupNormGradSums(Groups, Silu, Resample), x, dy, stats, gamma, beta, m);
        if (wanted[0])
        {
            result[0] = graph.Add(new GroupNormInputGrad(Groups, Silu, Resample, m is not null), x, dy, stats, sums, gamma, beta, m);
        }

        for (int i = 1; i < wanted.Length; i++)
        {
            if (wanted[i])
            {
                result[i] = graph.Add(new GroupNormParamGrad((GroupNormParam)(i - 1)), sums, gamma, beta, m);
            }
        }

        return result;
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input == 0 && Resample == NormResample.None;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        foreach ((int groups, bool silu, NormResample resample, Shape x, bool modulated) in GroupNormMath.Variants())
        {
            var c = TensorType.F32([x.Last]);
            var m = TensorType.F32([x[0], 2L * x.Last]);
            yield return new(
                new GroupNorm(groups, 1e-5, silu, resample),
                modulated ? [TensorType.F32(x), c, c, m] : [TensorType.F32(x), c, c],
                Scale: modulated ? [2, 0.5, 0.5, 0.5] : [2, 0.5, 0.5],
                Offset: modulated ? [0.5, 1, 0, 0] : [0.5, 1, 0]);
        }
    }
}

/// <summary>Mean and rstd = 1/sqrt(var + eps) per sample and group. x: [N,...,C]; result [N,G,2].</summary>
/// <param name="Groups">G; divides C.</param>
/// <param name="Eps">Added to the variance.</param>
public sealed record GroupNormStats(int Groups, double Eps) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "made inside gradient rules; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 1) && GroupNormMath.Fits(inputs[0].Shape, Groups, NormResample.None),
            GroupNormMath.Expected(Groups, NormResample.None, "x[N,...,C]"),
            inputs);
        return TensorType.F32([inputs[0].Shape[0], Groups, 2]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> x = inputs[0];
        (int N, int P, int C) = (x.Shape[0], Fit.Middle(x.Shape), x.Shape.Last);
        int D = C / Groups;
        T count = Fit.Num<T>((double)P * D);
        for (int n = 0; n < N; n++)
        {
            for (int g = 0; g < Groups; g++)
            {
                T sum = T.Zero;
                for (int p = 0; p < P; p++)
                {
                    for (int c = g * D; c < (g + 1) * D; c++)
                    {
                        sum += x.Data[(((n * P) + p) * C) + c];
                    }
                }

                T mean = sum / count;
                T squares = T.Zero;
                for (int p = 0; p < P; p++)
                {
                    for (int c = g * D; c < (g + 1) * D; c++)
                    {
                        T centred = x.Data[(((n * P) + p) * C) + c] - mean;
                        squares += centred * centred;
                    }
                }

                output.Data[((n * Groups) + g) * 2] = mean;
                output.Data[(((n * Groups) + g) * 2) + 1] = T.One / T.Sqrt((squares / count) + Fit.Num<T>(Eps));
            }
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new GroupNormStats(3, 1e-5), [TensorType.F32([2, 3, 5, 9])], Scale: [2], Offset: [0.5]),
        new(new GroupNormStats(1, 1e-3), [TensorType.F32([2, 7])]),
        new(new GroupNormStats(32, 1e-5), [TensorType.F32([1, 2, 3, 64])], Scale: [2]),
    ];
}

/// <summary><see cref="GroupNorm"/> with its statistics given. (x, stats[N,G,2], gamma, beta, m?).</summary>
/// <param name="Groups">As in GroupNorm.</param>
/// <param name="Silu">As in GroupNorm.</param>
/// <param name="Resample">As in GroupNorm.</param>
public sealed record GroupNormApply(int Groups, bool Silu, NormResample Resample) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "made by a pass after differentiation";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 4, 5) && GroupNormMath.Fits(inputs[0].Shape, Groups, Resample)
                && inputs[1].Shape == [inputs[0].Shape[0], Groups, 2] && GroupNormMath.AreParams(inputs[0].Shape, inputs[2..]),
            GroupNormMath.Expected(Groups, Resample, "x[N,...,C], stats[N,G,2], gamma[C], beta[C], then m[N,2C] if any"),
            inputs);
        return TensorType.F32(GroupNormMath.Result(inputs[0].Shape, Resample));
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> x = inputs[0];
        var y = new HostArray<T>(x.Shape);
        GroupNormMath.ForEach(x, Groups, inputs[1], inputs[2..], (i, _, _, z) =>
            y.Data[i] = Silu ? z / (T.One + T.Exp(-z)) : z);
        GroupNormMath.Apply(Resample, y, output);
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input == 0 && Resample == NormResample.None;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        foreach ((int groups, bool silu, NormResample resample, Shape x, bool modulated) in GroupNormMath.Variants())
        {
            (TensorType c, TensorType m) = (TensorType.F32([x.Last]), TensorType.F32([x[0], 2L * x.Last]));
            var stats = TensorType.F32([x[0], groups, 2]);
            yield return new(
                new GroupNormApply(groups, silu, resample),
                modulated ? [TensorType.F32(x), stats, c, c, m] : [TensorType.F32(x), stats, c, c],
                Scale: modulated ? [2, 0.3, 0.5, 0.5, 0.5] : [2, 0.3, 0.5, 0.5],
                Offset: modulated ? [0.5, 1, 1, 0, 0] : [0.5, 1, 1, 0]);
        }
    }
}

/// <summary>
/// result[n,0,c] = sum_p dz * xhat, result[n,1,c] = sum_p dz, where xhat = (x - mean) * rstd and dz is the gradient at the input of
/// act: dy with the resampling undone, times SiLU'. (x, dy, stats[N,G,2], gamma, beta, m?) -> [N,2,C].
/// </summary>
/// <param name="Groups">As in GroupNorm.</param>
/// <param name="Silu">As in GroupNorm.</param>
/// <param name="Resample">As in GroupNorm.</param>
public sealed record GroupNormGradSums(int Groups, bool Silu, NormResample Resample) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 5, 6) && GroupNormMath.Fits(inputs[0].Shape, Groups, Resample)
                && inputs[1].Shape == GroupNormMath.Result(inputs[0].Shape, Resample)
                && inputs[2].Shape == [inputs[0].Shape[0], Groups, 2] && GroupNormMath.AreParams(inputs[0].Shape, inputs[3..]),
            GroupNormMath.Expected(Groups, Resample, "x[N,...,C], dy, stats[N,G,2], gamma[C], beta[C], then m[N,2C] if any"),
            inputs);
        return TensorType.F32([inputs[0].Shape[0], 2, inputs[0].Shape.Last]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> x = inputs[0];
        (int N, int P, int C) = (x.Shape[0], Fit.Middle(x.Shape), x.Shape.Last);
        (T[] xhat, T[] dz) = GroupNormMath.Reverse(x, inputs[1], Groups, Silu, Resample, inputs[2], inputs[3..]);
        Array.Clear(output.Data);
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int p = 0; p < P; p++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    output.Data[(n * 2 * C) + c] += dz[i] * xhat[i];
                    output.Data[(((n * 2) + 1) * C) + c] += dz[i];
                }
            }
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        foreach ((int groups, bool silu, NormResample resample, Shape x, bool modulated) in GroupNormMath.Variants())
        {
            (TensorType c, TensorType m) = (TensorType.F32([x.Last]), TensorType.F32([x[0], 2L * x.Last]));
            (var dy, var stats) = (TensorType.F32(GroupNormMath.Result(x, resample)), TensorType.F32([x[0], groups, 2]));
            yield return new(
                new GroupNormGradSums(groups, silu, resample),
                modulated ? [TensorType.F32(x), dy, stats, c, c, m] : [TensorType.F32(x), dy, stats, c, c],
                Scale: modulated ? [2, 1, 0.3, 0.5, 0.5, 0.5] : [2, 1, 0.3, 0.5, 0.5],
                Offset: modulated ? [0.5, 0, 1, 1, 0, 0] : [0.5, 0, 1, 1, 0]);
        }
    }
}

/// <summary>
/// dx = rstd * (a dz - mean(a dz) - xhat * mean(a dz xhat)) + addend, a = gamma * (1 + m[:, :C]), means per sample and group, taken
/// from the sums of <see cref="GroupNormGradSums"/>. (x, dy, stats, sums, gamma, beta, m when Modulated, addend?) -> x's shape.
/// </summary>
/// <param name="Groups">As in GroupNorm.</param>
/// <param name="Silu">As in GroupNorm.</param>
/// <param name="Resample">As in GroupNorm.</param>
/// <param name="Modulated">Whether m is among the inputs; tells it from the addend.</param>
public sealed record GroupNormInputGrad(int Groups, bool Silu, NormResample Resample, bool Modulated) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <summary>Position of the addend among the inputs.</summary>
    public int AddendInput => Modulated ? 7 : 6;

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, AddendInput, AddendInput + 1) && GroupNormMath.Fits(inputs[0].Shape, Groups, Resample)
                && inputs[1].Shape == GroupNormMath.Result(inputs[0].Shape, Resample)
                && inputs[2].Shape == [inputs[0].Shape[0], Groups, 2]
                && inputs[3].Shape == [inputs[0].Shape[0], 2, inputs[0].Shape.Last]
                && GroupNormMath.AreParams(inputs[0].Shape, inputs[4..AddendInput])
                && (inputs.Length == AddendInput || inputs[AddendInput] == inputs[0]),
            GroupNormMath.Expected(
                Groups,
                Resample,
                $"x[N,...,C], dy, stats[N,G,2], sums[N,2,C], gamma[C], beta[C]{(Modulated ? ", m[N,2C]" : "")}, then addend like x if any"),
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (HostArray<T> x, HostArray<T> stats, T[] sums, T[] gamma) = (inputs[0], inputs[2], inputs[3].Data, inputs[4].Data);
        (int N, int P, int C) = (x.Shape[0], Fit.Middle(x.Shape), x.Shape.Last);
        int D = C / Groups;
        T count = Fit.Num<T>((double)P * D);
        (T[] xhat, T[] dz) = GroupNormMath.Reverse(x, inputs[1], Groups, Silu, Resample, stats, inputs[4..AddendInput]);
        var a = new T[C];
        for (int n = 0; n < N; n++)
        {
            for (int c = 0; c < C; c++)
            {
                a[c] = Modulated ? gamma[c] * (T.One + inputs[6][n, c]) : gamma[c];
            }

            for (int g = 0; g < Groups; g++)
            {
                T rstd = stats.Data[(((n * Groups) + g) * 2) + 1];
                T meanXhat = T.Zero;
                T mean = T.Zero;
                for (int c = g * D; c < (g + 1) * D; c++)
                {
                    meanXhat += a[c] * sums[(n * 2 * C) + c] / count;
                    mean += a[c] * sums[(((n * 2) + 1) * C) + c] / count;
                }

                for (int p = 0; p < P; p++)
                {
                    for (int c = g * D; c < (g + 1) * D; c++)
                    {
                        int i = (((n * P) + p) * C) + c;
                        T dx = rstd * ((a[c] * dz[i]) - mean - (xhat[i] * meanXhat));
                        output.Data[i] = inputs.Length > AddendInput ? dx + inputs[AddendInput].Data[i] : dx;
                    }
                }
            }
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) =>
        input == 0 || input == AddendInput || (input == 1 && Resample == NormResample.None);

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        bool addend = false;
        foreach ((int groups, bool silu, NormResample resample, Shape x, bool modulated) in GroupNormMath.Variants())
        {
            (TensorType c, TensorType m) = (TensorType.F32([x.Last]), TensorType.F32([x[0], 2L * x.Last]));
            (var dy, var stats) = (TensorType.F32(GroupNormMath.Result(x, resample)), TensorType.F32([x[0], groups, 2]));
            List<TensorType> inputs = [TensorType.F32(x), dy, stats, TensorType.F32([x[0], 2, x.Last]), c, c];
            List<double> scale = [2, 1, 0.3, 1, 0.5, 0.5];
            List<double> offset = [0.5, 0, 1, 0, 1, 0];
            if (modulated)
            {
                inputs.Add(m);
                scale.Add(0.5);
                offset.Add(0);
            }

            if (addend)
            {
                inputs.Add(TensorType.F32(x));
                scale.Add(1);
                offset.Add(0);
            }

            addend = !addend;
            yield return new(
                new GroupNormInputGrad(groups, silu, resample, modulated), [.. inputs], Scale: [.. scale], Offset: [.. offset]);
        }
    }
}

/// <summary>
/// With A, B the sums [N,2,C]: Gamma: sum_n (1 + m[n,c]) A[n,c]; Beta: sum_n (1 + m[n,c]) B[n,c];
/// Modulation: [gamma A + beta B, B]. (sums, gamma, beta, m?) -> [C], [C] or [N,2C].
/// </summary>
/// <param name="Which">The parameter.</param>
public sealed record GroupNormParamGrad(GroupNormParam Which) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        bool modulation = Which == GroupNormParam.Modulation;
        Require(
            Fit.F32(inputs, modulation ? 4 : 3, 4) && inputs[0].Shape.Rank == 3 && inputs[0].Shape[1] == 2
                && GroupNormMath.AreParams(inputs[0].Shape, inputs[1..]),
            modulation ? "sums[N,2,C], gamma[C], beta[C], m[N,2C]" : "sums[N,2,C], gamma[C], beta[C], then m[N,2C] if any",
            inputs);
        (int N, int C) = (inputs[0].Shape[0], inputs[0].Shape.Last);
        return TensorType.F32(modulation ? [N, 2L * C] : [C]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (T[] sums, T[] gamma, T[] beta) = (inputs[0].Data, inputs[1].Data, inputs[2].Data);
        (int N, int C) = (inputs[0].Shape[0], inputs[0].Shape.Last);
        Array.Clear(output.Data);
        for (int n = 0; n < N; n++)
        {
            for (int c = 0; c < C; c++)
            {
                (T A, T B) = (sums[(n * 2 * C) + c], sums[(((n * 2) + 1) * C) + c]);
                T scale = inputs.Length > 3 ? T.One + inputs[3][n, c] : T.One;
                switch (Which)
                {
                    case GroupNormParam.Gamma:
                        output.Data[c] += scale * A;
                        break;
                    case GroupNormParam.Beta:
                        output.Data[c] += scale * B;
                        break;
                    default:
                        output[n, c] = (gamma[c] * A) + (beta[c] * B);
                        output[n, C + c] = B;
                        break;
                }
            }
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        (var sums, var c, var m) = (TensorType.F32([3, 2, 7]), TensorType.F32([7]), TensorType.F32([3, 14]));
        return
        [
            new(new GroupNormParamGrad(GroupNormParam.Gamma), [sums, c, c]),
            new(new GroupNormParamGrad(GroupNormParam.Gamma), [sums, c, c, m]),
            new(new GroupNormParamGrad(GroupNormParam.Beta), [sums, c, c]),
            new(new GroupNormParamGrad(GroupNormParam.Beta), [sums, c, c, m]),
            new(new GroupNormParamGrad(GroupNormParam.Modulation), [sums, c, c, m]),
        ];
    }
}

/// <summary>Shape questions and loops the GroupNorm family shares.</summary>
internal static class GroupNormMath
{
    /// <summary>Called with element number, channel, xhat and z (the value before act).</summary>
    public delegate void Visit<T>(int i, int c, T xhat, T z);

    /// <summary>x is [N,...,C] with C a multiple of groups, and an image of fitting size if it is resampled.</summary>
    public static bool Fits(Shape x, int groups, NormResample resample) =>
        x.Rank >= 2 && groups > 0 && x.Last % groups == 0 && resample switch
        {
            NormResample.None => true,
            NormResample.Up2 => x.Rank == 4,
            _ => x.Rank == 4 && x[1] % 2 == 0 && x[2] % 2 == 0,
        };

    /// <summary>gamma[C], beta[C] and possibly m[N,2C].</summary>
    public static bool AreParams(Shape x, ReadOnlySpan<TensorType> inputs) =>
        inputs.Length is 2 or 3 && inputs[0].Shape == [x.Last] && inputs[1] == inputs[0]
        && (inputs.Length == 2 || inputs[2].Shape == [x[0], 2L * x.Last]);

    /// <summary>Text of a shape error.</summary>
    public static string Expected(int groups, NormResample resample, string inputs) =>
        $"{inputs}; C a multiple of {groups} groups" + resample switch
        {
            NormResample.None => "",
            NormResample.Up2 => "; x[N,H,W,C]",
            _ => "; x[N,H,W,C] with even H and W",
        };

    /// <summary>Shape after resampling.</summary>
    public static Shape Result(Shape x, NormResample resample) => resample switch
    {
        NormResample.None => x,
        NormResample.Up2 => [x[0], 2L * x[1], 2L * x[2], x[3]],
        _ => [x[0], x[1] / 2, x[2] / 2, x[3]],
    };

    /// <summary>Forward resampling.</summary>
    public static void Apply<T>(NormResample resample, HostArray<T> x, HostArray<T> y)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (resample == NormResample.None)
        {
            x.Data.CopyTo(y.Data, 0);
        }
        else
        {
            new Resample(resample == NormResample.Up2 ? ResampleMode.Up2 : ResampleMode.Down2).Twin([x], y);
        }
    }

    /// <summary>Visits every element in order; parameters are gamma, beta and possibly m.</summary>
    public static void ForEach<T>(
        HostArray<T> x, int groups, HostArray<T> stats, ReadOnlySpan<HostArray<T>> parameters, Visit<T> visit)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        (int N, int P, int C) = (x.Shape[0], Fit.Middle(x.Shape), x.Shape.Last);
        int D = C / groups;
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int p = 0; p < P; p++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    int s = ((n * groups) + (c / D)) * 2;
                    T xhat = (x.Data[i] - stats.Data[s]) * stats.Data[s + 1];
                    T z = (xhat * parameters[0].Data[c]) + parameters[1].Data[c];
                    if (parameters.Length > 2)
                    {
                        z = (z * (T.One + parameters[2][n, c])) + parameters[2][n, C + c];
                    }

                    visit(i, c, xhat, z);
                }
            }
        }
    }

    /// <summary>xhat and dz of every element.</summary>
    public static (T[] Xhat, T[] Dz) Reverse<T>(
        HostArray<T> x,
        HostArray<T> dy,
        int groups,
        bool silu,
        NormResample resample,
        HostArray<T> stats,
        ReadOnlySpan<HostArray<T>> parameters)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        var xhats = new T[x.Data.Length];
        var dz = new HostArray<T>(x.Shape);
        switch (resample)
        {
            case NormResample.Up2:
                new Resample(ResampleMode.Down2, 4).Twin([dy], dz);
                break;
            case NormResample.Down2:
                new Resample(ResampleMode.Up2, 0.25).Twin([dy], dz);
                break;
            default:
                dy.Data.CopyTo(dz.Data, 0);
                break;
        }

        ForEach(x, groups, stats, parameters, (i, _, xhat, z) =>
        {
            xhats[i] = xhat;
            if (silu)
            {
                T s = T.One / (T.One + T.Exp(-z));
                dz.Data[i] *= s * (T.One + (z * (T.One - s)));
            }
        });
        return (xhats, dz.Data);
    }

    /// <summary>Attribute and shape variants the cases of all ops in this file run through.</summary>
    public static IEnumerable<(int Groups, bool Silu, NormResample Resample, Shape X, bool Modulated)> Variants() =>
    [
        (3, false, NormResample.None, [2, 3, 5, 9], false),
        (1, false, NormResample.None, [2, 15, 7], true),
        (2, true, NormResample.None, [2, 3, 5, 6], false),
        (3, true, NormResample.None, [2, 3, 3, 9], true),
        (2, true, NormResample.Up2, [2, 3, 1, 6], false),
        (3, true, NormResample.Up2, [1, 2, 3, 9], true),
        (5, false, NormResample.Up2, [1, 2, 2, 5], false),
        (2, true, NormResample.Down2, [2, 4, 6, 6], false),
        (3, true, NormResample.Down2, [1, 2, 4, 9], true),
        (1, false, NormResample.Down2, [1, 4, 2, 3], true),
        (4, true, NormResample.None, [3, 28], false),
        (32, true, NormResample.None, [1, 2, 2, 64], true),
    ];
}

/// <summary>Builders of <see cref="Core.GroupNorm"/> and its parts.</summary>
public static class GroupNormBuilder
{
    /// <summary>Adds <see cref="Core.GroupNorm"/>; the defaults are every model's.</summary>
    public static Node GroupNorm(
        this Graph graph,
        Node x,
        Node gamma,
        Node beta,
        Node? m = null,
        int groups = 32,
        double eps = 1e-5,
        bool silu = false,
        NormResample resample = NormResample.None) =>
        graph.Add(new GroupNorm(groups, eps, silu, resample), x, gamma, beta, m);

    /// <summary>Adds <see cref="Core.GroupNormStats"/>.</summary>
    public static Node GroupNormStats(this Graph graph, Node x, int groups = 32, double eps = 1e-5) =>
        graph.Add(new GroupNormStats(groups, eps), x);

    /// <summary>Adds <see cref="Core.GroupNormApply"/>.</summary>
    public static Node GroupNormApply(
        this Graph graph,
        Node x,
        Node stats,
        Node gamma,
        Node beta,
        Node? m = null,
        int groups = 32,
        bool silu = false,
        NormResample resample = NormResample.None) =>
        graph.Add(new GroupNormApply(groups, silu, resample), x, stats, gamma, beta, m);
}
