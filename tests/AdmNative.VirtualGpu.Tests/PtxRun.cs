using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using AdmNative.Cuda;
using AdmNative.Tests;
using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Tests;

/// <summary>Runs PTX text: allocate arrays, launch, read back.</summary>
internal sealed unsafe class PtxRun : IDisposable
{
    // The same text is often run with other masks and inputs: parsed, lowered and compiled once.
    private static readonly ConcurrentDictionary<string, PtxModule> s_modules = new();
    private static readonly ConditionalWeakTable<PtxModule, ConcurrentDictionary<string, Kernel>> s_kernels = [];

    private readonly PtxModule _module;
    private readonly ModuleImage _image;

    public PtxRun(string ptx)
    {
        _module = s_modules.GetOrAdd(ptx, PtxParser.Parse);
        TestTexts.Note(ptx);
        _image = new ModuleImage(Memory, _module);
    }

    public DeviceMemory Memory { get; } = new();

    public LaunchOptions Options { get; set; } = new();

    public LaunchReport? Last { get; private set; }

    /// <summary>A module around a body: parameters are 64-bit pointers a, b, c, d and out, then 32-bit n.</summary>
    public static string Entry(string body, string declarations = "", string target = "sm_80") => $$"""
        .version 8.4
        .target {{target}}
        .address_size 64
        {{declarations}}
        .visible .entry k(.param .u64 out, .param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)
        {
        {{body}}
        }
        """;

    /// <summary>An allocation holding the values; with track, every byte counts as written.</summary>
    public long Put<T>(params ReadOnlySpan<T> values) where T : unmanaged
    {
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(values);
        Allocation a = Memory.Allocate(bytes.Length);
        a.TrackWrites();
        bytes.CopyTo(new Span<byte>(a.Host, bytes.Length));
        a.MarkWritten(0, bytes.Length);
        return a.Address;
    }

    /// <summary>An allocation nobody has written.</summary>
    public long Room<T>(int count) where T : unmanaged
    {
        Allocation a = Memory.Allocate((long)count * sizeof(T));
        a.TrackWrites();
        return a.Address;
    }

    public T[] Get<T>(long address, int count) where T : unmanaged =>
        new ReadOnlySpan<T>(Memory.Resolve(address, (long)count * sizeof(T)), count).ToArray();

    public LaunchReport Launch(string kernel, LaunchShape shape, params ReadOnlySpan<object> arguments)
    {
        Kernel lowered = s_kernels.GetOrCreateValue(_module).GetOrAdd(kernel, k => Lowering.Lower(_module, _module.Entry(k)));
        var block = new byte[lowered.ParameterBytes];
        for (int i = 0; i < arguments.Length; i++)
        {
            Span<byte> to = block.AsSpan(lowered.Parameters[i].Offset);
            switch (arguments[i])
            {
                case long l: MemoryMarshal.Write(to, l); break;
                case int n: MemoryMarshal.Write(to, n); break;
                case uint u: MemoryMarshal.Write(to, u); break;
                case float f: MemoryMarshal.Write(to, f); break;
                case byte[] bytes: bytes.CopyTo(to); break;
                default: throw new ArgumentException($"argument {i} is a {arguments[i].GetType()}");
            }
        }

        byte[][] before = Snapshot();
        Last = new GridRunner(Memory, _image).Run(lowered, shape, block, Options);
        if (CompareEngines)
        {
            byte[][] after = Snapshot();
            EngineRun.AssertEqual(Without(EngineKind.Interpreter), Without(EngineKind.Jit), kernel);
            Restore(after);
        }

        return Last;

        EngineRun Without(EngineKind engine)
        {
            Restore(before);
            LaunchOptions options = Options with { Checks = Checks.None, Counters = false, Engine = engine, Threads = 1 };
            LaunchReport report = new GridRunner(Memory, _image).Run(lowered, shape, block, options);
            return new EngineRun(report, Snapshot());
        }
    }

    /// <summary>Every launch is repeated without checks by both engines, which must agree on every bit of memory and on the report.</summary>
    public bool CompareEngines { get; set; } = true;

    /// <summary>Bytes of every live allocation, and which of them count as written.</summary>
    private byte[][] Snapshot() =>
    [
        .. Memory.Allocations.Select(a => a.Freed ? [] : new ReadOnlySpan<byte>(a.Host, (int)a.Bytes).ToArray()),
        .. Memory.Allocations.Select(a => a.Written is null ? [] : MemoryMarshal.AsBytes(a.Written.AsSpan()).ToArray()),
    ];

    private void Restore(byte[][] snapshot)
    {
        for (int i = 0; i < Memory.Allocations.Count; i++)
        {
            Allocation a = Memory.Allocations[i];
            if (!a.Freed)
            {
                snapshot[i].CopyTo(new Span<byte>(a.Host, (int)a.Bytes));
            }

            if (a.Written is not null)
            {
                snapshot[Memory.Allocations.Count + i].CopyTo(MemoryMarshal.AsBytes(a.Written.AsSpan()));
            }
        }
    }

    public LaunchReport Launch(string kernel, int grid, int block, params ReadOnlySpan<object> arguments) =>
        Launch(kernel, new LaunchShape((uint)grid, 1, 1, (uint)block, 1, 1), arguments);

    public void Dispose() => Memory.Dispose();
}
