using AdmNative.Cli;
using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>The reference of the convolution cases is the operations of the graph, evaluated in f64.</summary>
public sealed class ConvDataTests
{
    public static TheoryData<int, int, bool> Kinds() => new() { { 3, 1, false }, { 3, 2, false }, { 3, 1, true }, { 1, 1, false } };

    [Theory]
    [MemberData(nameof(Kinds))]
    public void References_are_the_twins(int side, int stride, bool upsample)
    {
        var shape = new ConvShape(2, 5, 4, 3, 6) { Side = side, Stride = stride, Upsample = upsample, Residual = true };
        var data = new ConvData(shape, KernelDType.F16, "normal");
        int taps = side * side;
        var filters = new HostArray<double>([shape.K, shape.C, side, side]);
        for (int i = 0; i < data.Weights.Length; i++)
        {
            filters.Data[(((i / shape.C / taps * shape.C) + (i % shape.C)) * taps) + (i / shape.C % taps)] = data.Weights[i];
        }

        Shape source = [shape.N, shape.H, shape.W, shape.C], result = [shape.N, shape.ResultH, shape.ResultW, shape.K];
        Shape read = upsample ? [shape.N, 2 * shape.H, 2 * shape.W, shape.C] : source;
        HostArray<double> x = KernelInputs.Host(source, data.X), dy = KernelInputs.Host(result, data.Dy);
        if (upsample)
        {
            x = Wrap(read, KernelInputs.Twin(new Resample(ResampleMode.Up2), read, x));
        }

        var op = new Conv2d(stride, side / 2, side / 2);
        double[] y = KernelInputs.Twin(op, result, x, filters, KernelInputs.Host([shape.K], data.Bias), KernelInputs.Host(result, data.ResidualY));
        Close(y, data.Forward(false));

        double[] dx = KernelInputs.Twin(new Conv2dInputGrad(stride, side / 2, side / 2, read), read, dy, filters);
        if (upsample)
        {
            dx = KernelInputs.Twin(new Resample(ResampleMode.Down2, 4), source, Wrap(read, dx));
        }

        Close([.. dx.Zip(data.ResidualX, (d, r) => d + r)], data.InputGradient(false));

        double[] dw = KernelInputs.Twin(new Conv2dWeightGrad(stride, side / 2, side / 2, filters.Shape), filters.Shape, x, dy);
        double[] ours = data.WeightGradient(false, shape.C);
        Close(dw, [.. Enumerable.Range(0, dw.Length).Select(i => ours[(((i / taps / shape.C * taps) + (i % taps)) * shape.C) + (i / taps % shape.C)])]);
        Close(KernelInputs.Twin(new ChannelSum(), [shape.K], dy), data.BiasGradient(false));
    }

    private static HostArray<double> Wrap(Shape shape, double[] values)
    {
        var array = new HostArray<double>(shape);
        values.CopyTo(array.Data, 0);
        return array;
    }

    /// <summary>Sums of at most 54 terms of size 10 in two orders.</summary>
    private static void Close(double[] expected, double[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.All(expected.Zip(actual), p => Assert.InRange(Math.Abs(p.First - p.Second), 0, 1e-12));
    }
}
