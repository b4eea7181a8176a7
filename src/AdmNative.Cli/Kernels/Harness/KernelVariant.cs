namespace AdmNative.Cli;

/// <summary>
/// Other kernels that compute what a case computes: a plainly written one, or an earlier version of ours. Reported beside ours by
/// <c>adm kernels profile</c>; judged by its results, not by its counters.
/// </summary>
/// <param name="Name">E.g. "plain", "scalar loads"; what --variant takes.</param>
/// <param name="Next">One sentence, in counters: what the version after this one gains over it.</param>
/// <param name="Case">The same operation, shape and type with those kernels; <see cref="KernelCase.Plain"/>, and its <see cref="CaseWork.Contract"/> is not set.</param>
internal sealed record KernelVariant(string Name, string Next, KernelCase Case);
