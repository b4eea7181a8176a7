using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>What a conversion does.</summary>
public enum Conversion
{
    /// <summary>f32 [N, C, P] to rows [N, P, width] of the type, zeros from channel C on.</summary>
    ToRows,

    /// <summary>Rows [N, P, C] of the type to f32 [N, C, P].</summary>
    FromRows,

    /// <summary>Bytes [N, P, C] to f32 [N, C, P]: v / 127.5 - 1.</summary>
    FromBytes,

    /// <summary>f32 [N, C, P] to bytes [N, P, C]: (v + 1) 127.5, clamped and cut off.</summary>
    ToBytes,

    /// <summary>As <see cref="ToBytes"/>, rounded to nearest even.</summary>
    ToBytesRounded,
}

/// <summary>A planned conversion.</summary>
/// <param name="Kind">What it does.</param>
/// <param name="DType">Of the rows; f32 with bytes.</param>
/// <param name="N">Samples.</param>
/// <param name="P">Pixels of a sample.</param>
/// <param name="C">Channels.</param>
/// <param name="Width">Channels written to a row.</param>
/// <param name="Stride">Elements between rows.</param>
/// <param name="Launch">The launch.</param>
public sealed record ConvertPlan(Conversion Kind, KernelDType DType, int N, int P, int C, int Width, long Stride, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Launchers of kernels/convert.cu: layouts and bytes at the edge of the network; changes of type alone are <see cref="EltwiseKernels"/>'.</summary>
public static class ConvertKernels
{
    private const string Op = "convert";
    private const int Pixels = 64, Channels = 32, PixelsOfBytes = 1024;

    /// <summary>Plans the change of layout and type at the network's edge.</summary>
    /// <param name="kind"><see cref="Conversion.ToRows"/> or <see cref="Conversion.FromRows"/>.</param>
    /// <param name="samples">N.</param>
    /// <param name="pixels">P of a sample.</param>
    /// <param name="channels">C.</param>
    /// <param name="width">Channels written to a row, at least C; 0 = C.</param>
    /// <param name="stride">Elements between rows, at least the width; 0 = width.</param>
    /// <param name="dtype">Of the rows.</param>
    /// <param name="limits">Of the device.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static ConvertPlan PlanLayout(Conversion kind, int samples, int pixels, int channels, int width, long stride, KernelDType dtype, in DeviceLimits limits)
    {
        Require(kind is Conversion.ToRows or Conversion.FromRows, Op, $"{kind} is no change of layout");
        Require(samples >= 1 && pixels >= 1 && channels >= 1, Op, $"N, P and C must be at least 1, not {samples}, {pixels}, {channels}");
        Require(pixels < 1 << 24 && channels < 1 << 24, Op, $"P and C must be below 2^24, not {pixels} and {channels}");
        width = width == 0 ? channels : width;
        stride = stride == 0 ? width : stride;
        Require(width >= channels && width < 1 << 24, Op, $"the width must be in {channels}..2^24 - 1, not {width}");
        Require(stride >= width, Op, $"the row stride must be at least {width}, not {stride}");
        bool to = kind == Conversion.ToRows;
        long columns = to ? width : channels, s = (long)samples * pixels;
        long blocks = checked(samples * CeilDiv(pixels, Pixels) * CeilDiv(columns, Channels));
        var launch = new PlannedLaunch(
            $"convert_{(to ? "to_nhwc" : "to_nchw")}_{dtype.Suffix()}", Linear(Op, blocks, 256, 0, limits), (s * channels * 4) + (s * columns * dtype.Bytes()));
        return new(kind, dtype, samples, pixels, channels, width, stride, launch);
    }

    /// <summary>Plans the conversion of images of 1 to 4 channels from or to bytes.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static ConvertPlan PlanBytes(Conversion kind, int samples, int pixels, int channels, in DeviceLimits limits)
    {
        Require(kind is Conversion.FromBytes or Conversion.ToBytes or Conversion.ToBytesRounded, Op, $"{kind} has no bytes");
        Require(samples >= 1 && pixels >= 1, Op, $"N and P must be at least 1, not {samples}, {pixels}");
        Require(channels is >= 1 and <= 4, Op, $"images of bytes have 1 to 4 channels, not {channels}");
        Require((long)pixels * channels < int.MaxValue - (4 * PixelsOfBytes), Op, $"an image of {(long)pixels * channels} bytes is beyond 32-bit indices");
        long blocks = samples * CeilDiv(pixels, PixelsOfBytes);
        string entry = kind == Conversion.FromBytes ? "convert_from_bytes_f32" : "convert_to_bytes_f32";
        return new(kind, KernelDType.F32, samples, pixels, channels, channels, channels, new(entry, Linear(Op, blocks, 256, 0, limits), 5L * samples * pixels * channels));
    }

    /// <summary>The launch of a plan.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="x">Source; 16-byte aligned.</param>
    /// <param name="y">Result; 16-byte aligned, not the source.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static KernelLaunch Enqueue(ConvertPlan plan, ulong x, ulong y)
    {
        ArgumentNullException.ThrowIfNull(plan);
        Require(x != 0 && x % 16 == 0, Op, $"x must be 16-byte aligned, not {x}");
        Require(y != 0 && y % 16 == 0, Op, $"y must be 16-byte aligned, not {y}");
        Require(x != y, Op, $"y must not be x");
        switch (plan.Kind)
        {
            case Conversion.ToRows:
            case Conversion.FromRows:
                return KernelLaunch.Of(plan.Launch, new ConvertLayoutParams { X = x, Y = y, Ld = plan.Stride, N = plan.N, P = plan.P, C = plan.C, Width = plan.Width });
            default:
                int round = plan.Kind == Conversion.ToBytesRounded ? 1 : 0;
                return KernelLaunch.Of(plan.Launch, new ConvertBytesParams { X = x, Y = y, N = plan.N, P = plan.P, C = plan.C, Round = round });
        }
    }
}
