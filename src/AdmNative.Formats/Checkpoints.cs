using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>Opens checkpoints by what they are, not by what they are called.</summary>
public static class Checkpoints
{
    /// <summary>Opens a torch file (either container) or a safetensors file; reads no tensor data.</summary>
    /// <param name="path">The file.</param>
    /// <param name="key">Which entry of a torch file holds the tensors, where there are several dictionaries of them.</param>
    /// <exception cref="CheckpointException">Another kind of file (the message says which), damaged, or without named tensors.</exception>
    public static TensorFile Open(string path, string? key = null) => FileBytes.Open(path, file =>
    {
        switch (FileKinds.Of(file))
        {
            case FileKind.Zip or FileKind.TorchLegacy:
                TorchFile torch = TorchFile.Open(file);
                TorchFile.Source source = torch.TensorsOf(key);
                return new TensorFile(source, torch, source.Read);
            case FileKind.Safetensors:
                SafetensorsFile safetensors = SafetensorsFile.Open(file);
                return new TensorFile(safetensors, safetensors, safetensors.Read);
            case var kind:
                throw FileKinds.NotA("checkpoint (torch .pt or .safetensors)", kind, file);
        }
    });
}
