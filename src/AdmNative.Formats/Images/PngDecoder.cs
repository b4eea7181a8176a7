using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>One decoding of a PNG file (W3C PNG specification, second edition).</summary>
internal sealed class PngDecoder(ReadOnlyMemory<byte> file, string name)
{
    // Adam7: origin and step of each pass. One pass with step 1 is a picture without interlacing.
    private static readonly (int X, int Y, int StepX, int StepY)[] s_adam7 =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];

    private static readonly (int X, int Y, int StepX, int StepY)[] s_onePass = [(0, 0, 1, 1)];

    private readonly List<ReadOnlyMemory<byte>> _data = [];
    private int _width;
    private int _height;
    private int _depth;
    private int _colour;
    private bool _interlaced;
    private ReadOnlyMemory<byte> _palette;
    private ReadOnlyMemory<byte> _transparency;

    private int SamplesPerPixel => _colour switch { 2 => 3, 4 => 2, 6 => 4, _ => 1 };

    private bool HasTransparency => _transparency.Length > 0;

    private int Channels => _colour switch
    {
        0 => HasTransparency ? 4 : 1,
        2 or 3 => HasTransparency ? 4 : 3,
        _ => 4,
    };

    public ImageBytes Decode()
    {
        ReadChunks();
        (int X, int Y, int StepX, int StepY)[] passes = _interlaced ? s_adam7 : s_onePass;
        long filtered = 0;
        foreach (var pass in passes)
        {
            (int w, int h) = PassSize(pass);
            filtered += w == 0 ? 0 : h * (1L + RowBytes(w));
        }

        long compressed = _data.Sum(d => (long)d.Length);
        if (!Inflate.CanHold(compressed, filtered))
        {
            throw Bad($"claims {_width}x{_height} pixels, which {compressed} bytes of data cannot hold");
        }

        // zlib's preset dictionaries, which PNG forbids: the library answers them with an internal error.
        Span<byte> zlibHead = stackalloc byte[2];
        using (var head = new Segments(_data))
        {
            if (head.ReadAtLeast(zlibHead, 2, throwOnEndOfStream: false) < 2 || (zlibHead[1] & 0x20) != 0)
            {
                throw Bad("has picture data that is not in zlib format");
            }
        }

        var pixels = new byte[(long)_width * _height * Channels];
        try
        {
            using var zlib = new ZLibStream(new Segments(_data), CompressionMode.Decompress);
            foreach (var pass in passes)
            {
                ReadPass(zlib, pass, pixels);
            }

            zlib.ReadByte();    // to the end, where zlib verifies its own checksum
        }
        catch (InvalidDataException e)
        {
            throw new CheckpointException("is a PNG file whose picture data does not decompress: damaged", name, e);
        }

        return new ImageBytes(_width, _height, Channels, pixels);
    }

    private void ReadChunks()
    {
        ReadOnlySpan<byte> bytes = file.Span;
        if (!Png.HasSignature(bytes))
        {
            throw new CheckpointException("is not a PNG file", name);
        }

        int at = 8;
        while (true)
        {
            if (bytes.Length - at < 12)
            {
                throw Bad("ends without its closing chunk: truncated");
            }

            uint length = BinaryPrimitives.ReadUInt32BigEndian(bytes[at..]);
            if (length > bytes.Length - at - 12)
            {
                throw Bad($"has a chunk of {length} bytes at {at}, the file has {bytes.Length}: truncated");
            }

            ReadOnlySpan<byte> typeBytes = bytes.Slice(at + 4, 4);
            ReadOnlyMemory<byte> content = file.Slice(at + 8, (int)length);
            string type = Encoding.Latin1.GetString(typeBytes);
            uint crc = BinaryPrimitives.ReadUInt32BigEndian(bytes[(at + 8 + (int)length)..]);
            if (Crc32.Append(0, bytes.Slice(at + 4, 4 + (int)length)) != crc)
            {
                throw Bad($"has a wrong checksum in the chunk at byte {at}");
            }

            if ((at == 8) != (type == "IHDR"))
            {
                throw Bad("does not begin with its header, or has two");
            }

            at += 12 + (int)length;
            switch (type)
            {
                case "IHDR": ReadHeader(content.Span); break;
                case "PLTE": _palette = content; break;
                case "tRNS": _transparency = content; break;
                case "IDAT": _data.Add(content); break;
                case "IEND": CheckParts(); return;
                default:
                    if ((typeBytes[0] & 0x20) == 0)     // upper case: the picture cannot be understood without it
                    {
                        throw Bad($"needs a chunk '{type}', which is not known");
                    }

                    break;
            }
        }
    }

    private void ReadHeader(ReadOnlySpan<byte> header)
    {
        if (header.Length != 13)
        {
            throw Bad($"has a header of {header.Length} bytes instead of 13");
        }

        long width = BinaryPrimitives.ReadUInt32BigEndian(header);
        long height = BinaryPrimitives.ReadUInt32BigEndian(header[4..]);
        ImageFile.CheckSize(width, height, name);
        _width = (int)width;
        _height = (int)height;
        _depth = header[8];
        _colour = header[9];
        _interlaced = header[12] == 1;
        bool known = _colour switch
        {
            0 => _depth is 1 or 2 or 4 or 8 or 16,
            3 => _depth is 1 or 2 or 4 or 8,
            2 or 4 or 6 => _depth is 8 or 16,
            _ => false,
        };
        if (!known || header[10] != 0 || header[11] != 0 || header[12] > 1)
        {
            throw Bad($"has colour type {_colour} of {_depth} bits, methods {header[10]}, {header[11]} and {header[12]}; the standard has no such picture");
        }
    }

    private void CheckParts()
    {
        if (_colour == 3 && (_palette.Length is 0 or > 768 || _palette.Length % 3 != 0))
        {
            throw Bad($"has a palette of {_palette.Length} bytes");
        }

        bool fits = _colour switch
        {
            0 => _transparency.Length is 0 or 2,
            2 => _transparency.Length is 0 or 6,
            3 => _transparency.Length <= _palette.Length / 3,
            _ => _transparency.Length == 0,
        };
        if (!fits)
        {
            throw Bad($"has {_transparency.Length} bytes of transparency, which do not fit colour type {_colour}");
        }

        if ((long)_width * _height * Channels > Array.MaxLength)
        {
            throw Bad($"is too large ({_width}x{_height})");
        }
    }

    private (int Width, int Height) PassSize((int X, int Y, int StepX, int StepY) pass) =>
        ((_width - pass.X + pass.StepX - 1) / pass.StepX, (_height - pass.Y + pass.StepY - 1) / pass.StepY);

    private int RowBytes(int width) => checked((int)((((long)width * SamplesPerPixel * _depth) + 7) / 8));

    private void ReadPass(ZLibStream zlib, (int X, int Y, int StepX, int StepY) pass, byte[] pixels)
    {
        (int width, int height) = PassSize(pass);
        if (width <= 0 || height <= 0)
        {
            return;
        }

        // Whole rows can be copied where a pixel in the file is a pixel in the result.
        bool plain = !_interlaced && _depth == 8 && _colour is (0 or 2 or 6) && !HasTransparency;
        int channels = Channels;
        int pixelBytes = Math.Max(SamplesPerPixel * _depth / 8, 1);
        var row = new byte[RowBytes(width)];
        var above = new byte[row.Length];
        for (int y = 0; y < height; y++)
        {
            int filter = zlib.ReadByte();
            if (filter < 0 || zlib.ReadAtLeast(row, row.Length, throwOnEndOfStream: false) < row.Length)
            {
                throw Bad($"ends in row {y} of {height}: truncated");
            }

            Unfilter(filter, row, above, pixelBytes);
            int line = (pass.Y + (y * pass.StepY)) * _width;
            if (plain)
            {
                row.CopyTo(pixels, line * channels);
            }
            else
            {
                for (int x = 0; x < width; x++)
                {
                    Place(row, x, pixels.AsSpan((line + pass.X + (x * pass.StepX)) * channels, channels));
                }
            }

            (row, above) = (above, row);
        }
    }

    /// <summary>Adds to each byte what its filter predicts; what lies left of the row counts as zero.</summary>
    private void Unfilter(int filter, byte[] row, byte[] above, int pixelBytes)
    {
        switch (filter)
        {
            case 0: break;
            case 1:
                for (int i = pixelBytes; i < row.Length; i++)
                {
                    row[i] = unchecked((byte)(row[i] + row[i - pixelBytes]));
                }

                break;
            case 2:
                for (int i = 0; i < row.Length; i++)
                {
                    row[i] = unchecked((byte)(row[i] + above[i]));
                }

                break;
            case 3 or 4:
                for (int i = 0; i < row.Length; i++)
                {
                    int left = i >= pixelBytes ? row[i - pixelBytes] : 0;
                    int corner = i >= pixelBytes ? above[i - pixelBytes] : 0;
                    row[i] = unchecked((byte)(row[i] + Png.Predict(filter, left, above[i], corner)));
                }

                break;
            default: throw Bad($"uses row filter {filter}; there are 0 to 4");
        }
    }

    private void Place(ReadOnlySpan<byte> row, int x, Span<byte> pixel)
    {
        switch (_colour)
        {
            case 3:
                int entry = Sample(row, x);
                if (3 * entry >= _palette.Length)
                {
                    throw Bad($"uses palette entry {entry} of {_palette.Length / 3}");
                }

                _palette.Span.Slice(3 * entry, 3).CopyTo(pixel);
                if (HasTransparency)
                {
                    pixel[3] = entry < _transparency.Length ? _transparency.Span[entry] : (byte)255;
                }

                break;
            case 0 or 2:
                int colours = SamplesPerPixel;
                bool clear = HasTransparency;
                for (int c = 0; c < colours; c++)
                {
                    int sample = Sample(row, (x * colours) + c);
                    clear = clear && sample == BinaryPrimitives.ReadUInt16BigEndian(_transparency.Span[(2 * c)..]);
                    pixel[c] = To8(sample);
                }

                if (HasTransparency)
                {
                    Grey(pixel, colours);
                    pixel[3] = clear ? (byte)0 : (byte)255;
                }

                break;
            default:
                int all = SamplesPerPixel;
                for (int c = 0; c < all - 1; c++)
                {
                    pixel[c] = To8(Sample(row, (x * all) + c));
                }

                Grey(pixel, all - 1);
                pixel[3] = To8(Sample(row, (x * all) + all - 1));
                break;
        }

        static void Grey(Span<byte> pixel, int colours)
        {
            if (colours == 1)
            {
                pixel[1] = pixel[0];
                pixel[2] = pixel[0];
            }
        }
    }

    private int Sample(ReadOnlySpan<byte> row, int i) => _depth switch
    {
        8 => row[i],
        16 => BinaryPrimitives.ReadUInt16BigEndian(row[(2 * i)..]),
        _ => (row[i * _depth / 8] >> (8 - _depth - (i * _depth % 8))) & ((1 << _depth) - 1),
    };

    private byte To8(int sample) => _depth switch
    {
        8 => (byte)sample,
        16 => (byte)(sample >> 8),
        _ => (byte)(sample * 255 / ((1 << _depth) - 1)),
    };

    private CheckpointException Bad(string problem) => new($"is a PNG file that {problem}; write it again", name);

    /// <summary>The content of the data chunks as one stream.</summary>
    private sealed class Segments(List<ReadOnlyMemory<byte>> parts) : ReadOnlyStream
    {
        private int _part;
        private int _at;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override int Read(Span<byte> buffer)
        {
            while (_part < parts.Count && _at == parts[_part].Length)
            {
                _part++;
                _at = 0;
            }

            if (_part == parts.Count)
            {
                return 0;
            }

            int n = Math.Min(buffer.Length, parts[_part].Length - _at);
            parts[_part].Span.Slice(_at, n).CopyTo(buffer);
            _at += n;
            return n;
        }
    }
}
