using System.Runtime.InteropServices;
using AdmNative.Cuda;
using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu;

/// <summary>
/// A GPU that runs PTX on the CPU: memory, modules and launches, with checks and counters. The simplest way to run a kernel;
/// the virtual driver puts the CUDA driver's calls on top of it.
/// </summary>
/// <remarks>
/// <code>
/// using var device = new VirtualDevice(DeviceProfile.A100);
/// PtxProgram program = device.Load(File.ReadAllText("kernels.ptx"));
/// ulong x = device.Allocate(4 * n);
/// device.Write(x, MemoryMarshal.AsBytes(values));
/// LaunchReport report = device.Launch(program.Entry("scale"), new LaunchShape(blocks, 1, 1, 256, 1, 1), parameterBlock);
/// </code>
/// Members may be called from several threads; launches run one after another.
/// </remarks>
public sealed unsafe class VirtualDevice : IDisposable
{
    private readonly Lock _lock = new();
    private readonly DeviceMemory _memory = new();
    private readonly Dictionary<PtxProgram, ModuleImage> _images = [];
    private bool _disposed;

    /// <summary>Builds a device.</summary>
    /// <param name="profile">Which GPU it stands for; default an A100.</param>
    /// <param name="memoryLimit">Bytes that can be allocated; default the profile's memory, or this machine's where that is less.</param>
    public VirtualDevice(DeviceProfile? profile = null, long? memoryLimit = null)
    {
        Profile = profile ?? DeviceProfile.A100;
        MemoryLimit = memoryLimit ?? DefaultMemoryLimit(Profile);
        ArgumentOutOfRangeException.ThrowIfNegative(MemoryLimit, nameof(memoryLimit));
    }

    /// <summary>The GPU it stands for.</summary>
    public DeviceProfile Profile { get; }

    /// <summary>Bytes that can be allocated in all.</summary>
    public long MemoryLimit { get; }

    /// <summary>Bytes allocated now, the variables of modules included.</summary>
    public long MemoryUsed
    {
        get
        {
            lock (_lock)
            {
                return _memory.LiveBytes;
            }
        }
    }

    /// <summary>Options of launches that bring none of their own.</summary>
    public LaunchOptions Options { get; set; } = new();

    /// <summary>Parses a module and places its variables in device memory.</summary>
    /// <exception cref="PtxException">Malformed text, or something the device does not know, with its line.</exception>
    /// <exception cref="CudaException">The module is for a newer device, or its variables do not fit.</exception>
    public PtxProgram Load(string ptx)
    {
        PtxProgram program = PtxProgram.Parse(ptx);
        Throw(TryLoad(program), nameof(Load));
        return program;
    }

    /// <summary>Places the variables of a parsed module in device memory; a module that is already there is left as it is.</summary>
    /// <exception cref="CudaException">The module is for a newer device, or its variables do not fit.</exception>
    public void Load(PtxProgram program)
    {
        ArgumentNullException.ThrowIfNull(program);
        Throw(TryLoad(program), nameof(Load));
    }

    /// <summary>Frees the variables of a module.</summary>
    public void Unload(PtxProgram program)
    {
        ArgumentNullException.ThrowIfNull(program);
        lock (_lock)
        {
            if (_images.Remove(program, out ModuleImage? image))
            {
                foreach (Allocation a in image.Variables.Values)
                {
                    _memory.Free(a.Address);
                }
            }
        }
    }

    /// <summary>Address and bytes of a .global or .const variable, or null.</summary>
    public (ulong Address, long Bytes)? Variable(PtxProgram program, string name)
    {
        ArgumentNullException.ThrowIfNull(program);
        lock (_lock)
        {
            return _images.TryGetValue(program, out ModuleImage? image) && image.Variables.TryGetValue(name, out Allocation? a)
                ? ((ulong)a.Address, a.Bytes) : null;
        }
    }

    /// <summary>Allocates device memory, 256-byte aligned. Its bytes hold 0xFF and count as not written.</summary>
    /// <param name="bytes">How many.</param>
    /// <param name="name">What findings call it; without one they give its address.</param>
    /// <exception cref="CudaException">Not enough memory, or no bytes asked for.</exception>
    public ulong Allocate(long bytes, string name = "")
    {
        ArgumentNullException.ThrowIfNull(name);
        Throw(TryAllocate(bytes, out ulong address, name), nameof(Allocate));
        return address;
    }

    /// <summary>Frees an allocation; its addresses are never handed out again.</summary>
    /// <exception cref="CudaException">No live allocation begins there.</exception>
    public void Free(ulong address) => Throw(TryFree(address), nameof(Free));

    /// <summary>Copies bytes to the device.</summary>
    /// <exception cref="CudaException">The range does not lie in one live allocation.</exception>
    public void Write(ulong address, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* from = bytes)
        {
            Throw(TryWrite(address, from, bytes.Length), nameof(Write));
        }
    }

    /// <summary>Copies bytes from the device.</summary>
    /// <exception cref="CudaException">The range does not lie in one live allocation.</exception>
    public void Read(ulong address, Span<byte> bytes)
    {
        fixed (byte* to = bytes)
        {
            Throw(TryRead(to, address, bytes.Length), nameof(Read));
        }
    }

    /// <summary>Runs a grid to its end, or to the finding that stops it. Faults are in the report, not thrown.</summary>
    /// <param name="entry">An entry of a loaded module.</param>
    /// <param name="shape">Grid, block, dynamic shared bytes (up to what the device allows after opting in).</param>
    /// <param name="parameters">The parameter block: every parameter at its offset.</param>
    /// <param name="options">How to run and what to watch; default <see cref="Options"/>.</param>
    /// <exception cref="CudaException">The launch breaks a rule of the device or of the kernel; nothing ran.</exception>
    public LaunchReport Launch(PtxEntry entry, in LaunchShape shape, ReadOnlySpan<byte> parameters, LaunchOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(entry);
        int dynamicLimit = Math.Max(0, Profile.SharedPerBlockOptin - entry.StaticSharedBytes);
        Throw(LaunchRules.Check(Profile, entry, shape, parameters.Length, dynamicLimit, registers: 0), nameof(Launch));
        Throw(TryRun(entry, shape, parameters, options ?? Options, out LaunchReport? report), nameof(Launch));
        return report!;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            _images.Clear();
            _memory.Dispose();
        }
    }

    /// <summary>The profile's memory, or this machine's where that is less.</summary>
    internal static long DefaultMemoryLimit(DeviceProfile profile) => Math.Min(profile.MemoryBytes, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes);

    // ---- what the driver calls: a status and a sentence instead of an exception

    internal Outcome TryLoad(PtxProgram program)
    {
        if (Profile.WhyNotTarget(program.Target) is { } why)
        {
            return new Outcome(CudaStatus.InvalidPtx, why);
        }

        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_images.ContainsKey(program))
            {
                return Outcome.Ok;
            }

            long bytes = program.Module.Globals.Where(g => g.Space is PtxSpace.Global or PtxSpace.Const).Sum(g => g.Bytes);
            if (bytes > MemoryLimit - _memory.LiveBytes)
            {
                return TooMuch($"the variables of a module, {bytes} bytes", bytes);
            }

            _images[program] = new ModuleImage(_memory, program.Module);
            return Outcome.Ok;
        }
    }

    internal Outcome TryAllocate(long bytes, out ulong address, string name = "")
    {
        address = 0;
        if (bytes <= 0)
        {
            return new Outcome(CudaStatus.InvalidValue, $"an allocation of {bytes} bytes");
        }

        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (bytes > MemoryLimit - _memory.LiveBytes)
            {
                return TooMuch($"an allocation of {bytes} bytes", bytes);
            }

            Allocation a;
            try
            {
                a = _memory.Allocate(bytes, name);
                a.TrackWrites();
            }
            catch (OutOfMemoryException)
            {
                return new Outcome(CudaStatus.OutOfMemory, $"an allocation of {bytes} bytes: this machine has no room for it");
            }

            address = (ulong)a.Address;
            return Outcome.Ok;
        }
    }

    internal Outcome TryFree(ulong address)
    {
        lock (_lock)
        {
            Allocation? a = address > long.MaxValue ? null : _memory.Find((long)address);
            if (a is { Freed: false } && (ulong)a.Address == address && _images.Values.Any(i => i.Variables.GetValueOrDefault(a.Name) == a))
            {
                return new Outcome(CudaStatus.InvalidValue, $"0x{address:x} is the module variable '{a.Name}', not an allocation");
            }

            if (address <= long.MaxValue && _memory.Free((long)address))
            {
                return Outcome.Ok;
            }

            string why = a is null ? "belongs to no allocation"
                : (ulong)a.Address != address ? $"is byte {(long)address - a.Address} of the allocation at 0x{a.Address:x}; only its beginning can be freed"
                : "was freed before";
            return new Outcome(CudaStatus.InvalidValue, $"0x{address:x} {why}");
        }
    }

    internal Outcome TryWrite(ulong address, byte* from, long bytes) => OnRange(address, bytes, "written", (a, offset) =>
    {
        Buffer.MemoryCopy(from, a.Host + offset, bytes, bytes);
        a.MarkWritten(offset, bytes);
    });

    internal Outcome TryRead(byte* to, ulong address, long bytes) =>
        OnRange(address, bytes, "read", (a, offset) => Buffer.MemoryCopy(a.Host + offset, to, bytes, bytes));

    internal Outcome TryCopy(ulong to, ulong from, long bytes) => OnRange(from, bytes, "read", (source, at) =>
    {
        return OnRange(to, bytes, "written", (a, offset) =>
        {
            Buffer.MemoryCopy(source.Host + at, a.Host + offset, bytes, bytes);
            a.CopyWritten(offset, source, at, bytes);
        });
    });

    /// <summary>Fills bytes with a pattern of 1 or 4 bytes.</summary>
    internal Outcome TryFill(ulong address, uint value, int width, long count)
    {
        if (width == 4 && (address & 3) != 0)
        {
            return new Outcome(CudaStatus.InvalidValue, $"0x{address:x} is not a multiple of 4");
        }

        if (count > long.MaxValue / width)
        {
            return new Outcome(CudaStatus.InvalidValue, $"a fill of {count} values");
        }

        return OnRange(address, count * width, "filled", (a, offset) =>
        {
            byte* p = a.Host + offset;
            if (width == 1)
            {
                NativeMemory.Fill(p, (nuint)count, (byte)value);
            }
            else
            {
                for (long i = 0; i < count; i++)
                {
                    ((uint*)p)[i] = value;
                }
            }

            a.MarkWritten(offset, count * width);
        });
    }

    internal Outcome CheckRange(ulong address, long bytes, string what) => OnRange(address, bytes, what, static (_, _) => { });

    internal Outcome TryRun(PtxEntry entry, in LaunchShape shape, ReadOnlySpan<byte> parameters, LaunchOptions options, out LaunchReport? report)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (!_images.TryGetValue(entry.Program, out ModuleImage? image))
            {
                report = null;
                return new Outcome(CudaStatus.InvalidHandle, $"the module of '{entry.Name}' is not loaded on this device");
            }

            report = new GridRunner(_memory, image).Run(entry.Kernel, shape, parameters, options);
            return Outcome.Ok;
        }
    }

    private Outcome OnRange(ulong address, long bytes, string what, Action<Allocation, long> action) => OnRange(address, bytes, what, (a, offset) =>
    {
        action(a, offset);
        return Outcome.Ok;
    });

    private Outcome OnRange(ulong address, long bytes, string what, Func<Allocation, long, Outcome> action)
    {
        if (bytes == 0)
        {
            return Outcome.Ok;
        }

        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            Allocation? a = address > long.MaxValue ? null : _memory.Find((long)address);
            long offset = a is null ? 0 : (long)address - a.Address;
            if (a is null || a.Freed || bytes < 0 || offset > a.Bytes - bytes)
            {
                string where = a is null ? "which belongs to no allocation"
                    : a.Freed ? $"in the allocation at 0x{a.Address:x} of {a.Bytes} bytes, which was freed"
                    : $"byte {offset} of the allocation at 0x{a.Address:x}, which has {a.Bytes}";
                return new Outcome(CudaStatus.InvalidValue, $"{bytes} bytes {what} at 0x{address:x}, {where}");
            }

            return action(a, offset);
        }
    }

    private Outcome TooMuch(string what, long bytes) => new(
        CudaStatus.OutOfMemory,
        $"{what}: {MemoryLimit - _memory.LiveBytes} of {MemoryLimit} bytes are free on {Profile.Name}, {bytes - (MemoryLimit - _memory.LiveBytes)} too few");

    private static void Throw(Outcome outcome, string call)
    {
        if (outcome.Failed)
        {
            throw new CudaException(outcome.Status, call, outcome.Detail);
        }
    }
}
