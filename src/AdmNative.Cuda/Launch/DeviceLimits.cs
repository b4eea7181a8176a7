namespace AdmNative.Cuda;

/// <summary>What a launch plan must know of a device: nothing else of it may change a plan.</summary>
public readonly record struct DeviceLimits
{
    /// <summary>Streaming multiprocessors.</summary>
    public required int SmCount { get; init; }

    /// <summary>Shared bytes a block may have after opting in.</summary>
    public required int SharedPerBlockOptIn { get; init; }

    /// <summary>Shared bytes per multiprocessor.</summary>
    public required int SharedPerSm { get; init; }

    /// <summary>Shared bytes the system keeps of every block.</summary>
    public int SharedReservedPerBlock { get; init; } = 1024;

    /// <summary>Resident threads per multiprocessor.</summary>
    public required int MaxThreadsPerSm { get; init; }

    /// <summary>Resident blocks per multiprocessor.</summary>
    public required int MaxBlocksPerSm { get; init; }

    /// <summary>32-bit registers per multiprocessor.</summary>
    public int RegistersPerSm { get; init; } = 65536;

    /// <summary>L2 cache, bytes.</summary>
    public long L2Bytes { get; init; }

    /// <summary>Largest grid in x; y and z never exceed 65535.</summary>
    public long MaxGridX { get; init; } = int.MaxValue;

    /// <summary>Builds limits; every required member must be set.</summary>
    public DeviceLimits()
    {
    }

    /// <summary>A100 (sm_80).</summary>
    public static DeviceLimits Sm80 { get; } = new()
    {
        SmCount = 108,
        SharedPerBlockOptIn = 163 << 10,
        SharedPerSm = 164 << 10,
        MaxThreadsPerSm = 2048,
        MaxBlocksPerSm = 32,
        L2Bytes = 40L << 20,
    };

    /// <summary>GeForce RTX 3090 (sm_86).</summary>
    public static DeviceLimits Sm86 { get; } = new()
    {
        SmCount = 82,
        SharedPerBlockOptIn = 99 << 10,
        SharedPerSm = 100 << 10,
        MaxThreadsPerSm = 1536,
        MaxBlocksPerSm = 16,
        L2Bytes = 6L << 20,
    };

    /// <summary>GeForce RTX 4090 (sm_89).</summary>
    public static DeviceLimits Sm89 { get; } = new()
    {
        SmCount = 128,
        SharedPerBlockOptIn = 99 << 10,
        SharedPerSm = 100 << 10,
        MaxThreadsPerSm = 1536,
        MaxBlocksPerSm = 24,
        L2Bytes = 72L << 20,
    };

    /// <summary>H100 SXM (sm_90).</summary>
    public static DeviceLimits Sm90 { get; } = new()
    {
        SmCount = 132,
        SharedPerBlockOptIn = 227 << 10,
        SharedPerSm = 228 << 10,
        MaxThreadsPerSm = 2048,
        MaxBlocksPerSm = 32,
        L2Bytes = 50L << 20,
    };

    /// <summary>Asks a driver.</summary>
    /// <exception cref="CudaException">The driver refused an attribute.</exception>
    public static DeviceLimits Of(ICudaDriver driver, int device)
    {
        ArgumentNullException.ThrowIfNull(driver);
        int Ask(CudaDeviceAttribute attribute)
        {
            CudaStatus status = driver.DeviceGetAttribute(out int value, attribute, device);
            return status == CudaStatus.Success ? value
                : throw new CudaException(status, $"cuDeviceGetAttribute({attribute})", driver.ErrorText(status));
        }

        return new()
        {
            SmCount = Ask(CudaDeviceAttribute.MultiprocessorCount),
            SharedPerBlockOptIn = Ask(CudaDeviceAttribute.MaxSharedBytesPerBlockOptin),
            SharedPerSm = Ask(CudaDeviceAttribute.MaxSharedBytesPerMultiprocessor),
            SharedReservedPerBlock = Ask(CudaDeviceAttribute.ReservedSharedBytesPerBlock),
            MaxThreadsPerSm = Ask(CudaDeviceAttribute.MaxThreadsPerMultiprocessor),
            MaxBlocksPerSm = Ask(CudaDeviceAttribute.MaxBlocksPerMultiprocessor),
            RegistersPerSm = Ask(CudaDeviceAttribute.MaxRegistersPerMultiprocessor),
            L2Bytes = Ask(CudaDeviceAttribute.L2CacheBytes),
            MaxGridX = Ask(CudaDeviceAttribute.MaxGridDimX),
        };
    }

    /// <summary>Blocks of a kernel that fit on one multiprocessor at once: the lowest of the limits by threads, blocks, registers and shared memory.</summary>
    /// <param name="threads">Threads per block.</param>
    /// <param name="registers">Registers per thread; 0 leaves them out.</param>
    /// <param name="sharedBytes">Static and dynamic shared bytes per block.</param>
    public int ResidentBlocks(int threads, int registers, int sharedBytes)
    {
        int warps = (threads + 31) / 32;
        int blocks = Math.Min(MaxBlocksPerSm, MaxThreadsPerSm / (32 * warps));
        if (registers > 0)
        {
            int perWarp = (registers + 7) / 8 * 8 * 32; // registers of a warp come in units of 256
            blocks = Math.Min(blocks, RegistersPerSm / perWarp / warps);
        }

        return sharedBytes > SharedPerBlockOptIn ? 0 : Math.Min(blocks, SharedPerSm / (sharedBytes + SharedReservedPerBlock));
    }
}
