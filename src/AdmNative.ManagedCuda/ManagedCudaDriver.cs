using System.Runtime.InteropServices;
using System.Runtime.Loader;
using System.Text;
using AdmNative.Cuda;
using ManagedCuda;
using ManagedCuda.BasicTypes;
using CudaLibrary = AdmNative.Cuda.CudaLibrary;
using Native = ManagedCuda.DriverAPINativeMethods;

namespace AdmNative.ManagedCuda;

/// <summary>
/// The installed CUDA driver through ManagedCuda's raw imports. Choose it with <c>CudaDriver.Use(new ManagedCudaDriver())</c>. None of ManagedCuda's classes with
/// handles, finalizers or implicit conversions are used; launches allocate nothing.
/// </summary>
/// <remarks>The library is the one that <see cref="CudaLibrary"/> finds, unless the system's loader knows a "libcuda.so": ManagedCuda asks for that first.</remarks>
public sealed unsafe class ManagedCudaDriver : ICudaDriver
{
    private const int LogBytes = 32 * 1024;

    [ThreadStatic]
    private static IntPtr[]? s_extra;

    private readonly int _version;

    static ManagedCudaDriver() => AssemblyLoadContext.Default.ResolvingUnmanagedDll += static (_, name) => name is "libcuda" or "nvcuda" ? CudaLibrary.Handle : 0;

    /// <summary>Loads and starts the driver.</summary>
    /// <exception cref="GpuUnavailableException">No library, a driver before CUDA 12.0, a driver that does not start, or no device.</exception>
    public ManagedCudaDriver()
    {
        if (CudaDriver.Refusal(this) is { } why)
        {
            throw why;
        }

        DriverGetVersion(out _version);
    }

    /// <inheritdoc/>
    public string Description => $"CUDA driver {_version / 1000}.{_version % 1000 / 10} through ManagedCuda";

    /// <inheritdoc/>
    public string ErrorText(CudaStatus status)
    {
        IntPtr name = 0, text = 0;
        bool known = Native.ErrorHandling.cuGetErrorName((CUResult)status, ref name) == CUResult.Success
            && Native.ErrorHandling.cuGetErrorString((CUResult)status, ref text) == CUResult.Success;
        return known ? $"{Marshal.PtrToStringUTF8(name)}: {Marshal.PtrToStringUTF8(text)}" : $"status {(int)status}, which this driver has no name for";
    }

    // ---- driver and devices

    /// <inheritdoc/>
    public CudaStatus Init() => (CudaStatus)Native.cuInit(CUInitializationFlags.None);

    /// <inheritdoc/>
    public CudaStatus DriverGetVersion(out int version)
    {
        version = 0;
        return (CudaStatus)Native.cuDriverGetVersion(ref version);
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGetCount(out int count)
    {
        count = 0;
        return (CudaStatus)Native.DeviceManagement.cuDeviceGetCount(ref count);
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGet(out int device, int ordinal)
    {
        CUdevice found = default;
        var status = (CudaStatus)Native.DeviceManagement.cuDeviceGet(ref found, ordinal);
        device = found.Pointer;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGetName(out string name, int device)
    {
        byte[] text = new byte[256];
        var status = (CudaStatus)Native.DeviceManagement.cuDeviceGetName(text, text.Length, Device(device));
        name = status == CudaStatus.Success ? Text(text) : "";
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGetAttribute(out int value, CudaDeviceAttribute attribute, int device)
    {
        value = 0;
        return (CudaStatus)Native.DeviceManagement.cuDeviceGetAttribute(ref value, (CUDeviceAttribute)attribute, Device(device));
    }

    /// <inheritdoc/>
    public CudaStatus DeviceTotalMem(out ulong bytes, int device)
    {
        SizeT total = default;
        var status = (CudaStatus)Native.DeviceManagement.cuDeviceTotalMem_v2(ref total, Device(device));
        bytes = total;
        return status;
    }

    // ---- contexts

    /// <inheritdoc/>
    public CudaStatus PrimaryCtxRetain(out nint context, int device)
    {
        CUcontext made = default;
        var status = (CudaStatus)Native.ContextManagement.cuDevicePrimaryCtxRetain(ref made, Device(device));
        context = made.Pointer;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus PrimaryCtxRelease(int device) => (CudaStatus)Native.ContextManagement.cuDevicePrimaryCtxRelease(Device(device));

    /// <inheritdoc/>
    public CudaStatus CtxSetCurrent(nint context) => (CudaStatus)Native.ContextManagement.cuCtxSetCurrent(new CUcontext { Pointer = context });

    /// <inheritdoc/>
    public CudaStatus CtxGetCurrent(out nint context)
    {
        CUcontext current = default;
        var status = (CudaStatus)Native.ContextManagement.cuCtxGetCurrent(ref current);
        context = current.Pointer;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus CtxSynchronize() => (CudaStatus)Native.ContextManagement.cuCtxSynchronize();

    // ---- modules and functions

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The image does not end with a NUL.</exception>
    public CudaStatus ModuleLoad(out nint module, ReadOnlySpan<byte> image, out string log)
    {
        if (image.IsEmpty || image[^1] != 0)
        {
            throw new ArgumentException("the image must end with a NUL byte: the driver reads to it", nameof(image));
        }

        byte[] info = new byte[LogBytes], error = new byte[LogBytes];
        fixed (byte* infoLog = info, errorLog = error)
        {
            CUJITOption[] names =
            [
                CUJITOption.InfoLogBuffer, CUJITOption.InfoLogBufferSizeBytes, CUJITOption.ErrorLogBuffer, CUJITOption.ErrorLogBufferSizeBytes, CUJITOption.LogVerbose,
            ];
            IntPtr[] values = [(nint)infoLog, LogBytes, (nint)errorLog, LogBytes, 1];
            CUmodule made = default;
            var status = (CudaStatus)Native.ModuleManagement.cuModuleLoadDataEx(ref made, image.ToArray(), (uint)names.Length, names, values);
            module = made.Pointer;
            string errors = Text(error), notes = Text(info);
            log = errors.Length == 0 ? notes : notes.Length == 0 ? errors : $"{errors}\n{notes}";
            return status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus ModuleUnload(nint module) => (CudaStatus)Native.ModuleManagement.cuModuleUnload(new CUmodule { Pointer = module });

    /// <inheritdoc/>
    public CudaStatus ModuleGetFunction(out nint kernel, nint module, string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        CUfunction found = default;
        var status = (CudaStatus)Native.ModuleManagement.cuModuleGetFunction(ref found, new CUmodule { Pointer = module }, name);
        kernel = found.Pointer;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus ModuleGetGlobal(out ulong address, out nuint bytes, nint module, string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        CUdeviceptr found = default;
        SizeT size = default;
        var status = (CudaStatus)Native.ModuleManagement.cuModuleGetGlobal_v2(ref found, ref size, new CUmodule { Pointer = module }, name);
        (address, bytes) = (found.Pointer, (nuint)(ulong)size);
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus FuncGetAttribute(out int value, CudaFunctionAttribute attribute, nint kernel)
    {
        value = 0;
        return (CudaStatus)Native.FunctionManagement.cuFuncGetAttribute(ref value, (CUFunctionAttribute)attribute, new CUfunction { Pointer = kernel });
    }

    /// <inheritdoc/>
    public CudaStatus FuncSetAttribute(nint kernel, CudaFunctionAttribute attribute, int value) =>
        (CudaStatus)Native.FunctionManagement.cuFuncSetAttribute(new CUfunction { Pointer = kernel }, (CUFunctionAttribute)attribute, value);

    /// <inheritdoc/>
    public CudaStatus OccupancyMaxActiveBlocks(out int blocks, nint kernel, int blockSize, nuint dynamicSharedBytes)
    {
        blocks = 0;
        return (CudaStatus)Native.Occupancy.cuOccupancyMaxActiveBlocksPerMultiprocessor(
            ref blocks, new CUfunction { Pointer = kernel }, blockSize, new SizeT((ulong)dynamicSharedBytes));
    }

    /// <inheritdoc/>
    public CudaStatus LaunchKernel(nint kernel, in LaunchShape shape, nint stream, ReadOnlySpan<byte> parameters)
    {
        nuint bytes = (nuint)parameters.Length;
        fixed (byte* block = parameters)
        {
            // CU_LAUNCH_PARAM_BUFFER_POINTER, CU_LAUNCH_PARAM_BUFFER_SIZE, CU_LAUNCH_PARAM_END; the array is this thread's, for no launch to allocate one.
            IntPtr[] extra = s_extra ??= new IntPtr[5];
            (extra[0], extra[1], extra[2], extra[3], extra[4]) = (1, (nint)block, 2, (nint)(&bytes), 0);
            return (CudaStatus)Native.Launch.cuLaunchKernel(
                new CUfunction { Pointer = kernel }, shape.GridX, shape.GridY, shape.GridZ, shape.BlockX, shape.BlockY, shape.BlockZ, shape.SharedBytes,
                new CUstream { Pointer = stream }, null, parameters.IsEmpty ? null : extra);
        }
    }

    // ---- memory

    /// <inheritdoc/>
    public CudaStatus MemAlloc(out ulong address, nuint bytes)
    {
        CUdeviceptr made = default;
        var status = (CudaStatus)Native.MemoryManagement.cuMemAlloc_v2(ref made, Size(bytes));
        address = made.Pointer;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus MemFree(ulong address) => (CudaStatus)Native.MemoryManagement.cuMemFree_v2(At(address));

    /// <inheritdoc/>
    public CudaStatus MemGetInfo(out nuint free, out nuint total)
    {
        SizeT f = default, t = default;
        var status = (CudaStatus)Native.MemoryManagement.cuMemGetInfo_v2(ref f, ref t);
        (free, total) = ((nuint)(ulong)f, (nuint)(ulong)t);
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus MemHostAlloc(out nint address, nuint bytes)
    {
        IntPtr made = 0;
        var status = (CudaStatus)Native.MemoryManagement.cuMemHostAlloc(ref made, Size(bytes), 0);
        address = made;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus MemFreeHost(nint address) => (CudaStatus)Native.MemoryManagement.cuMemFreeHost(address);

    /// <inheritdoc/>
    public CudaStatus MemcpyHtoD(ulong destination, nint source, nuint bytes, nint stream) =>
        (CudaStatus)Native.AsynchronousMemcpy_v2.cuMemcpyHtoDAsync_v2(At(destination), source, Size(bytes), On(stream));

    /// <inheritdoc/>
    public CudaStatus MemcpyDtoH(nint destination, ulong source, nuint bytes, nint stream) =>
        (CudaStatus)Native.AsynchronousMemcpy_v2.cuMemcpyDtoHAsync_v2(destination, At(source), Size(bytes), On(stream));

    /// <inheritdoc/>
    public CudaStatus MemcpyDtoD(ulong destination, ulong source, nuint bytes, nint stream) =>
        (CudaStatus)Native.AsynchronousMemcpy_v2.cuMemcpyDtoDAsync_v2(At(destination), At(source), Size(bytes), On(stream));

    /// <inheritdoc/>
    public CudaStatus MemsetD8(ulong destination, byte value, nuint count, nint stream) =>
        (CudaStatus)Native.MemsetAsync.cuMemsetD8Async(At(destination), value, Size(count), On(stream));

    /// <inheritdoc/>
    public CudaStatus MemsetD32(ulong destination, uint value, nuint count, nint stream) =>
        (CudaStatus)Native.MemsetAsync.cuMemsetD32Async(At(destination), value, Size(count), On(stream));

    // ---- streams and events

    /// <inheritdoc/>
    public CudaStatus StreamCreate(out nint stream, CudaCreateFlags flags)
    {
        CUstream made = default;
        var status = (CudaStatus)Native.Streams.cuStreamCreate(ref made, (CUStreamFlags)flags);
        stream = made.Pointer;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus StreamDestroy(nint stream) => (CudaStatus)Native.Streams.cuStreamDestroy_v2(On(stream));

    /// <inheritdoc/>
    public CudaStatus StreamSynchronize(nint stream) => (CudaStatus)Native.Streams.cuStreamSynchronize(On(stream));

    /// <inheritdoc/>
    public CudaStatus StreamQuery(nint stream) => (CudaStatus)Native.Streams.cuStreamQuery(On(stream));

    /// <inheritdoc/>
    public CudaStatus StreamWaitEvent(nint stream, nint eventHandle) => (CudaStatus)Native.Streams.cuStreamWaitEvent(On(stream), Of(eventHandle), 0);

    /// <inheritdoc/>
    public CudaStatus EventCreate(out nint eventHandle, CudaCreateFlags flags)
    {
        CUevent made = default;
        var status = (CudaStatus)Native.Events.cuEventCreate(ref made, (CUEventFlags)flags);
        eventHandle = made.Pointer;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus EventDestroy(nint eventHandle) => (CudaStatus)Native.Events.cuEventDestroy_v2(Of(eventHandle));

    /// <inheritdoc/>
    public CudaStatus EventRecord(nint eventHandle, nint stream) => (CudaStatus)Native.Events.cuEventRecord(Of(eventHandle), On(stream));

    /// <inheritdoc/>
    public CudaStatus EventSynchronize(nint eventHandle) => (CudaStatus)Native.Events.cuEventSynchronize(Of(eventHandle));

    /// <inheritdoc/>
    public CudaStatus EventQuery(nint eventHandle) => (CudaStatus)Native.Events.cuEventQuery(Of(eventHandle));

    /// <inheritdoc/>
    public CudaStatus EventElapsedTime(out float milliseconds, nint startEvent, nint endEvent)
    {
        milliseconds = 0;
        return (CudaStatus)Native.Events.cuEventElapsedTime(ref milliseconds, Of(startEvent), Of(endEvent)); // the first version: the second needs CUDA 12.8
    }

    // ---- capture and graphs

    /// <inheritdoc/>
    public CudaStatus StreamBeginCapture(nint stream) => (CudaStatus)Native.Streams.cuStreamBeginCapture(On(stream), CUstreamCaptureMode.Local);

    /// <inheritdoc/>
    public CudaStatus StreamEndCapture(nint stream, out nint graph)
    {
        CUgraph made = default;
        var status = (CudaStatus)Native.Streams.cuStreamEndCapture(On(stream), ref made);
        graph = made.Pointer;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus GraphInstantiate(out nint graphExec, nint graph)
    {
        CUgraphExec made = default;
        var status = (CudaStatus)Native.GraphManagment.cuGraphInstantiate(ref made, new CUgraph { Pointer = graph }, 0);
        graphExec = made.Pointer;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus GraphLaunch(nint graphExec, nint stream) => (CudaStatus)Native.GraphManagment.cuGraphLaunch(new CUgraphExec { Pointer = graphExec }, On(stream));

    /// <inheritdoc/>
    public CudaStatus GraphGetNodeCount(out nuint nodes, nint graph)
    {
        SizeT count = default;
        var status = (CudaStatus)Native.GraphManagment.cuGraphGetNodes(new CUgraph { Pointer = graph }, null, ref count);
        nodes = (nuint)(ulong)count;
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus GraphExecDestroy(nint graphExec) => (CudaStatus)Native.GraphManagment.cuGraphExecDestroy(new CUgraphExec { Pointer = graphExec });

    /// <inheritdoc/>
    public CudaStatus GraphDestroy(nint graph) => (CudaStatus)Native.GraphManagment.cuGraphDestroy(new CUgraph { Pointer = graph });

    // Not by its constructor, which asks the driver and throws.
    private static CUdevice Device(int device) => new() { Pointer = device };

    private static CUdeviceptr At(ulong address) => new() { Pointer = new SizeT(address) };

    private static CUstream On(nint stream) => new() { Pointer = stream };

    private static CUevent Of(nint eventHandle) => new() { Pointer = eventHandle };

    private static SizeT Size(nuint bytes) => new((ulong)bytes);

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        int end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]).Trim();
    }
}
