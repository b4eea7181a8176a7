using System.Text;
using AdmNative.Core;
using Newtonsoft.Json;

namespace AdmNative.Formats;

/// <summary>
/// A safetensors file: an 8-byte length, a JSON head name -> {dtype, shape, data_offsets}, then the data, read when asked
/// for. The head must describe the data exactly: no gap, no overlap, nothing left over.
/// </summary>
public sealed class SafetensorsFile : ITensorSource, IDisposable
{
    private const int MaxRank = 64;

    private readonly FileBytes _file;
    private readonly OrderedDictionary<string, TensorType> _types = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _positions = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, string> _metadata = new(StringComparer.Ordinal);

    private SafetensorsFile(FileBytes file) => _file = file;

    /// <inheritdoc/>
    public string Description => _file.Path;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorType> Tensors => _types;

    /// <summary>The free text entries of the head, sorted by key.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Opens a file and checks its head; reads no data.</summary>
    /// <exception cref="CheckpointException">Not a safetensors file, damaged, or of an element type that is not read.</exception>
    public static SafetensorsFile Open(string path) => FileBytes.Open(path, Open);

    /// <inheritdoc/>
    public void ReadFloats(string name, Span<float> destination)
    {
        TensorType type = TypeOf(name);
        TensorBytes.CheckLength(name, type, destination.Length);
        TensorBytes.ReadFloats(_file, _positions[name], type.DType, destination, $"tensor '{name}'");
    }

    /// <summary>Reads a tensor in its own type.</summary>
    /// <exception cref="CheckpointException">No such tensor, or it is over 2 GiB.</exception>
    public Tensor Read(string name)
    {
        TensorType type = TypeOf(name);
        if (type.Shape.Elements > Array.MaxLength / type.DType.SizeBytes())
        {
            throw new CheckpointException($"tensor '{name}', {type}, is over 2 GiB; read it as floats", _file.Path);
        }

        var tensor = new Tensor(type.DType, type.Shape);
        _file.Read(_positions[name], tensor.Bytes, $"tensor '{name}'");
        return tensor;
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    internal static SafetensorsFile Open(FileBytes file)
    {
        FileKind kind = FileKinds.Of(file);
        if (kind != FileKind.Safetensors)
        {
            throw FileKinds.NotA("safetensors file", kind, file);
        }

        Span<byte> length = stackalloc byte[8];
        file.Read(0, length, "the head's length");
        long headBytes = BitConverter.ToInt64(length);
        if (headBytes > file.Length - 8)
        {
            throw new CheckpointException($"has a head of {headBytes} bytes, the file has {file.Length}: truncated; fetch it again", file.Path);
        }

        var head = new byte[headBytes];
        file.Read(8, head, "the head");
        var result = new SafetensorsFile(file);
        try
        {
            var text = new StreamReader(new MemoryStream(head), new UTF8Encoding(false, throwOnInvalidBytes: true));
            using var reader = new JsonTextReader(text)
            {
                DateParseHandling = DateParseHandling.None,
                MaxDepth = 8,
            };
            new HeadReader(reader, result, 8 + headBytes).Read();
        }
        catch (Exception e) when (e is JsonException or DecoderFallbackException)
        {
            throw new CheckpointException($"has a head that is not JSON ({e.Message}): damaged; fetch it again", file.Path, e);
        }

        return result;
    }

    private TensorType TypeOf(string name) => _types.TryGetValue(name, out TensorType? type)
        ? type
        : throw new CheckpointException($"has no tensor '{name}'", _file.Path);

    /// <summary>Reads the head token by token, so memory grows with the tensors found and with nothing else.</summary>
    private sealed class HeadReader(JsonTextReader json, SafetensorsFile file, long dataStart)
    {
        private readonly List<(long Begin, long End, string Name)> _extents = [];

        private long DataBytes => file._file.Length - dataStart;

        public void Read()
        {
            Next();
            Expect(JsonToken.StartObject, "the head");
            while (Next() == JsonToken.PropertyName)
            {
                var name = (string)json.Value!;
                Next();
                Expect(JsonToken.StartObject, $"'{name}'");
                if (name == "__metadata__")
                {
                    ReadMetadata();
                }
                else
                {
                    ReadTensor(name);
                }
            }

            Expect(JsonToken.EndObject, "the head");
            if (json.Read())
            {
                throw Bad("has more text after its head's closing brace");
            }

            CheckExtents();
        }

        private void ReadMetadata()
        {
            while (Next() == JsonToken.PropertyName)
            {
                var key = (string)json.Value!;
                Next();
                Expect(JsonToken.String, $"metadata '{key}'");
                if (!file._metadata.TryAdd(key, (string)json.Value!))
                {
                    throw Bad($"has metadata '{key}' twice");
                }
            }

            Expect(JsonToken.EndObject, "the metadata");
        }

        private void ReadTensor(string name)
        {
            DType? dtype = null;
            long[]? dims = null;
            long[]? offsets = null;
            while (Next() == JsonToken.PropertyName)
            {
                var key = (string)json.Value!;
                switch (key)
                {
                    case "dtype":
                        Next();
                        Expect(JsonToken.String, $"the dtype of '{name}'");
                        dtype = SafetensorsWriter.Parse((string)json.Value!)
                            ?? throw Bad($"holds tensor '{name}' of type {json.Value}, which is not read here; convert it to F32, F16 or BF16");
                        break;
                    case "shape": dims = Numbers(MaxRank, $"the shape of '{name}'"); break;
                    case "data_offsets": offsets = Numbers(2, $"the offsets of '{name}'"); break;
                    default: throw Bad($"describes tensor '{name}' with an unknown '{key}'");
                }
            }

            Expect(JsonToken.EndObject, $"'{name}'");
            if (dtype is null || dims is null || offsets is not [long begin, long end])
            {
                throw Bad($"lacks dtype, shape or data_offsets of tensor '{name}'");
            }

            Shape shape;
            try
            {
                shape = Shape.Create(dims);
            }
            catch (ShapeException e)
            {
                throw new CheckpointException($"tensor '{name}': {e.Message}", file._file.Path, e);
            }

            int size = dtype.Value.SizeBytes();
            bool inside = begin >= 0 && end >= begin && end <= DataBytes;
            if (!inside || (end - begin) / size != shape.Elements || (end - begin) % size != 0)
            {
                throw Bad($"places {dtype} {shape} tensor '{name}' at bytes {begin} to {end} of {DataBytes}: truncated or damaged; fetch it again");
            }

            if (!file._types.TryAdd(name, new TensorType(dtype.Value, shape)))
            {
                throw Bad($"describes tensor '{name}' twice");
            }

            file._positions.Add(name, dataStart + begin);
            _extents.Add((begin, end, name));
        }

        private void CheckExtents()
        {
            _extents.Sort();
            long at = 0;
            foreach ((long begin, long end, string name) in _extents)
            {
                if (begin != at)
                {
                    string problem = begin < at ? "has tensors overlapping" : "leaves bytes unused";
                    throw Bad($"{problem} before tensor '{name}' (at byte {begin} of the data, expected {at}): damaged");
                }

                at = end;
            }

            if (at != DataBytes)
            {
                throw Bad($"has {DataBytes} bytes of data, its tensors take {at}: truncated or damaged; fetch it again");
            }
        }

        private long[] Numbers(int most, string what)
        {
            var numbers = new List<long>();
            Next();
            Expect(JsonToken.StartArray, what);
            while (Next() == JsonToken.Integer)
            {
                numbers.Add(json.Value is long n ? n : throw Bad($"{what} does not fit in 64 bits"));
                if (numbers.Count > most)
                {
                    throw Bad($"{what} has more than {most} numbers");
                }
            }

            Expect(JsonToken.EndArray, what);
            return [.. numbers];
        }

        private JsonToken Next() => json.Read() ? json.TokenType : throw Bad("has a head that ends early: truncated or damaged");

        private void Expect(JsonToken token, string what)
        {
            if (json.TokenType != token)
            {
                throw Bad($"{what} should be {token} at character {json.LinePosition} of the head, it is {json.TokenType}: damaged");
            }
        }

        private CheckpointException Bad(string problem) => new(problem, file._file.Path);
    }
}
