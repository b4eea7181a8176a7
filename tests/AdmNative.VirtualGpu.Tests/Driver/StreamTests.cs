using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

/// <summary>Order of work between streams, events and the host. Deferred streams show what no synchronisation guarantees.</summary>
public sealed unsafe class StreamTests
{
    [Fact]
    public void Streams_and_events_are_created_and_destroyed_once()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        nint stream = rig.Stream(), e = rig.Event();
        rig.Ok(d.StreamSynchronize(stream));
        rig.Ok(d.StreamQuery(stream));
        rig.Ok(d.StreamSynchronize(0));
        rig.Ok(d.StreamQuery(0));
        rig.Fails(CudaStatus.InvalidHandle, "another kind", d.StreamSynchronize(e));
        rig.Fails(CudaStatus.InvalidHandle, "another kind", d.EventRecord(stream, 0));
        rig.Fails(CudaStatus.InvalidHandle, "no stream", d.EventRecord(e, e));
        rig.Fails(CudaStatus.InvalidHandle, "no event", d.EventQuery(stream));
        rig.Fails(CudaStatus.InvalidHandle, "no event", d.EventSynchronize(stream));
        rig.Fails(CudaStatus.InvalidHandle, "no event", d.StreamWaitEvent(stream, stream));
        rig.Fails(CudaStatus.InvalidValue, "flags 2", d.StreamCreate(out _, CudaCreateFlags.DisableTiming));
        rig.Fails(CudaStatus.InvalidValue, "flags 16", d.EventCreate(out _, (CudaCreateFlags)16));
        rig.Ok(d.StreamDestroy(stream));
        rig.Ok(d.EventDestroy(e));
        rig.Fails(CudaStatus.InvalidHandle, "destroyed", d.StreamDestroy(stream));
        rig.Fails(CudaStatus.InvalidHandle, "destroyed", d.EventDestroy(e));
        rig.Fails(CudaStatus.InvalidHandle, "destroyed", d.StreamQuery(stream));
        rig.Fails(CudaStatus.InvalidHandle, "is null", d.StreamDestroy(0));
    }

    [Fact]
    public void Elapsed_time_needs_two_recorded_timing_events()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        nint start = rig.Event(), end = rig.Event(), untimed = rig.Event(CudaCreateFlags.DisableTiming), f = rig.Function(rig.Load(), "add1");
        ulong x = rig.Put(new float[32]);
        rig.Ok(d.EventRecord(start, 0));
        rig.Fails(CudaStatus.InvalidHandle, "the end event was never recorded", d.EventElapsedTime(out _, start, end));
        rig.Ok(rig.One(f, x, 32));
        rig.Ok(d.EventRecord(end, 0));
        rig.Ok(d.EventElapsedTime(out float ms, start, end));
        rig.Ok(d.EventElapsedTime(out float back, end, start));
        Assert.InRange(ms, 1e-6, 60_000);
        Assert.Equal(-ms, back);
        rig.Ok(d.EventRecord(untimed, 0));
        rig.Fails(CudaStatus.InvalidHandle, "the start event was created with DisableTiming", d.EventElapsedTime(out _, untimed, end));
        rig.Fails(CudaStatus.InvalidHandle, "no event", d.EventElapsedTime(out _, start, 0));
    }

    [Fact]
    public void Deferred_work_waits_for_a_synchronisation()
    {
        using Rig rig = Rig.Deferred;
        VirtualDriver d = rig.Driver;
        nint stream = rig.Stream(), f = rig.Function(rig.Load(), "add1"), done = rig.Event();
        ulong x = rig.Put(new float[32]);
        rig.Ok(d.MemHostAlloc(out nint host, 128));
        float* value = (float*)host;
        rig.Ok(rig.One(f, x, 32, stream));
        rig.Ok(rig.One(f, x, 32, stream));
        rig.Ok(d.MemcpyDtoH(host, x, 128, stream));
        rig.Ok(d.EventRecord(done, stream));
        Assert.True(float.IsNaN(value[0])); // nothing waited: nothing happened
        Assert.Empty(rig.Driver.Reports);
        rig.Fails(CudaStatus.NotReady, "not reached", d.EventElapsedTime(out _, done, done));
        rig.Ok(d.EventSynchronize(done));
        Assert.Equal(2, value[0]);
        Assert.Equal(2, rig.Driver.Reports.Count);
        rig.Ok(d.EventElapsedTime(out float ms, done, done));
        Assert.Equal(0, ms);
    }

    [Fact]
    public void Polling_ends()
    {
        using Rig rig = Rig.Deferred;
        VirtualDriver d = rig.Driver;
        nint stream = rig.Stream(), f = rig.Function(rig.Load(), "add1"), done = rig.Event();
        ulong x = rig.Put(new float[32]);
        rig.Ok(rig.One(f, x, 32, stream));
        rig.Ok(d.EventRecord(done, stream));
        rig.Ok(rig.One(f, x, 32, stream));
        Assert.Equal(CudaStatus.NotReady, d.StreamQuery(stream));
        int polls = 1;
        while (d.EventQuery(done) == CudaStatus.NotReady)
        {
            Assert.InRange(polls++, 1, 10);
        }

        Assert.Equal(CudaStatus.NotReady, d.StreamQuery(stream));
        while (d.StreamQuery(stream) == CudaStatus.NotReady)
        {
            Assert.InRange(polls++, 1, 10);
        }

        Assert.Equal(2, rig.Get(x, 1)[0]);
        rig.Ok(rig.One(f, x, 32, 0));
        Assert.Equal(CudaStatus.NotReady, d.StreamQuery(0));
        rig.Ok(d.StreamQuery(0));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Two_streams_are_ordered_by_an_event_and_by_nothing_else(bool wait)
    {
        using Rig rig = Rig.Deferred;
        VirtualDriver d = rig.Driver;
        nint module = rig.Load(), scale = rig.Function(module, "scale"), add = rig.Function(module, "add1");
        nint first = rig.Stream(), second = rig.Stream(), e = rig.Event();
        ulong x = rig.Put(new float[32]), y = rig.Alloc(128);
        rig.Ok(rig.One(add, x, 32, first));
        rig.Ok(d.EventRecord(e, first));
        if (wait)
        {
            rig.Ok(d.StreamWaitEvent(second, e));
        }

        rig.Ok(rig.Scale(scale, y, x, 5, 32, second));
        rig.Ok(d.StreamSynchronize(second));
        Assert.Equal(wait ? 5 : 0, rig.Get(y, 1)[0]);
    }

    [Fact]
    public void A_wait_is_for_the_record_at_the_time_of_the_call()
    {
        using Rig rig = Rig.Deferred;
        VirtualDriver d = rig.Driver;
        nint add = rig.Function(rig.Load(), "add1"), first = rig.Stream(), second = rig.Stream(), e = rig.Event();
        ulong x = rig.Put(new float[32]);
        rig.Ok(d.StreamWaitEvent(second, e)); // never recorded: nothing to wait for
        rig.Ok(rig.One(add, x, 32, first));
        rig.Ok(d.EventRecord(e, first));
        rig.Ok(d.StreamWaitEvent(second, e));
        rig.Ok(rig.One(add, x, 32, first));
        rig.Ok(d.EventRecord(e, first));
        rig.Driver.ClearReports();
        rig.Ok(d.StreamSynchronize(second));
        Assert.Single(rig.Driver.Reports); // the second launch is not waited for
        rig.Ok(d.CtxSynchronize());
        Assert.Equal(2, rig.Driver.Reports.Count);
        Assert.Equal(2, rig.Get(x, 1)[0]);
    }

    [Theory]
    [InlineData(CudaCreateFlags.None, 1)]
    [InlineData(CudaCreateFlags.NonBlocking, 0)]
    public void The_null_stream_orders_blocking_streams_only(CudaCreateFlags flags, float expected)
    {
        using Rig rig = Rig.Deferred;
        VirtualDriver d = rig.Driver;
        nint add = rig.Function(rig.Load(), "add1"), stream = rig.Stream(flags);
        ulong x = rig.Put(new float[32]), y = rig.Alloc(128);
        rig.Ok(rig.One(add, x, 32, stream));
        rig.Ok(d.MemcpyDtoD(y, x, 128, 0)); // after the launch if the stream is blocking
        rig.Ok(d.StreamSynchronize(0));
        Assert.Equal(expected, rig.Get(y, 1)[0]);
    }

    [Fact]
    public void Work_of_a_blocking_stream_waits_for_the_null_stream()
    {
        using Rig rig = Rig.Deferred;
        nint add = rig.Function(rig.Load(), "add1"), stream = rig.Stream(CudaCreateFlags.None);
        ulong x = rig.Put(new float[32]);
        rig.Ok(rig.One(add, x, 32, 0));
        rig.Ok(rig.One(add, x, 32, stream));
        rig.Ok(rig.Driver.StreamSynchronize(stream));
        Assert.Equal(2, rig.Driver.Reports.Count);
    }

    [Fact]
    public void Pageable_sources_are_read_at_once_and_page_locked_ones_when_the_copy_runs()
    {
        using Rig rig = Rig.Deferred;
        VirtualDriver d = rig.Driver;
        nint stream = rig.Stream();
        rig.Ok(d.MemHostAlloc(out nint host, 4));
        ulong a = rig.Alloc(4), b = rig.Alloc(4);
        float pageable = 1;
        *(float*)host = 1;
        rig.Ok(d.MemcpyHtoD(a, (nint)(&pageable), 4, stream));
        rig.Ok(d.MemcpyHtoD(b, host, 4, stream));
        pageable = 2;
        *(float*)host = 2;
        rig.Ok(d.StreamSynchronize(stream));
        Assert.Equal((1, 2), (rig.Get(a, 1)[0], rig.Get(b, 1)[0]));
    }

    [Fact]
    public void Freeing_waits_for_the_work_that_uses_the_memory()
    {
        using Rig rig = Rig.Deferred;
        VirtualDriver d = rig.Driver;
        nint module = rig.Load(), add = rig.Function(module, "add1"), stream = rig.Stream();
        ulong x = rig.Put(new float[32]), y = rig.Alloc(128);
        rig.Ok(rig.One(add, x, 32, stream));
        rig.Ok(d.MemcpyDtoD(y, x, 128, stream));
        rig.Ok(d.MemFree(x));
        Assert.Equal(1, rig.Get(y, 1)[0]);
        rig.Ok(rig.One(add, y, 32, stream));
        rig.Ok(d.ModuleUnload(module));
        Assert.Equal(2, rig.Get(y, 1)[0]);
        rig.Ok(d.MemcpyDtoD(y, rig.Put(7), 4, stream));
        rig.Ok(d.StreamDestroy(stream));
        Assert.Equal(7, rig.Get(y, 1)[0]);
    }

    [Fact]
    public void A_deferred_fault_is_reported_where_it_is_waited_for()
    {
        using Rig rig = Rig.Deferred;
        nint module = rig.Load(), stream = rig.Stream();
        rig.Ok(rig.Empty(rig.Function(module, "trapped"), new LaunchShape(1, 1, 1, 32, 1, 1), stream));
        rig.Fails(CudaStatus.LaunchFailed, "trap", rig.Driver.StreamSynchronize(stream));
        rig.Fails(CudaStatus.LaunchFailed, "an earlier launch failed", rig.Driver.StreamQuery(stream));
    }

    [Fact]
    public void A_long_queue_does_not_overflow()
    {
        using Rig rig = Rig.Deferred;
        nint stream = rig.Stream();
        ulong a = rig.Alloc(4);
        for (uint i = 0; i < 100_000; i++)
        {
            rig.Ok(rig.Driver.MemsetD32(a, i, 1, stream));
        }

        rig.Ok(rig.Driver.StreamSynchronize(stream));
        Assert.Equal(99_999, BitConverter.SingleToInt32Bits(rig.Get(a, 1)[0]));
    }
}
