using System.CommandLine;
using AdmNative.Cli;

namespace AdmNative.Tests;

public sealed class ArgumentsTests
{
    [Theory]
    [InlineData("sample --num_steps 3", "sample|--num_steps|3")]
    [InlineData("sample --num-steps=3", "sample|--num_steps|3")]
    [InlineData("sample --num_st 3", "sample|--num_steps|3")]                              // unambiguous prefix
    [InlineData("sample --num_steps 3 --num_steps 4", "sample|--num_steps|4")]             // the last one wins
    [InlineData("sample --heads -1", "sample|--heads|-1")]
    [InlineData("sample --use_ddim", "sample|--use_ddim|true")]
    [InlineData("sample --use_ddim --heads 2", "sample|--use_ddim|true|--heads|2")]
    [InlineData("sample --use_ddim False", "sample|--use_ddim|false")]
    [InlineData("sample --respacing=", "sample|--respacing|")]
    [InlineData("sample --respacing=a=b", "sample|--respacing|a=b")]
    [InlineData("re-pack --use_ddim a", "re_pack|--use_ddim|true|a")]                      // beside positional words
    [InlineData("re_pack a --use_ddim no", "re_pack|--use_ddim|false|a")]
    [InlineData("sample --heads 2 --help", "sample|--help")]
    public void Words_are_rewritten(string line, string expected) =>
        Assert.Equal(expected, string.Join('|', Arguments.Normalise(Program(), line.Split(' '), out _)));

    [Theory]
    [InlineData("sample --num 3", "--num is ambiguous: --num_steps, --num_images")]
    [InlineData("sample --heats 3", "--heats is not a flag of 'adm sample'; did you mean --heads?")]
    [InlineData("sample --xyzzy 3", "--xyzzy is not a flag of 'adm sample'")]
    [InlineData("sample --heads", "--heads needs a value: --heads <n>")]
    [InlineData("sample --heads --use_ddim", "--heads needs a value: --heads <n>")]
    [InlineData("sample --use_ddim maybe", "--use_ddim: 'maybe' is not one of yes/true/t/y/1 or no/false/f/n/0")]
    [InlineData("sample 3", "'3' was not expected: flags are written --flag value")]
    [InlineData("simple", "'simple' is not a command of 'adm'; there are: sample, re_pack")]
    [InlineData("--heads 3", "--heads is not a flag of 'adm'")]
    public void Mistakes_are_named(string line, string message) =>
        Assert.Equal(message, Assert.Throws<UsageException>(() => Arguments.Normalise(Program(), line.Split(' '), out _)).Message);

    [Theory]
    [InlineData("yes", true)]
    [InlineData("True", true)]
    [InlineData("T", true)]
    [InlineData("y", true)]
    [InlineData("1", true)]
    [InlineData("NO", false)]
    [InlineData("false", false)]
    [InlineData("f", false)]
    [InlineData("n", false)]
    [InlineData("0", false)]
    [InlineData("maybe", null)]
    [InlineData("", null)]
    public void Booleans_are_the_words_of_the_reference(string word, bool? value) => Assert.Equal(value, Flag.Boolean(word));

    private static RootCommand Program()
    {
        var pack = new Verb("re_pack", "") { new Argument<string>("file"), Flag.Bool("use_ddim", "", false, "") };
        var sample = new Verb("sample", "")
        {
            Flag.Int("num_steps", "", 1, ""), Flag.Int("num_images", "", 1, ""), Flag.Int("heads", "", 1, ""),
            Flag.Bool("use_ddim", "", false, ""), Flag.Text("respacing", "", "", "s", ""),
        };
        return new RootCommand { sample, pack };
    }
}
