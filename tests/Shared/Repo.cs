namespace AdmNative.Tests;

/// <summary>Finds files of the checkout from wherever the tests run.</summary>
internal static class Repo
{
    private static readonly string s_root = FindRoot();

    /// <summary>A path under the repository root.</summary>
    public static string Path(params string[] parts) => System.IO.Path.Combine([s_root, .. parts]);

    private static string FindRoot()
    {
        for (DirectoryInfo? d = new(AppContext.BaseDirectory); d is not null; d = d.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(d.FullName, "AdmNative.sln")))
            {
                return d.FullName;
            }
        }

        throw new InvalidOperationException($"no AdmNative.sln above {AppContext.BaseDirectory}");
    }
}
