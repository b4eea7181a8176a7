using System.Numerics;
using System.Text;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

// printf, lane by lane: the text and the buffer of arguments are in device or local memory.
internal sealed unsafe partial class Interpreter
{
    /// <summary>Characters one printf of one lane may make, and bytes one string may have: the device's own buffer is no larger.</summary>
    private const int MaxPrinted = 1 << 20, MaxString = 1 << 16;

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

            // Characters are steps too: a launch that does nothing but print spends its budget.
            string printed = x._launch.IsOutputFull ? "" : x.Format(op, lane, text, arguments);
            x._pendingSteps += text.Length + printed.Length;
            x._launch.Print(printed);
            *(int*)(local + list[0]) = 1;
            x._warp.LocalWritten.AsSpan((lane * x._warp.LocalBytes) + list[0], 4).Fill(1);
        }
    }

    private string? DeviceText(long address)
    {
        var bytes = new List<byte>();
        while (bytes.Count < MaxString)
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
        for (int i = 0; i < format.Length && output.Length < MaxPrinted;)
        {
            char c = format[i++];
            if (c != '%' || (i < format.Length && format[i] == '%'))
            {
                i += c == '%' ? 1 : 0;
                output.Append(c);
                continue;
            }

            int start = i;
            if (PrintfConversion.Read(format, ref i) is not { } one)
            {
                // Nobody knows how large its argument is, so no further one can be found.
                string what = format.Substring(start - 1, Math.Min(i - start + 1, 16));
                Report(Checks.None, op, lane, $"printf: '{what}' is no conversion of C; the rest is printed as it stands");
                return output.Append(format, start - 1, format.Length - start + 1).ToString();
            }

            if (Star(one.Width) is not { } width || Star(one.Precision) is not { } precision || Next(one.Bytes) is not { } raw)
            {
                return output.ToString();
            }

            string text = "";
            if (one.Letter == 's')
            {
                if (DeviceText((long)raw) is not { } found)
                {
                    Report(Checks.Bounds, op, lane, $"printf: 0x{raw:x} is not a text in device memory");
                    return output.ToString();
                }

                text = found;
            }

            output.Append(one.Format(raw, width, precision == int.MinValue ? null : precision, text));
        }

        return output.ToString();

        // The number in the text, or that of the next argument; MinValue when there is none at all; null when there is no such argument.
        int? Star(int? number) => number switch { null => int.MinValue, PrintfConversion.Star => (int?)Next(4), _ => number };

        ulong? Next(int size)
        {
            offset = (offset + size - 1) / size * size;
            ulong? value = Argument(op, lane, arguments + offset, size);
            offset += size;
            return value;
        }
    }

    private ulong? Argument(MicroOp* op, int lane, long address, int size)
    {
        ulong local = (ulong)(address - AddressWindows.Local);
        if (local < (ulong)AddressWindows.WindowBytes && local + (ulong)size <= (ulong)_warp.LocalBytes)
        {
            int at = (lane * _warp.LocalBytes) + (int)local;
            if ((_checks & Checks.UninitialisedMemory) != 0 && _warp.LocalWritten.AsSpan(at, size).Contains((byte)0))
            {
                Report(Checks.UninitialisedMemory, op, lane, $"printf: the argument at local byte {local}, {size} wide, was never written");
            }

            return ReadElement(_warp.Local + at, size, false);
        }

        byte* p = _launch.Memory.Resolve(address, size);
        if (p is null)
        {
            Report(Checks.Bounds, op, lane, $"printf: an argument at 0x{address:x}, {size} wide, where there is none: more in the text than in the buffer?");
            return null;
        }

        return ReadElement(p, size, false);
    }
}
