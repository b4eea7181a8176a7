namespace AdmNative.Diffusion;

/// <summary>Picture files of a folder tree and their class labels, in the reference's order.</summary>
/// <param name="Files">Paths, walked recursively in sorted (ordinal) entry order.</param>
/// <param name="Labels">Index of each file's class; classes are the sorted distinct name parts before the first underscore.</param>
/// <param name="ClassNames">Name part of each class.</param>
public sealed record ImageFolder(IReadOnlyList<string> Files, IReadOnlyList<int> Labels, IReadOnlyList<string> ClassNames)
{
    /// <summary>Lists jpg, jpeg, png and gif files under a folder.</summary>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    public static ImageFolder Open(string path)
    {
        var files = new List<string>();
        Walk(path, files);
        string[] names = [.. files.Select(f => Path.GetFileName(f).Split('_')[0])];
        string[] classes = [.. names.Distinct().Order(StringComparer.Ordinal)];
        return new ImageFolder(files, [.. names.Select(n => Array.BinarySearch(classes, n, StringComparer.Ordinal))], classes);
    }

    /// <summary>True for the extensions the reference reads, in any case.</summary>
    public static bool IsPicture(string path) =>
        Path.GetExtension(path).ToLowerInvariant() is ".jpg" or ".jpeg" or ".png" or ".gif";

    private static void Walk(string directory, List<string> files)
    {
        foreach (string entry in Directory.GetFileSystemEntries(directory).Order(StringComparer.Ordinal))
        {
            if (IsPicture(entry))
            {
                files.Add(entry);
            }
            else if (Directory.Exists(entry))
            {
                Walk(entry, files);
            }
        }
    }
}
