using AdmNative.Cli;

namespace AdmNative.Tests;

/// <summary>Runs the program in this process.</summary>
internal static class Adm
{
    public sealed record Outcome(int Code, string Out, string Error);

    public static Outcome Run(params string[] args) => Run(CancellationToken.None, args);

    public static Outcome Run(CancellationToken stop, params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = AdmProgram.Run(args, new Host(output, error, Interactive: false, stop));
        return new Outcome(code, output.ToString(), error.ToString());
    }

    /// <summary>Runs and insists on success.</summary>
    public static Outcome Done(params string[] args)
    {
        Outcome outcome = Run(args);
        Assert.True(outcome.Code == ExitCode.Done, $"exit code {outcome.Code}: {outcome.Error}");
        return outcome;
    }
}
