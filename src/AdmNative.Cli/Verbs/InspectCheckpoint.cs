using System.CommandLine;
using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>adm inspect checkpoint: the tensors of a file, and the model flags their shapes tell.</summary>
internal static class InspectCheckpoint
{
    public static Command Create(Host host)
    {
        var file = new Argument<string>("file") { Description = "Checkpoint: torch .pt or safetensors." };
        var key = Flag.Text("key", "Checkpoint", null, "name", "Which entry of a torch file holds the weights, where there are several.");
        var json = CommonFlags.Json();
        var command = new Verb(
            "checkpoint",
            "List the tensors of a checkpoint and the model flags that their shapes tell.",
            "adm inspect checkpoint models/mnist16/diffusion.safetensors",
            "adm inspect checkpoint 64x64_diffusion.pt --json")
        { file, key, json };
        command.SetAction(p => Run(host, p.GetValue(file)!, p.GetValue(key), p.GetValue(json)));
        return command;
    }

    private static int Run(Host host, string path, string? key, bool json)
    {
        using TensorFile file = Checkpoints.Open(path, key);
        Inspection? model = Model(file, out string? unknown);
        long elements = file.Tensors.Values.Sum(t => t.Shape.Elements);
        if (json)
        {
            var tensors = new JObject();
            foreach ((string name, TensorType type) in file.Tensors)
            {
                tensors[name] = new JObject { ["dtype"] = Word(type.DType), ["shape"] = new JArray(type.Shape.ToArray()) };
            }

            var flags = new JObject();
            foreach (InspectedField field in model?.Fields ?? [])
            {
                flags[field.Flag] = new JObject { ["value"] = field.Value, ["known"] = field.Provenance != Provenance.CannotBeInferred, ["reason"] = field.Reason };
            }

            host.Out.WriteLine(new JObject { ["file"] = path, ["elements"] = elements, ["flags"] = flags, ["tensors"] = tensors });
            return ExitCode.Done;
        }

        int width = file.Tensors.Keys.Select(n => n.Length).DefaultIfEmpty(0).Max();
        foreach ((string name, TensorType type) in file.Tensors)
        {
            host.Out.WriteLine($"{name.PadRight(width)}  {Word(type.DType),-4}  {type.Shape}");
        }

        host.Out.WriteLine($"{file.Tensors.Count} tensors, {elements} elements");
        host.Out.WriteLine();
        host.Out.Write(model is null ? unknown + "\n" : model);
        return ExitCode.Done;
    }

    // Any file of tensors can be listed; only known kinds of models have flags.
    private static Inspection? Model(TensorFile file, out string? unknown)
    {
        try
        {
            unknown = null;
            return CheckpointInspector.Infer(file);
        }
        catch (CheckpointException e)
        {
            unknown = e.Message;
            return null;
        }
    }

    private static string Word(DType dtype) => dtype.ToString().ToLowerInvariant();
}
