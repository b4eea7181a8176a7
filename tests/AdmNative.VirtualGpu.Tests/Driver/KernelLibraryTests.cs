using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

/// <summary>The shipped kernels through a driver: loading, launching, what errors say.</summary>
public sealed class KernelLibraryTests
{
    // 128 channels of 256 pixels to a group: a slab of 64 KB in shared memory, more than a kernel may have unasked.
    private static readonly GroupNormShape s_shape = new(1, 16, 16, 256, 2);

    private static GroupNormPlan Plan(GroupNormShape shape, KernelDType dtype = KernelDType.F16) => GroupNormKernels.Plan(shape, dtype, DeviceLimits.Sm80);

    /// <summary>Buffers of constant input: y must be beta.</summary>
    private static (IReadOnlyList<KernelLaunch> Launches, ulong Y) Norm(Rig rig, GroupNormPlan plan)
    {
        GroupNormShape s = plan.Shape;
        int elements = s.N * (int)s.Pixels * s.C;
        ulong x = rig.Alloc(2 * elements), y = rig.Alloc(2 * elements), workspace = rig.Alloc((int)Math.Max(256, plan.WorkspaceBytes));
        rig.Ok(rig.Driver.MemsetD32(x, 0x3C003C00, (nuint)elements / 2, 0));
        return (GroupNormKernels.Enqueue(plan, new GroupNormArguments
        {
            X = x,
            Y = y,
            Gamma = rig.Put([.. Enumerable.Repeat(1f, s.C)]),
            Beta = rig.Put([.. Enumerable.Range(0, s.C).Select(c => (float)c)]),
            Mean = rig.Alloc(4 * s.N * s.G),
            Rstd = rig.Alloc(4 * s.N * s.G),
            Ab = rig.Alloc(8 * s.N * s.C),
            Workspace = workspace,
            Tickets = plan.TicketBytes == 0 ? 0 : rig.Put(new float[plan.TicketBytes / 4]),
            Eps = 1e-5f,
        }), y);
    }

    private static unsafe Half[] Halves(Rig rig, ulong address, int count)
    {
        var values = new Half[count];
        fixed (Half* p = values)
        {
            rig.Ok(rig.Driver.MemcpyDtoH((nint)p, address, (nuint)(2 * count), 0));
        }

        return values;
    }

    [Fact]
    public void Images_are_loaded_when_wanted_and_launches_run_with_the_shared_memory_they_need()
    {
        using var rig = new Rig();
        using var library = new KernelLibrary(rig.Driver);
        Assert.Equal(0, library.LoadedImages);
        GroupNormPlan small = Plan(s_shape), staged = Plan(s_shape with { Staged = true });
        Assert.True(small.Launches[0].Shape.SharedBytes > 48 << 10);
        (IReadOnlyList<KernelLaunch> launches, ulong y) = Norm(rig, small);
        library.Launch(launches);
        Assert.Equal(1, library.LoadedImages);
        Assert.Equal([.. Enumerable.Range(0, 256).Select(c => (Half)c)], Halves(rig, y + (2 * 256 * 255), 256));
        library.Load(staged);
        Assert.Equal(2, library.LoadedImages);
        (launches, y) = Norm(rig, staged);
        library.Launch(launches);
        Assert.Equal(2, library.LoadedImages);
        Assert.Equal((Half)17, Halves(rig, y, 256)[17]);
        Assert.Empty(rig.Driver.Findings);
    }

    [Fact]
    public void Threads_share_one_load()
    {
        using var rig = new Rig();
        using var library = new KernelLibrary(rig.Driver);
        (IReadOnlyList<KernelLaunch> launches, ulong y)[] work = [.. Enumerable.Range(0, 8).Select(i => Norm(rig, Plan(new(1, 2, 2, 32, 8) { Silu = i % 2 == 1 })))];
        Parallel.ForEach(work, new ParallelOptions { MaxDegreeOfParallelism = 8 }, w =>
        {
            rig.Driver.CtxSetCurrent(rig.Context);
            library.Launch(w.launches);
        });
        rig.Ok(rig.Driver.CtxSynchronize());
        Assert.Equal(1, library.LoadedImages);
        Assert.All(work.Where((_, i) => i % 2 == 0), w => Assert.Equal((Half)31, Halves(rig, w.y, 32)[31]));
        Assert.Equal(8, rig.Driver.Reports.Count);
    }

    [Fact]
    public void Errors_name_entry_and_shape()
    {
        using var rig = new Rig();
        using var library = new KernelLibrary(rig.Driver);
        (IReadOnlyList<KernelLaunch> launches, _) = Norm(rig, Plan(s_shape));
        KernelLaunch good = launches[0];

        CudaException wide = Assert.Throws<CudaException>(() => library.Launch(good with { Shape = good.Shape with { BlockX = 512 } }));
        Assert.Contains("cuLaunchKernel for gn_small_none_f16, grid 2 x 1 x 1, block 512 x 1 x 1, 65536 bytes of dynamic shared memory", wide.Message, StringComparison.Ordinal);
        CudaException large = Assert.Throws<CudaException>(() => library.Launch(good with { Shape = good.Shape with { SharedBytes = 200 << 10 } }));
        Assert.Contains("cuFuncSetAttribute(max dynamic shared bytes, 204800) for gn_small_none_f16", large.Message, StringComparison.Ordinal);
        Assert.Contains("bytes of parameters, not 4", Assert.Throws<ArgumentException>(() => library.Launch(good with { Parameters = new byte[4] })).Message, StringComparison.Ordinal);
        Assert.Contains("no kernel 'gn_large_f16'; the bundle has gn_", Assert.Throws<KeyNotFoundException>(() => library.Launch(good with { Entry = "gn_large_f16" })).Message, StringComparison.Ordinal);
        library.Launch(good); // and goes on
    }

    [Fact]
    public void A_fault_is_reported_at_its_launch_when_each_launch_is_waited_for()
    {
        foreach (bool wait in new[] { false, true })
        {
            using Rig rig = Rig.Deferred;
            var library = new KernelLibrary(rig.Driver) { SynchronizeEachLaunch = wait };
            (IReadOnlyList<KernelLaunch> launches, _) = Norm(rig, Plan(new(1, 2, 2, 32, 8)));
            var wrong = new byte[launches[0].Parameters.Length]; // every pointer null
            launches[0].Parameters.Span[96..].CopyTo(wrong.AsSpan(96));
            KernelLaunch bad = launches[0] with { Parameters = wrong };
            nint stream = rig.Stream();
            if (wait)
            {
                CudaException e = Assert.Throws<CudaException>(() => library.Launch(bad, stream));
                Assert.Equal(CudaStatus.IllegalAddress, e.Status);
                Assert.Contains("cuStreamSynchronize for gn_small_none_f16", e.Message, StringComparison.Ordinal);
            }
            else
            {
                library.Launch(bad, stream);
                Assert.Equal(CudaStatus.IllegalAddress, rig.Driver.StreamSynchronize(stream));
            }

            library.Dispose(); // the context is gone, and that was said already
        }
    }

    [Fact]
    public void An_image_the_driver_refuses_is_named_with_the_compilers_words()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        try
        {
            string text = KernelBundle.Open()["gn_small_none_f16"].Image.Text;
            File.WriteAllText(Path.Combine(folder, "gn_small.sm80.ptx"), text.Replace("add.f32", "add.f33", StringComparison.Ordinal));
            using var rig = new Rig();
            using var library = new KernelLibrary(rig.Driver, KernelBundle.Open(folder));
            (IReadOnlyList<KernelLaunch> launches, _) = Norm(rig, Plan(s_shape));
            CudaException e = Assert.Throws<CudaException>(() => library.Launch(launches));
            Assert.Equal(CudaStatus.InvalidPtx, e.Status);
            Assert.Contains("cuModuleLoadDataEx(gn_small.sm80.ptx) for gn_small_none_f16", e.Message, StringComparison.Ordinal);
            Assert.Contains("add.f33", e.Message, StringComparison.Ordinal);
            Assert.Equal(0, library.LoadedImages);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Nothing_is_launched_after_disposal()
    {
        using var rig = new Rig();
        var library = new KernelLibrary(rig.Driver);
        (IReadOnlyList<KernelLaunch> launches, _) = Norm(rig, Plan(s_shape));
        library.Launch(launches);
        library.Dispose();
        library.Dispose();
        Assert.Throws<ObjectDisposedException>(() => library.Launch(launches));
    }
}
