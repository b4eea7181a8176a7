using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// Writes an object tree as a protocol 2 pickle the way torch.save describes it; tensors become storages "0", "1", ...
/// in the order they are met, one each.
/// </summary>
internal sealed class PickleWriter
{
    private const int MaxDepth = 64;

    private readonly List<byte> _out = [];
    private readonly Dictionary<string, byte> _memo = new(StringComparer.Ordinal);
    private readonly List<TensorEntry> _tensors = [];

    /// <summary>The tensors met, in storage order.</summary>
    public IReadOnlyList<TensorEntry> Tensors => _tensors;

    public byte[] Write(object? root)
    {
        Emit('\x80', 2);
        WriteValue(root, 0);
        Emit('.');
        return [.. _out];
    }

    private void WriteValue(object? value, int depth)
    {
        if (depth > MaxDepth)
        {
            throw new ArgumentException($"objects nested more than {MaxDepth} deep, or within themselves");
        }

        switch (value)
        {
            case null: Emit('N'); break;
            case bool b: Emit(b ? '\x88' : '\x89'); break;
            case int i: WriteInteger(i); break;
            case long l: WriteInteger(l); break;
            case double d:
                Span<byte> bits = stackalloc byte[8];
                BinaryPrimitives.WriteDoubleBigEndian(bits, d);
                Emit('G');
                _out.AddRange(bits);
                break;
            case string s: WriteText(s); break;
            case PtList list: WriteList(list, depth); break;
            case PtDict dict: WriteDict(dict, depth); break;
            case Tensor tensor: WriteTensor(TensorEntry.From("tensor", tensor)); break;
            case PtTensor tensor: WriteTensor(tensor.ToEntry("tensor")); break;
            case TensorEntry tensor: WriteTensor(tensor); break;
            default: throw new ArgumentException($"a {value.GetType().Name} cannot be written to a torch file");
        }
    }

    private void WriteList(PtList list, int depth)
    {
        if (list.IsTuple)
        {
            Emit('(');
        }
        else
        {
            Emit(']');
            Emit('(');
        }

        foreach (object? item in list.Items)
        {
            WriteValue(item, depth + 1);
        }

        Emit(list.IsTuple ? 't' : 'e');
    }

    private void WriteDict(PtDict dict, int depth)
    {
        if (dict.IsOrdered)
        {
            WriteOrderedDict();
        }
        else
        {
            Emit('}');
        }

        Emit('(');
        foreach ((object key, object? value) in dict.Items)
        {
            WriteValue(key, depth + 1);
            WriteValue(value, depth + 1);
        }

        Emit('u');
    }

    /// <summary>_rebuild_tensor_v2(("storage", class, key, "cpu", count), 0, size, stride, False, OrderedDict()).</summary>
    private void WriteTensor(TensorEntry tensor)
    {
        Shape shape = tensor.Type.Shape;
        WriteGlobal("torch._utils", "_rebuild_tensor_v2");
        Emit('(');
        Emit('(');
        WriteShared("storage");
        PtGlobal storage = PtGlobal.StorageOf(tensor.Type.DType);
        WriteGlobal(storage.Module, storage.Name);
        WriteText(_tensors.Count.ToString());
        WriteShared("cpu");
        WriteInteger(shape.Elements);
        Emit('t');
        Emit('Q');
        WriteInteger(0);
        WriteTuple(shape.ToArray());
        WriteTuple(Strided.RowMajor(shape));
        Emit('\x89');
        WriteOrderedDict();
        Emit('t');
        Emit('R');
        _tensors.Add(tensor);
    }

    private void WriteOrderedDict()
    {
        WriteGlobal("collections", "OrderedDict");
        Emit(')');
        Emit('R');
    }

    private void WriteTuple(long[] numbers)
    {
        Emit('(');
        foreach (long n in numbers)
        {
            WriteInteger(n);
        }

        Emit('t');
    }

    private void WriteInteger(long value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        switch (value)
        {
            case >= 0 and <= 0xff: Emit('K', bytes[0]); break;
            case >= 0 and <= 0xffff:
                Emit('M');
                _out.AddRange(bytes[..2]);
                break;
            case >= int.MinValue and <= int.MaxValue:
                Emit('J');
                _out.AddRange(bytes[..4]);
                break;
            default:
                byte[] minimal = new BigInteger(value).ToByteArray();
                Emit('\x8a', (byte)minimal.Length);
                _out.AddRange(minimal);
                break;
        }
    }

    private void WriteText(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(length, bytes.Length);
        Emit('X');
        _out.AddRange(length);
        _out.AddRange(bytes);
    }

    /// <summary>A text that every tensor repeats: written once, then recalled.</summary>
    private void WriteShared(string text) => Remembered(text, () => WriteText(text));

    private void WriteGlobal(string module, string name) =>
        Remembered($"{module} {name}", () => _out.AddRange(Encoding.ASCII.GetBytes($"c{module}\n{name}\n")));

    private void Remembered(string key, Action write)
    {
        if (_memo.TryGetValue(key, out byte slot))
        {
            Emit('h', slot);
            return;
        }

        slot = (byte)_memo.Count;     // at most a dozen names and two texts
        write();
        Emit('q', slot);
        _memo.Add(key, slot);
    }

    private void Emit(char op) => _out.Add((byte)op);

    private void Emit(char op, byte argument)
    {
        Emit(op);
        _out.Add(argument);
    }
}
