using System.Numerics;
using System.Text;

namespace AdmNative.Core;

/// <summary>
/// One operation: shape rule, plain twin, gradient rule, sample cases, all in one file under Ops/.
/// Attributes are record fields, so two equal ops compare equal. Every op has exactly one result.
/// </summary>
/// <remarks>
/// Layout: images are [N,H,W,C]; tokens are the same tensor seen as [N,T=H*W,C]; convolution weights keep the checkpoint's [K,C,R,S].
/// Twins see integer inputs (labels) as numbers of type T.
/// </remarks>
public abstract record Op
{
    /// <summary>Name in dumps, e.g. "Conv2d".</summary>
    public virtual string Name => GetType().Name;

    /// <summary>Shape rule.</summary>
    /// <exception cref="ShapeException">The inputs do not fit; names op, expected and actual.</exception>
    public abstract TensorType Infer(ReadOnlySpan<TensorType> inputs);

    /// <summary>The definition, in plain loops over dense row-major arrays. Slow and obvious; every backend is judged by it.</summary>
    public abstract void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
        where T : unmanaged, IFloatingPointIeee754<T>;

    /// <summary>
    /// Reverse-mode rule: given the gradient of the result, returns one gradient per input. Entries not in
    /// <paramref name="wanted"/>, and inputs that carry none (labels), are null.
    /// </summary>
    public virtual Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        throw new NotSupportedException($"{Name} has no gradient rule: {GradientExcuse}");

    /// <summary>Why there is no gradient rule; null when there is one. The op-table test demands one or the other.</summary>
    public virtual string? GradientExcuse => null;

    /// <summary>Floating-point operations of one evaluation (add, multiply 1 each; 0 for data movement), for reports.</summary>
    public virtual double Flops(ReadOnlySpan<TensorType> inputs, TensorType output) => 0;

    /// <summary>True when the backend may write the result over input <paramref name="input"/> if that input dies here.</summary>
    public virtual bool InPlace(int input) => false;

    /// <summary>Instances and inputs that tests run: finite differences in double, and every backend against the twin.</summary>
    public abstract IEnumerable<OpCase> Cases();

    /// <summary>Name and attributes, e.g. "Conv2d{Stride=1, PadH=1, PadW=1}"; no braces without attributes.</summary>
    public sealed override string ToString()
    {
        var attributes = new StringBuilder();
        return PrintMembers(attributes) ? $"{Name}{{{attributes.Replace(" = ", "=")}}}" : Name;
    }

    /// <summary>Prints attributes only: <see cref="Name"/> and the excuse say nothing about an instance.</summary>
    protected virtual bool PrintMembers(StringBuilder builder) => false;

    /// <summary>Throws a ShapeException that names this op unless <paramref name="ok"/>.</summary>
    protected void Require(bool ok, string expected, ReadOnlySpan<TensorType> inputs)
    {
        if (!ok)
        {
            throw new ShapeException($"{Name}: {expected}; got {string.Join(" ", inputs.ToArray().Select(t => t.ToString()))}");
        }
    }
}

/// <summary>A dense row-major array of the twin's number type.</summary>
public sealed record HostArray<T>(Shape Shape, T[] Data) where T : unmanaged
{
    /// <summary>A zero-filled array.</summary>
    public HostArray(Shape shape) : this(shape, new T[shape.Elements])
    {
    }

    /// <summary>Element [a,b,c,d] of a rank-4 array.</summary>
    public ref T this[int a, int b, int c, int d] =>
        ref Data[((((long)a * Shape[1]) + b) * Shape[2] + c) * Shape[3] + d];

    /// <summary>Element [a,b] of a rank-2 array.</summary>
    public ref T this[int a, int b] => ref Data[((long)a * Shape[1]) + b];
}

/// <summary>
/// One sample: an op and its input types. Float inputs are filled from a seeded generator in [-1,1]; entries of
/// <paramref name="IntegerLimits"/> that are positive mark integer inputs, drawn from 0..limit-1.
/// <paramref name="Scale"/>, if given, multiplies input i by Scale[i]; <paramref name="Offset"/> is added after that.
/// </summary>
public sealed record OpCase(
    Op Op, TensorType[] Inputs, int[]? IntegerLimits = null, double[]? Scale = null, double[]? Offset = null);
