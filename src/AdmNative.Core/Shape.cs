using System.Collections;
using System.Runtime.CompilerServices;

namespace AdmNative.Core;

/// <summary>Immutable row-major dimensions of a tensor, outermost first. Rank 0 is a scalar with one element.</summary>
[CollectionBuilder(typeof(Shape), nameof(Create))]
public sealed class Shape : IEquatable<Shape>, IReadOnlyList<long>
{
    private readonly long[] _dims;

    private Shape(long[] dims)
    {
        _dims = dims;
        long elements = 1;
        foreach (long d in dims)
        {
            if (d < 0)
            {
                throw new ShapeException($"negative dimension in [{string.Join(",", dims)}]");
            }

            try
            {
                elements = checked(elements * d);
            }
            catch (OverflowException)
            {
                throw new ShapeException($"[{string.Join(",", dims)}] has more elements than 64 bits can count");
            }
        }

        Elements = elements;
    }

    /// <summary>The shape of a scalar.</summary>
    public static Shape Scalar { get; } = new([]);

    /// <summary>Number of dimensions.</summary>
    public int Rank => _dims.Length;

    /// <summary>Number of elements: the product of the dimensions.</summary>
    public long Elements { get; }

    /// <summary>The last dimension (channels in NHWC); 1 for a scalar.</summary>
    public int Last => _dims.Length == 0 ? 1 : checked((int)_dims[^1]);

    /// <summary>Product of all dimensions but the last: the rows of a [.., C] tensor.</summary>
    public long Rows => Last == 0 ? 0 : Elements / Last;

    int IReadOnlyCollection<long>.Count => _dims.Length;

    long IReadOnlyList<long>.this[int index] => _dims[index];

    /// <summary>Dimension <paramref name="i"/>; a negative index counts from the end. Dimensions of graphs fit in 31 bits.</summary>
    /// <exception cref="OverflowException">The dimension does not fit in 31 bits (use <see cref="Dim"/>).</exception>
    public int this[int i] => checked((int)_dims[i < 0 ? i + _dims.Length : i]);

    /// <summary>Builds a shape; the target of collection expressions.</summary>
    public static Shape Create(ReadOnlySpan<long> dims) => new(dims.ToArray());

    /// <summary>Dimension <paramref name="i"/> as a 64-bit number.</summary>
    public long Dim(int i) => _dims[i];

    /// <summary>The dimensions as a new array.</summary>
    public long[] ToArray() => (long[])_dims.Clone();

    /// <inheritdoc/>
    public bool Equals(Shape? other) => other is not null && _dims.AsSpan().SequenceEqual(other._dims);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Shape);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = default(HashCode);
        foreach (long d in _dims)
        {
            hash.Add(d);
        }

        return hash.ToHashCode();
    }

    /// <summary>Dimension-wise equality.</summary>
    public static bool operator ==(Shape? a, Shape? b) => a is null ? b is null : a.Equals(b);

    /// <summary>Dimension-wise inequality.</summary>
    public static bool operator !=(Shape? a, Shape? b) => !(a == b);

    /// <inheritdoc/>
    public override string ToString() => $"[{string.Join(",", _dims)}]";

    /// <inheritdoc/>
    public IEnumerator<long> GetEnumerator() => ((IEnumerable<long>)_dims).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => _dims.GetEnumerator();
}
