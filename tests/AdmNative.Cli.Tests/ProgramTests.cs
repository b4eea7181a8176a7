using AdmNative.Cli;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

public sealed class ProgramTests
{
    [Fact]
    public void Without_arguments_it_lists_its_commands()
    {
        Adm.Outcome outcome = Adm.Done();
        Assert.Contains("inspect", outcome.Out);
        Assert.Empty(outcome.Error);
    }

    [Theory]
    [InlineData("adm: 'foo' is not a command of 'adm'", "foo")]
    [InlineData("adm inspect schedule: --noise_schedule: 'square'", "inspect", "schedule", "--noise_schedule", "square")]
    [InlineData("adm inspect schedule: --diffusion_steps: 'x' is not a whole number of at least 2", "inspect", "schedule", "--diffusion_steps", "x")]
    [InlineData("adm inspect schedule: ", "inspect", "schedule", "--timestep_respacing", "ddim37")]
    public void Usage_errors_go_to_stderr_with_a_hint(string message, params string[] args)
    {
        Adm.Outcome outcome = Adm.Run(args);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Empty(outcome.Out);
        Assert.StartsWith(message, outcome.Error);
        Assert.Contains("--help'", outcome.Error);
    }

    [Fact]
    public void A_schedule_is_printed_as_text_and_as_json()
    {
        // Check values of the specification, C.1: linear 1000 respaced "250".
        Adm.Outcome text = Adm.Done("inspect", "schedule", "--timestep-respacing", "250");
        Assert.Contains("linear, 250 of 1000 steps", text.Out);
        JObject json = JObject.Parse(Adm.Done("inspect", "schedule", "--timestep-respacing", "250", "--json").Out);
        Assert.Equal(502, (int)json["timestep_map"]![125]!);
        Assert.Equal(0.049297904, (double)json["beta"]![125]!, 1e-9);
        Assert.Equal(-3.0141622, (double)json["posterior_log_variance"]![125]!, 1e-7);
    }

    [Fact]
    public void Progress_lines_say_what_is_left()
    {
        Assert.Equal("sampling: 40.0 % after 0:20, 0:30 left", Progress.Line("sampling", 40, 100, 0, TimeSpan.FromSeconds(20)));
        Assert.Equal("sampling: 60.0 % after 1:00:00, 4:00:00 left", Progress.Line("sampling", 60, 100, 50, TimeSpan.FromHours(1)));
        Assert.Equal("sampling: 50.0 % after 0:01", Progress.Line("sampling", 50, 100, 50, TimeSpan.FromSeconds(1)));
    }
}
