using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/convert.cu.</summary>
internal static class ConvertCases
{
    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach (Conversion kind in (Conversion[])[Conversion.ToRows, Conversion.FromRows])
            {
                yield return new LayoutCase(dtype, kind, 2, 49, 3, 8, 8);
                yield return new LayoutCase(dtype, kind, 1, 1, 1, 1, 1);
                yield return new LayoutCase(dtype, kind, 3, 64, 6, 8, 16);
                yield return new LayoutCase(dtype, kind, 1, 130, 40, 40, 48);
                yield return new LayoutCase(dtype, kind, 4, 256 * 256, 3, 8, 8) { Layer = true };
            }
        }

        for (int channels = 1; channels <= 4; channels++)
        {
            foreach (Conversion kind in (Conversion[])[Conversion.FromBytes, Conversion.ToBytes, Conversion.ToBytesRounded])
            {
                yield return new BytesCase(kind, 2, channels == 3 ? 35 * 35 : 7 * 7, channels);
                yield return new BytesCase(kind, 3, channels == 3 ? 36 * 36 : 8 * 8, channels);
            }
        }

        yield return new BytesCase(Conversion.FromBytes, 4, 256 * 256, 3) { Layer = true };
        yield return new BytesCase(Conversion.ToBytes, 4, 256 * 256, 3) { Layer = true };
    }
}

/// <summary>A change of layout.</summary>
internal sealed class LayoutCase(KernelDType dtype, Conversion kind, int samples, int pixels, int channels, int width, int stride) : KernelCase(
    "convert", kind == Conversion.ToRows ? "to rows" : "from rows", dtype, $"{samples}x{pixels}x{channels}/{width}/{stride}")
{
    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        bool to = kind == Conversion.ToRows;
        ConvertPlan plan = ConvertKernels.PlanLayout(kind, samples, pixels, channels, to ? width : channels, stride, DType, limits);
        int columns = to ? width : channels;
        float[] values = KernelNumbers.Rounded(KernelInputs.Normal((long)samples * pixels * channels, 1, 3), to ? KernelDType.F32 : DType);
        KernelBuffer x = to ? work.Input("x", values, KernelDType.F32) : work.Input("x", values, DType, channels, stride);
        KernelBuffer y = to ? work.Output("y", (long)samples * pixels, columns, DType, stride) : work.Output("y", (long)samples * channels, pixels, KernelDType.F32);
        work.Run(plan, () => [ConvertKernels.Enqueue(plan, x.Address, y.Address)]);
        var expected = new double[(long)samples * pixels * columns];
        for (int n = 0; n < samples; n++)
        {
            for (int p = 0; p < pixels; p++)
            {
                for (int c = 0; c < channels; c++)
                {
                    int planar = (((n * channels) + c) * pixels) + p, row = (((n * pixels) + p) * columns) + c;
                    expected[to ? row : planar] = KernelNumbers.Decode(KernelNumbers.Encode(values[to ? planar : row], to ? DType : KernelDType.F32), to ? DType : KernelDType.F32);
                }
            }
        }

        work.Expect(y, expected, Tolerances.Exact);

        // Rows with gaps: a warp's elements lie in up to stride / columns times the sectors, and begin anywhere. Tiles of 8 of 40 channels: two tiles' strides.
        double sectors = Math.Max(pixels % 8 == 0 ? 1.05 : 2, 1.3 * stride / columns);
        work.Gates = _ => new LaunchGates { Sectors = sectors, Registers = 64, Barriers = 8 * plan.Launch.Shape.GridX };
        return work;
    }
}

/// <summary>Bytes of images, every value among them.</summary>
internal sealed class BytesCase(Conversion kind, int samples, int pixels, int channels) : KernelCase(
    "convert", kind switch { Conversion.FromBytes => "from bytes", Conversion.ToBytes => "to bytes", _ => "to bytes rounded" }, KernelDType.F32, $"{samples}x{pixels}x{channels}")
{
    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        int count = samples * pixels * channels;
        ConvertPlan plan = ConvertKernels.PlanBytes(kind, samples, pixels, channels, limits);
        int Planar(int row) => (((row / (pixels * channels) * channels) + (row % channels)) * pixels) + (row / channels % pixels);
        if (kind == Conversion.FromBytes)
        {
            byte[] bytes = [.. Enumerable.Range(0, count).Select(i => (byte)((i * 37) + (i / 256)))];
            KernelBuffer x = work.Input("x", bytes), y = work.Output("y", (long)samples * channels, pixels, KernelDType.F32);
            work.Run(plan, () => [ConvertKernels.Enqueue(plan, x.Address, y.Address)]);
            var expected = new double[count];
            for (int i = 0; i < count; i++)
            {
                expected[Planar(i)] = (bytes[i] / 127.5f) - 1;
            }

            work.Expect(y, expected, Tolerances.Exact);
        }
        else
        {
            // Every byte's own value and its two neighbours in f32, values beyond the ends, infinities and NaN.
            float[] values = new float[count], odd = [float.NaN, float.PositiveInfinity, float.NegativeInfinity, -7, 7, 1, -1, 1e-40f];
            for (int i = 0; i < count; i++)
            {
                float v = (i % 256 / 127.5f) - 1;
                values[i] = i < odd.Length ? odd[i] : (i % 3) switch { 0 => v, 1 => MathF.BitIncrement(v), _ => MathF.BitDecrement(v) };
            }

            KernelBuffer x = work.Input("x", values, KernelDType.F32), y = work.Output("y", 1, (count + 3) / 4, KernelDType.F32);
            work.Run(plan, () => [ConvertKernels.Enqueue(plan, x.Address, y.Address)]);
            var expected = new byte[count];
            for (int i = 0; i < count; i++)
            {
                float v = (values[Planar(i)] + 1) * 127.5f;
                v = float.IsNaN(v) ? 0 : Math.Clamp(v, 0, 255);
                expected[i] = (byte)(kind == Conversion.ToBytesRounded ? MathF.Round(v) : v);
            }

            work.ExpectBytes(y, bytes =>
            {
                int at = bytes.AsSpan(0, count).CommonPrefixLength(expected);
                return at == count ? null : $"byte {at} is {bytes[at]}, expected {expected[at]}";
            });
        }

        // Words of C channels' bytes come C words apart: each of the C accesses touches all sectors, which the others find in the cache. Images that
        // are no whole words go byte by byte.
        work.Gates = _ => new LaunchGates { Sectors = pixels % 4 == 0 ? (channels == 1 ? 1.05 : 1.2 * channels) : 8, Bytes = 1.05, Registers = 48, Barriers = 0 };
        return work;
    }
}
