using AdmNative.Cuda;

namespace AdmNative.VirtualGpu;

/// <summary>Names and sentences of the driver's status codes, as cuGetErrorName and cuGetErrorString give them.</summary>
internal static class ErrorNames
{
    private static readonly Dictionary<CudaStatus, string> s_texts = new()
    {
        [CudaStatus.Success] = "CUDA_SUCCESS: no error",
        [CudaStatus.InvalidValue] = "CUDA_ERROR_INVALID_VALUE: invalid argument",
        [CudaStatus.OutOfMemory] = "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        [CudaStatus.NotInitialized] = "CUDA_ERROR_NOT_INITIALIZED: initialization error",
        [CudaStatus.Deinitialized] = "CUDA_ERROR_DEINITIALIZED: driver shutting down",
        [CudaStatus.NoDevice] = "CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected",
        [CudaStatus.InvalidDevice] = "CUDA_ERROR_INVALID_DEVICE: invalid device ordinal",
        [CudaStatus.InvalidImage] = "CUDA_ERROR_INVALID_IMAGE: device kernel image is invalid",
        [CudaStatus.InvalidContext] = "CUDA_ERROR_INVALID_CONTEXT: invalid device context",
        [CudaStatus.NoBinaryForGpu] = "CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available for execution on the device",
        [CudaStatus.InvalidPtx] = "CUDA_ERROR_INVALID_PTX: a PTX JIT compilation failed",
        [CudaStatus.UnsupportedPtxVersion] = "CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled with an unsupported toolchain.",
        [CudaStatus.InvalidHandle] = "CUDA_ERROR_INVALID_HANDLE: invalid resource handle",
        [CudaStatus.IllegalState] = "CUDA_ERROR_ILLEGAL_STATE: the operation cannot be performed in the present state",
        [CudaStatus.NotFound] = "CUDA_ERROR_NOT_FOUND: named symbol not found",
        [CudaStatus.NotReady] = "CUDA_ERROR_NOT_READY: device not ready",
        [CudaStatus.IllegalAddress] = "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered",
        [CudaStatus.LaunchOutOfResources] = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources requested for launch",
        [CudaStatus.LaunchTimeout] = "CUDA_ERROR_LAUNCH_TIMEOUT: the launch timed out and was terminated",
        [CudaStatus.ContextIsDestroyed] = "CUDA_ERROR_CONTEXT_IS_DESTROYED: context is destroyed",
        [CudaStatus.Assert] = "CUDA_ERROR_ASSERT: device-side assert triggered",
        [CudaStatus.HardwareStackError] = "CUDA_ERROR_HARDWARE_STACK_ERROR: hardware stack error",
        [CudaStatus.IllegalInstruction] = "CUDA_ERROR_ILLEGAL_INSTRUCTION: an illegal instruction was encountered",
        [CudaStatus.MisalignedAddress] = "CUDA_ERROR_MISALIGNED_ADDRESS: misaligned address",
        [CudaStatus.InvalidAddressSpace] = "CUDA_ERROR_INVALID_ADDRESS_SPACE: operation not supported on global/shared address space",
        [CudaStatus.InvalidPc] = "CUDA_ERROR_INVALID_PC: invalid program counter",
        [CudaStatus.LaunchFailed] = "CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
        [CudaStatus.NotPermitted] = "CUDA_ERROR_NOT_PERMITTED: operation not permitted",
        [CudaStatus.NotSupported] = "CUDA_ERROR_NOT_SUPPORTED: operation not supported",
        [CudaStatus.StreamCaptureUnsupported] = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: operation not permitted when stream is capturing",
        [CudaStatus.StreamCaptureInvalidated] = "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED: operation failed due to a previous error during capture",
        [CudaStatus.StreamCaptureMerge] = "CUDA_ERROR_STREAM_CAPTURE_MERGE: operation would result in a merge of separate capture sequences",
        [CudaStatus.StreamCaptureUnmatched] = "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED: capture was not ended in the same stream as it began",
        [CudaStatus.StreamCaptureUnjoined] = "CUDA_ERROR_STREAM_CAPTURE_UNJOINED: capturing stream has unjoined work",
        [CudaStatus.StreamCaptureIsolation] = "CUDA_ERROR_STREAM_CAPTURE_ISOLATION: dependency created on uncaptured work in another stream",
        [CudaStatus.StreamCaptureImplicit] = "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT: operation would make the legacy stream depend on a capturing blocking stream",
        [CudaStatus.CapturedEvent] = "CUDA_ERROR_CAPTURED_EVENT: operation not permitted on an event last recorded in a capturing stream",
        [CudaStatus.StreamCaptureWrongThread] =
            "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD: attempt to terminate a thread-local capture sequence from another thread",
        [CudaStatus.Unknown] = "CUDA_ERROR_UNKNOWN: unknown error",
    };

    public static string Of(CudaStatus status) => s_texts.TryGetValue(status, out string? text) ? text : $"unrecognized error code {(int)status}";
}
