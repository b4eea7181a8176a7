using System.CommandLine;
using AdmNative.Formats;

namespace AdmNative.Cli;

/// <summary>adm ptx: the virtual CUDA device on anybody's PTX.</summary>
internal static class PtxVerb
{
    public static Command Create(Host host) => new Verb("ptx", "List, check, run and profile PTX kernels on a virtual CUDA device; no GPU needed.")
    {
        PtxList.Create(host),
        PtxCheck.Create(host),
        PtxRun.Create(host),
    };

    /// <summary>The text of a PTX file, or of standard input for "-".</summary>
    /// <exception cref="PtxFileException">Not text.</exception>
    public static string Read(string path)
    {
        if (path != "-")
        {
            InputFile.Check(path);
        }

        string text = path == "-" ? Console.In.ReadToEnd() : File.ReadAllText(path);
        return text.Contains('\0', StringComparison.Ordinal)
            ? throw new PtxFileException($"{path}: is not PTX text (cuobjdump -ptx takes PTX out of a cubin or fatbin)")
            : text;
    }
}

/// <summary>A PTX file that cannot be read or run.</summary>
internal sealed class PtxFileException(string message) : Exception(message);
