using System.Text;

namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>Writes the kernel of a row, runs it under full, partial and single-lane masks, and compares every lane.</summary>
internal static class OpcodeHarness
{
    public const ulong Untouched = 0x5A5A_5A5A_5A5A_5A5A;

    private static readonly uint[] s_masks = [0xFFFF_FFFF, 0x0F0F_3355, 0x0000_0100, 0x8000_0000];

    /// <summary>A module of some rows, one entry each: k0, k1, ...</summary>
    public static string Module(IReadOnlyList<OpcodeCase> cases, string target)
    {
        var text = new StringBuilder();
        text.Append($".version 8.4\n.target {target}\n.address_size 64\n.extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 a);\n");
        for (int i = 0; i < cases.Count; i++)
        {
            text.Append(Entry(cases[i], $"k{i}"));
        }

        return text.ToString();
    }

    public static int RegisterBits(Kind kind) => kind switch
    {
        Kind.I64 or Kind.F64 => 64,
        Kind.I8 or Kind.I16 or Kind.F16 or Kind.BF16 => 16,
        Kind.Pred => 1,
        _ => 32,
    };

    public static void Check(OpcodeCase row)
    {
        int n = row.Threads;
        ulong[][] inputs = [.. row.Inputs.Select((k, i) => Inputs.Of(k, i, n, pairs: row.Inputs.Length > 1))];
        using var run = new PtxRun(Module([row], row.Target));
        run.Options = new LaunchOptions { Counters = false, Delivery = row.Delivery };
        long[] at = [.. Enumerable.Range(0, 4).Select(i => i < inputs.Length ? run.Put<ulong>(inputs[i]) : 0L)];
        long scratch = run.Put<byte>(new byte[32 * n]);
        ulong width = RegisterBits(row.Result) switch { 64 => ulong.MaxValue, 32 => uint.MaxValue, 16 => 0xFFFF, _ => 1 };
        var whole = new WarpValues(inputs, 0, uint.MaxValue, 0);
        ulong[] known = row.IsLane ? [.. Enumerable.Range(0, n).Select(i => row.Expected(whole, i))] : [];
        foreach (uint mask in row.WholeWarp ? [s_masks[0]] : s_masks)
        {
            long branched = run.Room<ulong>(n), guarded = run.Room<ulong>(n);
            // Full and partial masks on both engines, which must agree; single lanes on the checking one.
            run.CompareEngines = (mask & (mask - 1)) != 0;
            LaunchReport report = run.Launch("k0", 1, n, branched, guarded, at[0], at[1], at[2], at[3], scratch, mask);
            Assert.True(report.Completed, $"{row.Statement}: {string.Join('\n', report.Findings)}");
            Assert.DoesNotContain(report.Findings, f => (f.Check & row.Provokes) == 0);
            ulong[] first = run.Get<ulong>(branched, n), second = row.IsSingle ? run.Get<ulong>(guarded, n) : [];
            for (int w = 0; w < n / 32; w++)
            {
                var values = new WarpValues(inputs, 32 * w, mask, (uint)w);
                for (int lane = 0; lane < 32; lane++)
                {
                    int i = (32 * w) + lane;
                    bool runs = ((mask >> lane) & 1) != 0;
                    ulong want = (!runs ? Untouched : row.IsLane ? known[i] : row.Expected(values, lane)) & width;
                    Compare(row, values, lane, mask, runs, want, first[i] & width, "behind a branch");
                    if (row.IsSingle)
                    {
                        Compare(row, values, lane, mask, runs, want, second[i] & width, "guarded");
                    }
                }
            }
        }
    }

    private static void Compare(OpcodeCase row, WarpValues values, int lane, uint mask, bool runs, ulong want, ulong got, string how)
    {
        if (runs && row.Ignores?.Invoke(values, lane) == true)
        {
            return;
        }

        bool ok = runs && row.Accepts is not null ? row.Accepts(values.Operands(lane), want, got) : got == want;
        if (!ok)
        {
            string operands = string.Join(", ", values.Operands(lane).Select(v => $"0x{v:x}"));
            Assert.Fail($"{row.Statement} ({how}, warp {values.Warp}, lane {lane}, mask {mask:x8}): {operands} gives 0x{got:x}, not 0x{want:x}");
        }
    }

    private static string Entry(OpcodeCase row, string name)
    {
        var text = new StringBuilder();
        text.Append(row.Declarations.Replace("NAME", name, StringComparison.Ordinal)).Append('\n');
        text.Append($".visible .entry {name}(.param .u64 out, .param .u64 out2, .param .u64 a, .param .u64 b, .param .u64 c, .param .u64 e, .param .u64 scratch, .param .u32 mask)\n{{\n");
        text.Append(".reg .b32 %t<8>; .reg .b64 %u<8>; .reg .b16 %h<8>; .reg .pred %p<4>; .reg .pred %g; .reg .b32 %m, %lane, %thread, %i; .reg .b64 %o, %o2, %q, %at, %step;\n");
        text.Append(row.Locals.Replace("NAME", name, StringComparison.Ordinal)).Append('\n');
        Declare(text, "%d", row.Result);
        text.Append("ld.param.u64 %o, [out]; ld.param.u64 %o2, [out2]; ld.param.u64 %at, [scratch]; ld.param.u32 %m, [mask];\n");
        text.Append("mov.u32 %thread, %tid.x; mov.u32 %lane, %laneid; mul.wide.u32 %step, %thread, 8; add.s64 %o, %o, %step; add.s64 %o2, %o2, %step;\n");
        text.Append("mad.wide.u32 %at, %thread, 32, %at;\n");
        for (int i = 0; i < row.Inputs.Length; i++)
        {
            Load(text, "abce"[i], row.Inputs[i]);
        }

        Reset(text, row.Result);
        text.Append("shr.u32 %i, %m, %lane; and.b32 %i, %i, 1; setp.ne.u32 %g, %i, 0;\n");
        text.Append(row.Before.Replace("NAME", name, StringComparison.Ordinal));
        text.Append("\n@!%g bra $skip;\n");
        text.Append(row.Statement.Replace("NAME", name, StringComparison.Ordinal));
        text.Append("\n$skip:\n");
        Store(text, "%o", row.Result);
        if (row.IsSingle)
        {
            Reset(text, row.Result);
            text.Append(row.Before.Replace("NAME", name, StringComparison.Ordinal)).Append('\n');
            text.Append("@%g ").Append(row.Statement.Replace("NAME", name, StringComparison.Ordinal)).Append('\n');
            Store(text, "%o2", row.Result);
        }

        return text.Append("ret;\n}\n").ToString();
    }

    private static string Type(Kind kind) => RegisterBits(kind) == 1 ? "pred" : $"b{RegisterBits(kind)}";

    private static void Declare(StringBuilder text, string name, Kind kind) => text.Append($".reg .{Type(kind)} {name};\n");

    private static void Load(StringBuilder text, char name, Kind kind)
    {
        Declare(text, $"%{name}", kind);
        text.Append($"ld.param.u64 %q, [{name}]; add.s64 %q, %q, %step; ");
        text.Append(kind == Kind.Pred ? $"ld.global.u32 %i, [%q]; setp.ne.u32 %{name}, %i, 0;\n" : $"ld.global.b{RegisterBits(kind)} %{name}, [%q];\n");
    }

    private static void Reset(StringBuilder text, Kind kind) => text.Append(kind switch
    {
        Kind.Pred => "setp.ne.u32 %d, %thread, %thread;\n",
        _ => $"mov.b{RegisterBits(kind)} %d, 0x{Untouched & (ulong.MaxValue >> (64 - RegisterBits(kind))):x};\n",
    });

    private static void Store(StringBuilder text, string to, Kind kind) => text.Append(kind switch
    {
        Kind.Pred => $"selp.b32 %i, 1, 0, %d; st.global.u32 [{to}], %i; st.global.u32 [{to}+4], 0;\n",
        _ => $"st.global.u64 [{to}], 0; st.global.b{RegisterBits(kind)} [{to}], %d;\n",
    });
}

/// <summary>Edge values of each kind in all pairs, then random ones.</summary>
internal static class Inputs
{
    private static readonly ulong[] s_integers =
    [
        0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 255, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFE, 0x0001_0203, 0x8081_8283, 0x0000_FFFF, 0xFFFF_0000,
    ];

    private static readonly ulong[] s_long =
    [
        0, 1, 2, 3, 10, 63, 64, 255, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, ulong.MaxValue,
        ulong.MaxValue - 1, 0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210, 0xFFFF_FFFF_0000_0000, 0x8000_0000_0000_0001,
    ];

    private static readonly ulong[] s_short = [0, 1, 2, 3, 7, 15, 16, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0xFFFE, 0x1234, 0xFEDC, 0xFF00, 0x00FE];

    private static readonly ulong[] s_counts = [0, 1, 2, 5, 7, 8, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 255, 0x8000_0000, 0xFFFF_FFFF];

    private static readonly ulong[] s_single =
    [
        0, 0x8000_0000, 1, 0x8000_0001, 0x007F_FFFF, 0x807F_FFFF, 0x0080_0000, 0x8080_0000, 0x3F80_0000, 0xBF80_0000, 0x7F7F_FFFF, 0xFF7F_FFFF,
        0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFA0_0001, 0x3F00_0000, 0xC020_0000, 0x4B80_0001, 0x33FF_FFFF, 0x4F00_0000, 0x4EFF_FFFF,
    ];

    private static readonly ulong[] s_double =
    [
        0, 1UL << 63, 1, (1UL << 63) | 1, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x3FF0_0000_0000_0000, 0xBFF0_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF,
        0xFFEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000, 0xFFF4_0000_0000_0001, 0x3FE0_0000_0000_0000,
        0xC004_0000_0000_0000, 0x41E0_0000_0000_0000, 0x43E0_0000_0000_0000, 0x36A0_0000_0000_0000, 0x47EF_FFFF_F000_0000, 0x3810_0000_0000_0001, 0x3FF0_0000_1000_0000,
    ];

    private static readonly ulong[] s_half =
        [0, 0x8000, 1, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFD01, 0x3800, 0xC100, 0x6400, 0x1001];

    private static readonly ulong[] s_brain =
        [0, 0x8000, 1, 0x8001, 0x007F, 0x807F, 0x0080, 0x8080, 0x3F80, 0xBF80, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0xFFA1, 0x3F00, 0xC020, 0x4380, 0x0101];

    public static ulong[] Of(Kind kind, int operand, int n, bool pairs)
    {
        var random = new Random((97 * (int)kind) + operand);
        var values = new ulong[n];
        for (int i = 0; i < n; i++)
        {
            values[i] = kind switch
            {
                Kind.F16x2 => Edge(s_half, operand, i, pairs, random) | (Edge(s_half, (operand + 1) % 3, n - 1 - i, pairs, random) << 16),
                Kind.BF16x2 => Edge(s_brain, operand, i, pairs, random) | (Edge(s_brain, (operand + 1) % 3, n - 1 - i, pairs, random) << 16),
                Kind.F16 => Edge(s_half, operand, i, pairs, random),
                Kind.BF16 => Edge(s_brain, operand, i, pairs, random),
                Kind.F32 => Edge(s_single, operand, i, pairs, random) & uint.MaxValue,
                Kind.F64 => Edge(s_double, operand, i, pairs, random),
                Kind.I8 => Edge(s_short, operand, i, pairs, random) & 0xFF,
                Kind.I16 => Edge(s_short, operand, i, pairs, random),
                Kind.I64 => Edge(s_long, operand, i, pairs, random),
                Kind.Count => Edge(s_counts, operand, i, pairs, random) & uint.MaxValue,
                Kind.Byte => (ulong)random.Next(256),
                Kind.Pred => (ulong)random.Next(2),
                Kind.Angle => BitConverter.SingleToUInt32Bits((float)((random.NextDouble() - 0.5) * (i % 3 == 0 ? 600 : 12))),
                _ => Edge(s_integers, operand, i, pairs, random) & uint.MaxValue,
            };
            values[i] &= kind is Kind.F16 or Kind.BF16 or Kind.I16 or Kind.I8 ? 0xFFFF : ulong.MaxValue;
        }

        return values;
    }

    /// <summary>The first threads see every edge, or every pair of edges in operands 0 and 1; later ones random bits, sparse ones among them.</summary>
    private static ulong Edge(ulong[] edges, int operand, int i, bool pairs, Random random)
    {
        int n = edges.Length;
        if (i < (pairs ? n * n : n))
        {
            return edges[operand switch { 0 => i % n, 1 => i / n, _ => (int)((i * 7919L) + operand) % n }];
        }

        ulong bits = (ulong)random.NextInt64() ^ ((ulong)random.NextInt64() << 1);
        bits = (i % 4) switch
        {
            // Exponents near those of 1, so that sums round and cancel; the pattern suits each width.
            0 when edges == s_single => 0x3D00_0000 | (bits & 0x83FF_FFFF),
            0 when edges == s_double => 0x3FA0_0000_0000_0000 | (bits & 0x807F_FFFF_FFFF_FFFF),
            1 => bits >> random.Next(64),
            _ => bits,
        };
        return edges == s_half || edges == s_brain || edges == s_short ? bits & 0xFFFF : bits;
    }
}
