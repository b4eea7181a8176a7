using System.Text.RegularExpressions;
using System.Xml.Linq;
using AdmNative.Tests;

namespace AdmNative.Core.Tests;

/// <summary>Who may depend on whom, and on which packages, read from the project files themselves.</summary>
public sealed partial class ArchitectureTests
{
    // One row per room: the projects it may name, then the packages it may use. Embedders take Core and a backend with
    // no package at all; a new arrow or package is a decision, made here and in docs/architecture.md.
    private static readonly Dictionary<string, (string[] Projects, string[] Packages)> s_allowed = new()
    {
        ["Core"] = ([], []),
        ["Formats"] = (["Core"], ["Newtonsoft.Json"]),
        ["Cpu"] = (["Core"], []),
        ["Cuda"] = (["Core"], []),
        ["VirtualGpu"] = (["Cuda"], []),
        ["Diffusion"] = (["Core", "Formats"], ["Newtonsoft.Json"]),
        ["Training"] = (["Core", "Formats", "Diffusion"], ["Newtonsoft.Json"]),
        ["Evaluation"] = (["Core", "Formats", "Diffusion"], ["Newtonsoft.Json", "MathNet.Numerics"]),
        ["ManagedCuda"] = (["Cuda"], ["ManagedCuda-12"]),
        ["Cli"] = (
            ["Core", "Formats", "Cpu", "Cuda", "VirtualGpu", "Diffusion", "Training", "Evaluation"],
            ["Newtonsoft.Json", "System.CommandLine", "Spectre.Console"]),
    };

    public static TheoryData<string> Projects() => [.. Rooms()];

    [Fact]
    public void Projects_are_found() => Assert.Contains("Core", Rooms());

    [Theory]
    [MemberData(nameof(Projects))]
    public void Only_drawn_arrows_and_listed_packages(string room)
    {
        XDocument project = XDocument.Load(Repo.Path("src", $"AdmNative.{room}", $"AdmNative.{room}.csproj"));
        Assert.Equal("", string.Join("; ", Violations(room, project)));
    }

    [Fact]
    public void A_forbidden_arrow_or_package_is_seen()
    {
        XDocument project = XDocument.Parse("""
            <Project><ItemGroup>
              <ProjectReference Include="../AdmNative.Cpu/AdmNative.Cpu.csproj" />
              <PackageReference Include="Newtonsoft.Json" />
            </ItemGroup></Project>
            """);
        Assert.Equal(2, Violations("Core", project).Count());
        Assert.Single(Violations("Formats", project));
        Assert.Empty(Violations("Cli", project));
        Assert.Single(Violations("Unknown", project));
    }

    [Fact]
    public void Only_the_command_line_speaks_to_the_console()
    {
        var speakers = Directory.EnumerateFiles(Repo.Path("src"), "*.cs", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(Repo.Path("src"), path).Replace('\\', '/'))
            .Where(path => !path.StartsWith("AdmNative.Cli/", StringComparison.Ordinal)
                && !path.Contains("/obj/", StringComparison.Ordinal) && !path.Contains("/bin/", StringComparison.Ordinal))
            .Where(path => ConsoleUse().IsMatch(File.ReadAllText(Repo.Path("src", path))));
        Assert.Empty(speakers);
    }

    private static IEnumerable<string> Rooms() =>
        Directory.GetFiles(Repo.Path("src"), "*.csproj", SearchOption.AllDirectories).Select(RoomOf).Order();

    private static IEnumerable<string> Violations(string room, XDocument project)
    {
        if (!s_allowed.TryGetValue(room, out (string[] Projects, string[] Packages) allowed))
        {
            return [$"AdmNative.{room} has no row in this test"];
        }

        return References(project, "ProjectReference").Select(RoomOf).Except(allowed.Projects)
            .Select(other => $"AdmNative.{room} may not reference AdmNative.{other}")
            .Concat(References(project, "PackageReference").Except(allowed.Packages)
                .Select(package => $"AdmNative.{room} may not use the package {package}"));
    }

    private static IEnumerable<string> References(XDocument project, string element) =>
        project.Descendants(element).Select(e => (string?)e.Attribute("Include") ?? $"{element} without Include");

    private static string RoomOf(string projectPath)
    {
        string name = Path.GetFileNameWithoutExtension(projectPath.Replace('\\', '/'));
        return name.StartsWith("AdmNative.", StringComparison.Ordinal) ? name["AdmNative.".Length..] : name;
    }

    [GeneratedRegex(@"\bConsole\.")]
    private static partial Regex ConsoleUse();
}
