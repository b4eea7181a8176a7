using System.CommandLine;
using System.CommandLine.Invocation;

namespace AdmNative.Cli;

/// <summary>A verb with examples for its help text.</summary>
internal sealed class Verb(string name, string description, params string[] examples) : Command(name, description)
{
    /// <summary>Command lines that work, each with a sentence before it ("# ...").</summary>
    public IReadOnlyList<string> Examples => examples;
}

/// <summary>--help: usage, commands or flags by group with defaults, examples.</summary>
internal sealed class HelpText : SynchronousCommandLineAction
{
    private const int Width = 120;

    /// <inheritdoc/>
    public override int Invoke(ParseResult parseResult)
    {
        Write(parseResult.CommandResult.Command, parseResult.InvocationConfiguration.Output);
        return ExitCode.Done;
    }

    /// <summary>Writes the help of one command.</summary>
    public static void Write(Command command, TextWriter output)
    {
        output.WriteLine(command.Description);
        output.WriteLine();
        string path = Path(command);
        if (command.Subcommands.Count > 0)
        {
            output.WriteLine($"Usage: {path} <command> [flags]");
            output.WriteLine();
            output.WriteLine("Commands:");
            Columns(output, command.Subcommands.Select(c => (c.Name, c.Description ?? "")));
        }
        else
        {
            output.WriteLine($"Usage: {Call(command)}");
            if (command.Arguments.Count > 0)
            {
                output.WriteLine();
                Columns(output, command.Arguments.Select(a => ($"<{a.Name}>", a.Description ?? "")));
            }
        }

        foreach (IGrouping<string, Option> group in command.Options.Where(o => o is IFlag).GroupBy(o => ((IFlag)o).Group))
        {
            output.WriteLine();
            output.WriteLine($"{group.Key}:");
            Columns(output, group.Select(Row));
        }

        if (command is Verb { Examples.Count: > 0 } verb)
        {
            output.WriteLine();
            output.WriteLine("Examples:");
            foreach (string line in verb.Examples)
            {
                output.WriteLine("  " + line);
            }
        }

        output.WriteLine();
        output.WriteLine(command.Subcommands.Count > 0
            ? $"'{path} <command> --help' tells more. Exit codes: 0 done, 1 failed, 2 usage, 3 device unavailable, 4 unreadable or mismatching input, 5 non-finite result, 130 cancelled."
            : "Dashes and underscores are the same, --flag=value works too, and a bare yes|no flag means yes.");
    }

    private static (string, string) Row(Option option)
    {
        var flag = (IFlag)option;
        string names = string.Join(", ", (IEnumerable<string>)[option.Name, .. option.Aliases]);
        return ($"{names} <{flag.Placeholder}>", flag.Shown is null ? option.Description ?? "" : $"{option.Description} [{flag.Shown}]");
    }

    /// <summary>How the command is called, e.g. "adm inspect schedule".</summary>
    public static string Path(Command command)
    {
        Command? parent = command.Parents.OfType<Command>().FirstOrDefault();
        return parent is null ? "adm" : $"{Path(parent)} {command.Name}";
    }

    /// <summary>The same with what it needs and may have, e.g. "adm inspect checkpoint &lt;file&gt; [flags]".</summary>
    public static string Call(Command command) => $"{Path(command)} {string.Concat(command.Arguments.Select(a => $"<{a.Name}> "))}[flags]";

    private static void Columns(TextWriter output, IEnumerable<(string Left, string Right)> rows)
    {
        (string Left, string Right)[] all = [.. rows];
        int left = Math.Min(44, all.Max(r => r.Left.Length)) + 4;
        foreach ((string name, string text) in all)
        {
            string line = "  " + name;
            line = line.Length < left ? line.PadRight(left) : line + "  ";
            foreach (string word in text.Split(' '))
            {
                if (line.Length + 1 + word.Length > Width && line.Length > left)
                {
                    output.WriteLine(line.TrimEnd());
                    line = new string(' ', left);
                }

                line += word + " ";
            }

            output.WriteLine(line.TrimEnd());
        }
    }
}
