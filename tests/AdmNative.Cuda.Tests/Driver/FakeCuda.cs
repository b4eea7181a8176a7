using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>
/// The stand-in for libcuda of tests/native/fakecuda, built by CMake once per run and taken by <see cref="LibCudaDriver"/>, or the optional adapter, in its place. It counts calls
/// and returns any status at any call.
/// </summary>
internal static unsafe class FakeCuda
{
    private static readonly Lazy<nint> s_library = new(() => Build("fakecuda", "libcuda.so.1"));

    /// <summary>Why tests that need it are skipped; null when they are not.</summary>
    public static string? SkipReason { get; } = Missing("cmake") ?? Missing("cc");

    /// <summary>A fresh driver: counters at zero, no objects, one device.</summary>
    public static ICudaDriver Fresh()
    {
        Reset();
        ICudaDriver driver = Open();
        Reset();
        return driver;
    }

    /// <summary>The binding under test: LibCudaDriver, or with -p:ManagedCuda=true the adapter (src/AdmNative.ManagedCuda/README.md).</summary>
    public static ICudaDriver Open() =>
#if ADMNATIVE_MANAGEDCUDA
        new AdmNative.ManagedCuda.ManagedCudaDriver();
#else
        LibCudaDriver.Create();
#endif

    public static void Reset() => ((delegate* unmanaged<void>)Export("fake_reset"))();

    /// <summary>What the driver says of itself.</summary>
    public static void Machine(int version, int devices) => ((delegate* unmanaged<int, int, void>)Export("fake_machine"))(version, devices);

    /// <summary>The n-th of the coming calls of that name returns the status.</summary>
    public static void Fail(string call, CudaStatus status, long nth = 1)
    {
        nint name = Marshal.StringToCoTaskMemUTF8(call);
        ((delegate* unmanaged<nint, nint, int, void>)Export("fake_fail"))(name, (nint)nth, (int)status);
        Marshal.FreeCoTaskMem(name);
    }

    /// <summary>Calls of that name since <see cref="Fresh"/>.</summary>
    public static long Calls(string call)
    {
        nint name = Marshal.StringToCoTaskMemUTF8(call);
        long calls = ((delegate* unmanaged<nint, nint>)Export("fake_calls"))(name);
        Marshal.FreeCoTaskMem(name);
        return calls;
    }

    /// <summary>All calls since <see cref="Fresh"/>.</summary>
    public static long Total => ((delegate* unmanaged<nint>)Export("fake_total"))();

    /// <summary>Contexts, modules, allocations, streams, events and graphs that exist.</summary>
    public static long Live => ((delegate* unmanaged<nint>)Export("fake_live"))();

    /// <summary>The last launch: grid, block and dynamic shared bytes, the stream, the parameter block.</summary>
    public static (uint[] Shape, nint Stream, byte[] Parameters) LastLaunch()
    {
        uint[] shape = new uint[7];
        byte[] block = new byte[512];
        nint stream;
        fixed (uint* s = shape)
        fixed (byte* b = block)
        {
            nuint bytes = ((delegate* unmanaged<uint*, nint*, byte*, nuint>)Export("fake_launch"))(s, &stream, b);
            return (shape, stream, block[..(int)bytes]);
        }
    }

    private static nint Export(string name) => NativeLibrary.GetExport(s_library.Value, name);

    private static string? Missing(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, program)))
            ? null : $"no {program} to build the stand-in driver with (apt install build-essential cmake)";

    /// <summary>Builds a stand-in of tests/native beside the tests and loads it.</summary>
    public static nint Build(string name, string library)
    {
        string folder = Path.Combine(AppContext.BaseDirectory, name);
        Run("cmake", "-S", Repo.Path("tests", "native", name), "-B", folder, "-DCMAKE_BUILD_TYPE=Release");
        Run("cmake", "--build", folder);
        return NativeLibrary.Load(Path.Combine(folder, library));
    }

    private static void Run(string program, params string[] args)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, args) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', args)}\n{output}{errors.Result}");
    }

    // Before anything looks for the driver or cuDNN: no test of this assembly may reach an installed one by chance.
    [ModuleInitializer]
    internal static void Choose()
    {
        Environment.SetEnvironmentVariable(CudaLibrary.Variable, Path.Combine(AppContext.BaseDirectory, "fakecuda", "libcuda.so.1"));
        Environment.SetEnvironmentVariable(LibCudnn.Variable, "libnosuchcudnn.so.9");
    }
}

/// <summary>A test that needs the stand-in driver; skipped with the reason where it cannot be built.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class FakeCudaFactAttribute : FactAttribute
{
    public FakeCudaFactAttribute() => Skip = FakeCuda.SkipReason;
}

/// <summary>A theory that needs the stand-in driver; skipped with the reason where it cannot be built.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class FakeCudaTheoryAttribute : TheoryAttribute
{
    public FakeCudaTheoryAttribute() => Skip = FakeCuda.SkipReason;
}
