using AdmNative.Core;

namespace AdmNative.Cpu;

/// <summary>
/// How a kernel wants a weight laid out, e.g. in panels. Compared by value: kernels that ask for equal forms of a weight share one copy,
/// whatever their batch size.
/// </summary>
internal abstract unsafe record WeightForm
{
    /// <summary>Floats the form takes.</summary>
    public abstract long Elements(Shape shape);

    /// <summary>Writes the form of a row-major weight.</summary>
    public abstract void Pack(Shape shape, float* raw, float* packed);

    /// <summary>True when <see cref="Unpack"/> gives the weight back bit for bit, so that no row-major copy has to stay.</summary>
    public virtual bool Reversible => false;

    /// <summary>The inverse of <see cref="Pack"/>.</summary>
    public virtual void Unpack(Shape shape, float* packed, float* raw) => throw new NotSupportedException($"{this} is one-way");
}

/// <summary>The checkpoint's own row-major layout.</summary>
internal sealed unsafe record RowMajor : WeightForm
{
    public static RowMajor Form { get; } = new();

    public override bool Reversible => true;

    public override long Elements(Shape shape) => shape.Elements;

    public override void Pack(Shape shape, float* raw, float* packed) => Copy(raw, packed, shape.Elements);

    public override void Unpack(Shape shape, float* packed, float* raw) => Copy(packed, raw, shape.Elements);

    private static void Copy(float* from, float* to, long count) =>
        Buffer.MemoryCopy(from, to, count * sizeof(float), count * sizeof(float));
}
