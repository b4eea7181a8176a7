using System.CommandLine;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>adm inspect devices: what --device may name here, and why not.</summary>
internal static class InspectDevices
{
    public static Command Create(Host host)
    {
        var driver = CommonFlags.Driver();
        var command = new Verb("devices", "Print the GPUs of this machine and their driver, or why there are none.", "adm inspect devices") { driver };
        command.SetAction(_ =>
        {
            host.Out.WriteLine(CudaBackend.Describe());
            return ExitCode.Done;
        });
        return command;
    }
}
