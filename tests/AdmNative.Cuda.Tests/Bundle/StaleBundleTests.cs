using System.Security.Cryptography;
using AdmNative.Tests;

namespace AdmNative.Cuda.Tests.Bundle;

/// <summary>
/// Fails when a kernel or a header was edited and the bundle was not built again: needs no compiler, only the hashes in the catalogue.
/// </summary>
public sealed class StaleBundleTests
{
    private const string Rebuild = "build the bundle again: docs/kernels.md, \"Building\"";

    [Fact]
    public void Every_source_and_header_is_the_one_the_bundle_was_made_from()
    {
        var stale = new List<string>();
        foreach (KernelImage image in KernelBundle.Open().Images)
        {
            stale.AddRange(image.Inputs.Where(i => Hash(i.Key) != i.Value).Select(i => $"{image.File} was made from another {i.Key}"));
            if (Hash("kernels/ptx/" + image.File) != image.Sha256)
            {
                stale.Add($"kernels/ptx/{image.File} is not the file the catalogue describes");
            }
        }

        Assert.True(stale.Count == 0, $"{string.Join('\n', stale)}\n{Rebuild}");
    }

    [Fact]
    public void Every_kernel_and_every_include_is_in_the_catalogue()
    {
        KernelBundle bundle = KernelBundle.Open();
        string[] sources = [.. Directory.GetFiles(Repo.Path("kernels"), "*.cu").Select(f => "kernels/" + Path.GetFileName(f)).Order(StringComparer.Ordinal)];
        Assert.Equal(sources, bundle.Images.Select(i => i.Source).Order(StringComparer.Ordinal));
        string[] files = [.. Directory.GetFiles(Repo.Path("kernels", "ptx"), "*.ptx").Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        Assert.Equal(files, bundle.Images.Select(i => i.File).Order(StringComparer.Ordinal));
        foreach (KernelImage image in bundle.Images)
        {
            var reached = new SortedSet<string>(StringComparer.Ordinal);
            Collect(image.Source, reached);
            Assert.Equal(reached, image.Inputs.Keys.Order(StringComparer.Ordinal));
        }
    }

    [Fact]
    public void Sources_are_at_most_250_lines()
    {
        foreach (string file in Directory.GetFiles(Repo.Path("kernels"), "*.cu*", SearchOption.AllDirectories))
        {
            Assert.True(File.ReadAllLines(file).Length <= 250, $"{file} is longer than 250 lines");
        }
    }

    private static void Collect(string path, SortedSet<string> reached)
    {
        if (!reached.Add(path))
        {
            return;
        }

        foreach (string line in File.ReadAllLines(Repo.Path(path)).Where(l => l.StartsWith("#include \"", StringComparison.Ordinal)))
        {
            string name = line.Split('"')[1], beside = Path.Combine(Path.GetDirectoryName(path)!, name).Replace('\\', '/');
            Collect(File.Exists(Repo.Path(beside)) ? beside : "kernels/" + name, reached);
        }
    }

    /// <summary>Of the text with LF line ends: what a checkout has on every system.</summary>
    private static string Hash(string path)
    {
        byte[] bytes = [.. File.ReadAllBytes(Repo.Path(path)).Where(b => b != (byte)'\r')];
        return Convert.ToHexStringLower(SHA256.HashData(bytes));
    }
}
