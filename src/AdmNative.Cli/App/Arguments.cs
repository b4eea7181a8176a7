using System.CommandLine;

namespace AdmNative.Cli;

/// <summary>
/// Rewrites a command line before it is parsed: dashes and underscores are the same, `--flag=value` becomes two words, an
/// unambiguous prefix becomes the flag, a bare boolean flag means true, and the last of several equal flags wins (published
/// command lines append overrides).
/// </summary>
internal static class Arguments
{
    /// <summary>Words for the parser: verbs, then `--flag value` pairs, then positional words.</summary>
    /// <param name="root">The program.</param>
    /// <param name="args">The command line.</param>
    /// <param name="path">How far the verbs were understood, e.g. "adm inspect", also when this throws.</param>
    /// <exception cref="UsageException">An unknown verb or flag, a flag without its value, or less than the verb needs.</exception>
    public static string[] Normalise(Command root, IReadOnlyList<string> args, out string path)
    {
        path = HelpText.Path(root);
        Command command = root;
        var verbs = new List<string>();
        var flags = new List<KeyValuePair<string, string>>();
        var words = new List<string>();
        for (int i = 0; i < args.Count; i++)
        {
            string word = args[i];
            if (word is "-h" or "-?" or "--help")
            {
                return [.. verbs, "--help"];
            }

            if (word == "--version" && command == root)
            {
                return ["--version"];
            }

            if (word.StartsWith("--", StringComparison.Ordinal))
            {
                int equals = word.IndexOf('=', StringComparison.Ordinal);
                (Option option, IFlag flag) = Find(command, equals < 0 ? word : word[..equals]);
                string value;
                if (equals >= 0)
                {
                    value = word[(equals + 1)..];
                }
                else if (i + 1 < args.Count && TakesNext(command, flag, args[i + 1]))
                {
                    value = args[++i];
                }
                else if (flag.IsBoolean)
                {
                    value = "true";
                }
                else
                {
                    throw new UsageException($"{option.Name} needs a value: {option.Name} <{flag.Placeholder}>");
                }

                if (flag.IsBoolean)
                {
                    // Checked here: the parser takes a word that is no boolean for a positional one.
                    value = Flag.Boolean(value) is bool b ? b ? "true" : "false"
                        : throw new UsageException($"{option.Name}: '{value}' is not {Flag.BooleanExpected}");
                }

                flags.RemoveAll(f => f.Key == option.Name);
                flags.Add(new(option.Name, value));
            }
            else if (command.Subcommands.Count > 0)
            {
                string name = word.Replace('-', '_');
                command = command.Subcommands.FirstOrDefault(c => c.Name == name)
                    ?? throw new UsageException($"'{word}' is not a command of '{path}'; there are: {string.Join(", ", command.Subcommands.Select(c => c.Name))}");
                path = HelpText.Path(command);
                verbs.Add(command.Name);
            }
            else if (words.Count < command.Arguments.Count)
            {
                words.Add(word);
            }
            else
            {
                throw new UsageException($"'{word}' was not expected: flags are written --flag value");
            }
        }

        // Checked here: the parser's own messages do not say how the command is called.
        if (command.Subcommands.Count > 0)
        {
            throw new UsageException($"a command is needed: {string.Join(", ", command.Subcommands.Select(c => c.Name))}");
        }

        if (words.Count < command.Arguments.Count)
        {
            throw new UsageException($"needs {string.Join(" and ", command.Arguments.Skip(words.Count).Select(a => $"<{a.Name}>"))}: {HelpText.Call(command)}");
        }

        return [.. verbs, .. flags.SelectMany(f => new[] { f.Key, f.Value }), .. words];
    }

    // A flag swallows the next word unless that is another flag; a boolean one beside positional words only a yes or no.
    private static bool TakesNext(Command command, IFlag flag, string next) =>
        !next.StartsWith("--", StringComparison.Ordinal)
        && (!flag.IsBoolean || command.Arguments.Count == 0 || Flag.Boolean(next) is not null);

    private static (Option Option, IFlag Flag) Find(Command command, string word)
    {
        string name = "--" + word[2..].Replace('-', '_');
        Option[] flags = [.. command.Options.Where(o => o is IFlag)];
        Option? exact = flags.FirstOrDefault(o => o.Name == name || o.Aliases.Contains(name));
        if (exact is not null)
        {
            return (exact, (IFlag)exact);
        }

        Option[] starting = [.. flags.Where(o => o.Name.StartsWith(name, StringComparison.Ordinal))];
        if (starting.Length == 1)
        {
            return (starting[0], (IFlag)starting[0]);
        }

        if (starting.Length > 1)
        {
            throw new UsageException($"{word} is ambiguous: {string.Join(", ", starting.Select(o => o.Name))}");
        }

        Option? near = flags.OrderBy(o => Distance(o.Name, name)).FirstOrDefault(o => Distance(o.Name, name) <= 3);
        throw new UsageException($"{word} is not a flag of '{HelpText.Path(command)}'" + (near is null ? "" : $"; did you mean {near.Name}?"));
    }

    // Levenshtein distance.
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                row[j] = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }

        return row[^1];
    }
}
