using System.CommandLine;
using System.Text;
using AdmNative.Cli;

namespace AdmNative.Tests;

/// <summary>The command line is an interface: a new or changed option is a decision, so the list is checked in.</summary>
public sealed class OptionListTests
{
    private static readonly Host s_host = new(TextWriter.Null, TextWriter.Null, Interactive: false, CancellationToken.None);

    [Fact]
    public void The_options_are_those_of_the_checked_in_list()
    {
        string path = Repo.Path("tests", "AdmNative.Cli.Tests", "options.txt");
        string now = List();
        if (Environment.GetEnvironmentVariable("ADMNATIVE_UPDATE_OPTIONS") == "1")
        {
            File.WriteAllText(path, now);
        }

        Assert.True(File.ReadAllText(path) == now, $"options.txt differs from the program; if that is meant, run the tests with ADMNATIVE_UPDATE_OPTIONS=1. Now:\n{now}");
    }

    [Fact]
    public void Every_verb_has_complete_help_with_examples_that_parse()
    {
        foreach (Command command in Leaves(AdmProgram.CreateRoot(s_host)))
        {
            using var output = new StringWriter();
            HelpText.Write(command, output);
            string help = output.ToString();
            Assert.Contains("Examples:", help);
            Assert.All(command.Options.OfType<IFlag>(), f => Assert.Contains(((Option)f).Name, help));
            Assert.All(command.Options.Where(o => o is IFlag), o => Assert.False(string.IsNullOrWhiteSpace(o.Description), o.Name));
            Assert.All(help.Split('\n').Where(l => !l.StartsWith("  adm ", StringComparison.Ordinal)), l => Assert.InRange(l.Length, 0, 170));
            foreach (string example in ((Verb)command).Examples.Where(e => !e.StartsWith('#')))
            {
                RootCommand root = AdmProgram.CreateRoot(s_host);
                string[] words = Arguments.Normalise(root, example.Split(' ')[1..], out string verb);
                Assert.Equal(HelpText.Path(command), verb);
                Assert.Empty(root.Parse(words).Errors);
            }
        }
    }

    [Fact]
    public void Help_is_printed_for_every_command_whatever_else_it_needs()
    {
        foreach (Command command in All(AdmProgram.CreateRoot(s_host)))
        {
            string[] verbs = HelpText.Path(command).Split(' ')[1..];
            Adm.Outcome outcome = Adm.Done([.. verbs, "--help"]);
            Assert.StartsWith(command.Description!, outcome.Out);
            Assert.Contains($"Usage: {HelpText.Path(command)} ", outcome.Out);
            Assert.Empty(outcome.Error);
        }

        static IEnumerable<Command> All(Command command) => command.Subcommands.SelectMany(All).Prepend(command);
    }

    // One line per option: verb, names, value, default.
    private static string List()
    {
        var text = new StringBuilder();
        foreach (Command command in Leaves(AdmProgram.CreateRoot(s_host)))
        {
            text.Append(HelpText.Path(command)[4..]);
            text.AppendJoin("", command.Arguments.Select(a => $" <{a.Name}>")).Append('\n');
            foreach (Option option in command.Options.Where(o => o is IFlag))
            {
                var flag = (IFlag)option;
                string names = string.Join(" ", (IEnumerable<string>)[option.Name, .. option.Aliases]);
                text.Append($"  {names} <{flag.Placeholder}>{(flag.Shown is null ? "" : $" [{flag.Shown}]")}\n");
            }
        }

        return text.ToString();
    }

    private static IEnumerable<Command> Leaves(Command command) =>
        command.Subcommands.Count == 0 ? [command] : command.Subcommands.SelectMany(Leaves);
}
