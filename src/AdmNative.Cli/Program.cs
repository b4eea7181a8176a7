using System.Runtime.InteropServices;
using AdmNative.Cli;

bool interactive = Host.StderrIsTerminal();
TextWriter error = interactive ? Console.Error : new BestEffortWriter(Console.Error);

// Ctrl-C and SIGTERM ask the running verb to stop at its next step; a second one ends the process at once.
using var stop = new CancellationTokenSource();
void OnSignal(PosixSignalContext signal)
{
    if (!stop.IsCancellationRequested)
    {
        signal.Cancel = true;
        error.WriteLine("stopping after the current step; once more to stop at once");
        stop.Cancel();
    }
}

using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
return AdmProgram.Run(args, new Host(Console.Out, error, interactive, stop.Token));
