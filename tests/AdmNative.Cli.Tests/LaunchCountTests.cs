using System.Globalization;
using System.Text.RegularExpressions;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>How many kernels a run launches, told from the plan alone.</summary>
public sealed class LaunchCountTests
{
    /// <summary>Launches per op of the graph before fusion, in percent; a plan that needs more has lost something.</summary>
    [Theory]
    [InlineData("digits32", "model", "False", 53)]
    [InlineData("digits32", "ddpm", "False", 53)]
    [InlineData("imagenet64", "ddpm", "False", 60)]
    [InlineData("imagenet64", "ddpm", "True", 66)]
    public void A_step_takes_fewer_launches_than_it_has_ops(string preset, string of, string guided, int percent)
    {
        Adm.Outcome outcome = Adm.Done("inspect", "plan", "--preset", preset, "--of", of, "--guided", guided, "--device", "virtual", "--json");
        JObject plan = JObject.Parse(outcome.Out);
        (int launches, int ops, int steps) = ((int)plan["launches"]!, (int)plan["graph_ops"]!, (int)plan["steps"]!);
        Assert.InRange(launches, steps, ops * percent / 100); // no step is for nothing
    }

    [Fact]
    public void The_text_gives_the_count_per_op_and_a_device_without_launches_gives_none()
    {
        string text = Adm.Done("inspect", "plan", "--preset", "mnist16", "--device", "virtual").Out;
        Match line = Regex.Match(text, @"^(\d+) launches for (\d+) ops before fusion \(([0-9.]+) %\): (.*)$", RegexOptions.Multiline);
        Assert.True(line.Success, text);
        int launches = Number(line.Groups[1]);
        Assert.Equal(launches, Regex.Matches(line.Groups[4].Value, @" (\d+)").Sum(m => Number(m.Groups[1])));
        Assert.Equal((100.0 * launches / Number(line.Groups[2])).ToString("F1", CultureInfo.InvariantCulture), line.Groups[3].Value);
        Assert.Contains("StackedLinear 1,", line.Groups[4].Value, StringComparison.Ordinal);

        JObject cpu = JObject.Parse(Adm.Done("inspect", "plan", "--preset", "mnist16", "--device", "cpu", "--json").Out);
        Assert.Equal(JTokenType.Null, cpu["launches"]!.Type);
        Assert.Equal(Number(line.Groups[2]), (int)cpu["graph_ops"]!);
    }

    private static int Number(Capture digits) => int.Parse(digits.Value, CultureInfo.InvariantCulture);
}
