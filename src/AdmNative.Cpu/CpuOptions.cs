namespace AdmNative.Cpu;

/// <summary>How the cpu device is used.</summary>
public sealed record CpuOptions
{
    /// <summary>Worker threads, the caller's included; 0 takes every processor this process may use.</summary>
    public int Threads { get; init; }

    /// <summary>
    /// Vector instructions to use. <see cref="Cpu.Isa.Auto"/> takes ADMNATIVE_CPU_ISA (avx512, avx2 or portable) if that is set,
    /// else the widest the processor has.
    /// </summary>
    public Isa Isa { get; init; }
}
