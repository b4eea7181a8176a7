namespace AdmNative.Cuda;

/// <summary>Status codes of the CUDA driver API (CUresult), with their native values.</summary>
public enum CudaStatus
{
    /// <summary>The call succeeded.</summary>
    Success = 0,

    /// <summary>A parameter is out of range or null.</summary>
    InvalidValue = 1,

    /// <summary>Not enough device memory.</summary>
    OutOfMemory = 2,

    /// <summary>cuInit was not called.</summary>
    NotInitialized = 3,

    /// <summary>The driver is shutting down.</summary>
    Deinitialized = 4,

    /// <summary>No CUDA device.</summary>
    NoDevice = 100,

    /// <summary>No device of that ordinal.</summary>
    InvalidDevice = 101,

    /// <summary>The module image is damaged or not PTX or cubin.</summary>
    InvalidImage = 200,

    /// <summary>No context is current, or it was destroyed.</summary>
    InvalidContext = 201,

    /// <summary>No image for this device.</summary>
    NoBinaryForGpu = 209,

    /// <summary>The PTX compiler rejected the image; see the log.</summary>
    InvalidPtx = 218,

    /// <summary>The PTX version is newer than the driver's compiler.</summary>
    UnsupportedPtxVersion = 222,

    /// <summary>A handle is not valid.</summary>
    InvalidHandle = 400,

    /// <summary>The resource is in a state that forbids the call.</summary>
    IllegalState = 401,

    /// <summary>No symbol of that name in the module.</summary>
    NotFound = 500,

    /// <summary>Work is still running (a query, not an error).</summary>
    NotReady = 600,

    /// <summary>A kernel touched memory it does not own. Poisons the context.</summary>
    IllegalAddress = 700,

    /// <summary>Too many resources requested for a launch.</summary>
    LaunchOutOfResources = 701,

    /// <summary>A kernel ran past its budget. Poisons the context.</summary>
    LaunchTimeout = 702,

    /// <summary>The current context was destroyed.</summary>
    ContextIsDestroyed = 709,

    /// <summary>A device-side assert fired. Poisons the context.</summary>
    Assert = 710,

    /// <summary>A hardware stack error. Poisons the context.</summary>
    HardwareStackError = 714,

    /// <summary>An illegal instruction. Poisons the context.</summary>
    IllegalInstruction = 715,

    /// <summary>A misaligned access. Poisons the context.</summary>
    MisalignedAddress = 716,

    /// <summary>An address in the wrong space. Poisons the context.</summary>
    InvalidAddressSpace = 717,

    /// <summary>An invalid program counter. Poisons the context.</summary>
    InvalidPc = 718,

    /// <summary>The launch failed, for instance by a trap. Poisons the context.</summary>
    LaunchFailed = 719,

    /// <summary>The operation is not permitted.</summary>
    NotPermitted = 800,

    /// <summary>The feature is not supported here.</summary>
    NotSupported = 801,

    /// <summary>The operation is not allowed while a stream is being captured.</summary>
    StreamCaptureUnsupported = 900,

    /// <summary>An earlier error invalidated the capture.</summary>
    StreamCaptureInvalidated = 901,

    /// <summary>A wait would join two captures.</summary>
    StreamCaptureMerge = 902,

    /// <summary>The capture was begun on another stream.</summary>
    StreamCaptureUnmatched = 903,

    /// <summary>Streams that forked from the captured one were not joined to it again.</summary>
    StreamCaptureUnjoined = 904,

    /// <summary>A dependency would cross the border of a capture.</summary>
    StreamCaptureIsolation = 905,

    /// <summary>Work on the null stream would wait for a stream that is being captured.</summary>
    StreamCaptureImplicit = 906,

    /// <summary>The event was last recorded in a stream that is being captured.</summary>
    CapturedEvent = 907,

    /// <summary>The capture was begun by another thread.</summary>
    StreamCaptureWrongThread = 908,

    /// <summary>An error without a code of its own.</summary>
    Unknown = 999,
}

/// <summary>Device attributes the library asks for (CUdevice_attribute), with their native values.</summary>
public enum CudaDeviceAttribute
{
    /// <summary>Threads per block.</summary>
    MaxThreadsPerBlock = 1,

    /// <summary>Largest block x.</summary>
    MaxBlockDimX = 2,

    /// <summary>Largest block y.</summary>
    MaxBlockDimY = 3,

    /// <summary>Largest block z.</summary>
    MaxBlockDimZ = 4,

    /// <summary>Largest grid x.</summary>
    MaxGridDimX = 5,

    /// <summary>Largest grid y.</summary>
    MaxGridDimY = 6,

    /// <summary>Largest grid z.</summary>
    MaxGridDimZ = 7,

    /// <summary>Shared bytes per block without opting in.</summary>
    MaxSharedBytesPerBlock = 8,

    /// <summary>Lanes of a warp.</summary>
    WarpSize = 10,

    /// <summary>Registers per block.</summary>
    MaxRegistersPerBlock = 12,

    /// <summary>Core clock in kHz.</summary>
    ClockRateKhz = 13,

    /// <summary>Streaming multiprocessors.</summary>
    MultiprocessorCount = 16,

    /// <summary>Memory clock in kHz.</summary>
    MemoryClockRateKhz = 36,

    /// <summary>Memory bus width in bits.</summary>
    MemoryBusWidthBits = 37,

    /// <summary>L2 cache bytes.</summary>
    L2CacheBytes = 38,

    /// <summary>Resident threads per multiprocessor.</summary>
    MaxThreadsPerMultiprocessor = 39,

    /// <summary>Compute capability, major.</summary>
    ComputeCapabilityMajor = 75,

    /// <summary>Compute capability, minor.</summary>
    ComputeCapabilityMinor = 76,

    /// <summary>Shared bytes per multiprocessor.</summary>
    MaxSharedBytesPerMultiprocessor = 81,

    /// <summary>Registers per multiprocessor.</summary>
    MaxRegistersPerMultiprocessor = 82,

    /// <summary>Shared bytes per block after opting in.</summary>
    MaxSharedBytesPerBlockOptin = 97,

    /// <summary>Resident blocks per multiprocessor.</summary>
    MaxBlocksPerMultiprocessor = 106,

    /// <summary>Shared bytes reserved per block by the driver.</summary>
    ReservedSharedBytesPerBlock = 111,
}

/// <summary>Function attributes (CUfunction_attribute), with their native values.</summary>
public enum CudaFunctionAttribute
{
    /// <summary>Largest block the kernel can be launched with.</summary>
    MaxThreadsPerBlock = 0,

    /// <summary>Static shared bytes.</summary>
    SharedBytes = 1,

    /// <summary>Constant bytes.</summary>
    ConstBytes = 2,

    /// <summary>Local bytes per thread (spills and arrays).</summary>
    LocalBytes = 3,

    /// <summary>Registers per thread.</summary>
    Registers = 4,

    /// <summary>PTX version times ten.</summary>
    PtxVersion = 5,

    /// <summary>Binary architecture times ten.</summary>
    BinaryVersion = 6,

    /// <summary>Settable: dynamic shared bytes a launch may ask for.</summary>
    MaxDynamicSharedBytes = 8,

    /// <summary>Settable: percentage of the L1 given to shared memory.</summary>
    PreferredSharedCarveout = 9,
}

/// <summary>Options of a stream or event.</summary>
[Flags]
public enum CudaCreateFlags
{
    /// <summary>Default.</summary>
    None = 0,

    /// <summary>Streams: do not synchronise with the null stream. Events: blocking wait.</summary>
    NonBlocking = 1,

    /// <summary>Events: no timing.</summary>
    DisableTiming = 2,
}
