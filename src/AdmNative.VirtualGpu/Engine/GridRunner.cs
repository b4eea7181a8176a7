using System.Runtime.InteropServices;
using AdmNative.Cuda;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>Runs grids of one module's kernels over a device memory.</summary>
internal sealed unsafe class GridRunner(DeviceMemory memory, ModuleImage image)
{
    /// <summary>Threads a block may have.</summary>
    public const int MaxThreads = 1024;

    /// <summary>Executes a launch to its end, or to the finding that stops it.</summary>
    /// <exception cref="ArgumentException">A shape no device takes, or a parameter block of the wrong size.</exception>
    public LaunchReport Run(Kernel kernel, in LaunchShape shape, ReadOnlySpan<byte> parameters, LaunchOptions options)
    {
        Validate(kernel, shape, parameters);
        KernelProgram program = KernelProgram.Of(kernel);
        byte* block = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(kernel.ParameterBytes, 16), 64);
        uint* template = (uint*)NativeMemory.AlignedAlloc((nuint)(kernel.Rows + Interpreter.ScratchRows) * 128, 64);
        try
        {
            parameters[..kernel.ParameterBytes].CopyTo(new Span<byte>(block, kernel.ParameterBytes));
            FillTemplate(kernel, shape, template);
            var launch = new Launch(program, shape, options, memory, block, template);
            int[] order = Order(checked((int)((long)shape.GridX * shape.GridY * shape.GridZ)), options);
            SiteCounts[] counts = Execute(launch, order);
            (Counters total, IReadOnlyList<LineCounters> lines) = options.Counters ? CounterSums.Of(kernel, counts) : (new Counters(), []);
            total = total with { GlobalFootprintSectors = memory.TouchedSectors(launch.Number) };
            return new LaunchReport
            {
                Kernel = kernel.Name,
                Completed = !launch.Stopped,
                Status = launch.Status,
                Findings = launch.Findings,
                FindingsDropped = launch.Dropped,
                Counters = total,
                Lines = lines,
                Output = launch.Output,
                SpinRotations = launch.Rotations,
            };
        }
        finally
        {
            NativeMemory.AlignedFree(block);
            NativeMemory.AlignedFree(template);
        }
    }

    private static void Validate(Kernel kernel, in LaunchShape shape, ReadOnlySpan<byte> parameters)
    {
        if (parameters.Length < kernel.ParameterBytes)
        {
            throw new ArgumentException($"'{kernel.Name}' takes {kernel.ParameterBytes} bytes of parameters, {parameters.Length} given");
        }

        ulong threads = (ulong)shape.BlockX * shape.BlockY * shape.BlockZ;
        if (shape.BlockX > MaxThreads || shape.BlockY > MaxThreads || threads is 0 or > MaxThreads)
        {
            throw new ArgumentException($"a block of {shape.BlockX}x{shape.BlockY}x{shape.BlockZ} threads; 1 to {MaxThreads} are possible");
        }

        if (shape.GridX == 0 || shape.GridY == 0 || shape.GridZ == 0 || (UInt128)shape.GridX * shape.GridY * shape.GridZ > int.MaxValue)
        {
            throw new ArgumentException($"a grid of {shape.GridX}x{shape.GridY}x{shape.GridZ} blocks; 1 to {int.MaxValue} are possible");
        }

        if (shape.SharedBytes > 1 << 20)
        {
            throw new ArgumentException($"{shape.SharedBytes} bytes of dynamic shared memory; no device has so much");
        }
    }

    private void FillTemplate(Kernel kernel, in LaunchShape shape, uint* template)
    {
        new Span<uint>(template, (kernel.Rows + Interpreter.ScratchRows) * 32).Fill(uint.MaxValue);
        int sharedBytes = kernel.UsesDynamicShared ? kernel.DynamicSharedOffset + (int)shape.SharedBytes : kernel.StaticSharedBytes;
        foreach (ConstantRow c in kernel.Constants)
        {
            ulong value = c.Kind switch
            {
                ConstantKind.Literal => c.Bits,
                ConstantKind.GlobalSymbol => (ulong)image.Variables[c.Name].Address + c.Bits,
                ConstantKind.DynamicShared => (ulong)kernel.DynamicSharedOffset + c.Bits,
                ConstantKind.Special => c.Name switch
                {
                    "%ntid.x" => shape.BlockX,
                    "%ntid.y" => shape.BlockY,
                    "%ntid.z" => shape.BlockZ,
                    "%nctaid.x" => shape.GridX,
                    "%nctaid.y" => shape.GridY,
                    "%nctaid.z" => shape.GridZ,
                    "%nwarpid" => ((shape.BlockX * shape.BlockY * shape.BlockZ) + 31) / 32,
                    "%nsmid" => 1,
                    "%dynamic_smem_size" => shape.SharedBytes,
                    "%total_smem_size" => (uint)sharedBytes,
                    _ => 0, // per CTA or warp: filled there
                },
                _ => (ulong)kernel.SymbolOffsets[c.Name] + c.Bits,
            };
            Fill(template, c.Row, c.Wide, value);
        }
    }

    /// <summary>Broadcasts a value over a row.</summary>
    internal static void Fill(uint* rows, int row, bool wide, ulong value)
    {
        if (wide)
        {
            new Span<ulong>((ulong*)(rows + (row * 32)), 32).Fill(value);
        }
        else
        {
            new Span<uint>(rows + (row * 32), 32).Fill((uint)value);
        }
    }

    private static int[] Order(int count, LaunchOptions options)
    {
        int[] order = [.. Enumerable.Range(0, count)];
        if (options.Schedule == SchedulePolicy.Reverse || options.Schedule == SchedulePolicy.Adversarial)
        {
            Array.Reverse(order);
        }
        else if (options.Schedule == SchedulePolicy.Random)
        {
            var random = new SplitMix(options.Seed ^ 0x9E37_79B9_7F4A_7C15);
            for (int i = count - 1; i > 0; i--)
            {
                int j = (int)(random.Next() % (ulong)(i + 1));
                (order[i], order[j]) = (order[j], order[i]);
            }
        }

        return order;
    }

    private static SiteCounts[] Execute(Launch launch, int[] order)
    {
        int threads = launch.Options.Threads == 0 ? Environment.ProcessorCount : launch.Options.Threads;
        if ((launch.Options.Checks & Checks.InterCta) != 0 || launch.Program.AddsFloats)
        {
            threads = 1;
        }

        threads = Math.Min(threads, order.Length);
        if (threads == 1)
        {
            return Work(launch, order, 0, 1);
        }

        launch.Parallel = true;
        var results = new SiteCounts[threads][];
        var failures = new Exception?[threads];
        var workers = new Thread[threads];
        for (int t = 0; t < threads; t++)
        {
            int index = t;
            workers[t] = new Thread(() =>
            {
                try
                {
                    results[index] = Work(launch, order, index, threads);
                }
                catch (Exception e)
                {
                    failures[index] = e;
                    launch.Stopped = true;
                }
            })
            { IsBackground = true, Name = $"cta {t}" };
            workers[t].Start();
        }

        foreach (Thread worker in workers)
        {
            worker.Join();
        }

        if (failures.FirstOrDefault(f => f is not null) is { } failure)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }

        SiteCounts[] sum = results[0];
        foreach (SiteCounts[] other in results.Skip(1))
        {
            for (int i = 0; i < sum.Length; i++)
            {
                sum[i].Add(other[i]);
            }
        }

        return sum;
    }

    /// <summary>Runs every threads-th CTA of the order.</summary>
    private static SiteCounts[] Work(Launch launch, int[] order, int first, int step)
    {
        using var interpreter = new Interpreter(launch);
        try
        {
            for (int i = first; i < order.Length && !launch.Stopped; i += step)
            {
                interpreter.RunCta(order[i]);
            }
        }
        catch (LaunchStoppedException)
        {
            launch.Stopped = true;
        }

        return interpreter.Counts;
    }
}

/// <summary>A small seeded generator for schedules.</summary>
internal struct SplitMix(ulong seed)
{
    private ulong _state = seed;

    public ulong Next()
    {
        ulong z = _state += 0x9E37_79B9_7F4A_7C15;
        z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
        z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
        return z ^ (z >> 31);
    }
}
