using AdmNative.Cli;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

public sealed class BenchModelTests
{
    [Fact]
    public void The_virtual_device_counts_every_op_and_bounds_its_time()
    {
        Adm.Outcome outcome = Adm.Done("bench", "model", "--preset", "mnist16", "--of", "ddim", "--device", "virtual", "--repeats", "1", "--json");
        JObject document = JObject.Parse(outcome.Out);
        var rows = (JArray)document["counters"]!;
        JToken total = rows.Last!;
        Assert.Equal("total", (string?)total["op"]);
        Assert.Equal((int)document["launches"]!, (int)total["launches"]!);
        Assert.InRange((int)document["launches"]!, 1, (int)document["graph_ops"]!);
        Assert.Equal([.. document["ops"]!.Select(o => (string?)o["op"]).Order()], rows.SkipLast(1).Select(r => (string?)r["op"]).Order());
        foreach (string count in new[] { "steps", "launches", "requested_bytes", "sectors", "warp_instructions" })
        {
            Assert.Equal((long)total[count]!, rows.SkipLast(1).Sum(r => (long)r[count]!));
        }

        foreach (JProperty device in total["at_least_seconds"]!.Cast<JProperty>())
        {
            Assert.InRange((double)device.Value, 1e-9, 1);
            Assert.InRange((double)total["roofline_seconds"]![device.Name]!, 1e-9, (double)device.Value * 2);
        }

        // A product of matrices reads each operand at least once: fewer bytes asked for than its operands have would be a lie of the counters.
        JToken linear = rows.Single(r => (string?)r["op"] == "Linear");
        Assert.InRange((double)linear["requested_bytes"]!, (double)linear["moved_bytes"]! * 0.9, double.MaxValue);
    }

    [Fact]
    public void All_checks_are_silent_over_a_network()
    {
        Adm.Outcome outcome = Adm.Done("bench", "model", "--preset", "mnist16", "--device", "virtual", "--checks", "True", "--repeats", "1");
        Assert.Contains("checks: 0 findings", outcome.Out);
        Assert.Contains("ops before fusion", outcome.Out);
    }

    [Theory]
    [InlineData("--checks: only the virtual device", "--checks", "True", "--device", "cpu")]
    [InlineData("--guided is for steps", "--guided", "True")]
    [InlineData("has no classifier", "--guided", "True", "--of", "ddim")]
    [InlineData("is not one of model, ddpm, ddim", "--of", "plms")]
    [InlineData("--train times the network alone", "--of", "ddpm", "--train", "True")]
    public void What_cannot_be_timed_is_a_usage_error(string expected, params string[] flags)
    {
        Adm.Outcome outcome = Adm.Run(["bench", "model", "--preset", "digits32", .. flags]);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains(expected, outcome.Error);
    }
}
