using System.Collections.Concurrent;

namespace AdmNative.Cpu.Tests;

/// <summary>One cpu device per instruction set and thread count for the whole test run: starting threads thousands of times takes minutes.</summary>
internal static class Backends
{
    private static readonly ConcurrentDictionary<(Isa, int), Lazy<CpuBackend>> s_made = [];

    public static CpuBackend Get(Isa isa, int threads) =>
        s_made.GetOrAdd((isa, threads), static key => new(() => new CpuBackend(new CpuOptions { Isa = key.Item1, Threads = key.Item2 }))).Value;
}
