using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

/// <summary>Random programs over several streams with all the events they need: every legal order gives the same bytes, captured or not.</summary>
public sealed class RandomScheduleTests
{
    private const int Buffers = 5, Streams = 3;

    /// <summary>
    /// Steps over the buffers, each on a random stream. A step waits for the last writer of what it touches, and a writer for the readers as well,
    /// if they ran on other streams; with a skipped wait the program has a race.
    /// </summary>
    private static uint[] Run(int seed, StreamOrder order, bool capture, int steps, int skippedWait = -1)
    {
        using var rig = new Rig(new VirtualDriverOptions { Streams = order });
        VirtualDriver d = rig.Driver;
        var random = new Random(seed);
        nint[] streams = [.. Enumerable.Range(0, Streams).Select(_ => rig.Stream())];
        ulong[] buffers = [.. Enumerable.Range(0, Buffers).Select(i => rig.Put(i + 1, 0, 0, 0))];
        var writer = new (nint Stream, nint Event)?[Buffers];
        var readers = new List<(nint Stream, nint Event)>[Buffers];
        for (int i = 0; i < Buffers; i++)
        {
            readers[i] = [];
        }

        int waits = 0;
        void Wait(nint stream, (nint Stream, nint Event)? on)
        {
            if (on is { } o && o.Stream != stream && waits++ != skippedWait)
            {
                rig.Ok(d.StreamWaitEvent(stream, o.Event));
            }
        }

        if (capture)
        {
            rig.Ok(d.StreamBeginCapture(streams[0]));
            nint fork = rig.Event();
            rig.Ok(d.EventRecord(fork, streams[0]));
            foreach (nint s in streams[1..])
            {
                rig.Ok(d.StreamWaitEvent(s, fork));
            }
        }

        for (int step = 0; step < steps; step++)
        {
            nint stream = streams[random.Next(Streams)];
            int to = random.Next(Buffers), from = random.Next(Buffers), kind = random.Next(3);
            Wait(stream, writer[to]);
            readers[to].ForEach(r => Wait(stream, r));
            if (kind < 2 && from != to)
            {
                Wait(stream, writer[from]);
                rig.Ok(d.MemcpyDtoD(buffers[to] + (ulong)(4 * random.Next(3)), buffers[from] + (ulong)(4 * random.Next(3)), 8, stream));
            }
            else
            {
                rig.Ok(d.MemsetD32(buffers[to] + (ulong)(4 * random.Next(4)), (uint)step, 1, stream));
            }

            nint done = rig.Event();
            rig.Ok(d.EventRecord(done, stream));
            writer[to] = (stream, done);
            readers[to].Clear();
            readers[from].Add((stream, done));
        }

        if (capture)
        {
            foreach (nint s in streams[1..])
            {
                nint join = rig.Event();
                rig.Ok(d.EventRecord(join, s));
                rig.Ok(d.StreamWaitEvent(streams[0], join));
            }

            rig.Ok(d.StreamEndCapture(streams[0], out nint graph));
            rig.Ok(d.GraphGetNodeCount(out nuint nodes, graph));
            Assert.Equal((nuint)steps, nodes);
            rig.Ok(d.GraphInstantiate(out nint exec, graph));
            rig.Ok(d.GraphLaunch(exec, streams[0]));
        }

        rig.Ok(d.CtxSynchronize());
        return [.. buffers.SelectMany(b => rig.Get(b, 4)).Select(BitConverter.SingleToUInt32Bits)];
    }

    [Fact]
    public void Programs_with_all_their_events_give_the_same_bytes_in_every_order()
    {
        for (int seed = 0; seed < 40; seed++)
        {
            uint[] expected = Run(seed, StreamOrder.Immediate, capture: false, 60);
            Assert.Equal(expected, Run(seed, StreamOrder.Deferred, capture: false, 60));
            Assert.Equal(expected, Run(seed, StreamOrder.Immediate, capture: true, 60));
            Assert.Equal(expected, Run(seed, StreamOrder.Deferred, capture: true, 60));
        }
    }

    [Fact]
    public void A_missing_wait_shows_when_work_is_deferred()
    {
        const int Short = 12; // later steps would write over what a race did
        int streams = 0, graphs = 0, immediate = 0;
        for (int seed = 0; seed < 20; seed++)
        {
            uint[] expected = Run(seed, StreamOrder.Immediate, capture: false, Short);
            for (int skipped = 0; skipped < 6; skipped++)
            {
                immediate += Run(seed, StreamOrder.Immediate, capture: false, Short, skipped).SequenceEqual(expected) ? 0 : 1;
                streams += Run(seed, StreamOrder.Deferred, capture: false, Short, skipped).SequenceEqual(expected) ? 0 : 1;
                graphs += Run(seed, StreamOrder.Deferred, capture: true, Short, skipped).SequenceEqual(expected) ? 0 : 1;
            }
        }

        Assert.Equal(0, immediate); // nothing overtakes anything there
        Assert.True(streams > 0 && graphs > 0, $"of 120 races {streams} seen in streams, {graphs} in graphs"); // many a wait is implied by others
    }
}
