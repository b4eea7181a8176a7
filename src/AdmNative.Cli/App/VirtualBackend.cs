using AdmNative.Core;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>The cuda device over a virtual driver it owns: compiled kernels, no checks.</summary>
internal sealed class VirtualBackend : IBackend
{
    private readonly VirtualDriver _driver;
    private readonly CudaBackend _backend;

    /// <param name="threads">Threads that run blocks; 0 means all cores.</param>
    public VirtualBackend(int threads)
    {
        _driver = new VirtualDriver(new VirtualDriverOptions { KeepReports = 0, Launch = new LaunchOptions { Checks = Checks.None, Counters = false, Threads = threads } });
        _backend = CudaBackend.Create(_driver);
    }

    public string Description => _backend.Description;

    public IParameters LoadParameters(IReadOnlyDictionary<string, Node> parameters, ITensorSource source) => _backend.LoadParameters(parameters, source);

    public Plan Plan(Graph graph) => _backend.Plan(graph);

    public IExecutable Load(Plan plan, IParameters parameters) => _backend.Load(plan, parameters);

    public void Dispose()
    {
        _backend.Dispose();
        _driver.Dispose();
    }
}
