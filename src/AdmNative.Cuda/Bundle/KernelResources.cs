namespace AdmNative.Cuda;

/// <summary>What ptxas says an entry needs on one architecture.</summary>
/// <param name="Registers">Per thread.</param>
/// <param name="SpillStoreBytes">Per thread; 0 for every kernel we ship.</param>
/// <param name="SpillLoadBytes">Per thread.</param>
/// <param name="StackBytes">Per thread.</param>
/// <param name="SharedBytes">Static shared memory of a block.</param>
/// <param name="ConstantBytes">Constant banks, parameters included; 0 where the assembler does not say.</param>
public sealed record KernelResources(
    int Registers, int SpillStoreBytes, int SpillLoadBytes, int StackBytes, int SharedBytes, int ConstantBytes);
