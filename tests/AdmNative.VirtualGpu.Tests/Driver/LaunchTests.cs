using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

/// <summary>Launch rules, each with a launch that breaks it and one that just keeps it; faults of kernels; reports.</summary>
public sealed class LaunchTests
{
    private static LaunchShape Block(uint x, uint y = 1, uint z = 1, uint shared = 0) => new(1, 1, 1, x, y, z, shared);

    public static TheoryData<string, LaunchShape, LaunchShape, string> Rules() => new()
    {
        { "limited", Block(65), Block(64), "65 threads; .maxntid allows 64 (32x2x1)" },
        { "limited", Block(1, 1, 65), Block(1, 1, 64), "takes 1 to 1024x1024x64" },
        { "exact", Block(64), Block(32, 2), ".reqntid wants exactly 32x2x1" },
        { "exact", Block(2, 32), Block(32, 2), ".reqntid wants exactly 32x2x1" },
        { "trapped", Block(0), default, "a block of 0x1x1 threads" },
        { "trapped", Block(1025), default, "takes 1 to 1024x1024x64" },
        { "shared", Block(1024, 2), Block(1024, 1, 1, 4), "2048 threads" },
        { "shared", Block(32, 32, 2), Block(32, 16, 2, 4), "2048 threads" },
        { "shared", new LaunchShape(0, 1, 1, 32, 1, 1), new LaunchShape(1, 1, 1, 32, 1, 1, 4), "a grid of 0x1x1" },
        { "shared", new LaunchShape(1, 65536, 1, 32, 1, 1), new LaunchShape(1, 300, 1, 32, 1, 1, 4), "2147483647x65535x65535" },
        { "shared", new LaunchShape(1, 1, 65536, 32, 1, 1), new LaunchShape(1, 1, 300, 32, 1, 1, 4), "2147483647x65535x65535" },
        { "shared", new LaunchShape(1u << 31, 1, 1, 32, 1, 1), new LaunchShape(70000, 1, 1, 1, 1, 1, 4), "2147483647x65535x65535" },
        { "shared", Block(32, 1, 1, (47 * 1024) + 1), Block(32, 1, 1, 47 * 1024), "Raise MaxDynamicSharedBytes first: sm_80 allows 165888" },
        { "shared", Block(32, 1, 1, 163 * 1024), default, "and sm_80 has 166912 in all" },
    };

    [Theory]
    [MemberData(nameof(Rules))]
    public void A_launch_that_breaks_a_rule_is_refused(string kernel, LaunchShape bad, LaunchShape good, string why)
    {
        using var rig = new Rig(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.None } });
        nint f = rig.Function(rig.Load(), kernel);
        rig.Fails(CudaStatus.InvalidValue, why, rig.Empty(f, bad));
        Assert.Empty(rig.Driver.Reports);
        if (good != default)
        {
            rig.Ok(rig.Empty(f, good));
            Assert.Single(rig.Driver.Reports);
        }
    }

    [Fact]
    public void Shared_memory_beyond_48_KiB_needs_opting_in()
    {
        using var rig = new Rig();
        nint f = rig.Function(rig.Load(), "shared");
        LaunchShape shape = Block(32, 1, 1, 100 * 1024);
        rig.Fails(CudaStatus.InvalidValue, "the function may ask for 48128", rig.Empty(f, shape));
        rig.Ok(rig.Driver.FuncSetAttribute(f, CudaFunctionAttribute.MaxDynamicSharedBytes, 100 * 1024));
        rig.Ok(rig.Empty(f, shape));
        rig.Fails(CudaStatus.InvalidValue, "the function may ask for 102400", rig.Empty(f, shape with { SharedBytes = (100 * 1024) + 1 }));
        using var small = new Rig(new VirtualDriverOptions { Profile = DeviceProfile.Rtx4090 });
        f = small.Function(small.Load(), "shared");
        small.Fails(CudaStatus.InvalidValue, "sm_89 allows 100352", small.Driver.FuncSetAttribute(f, CudaFunctionAttribute.MaxDynamicSharedBytes, 100 * 1024));
        small.Fails(CudaStatus.InvalidValue, "sm_89 has 101376 in all", small.Empty(f, shape));
    }

    [Theory]
    [InlineData(23, CudaStatus.InvalidValue, "23 bytes of parameters for 24 (y at 0, 8 wide, x at 8, 8 wide, factor at 16, 4 wide, n at 20, 4 wide)")]
    [InlineData(20, CudaStatus.InvalidValue, "20 bytes of parameters for 24")]
    [InlineData(28, CudaStatus.LaunchOutOfResources, "too many arguments")]
    [InlineData(24, CudaStatus.Success, "")]
    public void The_parameter_block_has_to_fit(int bytes, CudaStatus status, string why)
    {
        using var rig = new Rig();
        nint f = rig.Function(rig.Load(), "scale");
        CudaStatus got = rig.Driver.LaunchKernel(f, Block(32), 0, new byte[bytes]); // n = 0: touches nothing
        Assert.Equal(status, got);
        Assert.Contains(why, rig.Driver.LastErrorDetail, StringComparison.Ordinal);
    }

    [Fact]
    public void A_grid_the_virtual_device_cannot_count_is_not_supported()
    {
        using var rig = new Rig();
        nint f = rig.Function(rig.Load(), "shared");
        rig.Fails(CudaStatus.NotSupported, "100000x65535x65535", rig.Empty(f, new LaunchShape(100000, 65535, 65535, 32, 1, 1)));
    }

    [Fact]
    public void A_launch_computes_and_leaves_a_report()
    {
        using var rig = new Rig();
        var seen = new List<string>();
        rig.Driver.Launched += r => seen.Add(r.Kernel);
        nint module = rig.Load(), f = rig.Function(module, "scale");
        float[] x = [.. Enumerable.Range(0, 100).Select(i => i * 0.25f)];
        ulong dx = rig.Put(x), dy = rig.Alloc(400);
        rig.Ok(rig.Scale(f, dy, dx, 3, 100));
        Assert.Equal(x.Select(v => v * 3), rig.Get(dy, 100));
        LaunchReport report = Assert.Single(rig.Driver.Reports);
        Assert.True(report.Completed);
        Assert.Equal(CudaStatus.Success, report.Status);
        Assert.Empty(rig.Driver.Findings);
        Assert.Equal(100, report.Counters.Flops);
        Assert.Equal(["scale"], seen);
        rig.Driver.ClearReports();
        Assert.Empty(rig.Driver.Reports);
    }

    [Fact]
    public void Only_the_latest_reports_are_kept()
    {
        using var rig = new Rig(new VirtualDriverOptions { KeepReports = 2 });
        nint module = rig.Load();
        foreach (string name in new[] { "limited", "exact", "limited", "shared" })
        {
            rig.Ok(rig.Empty(rig.Function(module, name), Block(32, 2, 1, 16)));
        }

        Assert.Equal(["limited", "shared"], rig.Driver.Reports.Select(r => r.Kernel));

        // The totals know of all of them.
        IReadOnlyList<KernelTotals> totals = rig.Driver.Totals;
        Assert.Equal([("limited", 2L), ("exact", 1L), ("shared", 1L)], totals.Select(t => (t.Kernel, t.Launches)));
        Assert.Equal(2 * rig.Driver.Reports[0].Counters.WarpInstructions, totals[0].Counters.WarpInstructions);
        Assert.Equal(totals[0].Counters.WarpInstructions, totals[0].Lines.Sum(l => l.Counters.WarpInstructions));
        Assert.NotEqual(0, totals[0].Counters.WarpInstructions);
        rig.Driver.ClearReports();
        Assert.Empty(rig.Driver.Totals);
    }

    [Theory]
    [InlineData("trapped", CudaStatus.LaunchFailed, "trap")]
    [InlineData("endless", CudaStatus.LaunchTimeout, "endless loop?")]
    [InlineData("misaligned", CudaStatus.MisalignedAddress, "not a multiple of the access size")]
    [InlineData("add1", CudaStatus.IllegalAddress, "byte 64 of the allocation")]
    public void A_fault_poisons_the_context_until_it_is_released(string kernel, CudaStatus status, string why)
    {
        using var rig = new Rig(new VirtualDriverOptions { Launch = new LaunchOptions { StepBudget = 100_000 } });
        VirtualDriver d = rig.Driver;
        nint module = rig.Load(), f = rig.Function(module, kernel), stream = rig.Stream();
        ulong x = rig.Put(new float[16]);
        CudaStatus got = kernel is "trapped" or "endless" ? rig.Empty(f, Block(32)) : rig.One(f, x, 32);
        rig.Fails(status, why, got);
        rig.Fails(status, "an earlier launch failed", d.CtxSynchronize());
        Assert.Contains(why, d.LastErrorDetail, StringComparison.Ordinal);
        Assert.Equal(status, d.MemAlloc(out _, 4));
        Assert.Equal(status, d.StreamSynchronize(stream));
        Assert.Equal(status, d.MemFree(x));
        Assert.Equal(status, d.ModuleGetFunction(out _, module, "add1"));
        Assert.True(CudaException.Poisons(status));
        Assert.Equal(status, Assert.Single(d.Reports).Status);
        rig.Ok(d.DeviceGetCount(out _)); // needs no context
        rig.Ok(d.PrimaryCtxRelease(0));
        rig.Ok(d.PrimaryCtxRetain(out nint fresh, 0));
        rig.Ok(d.CtxSetCurrent(fresh));
        rig.Ok(d.CtxSynchronize());
        module = rig.Load();
        x = rig.Put(new float[32]);
        rig.Ok(rig.One(rig.Function(module, "add1"), x, 32));
        Assert.All(rig.Get(x, 32), v => Assert.Equal(1, v));
    }

    [Fact]
    public void A_fault_is_seen_even_when_no_finding_is_kept()
    {
        using var rig = new Rig(new VirtualDriverOptions { Launch = new LaunchOptions { MaxFindings = 0 } });
        nint f = rig.Function(rig.Load(), "add1");
        Assert.Equal(CudaStatus.IllegalAddress, rig.One(f, rig.Put(new float[16]), 32));
    }

    [Fact]
    public void A_finding_hardware_would_not_notice_only_reports()
    {
        using var rig = new Rig();
        nint f = rig.Function(rig.Load(), "add1");
        ulong never = rig.Alloc(128);
        rig.Ok(rig.One(f, never, 32));
        Finding finding = Assert.Single(rig.Driver.Findings);
        Assert.Equal(Checks.UninitialisedMemory, finding.Check);
        rig.Ok(rig.Driver.CtxSynchronize());
        rig.Driver.LaunchOptions = new LaunchOptions { Checks = Checks.None };
        rig.Driver.ClearReports();
        rig.Ok(rig.One(f, rig.Alloc(128), 32));
        Assert.Empty(rig.Driver.Findings);
    }

    [Fact]
    public void Options_the_engine_cannot_follow_are_refused_when_they_are_set()
    {
        var contradiction = new LaunchOptions { Engine = EngineKind.Jit };
        Assert.Throws<ArgumentException>(() => new VirtualDriver(new VirtualDriverOptions { Launch = contradiction }));
        using var rig = new Rig();
        Assert.Throws<ArgumentException>(() => rig.Driver.LaunchOptions = contradiction);
        Assert.Throws<ArgumentNullException>(() => rig.Driver.LaunchOptions = null!);
        Assert.Equal(Checks.All, rig.Driver.LaunchOptions.Checks);
    }

    [Theory]
    [InlineData(EngineKind.Interpreter)]
    [InlineData(EngineKind.Auto)]
    public void Without_checks_and_counters_the_same_bits_come_from_either_engine(EngineKind engine)
    {
        using var rig = new Rig(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.None, Counters = false, Engine = engine } });
        nint f = rig.Function(rig.Load(), "scale");
        float[] x = [.. Enumerable.Range(0, 1000).Select(i => i * 0.25f)];
        ulong dx = rig.Put(x), dy = rig.Alloc(4000);
        for (int i = 0; i < 20; i++)
        {
            rig.Ok(rig.Scale(f, dy, dx, 1f / 3, 1000));
        }

        Assert.Equal(x.Select(v => v * (1f / 3)), rig.Get(dy, 1000));
        rig.Driver.LaunchOptions = new LaunchOptions();
        rig.Driver.ClearReports();
        rig.Ok(rig.Scale(f, dx, dy, 1, 1000)); // what an unchecked launch wrote counts as written
        Assert.Empty(rig.Driver.Findings);
    }

    [Fact]
    public void A_handler_that_throws_does_not_make_the_launch_run_twice()
    {
        using var rig = new Rig();
        nint f = rig.Function(rig.Load(), "add1");
        ulong x = rig.Put(new float[32]);
        void Thrower(LaunchReport report) => throw new InvalidDataException(report.Kernel);
        rig.Driver.Launched += Thrower;
        Assert.Throws<InvalidDataException>(() => rig.One(f, x, 32));
        rig.Driver.Launched -= Thrower;
        rig.Ok(rig.Driver.CtxSynchronize());
        Assert.Equal(1, rig.Get(x, 1)[0]);
    }

    [Fact]
    public void Copies_carry_along_what_was_never_written()
    {
        using var rig = new Rig();
        nint f = rig.Function(rig.Load(), "add1");
        ulong half = rig.Alloc(128), copy = rig.Alloc(256);
        rig.Ok(rig.Driver.MemsetD32(half, 0, 16, 0));
        rig.Ok(rig.Driver.MemcpyDtoD(copy + 4, half, 128, 0));
        rig.Ok(rig.One(f, copy + 4, 16)); // the written half
        Assert.Empty(rig.Driver.Findings);
        rig.Ok(rig.One(f, copy + 4, 32));
        Assert.Contains("byte 68 ", Assert.Single(rig.Driver.Findings).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Parameters_are_copied_when_the_launch_is_enqueued()
    {
        using Rig rig = Rig.Deferred;
        nint f = rig.Function(rig.Load(), "add1"), stream = rig.Stream();
        ulong x = rig.Put(new float[32]);
        var block = new byte[8];
        MemoryMarshal.Write(block, x);
        rig.Ok(rig.Driver.LaunchKernel(f, Block(32), stream, block));
        Array.Clear(block);
        rig.Ok(rig.Driver.StreamSynchronize(stream));
        Assert.All(rig.Get(x, 32), v => Assert.Equal(1, v));
    }
}
