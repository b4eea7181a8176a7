using AdmNative.Cuda;

namespace AdmNative.VirtualGpu;

/// <summary>A driver status with the sentence that explains it.</summary>
/// <param name="Status">What a driver call returns.</param>
/// <param name="Detail">What was wrong, with numbers; "" on success.</param>
internal readonly record struct Outcome(CudaStatus Status, string Detail)
{
    public static Outcome Ok => new(CudaStatus.Success, "");

    public bool Failed => Status != CudaStatus.Success;
}

/// <summary>Rules a launch has to keep before a thread of it runs. The statuses are those of cuLaunchKernel.</summary>
/// <remarks>
/// The driver's manual names INVALID_VALUE and LAUNCH_OUT_OF_RESOURCES for these without saying which goes with what. Registers and too many arguments
/// give the second, as its description says; everything else the first. That .maxntid, .reqntid and a short parameter block belong to the first has not been
/// confirmed on hardware.
/// </remarks>
internal static class LaunchRules
{
    /// <param name="profile">The device.</param>
    /// <param name="entry">What is launched.</param>
    /// <param name="shape">Grid, block and dynamic shared memory.</param>
    /// <param name="parameterBytes">Bytes of parameters given.</param>
    /// <param name="dynamicSharedLimit">Dynamic shared bytes the function may ask for: raised by opting in.</param>
    /// <param name="registers">Registers per thread of the machine code, or 0 when not known: then registers refuse nothing.</param>
    public static Outcome Check(
        DeviceProfile profile, PtxEntry entry, in LaunchShape shape, int parameterBytes, int dynamicSharedLimit, int registers)
    {
        string who = $"'{entry.Name}'";
        (long X, long Y, long Z) grid = (shape.GridX, shape.GridY, shape.GridZ), block = (shape.BlockX, shape.BlockY, shape.BlockZ);
        if (grid.X == 0 || grid.Y == 0 || grid.Z == 0 || grid.X > profile.MaxGrid.X || grid.Y > profile.MaxGrid.Y || grid.Z > profile.MaxGrid.Z)
        {
            return Invalid($"{who}: a grid of {Text(grid)} blocks; {profile.Target} takes 1 to {Text(profile.MaxGrid)}");
        }

        if ((UInt128)grid.X * (UInt128)grid.Y * (UInt128)grid.Z > int.MaxValue)
        {
            return new Outcome(CudaStatus.NotSupported, $"{who}: a grid of {Text(grid)} blocks; a virtual device runs up to {int.MaxValue} in one launch");
        }

        (int X, int Y, int Z) most = profile.MaxBlock;
        if (block.X == 0 || block.Y == 0 || block.Z == 0 || block.X > most.X || block.Y > most.Y || block.Z > most.Z)
        {
            return Invalid($"{who}: a block of {Text(block)} threads; {profile.Target} takes 1 to {Text(most)}");
        }

        long threads = block.X * block.Y * block.Z;
        if (threads > profile.MaxThreadsPerBlock)
        {
            return Invalid($"{who}: a block of {Text(block)} = {threads} threads; {profile.Target} takes {profile.MaxThreadsPerBlock}");
        }

        if (entry.ReqNtid is { } exact && (block.X != exact.X || block.Y != exact.Y || block.Z != exact.Z))
        {
            return Invalid($"{who}: a block of {Text(block)} threads; .reqntid wants exactly {Text(exact)}");
        }

        if (entry.MaxNtid is { } limit && threads > (long)limit.X * limit.Y * limit.Z)
        {
            return Invalid($"{who}: a block of {threads} threads; .maxntid allows {(long)limit.X * limit.Y * limit.Z} ({Text(limit)})");
        }

        if (entry.StaticSharedBytes > profile.SharedPerBlock)
        {
            return Invalid($"{who}: {entry.StaticSharedBytes} bytes of static shared memory; a block has {profile.SharedPerBlock}");
        }

        if (shape.SharedBytes > dynamicSharedLimit)
        {
            bool optin = shape.SharedBytes + (long)entry.StaticSharedBytes <= profile.SharedPerBlockOptin;
            return Invalid(
                $"{who}: {shape.SharedBytes} bytes of dynamic shared memory beside {entry.StaticSharedBytes} static ones; the function may ask for {dynamicSharedLimit}"
                + (optin
                    ? $". Raise MaxDynamicSharedBytes first: {profile.Target} allows {profile.SharedPerBlockOptin - entry.StaticSharedBytes}"
                    : $", and {profile.Target} has {profile.SharedPerBlockOptin} in all"));
        }

        if (parameterBytes < entry.ParameterBytes)
        {
            return Invalid($"{who}: {parameterBytes} bytes of parameters for {entry.ParameterBytes} ({ParameterList(entry)})");
        }

        if (parameterBytes > entry.ParameterBytes)
        {
            return new Outcome(
                CudaStatus.LaunchOutOfResources,
                $"{who}: {parameterBytes} bytes of parameters, the entry takes {entry.ParameterBytes} ({ParameterList(entry)}): too many arguments");
        }

        if (registers > 0)
        {
            long perBlock = Occupancy.RegistersPerWarp(profile, registers) * ((threads + 31) / 32);
            if (perBlock > profile.RegistersPerBlock)
            {
                return new Outcome(
                    CudaStatus.LaunchOutOfResources,
                    $"{who}: {threads} threads with {registers} registers each take {perBlock} registers; a block has {profile.RegistersPerBlock}");
            }
        }

        return Outcome.Ok;
    }

    /// <summary>Dynamic shared bytes a function may ask for before opting in.</summary>
    public static int DefaultDynamicShared(DeviceProfile profile, PtxEntry entry) => Math.Max(0, profile.SharedPerBlock - entry.StaticSharedBytes);

    private static Outcome Invalid(string detail) => new(CudaStatus.InvalidValue, detail);

    private static string ParameterList(PtxEntry entry) =>
        entry.Parameters.Count == 0 ? "none" : string.Join(", ", entry.Parameters.Select(p => $"{p.Name} at {p.Offset}, {p.Bytes} wide"));

    private static string Text((long X, long Y, long Z) d) => $"{d.X}x{d.Y}x{d.Z}";
}

/// <summary>How many blocks of a kernel fit on one multiprocessor.</summary>
public static class Occupancy
{
    /// <summary>
    /// Resident blocks per multiprocessor by <see cref="DeviceLimits.ResidentBlocks"/>; 0 for a block no multiprocessor takes.
    /// </summary>
    /// <param name="profile">The device.</param>
    /// <param name="threads">Threads of a block.</param>
    /// <param name="registers">Registers per thread.</param>
    /// <param name="sharedBytes">Static and dynamic shared bytes of a block.</param>
    public static int Blocks(DeviceProfile profile, int threads, int registers, long sharedBytes)
    {
        ArgumentNullException.ThrowIfNull(profile);
        ArgumentOutOfRangeException.ThrowIfNegative(registers);
        ArgumentOutOfRangeException.ThrowIfNegative(sharedBytes);
        bool possible = threads >= 1 && threads <= profile.MaxThreadsPerBlock
            && (long)RegistersPerWarp(profile, registers) * ((threads + 31) / 32) <= profile.RegistersPerBlock;
        return possible ? profile.Limits.ResidentBlocks(threads, registers, sharedBytes) : 0;
    }

    internal static int RegistersPerWarp(DeviceProfile profile, int registers) => profile.Limits.RegistersPerWarp(registers);
}
