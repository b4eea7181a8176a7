using System.CommandLine;

namespace AdmNative.Cli;

/// <summary>adm bench: measures this machine.</summary>
internal static class BenchVerb
{
    public static Command Create(Host host) => new Verb("bench", "Time networks on a device.")
    {
        BenchModel.Create(host),
    };
}
