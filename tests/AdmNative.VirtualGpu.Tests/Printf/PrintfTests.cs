using System.Globalization;
using AdmNative.Tests;

namespace AdmNative.VirtualGpu.Tests.Printf;

/// <summary>What kernels print: as C does, bounded, and a finding where C knows no answer.</summary>
public sealed class PrintfTests
{
    private static readonly LaunchOptions s_quiet = new() { Counters = false };

    /// <summary>Prints with a buffer of 8-byte arguments; 4-byte ones are packed as the compiler packs them.</summary>
    internal static LaunchReport Print(string format, params ReadOnlySpan<byte> buffer)
    {
        byte[] text = [.. System.Text.Encoding.UTF8.GetBytes(format), 0];
        byte[] padded = [.. buffer, .. new byte[(8 - (buffer.Length % 8)) % 8]];
        string stores = string.Concat(Enumerable.Range(0, padded.Length / 8).Select(i => $"ld.global.u64 %rd2, [%rd1+{8 * i}]; st.local.u64 [%rd4+{8 * i}], %rd2;\n"));
        using var run = new PtxRun(PtxRun.Entry(
            $$"""
            .local .align 8 .b8 depot[{{Math.Max(padded.Length, 8)}}];
            .reg .b32 %r<6>; .reg .b64 %rd<8>;
            ld.param.u64 %rd1, [a]; mov.u64 %rd4, depot; cvta.local.u64 %rd5, %rd4;
            {{stores}}
            mov.u64 %rd6, text; cvta.global.u64 %rd7, %rd6;
            { .param .b64 p0; st.param.b64 [p0], %rd7; .param .b64 p1; st.param.b64 [p1], %rd5; .param .b32 q0;
              call.uni (q0), vprintf, (p0, p1); ld.param.b32 %r4, [q0]; }
            ret;
            """,
            $$"""
            .extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 a);
            .global .align 1 .b8 text[{{text.Length}}] = { {{string.Join(", ", text)}} };
            """))
        { Options = s_quiet, CompareEngines = false };
        return run.Launch("k", 1, 1, 0L, run.Put<byte>([.. padded, 0]), 0L, 0L, 0);
    }

    /// <summary>glibc.tsv holds texts, arguments as bits, and what snprintf of glibc 2.36 makes of them (but for %#g of 999999.5, where it loses the zeros).</summary>
    [Fact]
    public void Conversions_print_as_those_of_a_c_library()
    {
        string[] lines = File.ReadAllLines(Repo.Path("tests", "AdmNative.VirtualGpu.Tests", "Printf", "glibc.tsv"));
        var wrong = new List<string>();
        foreach (string[] row in lines.Select(l => l.Split('\t')))
        {
            int i = 1;
            ulong bits = ulong.Parse(row[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            string tail = "";
            string? got = null;
            if (Engine.PrintfConversion.Read(row[0], ref i) is { } one)
            {
                tail = row[0][i..].Replace("%%", "%", StringComparison.Ordinal);
                got = one.Format(bits, one.Width, one.Precision) + tail;
            }

            if (got != row[2])
            {
                wrong.Add($"{row[0]} of {row[1]}: '{got}', not '{row[2]}'");
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} of {lines.Length}:\n{string.Join('\n', wrong.Take(60))}");
        Assert.InRange(lines.Length, 900, 2000);
    }

    private static byte[] Bytes(params ReadOnlySpan<object> values)
    {
        var bytes = new List<byte>();
        foreach (object value in values)
        {
            byte[] one = value is int n ? BitConverter.GetBytes(n) : value is double d ? BitConverter.GetBytes(d) : BitConverter.GetBytes((long)value);
            bytes.AddRange(new byte[(one.Length - (bytes.Count % one.Length)) % one.Length]);
            bytes.AddRange(one);
        }

        return [.. bytes];
    }

    /// <summary>Arguments are found at their alignment, widths and precisions among them.</summary>
    [Fact]
    public void Arguments_follow_one_another()
    {
        Assert.Equal("7 1.50 ff!", Print("%d %.2f %x!", Bytes(7, 1.5, 255)).Output);
        Assert.Equal("[    7][7    ][   7]", Print("[%*d][%*d][%*d]", Bytes(5, 7, -5, 7, 4, 7)).Output);
        Assert.Equal("[1.50][1.500000][   2.3]", Print("[%.*f][%.*f][%*.*f]", Bytes(2, 1.5, -1, 1.5, 6, 1, 2.25 + 0.0625)).Output);
        Assert.Equal("-1 255 65535 -1 4294967295", Print("%hhd %hhu %hu %ld %u", Bytes(255, 255, 65535, -1L, -1)).Output);
        Assert.Equal("100% A 1%", Print("100%% %c %d%%", Bytes(65, 1)).Output);
    }

    [Theory]
    [InlineData("a %y b %d", "a %y b %d", "'%y'")]
    [InlineData("%n", "%n", "'%n'")]
    [InlineData("%ls", "%ls", "'%ls'")]
    [InlineData("%hhf", "%hhf", "'%hhf'")]
    [InlineData("end %", "end %", "'%'")]
    [InlineData("%-08.3", "%-08.3", "'%-08.3'")]
    [InlineData("%lllld", "%lllld", "'%lllld'")]
    public void A_conversion_that_c_lacks_is_a_finding(string format, string output, string named)
    {
        LaunchReport report = Print(format, Bytes(1, 2));
        Finding finding = Assert.Single(report.Findings);
        Assert.Equal(Checks.None, finding.Check);
        Assert.Contains(named, finding.Message, StringComparison.Ordinal);
        Assert.Equal(output, report.Output);
        Assert.True(report.Completed);
    }

    /// <summary>The buffer has one argument: the second is in nobody's memory or was never written.</summary>
    [Fact]
    public void Arguments_that_are_not_there_are_findings()
    {
        LaunchReport report = Print(string.Concat(Enumerable.Repeat("%d ", 100)), Bytes(1L));
        Assert.Contains(report.Findings, f => f.Check == Checks.Bounds && f.Message.Contains("more in the text than in the buffer", StringComparison.Ordinal));
    }

    /// <summary>Many long strings by one call end: what one lane prints at once has a bound.</summary>
    [Fact]
    public void One_text_cannot_be_long()
    {
        LaunchReport report = Print(string.Concat(Enumerable.Repeat("%4096d", 2000)), Bytes([.. Enumerable.Range(0, 2000).Cast<object>()]));
        Assert.Empty(report.Findings);
        Assert.InRange(report.Output.Length, 1 << 20, (1 << 20) + 4096);
    }
}
