using System.Globalization;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Text;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>How the values in a row are to be read.</summary>
internal enum NumberFormat : byte
{
    /// <summary>Not a floating-point value: always finite.</summary>
    Integer, F16, F16x2, BF16, BF16x2, TF32, F32, F64,
}

// The numeric check: an instruction whose inputs are all finite and whose result is not. Only then: a NaN that flows on is reported
// where it began, and an infinity that a kernel put in on purpose is not reported at all. The watched instructions get another handler
// when the check is on, so that it costs nothing when it is off.
internal sealed unsafe partial class Interpreter
{
    /// <summary>Handlers of the program, with those of floating-point instructions wrapped.</summary>
    private nint[] WatchedHandlers()
    {
        nint[] handlers = GC.AllocateUninitializedArray<nint>(_launch.Program.Length, pinned: true);
        for (int i = 0; i < handlers.Length; i++)
        {
            delegate*<Interpreter, MicroOp*, uint, void> watch = _code[i].Code == OpCode.Mma
                ? (MmaInput((MmaShape)_code[i].Imm) == NumberFormat.Integer ? null : &WatchMma)
                : Formats(_code[i]) is null ? null : &WatchNumbers;
            handlers[i] = watch is null ? _launch.Program.Handlers[i] : (nint)watch;
        }

        return handlers;
    }

    /// <summary>Formats of the sources and the result of an instruction that can make a NaN or an infinity, or null.</summary>
    private static (NumberFormat From, NumberFormat To)? Formats(in MicroOp op)
    {
        switch (op.Code)
        {
            case OpCode.AddF32 or OpCode.SubF32 or OpCode.MulF32 or OpCode.FmaF32 or OpCode.DivF32 or OpCode.RcpF32 or OpCode.SqrtF32
                or (>= OpCode.DivApproxF32 and <= OpCode.TanhF32):
                return (NumberFormat.F32, NumberFormat.F32);
            case OpCode.AddF64 or OpCode.SubF64 or OpCode.MulF64 or OpCode.FmaF64 or OpCode.DivF64 or OpCode.RcpF64 or OpCode.SqrtF64:
                return (NumberFormat.F64, NumberFormat.F64);
            case OpCode.AddHalf or OpCode.SubHalf or OpCode.MulHalf or OpCode.FmaHalf or OpCode.Ex2Half or OpCode.TanhHalf:
                NumberFormat half = (HalfKind)op.Imm switch
                {
                    HalfKind.F16 => NumberFormat.F16,
                    HalfKind.F16x2 => NumberFormat.F16x2,
                    HalfKind.BF16 => NumberFormat.BF16,
                    _ => NumberFormat.BF16x2,
                };
                return (half, half);
            case OpCode.CvtIntToFloat or OpCode.CvtFloat or OpCode.CvtPack2:
                NumberFormat to = FormatOf(op.Type);
                return to == NumberFormat.Integer ? null : (FormatOf(op.SourceType), to);
            default:
                return null;
        }
    }

    private static NumberFormat FormatOf(PtxType type) => type switch
    {
        PtxType.F16 => NumberFormat.F16,
        PtxType.F16x2 => NumberFormat.F16x2,
        PtxType.BF16 => NumberFormat.BF16,
        PtxType.BF16x2 => NumberFormat.BF16x2,
        PtxType.TF32 => NumberFormat.TF32,
        PtxType.F32 => NumberFormat.F32,
        PtxType.F64 => NumberFormat.F64,
        _ => NumberFormat.Integer,
    };

    /// <summary>Lanes whose value is finite: the (low) value, and the high one of a pair.</summary>
    private static (uint Low, uint High) Finite(uint* row, NumberFormat format)
    {
        if (format == NumberFormat.Integer || row is null)
        {
            return (uint.MaxValue, uint.MaxValue);
        }

        uint low = 0, high = 0;
        for (int i = 0; i < 32; i++)
        {
            (bool a, bool b) = format switch
            {
                NumberFormat.F64 => ((((ulong*)row)[i] & 0x7FF0_0000_0000_0000) != 0x7FF0_0000_0000_0000, true),
                NumberFormat.F16 or NumberFormat.F16x2 => ((row[i] & 0x7C00) != 0x7C00, (row[i] & 0x7C00_0000) != 0x7C00_0000),
                NumberFormat.BF16 or NumberFormat.BF16x2 => ((row[i] & 0x7F80) != 0x7F80, (row[i] & 0x7F80_0000) != 0x7F80_0000),
                _ => ((row[i] & 0x7F80_0000) != 0x7F80_0000, true),
            };
            low |= (a ? 1u : 0) << i;
            high |= (b ? 1u : 0) << i;
        }

        return format is NumberFormat.F16x2 or NumberFormat.BF16x2 ? (low, high) : (low, uint.MaxValue);
    }

    private static double Number(uint* row, NumberFormat format, int lane, bool high)
    {
        ulong bits = format == NumberFormat.F64 ? ((ulong*)row)[lane] : row[lane];
        return format switch
        {
            NumberFormat.F16 or NumberFormat.F16x2 => Convert.ToDouble(PtxType.F16, high ? bits >> 16 : bits & 0xFFFF),
            NumberFormat.BF16 or NumberFormat.BF16x2 => Convert.ToDouble(PtxType.BF16, high ? bits >> 16 : bits & 0xFFFF),
            NumberFormat.F64 => BitConverter.UInt64BitsToDouble(bits),
            _ => BitConverter.UInt32BitsToSingle((uint)bits),
        };
    }

    /// <summary>The shortest text that reads back as the value in its own format.</summary>
    private static string Text(uint* row, NumberFormat format, int lane, bool high)
    {
        double value = Number(row, format, lane, high);
        return format == NumberFormat.F64 ? value.ToString("R", CultureInfo.InvariantCulture) : ((float)value).ToString("R", CultureInfo.InvariantCulture);
    }

    private static string IntegerText(uint* row, PtxType type, int lane)
    {
        int unused = 64 - type.Bits();
        ulong bits = (type.Bits() == 64 ? ((ulong*)row)[lane] : row[lane]) << unused;
        return type.IsSigned() ? ((long)bits >> unused).ToString(CultureInfo.InvariantCulture) : (bits >> unused).ToString(CultureInfo.InvariantCulture);
    }

    private static void WatchNumbers(Interpreter x, MicroOp* op, uint m)
    {
        int site = x._site;
        (NumberFormat from, NumberFormat to) = Formats(*op)!.Value;
        bool pack = op->Code == OpCode.CvtPack2;

        // The result may overwrite a source: keep the sources for the message.
        const int Words = 64;
        uint* saved = stackalloc uint[3 * Words];
        Unsafe.InitBlock(saved, 0, 3 * Words * 4);
        uint low = m, high = m;
        int sources = 0;
        int words = from == NumberFormat.F64 || (op->Code == OpCode.CvtIntToFloat && op->SourceType.Bits() == 64) ? 64 : 32;
        foreach (int row in (ReadOnlySpan<int>)[op->A, op->B, op->C])
        {
            if (row < 0)
            {
                break;
            }

            uint* value = x.Row(row);
            Unsafe.CopyBlock(saved + (sources * Words), value, (uint)words * 4);
            (uint a, uint b) = Finite(value, from);
            if (pack)
            {
                // the first source becomes the high half
                (low, high) = sources == 0 ? (low, high & a) : (low & a, high);
            }
            else
            {
                low &= a;
                high &= from is NumberFormat.F16x2 or NumberFormat.BF16x2 ? b : a;
            }

            sources++;
        }

        ((delegate*<Interpreter, MicroOp*, uint, void>)x._launch.Program.Handlers[site])(x, op, m);
        uint* result = x.To(op->D);
        (uint resultLow, uint resultHigh) = Finite(result, to);
        uint badLow = low & ~resultLow, badHigh = high & ~resultHigh;
        if ((badLow | badHigh) == 0)
        {
            return;
        }

        bool inHigh = badLow == 0;
        int lane = BitOperations.TrailingZeroCount(inHigh ? badHigh : badLow);
        var text = new StringBuilder(Spelling(*op)).Append(" of ");
        for (int i = 0; i < sources; i++)
        {
            if (!pack || (i == 0) == inHigh)
            {
                text.Append(i > 0 && !pack ? ", " : "").Append(op->Code == OpCode.CvtIntToFloat
                    ? IntegerText(saved, op->SourceType, lane) : Text(saved + (i * Words), from, lane, inHigh));
            }
        }

        text.Append(" gives ").Append(Text(result, to, lane, inHigh)).Append(inHigh ? " in the high half" : "");
        x.Report(Checks.Numeric, op, lane, text.Append(": not finite, though every input is").ToString());
    }

    /// <summary>"rsqrt.approx.f32" from RsqrtApproxF32: near enough to the instruction to be found in the line.</summary>
    private static string Spelling(in MicroOp op)
    {
        if (op.Code is OpCode.CvtIntToFloat or OpCode.CvtFloat or OpCode.CvtPack2)
        {
            return $"cvt.{op.Type}.{op.SourceType}".ToLowerInvariant();
        }

        var text = new StringBuilder();
        foreach (char c in op.Code.ToString().Replace("Half", $".{(HalfKind)op.Imm}", StringComparison.Ordinal))
        {
            text.Append(char.IsAsciiLetterUpper(c) && text.Length > 0 && text[^1] is not ('.' or 'B') ? "." : "").Append(c);
        }

        return text.ToString().ToLowerInvariant();
    }

    // ---- tensor cores: an element of the result depends on a row of A, a column of B and its own sum

    private static NumberFormat MmaInput(MmaShape shape)
    {
        string name = shape.ToString();
        return name.Contains("TF32", StringComparison.Ordinal) ? NumberFormat.TF32
            : name.Contains("BF16", StringComparison.Ordinal) ? NumberFormat.BF16x2
            : name.Contains("F16", StringComparison.Ordinal) ? NumberFormat.F16x2 : NumberFormat.Integer;
    }

    private static void WatchMma(Interpreter x, MicroOp* op, uint m)
    {
        var original = (delegate*<Interpreter, MicroOp*, uint, void>)x._launch.Program.Handlers[x._site];
        if (m != x._warp.Live)
        {
            original(x, op, m); // a finding of its own
            return;
        }

        var shape = (MmaShape)op->Imm;
        (int na, int nb, int nc) = Lowering.MmaRegisters(shape);
        int* list = x.Lists + op->Extra;
        NumberFormat from = MmaInput(shape), sum = shape.ToString().EndsWith("F16F16", StringComparison.Ordinal) ? NumberFormat.F16x2 : NumberFormat.F32;
        uint badRows = 0, badColumns = 0;
        for (int r = 0; r < na + nb; r++)
        {
            (uint low, uint high) = Finite(x.Row(list[nc + r]), from);
            for (uint bad = ~(low & high); bad != 0; bad &= bad - 1)
            {
                int g = BitOperations.TrailingZeroCount(bad) >> 2;
                if (r < na)
                {
                    badRows |= 1u << (g + (8 * (r & 1)));
                }
                else
                {
                    badColumns |= 1u << g;
                }
            }
        }

        (uint Low, uint High)[] before = new (uint, uint)[nc];
        for (int r = 0; r < nc; r++)
        {
            before[r] = Finite(x.Row(list[nc + na + nb + r]), sum);
        }

        original(x, op, m);
        for (int r = 0; r < nc; r++)
        {
            uint* d = x.To(list[r]);
            (uint low, uint high) = Finite(d, sum);
            for (int half = 0; half < (sum == NumberFormat.F16x2 ? 2 : 1); half++)
            {
                uint bad = (half == 0 ? before[r].Low & ~low : before[r].High & ~high) & m;
                for (; bad != 0; bad &= bad - 1)
                {
                    int lane = BitOperations.TrailingZeroCount(bad), g = lane >> 2, t = lane & 3;
                    int row = g + (8 * (sum == NumberFormat.F16x2 ? r : r >> 1)), column = (2 * t) + (sum == NumberFormat.F16x2 ? half : r & 1);
                    if (((badRows >> row) & 1) == 0 && ((badColumns >> column) & 1) == 0)
                    {
                        string name = shape.ToString().ToLowerInvariant();
                        x.Report(Checks.Numeric, op, lane, $"mma.{name} gives {Text(d, sum, lane, half == 1)} at row {row}, column {column}: not finite, though every input is");
                        return;
                    }
                }
            }
        }
    }
}
