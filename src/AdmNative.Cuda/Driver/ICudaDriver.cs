namespace AdmNative.Cuda;

/// <summary>Grid and block dimensions and dynamic shared memory of a launch.</summary>
/// <param name="GridX">Blocks in x.</param>
/// <param name="GridY">Blocks in y.</param>
/// <param name="GridZ">Blocks in z.</param>
/// <param name="BlockX">Threads in x.</param>
/// <param name="BlockY">Threads in y.</param>
/// <param name="BlockZ">Threads in z.</param>
/// <param name="SharedBytes">Dynamic shared memory per block, bytes.</param>
public readonly record struct LaunchShape(
    uint GridX, uint GridY, uint GridZ, uint BlockX, uint BlockY, uint BlockZ, uint SharedBytes = 0);

/// <summary>
/// The driver calls the library uses, over handles and addresses only. Implementations: the installed CUDA driver, the virtual
/// device, and the optional ManagedCuda adapter. Every method returns a status and never throws for a driver failure; it throws
/// for misuse of managed arguments (a null span where bytes are needed) only.
/// </summary>
/// <remarks>Handles are opaque; 0 is never valid except the null stream. Device addresses are 64-bit. Asynchronous calls may return
/// errors of earlier launches, as the CUDA driver does.</remarks>
public interface ICudaDriver
{
    /// <summary>One line: driver kind and version.</summary>
    string Description { get; }

    /// <summary>
    /// What this driver can say about the last failed call of the calling thread beyond its status, or "". The installed driver has nothing to add; the
    /// virtual device names the rule, the numbers and the finding.
    /// </summary>
    string LastErrorDetail => "";

    /// <summary>Do the CUDA libraries of this process (cuDNN) work on the driver's streams and memory? Not on those of a virtual device.</summary>
    bool HostsLibraries => true;

    /// <summary>cuInit.</summary>
    CudaStatus Init();

    /// <summary>cuDriverGetVersion: 1000 * major + 10 * minor.</summary>
    CudaStatus DriverGetVersion(out int version);

    /// <summary>cuDeviceGetCount.</summary>
    CudaStatus DeviceGetCount(out int count);

    /// <summary>cuDeviceGet.</summary>
    CudaStatus DeviceGet(out int device, int ordinal);

    /// <summary>cuDeviceGetName.</summary>
    CudaStatus DeviceGetName(out string name, int device);

    /// <summary>cuDeviceGetAttribute.</summary>
    CudaStatus DeviceGetAttribute(out int value, CudaDeviceAttribute attribute, int device);

    /// <summary>cuDeviceTotalMem: bytes.</summary>
    CudaStatus DeviceTotalMem(out ulong bytes, int device);

    /// <summary>cuDevicePrimaryCtxRetain.</summary>
    CudaStatus PrimaryCtxRetain(out nint context, int device);

    /// <summary>cuDevicePrimaryCtxRelease.</summary>
    CudaStatus PrimaryCtxRelease(int device);

    /// <summary>cuCtxSetCurrent for the calling thread; 0 unbinds.</summary>
    CudaStatus CtxSetCurrent(nint context);

    /// <summary>cuCtxGetCurrent of the calling thread.</summary>
    CudaStatus CtxGetCurrent(out nint context);

    /// <summary>cuCtxSynchronize.</summary>
    CudaStatus CtxSynchronize();

    /// <summary>cuModuleLoadDataEx with info and error logs. <paramref name="image"/> is NUL-terminated PTX text.</summary>
    CudaStatus ModuleLoad(out nint module, ReadOnlySpan<byte> image, out string log);

    /// <summary>cuModuleUnload.</summary>
    CudaStatus ModuleUnload(nint module);

    /// <summary>cuModuleGetFunction.</summary>
    CudaStatus ModuleGetFunction(out nint kernel, nint module, string name);

    /// <summary>cuModuleGetGlobal.</summary>
    CudaStatus ModuleGetGlobal(out ulong address, out nuint bytes, nint module, string name);

    /// <summary>cuFuncGetAttribute.</summary>
    CudaStatus FuncGetAttribute(out int value, CudaFunctionAttribute attribute, nint kernel);

    /// <summary>cuFuncSetAttribute.</summary>
    CudaStatus FuncSetAttribute(nint kernel, CudaFunctionAttribute attribute, int value);

    /// <summary>cuOccupancyMaxActiveBlocksPerMultiprocessor.</summary>
    CudaStatus OccupancyMaxActiveBlocks(out int blocks, nint kernel, int blockSize, nuint dynamicSharedBytes);

    /// <summary>
    /// cuLaunchKernel with the whole parameter block (CU_LAUNCH_PARAM_BUFFER_POINTER form): <paramref name="parameters"/> holds
    /// every parameter at its PTX offset.
    /// </summary>
    CudaStatus LaunchKernel(nint kernel, in LaunchShape shape, nint stream, ReadOnlySpan<byte> parameters);

    /// <summary>cuMemAlloc.</summary>
    CudaStatus MemAlloc(out ulong address, nuint bytes);

    /// <summary>cuMemFree.</summary>
    CudaStatus MemFree(ulong address);

    /// <summary>cuMemGetInfo: bytes.</summary>
    CudaStatus MemGetInfo(out nuint free, out nuint total);

    /// <summary>cuMemHostAlloc: page-locked host memory.</summary>
    CudaStatus MemHostAlloc(out nint address, nuint bytes);

    /// <summary>cuMemFreeHost.</summary>
    CudaStatus MemFreeHost(nint address);

    /// <summary>cuMemcpyHtoDAsync; stream 0 with pageable memory is synchronous.</summary>
    CudaStatus MemcpyHtoD(ulong destination, nint source, nuint bytes, nint stream);

    /// <summary>cuMemcpyDtoHAsync.</summary>
    CudaStatus MemcpyDtoH(nint destination, ulong source, nuint bytes, nint stream);

    /// <summary>cuMemcpyDtoDAsync.</summary>
    CudaStatus MemcpyDtoD(ulong destination, ulong source, nuint bytes, nint stream);

    /// <summary>cuMemsetD8Async.</summary>
    CudaStatus MemsetD8(ulong destination, byte value, nuint count, nint stream);

    /// <summary>cuMemsetD32Async: count in 32-bit words.</summary>
    CudaStatus MemsetD32(ulong destination, uint value, nuint count, nint stream);

    /// <summary>cuStreamCreate.</summary>
    CudaStatus StreamCreate(out nint stream, CudaCreateFlags flags);

    /// <summary>cuStreamDestroy.</summary>
    CudaStatus StreamDestroy(nint stream);

    /// <summary>cuStreamSynchronize.</summary>
    CudaStatus StreamSynchronize(nint stream);

    /// <summary>cuStreamQuery: Success or NotReady.</summary>
    CudaStatus StreamQuery(nint stream);

    /// <summary>cuStreamWaitEvent.</summary>
    CudaStatus StreamWaitEvent(nint stream, nint eventHandle);

    /// <summary>cuEventCreate.</summary>
    CudaStatus EventCreate(out nint eventHandle, CudaCreateFlags flags);

    /// <summary>cuEventDestroy.</summary>
    CudaStatus EventDestroy(nint eventHandle);

    /// <summary>cuEventRecord.</summary>
    CudaStatus EventRecord(nint eventHandle, nint stream);

    /// <summary>cuEventSynchronize.</summary>
    CudaStatus EventSynchronize(nint eventHandle);

    /// <summary>cuEventQuery: Success or NotReady.</summary>
    CudaStatus EventQuery(nint eventHandle);

    /// <summary>cuEventElapsedTime: milliseconds between two recorded events.</summary>
    CudaStatus EventElapsedTime(out float milliseconds, nint startEvent, nint endEvent);

    /// <summary>cuStreamBeginCapture (thread-local mode).</summary>
    CudaStatus StreamBeginCapture(nint stream);

    /// <summary>cuStreamEndCapture.</summary>
    CudaStatus StreamEndCapture(nint stream, out nint graph);

    /// <summary>cuGraphInstantiate.</summary>
    CudaStatus GraphInstantiate(out nint graphExec, nint graph);

    /// <summary>cuGraphLaunch.</summary>
    CudaStatus GraphLaunch(nint graphExec, nint stream);

    /// <summary>cuGraphGetNodes: how many nodes a captured graph has.</summary>
    CudaStatus GraphGetNodeCount(out nuint nodes, nint graph);

    /// <summary>cuGraphExecDestroy.</summary>
    CudaStatus GraphExecDestroy(nint graphExec);

    /// <summary>cuGraphDestroy.</summary>
    CudaStatus GraphDestroy(nint graph);

    /// <summary>cuGetErrorName and cuGetErrorString: "CUDA_ERROR_OUT_OF_MEMORY: out of memory".</summary>
    string ErrorText(CudaStatus status);
}
