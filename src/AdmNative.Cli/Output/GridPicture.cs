namespace AdmNative.Cli;

/// <summary>Many images in one, row by row.</summary>
internal static class GridPicture
{
    /// <summary>More bytes than this are refused; such a picture helps nobody.</summary>
    public const long MaxBytes = 1L << 28;

    /// <summary>
    /// The cell of each image. With labels in blocks or in turn, one row per class; otherwise rows as near a square as it gets.
    /// </summary>
    /// <param name="count">Number of images.</param>
    /// <param name="labels">Label of each; null when classes were not chosen.</param>
    /// <param name="classes">Chosen classes, in row order; null when they were not chosen.</param>
    public static GridLayout Layout(int count, IReadOnlyList<int>? labels, IReadOnlyList<int>? classes)
    {
        if (labels is null || classes is null)
        {
            int columns = (int)Math.Ceiling(Math.Sqrt(count));
            return new GridLayout((count + columns - 1) / columns, columns, [.. Enumerable.Range(0, count).Select(i => (i / columns, i % columns))]);
        }

        var rowOf = new Dictionary<int, int>();
        foreach (int c in classes)
        {
            rowOf.TryAdd(c, rowOf.Count);
        }

        var filled = new int[rowOf.Count];
        var cells = new (int Row, int Column)[count];
        for (int i = 0; i < count; i++)
        {
            int row = rowOf[labels[i]];
            cells[i] = (row, filled[row]++);
        }

        return new GridLayout(filled.Length, filled.Max(), cells);
    }
}

/// <summary>Size of a grid and the cell of each image.</summary>
internal sealed record GridLayout(int Rows, int Columns, IReadOnlyList<(int Row, int Column)> Cells)
{
    /// <summary>An empty picture of this layout; cells without an image stay black.</summary>
    /// <exception cref="UsageException">Larger than <see cref="GridPicture.MaxBytes"/>.</exception>
    public GridCanvas Canvas(int height, int width, int channels, int scale)
    {
        double bytes = (double)Rows * Columns * height * width * channels * scale * scale;
        return bytes <= GridPicture.MaxBytes
            ? new GridCanvas(this, height, width, channels, scale)
            : throw new UsageException($"--grid: {Cells.Count} images of {height}x{width} make a picture of {bytes / (1 << 20):0} MiB; at most {GridPicture.MaxBytes >> 20} are possible: use --png_dir, fewer images or a smaller --grid_scale");
    }
}

/// <summary>A grid being filled.</summary>
internal sealed class GridCanvas(GridLayout layout, int height, int width, int channels, int scale)
{
    /// <summary>Rows of the picture.</summary>
    public int Height { get; } = layout.Rows * height * scale;

    /// <summary>Columns of the picture.</summary>
    public int Width { get; } = layout.Columns * width * scale;

    /// <summary>[Height, Width, channels].</summary>
    public byte[] Pixels { get; } = new byte[layout.Rows * layout.Columns * height * width * channels * scale * scale];

    /// <summary>Puts image <paramref name="index"/> ([height, width, channels]) into its cell, each pixel scale x scale times.</summary>
    public void Put(int index, ReadOnlySpan<byte> image)
    {
        (int row, int column) = layout.Cells[index];
        for (int y = 0; y < height * scale; y++)
        {
            ReadOnlySpan<byte> from = image.Slice(y / scale * width * channels, width * channels);
            Span<byte> to = Pixels.AsSpan(((((row * height * scale) + y) * Width) + (column * width * scale)) * channels, width * scale * channels);
            for (int x = 0; x < width * scale; x++)
            {
                from.Slice(x / scale * channels, channels).CopyTo(to[(x * channels)..]);
            }
        }
    }
}
