using AdmNative.Formats;

namespace AdmNative.Cli;

/// <summary>Where results go, checked before the work starts.</summary>
internal static class OutputPaths
{
    /// <summary>The result file: --out if that names a file, else <paramref name="name"/> in --out, OPENAI_LOGDIR or the current folder.</summary>
    /// <exception cref="IOException">The folder cannot be written to.</exception>
    public static string ResultFile(string? option, string name, string extension)
    {
        if (option is not null && option.EndsWith(extension, StringComparison.OrdinalIgnoreCase))
        {
            return File(option, "--out");
        }

        string folder = option ?? Environment.GetEnvironmentVariable("OPENAI_LOGDIR") ?? "";
        return File(Path.Combine(folder.Length == 0 ? "." : folder, name), "--out");
    }

    /// <summary>A file that can be written; its folder is made.</summary>
    /// <param name="path">The file.</param>
    /// <param name="flag">The flag that named it, for messages.</param>
    /// <exception cref="IOException">It cannot be written; says why.</exception>
    public static string File(string path, string flag)
    {
        if (path.Length == 0)
        {
            throw new UsageException($"{flag}: a file name is needed");
        }

        string full = Path.GetFullPath(path);
        if (Directory.Exists(full) || full.EndsWith(Path.DirectorySeparatorChar))
        {
            throw new UsageException($"{flag} {path}: a file name is needed, this is a folder");
        }

        // The file is written under another name and renamed, which must never replace a device.
        if (full.StartsWith("/dev/", StringComparison.Ordinal) || full.StartsWith("/proc/", StringComparison.Ordinal))
        {
            throw new IOException($"{flag} {path}: not a place for a file");
        }

        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(full)!);
            using AtomicFile probe = AtomicFile.Create(full);
            return full;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{flag} {path}: cannot be written: {e.Message}", e);
        }
    }

    /// <summary>A folder that can be written to; it is made.</summary>
    public static string Folder(string path, string flag)
    {
        if (path.Length == 0)
        {
            throw new UsageException($"{flag}: a folder is needed");
        }

        string full = Path.GetFullPath(path);
        if (System.IO.File.Exists(full))
        {
            throw new IOException($"{flag} {path}: a folder is needed, this is a file");
        }

        try
        {
            Directory.CreateDirectory(full);
            using AtomicFile probe = AtomicFile.Create(Path.Combine(full, "probe"));
            return full;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{flag} {path}: cannot be written to: {e.Message}", e);
        }
    }

    /// <summary>Refuses to write one result over another, or over what is read.</summary>
    /// <param name="outputs">Every file or folder that will be written, with what to call it in messages.</param>
    /// <param name="inputs">Every file or folder that is read.</param>
    /// <exception cref="UsageException">Two of them are the same; says which.</exception>
    public static void Distinct(IReadOnlyList<(string What, string Path)> outputs, IReadOnlyList<(string What, string Path)> inputs)
    {
        var seen = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach ((string what, string path) in inputs)
        {
            seen.TryAdd(Real(path), what);
        }

        foreach ((string what, string path) in outputs)
        {
            if (!seen.TryAdd(Real(path), what))
            {
                throw new UsageException($"{what} {path}: that is {seen[Real(path)]} too, which would be lost; choose another name");
            }
        }
    }

    // The full path with every link in it followed.
    private static string Real(string path)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        if (Path.GetDirectoryName(full) is not string parent)
        {
            return full;
        }

        string here = Path.Combine(Real(parent), Path.GetFileName(full));
        return System.IO.File.Exists(here) || Directory.Exists(here)
            ? System.IO.File.ResolveLinkTarget(here, returnFinalTarget: true)?.FullName ?? here
            : here;
    }
}
