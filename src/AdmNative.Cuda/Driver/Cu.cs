using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

[assembly: DisableRuntimeMarshalling]

namespace AdmNative.Cuda;

/// <summary>
/// Imports of the CUDA driver under its own names: the oldest variant of each call that does the job, all of them in CUDA 12.0. Blittable signatures
/// only. Nothing here is optional, so nothing needs cuGetProcAddress: a driver that lacks one of them is too old. Callers go through <see cref="LibCudaDriver"/>.
/// </summary>
internal static unsafe partial class Cu
{
    private const string Library = "cuda";

    static Cu() => NativeLibrary.SetDllImportResolver(
        typeof(Cu).Assembly, static (name, _, _) => name == Library ? CudaLibrary.Handle : 0);

    /// <summary>CUstreamCaptureMode.</summary>
    internal enum CaptureMode
    {
        /// <summary>Unsafe calls of any thread are refused.</summary>
        Global = 0,

        /// <summary>Unsafe calls of the capturing thread are refused.</summary>
        ThreadLocal = 1,
    }

    // ---- version and errors

    [LibraryImport(Library)]
    internal static partial CudaStatus cuInit(uint flags);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuDriverGetVersion(int* version);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuGetErrorName(CudaStatus status, byte** text);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuGetErrorString(CudaStatus status, byte** text);

    // ---- devices

    [LibraryImport(Library)]
    internal static partial CudaStatus cuDeviceGetCount(int* count);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuDeviceGet(int* device, int ordinal);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuDeviceGetName(byte* name, int length, int device);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuDeviceGetAttribute(int* value, CudaDeviceAttribute attribute, int device);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuDeviceTotalMem_v2(nuint* bytes, int device);

    // ---- contexts

    [LibraryImport(Library)]
    internal static partial CudaStatus cuDevicePrimaryCtxRetain(nint* context, int device);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuDevicePrimaryCtxRelease_v2(int device);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuCtxSetCurrent(nint context);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuCtxGetCurrent(nint* context);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuCtxSynchronize();

    // ---- modules and functions

    [LibraryImport(Library)]
    internal static partial CudaStatus cuModuleLoadDataEx(nint* module, void* image, uint options, int* names, void** values);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuModuleUnload(nint module);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuModuleGetFunction(nint* function, nint module, byte* name);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuModuleGetGlobal_v2(ulong* address, nuint* bytes, nint module, byte* name);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuFuncGetAttribute(int* value, CudaFunctionAttribute attribute, nint function);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuFuncSetAttribute(nint function, CudaFunctionAttribute attribute, int value);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, nint function, int blockSize, nuint sharedBytes);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuLaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint sharedBytes, nint stream, void** parameters, void** extra);

    // ---- memory

    [LibraryImport(Library)]
    internal static partial CudaStatus cuMemAlloc_v2(ulong* address, nuint bytes);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuMemFree_v2(ulong address);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuMemGetInfo_v2(nuint* free, nuint* total);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuMemHostAlloc(nint* address, nuint bytes, uint flags);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuMemFreeHost(nint address);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuMemcpyHtoDAsync_v2(ulong destination, nint source, nuint bytes, nint stream);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuMemcpyDtoHAsync_v2(nint destination, ulong source, nuint bytes, nint stream);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuMemcpyDtoDAsync_v2(ulong destination, ulong source, nuint bytes, nint stream);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuMemsetD8Async(ulong destination, byte value, nuint count, nint stream);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuMemsetD32Async(ulong destination, uint value, nuint count, nint stream);

    // ---- streams and events

    [LibraryImport(Library)]
    internal static partial CudaStatus cuStreamCreate(nint* stream, uint flags);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuStreamDestroy_v2(nint stream);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuStreamSynchronize(nint stream);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuStreamQuery(nint stream);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuStreamWaitEvent(nint stream, nint eventHandle, uint flags);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuEventCreate(nint* eventHandle, uint flags);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuEventDestroy_v2(nint eventHandle);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuEventRecord(nint eventHandle, nint stream);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuEventSynchronize(nint eventHandle);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuEventQuery(nint eventHandle);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuEventElapsedTime(float* milliseconds, nint startEvent, nint endEvent);

    // ---- capture and graphs

    [LibraryImport(Library)]
    internal static partial CudaStatus cuStreamBeginCapture_v2(nint stream, CaptureMode mode);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuStreamEndCapture(nint stream, nint* graph);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuGraphInstantiateWithFlags(nint* graphExec, nint graph, ulong flags);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuGraphLaunch(nint graphExec, nint stream);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuGraphGetNodes(nint graph, nint* nodes, nuint* count);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuGraphExecDestroy(nint graphExec);

    [LibraryImport(Library)]
    internal static partial CudaStatus cuGraphDestroy(nint graph);
}
