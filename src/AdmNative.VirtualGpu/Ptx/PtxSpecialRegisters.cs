namespace AdmNative.VirtualGpu.Ptx;

/// <summary>Special registers the virtual device provides.</summary>
public static class PtxSpecialRegisters
{
    private static readonly HashSet<string> s_names =
    [
        .. new[] { "%tid", "%ntid", "%ctaid", "%nctaid" }.SelectMany(n => new[] { $"{n}.x", $"{n}.y", $"{n}.z" }),
        "%laneid", "%warpid", "%nwarpid", "%smid", "%nsmid", "%gridid",
        "%lanemask_eq", "%lanemask_le", "%lanemask_lt", "%lanemask_ge", "%lanemask_gt",
        "%dynamic_smem_size", "%total_smem_size", "%clock", "%clock64", "%globaltimer",
    ];

    /// <summary>True when a register of this name can be read.</summary>
    public static bool IsKnown(string name) => s_names.Contains(name);
}
