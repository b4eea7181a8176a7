namespace AdmNative.VirtualGpu.Tests.Opcodes;

using static Kind;

/// <summary>Operations that see the whole warp: shuffles, votes, matches, reductions, matrix loads and stores.</summary>
internal static class WarpCases
{
    public static IEnumerable<OpcodeCase> All() => [.. Shuffles(), .. Votes(), .. Matches(), .. Reductions(), .. Matrices()];

    private static IEnumerable<int> Lanes(uint mask) => Enumerable.Range(0, 32).Where(i => ((mask >> i) & 1) != 0);

    /// <summary>The lane read, and whether it was inside the segment; otherwise a lane reads itself.</summary>
    private static (int Source, bool Inside) Source(string mode, int lane, int b, int c)
    {
        int clamp = c & 31, segment = (c >> 8) & 31, max = (lane & segment) | (clamp & ~segment & 31);
        int j = mode switch
        {
            "up" => lane - (b & 31),
            "down" => lane + (b & 31),
            "bfly" => lane ^ (b & 31),
            _ => (lane & segment) | (b & 31 & ~segment),
        };
        bool inside = mode == "up" ? j >= max : j <= max;
        return (inside ? j : lane, inside);
    }

    private static IEnumerable<OpcodeCase> Shuffles()
    {
        foreach (string mode in new[] { "up", "down", "bfly", "idx" })
        {
            // Warp-wide segments, segments of 8 and of 4, a clamp that cuts off the upper lanes.
            foreach (int c in mode == "up" ? [0, 0x1800, 0x1C00, 0x5] : new[] { 0x1F, 0x181F, 0x1C1F, 0x13 })
            {
                yield return Row($"shfl.sync.{mode}.b32 %d, %a, %b, 0x{c:x}, %m;", I32, (w, lane) => w.A(Source(mode, lane, (int)w.B(lane), c).Source)) with
                {
                    Spelling = $"shfl.sync.{mode}.b32 (0x{c:x})",
                    Ignores = (w, lane) => ((w.Mask >> Source(mode, lane, (int)w.B(lane), c).Source) & 1) == 0,
                };
                yield return Row($"shfl.sync.{mode}.b32 %t0|%d, %a, %b, 0x{c:x}, %m;", Pred, (w, lane) => Source(mode, lane, (int)w.B(lane), c).Inside ? 1u : 0) with
                {
                    Spelling = $"shfl.sync.{mode}.b32 (0x{c:x}, predicate)",
                };
            }

            yield return Row($"shfl.sync.{mode}.b32 %d|%p0, %a, 3, {(mode == "up" ? 0 : 31)}, %m;", I32, (w, lane) => w.A(Source(mode, lane, 3, mode == "up" ? 0 : 31).Source)) with
            {
                Ignores = (w, lane) => ((w.Mask >> Source(mode, lane, 3, mode == "up" ? 0 : 31).Source) & 1) == 0,
                Spelling = $"shfl.sync.{mode}.b32 (immediate)",
            };
        }

        static OpcodeCase Row(string statement, Kind result, Func<WarpValues, int, ulong> expected) =>
            new(statement.Split(' ')[0], statement, result, [I32, Byte], expected) { Provokes = Checks.WarpMasks };
    }

    private static IEnumerable<OpcodeCase> Votes()
    {
        foreach (bool negated in new[] { false, true })
        {
            string p = negated ? "!%a" : "%a";
            bool Yes(WarpValues w, int lane) => (w.A(lane) != 0) != negated;
            yield return Row($"vote.sync.all.pred %d, {p}, %m;", Pred, w => Lanes(w.Mask).All(i => Yes(w, i)) ? 1u : 0);
            yield return Row($"vote.sync.any.pred %d, {p}, %m;", Pred, w => Lanes(w.Mask).Any(i => Yes(w, i)) ? 1u : 0);
            yield return Row($"vote.sync.uni.pred %d, {p}, %m;", Pred, w => Lanes(w.Mask).Select(i => Yes(w, i)).Distinct().Count() == 1 ? 1u : 0);
            yield return Row($"vote.sync.ballot.b32 %d, {p}, %m;", I32, w => Lanes(w.Mask).Where(i => Yes(w, i)).Aggregate(0u, (s, i) => s | (1u << i)));
        }

        // Predicates that agree, so that all and uni are true as well.
        yield return Row("setp.ge.u32 %p0, %lane, 0; vote.sync.all.pred %d, %p0, %m;", Pred, _ => 1);
        yield return Row("setp.ge.u32 %p0, %lane, 0; vote.sync.uni.pred %d, !%p0, %m;", Pred, _ => 1);
        yield return Row("setp.ge.u32 %p0, %lane, 0; vote.sync.any.pred %d, !%p0, %m;", Pred, _ => 0);
        yield return Row("activemask.b32 %d;", I32, w => w.Mask);

        static OpcodeCase Row(string statement, Kind result, Func<WarpValues, ulong> expected) => new(
            statement.Split(' ').First(s => s.Contains(".sync", StringComparison.Ordinal) || s.StartsWith("active", StringComparison.Ordinal)), statement, result, [Pred], (w, _) => expected(w));
    }

    private static IEnumerable<OpcodeCase> Matches()
    {
        foreach (int width in new[] { 32, 64 })
        {
            Kind kind = width == 32 ? I32 : I64;
            string few = width == 32 ? "and.b32 %t0, %a, 3; " : "and.b64 %u0, %a, 3; ", value = width == 32 ? "%t0" : "%u0";
            string same = width == 32 ? "mov.b32 %t0, 7; " : "mov.b64 %u0, 0x700000000; ";
            yield return Row($"{few}match.any.sync.b{width} %d, {value}, %m;", I32, (w, lane) => Set(w, i => (w.A(i) & 3) == (w.A(lane) & 3)));
            yield return Row($"match.any.sync.b{width} %d, %a, %m;", I32, (w, lane) => Set(w, i => w.A(i) == w.A(lane)));
            yield return Row($"{few}match.all.sync.b{width} %d|%p0, {value}, %m;", I32, (w, _) => Lanes(w.Mask).Select(i => w.A(i) & 3).Distinct().Count() == 1 ? w.Mask : 0);
            yield return Row($"{few}match.all.sync.b{width} %t1|%d, {value}, %m;", Pred, (w, _) => Lanes(w.Mask).Select(i => w.A(i) & 3).Distinct().Count() == 1 ? 1u : 0);
            yield return Row($"{same}match.all.sync.b{width} %d, {value}, %m;", I32, (w, _) => w.Mask);
            yield return Row($"{same}match.all.sync.b{width} %t1|%d, {value}, %m;", Pred, (_, _) => 1);

            OpcodeCase Row(string statement, Kind result, Func<WarpValues, int, ulong> expected) =>
                new(statement.Split(' ').First(s => s.StartsWith("match", StringComparison.Ordinal)), statement, result, [kind], expected);
        }

        static ulong Set(WarpValues w, Func<int, bool> member) => Lanes(w.Mask).Where(member).Aggregate(0u, (s, i) => s | (1u << i));
    }

    private static IEnumerable<OpcodeCase> Reductions()
    {
        (string Op, Func<IEnumerable<ulong>, ulong> F)[] operations =
        [
            ("add.u32", v => v.Aggregate(0ul, (s, x) => s + x)), ("add.s32", v => v.Aggregate(0ul, (s, x) => s + x)),
            ("min.u32", v => v.Min()), ("max.u32", v => v.Max()),
            ("min.s32", v => (uint)v.Select(x => (int)(uint)x).Min()), ("max.s32", v => (uint)v.Select(x => (int)(uint)x).Max()),
            ("and.b32", v => v.Aggregate(ulong.MaxValue, (s, x) => s & x)), ("or.b32", v => v.Aggregate(0ul, (s, x) => s | x)), ("xor.b32", v => v.Aggregate(0ul, (s, x) => s ^ x)),
        ];
        foreach ((string op, Func<IEnumerable<ulong>, ulong> f) in operations)
        {
            yield return new($"redux.sync.{op}", $"redux.sync.{op} %d, %a, %m;", I32, [I32], (w, _) => f(Lanes(w.Mask).Select(w.A)));
        }

        yield return new("elect.sync", "elect.sync %d|%p0, %m;", I32, [], (w, _) => (ulong)Lanes(w.Mask).First()) { Target = "sm_90" };
        yield return new("elect.sync (predicate)", "elect.sync _|%d, %m;", Pred, [], (w, lane) => lane == Lanes(w.Mask).First() ? 1u : 0) { Target = "sm_90" };
        yield return new("bar.warp.sync", "bar.warp.sync %m; mov.u32 %d, %a;", I32, [I32], (w, lane) => w.A(lane));
        yield return new("bar.warp.sync (exchange)", "st.shared.u32 [%t7], %a; bar.warp.sync %m; ld.shared.u32 %d, [%t6];", I32, [I32], (w, lane) => w.A(lane ^ 1))
        {
            Declarations = ".shared .align 16 .b8 NAME_s[2048];",
            Before = "mov.u32 %t5, NAME_s; mad.lo.u32 %t7, %thread, 4, %t5; xor.b32 %t4, %thread, 1; mad.lo.u32 %t6, %t4, 4, %t5;",
            WholeWarp = true,
        };
    }

    /// <summary>Half h of row r of matrix m, when lane 8m + r stored its 16 bytes %a, %b as that row.</summary>
    private static ulong Half(WarpValues w, int matrix, int row, int h)
    {
        int lane = (8 * matrix) + row;
        return ((h < 4 ? w.A(lane) : w.B(lane)) >> (16 * (h & 3))) & 0xFFFF;
    }

    private static IEnumerable<OpcodeCase> Matrices()
    {
        const string Rows = "mov.u32 %t7, NAME_s; mad.lo.u32 %t7, %thread, 16, %t7; ";
        foreach (int count in new[] { 1, 2, 4 })
        {
            foreach (string trans in new[] { "", ".trans" })
            {
                for (int k = 0; k < count; k++)
                {
                    int matrix = k;
                    string list = string.Join(", ", Enumerable.Range(0, count).Select(i => i == matrix ? "%d" : $"%t{i}"));
                    foreach (string space in new[] { ".shared", ".shared::cta" })
                    {
                        yield return new($"ldmatrix.x{count}{trans}{space} (register {k})", $"ldmatrix.sync.aligned.m8n8.x{count}{trans}{space}.b16 {{{list}}}, [%t7];", I32, [I64, I64], (w, lane) =>
                        {
                            int g = lane / 4, t = 2 * (lane % 4);
                            return trans.Length == 0
                                ? Half(w, matrix, g, t) | (Half(w, matrix, g, t + 1) << 16)
                                : Half(w, matrix, t, g) | (Half(w, matrix, t + 1, g) << 16);
                        })
                        {
                            Declarations = ".shared .align 16 .b8 NAME_s[8192];",
                            Before = Rows + "st.shared.v2.b64 [%t7], {%a, %b}; bar.warp.sync 0xFFFFFFFF;",
                            WholeWarp = true,
                        };
                    }
                }

                // Each lane holds {a low, a high, b low, b high} as its registers of matrices 0..3; afterwards lane 8m + r reads row r of matrix m.
                string registers = string.Join(", ", new[] { "%t0", "%t1", "%t2", "%t3" }.Take(count));
                foreach (int word in new[] { 0, 3 })
                {
                    yield return new($"stmatrix.x{count}{trans} (word {word})", $"stmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 [%t7], {{{registers}}}; bar.warp.sync 0xFFFFFFFF; ld.shared.u32 %d, [%t7+{4 * word}];", I32, [I64, I64], (w, lane) =>
                    {
                        int m = lane / 8, row = lane % 8;
                        if (m >= count)
                        {
                            return 0;
                        }

                        ulong Fragment(int from, int half) => (((m < 2 ? w.A(from) : w.B(from)) >> (32 * (m & 1))) >> (16 * half)) & 0xFFFF;
                        ulong At(int r, int c) => trans.Length == 0 ? Fragment((4 * r) + (c / 2), c & 1) : Fragment((4 * c) + (r / 2), r & 1);
                        return At(row, 2 * word) | (At(row, (2 * word) + 1) << 16);
                    })
                    {
                        Declarations = ".shared .align 16 .b8 NAME_s[8192];",
                        Before = Rows + "mov.u64 %u0, 0; st.shared.v2.b64 [%t7], {%u0, %u0}; mov.b64 {%t0, %t1}, %a; mov.b64 {%t2, %t3}, %b; bar.warp.sync 0xFFFFFFFF;",
                        WholeWarp = true,
                        Target = "sm_90",
                    };
                }
            }
        }

        yield return new("movmatrix.sync.aligned.m8n8.trans.b16", "movmatrix.sync.aligned.m8n8.trans.b16 %d, %a;", I32, [I32], (w, lane) =>
        {
            int g = lane / 4, t = 2 * (lane % 4);
            ulong At(int r, int c) => (w.A((4 * r) + (c / 2)) >> (16 * (c & 1))) & 0xFFFF;
            return At(t, g) | (At(t + 1, g) << 16);
        })
        { WholeWarp = true };
    }
}
