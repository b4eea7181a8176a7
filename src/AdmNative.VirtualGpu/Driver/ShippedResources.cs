using System.Security.Cryptography;
using AdmNative.Cuda;

namespace AdmNative.VirtualGpu;

/// <summary>What the assembler made of the kernels this library ships, found by the hash of their text.</summary>
internal static class ShippedResources
{
    // Not KernelBundle.Default: a text that replaces a shipped one has other resources.
    private static readonly Lazy<KernelBundle> s_bundle = new(() => KernelBundle.Open());

    /// <summary>Resources by entry name on a device; empty when the text is none of the shipped ones, or they were not measured for the device.</summary>
    public static IReadOnlyDictionary<string, KernelResources> Of(ReadOnlySpan<byte> ptx, DeviceProfile profile)
    {
        string hash = Convert.ToHexStringLower(SHA256.HashData(ptx));
        return s_bundle.Value.Entries.Where(e => e.Image.Sha256 == hash && e.Resources.ContainsKey(profile.Target))
            .ToDictionary(e => e.Name, e => e.Resources[profile.Target]);
    }
}
