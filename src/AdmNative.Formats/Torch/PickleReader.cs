using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// Reads a pickle as data. A pickle is a program for a stack machine that may name any Python function and call it;
/// this machine knows the few names of <see cref="PtGlobal"/> and builds our own objects for them, and refuses
/// everything else by name. Results are null, bool, long, BigInteger (only the legacy magic number needs it), double,
/// string, <see cref="PtDict"/>, <see cref="PtList"/>, <see cref="PtTensor"/>, and inside unfinished work
/// <see cref="PtGlobal"/> and <see cref="PtStorage"/>.
/// </summary>
internal sealed class PickleReader
{
    private const int MaxDepth = 64;
    private const int MaxStack = 1 << 20;
    private const int MaxContainers = 1 << 20;
    private const long MaxObjects = 1 << 24;
    private const int MaxRank = 64;

    // Views may show an element more than once (torch's expand); beyond this many that is an attack on memory.
    private const long MaxRepeated = 1 << 20;

    private static readonly UTF8Encoding s_utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly PickleInput _input;
    private readonly Func<PtList, PtStorage>? _findStorage;
    private readonly List<object?> _stack = [];
    private readonly List<int> _marks = [];
    private readonly Dictionary<long, object?> _memo = [];
    private readonly Dictionary<object, long> _sizes = new(ReferenceEqualityComparer.Instance);
    private int _containers;

    private PickleReader(PickleInput input, Func<PtList, PtStorage>? findStorage)
    {
        _input = input;
        _findStorage = findStorage;
    }

    /// <summary>Reads one pickle and leaves the input just behind it.</summary>
    /// <param name="input">Where to read.</param>
    /// <param name="findStorage">Resolves the tuple ("storage", class, key, location, count, ...); null where none may occur.</param>
    public static object? Read(PickleInput input, Func<PtList, PtStorage>? findStorage = null)
    {
        input.BeginPickle();
        var reader = new PickleReader(input, findStorage);
        object? root = reader.Run();
        reader.Measure(root, 0);
        return root;
    }

    /// <summary>The element type a storage tuple names.</summary>
    public static PtGlobal StorageClass(PickleInput input, PtList id) =>
        id.Items.Count >= 5 && id.Items[0] is "storage" && id.Items[1] is PtGlobal { Call: PtCall.Storage } storage
            && id.Items[2] is string && id.Items[4] is >= 0L
            ? storage
            : throw input.Bad("refers to its data in a way that is not known here (expected the tuple 'storage', class, key, location, count)");

    private object? Run()
    {
        while (true)
        {
            byte op = _input.ReadByte();
            switch ((char)op)
            {
                case '\x80': Protocol(); break;
                case '\x95': ReadLong(8); break;                                    // FRAME: a size hint
                case '(': Mark(); break;
                case '0': Pop(); break;
                case '1': PopMark(); break;
                case '2': Push(Peek()); break;
                case 'N': Push(null); break;
                case '\x88': Push(true); break;
                case '\x89': Push(false); break;
                case 'J': Push((long)unchecked((int)ReadLong(4))); break;
                case 'K': Push(ReadLong(1)); break;
                case 'M': Push(ReadLong(2)); break;
                case '\x8a': PushInteger(_input.ReadBytes(_input.ReadByte())); break;
                case 'G': Push(BinaryPrimitives.ReadDoubleBigEndian(_input.ReadBytes(8))); break;
                case 'X': Push(Text(ReadLong(4))); break;
                case '\x8c': Push(Text(ReadLong(1))); break;
                case '\x8d': Push(Text(ReadLong(8))); break;
                case 'U': Push(Text(ReadLong(1))); break;                           // str of Python 2
                case 'T': Push(Text(ReadLong(4))); break;
                case '}': Push(Counted(new PtDict())); break;
                case ']': Push(Counted(new PtList([]))); break;
                case ')': Push(Counted(new PtList([], isTuple: true))); break;
                case 't': Push(Counted(new PtList(PopMark(), isTuple: true))); break;
                case '\x85': PushTuple(1); break;
                case '\x86': PushTuple(2); break;
                case '\x87': PushTuple(3); break;
                case 'a': Append([Pop()]); break;
                case 'e': Append(PopMark()); break;
                case 's': SetItems(PopMany(2)); break;
                case 'u': SetItems(PopMark()); break;
                case 'q': _memo[ReadLong(1)] = Peek(); break;
                case 'r': _memo[ReadLong(4)] = Peek(); break;
                case '\x94': _memo[_memo.Count] = Peek(); break;
                case 'h': Recall(ReadLong(1)); break;
                case 'j': Recall(ReadLong(4)); break;
                case 'c': Push(Global(Line(), Line())); break;
                case '\x93': PushStackGlobal(); break;
                case 'R': Reduce(); break;
                case 'b': Build(); break;
                case 'Q': Push(Storage()); break;
                case '.': return Stop();
                default: throw Refused(op);
            }
        }
    }

    private void Protocol()
    {
        byte protocol = _input.ReadByte();
        if (protocol is < 2 or > 5)
        {
            throw _input.Bad($"uses pickle protocol {protocol}; 2 to 5 are read");
        }
    }

    private object? Stop()
    {
        object? root = Pop();
        return _stack.Count == 0 && _marks.Count == 0 ? root : throw Bad("leaves objects over at its end");
    }

    private CheckpointException Refused(byte op)
    {
        string name = (char)op switch
        {
            'i' => "INST, which creates objects of any class",
            'o' => "OBJ, which creates objects of any class",
            '\x81' => "NEWOBJ, which creates objects of any class",
            '\x92' => "NEWOBJ_EX, which creates objects of any class",
            '\x82' or '\x83' or '\x84' => "EXT, which refers to a private registry of classes",
            'P' => "PERSID",
            'B' or 'C' or '\x8e' => "BINBYTES",
            '\x8f' or '\x90' or '\x91' => "a set",
            'I' or 'L' or 'F' or 'S' or 'V' or 'p' or 'g' or 'd' or 'l' => $"'{(char)op}' of the text protocol 0",
            _ => $"0x{op:x2}",
        };
        return _input.Bad(
            $"its pickle has the instruction {name} (byte {_input.Position - 1}), which no file of tensors needs; refused, and nothing was run. "
            + "Save a plain state_dict() again");
    }

    private void PushStackGlobal()
    {
        object? name = Pop();
        object? module = Pop();
        Push(module is string m && name is string n ? Global(m, n) : throw Bad("names a class by something other than text"));
    }

    private PtGlobal Global(string module, string name) => PtGlobal.Find(module, name) ?? throw _input.Bad(
        $"its pickle refers to the Python name '{Listing.Of([$"{module}.{name}"])}', which is not among the few a file of tensors needs; refused, and nothing was run. "
        + "If you trust the file, load it with torch and save a plain state_dict() again");

    private void Reduce()
    {
        PtList args = PopTuple();
        if (Pop() is not PtGlobal function)
        {
            throw Bad("calls something that is not a function name");
        }

        string name = $"{function.Module}.{function.Name}";
        switch (function.Call)
        {
            case PtCall.RebuildTensor: Push(Tensor(args, name)); break;
            case PtCall.RebuildParameter:
                Push(args.Items is [PtTensor tensor, ..] ? tensor : throw Bad($"calls {name} without a tensor"));
                break;
            case PtCall.OrderedDict: Push(OrderedDict(args)); break;
            case PtCall.Size:
                Push(args.Items is [PtList { IsTuple: true } size] ? size : throw Bad($"calls {name} without a tuple"));
                break;
            default: throw Bad($"calls {name}, which is no function");
        }
    }

    private PtDict OrderedDict(PtList args)
    {
        var dict = Counted(new PtDict(isOrdered: true));
        if (args.Items is [PtList pairs])
        {
            foreach (object? pair in pairs.Items)
            {
                SetItem(dict, pair is PtList { Items: [var key, var value] }
                    ? (key, value)
                    : throw Bad("builds an OrderedDict of something other than pairs"));
            }
        }
        else if (args.Items.Count != 0)
        {
            throw Bad("builds an OrderedDict in an unknown way");
        }

        return dict;
    }

    private PtTensor Tensor(PtList args, string call)
    {
        if (args.Items is not [PtStorage storage, long offset, PtList { IsTuple: true } size, PtList { IsTuple: true } stride, ..])
        {
            throw Bad($"calls {call} without storage, offset, size and stride");
        }

        long[] dims = Numbers(size);
        long[] strides = Numbers(stride);
        string What() => $"a tensor [{string.Join(",", dims)}] with strides [{string.Join(",", strides)}] at {offset} of {storage.Name}";
        if (dims.Length != strides.Length || dims.Length > MaxRank || offset < 0 || dims.Any(d => d < 0) || strides.Any(s => s < 0))
        {
            throw Bad($"has {What()}, which cannot be");
        }

        try
        {
            var shape = Shape.Create(dims);
            long last = offset;
            for (int i = 0; i < dims.Length && shape.Elements > 0; i++)
            {
                last = checked(last + ((dims[i] - 1) * strides[i]));
            }

            if (shape.Elements > 0 && last >= storage.Elements)
            {
                throw Bad($"has {What()}, which reaches past its {storage.Elements} elements");
            }

            if (shape.Elements > Math.Max(storage.Elements, MaxRepeated))
            {
                throw Bad($"has {What()}, which repeats {storage.Elements} elements {shape.Elements} times over; refused");
            }

            return new PtTensor(storage, offset, shape, strides);
        }
        catch (Exception e) when (e is ShapeException or OverflowException)
        {
            throw Bad($"has {What()}, more than 64 bits can count");
        }
    }

    private long[] Numbers(PtList list)
    {
        var numbers = new long[Math.Min(list.Items.Count, MaxRank + 1)];
        for (int i = 0; i < numbers.Length; i++)
        {
            numbers[i] = list.Items[i] is long n ? n : throw Bad("has a tensor whose size is not made of integers");
        }

        return numbers;
    }

    /// <summary>State given to an OrderedDict (torch's _metadata) says nothing about the tensors; anything else has none.</summary>
    private void Build()
    {
        object? state = Pop();
        if (Peek() is not PtDict { IsOrdered: true } || state is not (PtDict or PtList))
        {
            throw Bad("sets attributes of an object that has none here");
        }
    }

    private PtStorage Storage()
    {
        PtList id = PopTuple();
        return _findStorage is null ? throw Bad("refers to data where there is none") : _findStorage(id);
    }

    private void Append(IEnumerable<object?> items)
    {
        if (Peek() is not PtList { IsTuple: false } list)
        {
            throw Bad("appends to something that is not a list");
        }

        foreach (object? item in items)
        {
            list.Append(item);
        }
    }

    private void SetItems(List<object?> items)
    {
        if (Peek() is not PtDict dict || items.Count % 2 != 0)
        {
            throw Bad("sets entries of something that is not a dictionary");
        }

        for (int i = 0; i < items.Count; i += 2)
        {
            SetItem(dict, (items[i], items[i + 1]));
        }
    }

    private void SetItem(PtDict dict, (object? Key, object? Value) item)
    {
        if (item.Key is not (string or long))
        {
            throw Bad($"has a dictionary key that is neither text nor an integer ({Kind(item.Key)})");
        }

        if (dict.TryGet(item.Key, out _))
        {
            throw Bad($"has the dictionary key '{Listing.Of([item.Key.ToString()!])}' twice");
        }

        dict.Add(item.Key, item.Value);
    }

    private void Recall(long key) => Push(
        _memo.TryGetValue(key, out object? value) ? value : throw Bad($"recalls object {key}, which it never stored"));

    private void Push(object? value)
    {
        if (_stack.Count >= MaxStack)
        {
            throw Bad($"holds more than {MaxStack} unfinished objects");
        }

        _stack.Add(value);
    }

    private object? Peek() => _stack.Count > Floor ? _stack[^1] : throw Bad("takes an object from an empty stack");

    private object? Pop()
    {
        object? value = Peek();
        _stack.RemoveAt(_stack.Count - 1);
        return value;
    }

    private PtList PopTuple() => Pop() is PtList { IsTuple: true } tuple
        ? tuple
        : throw Bad("has something other than a tuple where one belongs");

    /// <summary>Objects below the newest mark are out of reach until the mark is taken.</summary>
    private int Floor => _marks.Count == 0 ? 0 : _marks[^1];

    private void Mark()
    {
        if (_marks.Count >= MaxStack)
        {
            throw Bad($"sets more than {MaxStack} marks");
        }

        _marks.Add(_stack.Count);
    }

    private List<object?> PopMark()
    {
        if (_marks.Count == 0)
        {
            throw Bad("takes objects down to a mark that was never set");
        }

        int mark = _marks[^1];
        _marks.RemoveAt(_marks.Count - 1);
        return PopMany(_stack.Count - mark);
    }

    private List<object?> PopMany(int count)
    {
        if (_stack.Count - Floor < count)
        {
            throw Bad("takes an object from an empty stack");
        }

        List<object?> items = _stack.GetRange(_stack.Count - count, count);
        _stack.RemoveRange(_stack.Count - count, count);
        return items;
    }

    private void PushTuple(int count) => Push(Counted(new PtList(PopMany(count), isTuple: true)));

    private T Counted<T>(T container) => ++_containers <= MaxContainers
        ? container
        : throw Bad($"makes more than {MaxContainers} lists and dictionaries");

    private long ReadLong(int bytes)
    {
        ulong value = 0;
        for (int i = 0; i < bytes; i++)
        {
            value |= (ulong)_input.ReadByte() << (8 * i);
        }

        return unchecked((long)value);
    }

    private void PushInteger(byte[] littleEndian)
    {
        var value = new BigInteger(littleEndian);
        if (value >= long.MinValue && value <= long.MaxValue)
        {
            Push((long)value);
        }
        else
        {
            Push(value);
        }
    }

    private string Text(long bytes)
    {
        try
        {
            return s_utf8.GetString(_input.ReadBytes(bytes));
        }
        catch (ArgumentException e)
        {
            throw new CheckpointException($"its pickle has text that is not UTF-8 before byte {_input.Position}", _input.Path, e);
        }
    }

    private string Line()
    {
        var line = new List<byte>();
        for (byte b = _input.ReadByte(); b != '\n'; b = _input.ReadByte())
        {
            line.Add(b);
            if (line.Count > 1024)
            {
                throw Bad("has a name of more than 1024 characters");
            }
        }

        return Encoding.Latin1.GetString([.. line]);
    }

    /// <summary>
    /// Checks the finished tree: only what a caller may see, no deeper than a checkpoint is, and not larger when walked
    /// than its file suggests (shared objects count each time they are met; a cycle is found as depth).
    /// </summary>
    private long Measure(object? value, int depth)
    {
        if (depth > MaxDepth)
        {
            throw Bad($"nests objects more than {MaxDepth} deep, or within themselves");
        }

        if (value is null or bool or long or double or string or PtTensor || (value is BigInteger && _findStorage is null))
        {
            return 1;
        }

        if (_sizes.TryGetValue(value, out long known))
        {
            return known;
        }

        long size = 1;
        switch (value)
        {
            case PtList list:
                foreach (object? item in list.Items)
                {
                    size += Measure(item, depth + 1);
                }

                break;
            case PtDict dict:
                foreach ((_, object? item) in dict.Items)
                {
                    size += Measure(item, depth + 1);
                }

                break;
            default:
                throw Bad($"holds a bare {Kind(value)}, which has no meaning here");
        }

        if (size > MaxObjects)
        {
            throw Bad($"unfolds into more than {MaxObjects} objects");
        }

        _sizes.Add(value, size);
        return size;
    }

    private static string Kind(object? value) => value switch
    {
        null => "None",
        PtGlobal => "function or class name",
        PtStorage => "storage",
        PtTensor => "tensor",
        PtList { IsTuple: true } => "tuple",
        PtList => "list",
        PtDict => "dictionary",
        _ => value.GetType().Name,
    };

    private CheckpointException Bad(string problem) =>
        _input.Bad($"its pickle {problem} (byte {_input.Position}): damaged, or not a file of tensors");
}
