using System.Runtime.InteropServices;
using System.Text;

namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>
/// mma.sync: fragments laid out by the published table, operands small integers, so that every product and sum is exact whatever the order or
/// the rounding mode, compared with a plain matrix product. A wrong lane, register or half shows at once.
/// </summary>
public sealed class MatrixProductTests
{
    private sealed record Shape(string Spelling, int K, int A, int B, int C, string Element, string Sum);

    private static readonly Shape[] s_shapes =
    [
        new("m16n8k16.row.col.f32.f16.f16.f32", 16, 4, 2, 4, "f16", "f32"), new("m16n8k16.row.col.f32.bf16.bf16.f32", 16, 4, 2, 4, "bf16", "f32"),
        new("m16n8k16.row.col.f16.f16.f16.f16", 16, 4, 2, 2, "f16", "f16"), new("m16n8k8.row.col.f32.f16.f16.f32", 8, 2, 1, 4, "f16", "f32"),
        new("m16n8k8.row.col.f16.f16.f16.f16", 8, 2, 1, 2, "f16", "f16"), new("m16n8k8.row.col.f32.bf16.bf16.f32", 8, 2, 1, 4, "bf16", "f32"),
        new("m16n8k8.row.col.f32.tf32.tf32.f32", 8, 4, 2, 4, "tf32", "f32"), new("m16n8k4.row.col.f32.tf32.tf32.f32", 4, 2, 1, 4, "tf32", "f32"),
        new("m16n8k32.row.col.s32.s8.s8.s32", 32, 4, 2, 4, "s8", "s32"), new("m16n8k32.row.col.s32.u8.u8.s32", 32, 4, 2, 4, "u8", "s32"),
        new("m16n8k16.row.col.s32.s8.s8.s32", 16, 2, 1, 4, "s8", "s32"), new("m16n8k16.row.col.s32.u8.u8.s32", 16, 2, 1, 4, "u8", "s32"),
    ];

    public static TheoryData<string, MmaRounding> Cases()
    {
        var data = new TheoryData<string, MmaRounding>();
        foreach (Shape s in s_shapes)
        {
            foreach (MmaRounding rounding in Enum.GetValues<MmaRounding>())
            {
                data.Add(s.Spelling, rounding);
            }
        }

        return data;
    }

    /// <summary>All shapes in one module, for the assembler.</summary>
    internal static string Module() => PtxRun.Entry("ret;") + string.Join('\n', s_shapes.Select((s, i) => Entry(s, $"m{i}")));

    private static string Entry(Shape s, string name)
    {
        var text = new StringBuilder($".visible .entry {name}(.param .u64 d, .param .u64 a, .param .u64 b, .param .u64 c)\n{{\n.reg .b32 %a<4>, %b<2>, %c<4>, %d<4>, %lane; .reg .b64 %p<8>;\nmov.u32 %lane, %laneid;\n");
        foreach ((int i, string fragment, int n) in new[] { (0, "a", s.A), (1, "b", s.B), (2, "c", s.C) })
        {
            text.Append($"ld.param.u64 %p{i}, [{fragment}]; mad.wide.u32 %p{i}, %lane, {4 * n}, %p{i};\n");
            for (int r = 0; r < n; r++)
            {
                text.Append($"ld.global.b32 %{fragment}{r}, [%p{i}+{4 * r}];\n");
            }
        }

        string List(string fragment, int n) => $"{{{string.Join(", ", Enumerable.Range(0, n).Select(r => $"%{fragment}{r}"))}}}";
        text.Append($"mma.sync.aligned.{s.Spelling} {List("d", s.C)}, {List("a", s.A)}, {List("b", s.B)}, {List("c", s.C)};\n");
        text.Append($"ld.param.u64 %p4, [d]; mad.wide.u32 %p4, %lane, {4 * s.C}, %p4;\n");
        for (int r = 0; r < s.C; r++)
        {
            text.Append($"st.global.b32 [%p4+{4 * r}], %d{r};\n");
        }

        return text.Append("ret;\n}\n").ToString();
    }

    private static int Width(string type) => type switch { "s8" or "u8" => 8, "f16" or "bf16" => 16, _ => 32 };

    private static uint Encode(string type, int value) => type switch
    {
        "f16" => BitConverter.HalfToUInt16Bits((Half)value),
        "bf16" => BitConverter.SingleToUInt32Bits(value) >> 16,
        "f32" or "tf32" => BitConverter.SingleToUInt32Bits(value),
        "s8" or "u8" => (byte)value,
        _ => (uint)value,
    };

    /// <summary>Where element i of register r of a lane lies: (row, column) of A, (k, column) of B, (row, column) of C and D.</summary>
    private static (int Row, int Column) PlaceA(Shape s, int lane, int r, int i)
    {
        int g = lane / 4, t = lane % 4, per = 32 / Width(s.Element);
        return (g + (8 * (r & 1)), (t * per) + i + (4 * per * (r >> 1)));
    }

    private static (int Row, int Column) PlaceB(Shape s, int lane, int r, int i) => ((lane % 4 * (32 / Width(s.Element))) + i + (4 * (32 / Width(s.Element)) * r), lane / 4);

    private static (int Row, int Column) PlaceC(Shape s, int lane, int r, int i)
    {
        int g = lane / 4, t = lane % 4;
        return s.Sum == "f16" ? (g + (8 * r), (2 * t) + i) : (g + (8 * (r >> 1)), (2 * t) + (r & 1));
    }

    private static uint[] Pack(int registers, string type, Func<int, int, int, (int Row, int Column)> place, Func<int, int, int> value)
    {
        int width = Width(type);
        var words = new uint[32 * registers];
        for (int lane = 0; lane < 32; lane++)
        {
            for (int r = 0; r < registers; r++)
            {
                for (int i = 0; i < 32 / width; i++)
                {
                    (int row, int column) = place(lane, r, i);
                    words[(lane * registers) + r] |= Encode(type, value(row, column)) << (width * i);
                }
            }
        }

        return words;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Fragments_lie_where_the_table_says(string spelling, MmaRounding rounding)
    {
        Shape s = s_shapes.Single(x => x.Spelling == spelling);
        var random = new Random(s.K);
        int low = s.Element == "u8" ? 0 : -9;
        int[,] a = new int[16, s.K], b = new int[s.K, 8], c = new int[16, 8];
        foreach (int[,] m in new[] { a, b, c })
        {
            for (int i = 0; i < m.GetLength(0); i++)
            {
                for (int j = 0; j < m.GetLength(1); j++)
                {
                    m[i, j] = random.Next(low, 10);
                }
            }
        }

        using var run = new PtxRun(".version 8.4\n.target sm_80\n.address_size 64\n" + Entry(s, "m")) { Options = new LaunchOptions { Mma = rounding } };
        long to = run.Room<uint>(32 * s.C);
        LaunchReport report = run.Launch(
            "m", 1, 32, to,
            run.Put<uint>(Pack(s.A, s.Element, (l, r, i) => PlaceA(s, l, r, i), (i, j) => a[i, j])),
            run.Put<uint>(Pack(s.B, s.Element, (l, r, i) => PlaceB(s, l, r, i), (i, j) => b[i, j])),
            run.Put<uint>(Pack(s.C, s.Sum, (l, r, i) => PlaceC(s, l, r, i), (i, j) => c[i, j])));
        Assert.Empty(report.Findings);
        uint[] want = Pack(s.C, s.Sum, (l, r, i) => PlaceC(s, l, r, i), (i, j) => c[i, j] + Enumerable.Range(0, s.K).Sum(k => a[i, k] * b[k, j]));
        Assert.Equal(want, run.Get<uint>(to, 32 * s.C));
    }

    [Fact]
    public void Part_of_a_warp_is_a_finding()
    {
        Shape s = s_shapes[0];
        string ptx = ".version 8.4\n.target sm_80\n.address_size 64\n" + Entry(s, "m")
            .Replace("mma.sync", "setp.lt.u32 %q, %lane, 16; @%q bra $l; ret;\n$l: mma.sync", StringComparison.Ordinal)
            .Replace(".reg .b64", ".reg .pred %q; .reg .b64", StringComparison.Ordinal);
        using var run = new PtxRun(ptx.Replace("@%q bra $l; ret;", "@!%q bra $after;", StringComparison.Ordinal).Replace("ld.param.u64 %p4", "$after: ld.param.u64 %p4", StringComparison.Ordinal));
        var words = new uint[128];
        LaunchReport report = run.Launch("m", 1, 32, run.Put<uint>(words), run.Put<uint>(words), run.Put<uint>(words), run.Put<uint>(words));
        Assert.Contains(report.Findings, f => f.Check == Checks.Barriers && f.Message.Contains("whole warp", StringComparison.Ordinal));
    }
}
