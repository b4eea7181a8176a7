using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests.Backend;

/// <summary>A virtual device under all checks that the tests of a class share, since reading the kernels takes longer than running them on small operands.</summary>
public sealed class CheckedDevice : IDisposable
{
    private readonly VirtualDriver _driver =
        new(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.All & ~Checks.Numeric, MaxFindings = 20 } });

    /// <summary>Opens it.</summary>
    public CheckedDevice() => Backend = CudaBackend.Create(_driver);

    /// <summary>The backend over it.</summary>
    public CudaBackend Backend { get; }

    /// <summary>Nothing was found since the last time; if not, <paramref name="what"/> is to blame.</summary>
    public void AssertSilent(string what)
    {
        IReadOnlyList<Finding> findings = _driver.Findings;
        _driver.ClearReports();
        Assert.True(findings.Count == 0, $"{what}\n{string.Join('\n', findings)}");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Backend.Dispose();
        _driver.Dispose();
    }
}
