namespace AdmNative.VirtualGpu.Ptx;

/// <summary>PTX text that cannot be accepted: malformed, or using something the virtual device does not know.</summary>
public sealed class PtxException : Exception
{
    /// <summary>Names the line and what is wrong there.</summary>
    public PtxException(int line, string message) : base($"line {line}: {message}")
    {
        Line = line;
        Problem = message;
    }

    /// <summary>Line of the PTX text, from 1.</summary>
    public int Line { get; }

    /// <summary>The message without the line.</summary>
    public string Problem { get; }
}
