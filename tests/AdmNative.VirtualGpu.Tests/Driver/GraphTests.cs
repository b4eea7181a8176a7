using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

public sealed unsafe class GraphTests
{
    private static nint Capture(Rig rig, nint stream, Action work)
    {
        rig.Ok(rig.Driver.StreamBeginCapture(stream));
        work();
        rig.Ok(rig.Driver.StreamEndCapture(stream, out nint graph));
        Assert.NotEqual(0, graph);
        return graph;
    }

    private static nint Executable(Rig rig, nint graph)
    {
        rig.Ok(rig.Driver.GraphInstantiate(out nint exec, graph));
        return exec;
    }

    [Theory]
    [InlineData(StreamOrder.Immediate)]
    [InlineData(StreamOrder.Deferred)]
    public void A_replayed_graph_gives_the_bits_of_direct_calls(StreamOrder order)
    {
        using var rig = new Rig(new VirtualDriverOptions { Streams = order });
        VirtualDriver d = rig.Driver;
        nint module = rig.Load(), scale = rig.Function(module, "scale"), add = rig.Function(module, "add1"), stream = rig.Stream();
        const int N = 64;
        rig.Ok(d.MemHostAlloc(out nint input, N * 4));
        rig.Ok(d.MemHostAlloc(out nint output, N * 4));
        ulong x = rig.Alloc(N * 4), y = rig.Alloc(N * 4), z = rig.Alloc(N * 4);
        void Work()
        {
            rig.Ok(d.MemcpyHtoD(x, input, N * 4, stream));
            rig.Ok(d.MemsetD32(z, 0x3F000000, N, stream));
            rig.Ok(d.MemsetD8(z, 0, 4, stream));
            rig.Ok(rig.One(add, x, N, stream));
            rig.Ok(rig.Scale(scale, y, x, 1f / 3, N, stream));
            rig.Ok(d.MemcpyDtoD(z + 64, y + 64, 64, stream));
            rig.Ok(rig.One(add, z, N, stream));
            rig.Ok(d.MemcpyDtoH(output, z, N * 4, stream));
        }

        float[] Run(int seed, Action run)
        {
            var random = new Random(seed);
            for (int i = 0; i < N; i++)
            {
                ((float*)input)[i] = random.NextSingle();
                ((float*)output)[i] = 0;
            }

            run();
            rig.Ok(d.StreamSynchronize(stream));
            return new Span<float>((void*)output, N).ToArray();
        }

        nint graph = Capture(rig, stream, Work), exec = Executable(rig, graph);
        rig.Ok(d.GraphGetNodeCount(out nuint nodes, graph));
        Assert.Equal(8u, nodes);
        Assert.Empty(d.Reports); // capturing runs nothing
        rig.Ok(d.GraphDestroy(graph)); // the executable stands alone
        for (int seed = 1; seed <= 3; seed++)
        {
            float[] direct = Run(seed, Work), replayed = Run(seed, () => rig.Ok(d.GraphLaunch(exec, stream)));
            Assert.Equal(direct.Select(BitConverter.SingleToUInt32Bits), replayed.Select(BitConverter.SingleToUInt32Bits));
            Assert.Contains(direct, v => v is > 1.2f and < 1.5f); // the inputs of this round are in there
        }

        Assert.Equal(18, d.Reports.Count);
        rig.Ok(d.GraphExecDestroy(exec));
        rig.Fails(CudaStatus.InvalidHandle, "destroyed", d.GraphLaunch(exec, stream));
        rig.Fails(CudaStatus.InvalidHandle, "destroyed", d.GraphInstantiate(out _, graph));
        rig.Fails(CudaStatus.InvalidHandle, "destroyed", d.GraphGetNodeCount(out _, graph));
        rig.Fails(CudaStatus.InvalidHandle, "destroyed", d.GraphDestroy(graph));
        rig.Fails(CudaStatus.InvalidHandle, "destroyed", d.GraphExecDestroy(exec));
    }

    [Theory]
    [InlineData(true, 5)]
    [InlineData(false, 0)]
    public void A_fork_needs_its_edge(bool edge, float expected)
    {
        using Rig rig = Rig.Deferred;
        VirtualDriver d = rig.Driver;
        nint module = rig.Load(), scale = rig.Function(module, "scale"), add = rig.Function(module, "add1");
        nint main = rig.Stream(), side = rig.Stream(), begun = rig.Event(), fork = rig.Event(), join = rig.Event();
        ulong x = rig.Put(new float[32]), y = rig.Alloc(128);
        nint graph = Capture(rig, main, () =>
        {
            rig.Ok(d.EventRecord(begun, main));
            rig.Ok(rig.One(add, x, 32, main));
            rig.Ok(d.EventRecord(fork, main));
            rig.Ok(d.StreamWaitEvent(side, edge ? fork : begun)); // the second misses the launch it needs
            rig.Ok(rig.Scale(scale, y, x, 5, 32, side));
            rig.Ok(d.EventRecord(join, side));
            rig.Ok(d.StreamWaitEvent(main, join));
            rig.Ok(d.MemsetD8(x, 0, 4, main));
        });
        rig.Ok(d.GraphGetNodeCount(out nuint nodes, graph));
        Assert.Equal(3u, nodes);
        rig.Ok(d.GraphLaunch(Executable(rig, graph), main));
        rig.Ok(d.StreamSynchronize(main));
        Assert.Equal(expected, rig.Get(y, 1)[0]);
        rig.Ok(rig.One(add, x, 32, side)); // the side stream is free again
        rig.Ok(d.StreamSynchronize(side));
    }

    [Fact]
    public void A_fork_that_is_never_joined_is_refused()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        nint main = rig.Stream(), side = rig.Stream(), fork = rig.Event();
        ulong x = rig.Alloc(4);
        rig.Ok(d.StreamBeginCapture(main));
        rig.Ok(d.MemsetD8(x, 0, 4, main));
        rig.Ok(d.EventRecord(fork, main));
        rig.Ok(d.StreamWaitEvent(side, fork));
        rig.Ok(d.MemsetD8(x, 1, 4, side));
        rig.Fails(CudaStatus.StreamCaptureUnmatched, "begun on another stream", d.StreamEndCapture(side, out _));
        rig.Fails(CudaStatus.StreamCaptureInvalidated, "another stream", d.StreamEndCapture(main, out _));

        rig.Ok(d.StreamBeginCapture(main));
        rig.Ok(d.MemsetD8(x, 0, 4, main));
        rig.Ok(d.EventRecord(fork, main));
        rig.Ok(d.StreamWaitEvent(side, fork));
        rig.Ok(d.MemsetD8(x, 1, 4, side));
        rig.Fails(CudaStatus.StreamCaptureUnjoined, "1 of 2 captured operations", d.StreamEndCapture(main, out nint graph));
        Assert.Equal(0, graph);
        rig.Ok(d.StreamSynchronize(side)); // no longer captured
    }

    public static TheoryData<string, CudaStatus> Illegal() => new()
    {
        { "alloc", CudaStatus.StreamCaptureUnsupported },
        { "free", CudaStatus.StreamCaptureUnsupported },
        { "host alloc", CudaStatus.StreamCaptureUnsupported },
        { "host free", CudaStatus.StreamCaptureUnsupported },
        { "load", CudaStatus.StreamCaptureUnsupported },
        { "unload", CudaStatus.StreamCaptureUnsupported },
        { "context synchronise", CudaStatus.StreamCaptureUnsupported },
        { "stream synchronise", CudaStatus.StreamCaptureUnsupported },
        { "stream query", CudaStatus.StreamCaptureUnsupported },
        { "stream destroy", CudaStatus.StreamCaptureUnsupported },
        { "event synchronise", CudaStatus.CapturedEvent },
        { "event query", CudaStatus.CapturedEvent },
        { "event elapsed", CudaStatus.CapturedEvent },
        { "outside event", CudaStatus.StreamCaptureIsolation },
        { "other capture", CudaStatus.StreamCaptureMerge },
        { "null stream waits", CudaStatus.StreamCaptureImplicit },
        { "bad launch", CudaStatus.InvalidValue },
        { "bad copy", CudaStatus.InvalidValue },
    };

    [Theory]
    [MemberData(nameof(Illegal))]
    public void What_a_capture_forbids_fails_and_invalidates_it(string what, CudaStatus status)
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        nint module = rig.Load(), f = rig.Function(module, "add1"), stream = rig.Stream(), other = rig.Stream(), inside = rig.Event(), outside = rig.Event();
        ulong x = rig.Put(new float[32]);
        rig.Ok(d.MemHostAlloc(out nint host, 4));
        rig.Ok(d.EventRecord(outside, other));
        rig.Ok(d.StreamBeginCapture(stream));
        rig.Ok(d.EventRecord(inside, stream));
        rig.Ok(rig.One(f, x, 32, stream));
        CudaStatus got = what switch
        {
            "alloc" => d.MemAlloc(out _, 4),
            "free" => d.MemFree(x),
            "host alloc" => d.MemHostAlloc(out _, 4),
            "host free" => d.MemFreeHost(host),
            "load" => d.ModuleLoad(out _, "x\0"u8, out _),
            "unload" => d.ModuleUnload(module),
            "context synchronise" => d.CtxSynchronize(),
            "stream synchronise" => d.StreamSynchronize(stream),
            "stream query" => d.StreamQuery(stream),
            "stream destroy" => d.StreamDestroy(stream),
            "event synchronise" => d.EventSynchronize(inside),
            "event query" => d.EventQuery(inside),
            "event elapsed" => d.EventElapsedTime(out _, inside, outside),
            "outside event" => d.StreamWaitEvent(stream, outside),
            "other capture" => Merge(),
            "null stream waits" => d.StreamWaitEvent(0, inside),
            "bad launch" => rig.One(f, x, 0, stream),
            _ => d.MemcpyDtoD(x, x + 4, 128, stream),
        };
        Assert.Equal(status, got);
        Assert.NotEqual("", d.LastErrorDetail);
        rig.Fails(CudaStatus.StreamCaptureInvalidated, "was invalidated", rig.One(f, x, 32, stream));
        rig.Fails(CudaStatus.StreamCaptureInvalidated, "was invalidated", d.StreamEndCapture(stream, out nint graph));
        Assert.Equal(0, graph);
        Assert.Equal(0, rig.Get(x, 1)[0]); // nothing of it ran
        rig.Ok(rig.One(f, x, 32, stream)); // and the stream works again
        Assert.Equal(1, rig.Get(x, 1)[0]);

        CudaStatus Merge()
        {
            rig.Ok(d.StreamBeginCapture(other));
            return d.StreamWaitEvent(other, inside);
        }
    }

    [Theory]
    [InlineData(CudaCreateFlags.None, CudaStatus.StreamCaptureImplicit)]
    [InlineData(CudaCreateFlags.NonBlocking, CudaStatus.Success)]
    public void The_null_stream_must_not_meet_a_blocking_stream_in_capture(CudaCreateFlags flags, CudaStatus status)
    {
        using var rig = new Rig();
        nint stream = rig.Stream(flags);
        ulong x = rig.Alloc(4);
        foreach (Func<CudaStatus> call in new Func<CudaStatus>[] { () => rig.Driver.MemsetD8(x, 0, 4, 0), () => rig.Driver.StreamSynchronize(0), () => rig.Driver.StreamQuery(0) })
        {
            rig.Ok(rig.Driver.StreamBeginCapture(stream));
            Assert.Equal(status, call());
            Assert.Equal(status == CudaStatus.Success ? status : CudaStatus.StreamCaptureInvalidated, rig.Driver.StreamEndCapture(stream, out _));
        }
    }

    [Fact]
    public void Captures_begin_and_end_in_order()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        nint stream = rig.Stream(), e = rig.Event();
        rig.Fails(CudaStatus.StreamCaptureUnsupported, "null stream", d.StreamBeginCapture(0));
        rig.Fails(CudaStatus.IllegalState, "not being captured", d.StreamEndCapture(stream, out _));
        rig.Ok(d.StreamBeginCapture(stream));
        rig.Fails(CudaStatus.IllegalState, "captured already", d.StreamBeginCapture(stream));
        rig.Ok(d.EventRecord(e, stream));
        (CudaStatus Ended, CudaStatus Allocated) elsewhere = default;
        var other = new Thread(() =>
        {
            d.CtxSetCurrent(rig.Context);
            elsewhere = (d.StreamEndCapture(stream, out _), d.MemAlloc(out _, 4));
        });
        other.Start();
        other.Join();
        Assert.Equal((CudaStatus.StreamCaptureWrongThread, CudaStatus.Success), elsewhere); // captures are thread-local: others may allocate
        rig.Ok(d.StreamEndCapture(stream, out nint graph));
        rig.Ok(d.GraphGetNodeCount(out nuint nodes, graph));
        Assert.Equal(0u, nodes);
        rig.Ok(d.GraphLaunch(Executable(rig, graph), stream));
        rig.Fails(CudaStatus.CapturedEvent, "a capture that has ended", d.StreamWaitEvent(stream, e));
        rig.Fails(CudaStatus.CapturedEvent, "record it in a stream first", d.EventQuery(e));
        rig.Ok(d.EventRecord(e, stream));
        rig.Ok(d.EventQuery(e));
    }

    [Fact]
    public void A_graph_inside_a_graph_runs_at_its_place()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        nint add = rig.Function(rig.Load(), "add1"), stream = rig.Stream();
        ulong x = rig.Put(new float[32]), y = rig.Alloc(128);
        nint inner = Executable(rig, Capture(rig, stream, () =>
        {
            rig.Ok(rig.One(add, x, 32, stream));
            rig.Ok(rig.One(add, x, 32, stream));
        }));
        nint outer = Executable(rig, Capture(rig, stream, () =>
        {
            rig.Ok(d.GraphLaunch(inner, stream));
            rig.Ok(d.MemcpyDtoD(y, x, 128, stream));
            rig.Ok(d.GraphLaunch(inner, stream));
        }));
        rig.Ok(d.GraphLaunch(outer, stream));
        Assert.Equal((4, 2), (rig.Get(x, 1)[0], rig.Get(y, 1)[0]));
    }

    [Fact]
    public void A_replay_notices_what_was_destroyed()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        nint module = rig.Load(), add = rig.Function(module, "add1"), stream = rig.Stream();
        ulong x = rig.Put(new float[32]), y = rig.Alloc(128);
        nint kernel = Executable(rig, Capture(rig, stream, () => rig.Ok(rig.One(add, x, 32, stream))));
        nint copy = Executable(rig, Capture(rig, stream, () => rig.Ok(d.MemcpyDtoD(y, x, 128, stream))));
        rig.Ok(d.GraphLaunch(kernel, stream));
        rig.Ok(d.ModuleUnload(module));
        rig.Fails(CudaStatus.InvalidHandle, "the module of 'add1' was unloaded", d.GraphLaunch(kernel, stream));
        rig.Ok(d.GraphLaunch(copy, stream));
        rig.Ok(d.MemFree(x));
        rig.Fails(CudaStatus.IllegalAddress, "graph node 0: 128 bytes read", d.GraphLaunch(copy, stream));
        rig.Fails(CudaStatus.IllegalAddress, "an earlier launch failed", d.CtxSynchronize());
    }
}
