using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>The stand-in for libcudnn of tests/native/fakecudnn, built by CMake once per run. It counts and checks calls and returns any status at any of them.</summary>
internal static unsafe class FakeCudnn
{
    private static readonly Lazy<nint> s_library = new(() => FakeCuda.Build("fakecudnn", "libcudnn.so.9"));

    public static string File => Path.Combine(AppContext.BaseDirectory, "fakecudnn", "libcudnn.so.9");

    /// <summary>A fresh library: counters at zero, no objects.</summary>
    /// <param name="version">As cudnnGetVersion gives it: 8907 or 90100.</param>
    public static LibCudnn Fresh(int version = 90100)
    {
        Reset(version);
        (LibCudnn? library, string why) = LibCudnn.Open([File]);
        Assert.True(library is not null, why);
        Reset(version);
        return library;
    }

    public static void Reset(int version = 90100)
    {
        ((delegate* unmanaged<void>)Export("fake_cudnn_reset"))();
        ((delegate* unmanaged<nuint, void>)Export("fake_cudnn_version"))((nuint)version);
    }

    /// <summary>What searches find from now on, best first.</summary>
    public static void Algorithms(params CudnnFunctions.Performance[] list)
    {
        fixed (CudnnFunctions.Performance* p = list)
        {
            ((delegate* unmanaged<int, CudnnFunctions.Performance*, void>)Export("fake_cudnn_algorithms"))(list.Length, p);
        }
    }

    /// <summary>The n-th of the coming calls of that name returns the number.</summary>
    public static void Fail(string call, int status, long nth = 1)
    {
        nint name = Marshal.StringToCoTaskMemUTF8(call);
        ((delegate* unmanaged<nint, nint, int, void>)Export("fake_cudnn_fail"))(name, (nint)nth, status);
        Marshal.FreeCoTaskMem(name);
    }

    /// <summary>Calls of that name since <see cref="Fresh"/>.</summary>
    public static long Calls(string call)
    {
        nint name = Marshal.StringToCoTaskMemUTF8(call);
        long calls = ((delegate* unmanaged<nint, nint>)Export("fake_cudnn_calls"))(name);
        Marshal.FreeCoTaskMem(name);
        return calls;
    }

    /// <summary>All calls since <see cref="Fresh"/>.</summary>
    public static long Total => ((delegate* unmanaged<nint>)Export("fake_cudnn_total"))();

    /// <summary>Handles and descriptors that exist.</summary>
    public static long Live => ((delegate* unmanaged<nint>)Export("fake_cudnn_live"))();

    /// <summary>What a descriptor was told, in the order of the arguments; then groups and math of a convolution.</summary>
    public static int[] Told(nint descriptor)
    {
        int[] values = new int[11];
        fixed (int* p = values)
        {
            Assert.NotEqual(0, ((delegate* unmanaged<nint, int*, int>)Export("fake_cudnn_descriptor"))(descriptor, p));
        }

        return values;
    }

    /// <summary>The last convolution.</summary>
    public static LastCall Last()
    {
        LastCall call;
        ((delegate* unmanaged<LastCall*, void>)Export("fake_cudnn_last"))(&call);
        return call;
    }

    private static nint Export(string name) => NativeLibrary.GetExport(s_library.Value, name);

    /// <summary>struct call of fakecudnn.c.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct LastCall
    {
        public CudnnPass Pass;
        public int Algorithm;
        public nint Handle, Stream, A, B, Convolution, C;
        public ulong DataA, DataB, DataC, Workspace;
        public nuint Bytes;
        public float Alpha, Beta;
    }
}
