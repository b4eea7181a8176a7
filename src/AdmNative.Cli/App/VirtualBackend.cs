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
    /// <param name="options">How it computes.</param>
    public VirtualBackend(int threads, CudaOptions options)
    {
        _driver = new VirtualDriver(new VirtualDriverOptions { KeepReports = 0, Launch = new LaunchOptions { Checks = Checks.None, Counters = false, Threads = threads } });
        _backend = CudaBackend.Create(_driver, options);
    }

    public string Description => _backend.Description;

    public KernelDType Precision => _backend.Precision;

    public IParameters LoadParameters(IReadOnlyDictionary<string, Node> parameters, ITensorSource source) => _backend.LoadParameters(parameters, source);

    public Plan Plan(Graph graph) => _backend.Plan(graph);

    public IReadOnlyList<int> StepLaunches(Plan plan) => _backend.StepLaunches(plan);

    public IExecutable Load(Plan plan, IParameters parameters) => _backend.Load(plan, parameters);

    /// <summary>
    /// Runs with counters and, if wanted, all checks on; slow, since nothing is compiled. Gives the launches' reports in order, without their counts per line.
    /// </summary>
    public IReadOnlyList<(string Kernel, Counters Counters, IReadOnlyList<Finding> Findings)> Count(Action run, Checks checks)
    {
        var launches = new List<(string, Counters, IReadOnlyList<Finding>)>();
        void Keep(LaunchReport report) => launches.Add((report.Kernel, report.Counters, report.Findings));
        LaunchOptions before = _driver.LaunchOptions;
        _driver.LaunchOptions = before with { Checks = checks, Counters = true };
        _driver.Launched += Keep;
        try
        {
            run();
        }
        finally
        {
            _driver.Launched -= Keep;
            _driver.LaunchOptions = before;
            _driver.ClearReports();
        }

        return launches;
    }

    public void Dispose()
    {
        _backend.Dispose();
        _driver.Dispose();
    }
}
