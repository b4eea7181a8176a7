using AdmNative.Cli;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>adm ptx list and check: what a file holds, and everything in it that could not run.</summary>
public sealed class PtxListTests
{
    private const string Head = ".version 8.4\n.target sm_80\n.address_size 64\n";

    private const string TwoEntries = Head + """
        .visible .entry first(.param .u64 x, .param .u32 n, .param .align 16 .b8 s[40], .param .u16 h)
        .maxntid 128, 2, 1
        .minnctapersm 3
        {
        .shared .align 16 .b8 tile[512];
        .local .b8 depot[24];
        .reg .b32 %r<3>;
        mov.u32 %r1, %tid.x;
        ret;
        }
        .extern .shared .align 16 .b8 dynamic[];
        .visible .entry second()
        .reqntid 32
        .maxnreg 64
        {
        .reg .b32 %r<3>;
        mov.u32 %r1, dynamic;
        ld.shared.u32 %r2, [%r1];
        ret;
        }
        """;

    // The shipped kernels, the examples, and what the tests of the device have of other compilers.
    public static TheoryData<string> EveryFile() =>
        [.. Directory.GetFiles(Repo.Path("kernels"), "*.ptx", SearchOption.AllDirectories)
            .Concat(Directory.GetFiles(Repo.Path("docs", "examples"), "*.ptx"))
            .Concat(Directory.GetFiles(Repo.Path("tests", "AdmNative.VirtualGpu.Tests"), "*.ptx", SearchOption.AllDirectories))
            .Select(f => Path.GetRelativePath(Repo.Path(), f)).Where(f => !f.Contains("/bin/", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];

    private static Adm.Outcome On(string text, params string[] verb)
    {
        using var temp = new TempFolder();
        TestTexts.Note(text);
        File.WriteAllText(temp["k.ptx"], text);
        Adm.Outcome outcome = Adm.Run(["ptx", .. verb[..1], temp["k.ptx"], .. verb[1..]]);
        return outcome with { Out = outcome.Out.Replace(temp.Path + "/", "", StringComparison.Ordinal), Error = outcome.Error.Replace(temp.Path + "/", "", StringComparison.Ordinal) };
    }

    [Fact]
    public void List_prints_parameters_limits_and_shared_memory()
    {
        Adm.Outcome outcome = On(TwoEntries, "list");
        Assert.Equal("", outcome.Error);
        Assert.Equal("""
            k.ptx: PTX 8.4 for sm_80, 2 entries

            first
              parameters    4, 58 bytes
                +0     8 bytes    u64        x
                +8     4 bytes    u32        n
                +16    40 bytes   b8[40]     s
                +56    2 bytes    u16        h
              block         at most 128x2x1 threads, at least 3 per SM
              shared        512 bytes
              local         24 bytes per thread
              instructions  2

            second
              parameters    0, 0 bytes
              block         exactly 32x1x1 threads
              shared        0 bytes, plus --shared
              local         0 bytes per thread
              registers     at most 64
              instructions  3

            """, outcome.Out);
    }

    [Fact]
    public void List_prints_the_same_as_json()
    {
        JObject json = JObject.Parse(On(TwoEntries, "list", "--json").Out);
        Assert.Equal("sm_80", (string?)json["target"]);
        JToken first = json["entries"]![0]!;
        Assert.Equal([0, 8, 16, 56], first["parameters"]!.Select(p => (int)p["offset"]!));
        Assert.Equal([8, 4, 40, 2], first["parameters"]!.Select(p => (int)p["bytes"]!));
        Assert.Equal([128, 2, 1], first["max_threads"]!.Select(v => (int)v));
        Assert.Equal(JTokenType.Null, first["required_threads"]!.Type);
        Assert.Equal(512, (int)first["static_shared_bytes"]!);
        Assert.False((bool)first["dynamic_shared"]!);
        JToken second = json["entries"]![1]!;
        Assert.True((bool)second["dynamic_shared"]!);
        Assert.Equal([32, 1, 1], second["required_threads"]!.Select(v => (int)v));
        Assert.Equal(64, (int)second["max_registers"]!);
    }

    [Theory]
    [MemberData(nameof(EveryFile))]
    public void Every_file_of_this_repository_is_listed_and_known(string file)
    {
        string path = Repo.Path(file);
        Adm.Outcome check = Adm.Done("ptx", "check", path);
        Assert.EndsWith("every instruction is known\n", check.Out);
        JObject json = JObject.Parse(Adm.Done("ptx", "list", path, "--json").Out);
        Assert.Equal(0, (int)json["errors"]!);
        Assert.NotEmpty(json["entries"]!);
        Assert.All(json["entries"]!, e => Assert.True((bool)e["can_run"]!));
    }

    [Fact]
    public void Check_reports_every_error_with_its_line()
    {
        Adm.Outcome outcome = On(Head + """
            .func (.param .b32 result) helper(.param .b32 v)
            {
            .reg .b32 %r<3>;
            ld.param.b32 %r1, [v];
            frobnicate.b32 %r2, %r1;
            st.param.b32 [result], %r2;
            ret;
            }
            .visible .entry good()
            {
            ret;
            }
            .visible .entry bad(.param .u32 n)
            {
            .reg .b32 %r<3>; .reg .pred %p<2>;
            ld.param.u32 %r1, [n];
            add.s32 %r2, %r1, {%r9, 3};
            mul.wibe.u32 %r2, %r1, 3;
            bra nowhere;
            @%p1 tex.2d.v4.f32.f32 %r1, %r2;
            .zap;
            ret;
            }
            .global .surprise x;
            .visible .entry after()
            .unheard
            {
            bad %r1;
            }
            """, "check");
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Empty(outcome.Out);
        string[] lines = outcome.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        (int Line, string Text)[] expected =
        [
            (8, "frobnicate.b32 is not an instruction"), (20, "unknown register '%r9'"), (21, "mul.wibe.u32 has unsupported modifier .wibe"),
            (22, "'nowhere'"), (23, "tex.2d.v4.f32.f32 is not an instruction"), (24, "unknown directive .zap"), (27, ".surprise"), (29, ".unheard"),
        ];
        Assert.True(lines.Length == expected.Length + 1, outcome.Error);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.StartsWith($"k.ptx:{expected[i].Line}: ", lines[i]);
            Assert.Contains(expected[i].Text, lines[i]);
        }

        Assert.Equal("k.ptx: 2 entries, 1 device function, 8 errors", lines[^1]);
    }

    [Fact]
    public void Check_reports_as_json()
    {
        Adm.Outcome outcome = On(Head + ".visible .entry k()\n{\nzip.u32;\nret;\n}\n", "check", "--json");
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Empty(outcome.Error);
        JToken error = Assert.Single(JObject.Parse(outcome.Out)["errors"]!);
        Assert.Equal(6, (int)error["line"]!);
        Assert.Equal("zip.u32 is not an instruction the virtual device knows", (string?)error["message"]);
    }

    [Fact]
    public void An_entry_with_errors_is_listed_as_such()
    {
        Adm.Outcome outcome = On(Head + ".visible .entry k(.param .u32 n)\n{\nzip.u32;\nret;\n}\n.visible .entry m()\n{\nret;\n}\n", "list");
        Assert.Equal(ExitCode.Done, outcome.Code);
        Assert.Contains("\nk  (has errors)\n", outcome.Out);
        Assert.Contains("\nm\n", outcome.Out);
        Assert.Equal("k.ptx: 1 error; 'adm ptx check k.ptx' lists them\n", outcome.Error);
    }

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("hello", "PTX begins with .version")]
    [InlineData("{\"a\": [1]}", "PTX begins with .version")]
    [InlineData("\u007fELF\0\0", "is not PTX text")]
    [InlineData(".version 8.4\n.address_size 64\n", "no .target")]
    [InlineData(".version 8.4\n.target sm_80\n\"open", "text without closing quote")]
    public void What_is_no_ptx_is_code_4_for_list_and_an_error_for_check(string text, string message)
    {
        Adm.Outcome list = On(text, "list");
        Assert.Equal(ExitCode.BadInput, list.Code);
        Assert.Contains(message, list.Error);
        Assert.Single(list.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Adm.Outcome check = On(text, "check");
        Assert.NotEqual(ExitCode.Done, check.Code);
        Assert.Contains(message, check.Error);
    }

    [Theory]
    [InlineData(".param .b8 a[1073741824], .param .b8 b[1073741824]", "", "'a' takes the parameters beyond 32764 bytes")]
    [InlineData(".param .b8 a[32000], .param .b8 b[1000]", "", "'b' takes the parameters beyond 32764 bytes")]
    [InlineData("", ".shared .b8 a[1073741824]; .shared .b8 b[1073741824];", "'a' takes the shared memory beyond")]
    [InlineData("", ".local .b8 a[2000000];", "'a' takes the local memory beyond")]
    [InlineData("", ".reg .b32 %r<70000>;", "more than 65536")]
    public void Sizes_that_no_device_has_are_errors(string parameters, string variables, string message)
    {
        Adm.Outcome outcome = On($"{Head}.visible .entry k({parameters})\n{{\n{variables}\nret;\n}}\n", "check");
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Contains(message, outcome.Error);
        Assert.Contains("k.ptx: 1 entry, 1 error", outcome.Error);
    }

    [Theory]
    [InlineData("list")]
    [InlineData("check")]
    public void A_missing_file_is_code_4(string verb)
    {
        Adm.Outcome outcome = Adm.Run("ptx", verb, "/nowhere/k.ptx");
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains("/nowhere/k.ptx", outcome.Error);
    }

    [Fact]
    public void Damaged_files_give_errors_and_end()
    {
        // Every prefix of the text, and every single token left out: errors with a line, or none; never a crash or an endless loop.
        string text = TwoEntries;
        for (int length = 0; length < text.Length; length++)
        {
            Valid(text[..length]);
        }

        string[] words = text.Split(' ', '\n');
        for (int i = 0; i < words.Length; i++)
        {
            Valid(string.Join('\n', words.Where((_, k) => k != i)));
        }

        static void Valid(string text)
        {
            VirtualGpu.PtxSummary summary = VirtualGpu.PtxSummary.Read(text);
            Assert.All(summary.Errors, e => Assert.InRange(e.Line, 1, text.Count(c => c == '\n') + 1));
        }
    }
}
