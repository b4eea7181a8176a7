using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// The head of a .npy file: 93 'NUMPY', version, length of a text such as
/// {'descr': '&lt;f4', 'fortran_order': False, 'shape': (2, 3), } padded with spaces and a newline to a multiple of 64.
/// bfloat16, which numpy does not know, is written as '|V2' (two opaque bytes), the way the ml_dtypes package does.
/// </summary>
internal sealed record NpyHeader(DType DType, Shape Shape, bool BigEndian, bool FortranOrder)
{
    private const int MaxTextBytes = 1 << 20;
    private const int MaxRank = 64;

    private static ReadOnlySpan<byte> Magic => [0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y'];

    /// <summary>Bytes of data after the head.</summary>
    public long DataBytes => checked(Shape.Elements * DType.SizeBytes());

    /// <summary>Reads the head; returns it with its own length in bytes.</summary>
    public static (NpyHeader Header, long HeaderBytes) Read(Stream stream, string path, string what)
    {
        Span<byte> prefix = stackalloc byte[12];
        if (stream.ReadAtLeast(prefix[..10], 10, throwOnEndOfStream: false) < 10 || !prefix[..6].SequenceEqual(Magic))
        {
            throw new CheckpointException($"{what} is not in .npy format (it does not begin with \\x93NUMPY)", path);
        }

        int version = prefix[6];
        long textBytes = BinaryPrimitives.ReadUInt16LittleEndian(prefix[8..]);
        int prefixBytes = 10;
        if (version is 2 or 3)
        {
            prefixBytes = 12;
            if (stream.ReadAtLeast(prefix[10..], 2, throwOnEndOfStream: false) < 2)
            {
                throw new CheckpointException($"{what} ends inside its .npy head", path);
            }

            textBytes = BinaryPrimitives.ReadUInt32LittleEndian(prefix[8..]);
        }
        else if (version != 1)
        {
            throw new CheckpointException($"{what} has .npy version {version}; versions 1, 2 and 3 are read", path);
        }

        if (textBytes > MaxTextBytes || textBytes > stream.Length - prefixBytes)
        {
            throw new CheckpointException($"{what} claims a .npy head of {textBytes} bytes; truncated or damaged", path);
        }

        var text = new byte[textBytes];
        stream.ReadExactly(text);
        return (new Parser(Encoding.UTF8.GetString(text), path, what).Parse(), prefixBytes + textBytes);
    }

    /// <summary>The head of row-major little-endian data.</summary>
    public static byte[] Build(DType dtype, Shape shape)
    {
        string dims = shape.Rank == 1 ? $"{shape.Dim(0)}," : string.Join(", ", shape.ToArray());
        string text = $"{{'descr': '{Descr(dtype)}', 'fortran_order': False, 'shape': ({dims}), }}";
        int total = (10 + text.Length + 1 + 63) / 64 * 64;
        var bytes = new byte[total];
        Magic.CopyTo(bytes);
        bytes[6] = 1;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(8), checked((ushort)(total - 10)));
        bytes.AsSpan(10).Fill((byte)' ');
        Encoding.ASCII.GetBytes(text, bytes.AsSpan(10));
        bytes[^1] = (byte)'\n';
        return bytes;
    }

    private static string Descr(DType dtype) => dtype switch
    {
        DType.F16 => "<f2",
        DType.F32 => "<f4",
        DType.F64 => "<f8",
        DType.BF16 => "|V2",
        DType.I64 => "<i8",
        DType.I32 => "<i4",
        DType.I16 => "<i2",
        DType.I8 => "|i1",
        DType.U8 => "|u1",
        DType.Bool => "|b1",
        _ => throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "unknown element type"),
    };

    /// <summary>Reads the one Python literal that can stand here.</summary>
    private sealed class Parser(string text, string path, string what)
    {
        private int _at;

        public NpyHeader Parse()
        {
            (DType DType, bool BigEndian)? descr = null;
            bool? fortran = null;
            Shape? shape = null;
            Expect('{');
            while (Peek() != '}')
            {
                string key = Quoted();
                Expect(':');
                switch (key)
                {
                    case "descr": descr = Element(); break;
                    case "fortran_order": fortran = Bool(); break;
                    case "shape": shape = Dims(); break;
                    default: throw Bad($"has an unknown key '{key}'");
                }

                if (Peek() != '}')
                {
                    Expect(',');
                }
            }

            if (descr is not var (dtype, big) || fortran is null || shape is null)
            {
                throw Bad("lacks descr, fortran_order or shape");
            }

            if (shape.Elements > long.MaxValue / 8)
            {
                throw Bad($"claims shape {shape}");
            }

            return new NpyHeader(dtype, shape, big, fortran.Value);
        }

        private (DType DType, bool BigEndian) Element()
        {
            if (Peek() == '[')
            {
                throw new CheckpointException($"{what} holds records (a structured dtype); save the fields as separate arrays", path);
            }

            string descr = Quoted();
            bool big = descr.StartsWith('>');
            string kind = descr.TrimStart('<', '>', '=', '|');
            DType? dtype = kind switch
            {
                "f2" => DType.F16,
                "f4" => DType.F32,
                "f8" => DType.F64,
                "i1" => DType.I8,
                "i2" => DType.I16,
                "i4" => DType.I32,
                "i8" => DType.I64,
                "u1" => DType.U8,
                "b1" => DType.Bool,
                "V2" when !big => DType.BF16,
                _ => null,
            };
            return dtype is { } known && descr.Length - kind.Length <= 1
                ? (known, big && known.SizeBytes() > 1)
                : throw new CheckpointException(
                    $"{what} has elements of numpy type '{descr}', which is not read here; save it as float, signed integer, uint8 or bool", path);
        }

        private Shape Dims()
        {
            var dims = new List<long>();
            Expect('(');
            while (Peek() != ')')
            {
                dims.Add(Integer());
                if (dims.Count > MaxRank)
                {
                    throw Bad($"has more than {MaxRank} dimensions");
                }

                if (Peek() != ')')
                {
                    Expect(',');
                }
            }

            _at++;
            try
            {
                return Shape.Create([.. dims]);
            }
            catch (ShapeException e)
            {
                throw Bad($"has an impossible shape: {e.Message}");
            }
        }

        private long Integer()
        {
            Peek();
            int start = _at;
            while (_at < text.Length && char.IsAsciiDigit(text[_at]))
            {
                _at++;
            }

            if (!long.TryParse(text.AsSpan(start, _at - start), NumberStyles.None, CultureInfo.InvariantCulture, out long value))
            {
                throw Bad($"should have a dimension at character {start}");
            }

            if (_at < text.Length && text[_at] == 'L')      // Python 2 wrote long integers like this
            {
                _at++;
            }

            return value;
        }

        private bool Bool()
        {
            Peek();
            foreach ((string word, bool value) in (ReadOnlySpan<(string, bool)>)[("True", true), ("False", false)])
            {
                if (string.CompareOrdinal(text, _at, word, 0, word.Length) == 0)
                {
                    _at += word.Length;
                    return value;
                }
            }

            throw Bad($"should say True or False at character {_at}");
        }

        private string Quoted()
        {
            char quote = Peek();
            int end = quote is '\'' or '"' ? text.IndexOf(quote, _at + 1) : -1;
            if (end < 0)
            {
                throw Bad($"should have a quoted word at character {_at}");
            }

            string word = text[(_at + 1)..end];
            _at = end + 1;
            return word;
        }

        private void Expect(char c)
        {
            if (Peek() != c)
            {
                throw Bad($"should have '{c}' at character {_at}");
            }

            _at++;
        }

        private char Peek()
        {
            while (_at < text.Length && char.IsWhiteSpace(text[_at]))
            {
                _at++;
            }

            return _at < text.Length ? text[_at] : throw Bad("ends early");
        }

        private CheckpointException Bad(string problem) => new($"{what}: the .npy head {problem}", path);
    }
}
