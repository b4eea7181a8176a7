using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace AdmNative.Cpu;

/// <summary>Work that <see cref="WorkerPool.Run{TJob}"/> splits: a struct, copied once per run.</summary>
internal interface IPoolJob
{
    /// <summary>Does task <paramref name="task"/>; <paramref name="worker"/> (0..Threads-1) names private scratch.</summary>
    void Run(int task, int worker);
}

/// <summary>
/// A fixed set of threads for short parallel loops. The calling thread is worker 0. Tasks are handed out in ascending order by a
/// counter, so a result may depend on the task but never on the worker or on the number of threads. Running allocates nothing.
/// One loop at a time: callers from several threads wait for each other; a task must not start a loop.
/// </summary>
/// <remarks>
/// The counter is one 64-bit ticket: loop number (high half) and tasks not yet claimed (low half). A worker claims by
/// compare-exchange, so a thread that was descheduled through a whole loop does no harm and nobody waits for it.
/// Idle workers spin for about 50 us, then park.
/// </remarks>
internal sealed unsafe class WorkerPool : IDisposable
{
    private const int SpinsBeforePark = 2000;
    private const int SpinsBeforeYield = 2000;

    /// <summary>The pool whose task this thread is running.</summary>
    [ThreadStatic]
    private static WorkerPool? t_inside;

    private readonly Thread[] _threads;
    private readonly int[]? _cpus;
    private readonly Lock _gate = new();
    private readonly object _park = new();

    private long _ticket;
    private int _finished;
    private int _parked;
    private volatile bool _stop;

    private void* _job;
    private delegate*<void*, int, int, void> _invoke;
    private int _tasks;
    private Exception? _error;

    /// <summary>Starts threads - 1 workers; 0 means one thread per processor this process may use.</summary>
    /// <param name="threads">Workers including the caller.</param>
    /// <param name="pin">Bind each worker to one processor where the system allows it.</param>
    public WorkerPool(int threads = 0, bool pin = true)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Threads = threads == 0 ? Environment.ProcessorCount : threads;
        _cpus = pin ? Affinity.Allowed() : null;
        if (_cpus is not null && _cpus.Length < Threads)
        {
            _cpus = null;
        }

        _threads = new Thread[Threads - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            int worker = i + 1;
            _threads[i] = new Thread(() => Work(worker), 1 << 20) { IsBackground = true, Name = $"adm-cpu-{worker}" };
            _threads[i].Start();
        }
    }

    /// <summary>Workers including the calling thread.</summary>
    public int Threads { get; }

    /// <summary>Runs tasks 0..tasks-1 and returns when all are done.</summary>
    /// <remarks>After a task throws, unclaimed tasks are skipped and the first exception reaches the caller.</remarks>
    public void Run<TJob>(int tasks, in TJob job) where TJob : struct, IPoolJob
    {
        if (tasks <= 0)
        {
            return;
        }

        TJob local = job;
        if (Threads == 1 || tasks == 1)
        {
            for (int task = 0; task < tasks; task++)
            {
                local.Run(task, 0);
            }

            return;
        }

#pragma warning disable CS8500 // the job may hold references: it stays in this frame, which is a root, until every task is done
        RunShared(tasks, &local, &Invoke<TJob>);
#pragma warning restore CS8500
    }

    /// <summary>Stops and joins the workers.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_stop)
            {
                return;
            }

            lock (_park)
            {
                _stop = true;
                Monitor.PulseAll(_park);
            }

            foreach (Thread thread in _threads)
            {
                thread.Join();
            }
        }
    }

    private static void Invoke<TJob>(void* job, int task, int worker) where TJob : struct, IPoolJob
    {
#pragma warning disable CS8500
        ((TJob*)job)->Run(task, worker);
#pragma warning restore CS8500
    }

    private void RunShared(int tasks, void* job, delegate*<void*, int, int, void> invoke)
    {
        if (t_inside == this)
        {
            throw new InvalidOperationException("WorkerPool.Run was called from inside a task; tasks must not start loops");
        }

        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_stop, this);
            _job = job;
            _invoke = invoke;
            _tasks = tasks;
            _error = null;
            _finished = 0;
            long loop = (Volatile.Read(ref _ticket) >> 32) + 1;
            Interlocked.Exchange(ref _ticket, (loop << 32) | (uint)tasks);   // full fence: publish before looking for sleepers
            if (Volatile.Read(ref _parked) > 0)
            {
                lock (_park)
                {
                    Monitor.PulseAll(_park);
                }
            }

            t_inside = this;
            Drain(0);
            t_inside = null;
            int spins = 0;
            while (Volatile.Read(ref _finished) != tasks)
            {
                if (++spins < SpinsBeforeYield)
                {
                    Thread.SpinWait(8);
                }
                else
                {
                    Thread.Yield();
                }
            }

            Exception? error = _error;
            if (error is not null)
            {
                _error = null;
                ExceptionDispatchInfo.Throw(error);
            }
        }
    }

    /// <summary>Claims and runs tasks until none is left.</summary>
    private void Drain(int worker)
    {
        while (true)
        {
            long ticket = Volatile.Read(ref _ticket);
            int left = (int)(uint)ticket;
            if (left == 0)
            {
                return;
            }

            if (Interlocked.CompareExchange(ref _ticket, ticket - 1, ticket) != ticket)
            {
                continue;
            }

            // The claim succeeded, so this loop cannot end before the increment below and its fields are stable.
            try
            {
                if (Volatile.Read(ref _error) is null)
                {
                    _invoke(_job, _tasks - left, worker);
                }
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref _error, e, null);
            }

            Interlocked.Increment(ref _finished);
        }
    }

    private void Work(int worker)
    {
        if (_cpus is not null)
        {
            Affinity.Pin(_cpus[worker]);
        }

        t_inside = this;
        int spins = 0;
        while (!_stop)
        {
            if ((uint)Volatile.Read(ref _ticket) != 0)
            {
                Drain(worker);
                spins = 0;
            }
            else if (++spins < SpinsBeforePark)
            {
                Thread.SpinWait(8);
            }
            else
            {
                lock (_park)
                {
                    Interlocked.Increment(ref _parked);   // full fence: count ourselves before looking at the ticket
                    while (!_stop && (uint)Volatile.Read(ref _ticket) == 0)
                    {
                        Monitor.Wait(_park);
                    }

                    Interlocked.Decrement(ref _parked);
                }

                spins = 0;
            }
        }
    }
}

/// <summary>Processor affinity of the calling thread: Linux only, elsewhere nothing is pinned.</summary>
internal static unsafe partial class Affinity
{
    private const int MaskBytes = 1024 / 8;

    /// <summary>Processors this thread may run on, ascending; null where that cannot be asked.</summary>
    public static int[]? Allowed()
    {
        if (!OperatingSystem.IsLinux())
        {
            return null;
        }

        byte* mask = stackalloc byte[MaskBytes];
        new Span<byte>(mask, MaskBytes).Clear();
        if (GetAffinity(0, MaskBytes, mask) != 0)
        {
            return null;
        }

        var cpus = new List<int>();
        for (int i = 0; i < MaskBytes * 8; i++)
        {
            if ((mask[i / 8] & (1 << (i % 8))) != 0)
            {
                cpus.Add(i);
            }
        }

        return [.. cpus];
    }

    /// <summary>Binds the calling thread; false (and no change) where the system refuses, which only costs speed.</summary>
    public static bool Pin(int cpu)
    {
        byte* mask = stackalloc byte[MaskBytes];
        new Span<byte>(mask, MaskBytes).Clear();
        mask[cpu / 8] = (byte)(1 << (cpu % 8));
        return SetAffinity(0, MaskBytes, mask) == 0;
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity")]
    private static partial int GetAffinity(int pid, nuint bytes, byte* mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    private static partial int SetAffinity(int pid, nuint bytes, byte* mask);
}
