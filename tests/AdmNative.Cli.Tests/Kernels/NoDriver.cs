using System.Runtime.CompilerServices;

namespace AdmNative.Tests;

/// <summary>Tests of the program see no installed driver, on machines with and without one.</summary>
internal static class NoDriver
{
    public const string Library = "/nowhere/libcuda.so.1";

    [ModuleInitializer]
    internal static void Choose() => Environment.SetEnvironmentVariable("ADMNATIVE_CUDA_LIBRARY", Library);
}
