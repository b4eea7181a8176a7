namespace AdmNative.Cli;

/// <summary>What a verb sees of the outside: results go to Out, everything else to Error.</summary>
/// <param name="Out">The result only, as text or as one JSON document.</param>
/// <param name="Error">Messages and progress.</param>
/// <param name="Interactive">True when Error is a terminal that can redraw a line.</param>
/// <param name="Stop">Set by Ctrl-C and SIGTERM.</param>
internal sealed record Host(TextWriter Out, TextWriter Error, bool Interactive, CancellationToken Stop)
{
    /// <summary>True unless stderr is redirected, NO_COLOR is set or the terminal is a dumb one.</summary>
    public static bool StderrIsTerminal() =>
        !Console.IsErrorRedirected
        && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"))
        && Environment.GetEnvironmentVariable("TERM") is not "dumb";
}
