using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text;

namespace AdmNative.Cuda;

/// <summary>
/// The installed CUDA driver: libcuda.so.1 (nvcuda.dll on Windows), or the library that the environment variable ADMNATIVE_CUDA_LIBRARY names. Each
/// call goes straight through; launches allocate nothing.
/// </summary>
/// <remarks>The context belongs to the calling thread, as in the driver. Thread-safe as the driver is.</remarks>
public sealed unsafe class LibCudaDriver : ICudaDriver
{
    /// <summary>The oldest driver whose calls are used: CUDA 12.0.</summary>
    public const int MinimumVersion = 12_000;

    private const int LogBytes = 32 * 1024;
    private const int JitInfoLogBuffer = 3;
    private const int JitInfoLogBytes = 4;
    private const int JitErrorLogBuffer = 5;
    private const int JitErrorLogBytes = 6;
    private const int JitLogVerbose = 12;
    private const nint LaunchParamEnd = 0;
    private const nint LaunchParamBufferPointer = 1;
    private const nint LaunchParamBufferSize = 2;

    private int _version;

    private LibCudaDriver()
    {
    }

    /// <inheritdoc/>
    public string Description => $"CUDA driver {_version / 1000}.{_version % 1000 / 10}";

    /// <summary>Loads and starts the driver.</summary>
    /// <exception cref="GpuUnavailableException">No library, a driver before CUDA 12.0, a driver that does not start, or no device.</exception>
    public static LibCudaDriver Create() => TryCreate(out LibCudaDriver? driver, out GpuUnavailableException? why) ? driver : throw why;

    /// <summary>Loads and starts the driver, or says why there is none.</summary>
    /// <param name="driver">The driver, when true is returned.</param>
    /// <param name="why">What is missing, when false is returned.</param>
    public static bool TryCreate([NotNullWhen(true)] out LibCudaDriver? driver, [NotNullWhen(false)] out GpuUnavailableException? why)
    {
        var candidate = new LibCudaDriver();
        why = CudaDriver.Refusal(candidate);
        driver = why is null ? candidate : null;
        if (driver is not null)
        {
            driver.DriverGetVersion(out driver._version);
        }

        return driver is not null;
    }

    /// <inheritdoc/>
    public string ErrorText(CudaStatus status)
    {
        byte* name = null, text = null;
        bool known = Cu.cuGetErrorName(status, &name) == CudaStatus.Success && Cu.cuGetErrorString(status, &text) == CudaStatus.Success;
        return known ? $"{Marshal.PtrToStringUTF8((nint)name)}: {Marshal.PtrToStringUTF8((nint)text)}" : $"status {(int)status}, which this driver has no name for";
    }

    // ---- driver and devices

    /// <inheritdoc/>
    public CudaStatus Init() => Cu.cuInit(0);

    /// <inheritdoc/>
    public CudaStatus DriverGetVersion(out int version)
    {
        version = 0;
        fixed (int* p = &version)
        {
            return Cu.cuDriverGetVersion(p);
        }
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGetCount(out int count)
    {
        count = 0;
        fixed (int* p = &count)
        {
            return Cu.cuDeviceGetCount(p);
        }
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGet(out int device, int ordinal)
    {
        device = 0;
        fixed (int* p = &device)
        {
            return Cu.cuDeviceGet(p, ordinal);
        }
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGetName(out string name, int device)
    {
        const int Length = 256;
        byte* text = stackalloc byte[Length];
        text[0] = 0;
        CudaStatus status = Cu.cuDeviceGetName(text, Length, device);
        name = status == CudaStatus.Success ? Text(new ReadOnlySpan<byte>(text, Length)) : "";
        return status;
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGetAttribute(out int value, CudaDeviceAttribute attribute, int device)
    {
        value = 0;
        fixed (int* p = &value)
        {
            return Cu.cuDeviceGetAttribute(p, attribute, device);
        }
    }

    /// <inheritdoc/>
    public CudaStatus DeviceTotalMem(out ulong bytes, int device)
    {
        nuint total = 0;
        CudaStatus status = Cu.cuDeviceTotalMem_v2(&total, device);
        bytes = total;
        return status;
    }

    // ---- contexts

    /// <inheritdoc/>
    public CudaStatus PrimaryCtxRetain(out nint context, int device)
    {
        context = 0;
        fixed (nint* p = &context)
        {
            return Cu.cuDevicePrimaryCtxRetain(p, device);
        }
    }

    /// <inheritdoc/>
    public CudaStatus PrimaryCtxRelease(int device) => Cu.cuDevicePrimaryCtxRelease_v2(device);

    /// <inheritdoc/>
    public CudaStatus CtxSetCurrent(nint context) => Cu.cuCtxSetCurrent(context);

    /// <inheritdoc/>
    public CudaStatus CtxGetCurrent(out nint context)
    {
        context = 0;
        fixed (nint* p = &context)
        {
            return Cu.cuCtxGetCurrent(p);
        }
    }

    /// <inheritdoc/>
    public CudaStatus CtxSynchronize() => Cu.cuCtxSynchronize();

    // ---- modules and functions

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The image does not end with a NUL.</exception>
    public CudaStatus ModuleLoad(out nint module, ReadOnlySpan<byte> image, out string log)
    {
        if (image.IsEmpty || image[^1] != 0)
        {
            throw new ArgumentException("the image must end with a NUL byte: the driver reads to it", nameof(image));
        }

        // The driver writes the logs before the call returns. Sizes travel in the place of pointers, and come back there.
        byte[] info = new byte[LogBytes], error = new byte[LogBytes];
        module = 0;
        fixed (nint* handle = &module)
        fixed (byte* bytes = image, infoLog = info, errorLog = error)
        {
            int* names = stackalloc int[] { JitInfoLogBuffer, JitInfoLogBytes, JitErrorLogBuffer, JitErrorLogBytes, JitLogVerbose };
            void** values = stackalloc void*[] { infoLog, (void*)LogBytes, errorLog, (void*)LogBytes, (void*)1 };
            CudaStatus status = Cu.cuModuleLoadDataEx(handle, bytes, 5, names, values);
            string errors = Text(error), notes = Text(info);
            log = errors.Length == 0 ? notes : notes.Length == 0 ? errors : $"{errors}\n{notes}";
            return status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus ModuleUnload(nint module) => Cu.cuModuleUnload(module);

    /// <inheritdoc/>
    public CudaStatus ModuleGetFunction(out nint kernel, nint module, string name)
    {
        kernel = 0;
        fixed (nint* p = &kernel)
        fixed (byte* text = Terminated(name))
        {
            return Cu.cuModuleGetFunction(p, module, text);
        }
    }

    /// <inheritdoc/>
    public CudaStatus ModuleGetGlobal(out ulong address, out nuint bytes, nint module, string name)
    {
        address = 0;
        bytes = 0;
        fixed (ulong* p = &address)
        fixed (nuint* size = &bytes)
        fixed (byte* text = Terminated(name))
        {
            return Cu.cuModuleGetGlobal_v2(p, size, module, text);
        }
    }

    /// <inheritdoc/>
    public CudaStatus FuncGetAttribute(out int value, CudaFunctionAttribute attribute, nint kernel)
    {
        value = 0;
        fixed (int* p = &value)
        {
            return Cu.cuFuncGetAttribute(p, attribute, kernel);
        }
    }

    /// <inheritdoc/>
    public CudaStatus FuncSetAttribute(nint kernel, CudaFunctionAttribute attribute, int value) => Cu.cuFuncSetAttribute(kernel, attribute, value);

    /// <inheritdoc/>
    public CudaStatus OccupancyMaxActiveBlocks(out int blocks, nint kernel, int blockSize, nuint dynamicSharedBytes)
    {
        blocks = 0;
        fixed (int* p = &blocks)
        {
            return Cu.cuOccupancyMaxActiveBlocksPerMultiprocessor(p, kernel, blockSize, dynamicSharedBytes);
        }
    }

    /// <inheritdoc/>
    public CudaStatus LaunchKernel(nint kernel, in LaunchShape shape, nint stream, ReadOnlySpan<byte> parameters)
    {
        fixed (byte* block = parameters)
        {
            nuint bytes = (nuint)parameters.Length;
            void** extra = stackalloc void*[]
            {
                (void*)LaunchParamBufferPointer, block, (void*)LaunchParamBufferSize, &bytes, (void*)LaunchParamEnd,
            };
            return Cu.cuLaunchKernel(
                kernel, shape.GridX, shape.GridY, shape.GridZ, shape.BlockX, shape.BlockY, shape.BlockZ, shape.SharedBytes, stream, null,
                parameters.IsEmpty ? null : extra);
        }
    }

    // ---- memory

    /// <inheritdoc/>
    public CudaStatus MemAlloc(out ulong address, nuint bytes)
    {
        address = 0;
        fixed (ulong* p = &address)
        {
            return Cu.cuMemAlloc_v2(p, bytes);
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemFree(ulong address) => Cu.cuMemFree_v2(address);

    /// <inheritdoc/>
    public CudaStatus MemGetInfo(out nuint free, out nuint total)
    {
        free = total = 0;
        fixed (nuint* f = &free, t = &total)
        {
            return Cu.cuMemGetInfo_v2(f, t);
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemHostAlloc(out nint address, nuint bytes)
    {
        address = 0;
        fixed (nint* p = &address)
        {
            return Cu.cuMemHostAlloc(p, bytes, 0);
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemFreeHost(nint address) => Cu.cuMemFreeHost(address);

    /// <inheritdoc/>
    public CudaStatus MemcpyHtoD(ulong destination, nint source, nuint bytes, nint stream) => Cu.cuMemcpyHtoDAsync_v2(destination, source, bytes, stream);

    /// <inheritdoc/>
    public CudaStatus MemcpyDtoH(nint destination, ulong source, nuint bytes, nint stream) => Cu.cuMemcpyDtoHAsync_v2(destination, source, bytes, stream);

    /// <inheritdoc/>
    public CudaStatus MemcpyDtoD(ulong destination, ulong source, nuint bytes, nint stream) => Cu.cuMemcpyDtoDAsync_v2(destination, source, bytes, stream);

    /// <inheritdoc/>
    public CudaStatus MemsetD8(ulong destination, byte value, nuint count, nint stream) => Cu.cuMemsetD8Async(destination, value, count, stream);

    /// <inheritdoc/>
    public CudaStatus MemsetD32(ulong destination, uint value, nuint count, nint stream) => Cu.cuMemsetD32Async(destination, value, count, stream);

    // ---- streams and events

    /// <inheritdoc/>
    public CudaStatus StreamCreate(out nint stream, CudaCreateFlags flags)
    {
        stream = 0;
        fixed (nint* p = &stream)
        {
            return Cu.cuStreamCreate(p, (uint)flags);
        }
    }

    /// <inheritdoc/>
    public CudaStatus StreamDestroy(nint stream) => Cu.cuStreamDestroy_v2(stream);

    /// <inheritdoc/>
    public CudaStatus StreamSynchronize(nint stream) => Cu.cuStreamSynchronize(stream);

    /// <inheritdoc/>
    public CudaStatus StreamQuery(nint stream) => Cu.cuStreamQuery(stream);

    /// <inheritdoc/>
    public CudaStatus StreamWaitEvent(nint stream, nint eventHandle) => Cu.cuStreamWaitEvent(stream, eventHandle, 0);

    /// <inheritdoc/>
    public CudaStatus EventCreate(out nint eventHandle, CudaCreateFlags flags)
    {
        eventHandle = 0;
        fixed (nint* p = &eventHandle)
        {
            return Cu.cuEventCreate(p, (uint)flags);
        }
    }

    /// <inheritdoc/>
    public CudaStatus EventDestroy(nint eventHandle) => Cu.cuEventDestroy_v2(eventHandle);

    /// <inheritdoc/>
    public CudaStatus EventRecord(nint eventHandle, nint stream) => Cu.cuEventRecord(eventHandle, stream);

    /// <inheritdoc/>
    public CudaStatus EventSynchronize(nint eventHandle) => Cu.cuEventSynchronize(eventHandle);

    /// <inheritdoc/>
    public CudaStatus EventQuery(nint eventHandle) => Cu.cuEventQuery(eventHandle);

    /// <inheritdoc/>
    public CudaStatus EventElapsedTime(out float milliseconds, nint startEvent, nint endEvent)
    {
        milliseconds = 0;
        fixed (float* p = &milliseconds)
        {
            return Cu.cuEventElapsedTime(p, startEvent, endEvent);
        }
    }

    // ---- capture and graphs

    /// <inheritdoc/>
    public CudaStatus StreamBeginCapture(nint stream) => Cu.cuStreamBeginCapture_v2(stream, Cu.CaptureMode.ThreadLocal);

    /// <inheritdoc/>
    public CudaStatus StreamEndCapture(nint stream, out nint graph)
    {
        graph = 0;
        fixed (nint* p = &graph)
        {
            return Cu.cuStreamEndCapture(stream, p);
        }
    }

    /// <inheritdoc/>
    public CudaStatus GraphInstantiate(out nint graphExec, nint graph)
    {
        graphExec = 0;
        fixed (nint* p = &graphExec)
        {
            return Cu.cuGraphInstantiateWithFlags(p, graph, 0);
        }
    }

    /// <inheritdoc/>
    public CudaStatus GraphLaunch(nint graphExec, nint stream) => Cu.cuGraphLaunch(graphExec, stream);

    /// <inheritdoc/>
    public CudaStatus GraphGetNodeCount(out nuint nodes, nint graph)
    {
        nodes = 0;
        fixed (nuint* p = &nodes)
        {
            return Cu.cuGraphGetNodes(graph, null, p);
        }
    }

    /// <inheritdoc/>
    public CudaStatus GraphExecDestroy(nint graphExec) => Cu.cuGraphExecDestroy(graphExec);

    /// <inheritdoc/>
    public CudaStatus GraphDestroy(nint graph) => Cu.cuGraphDestroy(graph);

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        int end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]).Trim();
    }

    private static byte[] Terminated(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Encoding.UTF8.GetBytes(name + "\0");
    }
}
