using AdmNative.Cpu;

namespace AdmNative.Cpu.Tests;

public sealed unsafe class PoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    public void Every_task_runs_exactly_once_on_a_valid_worker(int threads)
    {
        using var pool = new WorkerPool(threads);
        Assert.Equal(threads, pool.Threads);
        int* counts = stackalloc int[101];
        for (int round = 0; round < 2000; round++)
        {
            int tasks = round % 101;
            new Span<int>(counts, 101).Clear();
            pool.Run(tasks, new Count(counts, threads));
            for (int i = 0; i < 101; i++)
            {
                Assert.Equal(i < tasks ? 1 : 0, counts[i]);
            }
        }
    }

    [Fact]
    public void Parked_workers_wake_up()
    {
        using var pool = new WorkerPool(3);
        int* counts = stackalloc int[64];
        for (int round = 0; round < 5; round++)
        {
            Thread.Sleep(30);
            new Span<int>(counts, 64).Clear();
            pool.Run(64, new Count(counts, 3));
            Assert.All(new Span<int>(counts, 64).ToArray(), c => Assert.Equal(1, c));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void An_exception_in_a_task_reaches_the_caller_and_the_pool_goes_on(int threads)
    {
        using var pool = new WorkerPool(threads);
        for (int round = 0; round < 50; round++)
        {
            InvalidDataException e = Assert.Throws<InvalidDataException>(() => pool.Run(20, new Throws()));
            Assert.Equal("task 7", e.Message);
        }

        int* counts = stackalloc int[8];
        new Span<int>(counts, 8).Clear();
        pool.Run(8, new Count(counts, threads));
        Assert.All(new Span<int>(counts, 8).ToArray(), c => Assert.Equal(1, c));
    }

    [Fact]
    public void A_loop_inside_a_task_is_refused()
    {
        using var pool = new WorkerPool(2);
        Assert.Throws<InvalidOperationException>(() => pool.Run(4, new Nested(pool)));
    }

    [Fact]
    public void Running_allocates_nothing()
    {
        using var pool = new WorkerPool(3);
        int* counts = stackalloc int[16];
        pool.Run(16, new Count(counts, 3));
        long before = GC.GetTotalAllocatedBytes(precise: true);
        for (int i = 0; i < 1000; i++)
        {
            pool.Run(16, new Count(counts, 3));
        }

        // Other threads of the test host allocate too: 1000 runs at one object of 24 bytes each would be 24000.
        Assert.InRange(GC.GetTotalAllocatedBytes(precise: true) - before, 0, 20000);
    }

    [Fact]
    public void After_disposal_running_is_refused()
    {
        var pool = new WorkerPool(2);
        pool.Dispose();
        pool.Dispose();
        Assert.Throws<ObjectDisposedException>(() => pool.Run(4, new Throws()));
    }

    private readonly struct Count(int* counts, int threads) : IPoolJob
    {
        public void Run(int task, int worker)
        {
            if ((uint)worker >= (uint)threads)
            {
                throw new InvalidOperationException($"worker {worker} of {threads}");
            }

            Interlocked.Increment(ref counts[task]);
        }
    }

    private readonly struct Throws : IPoolJob
    {
        public void Run(int task, int worker)
        {
            if (task == 7)
            {
                throw new InvalidDataException("task 7");
            }
        }
    }

    private readonly struct Nested(WorkerPool pool) : IPoolJob
    {
        public void Run(int task, int worker) => pool.Run(2, new Throws());
    }
}
