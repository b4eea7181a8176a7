using System.Text;

namespace AdmNative.VirtualGpu;

/// <summary>A bug a launch was caught at, with where it happened.</summary>
/// <param name="Check">Which check fired.</param>
/// <param name="Message">What is wrong, with addresses and values.</param>
/// <param name="Kernel">Entry name.</param>
/// <param name="PtxLine">Line in the PTX text.</param>
/// <param name="SourceFile">File of the .loc, or "".</param>
/// <param name="SourceLine">Line of the .loc, or 0.</param>
/// <param name="Cta">Block index (x, y, z).</param>
/// <param name="Warp">Warp in the block, or -1.</param>
/// <param name="Lane">Lane in the warp, or -1.</param>
public sealed record Finding(
    Checks Check, string Message, string Kernel, int PtxLine, string SourceFile, int SourceLine, (int X, int Y, int Z) Cta, int Warp, int Lane)
{
    /// <summary>How often the same instruction gave the same finding.</summary>
    public long Count { get; internal set; } = 1;

    /// <inheritdoc/>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append(SourceLine > 0 ? $"{SourceFile}:{SourceLine}" : $"ptx:{PtxLine}");
        text.Append($": {Kernel}: {Message} [{Check}, ptx line {PtxLine}, block ({Cta.X},{Cta.Y},{Cta.Z})");
        if (Warp >= 0)
        {
            text.Append($", warp {Warp}");
        }

        if (Lane >= 0)
        {
            text.Append($", lane {Lane}");
        }

        return text.Append(Count > 1 ? $", {Count} times]" : "]").ToString();
    }
}
