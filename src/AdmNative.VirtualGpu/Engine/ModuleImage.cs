using System.Buffers.Binary;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>A module's .global and .const variables in device memory.</summary>
internal sealed unsafe class ModuleImage
{
    private readonly Dictionary<string, Allocation> _variables = [];

    /// <summary>Allocates and initialises the variables; addresses inside initialisers are resolved.</summary>
    /// <exception cref="PtxException">A variable that cannot be made; carries the line.</exception>
    public ModuleImage(DeviceMemory memory, PtxModule module)
    {
        if (Problems(module).FirstOrDefault() is { } problem)
        {
            throw problem;
        }

        foreach (PtxVariable v in module.Globals.Where(g => g.Space is PtxSpace.Global or PtxSpace.Const))
        {
            Allocation a = memory.Allocate(v.Bytes, v.Name);
            a.MarkWritten(0, v.Bytes); // without an initialiser they are zero
            new Span<byte>(a.Host, (int)v.Bytes).Clear();
            v.Init?.CopyTo(new Span<byte>(a.Host, (int)v.Bytes));
            _variables[v.Name] = a;
        }

        foreach (PtxVariable v in module.Globals.Where(g => _variables.ContainsKey(g.Name)))
        {
            foreach (PtxRelocation r in v.Relocations)
            {
                var place = new Span<byte>(_variables[v.Name].Host + r.Offset, 8);
                BinaryPrimitives.WriteInt64LittleEndian(place, _variables[r.Symbol].Address + r.Addend);
            }
        }
    }

    /// <summary>What keeps the module's variables from being made.</summary>
    public static IEnumerable<PtxException> Problems(PtxModule module)
    {
        PtxVariable[] variables = [.. module.Globals.Where(g => g.Space is PtxSpace.Global or PtxSpace.Const)];
        var names = variables.Select(v => v.Name).ToHashSet();
        foreach (PtxVariable v in variables)
        {
            if (v.IsExtern)
            {
                yield return new PtxException(v.Line, $"'{v.Name}' is .extern; modules are not linked");
            }

            foreach (PtxRelocation r in v.Relocations)
            {
                if (!names.Contains(r.Symbol) || r.Offset + 8 > v.Bytes)
                {
                    yield return new PtxException(v.Line, $"'{v.Name}' holds the address of '{r.Symbol}', which is not a global variable");
                }
            }
        }
    }

    /// <summary>Allocations by variable name.</summary>
    public IReadOnlyDictionary<string, Allocation> Variables => _variables;
}
