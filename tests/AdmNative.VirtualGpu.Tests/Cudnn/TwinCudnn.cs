using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.Tests.Backend;

/// <summary>
/// A stand-in for cuDNN that computes: plain loops in double over the memory of a driver, from nothing but the descriptors and addresses it is given, at the
/// moment of the call. Its workspaces are filled with NaN, so that one that overlaps something alive is found out.
/// </summary>
internal sealed class TwinCudnn(ICudaDriver driver) : ICudnn
{
    private readonly Dictionary<nint, object> _objects = [];
    private nint _next = 1000;

    private sealed class Handle
    {
        public nint? Stream;
    }

    private sealed class Tensor
    {
        public CudnnDataType Type;
        public CudnnTensor Shape;
    }

    private sealed class Filter
    {
        public CudnnDataType Type;
        public int K, C, R, S;
    }

    private sealed class Convolution
    {
        public int PadH, PadW, StrideH, StrideW;
        public CudnnMath Math;
    }

    /// <summary>Convolutions so far, by pass.</summary>
    public int[] Convolved { get; } = new int[3];

    /// <summary>What convolutions multiplied with.</summary>
    public HashSet<(CudnnDataType, CudnnMath)> Maths { get; } = [];

    /// <summary>Searches refuse these.</summary>
    public Func<CudnnPass, CudnnTensor, bool> Refuse { get; init; } = (_, _) => false;

    /// <summary>Handles and descriptors that exist.</summary>
    public int Live => _objects.Count;

    public string Description => "a cuDNN of plain loops";

    public string ErrorText(CudnnStatus status) => $"{status}, says the stand-in";

    public CudnnStatus Create(out nint handle) => Add(new Handle(), out handle);

    public CudnnStatus Destroy(nint handle) => Remove<Handle>(handle);

    public CudnnStatus SetStream(nint handle, nint stream)
    {
        Get<Handle>(handle).Stream = stream;
        return CudnnStatus.Success;
    }

    public CudnnStatus CreateTensor(out nint descriptor) => Add(new Tensor(), out descriptor);

    public CudnnStatus SetTensor(nint descriptor, CudnnDataType type, in CudnnTensor tensor)
    {
        (Get<Tensor>(descriptor).Type, Get<Tensor>(descriptor).Shape) = (type, tensor);
        return CudnnStatus.Success;
    }

    public CudnnStatus DestroyTensor(nint descriptor) => Remove<Tensor>(descriptor);

    public CudnnStatus CreateFilter(out nint descriptor) => Add(new Filter(), out descriptor);

    public CudnnStatus SetFilter(nint descriptor, CudnnDataType type, int k, int c, int r, int s)
    {
        Filter f = Get<Filter>(descriptor);
        (f.Type, f.K, f.C, f.R, f.S) = (type, k, c, r, s);
        return CudnnStatus.Success;
    }

    public CudnnStatus DestroyFilter(nint descriptor) => Remove<Filter>(descriptor);

    public CudnnStatus CreateConvolution(out nint descriptor) => Add(new Convolution(), out descriptor);

    public CudnnStatus SetConvolution(nint descriptor, int padH, int padW, int strideH, int strideW)
    {
        Convolution c = Get<Convolution>(descriptor);
        (c.PadH, c.PadW, c.StrideH, c.StrideW) = (padH, padW, strideH, strideW);
        return CudnnStatus.Success;
    }

    public CudnnStatus SetGroups(nint descriptor, int groups) => groups == 1 && Get<Convolution>(descriptor) is not null ? CudnnStatus.Success : CudnnStatus.NotSupported;

    public CudnnStatus SetMath(nint descriptor, CudnnMath math)
    {
        Get<Convolution>(descriptor).Math = math;
        return CudnnStatus.Success;
    }

    public CudnnStatus DestroyConvolution(nint descriptor) => Remove<Convolution>(descriptor);

    public CudnnStatus GetAlgorithms(nint handle, CudnnPass pass, nint a, nint b, nint convolution, nint c, Span<CudnnAlgorithm> found, out int count)
    {
        Tensor x = Get<Tensor>(pass == CudnnPass.BackwardData ? c : a);
        count = 0;
        if (Refuse(pass, x.Shape))
        {
            return CudnnStatus.NotSupported;
        }

        CudnnMath math = x.Type == CudnnDataType.F32 ? CudnnMath.Fma : CudnnMath.TensorOp;
        found[count++] = new CudnnAlgorithm(0, CudnnStatus.Success, -1, 0, Deterministic: false, math);
        found[count++] = new CudnnAlgorithm(1, CudnnStatus.Success, -1, Workspace(x), Deterministic: true, math);
        return CudnnStatus.Success;
    }

    public CudnnStatus FindAlgorithms(
        nint handle, CudnnPass pass, nint a, ulong aData, nint b, ulong bData, nint convolution, nint c, ulong cData, Span<CudnnAlgorithm> found, out int count,
        ulong workspace, nuint workspaceBytes) => GetAlgorithms(handle, pass, a, b, convolution, c, found, out count);

    public CudnnStatus GetWorkspaceSize(nint handle, CudnnPass pass, nint a, nint b, nint convolution, nint c, int algorithm, out nuint bytes)
    {
        bytes = (nuint)Workspace(Get<Tensor>(pass == CudnnPass.BackwardData ? c : a));
        return algorithm == 1 ? CudnnStatus.Success : CudnnStatus.BadParameter;
    }

    public CudnnStatus Convolve(
        nint handle, CudnnPass pass, nint a, ulong aData, nint b, ulong bData, nint convolution, int algorithm, ulong workspace, nuint workspaceBytes, float beta,
        nint c, ulong cData)
    {
        Tensor x = Get<Tensor>(pass == CudnnPass.BackwardData ? c : a), y = Get<Tensor>(pass == CudnnPass.Forward ? c : b);
        Filter w = Get<Filter>(pass switch { CudnnPass.Forward => b, CudnnPass.BackwardData => a, _ => c });
        Convolution by = Get<Convolution>(convolution);
        nint stream = Get<Handle>(handle).Stream!.Value;
        (CudnnTensor sx, CudnnTensor sy) = (x.Shape, y.Shape);
        bool fits = x.Type == w.Type && x.Type == y.Type && sx.N == sy.N && sx.C == w.C && sy.C == w.K
            && sy.H == ((sx.H + (2 * by.PadH) - w.R) / by.StrideH) + 1 && sy.W == ((sx.W + (2 * by.PadW) - w.S) / by.StrideW) + 1;
        if (!fits || algorithm != 1 || (long)workspaceBytes < Workspace(x))
        {
            return CudnnStatus.BadParameter;
        }

        var ones = new byte[(int)workspaceBytes];
        Array.Fill(ones, byte.MaxValue); // NaN in every type
        Put(workspace, ones, stream);
        (ulong atX, ulong atW, ulong atY) = pass switch
        {
            CudnnPass.Forward => (aData, bData, cData),
            CudnnPass.BackwardData => (cData, aData, bData),
            _ => (aData, cData, bData),
        };
        double[] vx = Take(atX, x.Type, Extent(sx), stream), vw = Take(atW, w.Type, w.K * w.R * w.S * w.C, stream), vy = Take(atY, y.Type, Extent(sy), stream);
        double[] result = pass switch { CudnnPass.Forward => vy, CudnnPass.BackwardData => vx, _ => vw };
        Scale(result, beta, pass switch { CudnnPass.Forward => Offsets(sy), CudnnPass.BackwardData => Offsets(sx), _ => Enumerable.Range(0, vw.Length) });
        for (int n = 0; n < sy.N; n++)
        {
            for (int k = 0; k < sy.C; k++)
            {
                for (int i = 0; i < sy.H * sy.W; i++)
                {
                    (int oh, int ow) = (i / sy.W, i % sy.W);
                    int atResult = (n * sy.StrideN) + (k * sy.StrideC) + (oh * sy.StrideH) + (ow * sy.StrideW);
                    for (int t = 0; t < w.R * w.S; t++)
                    {
                        (int r, int s) = (t / w.S, t % w.S);
                        (int h, int v) = ((oh * by.StrideH) + r - by.PadH, (ow * by.StrideW) + s - by.PadW);
                        if (h < 0 || h >= sx.H || v < 0 || v >= sx.W)
                        {
                            continue;
                        }

                        int from = (n * sx.StrideN) + (h * sx.StrideH) + (v * sx.StrideW), filter = ((k * w.R * w.S) + t) * w.C;
                        for (int channel = 0; channel < w.C; channel++)
                        {
                            int atSource = from + (channel * sx.StrideC), atWeight = filter + channel;
                            switch (pass)
                            {
                                case CudnnPass.Forward: vy[atResult] += vx[atSource] * vw[atWeight]; break;
                                case CudnnPass.BackwardData: vx[atSource] += vy[atResult] * vw[atWeight]; break;
                                default: vw[atWeight] += vy[atResult] * vx[atSource]; break;
                            }
                        }
                    }
                }
            }
        }

        Put(cData, Bytes(result, x.Type), stream);
        Convolved[(int)pass]++;
        Maths.Add((x.Type, by.Math));
        return CudnnStatus.Success;
    }

    /// <summary>Something that depends on the shape.</summary>
    private static long Workspace(Tensor x) => 16L * x.Shape.H * x.Shape.C;

    private static int Extent(CudnnTensor t) => ((t.N - 1) * t.StrideN) + ((t.C - 1) * t.StrideC) + ((t.H - 1) * t.StrideH) + ((t.W - 1) * t.StrideW) + 1;

    private static IEnumerable<int> Offsets(CudnnTensor t) =>
        from n in Enumerable.Range(0, t.N)
        from h in Enumerable.Range(0, t.H)
        from w in Enumerable.Range(0, t.W)
        from c in Enumerable.Range(0, t.C)
        select (n * t.StrideN) + (h * t.StrideH) + (w * t.StrideW) + (c * t.StrideC);

    /// <summary>With a factor of 0 what was there is not looked at: it may be NaN.</summary>
    private static void Scale(double[] values, float factor, IEnumerable<int> at)
    {
        foreach (int i in at)
        {
            values[i] = factor == 0 ? 0 : factor * values[i];
        }
    }

    private static int Size(CudnnDataType type) => type == CudnnDataType.F32 ? 4 : 2;

    private static byte[] Bytes(double[] values, CudnnDataType type)
    {
        var bytes = new byte[values.Length * Size(type)];
        for (int i = 0; i < values.Length; i++)
        {
            Span<byte> to = bytes.AsSpan(i * Size(type));
            switch (type)
            {
                case CudnnDataType.F32: MemoryMarshal.Write(to, (float)values[i]); break;
                case CudnnDataType.Half: MemoryMarshal.Write(to, (Half)(float)values[i]); break;
                default: MemoryMarshal.Write(to, BFloat((float)values[i])); break;
            }
        }

        return bytes;
    }

    /// <summary>Rounded to nearest even; of finite values.</summary>
    private static ushort BFloat(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return unchecked((ushort)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16));
    }

    private unsafe double[] Take(ulong address, CudnnDataType type, int count, nint stream)
    {
        var bytes = new byte[count * Size(type)];
        fixed (byte* p = bytes)
        {
            Ok(driver.MemcpyDtoH((nint)p, address, (nuint)bytes.Length, stream));
            Ok(driver.StreamSynchronize(stream));
        }

        var values = new double[count];
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> from = bytes.AsSpan(i * Size(type));
            values[i] = type switch
            {
                CudnnDataType.F32 => MemoryMarshal.Read<float>(from),
                CudnnDataType.Half => (double)MemoryMarshal.Read<Half>(from),
                _ => BitConverter.UInt32BitsToSingle((uint)MemoryMarshal.Read<ushort>(from) << 16),
            };
        }

        return values;
    }

    private unsafe void Put(ulong address, byte[] bytes, nint stream)
    {
        fixed (byte* p = bytes)
        {
            Ok(driver.MemcpyHtoD(address, (nint)p, (nuint)bytes.Length, stream));
            Ok(driver.StreamSynchronize(stream));
        }
    }

    private static void Ok(CudaStatus status) => Assert.Equal(CudaStatus.Success, status);

    private T Get<T>(nint p) => Assert.IsType<T>(_objects[p]);

    private CudnnStatus Add(object made, out nint p)
    {
        _objects.Add(p = _next++, made);
        return CudnnStatus.Success;
    }

    private CudnnStatus Remove<T>(nint p)
    {
        Get<T>(p);
        _objects.Remove(p);
        return CudnnStatus.Success;
    }
}
