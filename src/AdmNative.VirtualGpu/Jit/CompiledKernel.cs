using System.Runtime.CompilerServices;
using AdmNative.VirtualGpu.Engine;

namespace AdmNative.VirtualGpu.Jit;

/// <summary>How compiled code came back.</summary>
internal static class RegionExit
{
    /// <summary>All lanes go on at block <see cref="RegionFrame.Next"/>.</summary>
    public const int Moved = 0;

    /// <summary>The straight code of block <see cref="RegionFrame.Next"/> is done; its transfer is not.</summary>
    public const int Ended = 1;

    /// <summary>The next part of a long block, piece <see cref="RegionFrame.Next"/>, comes now.</summary>
    public const int Piece = 2;
}

/// <summary>What compiled code is told and tells back.</summary>
internal struct RegionFrame
{
    /// <summary>Where to start: a piece, counted from the region's first.</summary>
    public int Entry;

    /// <summary>Come back before this block: other lanes are there, or at one behind it.</summary>
    public int Bound;

    /// <summary>Come back at the end of the block that brings the micro-ops to this number.</summary>
    public long Limit;

    /// <summary>Micro-ops of the blocks that were left by a uniform branch.</summary>
    public long Done;

    public int Next;
}

/// <summary>Runs a region from an entry on, as long as the lanes stay together.</summary>
internal unsafe delegate int RegionCode(Interpreter interpreter, uint* rows, uint* predicates, uint mask, RegionFrame* frame);

/// <summary>The compiled regions of a kernel, made when they are hot: one method for full warps, one for the rest.</summary>
internal sealed class CompiledKernel(KernelProgram program)
{
    /// <summary>Interpreted runs of a region's blocks that pay for compiling it.</summary>
    public const int WarmUp = 500;

    private readonly Lock _lock = new();
    private RegionCode?[]? _full;
    private RegionCode?[]? _masked;
    private int[]? _runs;
    private RowLiveness? _liveness;

    public RegionPlan Plan { get; } = new(program);

    /// <summary>Methods made so far.</summary>
    public int Methods => (_full?.Count(c => c is not null) ?? 0) + (_masked?.Count(c => c is not null) ?? 0);

    /// <summary>The code for a piece under a mask; null while it is cold.</summary>
    public RegionCode? Find(int piece, uint mask, int warmUp)
    {
        int region = Plan.RegionOf[piece];
        RegionCode?[]? table = Volatile.Read(ref mask == uint.MaxValue ? ref _full : ref _masked);
        return (table is null ? null : Volatile.Read(ref table[region])) ?? Warm(region, mask, warmUp);
    }

    private RegionCode? Warm(int region, uint mask, int warmUp)
    {
        if (!RuntimeFeature.IsDynamicCodeSupported)
        {
            return null; // launches do not come here then; the trimmer wants to see it
        }

        lock (_lock)
        {
            _runs ??= new int[Plan.Starts.Length];
            if (_runs[region]++ < warmUp)
            {
                return null;
            }

            ref RegionCode?[]? table = ref mask == uint.MaxValue ? ref _full : ref _masked;
            table ??= new RegionCode?[Plan.Starts.Length];
            return table[region] ??= new RegionCompiler(program, Plan, _liveness ??= new RowLiveness(program), region, full: mask == uint.MaxValue).Compile();
        }
    }
}
