using AdmNative.Core;

namespace AdmNative.Cuda;

/// <summary>A plan loaded on a cuda device, as <see cref="CudaBackend.Load"/> gives it: what it launches, for reports.</summary>
public interface ICudaExecutable : IExecutable
{
    /// <summary>Kernels that each step of the plan launches, in the plan's order; a call of a library counts as one. Runs that are timed (<see cref="IExecutable.Timing"/>) launch step by step.</summary>
    IReadOnlyList<int> StepLaunches { get; }
}
