using System.Globalization;

namespace AdmNative.Cuda;

/// <summary>The architecture a PTX file is for, as in ".target sm_80".</summary>
/// <param name="Sm">10 * major + minor of the compute capability.</param>
/// <param name="Suffix">"" runs on this and every newer architecture; "a" or "f" (sm_90a) on this one alone.</param>
internal readonly record struct PtxTarget(int Sm, string Suffix)
{
    /// <summary>Reads "sm_90a".</summary>
    /// <exception cref="FormatException">It is no target.</exception>
    public static PtxTarget Parse(string text)
    {
        string digits = text.StartsWith("sm_", StringComparison.Ordinal) ? text[3..].TrimEnd('a', 'f') : "";
        string suffix = digits.Length == 0 ? "" : text[(3 + digits.Length)..];
        return suffix.Length <= 1 && int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int sm)
            ? new PtxTarget(sm, suffix) : throw new FormatException($"'{text}' is no PTX target such as sm_80");
    }

    /// <summary>Runs on a device of this compute capability?</summary>
    public bool Suits(int sm) => Suffix.Length == 0 ? Sm <= sm : Sm == sm;
}
