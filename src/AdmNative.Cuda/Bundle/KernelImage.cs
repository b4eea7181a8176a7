namespace AdmNative.Cuda;

/// <summary>One PTX file of the bundle.</summary>
/// <param name="File">Its name, such as gemm.sm80.ptx.</param>
/// <param name="Text">The PTX, ending with a newline.</param>
/// <param name="Sha256">Hash of the text the catalogue was made from, lower-case hexadecimal.</param>
/// <param name="Version">PTX version a driver must accept, such as 7.2.</param>
/// <param name="Target">Lowest architecture it runs on, such as sm_80.</param>
/// <param name="Compiler">What made it.</param>
/// <param name="Source">The CUDA C++ file.</param>
/// <param name="Inputs">Hashes of the source and of every header it includes, by path in the repository.</param>
public sealed record KernelImage(
    string File, string Text, string Sha256, string Version, string Target, string Compiler, string Source,
    IReadOnlyDictionary<string, string> Inputs);
