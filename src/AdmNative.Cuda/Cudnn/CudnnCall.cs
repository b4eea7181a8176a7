namespace AdmNative.Cuda;

/// <summary>A convolution by cuDNN with its descriptors and addresses: c = a * b + beta c.</summary>
internal sealed class CudnnCall : LibraryCall
{
    private readonly CudnnSession _session;
    private readonly CudnnDescriptors _descriptors;
    private readonly CudnnChoice _choice;
    private readonly ulong _a, _b, _c, _workspace;
    private readonly float _beta;

    /// <exception cref="CudnnException">cuDNN would not make a descriptor.</exception>
    public CudnnCall(CudnnSession session, CudnnShape shape, in CudnnChoice choice, (ulong A, ulong B, ulong C) at, ulong workspace, float beta)
    {
        (_session, _choice, (_a, _b, _c), _workspace, _beta) = (session, choice, at, workspace, beta);
        _descriptors = new CudnnDescriptors(session.Library, shape, choice.Math);
    }

    /// <inheritdoc/>
    public override void Enqueue() => _session.Convolve(_descriptors, _choice, _a, _b, _c, _workspace, _beta);

    /// <inheritdoc/>
    public override void Dispose() => _descriptors.Dispose();
}

/// <summary>Zeros in a range of memory.</summary>
internal sealed class ClearCall(CudaContext context, ulong address, long bytes) : LibraryCall
{
    /// <inheritdoc/>
    public override void Enqueue() => context.Ok(context.Driver.MemsetD8(address, 0, (nuint)bytes, context.Stream), "cuMemsetD8Async");

    /// <inheritdoc/>
    public override void Dispose()
    {
    }
}
