using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using AdmNative.Core;
using AdmNative.Cuda;
using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>The whole program: command line in, exit code out.</summary>
internal static class AdmProgram
{
    /// <summary>Every verb there is.</summary>
    public static RootCommand CreateRoot(Host host)
    {
        var root = new RootCommand("ADM / guided diffusion on .NET: sample, measure, inspect and convert models.")
        {
            ImageSample.Create(host),
            ClassifierSample.Create(host),
            SuperResSample.Create(host),
            ImageNll.Create(host),
            Inspect.Create(host),
            ConvertCheckpoint.Create(host),
            ReplayCase.Create(host),
            BenchVerb.Create(host),
            PtxVerb.Create(host),
            KernelsVerb.Create(host),
        };
        AddDriver(root);
        foreach (Option option in root.Options)
        {
            if (option is HelpOption help)
            {
                help.Action = new HelpText();
            }
        }

        return root;
    }

    /// <summary>Runs one command line.</summary>
    public static int Run(IReadOnlyList<string> args, Host host)
    {
        RootCommand root = CreateRoot(host);
        string verb = "adm";
        try
        {
            string[] words = Arguments.Normalise(root, args.Count == 0 ? ["--help"] : args, out verb);
            ParseResult parsed = root.Parse(words, new ParserConfiguration { EnablePosixBundling = false, ResponseFileTokenReplacer = null });
            if (parsed.Errors.Count > 0 && parsed.Action is not HelpText)
            {
                throw new UsageException(string.Join('\n', parsed.Errors.Select(e => e.Message)));
            }

            if (parsed.Action is not HelpText && parsed.CommandResult.Command.Options.Any(o => o.Name == "--driver"))
            {
                Drivers.Choose(parsed.GetValue<string?>("--driver")!);
            }

            return parsed.Invoke(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
                Output = host.Out,
                Error = host.Error,
            });
        }
        catch (Exception e)
        {
            int code = CodeOf(e);
            host.Error.WriteLine($"{verb}: {MessageOf(e)}");
            if (code == ExitCode.Usage)
            {
                host.Error.WriteLine($"try '{verb} --help'");
            }

            return code;
        }
    }

    /// <summary>Whoever can name the cuda device can name its driver.</summary>
    private static void AddDriver(Command command)
    {
        foreach (Command sub in command.Subcommands)
        {
            AddDriver(sub);
        }

        Option? device = command.Options.FirstOrDefault(o => o.Name == "--device" && ((IFlag)o).Placeholder.Contains("cuda", StringComparison.Ordinal));
        if (device is not null)
        {
            command.Options.Insert(command.Options.IndexOf(device) + 1, CommonFlags.Driver());
        }
    }

    /// <summary>The one place where exceptions become exit codes.</summary>
    private static int CodeOf(Exception e) => e switch
    {
        UsageException or ConfigException => ExitCode.Usage,
        DeviceUnavailableException => ExitCode.DeviceUnavailable,
        CheckpointException or ShapeException or PtxFileException or FileNotFoundException or DirectoryNotFoundException => ExitCode.BadInput,
        NumericException => ExitCode.NonFinite,
        OperationCanceledException => ExitCode.Cancelled,
        _ => ExitCode.Failed,
    };

    private static string MessageOf(Exception e) => e switch
    {
        OutOfMemoryException => $"out of memory ({e.Message}); take fewer images at a time, or a smaller network",
        UsageException or ConfigException or NotSupportedException or NumericException or ShapeException or PtxFileException or CudaException
            or OperationCanceledException or IOException or UnauthorizedAccessException => e.Message,
        _ => $"internal error, please report it with the command line: {e}",
    };
}
