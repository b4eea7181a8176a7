using AdmNative.Tests;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Tests;

public sealed class ParserTests
{
    private static readonly string s_gemm = File.ReadAllText(Repo.Path("kernels", "ptx", "gemm.sm80.ptx"));

    [Fact]
    public void Compiler_output_is_read_whole()
    {
        PtxModule module = PtxParser.Parse(s_gemm);
        Assert.Equal(["gemm_nt_f16", "gemm_nt_bf16", "gemm_nn_f16", "gemm_nn_bf16"], module.Entries.Select(e => e.Name));
        Assert.Equal("sm_80", module.Target);
        Assert.Equal((7, 2), module.Version);
        Assert.Equal("kernels/gemm.cu", module.Files[1]);
        PtxFunction gemm = module.Entry("gemm_nt_f16");
        Assert.Equal((128, 1, 1), gemm.MaxNtid);
        Assert.Equal(49152, gemm.Variables.Single(v => v.Space == PtxSpace.Shared).Bytes);
        Kernel kernel = Lowering.Lower(module, gemm);
        Assert.Equal((64, 49152), (kernel.ParameterBytes, kernel.StaticSharedBytes));
    }

    [Theory]
    [InlineData("frobnicate.u32 %r1, %r1;", "frobnicate.u32")]
    [InlineData("add.magic.u32 %r1, %r1, %r1;", "magic")]
    [InlineData("add.u32 %r1, %r1;", "operands")]
    [InlineData("add.u32 %r1, %rd1, %r1;", "%rd1")]
    [InlineData("add.u64 %rd1, %rd1, %r1;", "%r1")]
    [InlineData("mov.u32 %r1, %nosuch;", "%nosuch")]
    [InlineData("bra $nowhere;", "$nowhere")]
    [InlineData("ld.global.u32 %r1, [%r1];", "%r1")]
    [InlineData("st.param.u32 [n], %r1;", "param")]
    public void What_is_not_known_is_an_error_that_names_it_and_its_line(string statement, string named)
    {
        string ptx = PtxRun.Entry($".reg .b32 %r<3>; .reg .b64 %rd<3>;\n{statement}\nret;");
        int line = ptx.Split('\n').ToList().FindIndex(l => l.Contains(statement, StringComparison.Ordinal)) + 1;
        PtxException e = Assert.Throws<PtxException>(() =>
        {
            PtxModule module = PtxParser.Parse(ptx);
            Lowering.Lower(module, module.Entry("k"));
        });
        Assert.Equal(line, e.Line);
        Assert.Contains(named, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_with_a_token_missing_is_accepted_or_refused_with_a_line()
    {
        string whole = File.ReadAllText(Repo.Path("kernels", "ptx", "reduce.sm80.ptx"));
        int start = whole.IndexOf(".visible .entry reduce_finish_f32", StringComparison.Ordinal);
        string text = ".version 8.4\n.target sm_80\n.address_size 64\n" + whole[start..(whole.IndexOf("\n}", start, StringComparison.Ordinal) + 3)];
        int lines = text.Split('\n').Length;
        string[] tokens = text.Split(' ', '\t');
        int refused = 0;
        for (int skip = 0; skip < tokens.Length; skip++)
        {
            if (tokens[skip].Length == 0)
            {
                continue;
            }

            string damaged = string.Join(' ', tokens.Where((_, i) => i != skip));
            try
            {
                PtxModule module = PtxParser.Parse(damaged);
                foreach (PtxFunction entry in module.Entries)
                {
                    Lowering.Lower(module, entry);
                }
            }
            catch (PtxException e)
            {
                Assert.InRange(e.Line, 1, lines);
                refused++;
            }
        }

        Assert.True(refused > tokens.Length / 3, $"only {refused} of {tokens.Length} deletions were noticed");
    }

    [Fact]
    public void Text_cut_anywhere_is_refused_with_a_line()
    {
        string text = PtxRun.Entry(".reg .b32 %r<3>; .reg .pred %p;\nmov.u32 %r1, %tid.x; setp.lt.u32 %p, %r1, 7;\n@%p bra $x;\nadd.u32 %r2, %r1, 0x10;\n$x: ret;");
        for (int length = text.IndexOf(".visible", StringComparison.Ordinal) + 1; length < text.TrimEnd().Length; length++)
        {
            PtxException e = Assert.Throws<PtxException>(() => PtxParser.Parse(text[..length]));
            Assert.InRange(e.Line, 1, text.Split('\n').Length);
        }
    }
}
