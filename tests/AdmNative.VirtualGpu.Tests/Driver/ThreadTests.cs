using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

public sealed class ThreadTests
{
    [Fact]
    public void The_current_context_belongs_to_the_thread()
    {
        using var rig = new Rig();
        CudaStatus unbound = CudaStatus.Success, bound = CudaStatus.Unknown;
        string detail = "";
        var thread = new Thread(() =>
        {
            unbound = rig.Driver.MemAlloc(out _, 4);
            detail = rig.Driver.LastErrorDetail;
            rig.Driver.CtxSetCurrent(rig.Context);
            bound = rig.Driver.MemAlloc(out _, 4);
        });
        thread.Start();
        thread.Join();
        Assert.Equal((CudaStatus.InvalidContext, CudaStatus.Success), (unbound, bound));
        Assert.Contains("no context is current", detail, StringComparison.Ordinal);
        Assert.Equal("", rig.Driver.LastErrorDetail); // explanations belong to the thread too
    }

    [Theory]
    [InlineData(StreamOrder.Immediate)]
    [InlineData(StreamOrder.Deferred)]
    public void Several_threads_use_their_own_streams_at_once(StreamOrder order)
    {
        using var rig = new Rig(new VirtualDriverOptions { Streams = order });
        nint module = rig.Load(), scale = rig.Function(module, "scale"), add = rig.Function(module, "add1");
        const int Threads = 4, Rounds = 25;
        var failures = new Exception?[Threads];
        var workers = new Thread[Threads];
        for (int t = 0; t < Threads; t++)
        {
            int id = t;
            workers[t] = new Thread(() =>
            {
                try
                {
                    rig.Ok(rig.Driver.CtxSetCurrent(rig.Context));
                    nint stream = rig.Stream(), e = rig.Event();
                    for (int round = 0; round < Rounds; round++)
                    {
                        float start = (id * 1000) + round;
                        ulong x = rig.Put([.. Enumerable.Repeat(start, 64)]), y = rig.Alloc(256);
                        rig.Ok(rig.One(add, x, 64, stream));
                        rig.Ok(rig.Scale(scale, y, x, 2, 64, stream));
                        rig.Ok(rig.Driver.EventRecord(e, stream));
                        rig.Ok(rig.Driver.EventSynchronize(e));
                        Assert.All(rig.Get(y, 64), v => Assert.Equal(2 * (start + 1), v));
                        rig.Ok(rig.Driver.MemFree(x));
                        rig.Ok(rig.Driver.MemFree(y));
                    }
                }
                catch (Exception failure)
                {
                    failures[id] = failure;
                }
            });
            workers[t].Start();
        }

        foreach (Thread worker in workers)
        {
            worker.Join();
        }

        Assert.All(failures, Assert.Null);
        Assert.Equal(Threads * Rounds * 2, rig.Driver.Reports.Count);
        Assert.Empty(rig.Driver.Findings);
        rig.Ok(rig.Driver.MemGetInfo(out nuint free, out nuint total));
        Assert.Equal(20u, (uint)(total - free)); // the module's variables alone
    }
}
