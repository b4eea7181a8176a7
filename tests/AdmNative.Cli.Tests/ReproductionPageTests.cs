using System.Text.RegularExpressions;
using AdmNative.Cli;

namespace AdmNative.Tests;

/// <summary>docs/reproduction.md: every command is one the program takes.</summary>
public sealed class ReproductionPageTests
{
    private static readonly string[] s_commands =
    [
        .. Regex.Matches(File.ReadAllText(Repo.Path("docs", "reproduction.md")), "^adm .*$", RegexOptions.Multiline).Select(m => m.Value),
    ];

    [Fact]
    public void The_page_has_the_papers_commands() => Assert.InRange(s_commands.Length, 10, 30);

    [Fact]
    public void Every_command_gets_as_far_as_the_checkpoint_it_names()
    {
        foreach (string command in s_commands)
        {
            string[] args = command.Split(' ')[1..];
            Adm.Outcome outcome = Adm.Run(args);
            if (Array.Find(args, a => a.EndsWith(".pt", StringComparison.Ordinal)) is string checkpoint)
            {
                Assert.True(outcome.Code == ExitCode.BadInput && outcome.Error.Contains(checkpoint, StringComparison.Ordinal),
                    $"{command}\nexit code {outcome.Code}: {outcome.Error}");
            }
            else
            {
                Assert.True(outcome.Code == ExitCode.Done, $"{command}\nexit code {outcome.Code}: {outcome.Error}");
            }
        }
    }
}
