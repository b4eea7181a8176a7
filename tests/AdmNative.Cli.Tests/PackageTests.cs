using System.Diagnostics;
using System.IO.Compression;
using System.Reflection;
using System.Xml.Linq;

namespace AdmNative.Tests;

/// <summary>The libraries as packages: what is in them, and a program outside the checkout that has nothing else.</summary>
[Trait("Category", "Slow")]
public sealed class PackageTests : IClassFixture<PackageTests.Feed>
{
    private static readonly string[] s_ids =
        ["AdmNative.Core", "AdmNative.Cpu", "AdmNative.Cuda", "AdmNative.Diffusion", "AdmNative.Formats", "AdmNative.VirtualGpu"];

    private readonly Feed _feed;

    public PackageTests(Feed feed) => _feed = feed;

    [Fact]
    public void Every_library_is_a_package_and_nothing_else_is() =>
        Assert.Equal(s_ids.Select(id => $"{id}.0.1.0.nupkg"), _feed.Packed.Select(Path.GetFileName).Order(StringComparer.Ordinal));

    [Fact]
    public void A_package_says_what_it_is_and_whence_it_comes()
    {
        foreach (string id in s_ids)
        {
            using ZipArchive package = ZipFile.OpenRead(_feed.Package(id));
            XElement metadata = XDocument.Parse(Text(package, id + ".nuspec")).Root!.Elements().Single();
            string Of(string name) => metadata.Elements().Single(e => e.Name.LocalName == name).Value;
            Assert.Equal(id, Of("id"));
            Assert.Equal("MIT", Of("license"));
            Assert.InRange(Of("description").Length, 60, 300);
            Assert.StartsWith("# " + id, Text(package, Of("readme")), StringComparison.Ordinal);
            Assert.DoesNotContain(metadata.Elements(), e => e.Name.LocalName is "projectUrl" or "repositoryUrl" or "icon");
            Assert.Empty(metadata.Descendants().SelectMany(e => e.Attributes("url")));
        }
    }

    [Fact]
    public void A_package_holds_its_library_with_documentation_and_no_other_file()
    {
        foreach (string id in s_ids)
        {
            using ZipArchive package = ZipFile.OpenRead(_feed.Package(id));
            string[] names = [.. package.Entries.Select(e => e.FullName).Where(n => !n.StartsWith("_rels", StringComparison.Ordinal) && !n.StartsWith("package/", StringComparison.Ordinal))];
            Assert.Equal([id + ".nuspec", "README.md", "[Content_Types].xml", $"lib/net10.0/{id}.dll", $"lib/net10.0/{id}.xml"], names.Order(StringComparer.Ordinal));
            Assert.Contains("<summary>", Text(package, $"lib/net10.0/{id}.xml"));

            string version = Assembly.Load(id).GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;
            Assert.Matches("^0\\.1\\.0(\\+[0-9a-f]{40})?$", version); // the commit, where the sources are a checkout
        }
    }

    // Core, Cpu, Cuda and VirtualGpu bring nothing of anybody else's; readers and writers of files bring one library.
    [Fact]
    public void Packages_depend_on_each_other_and_on_one_library()
    {
        Dictionary<string, string[]> expected = new()
        {
            ["AdmNative.Core"] = [],
            ["AdmNative.Cpu"] = ["AdmNative.Core"],
            ["AdmNative.Cuda"] = ["AdmNative.Core"],
            ["AdmNative.VirtualGpu"] = ["AdmNative.Cuda"],
            ["AdmNative.Formats"] = ["AdmNative.Core", "Newtonsoft.Json"],
            ["AdmNative.Diffusion"] = ["AdmNative.Core", "AdmNative.Formats", "Newtonsoft.Json"],
        };
        foreach (string id in s_ids)
        {
            using ZipArchive package = ZipFile.OpenRead(_feed.Package(id));
            IEnumerable<XElement> dependencies = XDocument.Parse(Text(package, id + ".nuspec")).Descendants().Where(e => e.Name.LocalName == "dependency");
            Assert.Equal(expected[id], dependencies.Select(d => d.Attribute("id")!.Value).Order(StringComparer.Ordinal));
        }
    }

    /// <summary>
    /// tools/EmbeddingSample in a folder of its own, with the packages and the one library they depend on in a folder as the only source: it restores, compiles without
    /// a warning, samples, and finds every kernel's numbers right on the virtual device.
    /// </summary>
    [Fact]
    public void A_program_with_the_packages_alone_samples_and_calls_kernels()
    {
        using var temp = new TempFolder();
        foreach (string file in Directory.GetFiles(Repo.Path("tools", "EmbeddingSample")).Where(f => Path.GetExtension(f) is ".cs" or ".csproj"))
        {
            File.Copy(file, temp[Path.GetFileName(file)]);
        }

        File.WriteAllText(temp["nuget.config"], $"""
            <configuration>
              <config><add key="globalPackagesFolder" value="packages" /></config>
              <packageSources><clear /><add key="feed" value="{_feed.Folder}" /></packageSources>
              <fallbackPackageFolders><clear /></fallbackPackageFolders>
            </configuration>
            """);
        _feed.AddLibrary("Newtonsoft.Json", "13.0.4");
        string output = Dotnet.Run(temp["."], "run", "--project", temp["EmbeddingSample.csproj"], "-c", "Release", "--", "virtual", Repo.Path("models", "mnist16"));
        Assert.Equal(8, output.Split('\n').Count(line => line.StartsWith("ok: ", StringComparison.Ordinal)));
        Assert.Contains("group norm: 30 groups must divide 64 channels", output);
        Assert.Contains("OutOfMemory (2)", output);
    }

    private static string Text(ZipArchive package, string name)
    {
        using var reader = new StreamReader(package.GetEntry(name)!.Open());
        return reader.ReadToEnd();
    }

    /// <summary>The packages in a folder, made from what the build of the tests has built.</summary>
    public sealed class Feed : IDisposable
    {
        private readonly TempFolder _temp = new();

        public Feed()
        {
            // bin/<configuration>/net10.0
            string configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
            Dotnet.Run(Repo.Path(), "pack", "AdmNative.sln", "--no-build", "-c", configuration, "-o", Folder, "-v", "q");
            Packed = Directory.GetFiles(Folder);
        }

        public string Folder => _temp["feed"];

        public IReadOnlyList<string> Packed { get; }

        public string Package(string id) => Packed.Single(p => Path.GetFileName(p) == id + ".0.1.0.nupkg");

        /// <summary>Copies a package that this machine has restored already.</summary>
        public void AddLibrary(string id, string version)
        {
            string name = id.ToLowerInvariant();
            string folder = Environment.GetEnvironmentVariable("NUGET_PACKAGES") is { Length: > 0 } set
                ? set
                : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
            File.Copy(Path.Combine(folder, name, version, $"{name}.{version}.nupkg"), Path.Combine(Folder, $"{name}.{version}.nupkg"), overwrite: true);
        }

        public void Dispose() => _temp.Dispose();
    }

    private static class Dotnet
    {
        public static string Run(string folder, params string[] arguments)
        {
            var start = new ProcessStartInfo("dotnet") { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
            foreach (string argument in arguments)
            {
                start.ArgumentList.Add(argument);
            }

            // What the test runner's own SDK says to its children is not for a program outside the checkout.
            foreach (string name in start.Environment.Keys.Where(k => k.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase)).ToArray())
            {
                start.Environment.Remove(name);
            }

            start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
            start.Environment.Remove("NUGET_PACKAGES");
            using Process process = Process.Start(start)!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, $"dotnet {string.Join(' ', arguments)} ended with {process.ExitCode}\n{output}\n{error.GetAwaiter().GetResult()}");
            return output;
        }
    }
}
