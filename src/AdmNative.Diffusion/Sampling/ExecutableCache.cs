using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>One executable per batch shape, made when first asked for.</summary>
internal sealed class ExecutableCache(Networks networks, Func<Shape, Graph> build) : IDisposable
{
    private readonly Dictionary<Shape, IExecutable> _known = [];

    public IExecutable For(Shape shape)
    {
        if (!_known.TryGetValue(shape, out IExecutable? run))
        {
            run = networks.Load(build(shape));
            _known.Add(shape, run);
        }

        return run;
    }

    public void Dispose()
    {
        foreach (IExecutable run in _known.Values)
        {
            run.Dispose();
        }

        _known.Clear();
    }
}
