using System.Buffers.Binary;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>A module's .global and .const variables in device memory.</summary>
internal sealed unsafe class ModuleImage
{
    private readonly Dictionary<string, Allocation> _variables = [];

    /// <summary>Allocates and initialises the variables; addresses inside initialisers are resolved.</summary>
    public ModuleImage(DeviceMemory memory, PtxModule module)
    {
        foreach (PtxVariable v in module.Globals.Where(g => g.Space is PtxSpace.Global or PtxSpace.Const))
        {
            if (v.IsExtern)
            {
                throw new PtxException(v.Line, $"'{v.Name}' is .extern; modules are not linked");
            }

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
                if (!_variables.TryGetValue(r.Symbol, out Allocation? target) || r.Offset + 8 > v.Bytes)
                {
                    throw new PtxException(v.Line, $"'{v.Name}' holds the address of '{r.Symbol}', which is not a global variable");
                }

                var place = new Span<byte>(_variables[v.Name].Host + r.Offset, 8);
                BinaryPrimitives.WriteInt64LittleEndian(place, target.Address + r.Addend);
            }
        }
    }

    /// <summary>Allocations by variable name.</summary>
    public IReadOnlyDictionary<string, Allocation> Variables => _variables;
}
