using System.Collections;
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;
using IlCodes = System.Reflection.Emit.OpCodes;
using OpCode = AdmNative.VirtualGpu.Ir.OpCode;

namespace AdmNative.VirtualGpu.Jit;

/// <summary>
/// Emits one region as a method. Branches that all lanes take alike stay inside it; where lanes part, wait or exit, it goes back to the
/// scheduler, which the interpreter shares. A micro-op is emitted as vector code, or as a call of the interpreter's own handler.
/// </summary>
[RequiresDynamicCode("Emits methods at run time.")]
internal sealed unsafe partial class RegionCompiler
{
    /// <summary>Vectors held in locals: as many as leave registers for what an op needs on its way.</summary>
    private const int FullLocals = 24, MaskedLocals = 18;

    private static readonly Type[] s_parameters = [typeof(Interpreter), typeof(uint*), typeof(uint*), typeof(uint), typeof(RegionFrame*)];
    private static readonly Type[] s_handlerParameters = [typeof(Interpreter), typeof(MicroOp*), typeof(uint)];

    private readonly KernelProgram _program;
    private readonly Kernel _kernel;
    private readonly RegionPlan _plan;
    private readonly int _first, _end;
    private readonly DynamicMethod _method;
    private readonly ILGenerator _il;
    private readonly Label[] _labels;
    private readonly LocalBuilder _done, _limit, _bound, _guarded, _bits, _combined;
    private readonly RowLiveness _liveness;
    private readonly Dictionary<int, ulong> _literals;
    private readonly bool _full;

    public RegionCompiler(KernelProgram program, RegionPlan plan, RowLiveness liveness, int region, bool full)
    {
        _program = program;
        _liveness = liveness;
        _full = full;
        _kernel = program.Kernel;
        _plan = plan;
        (_first, _end) = (plan.Starts[region], plan.End(region));
        _method = new DynamicMethod($"{_kernel.Name}.{region}{(full ? "" : ".masked")}", typeof(int), s_parameters, typeof(Interpreter).Module, skipVisibility: true);
        _il = _method.GetILGenerator(1 << 14);
        _labels = [.. Enumerable.Range(_first, _end - _first).Select(_ => _il.DefineLabel())];
        _done = _il.DeclareLocal(typeof(long));
        _limit = _il.DeclareLocal(typeof(long));
        _bound = _il.DeclareLocal(typeof(int));
        _guarded = _il.DeclareLocal(typeof(uint));
        _bits = _il.DeclareLocal(typeof(uint));
        _combined = _il.DeclareLocal(typeof(uint));
        _temp = _il.DeclareLocal(typeof(Vector512<uint>));
        _single = _il.DeclareLocal(typeof(Vector512<float>));
        _mask32 = new LocalBuilder?[2];
        _mask64 = new LocalBuilder?[4];
        _cache = new RowCache(_il, full ? FullLocals : MaskedLocals);
        _literals = _kernel.Constants.Where(c => c.Kind == ConstantKind.Literal).ToDictionary(c => c.Row, c => c.Bits);
    }

    public RegionCode Compile()
    {
        if (!_full)
        {
            EmitMasks();
        }

        LoadField(nameof(RegionFrame.Limit));
        _il.Emit(IlCodes.Stloc, _limit);
        LoadField(nameof(RegionFrame.Bound));
        _il.Emit(IlCodes.Stloc, _bound);
        _il.Emit(IlCodes.Ldc_I8, 0L);
        _il.Emit(IlCodes.Stloc, _done);
        LoadField(nameof(RegionFrame.Entry));
        _il.Emit(IlCodes.Switch, _labels);
        for (int i = _first; i < _end; i++)
        {
            _il.MarkLabel(_labels[i - _first]);
            Emit(_plan.Pieces[i], i);
        }

        return _method.CreateDelegate<RegionCode>();
    }

    private void Emit(in Piece piece, int index)
    {
        Block block = _kernel.Blocks[piece.Block];
        BitArray[] live = _liveness.Within(piece.Block);
        for (int i = piece.From; i < piece.To; i++)
        {
            (BitArray before, BitArray after) = (live[i - block.Start], live[i + 1 - block.Start]);
            _cache.Live = slot => before[slot / 2] || after[slot / 2];
            EmitOp(i);
        }

        BitArray rest = live[piece.To - block.Start];
        _cache.Clear(slot => rest[slot / 2]);
        if (!piece.Last)
        {
            Leave(RegionExit.Piece, index + 1);
        }
        else if (!RegionPlan.Ends(_kernel, block))
        {
            Go(block, block.FallThrough);
        }
        else
        {
            EmitTransfer(piece.Block, block);
        }
    }

    /// <summary>A branch that all lanes take, or none; everything else is the scheduler's.</summary>
    private void EmitTransfer(int index, Block block)
    {
        ref readonly MicroOp op = ref _kernel.Code[block.Start + block.Count - 1];
        if (op.Code != OpCode.Branch)
        {
            Leave(RegionExit.Ended, index);
            return;
        }

        if (op.Guard < 0)
        {
            Go(block, op.Imm);
            return;
        }

        Label taken = _il.DefineLabel(), passed = _il.DefineLabel();
        LoadGuard(op);
        _il.Emit(IlCodes.Ldarg_3);
        _il.Emit(IlCodes.Beq, taken);
        _il.Emit(IlCodes.Ldloc, _guarded);
        _il.Emit(IlCodes.Brfalse, passed);
        Leave(RegionExit.Ended, index);
        _il.MarkLabel(taken);
        Go(block, op.Imm);
        _il.MarkLabel(passed);
        Go(block, block.FallThrough);
    }

    /// <summary>The end of a block whose lanes all go on at another.</summary>
    private void Go(Block block, int next)
    {
        _il.Emit(IlCodes.Ldloc, _done);
        _il.Emit(IlCodes.Ldc_I4, block.Count);
        _il.Emit(IlCodes.Conv_I8);
        _il.Emit(IlCodes.Add);
        _il.Emit(IlCodes.Stloc, _done);
        int piece = _plan.FirstPiece[next];
        if (piece >= _first && piece < _end)
        {
            Label leave = _il.DefineLabel();
            _il.Emit(IlCodes.Ldloc, _done);
            _il.Emit(IlCodes.Ldloc, _limit);
            _il.Emit(IlCodes.Bge, leave);
            _il.Emit(IlCodes.Ldc_I4, next);
            _il.Emit(IlCodes.Ldloc, _bound);
            _il.Emit(IlCodes.Blt, _labels[piece - _first]);
            _il.MarkLabel(leave);
        }

        SetSite(block.Start + block.Count - 1);
        Leave(RegionExit.Moved, next);
    }

    private void Leave(int exit, int next)
    {
        StoreField(nameof(RegionFrame.Next), () => _il.Emit(IlCodes.Ldc_I4, next));
        StoreField(nameof(RegionFrame.Done), () => _il.Emit(IlCodes.Ldloc, _done));
        _il.Emit(IlCodes.Ldc_I4, exit);
        _il.Emit(IlCodes.Ret);
    }

    // ---- micro-ops

    private void EmitOp(int site)
    {
        ref readonly MicroOp op = ref _kernel.Code[site];
        if (op.Code is OpCode.Nop or OpCode.Prefetch or OpCode.Fence)
        {
            return;
        }

        // Under a guard vector code runs even if no lane passes: it then leaves everything as it was.
        _lanes = op.Guard >= 0 ? Lanes.Guarded : _full ? Lanes.All : Lanes.Region;
        if (op.Guard >= 0)
        {
            LoadGuard(op);
            _il.Emit(IlCodes.Pop);
        }

        if (EmitVector(op))
        {
            return;
        }

        BeforeCall(site);
        Label skip = _il.DefineLabel();
        if (op.Guard >= 0)
        {
            _il.Emit(IlCodes.Ldloc, _guarded);
            _il.Emit(IlCodes.Brfalse, skip);
        }

        Call(site);
        _il.MarkLabel(skip);
        AfterCall(site);
    }

    /// <summary>The handler reads rows from memory, and may leave some lanes of those it writes.</summary>
    private void BeforeCall(int site)
    {
        foreach (int row in Rows(site))
        {
            for (int slot = 2 * row; slot < (2 * row) + 4; slot++)
            {
                _cache.Flush(slot);
            }
        }
    }

    private void AfterCall(int site)
    {
        ref readonly OperandRanges r = ref _program.Ranges[site];
        foreach (int row in _program.Operands.AsSpan(r.Destinations, r.DestinationCount))
        {
            for (int slot = 2 * row; slot < (2 * row) + 4; slot++)
            {
                _cache.Forget(slot);
            }
        }
    }

    private IEnumerable<int> Rows(int site)
    {
        OperandRanges r = _program.Ranges[site];
        return [.. _program.Operands.AsSpan(r.Sources, r.SourceCount), .. _program.Operands.AsSpan(r.Uses, r.UseCount), .. _program.Operands.AsSpan(r.Destinations, r.DestinationCount)];
    }

    /// <summary>Leaves the lanes that the guard lets pass in a local and on the stack.</summary>
    private void LoadGuard(in MicroOp op)
    {
        LoadPredicate(op.Guard, op.GuardNegated);
        _il.Emit(IlCodes.Ldarg_3);
        _il.Emit(IlCodes.And);
        _il.Emit(IlCodes.Dup);
        _il.Emit(IlCodes.Stloc, _guarded);
    }

    private void LoadPredicate(int predicate, bool negated)
    {
        _il.Emit(IlCodes.Ldarg_2);
        _il.Emit(IlCodes.Ldc_I4, 4 * predicate);
        _il.Emit(IlCodes.Add);
        _il.Emit(IlCodes.Ldind_U4);
        if (negated)
        {
            _il.Emit(IlCodes.Not);
        }
    }

    /// <summary>Calls the interpreter's handler of the micro-op.</summary>
    private void Call(int site)
    {
        if (_kernel.Code[site].Code is OpCode.Clock32 or OpCode.Clock64)
        {
            _il.Emit(IlCodes.Ldarg_0);
            _il.Emit(IlCodes.Ldloc, _done);
            _il.Emit(IlCodes.Call, s_count);
        }

        SetSite(site);
        _il.Emit(IlCodes.Ldarg_0);
        Pointer(_program.Code + site);
        LoadMask();
        Pointer((void*)(Avx512F.IsSupported ? Interpreter.FastHandlerOf(_program.Code[site]) : _program.Handlers[site]));
        _il.EmitCalli(IlCodes.Calli, CallingConventions.Standard, typeof(void), s_handlerParameters, null);
    }

    private static readonly FieldInfo s_site = typeof(Interpreter).GetField("_site", BindingFlags.Instance | BindingFlags.NonPublic)!;
    private static readonly MethodInfo s_count = typeof(Interpreter).GetMethod(nameof(Interpreter.SetClock), BindingFlags.Instance | BindingFlags.NonPublic)!;

    private void SetSite(int site)
    {
        _il.Emit(IlCodes.Ldarg_0);
        _il.Emit(IlCodes.Ldc_I4, site);
        _il.Emit(IlCodes.Stfld, s_site);
    }

    private void Pointer(void* value)
    {
        _il.Emit(IlCodes.Ldc_I8, (long)value);
        _il.Emit(IlCodes.Conv_I);
    }

    private void LoadField(string name)
    {
        _il.Emit(IlCodes.Ldarg_S, (byte)4);
        _il.Emit(IlCodes.Ldfld, typeof(RegionFrame).GetField(name)!);
    }

    private void StoreField(string name, Action value)
    {
        _il.Emit(IlCodes.Ldarg_S, (byte)4);
        value();
        _il.Emit(IlCodes.Stfld, typeof(RegionFrame).GetField(name)!);
    }
}
