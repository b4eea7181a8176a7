namespace AdmNative.Cuda;

/// <summary>A kernel that can be launched.</summary>
/// <param name="Name">Name in the PTX: family_op_dtype, dtype that of the activations.</param>
/// <param name="Image">The file it is in.</param>
/// <param name="Launch">Block, grid, shared memory and what the caller must see to, in words and formulas.</param>
/// <param name="Parameters">In order; our kernels take one struct by value.</param>
/// <param name="MaxThreads">Most threads of a block in x, y, z (.maxntid); empty = any.</param>
/// <param name="RequiredThreads">Exact block (.reqntid); empty = any.</param>
/// <param name="MinBlocksPerSm">Blocks the compiler was asked to let fit (.minnctapersm); 0 = not asked.</param>
/// <param name="StaticSharedBytes">Shared memory the kernel declares.</param>
/// <param name="DynamicShared">Whether it also uses dynamic shared memory, of a size that <paramref name="Launch"/> gives.</param>
/// <param name="Resources">What an assembler made of it, by architecture (sm_80, sm_86, sm_89, sm_90).</param>
public sealed record KernelEntry(
    string Name, KernelImage Image, string Launch, IReadOnlyList<KernelParameter> Parameters, IReadOnlyList<int> MaxThreads,
    IReadOnlyList<int> RequiredThreads, int MinBlocksPerSm, int StaticSharedBytes, bool DynamicShared,
    IReadOnlyDictionary<string, KernelResources> Resources)
{
    /// <summary>Bytes of the parameter block a launch passes.</summary>
    public int ParameterBytes => Parameters.Count == 0 ? 0 : Parameters[^1].Offset + Parameters[^1].Bytes;
}
