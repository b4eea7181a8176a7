using System.CommandLine;

namespace AdmNative.Cli;

/// <summary>adm inspect: every stage prints itself.</summary>
internal static class Inspect
{
    public static Command Create(Host host) => new Verb("inspect", "Print a checkpoint, a schedule, a graph, a plan or the devices of this machine as text.")
    {
        InspectCheckpoint.Create(host),
        InspectGraph.CreateGraph(host),
        InspectGraph.CreatePlan(host),
        InspectSchedule.Create(host),
        InspectDevices.Create(host),
    };
}
