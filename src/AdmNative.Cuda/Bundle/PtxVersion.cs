using System.Globalization;

namespace AdmNative.Cuda;

/// <summary>A version of the PTX language, as in ".version 7.2".</summary>
/// <param name="Major">7.</param>
/// <param name="Minor">2.</param>
public readonly record struct PtxVersion(int Major, int Minor)
{
    // The PTX ISA manual's release notes, by CUDA release. Repeats and gaps are real: 12.5 and 12.6 accept the same, nothing accepts 8.9.
    private static readonly (int Driver, PtxVersion Newest)[] s_drivers =
    [
        (12000, new(8, 0)), (12010, new(8, 1)), (12020, new(8, 2)), (12030, new(8, 3)), (12040, new(8, 4)), (12050, new(8, 5)), (12060, new(8, 5)), (12070, new(8, 6)),
        (12080, new(8, 7)), (12090, new(8, 8)), (13000, new(9, 0)), (13010, new(9, 1)),
    ];

    /// <summary>The newest version that a driver's compiler accepts; of a driver newer than this table, the newest that is known.</summary>
    /// <param name="driver">As cuDriverGetVersion: 1000 * major + 10 * minor.</param>
    /// <exception cref="ArgumentOutOfRangeException">A driver before CUDA 12.0.</exception>
    public static PtxVersion OfDriver(int driver)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(driver, LibCudaDriver.MinimumVersion);
        return s_drivers.Last(d => d.Driver <= driver).Newest;
    }

    /// <summary>Reads "7.2".</summary>
    /// <exception cref="FormatException">It is not two numbers.</exception>
    public static PtxVersion Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] parts = text.Split('.');
        return parts.Length == 2 && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int major)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int minor)
            ? new PtxVersion(major, minor) : throw new FormatException($"'{text}' is no PTX version such as 7.2");
    }

    /// <summary>Is a compiler that takes this version content with another?</summary>
    public bool Covers(PtxVersion other) => (Major, Minor).CompareTo((other.Major, other.Minor)) >= 0;

    /// <summary>"7.2".</summary>
    public override string ToString() => $"{Major}.{Minor}";

    /// <summary>The first CUDA release whose driver accepts the version, such as "12.3"; null when this table knows none.</summary>
    internal string? FirstCuda()
    {
        PtxVersion wanted = this;
        int driver = s_drivers.FirstOrDefault(d => d.Newest.Covers(wanted)).Driver;
        return driver == 0 ? null : $"{driver / 1000}.{driver % 1000 / 10}";
    }
}
