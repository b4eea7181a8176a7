using System.Globalization;
using System.Text;

namespace AdmNative.VirtualGpu.Tests;

/// <summary>
/// Writes a random kernel: arithmetic of every width over a few registers, guards, branches that split warps, loops with a trip count per lane,
/// loads and stores of global, shared and local memory inside fixed arrays, shuffles and votes. It ends by storing every register of every thread.
/// </summary>
internal sealed class RandomKernel
{
    public const int Words = 9, Longs = 5, Floats = 7, Halves = 4, Predicates = 5;

    /// <summary>32-bit words each thread stores at the end.</summary>
    public const int Results = Words + (2 * Longs) + Floats + Halves + 1;

    /// <summary>Words of the global array that loads and stores hit.</summary>
    public const int Memory = 4096;

    private static readonly string[] s_words =
    [
        "add.s32 W, W, V", "sub.s32 W, W, V", "mul.lo.s32 W, W, V", "mad.lo.s32 W, W, V, W", "mul.hi.u32 W, W, V", "mul.hi.s32 W, W, V", "mad.hi.u32 W, W, V, W",
        "and.b32 W, W, V", "or.b32 W, W, V", "xor.b32 W, W, V", "not.b32 W, W", "neg.s32 W, W", "abs.s32 W, W", "min.s32 W, W, V", "max.s32 W, W, V", "min.u32 W, W, V",
        "max.u32 W, W, V", "shl.b32 W, W, I", "shr.u32 W, W, I", "shr.s32 W, W, I", "shl.b32 W, W, W", "shr.u32 W, W, W", "shr.s32 W, W, W", "mov.u32 W, V",
        "shf.l.wrap.b32 W, W, W, V", "shf.r.wrap.b32 W, W, W, I", "shf.l.clamp.b32 W, W, W, V", "shf.r.clamp.b32 W, W, W, V", "bfe.u32 W, W, I, J", "bfe.s32 W, W, I, J",
        "bfe.u32 W, W, W, W", "bfi.b32 W, W, W, I, J", "prmt.b32 W, W, W, V", "lop3.b32 W, W, W, W, T", "popc.b32 W, W", "clz.b32 W, W", "brev.b32 W, W",
        "selp.b32 W, W, V, P", "slct.s32.s32 W, W, W, W", "sad.u32 W, W, W, W", "div.u32 W, W, V", "rem.s32 W, W, V", "add.sat.s32 W, W, V", "dp4a.u32.u32 W, W, W, W",
        "cvt.s32.s8 W, W", "cvt.u32.u16 W, H", "cvt.u32.u64 W, L", "cvt.rzi.s32.f32 W, F", "cvt.rni.u32.f32 W, F", "mov.b32 W, F", "mov.b32 W, {H, H}", "popc.b64 W, L", "clz.b64 W, L",
        "add.cc.u32 W, W, V", "addc.u32 W, W, V", "set.lt.s32.s32 W, W, V", "mul.wide.u16 W, H, H", "set.gt.u32.f32 W, F, G", "mov.u32 W, %laneid", "mov.u32 W, %tid.x",
        "mov.u32 W, %clock", "activemask.b32 W",
    ];

    private static readonly string[] s_longs =
    [
        "add.s64 L, L, L", "sub.s64 L, L, L", "mul.lo.s64 L, L, L", "mad.lo.s64 L, L, L, L", "and.b64 L, L, L", "or.b64 L, L, L", "xor.b64 L, L, L", "not.b64 L, L", "neg.s64 L, L",
        "mul.wide.u32 L, W, V", "mul.wide.s32 L, W, V", "mad.wide.u32 L, W, V, L", "mad.wide.s32 L, W, V, L", "shl.b64 L, L, I", "shr.u64 L, L, I", "shr.s64 L, L, I", "shl.b64 L, L, W",
        "shr.u64 L, L, W", "shr.s64 L, L, W", "min.s64 L, L, L", "max.u64 L, L, L", "cvt.u64.u32 L, W", "cvt.s64.s32 L, W", "mov.b64 L, {W, W}", "selp.b64 L, L, L, P", "mov.u64 L, L",
        "mul.hi.u64 L, L, L", "abs.s64 L, L", "add.s64 L, L, 1311768467294899695",
    ];

    private static readonly string[] s_floats =
    [
        "add.f32 F, F, G", "sub.f32 F, F, G", "mul.f32 F, F, G", "fma.rn.f32 F, F, G, F", "add.rn.ftz.f32 F, F, G", "mul.ftz.f32 F, F, G", "fma.rn.ftz.f32 F, F, G, F", "fma.rz.f32 F, F, G, F",
        "min.f32 F, F, G", "max.f32 F, F, G", "min.ftz.f32 F, F, G", "max.NaN.f32 F, F, G", "neg.f32 F, F", "abs.f32 F, F", "neg.ftz.f32 F, F", "div.rn.f32 F, F, G", "rcp.rn.f32 F, F", "sqrt.rn.f32 F, F",
        "ex2.approx.ftz.f32 F, F", "rcp.approx.f32 F, F", "rsqrt.approx.f32 F, F", "sin.approx.f32 F, F", "mov.f32 F, G", "mov.b32 F, W", "selp.f32 F, F, G, P", "cvt.rn.f32.s32 F, W", "cvt.rn.f32.u32 F, W",
        "cvt.f32.f16 F, H", "cvt.rni.f32.f32 F, F", "cvt.rmi.f32.f32 F, F", "add.sat.f32 F, F, G", "mul.rm.f32 F, F, G", "copysign.f32 F, F, F",
    ];

    private static readonly string[] s_halves =
    [
        "add.s16 H, H, H", "sub.s16 H, H, H", "mul.lo.s16 H, H, H", "and.b16 H, H, H", "xor.b16 H, H, H", "not.b16 H, H", "shl.b16 H, H, I", "shr.u16 H, H, I", "shr.s16 H, H, W", "min.s16 H, H, H",
        "max.u16 H, H, H", "cvt.u16.u32 H, W", "cvt.rn.f16.f32 H, F", "mov.b32 {H, H}, W", "add.f16 H, H, H", "fma.rn.f16 H, H, H, H", "selp.b16 H, H, H, P", "mov.b16 H, H", "mad.lo.s16 H, H, H, H",
    ];

    private static readonly string[] s_predicates =
    [
        "setp.lt.s32 P, W, V", "setp.gt.u32 P, W, V", "setp.eq.s32 P, W, V", "setp.ne.b32 P, W, V", "setp.le.u32 P, W, V", "setp.ge.s32 P, W, V", "setp.lt.f32 P, F, G", "setp.gtu.f32 P, F, G", "setp.neu.f32 P, F, G",
        "setp.nan.f32 P, F, G", "setp.ge.ftz.f32 P, F, G", "setp.lt.s64 P, L, L", "setp.gt.u64 P, L, L", "setp.eq.b64 P, L, L", "setp.lt.and.s32 P|Q, W, V, P", "setp.ge.or.u32 P|Q, W, V, !P", "setp.eq.xor.s32 P, W, V, P",
        "setp.lt.u16 P, H, H", "setp.ge.s16 P, H, H", "setp.lt.f16 P, H, H", "and.pred P, P, P", "or.pred P, P, P", "xor.pred P, P, P", "not.pred P, P", "mov.pred P, P", "testp.finite.f32 P, F",
    ];

    private static readonly string[] s_memory =
    [
        "and.b32 %a, W, 16380; add.s32 %sa, %a, 0; cvt.u64.u32 %la, %a; add.s64 %la, %base, %la; ld.global.u32 W, [%la]",
        "and.b32 %a, W, 16376; cvt.u64.u32 %la, %a; add.s64 %la, %base, %la; ld.global.v2.u32 {W, %w8}, [%la]",
        "and.b32 %a, W, 16376; cvt.u64.u32 %la, %a; add.s64 %la, %base, %la; ld.global.u64 L, [%la]",
        "and.b32 %a, W, 16368; cvt.u64.u32 %la, %a; add.s64 %la, %base, %la; ld.global.v4.f32 {F, %f5, %f6, %f4}, [%la]",
        "and.b32 %a, W, 16382; cvt.u64.u32 %la, %a; add.s64 %la, %base, %la; ld.global.s16 W, [%la]",
        "and.b32 %a, W, 16383; cvt.u64.u32 %la, %a; add.s64 %la, %base, %la; ld.global.u8 W, [%la]",
        "mul.wide.u32 %la, %t, 4; add.s64 %la, %base, %la; ld.global.u32 W, [%la]",
        "mul.wide.u32 %la, %t, 16; add.s64 %la, %base, %la; ld.global.v4.u32 {%w5, %w6, %w7, %w8}, [%la]",
        "ld.global.f32 F, [%base+64]",
        "mul.wide.u32 %la, %t, 4; add.s64 %la, %base, %la; st.global.u32 [%la], W",
        "mul.wide.u32 %la, %t, 8; add.s64 %la, %base, %la; st.global.u64 [%la], L",
        "mul.wide.u32 %la, %t, 8; add.s64 %la, %base, %la; st.global.v2.f32 [%la], {F, F}",
        "mul.wide.u32 %la, %t, 2; add.s64 %la, %base, %la; st.global.u16 [%la], H",
        "and.b32 %a, W, 16380; cvt.u64.u32 %la, %a; add.s64 %la, %base, %la; st.global.u32 [%la], W",
        "and.b32 %a, W, 1020; mov.u32 %sa, store; add.s32 %a, %sa, %a; ld.shared.u32 W, [%a]",
        "and.b32 %a, W, 1008; mov.u32 %sa, store; add.s32 %a, %sa, %a; ld.shared.v4.f32 {%f4, %f5, %f6, F}, [%a]",
        "and.b32 %a, W, 1020; mov.u32 %sa, store; add.s32 %a, %sa, %a; st.shared.f32 [%a], F",
        "mul.lo.u32 %a, %t, 4; mov.u32 %sa, store; add.s32 %a, %sa, %a; st.shared.u32 [%a], W",
        "mul.lo.u32 %a, %t, 4; mov.u32 %sa, store; add.s32 %a, %sa, %a; ld.shared.u32 W, [%a]",
        "mul.lo.u32 %a, %t, 8; mov.u32 %sa, store; add.s32 %a, %sa, %a; st.shared.v2.u32 [%a], {W, W}",
        "ld.shared.u32 W, [store+12]",
        "and.b32 %a, W, 28; cvt.u64.u32 %la, %a; mov.u64 %lb, depot; add.s64 %la, %lb, %la; st.local.u32 [%la], W",
        "and.b32 %a, W, 28; cvt.u64.u32 %la, %a; mov.u64 %lb, depot; add.s64 %la, %lb, %la; ld.local.u32 W, [%la]",
        "ld.param.u32 W, [n]", "ld.param.u64 L, [a]",
        "and.b32 %a, W, 252; cvt.u64.u32 %la, %a; add.s64 %la, %base, %la; atom.global.add.u32 W, [%la], W",
        "and.b32 %a, W, 28; mov.u32 %sa, store; add.s32 %a, %sa, %a; red.shared.max.u32 [%a], W",
        "shfl.sync.bfly.b32 W|P, W, I, 31, -1", "shfl.sync.idx.b32 W, W, V, 31, -1", "shfl.sync.up.b32 W|P, W, I, 0, -1", "shfl.sync.down.b32 W|P, W, W, 31, -1",
        "shfl.sync.bfly.b32 W|P, W, I, 6175, -1", "shfl.sync.up.b32 W|P, W, W, W, -1", "shfl.sync.idx.b32 F|P, F, W, 7199, -1", "shfl.sync.down.b32 W|P, W, I, W, -1", "vote.sync.ballot.b32 W, P, -1", "vote.sync.any.pred P, P, -1",
    ];

    private readonly Random _random;
    private readonly StringBuilder _text = new();
    private int _label;
    private int _loops;

    private RandomKernel(int seed) => _random = new Random(seed);

    public static string Write(int seed)
    {
        var kernel = new RandomKernel(seed);
        kernel.Header();
        kernel.Statements(40 + kernel._random.Next(120), depth: 0);
        kernel.Footer();
        return kernel._text.ToString();
    }

    private void Line(string text) => _text.Append("    ").AppendLine(text);

    private void Header()
    {
        string header = PtxRun.Entry("", ".shared .align 16 .b8 store[2048];");
        _text.Append(header, 0, header.LastIndexOf('}'));
        Line(".local .align 8 .b8 depot[32];");
        Line($".reg .b32 %w<{Words}>; .reg .b64 %l<{Longs}>; .reg .f32 %f<{Floats}>; .reg .b16 %h<{Halves}>; .reg .pred %p<{Predicates}>;");
        Line(".reg .b32 %t, %a, %sa, %g; .reg .b64 %base, %la, %lb, %out; .reg .pred %c, %guard; .reg .b32 %k<64>;");
        Line("ld.param.u64 %base, [a]; ld.param.u64 %out, [out];");
        Line("mov.u32 %t, %tid.x; mov.u32 %g, %ctaid.x; mov.u32 %a, %ntid.x; mad.lo.s32 %g, %g, %a, %t;");
        for (int i = 0; i < Words; i++)
        {
            Line($"mad.lo.s32 %w{i}, %g, {_random.Next()}, {_random.Next(-40, 40)};");
        }

        for (int i = 0; i < Longs; i++)
        {
            Line($"mul.wide.s32 %l{i}, %w{i}, {_random.Next()};");
        }

        for (int i = 0; i < Floats; i++)
        {
            Line(i < 3 ? $"cvt.rn.f32.s32 %f{i}, %w{i};" : $"mov.b32 %f{i}, %w{i};");
        }

        for (int i = 0; i < Halves; i++)
        {
            Line($"cvt.u16.u32 %h{i}, %w{i};");
        }

        for (int i = 0; i < Predicates; i++)
        {
            Line($"setp.gt.s32 %p{i}, %w{i}, {_random.Next(int.MinValue, int.MaxValue)};");
        }

        Line("mul.lo.u32 %a, %t, 4; mov.u32 %sa, store; add.s32 %a, %sa, %a; st.shared.u32 [%a], %w0; bar.sync 0;");
    }

    private void Footer()
    {
        Line($"mul.wide.u32 %la, %g, {4 * Results}; add.s64 %la, %out, %la;");
        int at = 0;
        for (int i = 0; i < Words; i++, at += 4)
        {
            Line($"st.global.u32 [%la+{at}], %w{i};");
        }

        for (int i = 0; i < Longs; i++, at += 8)
        {
            Line($"mov.b64 {{%a, %sa}}, %l{i}; st.global.u32 [%la+{at}], %a; st.global.u32 [%la+{at + 4}], %sa;");
        }

        for (int i = 0; i < Floats; i++, at += 4)
        {
            Line($"st.global.f32 [%la+{at}], %f{i};");
        }

        for (int i = 0; i < Halves; i++, at += 4)
        {
            Line($"cvt.u32.u16 %a, %h{i}; st.global.u32 [%la+{at}], %a;");
        }

        Line("mov.u32 %sa, 0;");
        for (int i = 0; i < Predicates; i++)
        {
            Line($"selp.b32 %a, {1 << i}, 0, %p{i}; or.b32 %sa, %sa, %a;");
        }

        Line($"st.global.u32 [%la+{at}], %sa;");
        Line("ret;");
        _text.AppendLine("}");
    }

    private void Statements(int count, int depth)
    {
        for (int i = 0; i < count; i++)
        {
            int roll = _random.Next(100);
            if (roll < 6 && depth < 3)
            {
                Branch(depth);
            }
            else if (roll < 9 && depth < 2 && _loops < 60)
            {
                Loop(depth);
            }
            else if (roll < 10 && depth == 0)
            {
                Line("bar.sync 0;");
            }
            else if (roll < 18)
            {
                // Several statements under one guard, which they leave alone.
                Line($"mov.pred %guard, %p{_random.Next(Predicates)};");
                string guard = _random.Next(2) == 0 ? "@%guard " : "@!%guard ";
                for (int k = _random.Next(1, 4); k > 0; k--)
                {
                    Line(guard + string.Join($"; {guard}", Operation().Split("; ")) + ";");
                }
            }
            else
            {
                Line(Operation() + ";");
            }
        }
    }

    private void Branch(int depth)
    {
        int label = _label++;
        bool otherwise = _random.Next(2) == 0;
        Line($"@{(_random.Next(2) == 0 ? "!" : "")}%p{_random.Next(Predicates)} bra $else{label};");
        Statements(_random.Next(1, 8), depth + 1);
        if (otherwise)
        {
            Line($"bra $end{label};");
        }

        Line($"$else{label}:");
        if (otherwise)
        {
            Statements(_random.Next(1, 8), depth + 1);
            Line($"$end{label}:");
        }
    }

    /// <summary>Up to 7 rounds; half of the loops have another number in each lane.</summary>
    private void Loop(int depth)
    {
        int label = _label++, counter = _loops++;
        Line(_random.Next(2) == 0 ? $"mov.u32 %k{counter}, {_random.Next(1, 7)};" : $"and.b32 %k{counter}, %w{_random.Next(Words)}, 7;");
        Line($"$loop{label}:");
        Statements(_random.Next(2, 12), depth + 1);
        Line($"add.s32 %k{counter}, %k{counter}, -1; setp.gt.s32 %c, %k{counter}, 0;");
        Line($"@%c bra $loop{label};");
    }

    private string Operation()
    {
        string[] table = _random.Next(20) switch
        {
            < 7 => s_words,
            < 10 => s_longs,
            < 14 => s_floats,
            < 15 => s_halves,
            < 17 => s_predicates,
            _ => s_memory,
        };
        string template = table[_random.Next(table.Length)];
        var text = new StringBuilder();
        for (int i = 0; i < template.Length; i++)
        {
            // A placeholder is one capital letter by itself.
            bool alone = (i == 0 || " {[,|!".Contains(template[i - 1])) && (i + 1 == template.Length || " ,|}];".Contains(template[i + 1]));
            text.Append(alone && char.IsAsciiLetterUpper(template[i]) ? Operand(template[i]) : template[i].ToString());
        }

        return text.ToString();
    }

    private string Operand(char kind) => kind switch
    {
        'W' => $"%w{_random.Next(Words)}",
        'V' => _random.Next(3) == 0 ? _random.Next(-100, 100_000).ToString(CultureInfo.InvariantCulture) : $"%w{_random.Next(Words)}",
        'L' => $"%l{_random.Next(Longs)}",
        'F' => $"%f{_random.Next(Floats)}",
        'G' => _random.Next(4) == 0 ? $"0f{BitConverter.SingleToUInt32Bits((float)((_random.NextDouble() * 4) - 2)):X8}" : $"%f{_random.Next(Floats)}",
        'H' => $"%h{_random.Next(Halves)}",
        'P' => $"%p{_random.Next(Predicates)}",
        'Q' => $"%p{_random.Next(Predicates)}",
        'I' => _random.Next(_random.Next(8) == 0 ? 70 : 32).ToString(CultureInfo.InvariantCulture),
        'J' => _random.Next(1, 20).ToString(CultureInfo.InvariantCulture),
        'T' => _random.Next(256).ToString(CultureInfo.InvariantCulture),
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "no such placeholder"),
    };
}
