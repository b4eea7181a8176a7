using AdmNative.Core;

namespace AdmNative.Tests;

/// <summary>The backends that golden cases run on, by name.</summary>
internal static class Backends
{
    /// <summary>Plain twins in float and double: slow, so only small cases.</summary>
    public static readonly string[] Twins = ["twin-f32", "twin-f64"];

    public static IBackend Create(string name) => name switch
    {
        "twin-f32" => new TwinBackend(DType.F32),
        "twin-f64" => new TwinBackend(DType.F64),
        _ => throw new ArgumentException($"unknown backend {name}"),
    };
}
