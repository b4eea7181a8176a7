namespace AdmNative.Cli;

/// <summary>What an argument is, as far as a scalar parameter cares.</summary>
internal enum ArgumentKind
{
    Integer,
    Float,
    Pointer,

    /// <summary>Bytes, structs, arrays: fits any type of the right size.</summary>
    Raw,
}

/// <summary>One value of a parameter block: where its bytes go relative to its own start.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Bytes">Size, tail padding included.</param>
/// <param name="Align">C alignment.</param>
/// <param name="Text">For messages: {"u32"}, {"struct"} of 2 members.</param>
internal abstract record KernelArgument(ArgumentKind Kind, int Bytes, int Align, string Text)
{
    /// <summary>Writes the value; padding is left as it is.</summary>
    /// <param name="to">As many bytes as the value takes.</param>
    /// <param name="addresses">Device address of each array.</param>
    public abstract void Write(Span<byte> to, IReadOnlyDictionary<string, ulong> addresses);
}

/// <summary>Bytes that are known now.</summary>
internal sealed record BytesArgument(ArgumentKind Kind, byte[] Content, int Align, string Text) : KernelArgument(Kind, Content.Length, Align, Text)
{
    public override void Write(Span<byte> to, IReadOnlyDictionary<string, ulong> addresses) => Content.CopyTo(to);
}

/// <summary>The address of an array.</summary>
internal sealed record PointerArgument(string Name, long Offset, string Text) : KernelArgument(ArgumentKind.Pointer, 8, 8, Text)
{
    public override void Write(Span<byte> to, IReadOnlyDictionary<string, ulong> addresses) =>
        BitConverter.TryWriteBytes(to, unchecked(addresses[Name] + (ulong)Offset));
}

/// <summary>A by-value struct: members one after the other at C alignment.</summary>
internal sealed record StructArgument(KernelArgument[] Members, int[] Offsets, int Bytes, int Align, string Text) : KernelArgument(ArgumentKind.Raw, Bytes, Align, Text)
{
    public override void Write(Span<byte> to, IReadOnlyDictionary<string, ulong> addresses)
    {
        for (int i = 0; i < Members.Length; i++)
        {
            Members[i].Write(to.Slice(Offsets[i], Members[i].Bytes), addresses);
        }
    }
}
