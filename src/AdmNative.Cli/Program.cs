using System.Runtime.InteropServices;
using AdmNative.Cli;

// Ctrl-C and SIGTERM ask the running verb to stop at its next step; a second one ends the process at once.
using var stop = new CancellationTokenSource();
void OnSignal(PosixSignalContext signal)
{
    if (!stop.IsCancellationRequested)
    {
        signal.Cancel = true;
        Console.Error.WriteLine("stopping after the current step; once more to stop at once");
        stop.Cancel();
    }
}

using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
return AdmProgram.Run(args, new Host(Console.Out, Console.Error, Host.StderrIsTerminal(), stop.Token));
