using System.Runtime.InteropServices;
using System.Text;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>The binding to the installed driver, over a stand-in for its library: every call arrives, with its arguments, and every status comes back.</summary>
[Collection("fake cuda")]
public sealed class LibCudaDriverTests
{
    private const string Ptx = ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry probe(.param .u64 p) { ret; }\n.global .u32 counter;\n\0";

    /// <summary>Handles a call may use.</summary>
    private sealed class Handles
    {
        public Handles(ICudaDriver d)
        {
            Ok(d.PrimaryCtxRetain(out Context, 0));
            Ok(d.CtxSetCurrent(Context));
            Ok(d.ModuleLoad(out Module, Encoding.UTF8.GetBytes(Ptx), out _));
            Ok(d.ModuleGetFunction(out Kernel, Module, "probe"));
            Ok(d.MemAlloc(out Memory, 4096));
            Ok(d.MemHostAlloc(out Host, 4096));
            Ok(d.StreamCreate(out Stream, CudaCreateFlags.NonBlocking));
            Ok(d.EventCreate(out Start, CudaCreateFlags.None));
            Ok(d.EventCreate(out End, CudaCreateFlags.DisableTiming));
            Ok(d.StreamBeginCapture(Stream));
            Ok(d.StreamEndCapture(Stream, out Graph));
            Ok(d.GraphInstantiate(out Executable, Graph));
        }

        public readonly nint Context, Module, Kernel, Host, Stream, Start, End, Graph, Executable;
        public readonly ulong Memory;
    }

    private delegate CudaStatus Call(ICudaDriver driver, Handles h);

    // Every call of the interface with the name under which it must arrive, in an order in which all succeed: what destroys comes last.
    private static readonly (string Native, Call Call)[] s_calls =
    [
        ("cuInit", (d, _) => d.Init()),
        ("cuDriverGetVersion", (d, _) => Zero(d.DriverGetVersion(out int v), v)),
        ("cuDeviceGetCount", (d, _) => Zero(d.DeviceGetCount(out int n), n)),
        ("cuDeviceGet", (d, _) => Zero(d.DeviceGet(out int device, 0), 1 + device, 1)),
        ("cuDeviceGetName", (d, _) => Zero(d.DeviceGetName(out string name, 0), name.Length)),
        ("cuDeviceGetAttribute", (d, _) => Zero(d.DeviceGetAttribute(out int v, CudaDeviceAttribute.MultiprocessorCount, 0), v)),
        ("cuDeviceTotalMem_v2", (d, _) => Zero(d.DeviceTotalMem(out ulong b, 0), (long)b)),
        ("cuDevicePrimaryCtxRetain", (d, _) => Zero(d.PrimaryCtxRetain(out nint c, 0), c)),
        ("cuCtxSetCurrent", (d, h) => d.CtxSetCurrent(h.Context)),
        ("cuCtxGetCurrent", (d, _) => Zero(d.CtxGetCurrent(out nint c), c)),
        ("cuCtxSynchronize", (d, _) => d.CtxSynchronize()),
        ("cuModuleLoadDataEx", (d, h) => Zero(d.ModuleLoad(out nint m, Encoding.UTF8.GetBytes(Ptx), out _), m)),
        ("cuModuleGetFunction", (d, h) => Zero(d.ModuleGetFunction(out nint f, h.Module, "probe"), f)),
        ("cuModuleGetGlobal_v2", (d, h) => Zero(d.ModuleGetGlobal(out ulong a, out nuint b, h.Module, "counter"), (long)a + (long)b)),
        ("cuFuncGetAttribute", (d, h) => Zero(d.FuncGetAttribute(out int v, CudaFunctionAttribute.Registers, h.Kernel), v)),
        ("cuFuncSetAttribute", (d, h) => d.FuncSetAttribute(h.Kernel, CudaFunctionAttribute.MaxDynamicSharedBytes, 65536)),
        ("cuOccupancyMaxActiveBlocksPerMultiprocessor", (d, h) => Zero(d.OccupancyMaxActiveBlocks(out int n, h.Kernel, 256, 1024), n)),
        ("cuLaunchKernel", (d, h) => d.LaunchKernel(h.Kernel, new LaunchShape(1, 1, 1, 32, 1, 1), h.Stream, new byte[8])),
        ("cuMemAlloc_v2", (d, _) => Zero(d.MemAlloc(out ulong a, 16), (long)a)),
        ("cuMemGetInfo_v2", (d, _) => Zero(d.MemGetInfo(out nuint f, out nuint t), (long)(f + t))),
        ("cuMemHostAlloc", (d, _) => Zero(d.MemHostAlloc(out nint a, 16), a)),
        ("cuMemcpyHtoDAsync_v2", (d, h) => d.MemcpyHtoD(h.Memory, h.Host, 64, h.Stream)),
        ("cuMemcpyDtoHAsync_v2", (d, h) => d.MemcpyDtoH(h.Host, h.Memory, 64, h.Stream)),
        ("cuMemcpyDtoDAsync_v2", (d, h) => d.MemcpyDtoD(h.Memory + 64, h.Memory, 64, h.Stream)),
        ("cuMemsetD8Async", (d, h) => d.MemsetD8(h.Memory, 7, 64, h.Stream)),
        ("cuMemsetD32Async", (d, h) => d.MemsetD32(h.Memory, 7, 64, h.Stream)),
        ("cuStreamCreate", (d, _) => Zero(d.StreamCreate(out nint s, CudaCreateFlags.None), s)),
        ("cuStreamSynchronize", (d, h) => d.StreamSynchronize(h.Stream)),
        ("cuStreamQuery", (d, h) => d.StreamQuery(h.Stream)),
        ("cuStreamWaitEvent", (d, h) => d.StreamWaitEvent(h.Stream, h.Start)),
        ("cuEventCreate", (d, _) => Zero(d.EventCreate(out nint e, CudaCreateFlags.DisableTiming), e)),
        ("cuEventRecord", (d, h) => d.EventRecord(h.Start, h.Stream)),
        ("cuEventSynchronize", (d, h) => d.EventSynchronize(h.Start)),
        ("cuEventQuery", (d, h) => d.EventQuery(h.Start)),
        ("cuEventElapsedTime", (d, h) => Zero(d.EventElapsedTime(out float ms, h.Start, h.End), ms == 1.5f ? 1 : 0)),
        ("cuStreamBeginCapture_v2", (d, h) => d.StreamBeginCapture(h.Stream)),
        ("cuStreamEndCapture", (d, h) => Zero(d.StreamEndCapture(h.Stream, out nint g), g)),
        ("cuGraphInstantiateWithFlags", (d, h) => Zero(d.GraphInstantiate(out nint e, h.Graph), e)),
        ("cuGraphLaunch", (d, h) => d.GraphLaunch(h.Executable, h.Stream)),
        ("cuGraphGetNodes", (d, h) => Zero(d.GraphGetNodeCount(out nuint n, h.Graph), (long)n)),
        ("cuGraphExecDestroy", (d, h) => d.GraphExecDestroy(h.Executable)),
        ("cuGraphDestroy", (d, h) => d.GraphDestroy(h.Graph)),
        ("cuEventDestroy_v2", (d, h) => d.EventDestroy(h.End)),
        ("cuStreamDestroy_v2", (d, h) => d.StreamDestroy(h.Stream)),
        ("cuMemFreeHost", (d, h) => d.MemFreeHost(h.Host)),
        ("cuMemFree_v2", (d, h) => d.MemFree(h.Memory)),
        ("cuModuleUnload", (d, h) => d.ModuleUnload(h.Module)),
        ("cuDevicePrimaryCtxRelease_v2", (d, _) => d.PrimaryCtxRelease(0)),
    ];

    public static TheoryData<string> Names => new(s_calls.Select(c => c.Native));

    [Fact]
    public void The_list_covers_every_call_of_the_interface()
    {
        int methods = typeof(ICudaDriver).GetMethods().Count(m => m.ReturnType == typeof(CudaStatus));
        Assert.Equal(methods, s_calls.Select(c => c.Native).Distinct().Count());
    }

    [FakeCudaFact]
    public void Every_call_arrives_once_under_its_own_name()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        var handles = new Handles(driver);
        foreach ((string native, Call call) in s_calls)
        {
            long before = FakeCuda.Calls(native), all = FakeCuda.Total;
            Assert.True(call(driver, handles) == CudaStatus.Success, native);
            Assert.True(FakeCuda.Calls(native) == before + 1 && FakeCuda.Total == all + 1, $"{native}: {FakeCuda.Calls(native) - before} calls of it, {FakeCuda.Total - all} in all");
        }
    }

    [FakeCudaTheory]
    [MemberData(nameof(Names))]
    public void A_failure_comes_back_and_leaves_zero_behind(string native)
    {
        ICudaDriver driver = FakeCuda.Fresh();
        var handles = new Handles(driver);
        Call call = s_calls.Single(c => c.Native == native).Call;
        FakeCuda.Fail(native, CudaStatus.OutOfMemory);
        Assert.Equal(CudaStatus.OutOfMemory, call(driver, handles)); // Zero() looks at what the call left in its outputs
        Assert.Equal(CudaStatus.Success, call(driver, handles)); // and the process goes on
    }

    [FakeCudaFact]
    public void A_poisoned_context_answers_with_the_first_error()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        var handles = new Handles(driver);
        FakeCuda.Fail("cuLaunchKernel", CudaStatus.IllegalAddress);
        Assert.Equal(CudaStatus.IllegalAddress, driver.LaunchKernel(handles.Kernel, new LaunchShape(1, 1, 1, 32, 1, 1), 0, []));
        Assert.Equal(CudaStatus.IllegalAddress, driver.CtxSynchronize());
        Assert.Equal(CudaStatus.IllegalAddress, driver.MemAlloc(out _, 16));
    }

    [FakeCudaFact]
    public void A_launch_carries_shape_stream_and_parameter_block()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        var handles = new Handles(driver);
        byte[] block = [.. Enumerable.Range(1, 250).Select(i => (byte)i)];
        Ok(driver.LaunchKernel(handles.Kernel, new LaunchShape(70000, 3, 5, 256, 2, 1, 99_000), handles.Stream, block));
        (uint[] shape, nint stream, byte[] parameters) = FakeCuda.LastLaunch();
        Assert.Equal([70000u, 3, 5, 256, 2, 1, 99_000], shape);
        Assert.Equal(handles.Stream, stream);
        Assert.Equal(block, parameters);

        Ok(driver.LaunchKernel(handles.Kernel, new LaunchShape(1, 1, 1, 1, 1, 1), 0, []));
        Assert.Empty(FakeCuda.LastLaunch().Parameters);
    }

    [FakeCudaFact]
    public void Launches_copies_and_events_allocate_nothing()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        var h = new Handles(driver);
        byte[] block = new byte[256];
        long Replay()
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            int failed = 0; // Assert.Equal would box
            for (int i = 0; i < 100; i++)
            {
                failed |= (int)driver.LaunchKernel(h.Kernel, new LaunchShape(4, 1, 1, 256, 1, 1), h.Stream, block);
                failed |= (int)driver.MemcpyDtoD(h.Memory, h.Memory + 256, 256, h.Stream);
                failed |= (int)driver.MemsetD32(h.Memory, 0, 16, h.Stream);
                failed |= (int)driver.EventRecord(h.Start, h.Stream);
                failed |= (int)driver.EventElapsedTime(out _, h.Start, h.End);
                failed |= (int)driver.GraphLaunch(h.Executable, h.Stream);
                failed |= (int)driver.StreamSynchronize(h.Stream);
            }

            long bytes = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.Equal(0, failed);
            return bytes;
        }

        Replay();
        Assert.Equal(0, Replay());
    }

    [FakeCudaFact]
    public void Copies_move_the_bytes()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        var h = new Handles(driver);
        byte[] sent = [.. Enumerable.Range(0, 200).Select(i => (byte)(i * 7))], got = new byte[200];
        GCHandle from = GCHandle.Alloc(sent, GCHandleType.Pinned), to = GCHandle.Alloc(got, GCHandleType.Pinned);
        Ok(driver.MemcpyHtoD(h.Memory, from.AddrOfPinnedObject(), 200, 0));
        Ok(driver.MemcpyDtoD(h.Memory + 1000, h.Memory, 200, 0));
        Ok(driver.MemsetD8(h.Memory + 1000, 9, 3, 0));
        Ok(driver.MemsetD32(h.Memory + 1004, 0x01020304, 1, 0));
        Ok(driver.MemcpyDtoH(to.AddrOfPinnedObject(), h.Memory + 1000, 200, 0));
        from.Free();
        to.Free();
        Assert.Equal([9, 9, 9, sent[3], 4, 3, 2, 1, .. sent[8..]], got);
    }

    [FakeCudaFact]
    public void The_compilers_log_comes_with_the_module()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        var h = new Handles(driver);
        Ok(driver.ModuleLoad(out nint module, Encoding.UTF8.GetBytes(Ptx), out string log));
        Assert.NotEqual(0, module);
        Assert.Equal("ptxas info : 0 bytes gmem", log);

        Assert.Equal(CudaStatus.InvalidPtx, driver.ModuleLoad(out module, "@@\0"u8, out log));
        Assert.Equal(0, module);
        Assert.Equal("ptxas application ptx input, line 3; fatal : Parsing error near '@@'", log);
        Assert.Throws<ArgumentException>(() => driver.ModuleLoad(out _, "no end"u8, out _));
        Assert.Throws<ArgumentException>(() => driver.ModuleLoad(out _, [], out _));
        Assert.Equal(CudaStatus.NotFound, driver.ModuleGetFunction(out _, h.Module, "prob"));
        Assert.Throws<ArgumentNullException>(() => driver.ModuleGetFunction(out _, h.Module, null!));
    }

    [FakeCudaFact]
    public void Everything_made_can_be_destroyed()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        var h = new Handles(driver);
        Assert.Equal(9, FakeCuda.Live);
        CudaStatus[] statuses =
        [
            driver.GraphExecDestroy(h.Executable), driver.GraphDestroy(h.Graph), driver.EventDestroy(h.Start), driver.EventDestroy(h.End), driver.StreamDestroy(h.Stream),
            driver.MemFreeHost(h.Host), driver.MemFree(h.Memory), driver.ModuleUnload(h.Module), driver.PrimaryCtxRelease(0),
        ];
        Assert.All(statuses, s => Assert.Equal(CudaStatus.Success, s));
        Assert.Equal(0, FakeCuda.Live);
        Assert.Equal(CudaStatus.InvalidHandle, driver.StreamDestroy(h.Stream));
    }

    [FakeCudaFact]
    public void It_names_itself_and_its_errors()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        Assert.StartsWith("CUDA driver 12.4", driver.Description, StringComparison.Ordinal);
        Ok(driver.DeviceGetName(out string name, 0));
        Assert.Equal("Stand-in 80", name);
        Assert.Equal("CUDA_ERROR_OUT_OF_MEMORY: out of memory", driver.ErrorText(CudaStatus.OutOfMemory));
        Assert.Equal("status 12345, which this driver has no name for", driver.ErrorText((CudaStatus)12345));
    }

    [FakeCudaFact]
    public void A_machine_without_a_device_to_use_says_why()
    {
        void Expect(GpuUnavailableReason reason, string words)
        {
            Assert.False(LibCudaDriver.TryCreate(out LibCudaDriver? driver, out GpuUnavailableException? why));
            Assert.Null(driver);
            Assert.Equal(reason, why!.Reason);
            Assert.Contains(words, why.Message, StringComparison.Ordinal);
            Assert.Equal(reason, Assert.Throws<GpuUnavailableException>(LibCudaDriver.Create).Reason);
            FakeCuda.Reset();
        }

        FakeCuda.Reset();
        FakeCuda.Machine(11080, 1);
        Expect(GpuUnavailableReason.DriverTooOld, "11.8; 12.0 or newer is needed");
        FakeCuda.Machine(12040, 0);
        Expect(GpuUnavailableReason.NoDevice, "knows no device");

        FakeCuda.Reset();
        FakeCuda.Fail("cuDeviceGetCount", CudaStatus.InvalidValue);
        Assert.False(LibCudaDriver.TryCreate(out _, out GpuUnavailableException? failed));
        Assert.Equal(GpuUnavailableReason.DriverFailed, failed!.Reason);
        Assert.Contains("cuDeviceGetCount returns InvalidValue (1)", failed.Message, StringComparison.Ordinal);
        FakeCuda.Fail("cuInit", (CudaStatus)803);
        Assert.False(LibCudaDriver.TryCreate(out _, out failed));
        Assert.Contains("cuInit returns 803 (803)", failed!.Message, StringComparison.Ordinal);
        Assert.True(LibCudaDriver.TryCreate(out _, out _));
    }

    [Fact]
    public void The_search_for_the_library_is_on_record()
    {
        string noLibrary = Repo.Path("README.md");
        (nint handle, IReadOnlyList<string> trace) = CudaLibrary.Open(["libnosuchcuda.so.1", noLibrary]);
        Assert.Equal(0, handle);
        Assert.Equal(2, trace.Count);
        Assert.StartsWith("libnosuchcuda.so.1: ", trace[0], StringComparison.Ordinal);
        Assert.StartsWith($"{noLibrary}: ", trace[1], StringComparison.Ordinal);
        Assert.DoesNotContain('\n', string.Concat(trace));

        var missing = new GpuUnavailableException(GpuUnavailableReason.NoDriver, "no CUDA driver.", trace);
        Assert.Contains("libnosuchcuda.so.1: ", missing.Message, StringComparison.Ordinal);
    }

    // A call's status, after a look at its output: something on success, zero on failure.
    private static CudaStatus Zero(CudaStatus status, long output, long zero = 0)
    {
        Assert.True(status == CudaStatus.Success ? output != 0 : output == zero, $"{status} with output {output}");
        return status;
    }

    private static void Ok(CudaStatus status) => Assert.Equal(CudaStatus.Success, status);
}
