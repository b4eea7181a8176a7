using System.Diagnostics.CodeAnalysis;

namespace AdmNative.Cuda;

/// <summary>
/// cuDNN on a device: one handle on the context's stream, and the algorithm of every shape asked for so far. A choice is made once and kept, so that a plan
/// and the executables loaded from it agree on algorithms and workspaces. The context must be current.
/// </summary>
internal sealed class CudnnSession : IDisposable
{
    private const int MostAlgorithms = 16;

    private readonly CudaContext _context;
    private readonly CudnnOptions _options;
    private readonly Action<string>? _log;
    private readonly Dictionary<CudnnShape, CudnnChoice?> _choices = [];
    private readonly Lock _lock = new();
    private nint _handle;

    /// <exception cref="CudnnException">cuDNN does not start on this device.</exception>
    public CudnnSession(CudaContext context, ICudnn library, CudnnOptions options, Action<string>? log)
    {
        (_context, Library, _options, _log) = (context, library, options, log);
        try
        {
            Ok(library, library.Create(out _handle), "cudnnCreate", context.Description);
            Ok(library, library.SetStream(_handle, context.Stream), "cudnnSetStream", context.Description);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public ICudnn Library { get; }

    public CudaContext Context => _context;

    /// <summary>cuDNN on a device as the options want it; null where our kernels convolve. Says which, and why, in a line.</summary>
    /// <exception cref="GpuUnavailableException">cuDNN was asked for, and there is none.</exception>
    /// <exception cref="CudnnException">cuDNN was asked for, and does not start on this device.</exception>
    public static CudnnSession? Open(CudaContext context, CudaOptions options)
    {
        ICudnn? library = options.Cudnn.Library;
        bool must = options.Convolutions == ConvolutionChoice.Cudnn;
        if (options.Convolutions == ConvolutionChoice.Native || (library is null && !must && !context.Driver.HostsLibraries))
        {
            return null;
        }

        if (library is null)
        {
            string? why = "a virtual device has none.";
            library = context.Driver.HostsLibraries && LibCudnn.TryCreate(out LibCudnn? installed, out why) ? installed : null;
            if (library is null && must)
            {
                throw new GpuUnavailableException(GpuUnavailableReason.NoCudnn, $"convolutions by cuDNN were asked for: {why}");
            }

            if (library is null)
            {
                options.Log?.Invoke($"convolutions: our kernels; {why}");
                return null;
            }
        }

        try
        {
            var session = new CudnnSession(context, library, options.Cudnn, options.Log);
            options.Log?.Invoke($"convolutions: {library.Description}");
            return session;
        }
        catch (CudnnException e) when (!must)
        {
            options.Log?.Invoke($"convolutions: our kernels; {e.Message}");
            return null;
        }
    }

    /// <summary>How to compute a convolution; null when cuDNN has no way that the options allow.</summary>
    /// <exception cref="CudnnException">cuDNN failed, which is not the same as refusing.</exception>
    public CudnnChoice? Choose(CudnnShape shape)
    {
        lock (_lock)
        {
            if (!_choices.TryGetValue(shape, out CudnnChoice? choice))
            {
                choice = shape.Fits ? Search(shape) : null;
                _choices.Add(shape, choice);
                if (choice is null)
                {
                    _log?.Invoke($"convolutions: cuDNN offers nothing within the options for {shape}: our kernel");
                }
            }

            return choice;
        }
    }

    /// <summary>Convolves on the context's stream; allocates nothing.</summary>
    /// <exception cref="CudnnException">cuDNN refused, or earlier work failed.</exception>
    public void Convolve(CudnnDescriptors d, in CudnnChoice choice, ulong a, ulong b, ulong c, ulong workspace, float beta)
    {
        CudnnStatus status;
        CudnnPass pass = d.Shape.Pass;
        lock (_lock)
        {
            status = Library.Convolve(
                _handle, pass, d.A, a, d.B, b, d.Convolution, choice.Algorithm, workspace, (nuint)choice.WorkspaceBytes, beta, d.C, c);
        }

        if (status != CudnnStatus.Success)
        {
            Throw(Library, status, pass switch { CudnnPass.Forward => "cudnnConvolutionForward", _ => $"cudnnConvolution{pass}" }, d.Shape);
        }
    }

    /// <summary>Idempotent; what fails here has nobody to tell. Descriptors may outlive it.</summary>
    public void Dispose()
    {
        if (_handle != 0)
        {
            Library.Destroy(_handle);
            _handle = 0;
        }
    }

    /// <summary>Throws unless the call succeeded.</summary>
    /// <param name="library">Whose words are quoted.</param>
    /// <param name="status">Of the call.</param>
    /// <param name="call">The entry point.</param>
    /// <param name="what">What it was for; text is made of it only on failure.</param>
    public static void Ok<T>(ICudnn library, CudnnStatus status, string call, T what)
    {
        if (status != CudnnStatus.Success)
        {
            Throw(library, status, call, what);
        }
    }

    [DoesNotReturn]
    private static void Throw<T>(ICudnn library, CudnnStatus status, string call, T what) =>
        throw new CudnnException(status, call, $"{library.ErrorText(status)}; {what}; {library.Description}");

    /// <summary>The first of cuDNN's list, best first, that the options allow and that has a workspace size.</summary>
    private CudnnChoice? Search(CudnnShape shape)
    {
        // f32 by multiply-adds unless rounding to TF32 was asked for; halves on tensor cores, whose sums are f32 as the convolution's type says.
        CudnnMath math = shape.Type != KernelDType.F32 ? CudnnMath.TensorOp : _options.AllowTf32 ? CudnnMath.Default : CudnnMath.Fma;
        try
        {
            using var d = new CudnnDescriptors(Library, shape, math);
            Span<CudnnAlgorithm> found = new CudnnAlgorithm[MostAlgorithms];
            found = found[..(_options.Measure ? Find(d, found) : Get(d, found))];
            return First(d, found, math, deterministic: true) ?? (_options.AllowNondeterministic ? First(d, found, math, deterministic: false) : null);
        }
        catch (CudnnException e) when (e.CudnnStatus.Refuses())
        {
            return null;
        }
    }

    private CudnnChoice? First(CudnnDescriptors d, ReadOnlySpan<CudnnAlgorithm> found, CudnnMath wanted, bool deterministic)
    {
        foreach (CudnnAlgorithm candidate in found)
        {
            if (candidate.Status != CudnnStatus.Success || (deterministic && !candidate.Deterministic) || candidate.WorkspaceBytes > _options.WorkspaceBytes)
            {
                continue;
            }

            // What halves are multiplied with is the library's business; f32 stays what was asked for.
            CudnnMath math = d.Shape.Type == KernelDType.F32 ? wanted : candidate.Math;
            d.SetMath(math);
            CudnnStatus status = Library.GetWorkspaceSize(_handle, d.Shape.Pass, d.A, d.B, d.Convolution, d.C, candidate.Algorithm, out nuint bytes);
            if (status.Refuses())
            {
                continue;
            }

            Ok(Library, status, $"cudnnGetConvolution{d.Shape.Pass}WorkspaceSize", d.Shape);
            if ((long)bytes <= _options.WorkspaceBytes)
            {
                return new CudnnChoice(candidate.Algorithm, math, (long)bytes);
            }
        }

        return null;
    }

    private int Get(CudnnDescriptors d, Span<CudnnAlgorithm> found)
    {
        CudnnStatus status = Library.GetAlgorithms(_handle, d.Shape.Pass, d.A, d.B, d.Convolution, d.C, found, out int count);
        Ok(Library, status, $"cudnnGetConvolution{d.Shape.Pass}Algorithm_v7", d.Shape);
        return count;
    }

    /// <summary>On zeros: times do not depend on the numbers, but sums of what memory happens to hold may be slow.</summary>
    private int Find(CudnnDescriptors d, Span<CudnnAlgorithm> found)
    {
        CudnnShape s = d.Shape;
        long x = Bytes(s.XElements), y = Bytes(s.YElements), w = Bytes(s.WElements);
        long operands = x + y + w;
        using CuHandle scratch = _context.Allocate(operands + _options.WorkspaceBytes, $"operands and workspace to time {s}");
        ulong memory = scratch.Address;
        try
        {
            _context.Ok(_context.Driver.MemsetD8(memory, 0, (nuint)operands, _context.Stream), "cuMemsetD8Async");
            (ulong atX, ulong atW, ulong atY) = (memory, memory + (ulong)x, memory + (ulong)(x + w));
            (ulong a, ulong b, ulong c) = s.Pass switch
            {
                CudnnPass.Forward => (atX, atW, atY),
                CudnnPass.BackwardData => (atW, atY, atX),
                _ => (atX, atY, atW),
            };
            CudnnStatus status = Library.FindAlgorithms(
                _handle, s.Pass, d.A, a, d.B, b, d.Convolution, d.C, c, found, out int count, memory + (ulong)operands, (nuint)_options.WorkspaceBytes);
            Ok(Library, status, $"cudnnFindConvolution{s.Pass}AlgorithmEx", s);
            return count;
        }
        finally
        {
            _context.Settle();
        }

        long Bytes(long elements) => LaunchRule.RoundUp(elements * s.Type.Bytes(), 256);
    }
}
