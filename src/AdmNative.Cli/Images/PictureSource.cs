using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;
using Picture = AdmNative.Formats.ImageBytes;

namespace AdmNative.Cli;

/// <summary>
/// Images given as input: an .npz (arr_0 u8 [N,H,W,C], arr_1 labels), a folder of pictures, or pictures by name. Read in order,
/// a batch at a time; after the last image the first comes again.
/// </summary>
internal abstract class PictureSource : IDisposable
{
    /// <summary>Number of images.</summary>
    public abstract int Count { get; }

    /// <summary>Height, width and channels of what is read.</summary>
    public abstract (int Height, int Width, int Channels) Size { get; }

    /// <summary>Labels by image; null when the input has none.</summary>
    public abstract IReadOnlyList<int>? Labels { get; }

    /// <summary>The files, and the folder, that are read.</summary>
    public abstract IReadOnlyList<string> Places { get; }

    /// <summary>Opens what a flag names.</summary>
    /// <param name="path">.npz file, folder, picture, or pictures separated by commas.</param>
    /// <param name="flag">The flag, for messages.</param>
    /// <param name="size">Pictures are cropped to a square of this side; arrays are taken as they are.</param>
    /// <param name="channels">3, or 1 to turn pictures grey.</param>
    /// <exception cref="CheckpointException">Nothing there, or no images.</exception>
    public static PictureSource Open(string path, string flag, int size, int channels)
    {
        if (path.Length == 0)
        {
            throw new UsageException($"--{flag} is needed: an .npz file with arr_0, a folder of pictures, or picture files");
        }

        if (Directory.Exists(path))
        {
            ImageFolder folder = ImageFolder.Open(path);
            return folder.Files.Count > 0
                ? new PictureFiles(folder.Files, folder.Labels, size, channels, path)
                : throw new CheckpointException($"--{flag}: no .png, .jpg or .jpeg file in this folder or below", path);
        }

        if (path.EndsWith(".npz", StringComparison.OrdinalIgnoreCase))
        {
            return new PictureArray(path, channels);
        }

        string[] files = path.Split(',');
        foreach (string file in files)
        {
            if (file.Length == 0)
            {
                throw new UsageException($"--{flag}: '{path}' has an empty name; write a.png,b.jpg");
            }

            if (!File.Exists(file))
            {
                throw new CheckpointException($"--{flag}: no such file or folder", file);
            }
        }

        return new PictureFiles(files, null, size, channels);
    }

    /// <summary>Images <paramref name="first"/>, first + 1, ... (round and round) as u8 [count,H,W,C].</summary>
    public abstract Tensor Read(long first, int count);

    /// <summary>The labels of those images.</summary>
    public int[] LabelsOf(long first, int count) =>
        [.. Enumerable.Range(0, count).Select(i => Labels![(int)((first + i) % Count)])];

    /// <summary>Those images as the networks see them: [count,C,H,W], v / 127.5 - 1.</summary>
    public Tensor ReadNormalised(long first, int count) => Normalise(Read(first, count));

    /// <summary>u8 [N,H,W,C] to f32 [N,C,H,W], v / 127.5 - 1.</summary>
    public static Tensor Normalise(Tensor images)
    {
        Shape s = images.Shape;
        var nhwc = new float[s.Elements];
        for (int i = 0; i < nhwc.Length; i++)
        {
            nhwc[i] = (images.Bytes[i] / 127.5f) - 1;
        }

        var result = new Tensor(DType.F32, [s[0], s[3], s[1], s[2]]);
        PixelOrder.ToNchw<float>(nhwc, s, result.AsSpan<float>());
        return result;
    }

    /// <inheritdoc/>
    public abstract void Dispose();

    private sealed class PictureFiles(IReadOnlyList<string> files, IReadOnlyList<int>? labels, int size, int channels, string? folder = null) : PictureSource
    {
        public override int Count => files.Count;

        public override IReadOnlyList<string> Places => folder is null ? files : [folder, .. files];

        public override (int Height, int Width, int Channels) Size => (size, size, channels);

        public override IReadOnlyList<int>? Labels => labels;

        public override Tensor Read(long first, int count)
        {
            var result = new Tensor(DType.U8, [count, size, size, channels]);
            int bytes = size * size * channels;
            for (int i = 0; i < count; i++)
            {
                string path = files[(int)((first + i) % files.Count)];
                Picture picture = Decode(path).ToRgb();
                byte[] square = CenterCrop.Apply(picture.Pixels, picture.Height, picture.Width, picture.Channels, size);
                (channels == 1 ? Grey(square) : square).CopyTo(result.Bytes[(i * bytes)..]);
            }

            return result;
        }

        public override void Dispose()
        {
        }

        private static Picture Decode(string path) => Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".png" => Png.Read(path),
            ".jpg" or ".jpeg" => Jpeg.Read(path),
            var other => throw new CheckpointException($"pictures of kind '{other}' are not read; convert it to PNG", path),
        };

        // ITU-R 601 luma in integers, as Pillow's "L" mode.
        private static byte[] Grey(byte[] rgb)
        {
            var grey = new byte[rgb.Length / 3];
            for (int i = 0; i < grey.Length; i++)
            {
                grey[i] = (byte)(((19595 * rgb[3 * i]) + (38470 * rgb[(3 * i) + 1]) + (7471 * rgb[(3 * i) + 2]) + 0x8000) >> 16);
            }

            return grey;
        }
    }

    private sealed class PictureArray : PictureSource
    {
        private readonly NpzFile _file;
        private readonly int[]? _labels;
        private readonly Shape _shape;
        private NpyReader? _reader;
        private long _next;

        public PictureArray(string path, int channels)
        {
            _file = NpzFile.Open(path);
            try
            {
                TensorType type = _file.TypeOf("arr_0");
                _shape = type.Shape;
                if (type.DType != DType.U8 || _shape.Rank != 4 || _shape[3] != channels || _shape.Elements == 0)
                {
                    throw new CheckpointException($"arr_0 must be u8 [N,H,W,{channels}] with at least one image, it is {type}", path);
                }

                _labels = _file.Contains("arr_1") ? ReadLabels() : null;
                if (_labels is not null && _labels.Length != _shape[0])
                {
                    throw new CheckpointException($"arr_0 has {_shape[0]} images, arr_1 {_labels.Length} labels", path);
                }

                CheckPixels();
            }
            catch
            {
                _file.Dispose();
                throw;
            }
        }

        public override int Count => _shape[0];

        public override IReadOnlyList<string> Places => [_file.Path];

        public override (int Height, int Width, int Channels) Size => (_shape[1], _shape[2], _shape[3]);

        public override IReadOnlyList<int>? Labels => _labels;

        public override Tensor Read(long first, int count)
        {
            var result = new Tensor(DType.U8, [count, _shape[1], _shape[2], _shape[3]]);
            int bytes = _shape[1] * _shape[2] * _shape[3];
            Seek(first % Count);
            for (int filled = 0; filled < count;)
            {
                if (_next == Count)
                {
                    Seek(0);
                }

                int rows = (int)Math.Min(count - filled, Count - _next);
                _reader!.ReadRows(result.Bytes.Slice(filled * bytes, rows * bytes));
                _next += rows;
                filled += rows;
            }

            return result;
        }

        private int[] ReadLabels()
        {
            float[] values = _file.Read("arr_1").ToFloats();
            int bad = Array.FindIndex(values, v => v != MathF.Truncate(v) || MathF.Abs(v) > 1 << 24);
            return bad < 0
                ? [.. values.Select(v => (int)v)]
                : throw new CheckpointException($"arr_1 must hold labels, whole numbers; entry {bad} is {values[bad]}", _file.Path);
        }

        // A damaged array shows at its end, by its checksum; better before the work than after it, or never if not all is used.
        private void CheckPixels()
        {
            using NpyReader rows = _file.OpenRows("arr_0");
            var chunk = new byte[Math.Max(rows.RowBytes, 1 << 20)];
            while (rows.ReadRows(chunk) > 0)
            {
            }
        }

        public override void Dispose()
        {
            _reader?.Dispose();
            _file.Dispose();
        }

        private void Seek(long row)
        {
            if (_reader is null || row < _next)
            {
                _reader?.Dispose();
                _reader = _file.OpenRows("arr_0");
                _next = 0;
            }

            for (int skip; _next < row; _next += skip)
            {
                skip = (int)Math.Min(row - _next, 1024);
                _reader.ReadRows(skip);
            }
        }
    }
}
