using System.Numerics;

namespace AdmNative.Core;

/// <summary>Small questions that many shape rules and twins ask.</summary>
internal static class Fit
{
    /// <summary>True when there are <paramref name="min"/> to <paramref name="max"/> inputs and all are f32.</summary>
    public static bool F32(ReadOnlySpan<TensorType> inputs, int min, int max)
    {
        if (inputs.Length < min || inputs.Length > max)
        {
            return false;
        }

        foreach (TensorType input in inputs)
        {
            if (input.DType != DType.F32)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>True when there are exactly <paramref name="count"/> f32 inputs.</summary>
    public static bool F32(ReadOnlySpan<TensorType> inputs, int count) => F32(inputs, count, count);

    /// <summary>P: the product of the dimensions between the first (N) and the last (C); 1 for [N,C].</summary>
    public static int Middle(Shape shape)
    {
        int product = 1;
        for (int i = 1; i < shape.Rank - 1; i++)
        {
            product = checked(product * shape[i]);
        }

        return product;
    }

    /// <summary>Elements per sample: the product of all dimensions but the first.</summary>
    public static int PerSample(Shape shape)
    {
        int product = 1;
        for (int i = 1; i < shape.Rank; i++)
        {
            product = checked(product * shape[i]);
        }

        return product;
    }

    /// <summary>The same shape with another last dimension.</summary>
    public static Shape WithLast(Shape shape, int last)
    {
        long[] dims = shape.ToArray();
        dims[^1] = last;
        return Shape.Create(dims);
    }

    /// <summary>[N, C] of an [N,...,C] shape.</summary>
    public static Shape Ends(Shape shape) => [shape[0], shape.Last];

    /// <summary>A constant in the twin's number type.</summary>
    public static T Num<T>(double value) where T : INumberBase<T> => T.CreateChecked(value);

    /// <summary>An integer input, which twins see as a number.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not in 0..limit-1.</exception>
    public static int Label<T>(T value, int limit, string op) where T : INumberBase<T>
    {
        int label = int.CreateChecked(value);
        return label >= 0 && label < limit ? label
            : throw new ArgumentOutOfRangeException(nameof(value), $"{op}: label {label} is not in 0..{limit - 1}");
    }
}
