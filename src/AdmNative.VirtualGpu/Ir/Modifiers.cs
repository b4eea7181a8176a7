using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Ir;

/// <summary>Reads the modifiers of one instruction in order; what is left over at the end is an error that names it.</summary>
internal sealed class Modifiers(PtxInstruction instruction)
{
    private readonly List<string> _left = [.. instruction.Modifiers];

    /// <summary>Removes the modifier if it is there.</summary>
    public bool Take(string name) => _left.Remove(name);

    /// <summary>Removes and returns the one of <paramref name="names"/> that is there, or null.</summary>
    public string? TakeOneOf(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (_left.Remove(name))
            {
                return name;
            }
        }

        return null;
    }

    /// <summary>Removes modifiers that only hint.</summary>
    public void Ignore(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            _left.Remove(name);
        }
    }

    /// <summary>Removes every modifier that starts with the prefix (cache hints such as L2::128B).</summary>
    public void IgnorePrefix(string prefix) => _left.RemoveAll(m => m.StartsWith(prefix, StringComparison.Ordinal));

    /// <summary>Removes and returns the last type; None if there is no type left.</summary>
    public PtxType TakeLastType()
    {
        for (int i = _left.Count - 1; i >= 0; i--)
        {
            PtxType type = PtxTypes.Parse(_left[i]);
            if (type != PtxType.None)
            {
                _left.RemoveAt(i);
                return type;
            }
        }

        return PtxType.None;
    }

    /// <summary>The type the instruction must have.</summary>
    public PtxType Type()
    {
        PtxType type = TakeLastType();
        return type != PtxType.None ? type : throw Unknown("has no type");
    }

    /// <summary>A rounding modifier, or null: rn, rz, rm, rp, rna, and the integral ones rni, rzi, rmi, rpi.</summary>
    public (Rounding Mode, bool Integral)? TakeRounding() => TakeOneOf("rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi") switch
    {
        "rn" => (Rounding.Nearest, false),
        "rz" => (Rounding.Zero, false),
        "rm" => (Rounding.Down, false),
        "rp" => (Rounding.Up, false),
        "rna" => (Rounding.NearestAway, false),
        "rni" => (Rounding.Nearest, true),
        "rzi" => (Rounding.Zero, true),
        "rmi" => (Rounding.Down, true),
        "rpi" => (Rounding.Up, true),
        _ => null,
    };

    /// <summary>Throws if a modifier was not understood.</summary>
    public void End()
    {
        if (_left.Count > 0)
        {
            throw Unknown($"has unsupported modifier .{_left[0]}");
        }
    }

    /// <summary>An error about this instruction.</summary>
    public PtxException Unknown(string what) => new(instruction.Line, $"{instruction.Spelling} {what}");
}
