using AdmNative.VirtualGpu;

namespace AdmNative.Tests;

/// <summary>NVIDIA's assembler accepts the PTX that the tests of adm ptx run, and that of the examples; texts that are wrong on purpose are left out.</summary>
public sealed class PtxTextTests
{
    [PtxasTheory]
    [InlineData(typeof(PtxRunTests), 15)]
    [InlineData(typeof(PtxListTests), 1)]
    public void Every_text_assembles(Type tests, int atLeast)
    {
        string[] texts = [.. TestTexts.Of(tests).Where(IsRight)];
        Assert.InRange(texts.Length, atLeast, 1000);
        Assert.Equal("", TestTexts.Assemble(texts));
    }

    private static bool IsRight(string text)
    {
        try
        {
            return PtxSummary.Read(text).Errors.Count == 0;
        }
        catch (VirtualGpu.Ptx.PtxException)
        {
            return false;
        }
    }

    [PtxasFact]
    public void Every_example_assembles()
    {
        string[] files = Directory.GetFiles(Repo.Path("docs", "examples"), "*.ptx");
        Assert.NotEmpty(files);
        Assert.Equal("", TestTexts.Assemble(files.Select(File.ReadAllText)));
    }
}
