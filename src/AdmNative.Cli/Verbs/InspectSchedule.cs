using System.CommandLine;
using System.Globalization;
using AdmNative.Diffusion;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>What to show of a schedule.</summary>
internal sealed record InspectScheduleOptions(string NoiseSchedule, int DiffusionSteps, string TimestepRespacing, bool Json);

/// <summary>adm inspect schedule: the coefficients of every step.</summary>
internal static class InspectSchedule
{
    public static Command Create(Host host)
    {
        var schedule = Flag.Text("noise_schedule", "Diffusion", "linear", "linear|cosine", "Noise schedule.");
        var steps = Flag.Int("diffusion_steps", "Diffusion", 1000, "Steps the model was trained with.", min: 2);
        var respacing = Flag.Text("timestep_respacing", "Diffusion", "", "250|ddim25|10,10,20", "Steps to keep; empty keeps all.");
        var json = CommonFlags.Json();
        var command = new Verb(
            "schedule",
            "Print the kept steps of a noise schedule and their coefficients.",
            "adm inspect schedule --noise_schedule cosine --timestep_respacing 250",
            "adm inspect schedule --timestep_respacing ddim25 --json")
        { schedule, steps, respacing, json };
        command.SetAction(p => Run(host, new InspectScheduleOptions(
            p.GetValue(schedule)!, p.GetValue(steps)!.Value, p.GetValue(respacing)!, p.GetValue(json))));
        return command;
    }

    private static int Run(Host host, InspectScheduleOptions options)
    {
        NoiseSchedule kind = options.NoiseSchedule switch
        {
            "linear" => NoiseSchedule.Linear,
            "cosine" => NoiseSchedule.Cosine,
            _ => throw new UsageException($"--noise_schedule: '{options.NoiseSchedule}' is not one of linear, cosine"),
        };
        Schedule s = Schedule.Create(kind, options.DiffusionSteps, options.TimestepRespacing);
        if (options.Json)
        {
            static JArray Array(ReadOnlySpan<double> values)
            {
                var array = new JArray();
                foreach (double v in values)
                {
                    array.Add(v);
                }

                return array;
            }

            host.Out.WriteLine(new JObject
            {
                ["steps"] = s.Steps,
                ["original_steps"] = s.OriginalSteps,
                ["timestep_map"] = new JArray(s.TimestepMap.ToArray()),
                ["beta"] = Array(s.Betas),
                ["alpha_bar"] = Array(s.AlphaBar),
                ["posterior_variance"] = Array(s.PosteriorVariance),
                ["posterior_log_variance"] = Array(s.PosteriorLogVariance),
                ["posterior_mean_x0"] = Array(s.PosteriorMeanX0),
                ["posterior_mean_xt"] = Array(s.PosteriorMeanXt),
            });
            return ExitCode.Done;
        }

        host.Out.WriteLine($"{options.NoiseSchedule}, {s}");
        host.Out.WriteLine($"{"t",5} {"original",8} {"beta",14} {"alpha_bar",14} {"post_var",14} {"post_logvar",14} {"c1",14} {"c2",14}");
        for (int t = 0; t < s.Steps; t++)
        {
            host.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{t,5} {s.TimestepMap[t],8} {s.Betas[t],14:g8} {s.AlphaBar[t],14:g8} {s.PosteriorVariance[t],14:g8} {s.PosteriorLogVariance[t],14:g8} {s.PosteriorMeanX0[t],14:g8} {s.PosteriorMeanXt[t],14:g8}"));
        }

        return ExitCode.Done;
    }
}
