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

    /// <summary>Registers are handed to a warp in multiples of this.</summary>
    public int RegisterGranule { get; init; } = 256;

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
            driver.Check(driver.DeviceGetAttribute(out int value, attribute, device), $"cuDeviceGetAttribute({attribute})");
            return value;
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

    /// <summary>
    /// Blocks of a kernel that fit on one multiprocessor at once: the least of what threads, blocks, registers and shared memory allow. Registers
    /// are handed out per warp in whole granules, each of the four partitions of a multiprocessor having a quarter of them; shared memory in
    /// units of 128 bytes.
    /// </summary>
    /// <param name="threads">Threads per block.</param>
    /// <param name="registers">Registers per thread; 0 leaves them out.</param>
    /// <param name="sharedBytes">Static and dynamic shared bytes per block.</param>
    public int ResidentBlocks(int threads, int registers, long sharedBytes)
    {
        if (sharedBytes > SharedPerBlockOptIn)
        {
            return 0;
        }

        int warps = (threads + 31) / 32;
        int blocks = Math.Min(MaxBlocksPerSm, MaxThreadsPerSm / 32 / warps);
        if (registers > 0)
        {
            blocks = Math.Min(blocks, RegistersPerSm / 4 / RegistersPerWarp(registers) * 4 / warps);
        }

        long perBlock = (sharedBytes + SharedReservedPerBlock + 127) / 128 * 128;
        return (int)Math.Min(blocks, SharedPerSm / perBlock);
    }

    /// <summary>Registers a warp takes: whole granules.</summary>
    /// <param name="registers">Registers per thread.</param>
    public int RegistersPerWarp(int registers) => ((registers * 32) + RegisterGranule - 1) / RegisterGranule * RegisterGranule;
}
