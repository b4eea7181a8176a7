using System.Numerics;
using System.Runtime.Intrinsics;
using System.Text;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

// Operations of a whole warp: shuffles, votes, matches, reductions, matrix moves, printf.
internal sealed unsafe partial class Interpreter
{
    /// <summary>.aligned: every live lane must execute. Otherwise a finding, and the op does nothing.</summary>
    private bool AllLanes(MicroOp* op, uint m)
    {
        if (m == _warp.Live)
        {
            return true;
        }

        uint missing = _warp.Live & ~m;
        Report(
            Checks.Barriers, op, BitOperations.TrailingZeroCount(m),
            $"an instruction for the whole warp is executed by lanes 0x{m:x8} only, lanes 0x{missing:x8} are elsewhere");
        return false;
    }

    /// <summary>The member mask of a .sync op: it must name every executing lane, and every live lane it names must execute.</summary>
    private uint Members(MicroOp* op, uint m)
    {
        uint* row = Row(op->E);
        int first = BitOperations.TrailingZeroCount(m);
        uint members = row[first];
        if ((_checks & Checks.WarpMasks) == 0)
        {
            return members;
        }

        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            if (row[i] != members)
            {
                uint other = row[i];
                Report(Checks.WarpMasks, op, i, $"lanes give different member masks: 0x{members:x8} and 0x{other:x8}");
                return members;
            }
        }

        if ((m & ~members) != 0)
        {
            Report(Checks.WarpMasks, op, BitOperations.TrailingZeroCount(m & ~members), $"the executing lanes 0x{m:x8} are not all in the member mask 0x{members:x8}");
        }
        else if ((members & _warp.Live & ~m) != 0)
        {
            Report(Checks.WarpMasks, op, first, $"the member mask 0x{members:x8} names lanes that do not execute: only 0x{m:x8} do");
        }

        return members;
    }

    private static void WarpSync(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        x._warp.SyncLanes(m);
    }

    private static void Shuffle(Interpreter x, MicroOp* op, uint m)
    {
        uint members = x.Members(op, m);
        uint* a = x.Row(op->A), b = x.Row(op->B), c = x.Row(op->C);
        uint* result = stackalloc uint[32];
        uint inside = 0, undefined = 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            int lane = BitOperations.TrailingZeroCount(l);
            int bound = (int)(b[lane] & 31), clamp = (int)(c[lane] & 31), segment = (int)((c[lane] >> 8) & 31);
            int max = (lane & segment) | (clamp & ~segment), min = lane & segment;
            int source;
            bool p;
            switch ((ShuffleKind)op->Imm)
            {
                case ShuffleKind.Up:
                    source = lane - bound;
                    p = source >= max;
                    break;
                case ShuffleKind.Down:
                    source = lane + bound;
                    p = source <= max;
                    break;
                case ShuffleKind.Butterfly:
                    source = lane ^ bound;
                    p = source <= max;
                    break;
                default:
                    source = min | (bound & ~segment);
                    p = source <= max;
                    break;
            }

            source = p ? source : lane;
            inside |= (p ? 1u : 0) << lane;
            if (((m >> source) & 1) == 0 && (x._checks & Checks.WarpMasks) != 0)
            {
                int from = source;
                x.Report(Checks.WarpMasks, op, lane, ((x._warp.Live >> from) & 1) == 0
                    ? $"reads from lane {from}, which has exited" : $"reads from lane {from}, which does not take part (mask 0x{members:x8})");
            }

            result[lane] = a[source];
            undefined |= ((~x._shuffleDefined >> source) & 1) << lane;
        }

        LaneOps.Copy(x.To(op->D), result, m);
        x.SetPredicateBits(op->D2, inside, m);
        if (x._trackRegisters && op->D >= 0)
        {
            x._warp.Defined[op->D] &= ~undefined;
        }
    }

    private static void Vote(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        uint yes = x.PredicateA(op) & m;
        bool r = (VoteKind)op->Imm switch
        {
            VoteKind.All => yes == m,
            VoteKind.Any => yes != 0,
            _ => yes == m || yes == 0,
        };
        x.SetPredicateBits(op->D, r ? uint.MaxValue : 0, m);
    }

    private static void Ballot(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        Vector512<uint> v = Vector512.Create(x.PredicateA(op) & m);
        LaneOps.Store(x.To(op->D), v, v, m);
    }

    private ulong MatchValue(MicroOp* op, int lane) => op->Type.Bits() == 64 ? ((ulong*)Row(op->A))[lane] : Row(op->A)[lane];

    private static void MatchAny(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        uint* result = stackalloc uint[32];
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            uint same = 0;
            for (uint k = m; k != 0; k &= k - 1)
            {
                int j = BitOperations.TrailingZeroCount(k);
                same |= (x.MatchValue(op, i) == x.MatchValue(op, j) ? 1u : 0) << j;
            }

            result[i] = same;
        }

        LaneOps.Copy(x.To(op->D), result, m);
    }

    private static void MatchAll(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        ulong first = x.MatchValue(op, BitOperations.TrailingZeroCount(m));
        bool all = true;
        for (uint l = m; l != 0; l &= l - 1)
        {
            all &= x.MatchValue(op, BitOperations.TrailingZeroCount(l)) == first;
        }

        Vector512<uint> v = Vector512.Create(all ? m : 0);
        LaneOps.Store(x.To(op->D), v, v, m);
        x.SetPredicateBits(op->D2, all ? uint.MaxValue : 0, m);
    }

    private static void ReduceSync(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        uint* a = x.Row(op->A);
        uint l = m;
        uint sum = a[BitOperations.TrailingZeroCount(l)];
        for (l &= l - 1; l != 0; l &= l - 1)
        {
            sum = Combine32((AtomicOp)op->Imm, op->Type, sum, a[BitOperations.TrailingZeroCount(l)], 0);
        }

        Vector512<uint> v = Vector512.Create(sum);
        LaneOps.Store(x.To(op->D), v, v, m);
    }

    private static void Elect(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        int leader = BitOperations.TrailingZeroCount(m);
        Vector512<uint> v = Vector512.Create((uint)leader);
        LaneOps.Store(x.To(op->D), v, v, m);
        x.SetPredicateBits(op->D2, 1u << leader, m);
    }

    // ---- matrices

    /// <summary>Host pointers of the 8 rows of each matrix; false when one is wrong (a finding).</summary>
    private bool MatrixRows(MicroOp* op, AccessKind kind)
    {
        int rows = 8 * op->Count;
        uint lanes = rows == 32 ? uint.MaxValue : (1u << rows) - 1;
        FillAddresses(op->A, (op->Flags & OpFlags.Address64) != 0, op->Offset);
        return Resolve(op, op->Space, lanes, 16, kind) == lanes;
    }

    private static void LoadMatrix(Interpreter x, MicroOp* op, uint m)
    {
        if (!x.AllLanes(op, m) || !x.MatrixRows(op, AccessKind.WarpRead))
        {
            return;
        }

        uint** rows = stackalloc uint*[4];
        for (int j = 0; j < op->Count; j++)
        {
            rows[j] = x.To(x.Lists[op->Extra + j]);
        }

        MatrixOps.Load(rows, x.Hosts, op->Count, (op->Flags & OpFlags.Transposed) != 0, m);
    }

    private static void StoreMatrix(Interpreter x, MicroOp* op, uint m)
    {
        if (!x.AllLanes(op, m) || !x.MatrixRows(op, AccessKind.Write))
        {
            return;
        }

        uint** rows = stackalloc uint*[4];
        for (int j = 0; j < op->Count; j++)
        {
            rows[j] = x.Row(x.Lists[op->Extra + j]);
        }

        MatrixOps.Store(x.Hosts, rows, op->Count, (op->Flags & OpFlags.Transposed) != 0, m);
    }

    private static void MoveMatrix(Interpreter x, MicroOp* op, uint m)
    {
        if (!x.AllLanes(op, m))
        {
            return;
        }

        MatrixOps.Transpose(x.To(op->D), x.Row(op->A), m);
    }

    // ---- printf

    private static void Printf(Interpreter x, MicroOp* op, uint m)
    {
        // Local offsets of the result, of the format pointer and of the argument pointer; the callee's parameters were stored there.
        int* list = x.Lists + op->Extra;
        for (uint l = m; l != 0; l &= l - 1)
        {
            int lane = BitOperations.TrailingZeroCount(l);
            byte* local = x._warp.Local + (lane * x._warp.LocalBytes);
            long format = *(long*)(local + list[1]), arguments = *(long*)(local + list[2]);
            string? text = x.DeviceText(format);
            if (text is null)
            {
                x.Report(Checks.Bounds, op, lane, $"printf: 0x{format:x} is not a text in device memory");
                continue;
            }

            x._launch.Print(x.Format(op, lane, text, arguments));
            *(int*)(local + list[0]) = 1;
            x._warp.LocalWritten.AsSpan((lane * x._warp.LocalBytes) + list[0], 4).Fill(1);
        }
    }

    private string? DeviceText(long address)
    {
        var bytes = new List<byte>();
        while (bytes.Count < 1 << 16)
        {
            byte* p = _launch.Memory.Resolve(address + bytes.Count, 1);
            if (p is null)
            {
                return null;
            }

            if (*p == 0)
            {
                return Encoding.UTF8.GetString([.. bytes]);
            }

            bytes.Add(*p);
        }

        return null;
    }

    private string Format(MicroOp* op, int lane, string format, long arguments)
    {
        var output = new StringBuilder();
        int offset = 0;
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                output.Append(format[i]);
                continue;
            }

            int start = i++;
            while (i < format.Length && "-+ #0123456789.hlzjt".Contains(format[i], StringComparison.Ordinal))
            {
                i++;
            }

            if (i >= format.Length)
            {
                output.Append(format, start, format.Length - start);
                break;
            }

            char conversion = format[i];
            if (conversion == '%')
            {
                output.Append('%');
                continue;
            }

            string flags = format[(start + 1)..i];
            bool wide = flags.Contains('l', StringComparison.Ordinal) || flags.Contains('z', StringComparison.Ordinal) || flags.Contains('j', StringComparison.Ordinal)
                || conversion is 'f' or 'F' or 'e' or 'E' or 'g' or 'G' or 'a' or 's' or 'p';
            int size = wide ? 8 : 4;
            offset = (offset + size - 1) / size * size;
            ulong? raw = Argument(arguments + offset, lane, size);
            offset += size;
            if (raw is null)
            {
                Report(Checks.Bounds, op, lane, "printf: more arguments in the text than in the buffer");
                return output.ToString();
            }

            output.Append(FormatOne(conversion, flags, raw.Value, wide));
        }

        return output.ToString();
    }

    private ulong? Argument(long address, int lane, int size)
    {
        long local = address - AddressWindows.Local;
        if (local >= 0 && local < AddressWindows.WindowBytes)
        {
            return local + size > _warp.LocalBytes ? null : ReadElement(_warp.Local + (lane * _warp.LocalBytes) + local, size, false);
        }

        byte* p = _launch.Memory.Resolve(address, size);
        return p is null ? null : ReadElement(p, size, false);
    }

    private const int MaxWidth = 4096;
    private const int MaxPrecision = 128;

    private string FormatOne(char conversion, string flags, ulong raw, bool wide)
    {
        string digits = new([.. flags.Where(c => char.IsAsciiDigit(c) || c == '.')]);
        int dot = digits.IndexOf('.', StringComparison.Ordinal);
        bool zero = digits.StartsWith('0');

        // A width is padding and a precision digits: neither may make the text of one argument long.
        int width = Math.Min(Number(dot < 0 ? digits : digits[..dot]), MaxWidth);
        int precision = dot < 0 ? -1 : Math.Min(Number(digits[(dot + 1)..]), MaxPrecision);
        double value = BitConverter.UInt64BitsToDouble(raw);
        string text = conversion switch
        {
            'd' or 'i' => (wide ? (long)raw : (int)raw).ToString(),
            'u' => raw.ToString(),
            'x' => raw.ToString("x"),
            'X' => raw.ToString("X"),
            'o' => System.Convert.ToString((long)raw, 8),
            'c' => ((char)(byte)raw).ToString(),
            'p' => $"0x{raw:x}",
            's' => DeviceText((long)raw) ?? "(bad text)",
            _ when double.IsNaN(value) => "nan",
            _ when double.IsInfinity(value) => value > 0 ? "inf" : "-inf",
            'f' or 'F' => value.ToString($"F{(precision < 0 ? 6 : precision)}"),
            'e' or 'E' => Exponent(value, precision < 0 ? 6 : precision, conversion),
            _ => value.ToString($"G{(precision <= 0 ? 6 : precision)}"),
        };
        if (flags.Contains('+', StringComparison.Ordinal) && conversion is not ('s' or 'c' or 'p' or 'x') && text is not ['-', ..])
        {
            text = "+" + text;
        }

        return flags.StartsWith('-') ? text.PadRight(width) : zero ? ZeroPadded(text, width) : text.PadLeft(width);
    }

    /// <summary>Zeros go between the sign and the digits.</summary>
    private static string ZeroPadded(string text, int width) =>
        text.Length > 0 && text[0] is '-' or '+' ? text[0] + text[1..].PadLeft(Math.Max(0, width - 1), '0') : text.PadLeft(width, '0');

    /// <summary>The number, 0 when there is none, the largest when it has no place.</summary>
    private static int Number(string digits) => digits.Length == 0 ? 0 : int.TryParse(digits, out int value) ? value : int.MaxValue;

    private static string Exponent(double value, int precision, char letter) =>
        value.ToString($"{(precision > 0 ? "0." : "0")}{new string('0', precision)}{letter}+00");
}
