using System.Text.RegularExpressions;

namespace AdmNative.Tests;

/// <summary>
/// Code on the pages for embedders is quoted from tools/EmbeddingSample, which <see cref="PackageTests"/> compiles and runs. A block stands under a comment that
/// names its file, and the regions of it in their order if it is not the whole file.
/// </summary>
public sealed partial class QuotedCodeTests
{
    [Theory]
    [InlineData("docs/api.md", 14)]
    [InlineData("README.md", 1)]
    [InlineData("src/AdmNative.Core/README.md", 1)]
    [InlineData("src/AdmNative.Cpu/README.md", 1)]
    [InlineData("src/AdmNative.Diffusion/README.md", 1)]
    [InlineData("src/AdmNative.Formats/README.md", 1)]
    [InlineData("src/AdmNative.VirtualGpu/README.md", 1)]
    public void A_page_shows_the_samples_own_lines(string page, int blocks)
    {
        string text = File.ReadAllText(Repo.Path(page.Split('/')));
        MatchCollection quoted = Quoted().Matches(text);
        Assert.Equal(blocks, quoted.Count);
        Assert.Equal(blocks, Regex.Count(text, "^```(csharp|xml)", RegexOptions.Multiline)); // none without a source
        foreach (Match block in quoted)
        {
            Assert.Equal(Source(block.Groups["source"].Value), block.Groups["code"].Value);
        }
    }

    private static string Source(string source)
    {
        string[] parts = source.Split(": ");
        string file = File.ReadAllText(Repo.Path(parts[0].Split('/')));
        return parts.Length == 1 ? file : string.Join('\n', parts[1].Split(", ").Select(name => Region(file, name)));
    }

    private static string Region(string file, string name)
    {
        Match region = Assert.Single(Regex.Matches(file, $@"^(?<indent> *)#region {name}\n(?<body>.*?)^ *#endregion", RegexOptions.Multiline | RegexOptions.Singleline));
        return Regex.Replace(region.Groups["body"].Value, "^" + region.Groups["indent"].Value, "", RegexOptions.Multiline);
    }

    [GeneratedRegex("^<!-- (?<source>tools/EmbeddingSample/[^>]+) -->\n```[a-z]+\n(?<code>.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Quoted();
}
