using System.CommandLine;
using System.Runtime.InteropServices;
using AdmNative.Core;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>What to convert.</summary>
internal sealed record ConvertOptions(string Input, string Output, string DType, string? Key, bool Json, bool Quiet);

/// <summary>adm convert: a checkpoint in another container or precision.</summary>
internal static class ConvertCheckpoint
{
    public static Command Create(Host host)
    {
        var input = new Argument<string>("input") { Description = "Checkpoint to read: torch .pt (either container) or safetensors, by content." };
        var output = new Argument<string>("output") { Description = "File to write: .pt or .safetensors, by name." };
        var dtype = Flag.Text("dtype", "Conversion", "f32", "f32|f16", "Precision of the weights written. Integers keep their type.");
        var key = Flag.Text("key", "Conversion", null, "name", "Which entry of a torch file holds the weights, where there are several.");
        var json = CommonFlags.Json();
        var quiet = CommonFlags.Quiet();
        var command = new Verb(
            "convert",
            "Convert a checkpoint between torch .pt and safetensors, in single or half precision.",
            "adm convert 64x64_diffusion.pt 64x64_diffusion.safetensors",
            "adm convert model.safetensors model-half.pt --dtype f16")
        { input, output, dtype, key, json, quiet };
        command.SetAction(p => Run(host, new ConvertOptions(
            p.GetValue(input)!, p.GetValue(output)!, p.GetValue(dtype)!, p.GetValue(key), p.GetValue(json), p.GetValue(quiet))));
        return command;
    }

    private static int Run(Host host, ConvertOptions options)
    {
        DType target = options.DType switch
        {
            "f32" => DType.F32,
            "f16" => DType.F16,
            _ => throw new UsageException($"--dtype: '{options.DType}' is not one of f32, f16"),
        };
        string extension = Path.GetExtension(options.Output).ToLowerInvariant();
        if (extension is not (".pt" or ".pth" or ".safetensors"))
        {
            throw new UsageException($"{options.Output}: name it .pt or .safetensors, that decides what is written");
        }

        string output = OutputPaths.File(options.Output, "output");
        OutputPaths.Distinct([("output", options.Output)], [("the input", options.Input)]);
        using TensorFile source = Checkpoints.Open(options.Input, options.Key);
        if (source.Tensors.Count == 0)
        {
            throw new CheckpointException("holds no tensors; there is nothing to convert", options.Input);
        }

        TensorEntry[] tensors = [.. source.Tensors.Select(t => Entry(host, source, t.Key, t.Value, target))];
        try
        {
            if (extension == ".safetensors")
            {
                SafetensorsWriter.Write(output, tensors);
            }
            else
            {
                TorchWriter.Write(output, tensors);
            }
        }
        catch (OperationCanceledException)
        {
            throw new OperationCanceledException($"stopped; {options.Output} was not written");
        }

        Report(host, options, tensors);
        return ExitCode.Done;
    }

    private static void Report(Host host, ConvertOptions options, TensorEntry[] tensors)
    {
        long elements = tensors.Sum(t => t.Type.Shape.Elements);
        long bytes = new FileInfo(options.Output).Length;
        if (options.Json)
        {
            host.Out.WriteLine(new JObject { ["output"] = options.Output, ["tensors"] = tensors.Length, ["elements"] = elements, ["bytes"] = bytes });
            return;
        }

        host.Out.WriteLine(options.Output);
        if (options.Quiet)
        {
            return;
        }

        host.Error.WriteLine($"{tensors.Length} tensors, {elements} elements, {bytes} bytes");
        if (File.Exists(ConfigFile.PathBeside(options.Input)) && !File.Exists(ConfigFile.PathBeside(options.Output)))
        {
            host.Error.WriteLine($"the flags in {ConfigFile.PathBeside(options.Input)} are not part of the checkpoint: copy them along");
        }
    }

    private static TensorEntry Entry(Host host, TensorFile source, string name, TensorType type, DType target)
    {
        DType dtype = type.DType.IsFloat() ? target : type.DType;
        return new TensorEntry(name, new TensorType(dtype, type.Shape), stream =>
        {
            host.Stop.ThrowIfCancellationRequested();
            if (type.DType == dtype && dtype != DType.F32)
            {
                // In its own type: halves keep their bits and integers of any size their value.
                stream.Write(source.Read(name).Bytes);
                return;
            }

            var values = new float[type.Shape.Elements];
            source.ReadFloats(name, values);
            stream.Write(dtype == DType.F16
                ? MemoryMarshal.AsBytes(Array.ConvertAll(values, v => ToHalf(v, name)).AsSpan())
                : MemoryMarshal.AsBytes(values.AsSpan()));
        });
    }

    private static Half ToHalf(float value, string name)
    {
        var half = (Half)value;
        return Half.IsFinite(half) || !float.IsFinite(value)
            ? half
            : throw new NumericException($"tensor '{name}' holds {value}, beyond half precision (65504); convert it to f32");
    }
}
