using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using AdmNative.Core;

namespace AdmNative.Cpu;

/// <summary>Instruction set the kernels are instantiated for.</summary>
public enum Isa
{
    /// <summary>The widest this machine accelerates; ADMNATIVE_CPU_ISA (avx512, avx2, portable) overrides.</summary>
    Auto,

    /// <summary>512-bit vectors, 32 registers.</summary>
    Avx512,

    /// <summary>256-bit vectors with FMA, 16 registers.</summary>
    Avx2,

    /// <summary>128-bit vectors: every machine.</summary>
    Portable,
}

/// <summary>Which instruction sets this process may use.</summary>
public static class IsaSupport
{
    /// <summary>Environment variable that decides what <see cref="Isa.Auto"/> means.</summary>
    public const string Variable = "ADMNATIVE_CPU_ISA";

    /// <summary>True if kernels of that set run here at hardware speed; Auto and Portable always do.</summary>
    public static bool IsSupported(Isa isa) => isa switch
    {
        Isa.Avx512 => Vector512.IsHardwareAccelerated && Avx512F.IsSupported,
        Isa.Avx2 => Vector256.IsHardwareAccelerated && Avx2.IsSupported && Fma.IsSupported,
        _ => true,
    };

    /// <summary>The sets this machine has, widest first; never contains Auto.</summary>
    public static IReadOnlyList<Isa> Available { get; } =
        Array.FindAll([Isa.Avx512, Isa.Avx2, Isa.Portable], IsSupported);

    /// <summary>Turns a request into a concrete set.</summary>
    /// <exception cref="DeviceUnavailableException">The set is not supported here, or the variable is not one of the names.</exception>
    public static Isa Resolve(Isa requested)
    {
        string? name = requested == Isa.Auto ? Environment.GetEnvironmentVariable(Variable) : null;
        if (!string.IsNullOrEmpty(name) && !Enum.TryParse(name, ignoreCase: true, out requested))
        {
            throw new DeviceUnavailableException($"{Variable}={name}: expected auto, avx512, avx2 or portable");
        }

        if (!IsSupported(requested))
        {
            throw new DeviceUnavailableException(
                $"{requested} kernels need a processor and runtime with {requested}; available here: {string.Join(", ", Available)}");
        }

        return requested == Isa.Auto ? Available[0] : requested;
    }
}
