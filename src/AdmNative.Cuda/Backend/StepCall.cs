namespace AdmNative.Cuda;

/// <summary>One thing a step does on the stream: a launch of ours, or a call of a library that launches for itself.</summary>
internal readonly record struct StepCall(KernelLaunch Launch, LibraryCall? Library = null)
{
    /// <summary>What must not happen while a stream is captured, nor in a step's time.</summary>
    public void Load(CudaContext context)
    {
        if (Library is null)
        {
            context.Library.Load(Launch.Entry, Launch.Shape);
        }
    }

    /// <summary>Puts the work on the context's stream; allocates nothing.</summary>
    /// <exception cref="CudaException">It was refused, or earlier work failed.</exception>
    public void Enqueue(CudaContext context)
    {
        if (Library is null)
        {
            context.Library.Launch(Launch, context.Stream);
        }
        else
        {
            Library.Enqueue();
            if (context.Library.SynchronizeEachLaunch)
            {
                context.Ok(context.Driver.StreamSynchronize(context.Stream), "cuStreamSynchronize");
            }
        }
    }
}

/// <summary>A call of a library with all it needs, on the stream of the context it was made for. Owned by the executable whose step it belongs to.</summary>
internal abstract class LibraryCall : IDisposable
{
    /// <summary>Puts the work on the stream; allocates nothing.</summary>
    /// <exception cref="CudaException">The library refused.</exception>
    public abstract void Enqueue();

    /// <summary>Gives back what the call holds. Never throws.</summary>
    public abstract void Dispose();
}
