using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>Finds the files of presets.</summary>
internal static class ModelFiles
{
    private static readonly string[] s_extensions = [".safetensors", ".pt"];

    /// <summary>The checkpoint named by a flag, or that of a preset.</summary>
    /// <param name="path">What the flag says; empty if it was not given.</param>
    /// <param name="flag">The flag.</param>
    /// <param name="preset">The preset; null if none was given.</param>
    /// <exception cref="UsageException">Neither names a file.</exception>
    /// <exception cref="CheckpointException">The file is not there.</exception>
    public static string Locate(string path, string flag, Preset? preset)
    {
        if (path.Length > 0)
        {
            return File.Exists(path) ? path : throw new CheckpointException("no such file", path);
        }

        if (preset is null)
        {
            throw new UsageException($"--{flag} is needed (a .pt or .safetensors file), or --preset mnist16");
        }

        return Bundled(preset) ?? throw new UsageException(preset.Address is null
            ? $"preset {preset.Name} has no checkpoint of its own: give --{flag}"
            : $"preset {preset.Name}: models/{preset.FileName} is not here; download {preset.Address} there, or say where it is with --{flag}");
    }

    /// <summary>The file of a preset under models/, in the current folder or beside the program; null if it is in neither.</summary>
    public static string? Bundled(Preset preset)
    {
        if (preset.FileName is null)
        {
            return null;
        }

        string stem = Path.ChangeExtension(preset.FileName, null);
        foreach (string root in new[] { Environment.CurrentDirectory, AppContext.BaseDirectory })
        {
            foreach (string extension in s_extensions)
            {
                string candidate = Path.Combine(root, "models", stem + extension);
                if (File.Exists(candidate))
                {
                    return Path.GetRelativePath(Environment.CurrentDirectory, candidate) is { } relative && !relative.StartsWith("..", StringComparison.Ordinal)
                        ? relative
                        : candidate;
                }
            }
        }

        return null;
    }
}
