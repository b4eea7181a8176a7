using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>How a network is put into a graph.</summary>
public sealed record BuildOptions
{
    /// <summary>
    /// Put before every parameter name and scope, so that two networks can share a graph; e.g. "classifier.".
    /// </summary>
    public string Prefix { get; init; } = "";

    /// <summary>
    /// i32[2] seed of the dropout masks: given in training builds, null when the network is evaluated.
    /// </summary>
    public Node? DropoutSeed { get; init; }
}
