using System.Runtime.Intrinsics;

namespace AdmNative.Cpu.Kernels;

/// <summary>
/// Sizes of a 2-D convolution of x[N,H,W,C] by w[K,C,R,S] to y[N,OutH,OutW,K]; the passes of its gradient use the same record.
/// </summary>
internal readonly record struct ConvGeometry(
    int N, int H, int W, int C, int K, int R, int S, int Stride, int PadH, int PadW)
{
    /// <summary>Rows of the result.</summary>
    public int OutH => ((H + (2 * PadH) - R) / Stride) + 1;

    /// <summary>Columns of the result.</summary>
    public int OutW => ((W + (2 * PadW) - S) / Stride) + 1;

    /// <summary>Multiplications and additions of any of the three passes, counted the direct way.</summary>
    public double Flops => 2.0 * N * OutH * OutW * K * C * R * S;

    /// <summary>x[n,rows,inFeatures] by w[outFeatures,inFeatures]: a 1x1 convolution over images of rows x 1 pixels.</summary>
    public static ConvGeometry Linear(int n, int rows, int inFeatures, int outFeatures) =>
        new(n, rows, 1, inFeatures, outFeatures, 1, 1, 1, 0, 0);
}

/// <summary>How a convolution is computed.</summary>
internal enum ConvAlgorithm
{
    /// <summary>Whatever the cost model prefers.</summary>
    Auto,

    /// <summary>Matrix product over taps and channels.</summary>
    Direct,

    /// <summary>F(2x2, 3x3).</summary>
    Winograd2,

    /// <summary>F(4x4, 3x3).</summary>
    Winograd4,

    /// <summary>F(4x4, 3x3) without stored weight transforms, for few tiles; the weight gradient has no such form.</summary>
    WinogradFew,
}

/// <summary>
/// A forward or input-gradient convolution (or linear layer) made ready at load time: algorithm and scratch sizes are decided,
/// running allocates nothing. Immutable; one run at a time per workspace.
/// </summary>
internal abstract unsafe class ConvPlan
{
    /// <summary>Names the algorithm in dumps.</summary>
    public abstract string Algorithm { get; }

    /// <summary>Scratch a run needs, 64-byte aligned; contents need not survive between runs.</summary>
    public abstract long WorkspaceBytes { get; }

    /// <summary>Size of the packed weights; 0 when this plan reads the weights as they are (then packed is ignored).</summary>
    public abstract long PackedBytes { get; }

    /// <summary>Forward: y = conv(x, w) + bias + residual.</summary>
    /// <param name="geometry">Sizes.</param>
    /// <param name="isa">A concrete set (see <see cref="IsaSupport.Resolve"/>).</param>
    /// <param name="threads">Threads of the pool it will run on; sizes the workspace, never changes results.</param>
    /// <param name="resident">
    /// The weights stay the same over many runs: the caller holds PackedBytes, calls <see cref="PackWeights"/> once and passes them
    /// to each run. When false PackedBytes is 0 and the weights are repacked block by block during the run.
    /// </param>
    public static ConvPlan Forward(in ConvGeometry geometry, Isa isa, int threads, bool resident) =>
        Create(geometry, false, isa, threads, resident, ConvAlgorithm.Auto);

    /// <summary>
    /// Input gradient: the run's x is dy[N,OutH,OutW,K] and its y is dx[N,H,W,C] = conv^T(dy, w) + residual; bias is not used.
    /// </summary>
    public static ConvPlan InputGrad(in ConvGeometry geometry, Isa isa, int threads, bool resident) =>
        Create(geometry, true, isa, threads, resident, ConvAlgorithm.Auto);

    /// <summary>Either pass with a chosen algorithm, for tests and benchmarks.</summary>
    public static ConvPlan Create(
        in ConvGeometry geometry, bool inputGrad, Isa isa, int threads, bool resident, ConvAlgorithm algorithm) => isa switch
        {
            Isa.Avx512 => Create<Simd512, Vector512<float>>(geometry, inputGrad, threads, resident, algorithm),
            Isa.Avx2 => Create<Simd256, Vector256<float>>(geometry, inputGrad, threads, resident, algorithm),
            Isa.Portable => Create<Simd128, Vector128<float>>(geometry, inputGrad, threads, resident, algorithm),
            _ => throw new ArgumentOutOfRangeException(nameof(isa), isa, "resolve the instruction set first"),
        };

    private static ConvPlan Create<S, V>(in ConvGeometry g, bool inputGrad, int threads, bool resident, ConvAlgorithm algorithm)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        if (algorithm == ConvAlgorithm.Auto)
        {
            algorithm = Choose<S, V>(g, inputGrad);
        }

        bool pointwise = g.R == 1 && g.S == 1 && g.Stride == 1 && g.PadH == 0 && g.PadW == 0;
        return algorithm switch
        {
            ConvAlgorithm.Winograd4 => new WinogradConv<S, V, Winograd4<S, V>>(g, inputGrad, threads, resident),
            ConvAlgorithm.WinogradFew => new WinogradFew<S, V>(g, inputGrad, threads, resident),
            ConvAlgorithm.Winograd2 => new WinogradConv<S, V, Winograd2<S, V>>(g, inputGrad, threads, resident),
            _ when pointwise && g.H * g.W == 1 => new LinearFewRows<S, V>(g, inputGrad),
            _ => new ConvDirect<S, V>(g, inputGrad, threads, resident),
        };
    }

    /// <summary>
    /// Algorithms whose sums differ are told apart by the size of one image only, so that an image does not depend on the batch it is in.
    /// The batch size may choose between <see cref="ConvAlgorithm.WinogradFew"/> and <see cref="ConvAlgorithm.Winograd4"/>: they give the same bits.
    /// </summary>
    private static ConvAlgorithm Choose<S, V>(in ConvGeometry g, bool inputGrad)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        bool winograd = g.R == 3 && g.S == 3 && g.Stride == 1 && g.PadH <= 2 && g.PadW <= 2;
        int tiles = g.N * ((g.OutH + 3) / 4) * ((g.OutW + 3) / 4);
        return winograd && g.C >= 8 && g.K >= 8 ? tiles <= 8 ? ConvAlgorithm.WinogradFew : ConvAlgorithm.Winograd4 : ConvAlgorithm.Direct;
    }

    /// <summary>
    /// Names the packed form: plans of one direction with the same name and size can share packed weights. Every form holds each
    /// weight once, unchanged, among zeros.
    /// </summary>
    public abstract string PackedLayout { get; }

    /// <summary>Fills <paramref name="packed"/> (64-byte aligned, PackedBytes long) from checkpoint-layout weights.</summary>
    public abstract void PackWeights(WorkerPool pool, float* w, float* packed);

    /// <summary>Runs. Row strides count elements between neighbouring pixels.</summary>
    /// <param name="pool">Threads, at most as many as planned for.</param>
    /// <param name="x">Input.</param>
    /// <param name="ldx">Row stride of x.</param>
    /// <param name="w">Weights [K,C,R,S]; may be null when packed weights are in use.</param>
    /// <param name="packed">Result of <see cref="PackWeights"/>; null when PackedBytes is 0.</param>
    /// <param name="bias">One value per output channel, or null.</param>
    /// <param name="residual">Added to the result, or null; may be the same memory as y.</param>
    /// <param name="ldr">Row stride of the residual.</param>
    /// <param name="y">Result; must not overlap x.</param>
    /// <param name="ldy">Row stride of y; columns beyond the channels are not touched.</param>
    /// <param name="workspace">WorkspaceBytes of scratch.</param>
    public abstract void Run(
        WorkerPool pool, float* x, long ldx, float* w, float* packed, float* bias, float* residual, long ldr, float* y, long ldy,
        byte* workspace);
}

/// <summary>A weight-gradient convolution (or linear layer) made ready at load time.</summary>
internal abstract unsafe class ConvWeightGradPlan
{
    /// <summary>Names the algorithm in dumps.</summary>
    public abstract string Algorithm { get; }

    /// <summary>Scratch a run needs, 64-byte aligned.</summary>
    public abstract long WorkspaceBytes { get; }

    /// <summary>Chooses the algorithm.</summary>
    public static ConvWeightGradPlan Create(in ConvGeometry geometry, Isa isa, int threads) =>
        Create(geometry, isa, threads, ConvAlgorithm.Auto);

    /// <summary>With a chosen algorithm, for tests and benchmarks.</summary>
    public static ConvWeightGradPlan Create(in ConvGeometry geometry, Isa isa, int threads, ConvAlgorithm algorithm) => isa switch
    {
        Isa.Avx512 => Create<Simd512, Vector512<float>>(geometry, threads, algorithm),
        Isa.Avx2 => Create<Simd256, Vector256<float>>(geometry, threads, algorithm),
        Isa.Portable => Create<Simd128, Vector128<float>>(geometry, threads, algorithm),
        _ => throw new ArgumentOutOfRangeException(nameof(isa), isa, "resolve the instruction set first"),
    };

    private static ConvWeightGradPlan Create<S, V>(in ConvGeometry g, int threads, ConvAlgorithm algorithm)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        if (algorithm == ConvAlgorithm.Auto)
        {
            bool winograd = g.R == 3 && g.S == 3 && g.Stride == 1 && g.PadH <= 2 && g.PadW <= 2;
            algorithm = winograd && g.C >= 8 && g.K >= 8 ? ConvAlgorithm.Winograd4 : ConvAlgorithm.Direct;
        }

        return algorithm switch
        {
            ConvAlgorithm.Winograd4 => new WinogradWeightGrad<S, V, Winograd4<S, V>>(g, threads),
            ConvAlgorithm.Winograd2 => new WinogradWeightGrad<S, V, Winograd2<S, V>>(g, threads),
            _ => new ConvWeightGradDirect<S, V>(g, threads),
        };
    }

    /// <summary>dw[K,C,R,S] = sum over pixels of dy[N,OutH,OutW,K] times the x[N,H,W,C] under it; overwrites dw.</summary>
    public abstract void Run(WorkerPool pool, float* x, long ldx, float* dy, long lddy, float* dw, byte* workspace);
}
