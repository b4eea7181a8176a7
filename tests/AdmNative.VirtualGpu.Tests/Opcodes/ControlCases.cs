namespace AdmNative.VirtualGpu.Tests.Opcodes;

using static Kind;

/// <summary>Branches, calls, exits, barriers, fences, special registers.</summary>
internal static class ControlCases
{
    public static IEnumerable<OpcodeCase> All() => [.. Branches(), .. Calls(), .. Barriers(), .. Registers()];

    private static OpcodeCase Row(string spelling, string statement, Kind result, Kind[] inputs, Func<ulong[], ulong> expected) =>
        OpcodeCase.Lane(statement, result, inputs, expected) with { Spelling = spelling };

    private static IEnumerable<OpcodeCase> Branches()
    {
        yield return Row("bra", "setp.gt.s32 %p0, %a, %b; @%p0 bra $yes; mov.u32 %d, 1; bra $end; $yes: mov.u32 %d, 2; $end:", I32, [I32, I32], v => (int)(uint)v[0] > (int)(uint)v[1] ? 2u : 1);
        yield return Row("bra.uni", "mov.u32 %d, 3; bra.uni $end; mov.u32 %d, 4; $end:", I32, [], _ => 3);
        yield return Row("bra (loop)", "and.b32 %t0, %a, 15; mov.u32 %d, 1; $loop: setp.eq.u32 %p0, %t0, 0; @%p0 bra $end; mul.lo.u32 %d, %d, 3; sub.u32 %t0, %t0, 1; bra $loop; $end:", I32, [I32], v =>
            (ulong)Math.Pow(3, v[0] & 15));
        yield return Row("bra (negated guard)", "setp.eq.u32 %p0, %a, %b; mov.u32 %d, 5; @!%p0 bra $end; mov.u32 %d, 6; $end:", I32, [I32, I32], v => v[0] == v[1] ? 6u : 5);
        yield return Row("brx.idx", "and.b32 %t0, %a, 3; $table: .branchtargets $l0, $l1, $l2, $l1; brx.idx %t0, $table; $l0: mov.u32 %d, 10; bra $end; $l1: mov.u32 %d, 11; bra $end; $l2: mov.u32 %d, 12; $end:", I32, [I32], v =>
            (v[0] & 3) switch { 0 => 10u, 2 => 12, _ => 11 });
        yield return Row("brx.idx.uni", "mov.u32 %t0, 1; $table: .branchtargets $l0, $l1; brx.idx.uni %t0, $table; $l0: mov.u32 %d, 20; bra $end; $l1: mov.u32 %d, 21; $end:", I32, [], _ => 21);
        foreach (string leave in new[] { "ret", "exit", "ret.uni" })
        {
            // Lanes that leave never store: their result stays as the memory was allocated, all ones.
            string uni = leave == "ret.uni" ? "mov.u32 %d, %a; setp.ge.u32 %p0, %lane, 0;" : "mov.u32 %d, %a; setp.lt.u32 %p0, %a, %b;";
            yield return Row(leave, $"{uni} @%p0 {leave};", I32, [I32, I32], v => leave == "ret.uni" || v[0] < v[1] ? uint.MaxValue : v[0]);
        }

        yield return Row("nanosleep.u32", "nanosleep.u32 20; mov.u32 %d, %a;", I32, [I32], v => v[0]);
        yield return Row("pragma", ".pragma \"nounroll\"; mov.u32 %d, %a;", I32, [I32], v => v[0]);
        yield return Row("scopes", "{ .reg .b32 %low; mov.b32 %low, %a; { .reg .b32 %low; mov.b32 %low, %b; add.u32 %d, %low, 0; } add.u32 %d, %d, %low; }", I32, [I32, I32], v => v[0] + v[1]);
    }

    private static IEnumerable<OpcodeCase> Calls()
    {
        const string Twice = """
            .func (.param .b32 r) NAME_f(.param .b32 x) {
            .reg .b32 %v<3>; .reg .pred %q; ld.param.u32 %v1, [x]; setp.gt.u32 %q, %v1, 100; @%q bra $big; shl.b32 %v2, %v1, 1; st.param.b32 [r], %v2; ret;
            $big: add.u32 %v2, %v1, 7; st.param.b32 [r], %v2; ret; }
            """;
        foreach (string call in new[] { "call", "call.uni" })
        {
            yield return Row(call, $"{{ .param .b32 p0; .param .b32 r0; st.param.b32 [p0], %a; {call} (r0), NAME_f, (p0); ld.param.b32 %d, [r0]; }}", I32, [I32], v => v[0] > 100 ? v[0] + 7 : 2 * v[0])
                with
            { Declarations = Twice };
        }

        yield return Row("call (nested, by array)", "{ .param .align 8 .b8 p0[16]; .param .b64 r0; st.param.b64 [p0], %a; st.param.b64 [p0+8], %b; call (r0), NAME_g, (p0); ld.param.b64 %d, [r0]; }", I64, [I64, I64], v => (2 * (v[0] - v[1])) + 1) with
        {
            Declarations = """
                .func (.param .b64 r) NAME_h(.param .b64 x) { .reg .b64 %w<2>; ld.param.b64 %w1, [x]; add.s64 %w1, %w1, %w1; st.param.b64 [r], %w1; ret; }
                .func (.param .b64 r) NAME_g(.param .align 8 .b8 x[16]) {
                .reg .b64 %w<4>; ld.param.b64 %w1, [x]; ld.param.b64 %w2, [x+8]; sub.s64 %w1, %w1, %w2;
                { .param .b64 p; .param .b64 q; st.param.b64 [p], %w1; call.uni (q), NAME_h, (p); ld.param.b64 %w3, [q]; }
                add.s64 %w3, %w3, 1; st.param.b64 [r], %w3; ret; }
                """,
        };
        // Each function begins with a call: they are inlined at one place, and must not share names, labels or parameters.
        yield return Row("call (first of the body)", "{ .param .b32 p0; .param .b32 r0; st.param.b32 [p0], %a; call (r0), NAME_3, (p0); ld.param.b32 %d, [r0]; }", I32, [I32], v => ((4 * 3) ^ 5) + v[0]) with
        {
            Declarations = """
                .func (.param .b32 r) NAME_1() { .reg .b32 %v<3>; .param .b32 q0; mov.b32 %v1, 4; st.param.b32 [q0], %v1; ld.param.b32 %v2, [q0]; st.param.b32 [r], %v2; ret; }
                .func (.param .b32 r) NAME_2() { .reg .b32 %v<3>; .param .b32 q0; call (q0), NAME_1; ld.param.b32 %v1, [q0]; mul.lo.u32 %v1, %v1, 3; st.param.b32 [r], %v1; ret; }
                .func (.param .b32 r) NAME_3(.param .b32 x) {
                .reg .b32 %v<3>; .param .b32 q0; call (q0), NAME_2; ld.param.b32 %v1, [q0]; xor.b32 %v1, %v1, 5; ld.param.b32 %v2, [x]; add.u32 %v1, %v1, %v2; st.param.b32 [r], %v1; ret; }
                """,
        };
        yield return Row("call (no result)", "{ .param .b64 p0; .param .b32 p1; st.param.b64 [p0], %at; st.param.b32 [p1], %a; call NAME_f, (p0, p1); } ld.global.u32 %d, [%at];", I32, [I32], v => v[0] + 1) with
        {
            Declarations = ".func NAME_f(.param .b64 x, .param .b32 y) { .reg .b64 %w; .reg .b32 %v; ld.param.u64 %w, [x]; ld.param.u32 %v, [y]; add.u32 %v, %v, 1; st.global.u32 [%w], %v; ret; }",
        };
        yield return Row("call vprintf", "setp.ne.u32 %p0, %thread, 9; mov.u32 %d, 1; @%p0 bra $end; st.local.u32 [NAME_l], %a; mov.u64 %u0, NAME_t; cvta.global.u64 %u1, %u0; mov.u64 %u2, NAME_l; cvta.local.u64 %u3, %u2; { .param .b64 p0; .param .b64 p1; .param .b32 r0; st.param.b64 [p0], %u1; st.param.b64 [p1], %u3; call.uni (r0), vprintf, (p0, p1); ld.param.b32 %d, [r0]; } $end:", I32, [I32], _ => 1) with
        {
            Declarations = ".global .align 1 .b8 NAME_t[4] = {37, 117, 10, 0};",
            Locals = ".local .align 8 .b8 NAME_l[8];",
        };
    }

    private static IEnumerable<OpcodeCase> Barriers()
    {
        const string Shared = ".shared .align 16 .b8 NAME_s[2048];";
        const string Before = "mov.u32 %t5, NAME_s; mad.lo.u32 %t7, %thread, 4, %t5; xor.b32 %t4, %thread, 255; mad.lo.u32 %t6, %t4, 4, %t5;";
        foreach (string barrier in new[] { "bar.sync 0", "bar.sync 15", "bar.sync 1, 512", "barrier.sync 2", "barrier.sync.aligned 3", "barrier.sync 4, 512", "bar.cta.sync 5", "barrier.cta.sync.aligned 6, 512", "barrier.cta.sync 7" })
        {
            yield return new(barrier, $"st.shared.u32 [%t7], %a; {barrier}; ld.shared.u32 %d, [%t6];", I32, [I32], (w, lane) => w.Thread(0, ((int)(32 * w.Warp) + lane) ^ 255))
            {
                Declarations = Shared,
                Before = Before,
                WholeWarp = true,
            };
        }

        // The number of the barrier, and of its threads, in registers.
        yield return new("bar.sync (registers)", "mov.u32 %t0, 3; mov.u32 %t1, 512; st.shared.u32 [%t7], %a; bar.sync %t0, %t1; ld.shared.u32 %d, [%t6];", I32, [I32], (w, lane) => w.Thread(0, ((int)(32 * w.Warp) + lane) ^ 255))
        {
            Declarations = Shared,
            Before = Before,
            WholeWarp = true,
        };
        foreach (string arrive in new[] { "bar.arrive 1, 512", "barrier.arrive 2, 512", "barrier.cta.arrive.aligned 3, 512" })
        {
            string wait = arrive.Replace("arrive", "sync", StringComparison.Ordinal);
            // Threads below 256 produce and do not wait; the others consume.
            yield return new(arrive, $"setp.ge.u32 %p0, %thread, 256; mov.u32 %d, 9; @%p0 bra $consume; st.shared.u32 [%t7], %a; {arrive}; bra $end; $consume: {wait}; ld.shared.u32 %d, [%t7+-1024]; $end:", I32, [I32], (w, lane) =>
                w.Warp < 8 ? 9 : w.Thread(0, ((int)(32 * w.Warp) + lane) - 256))
            {
                Declarations = Shared,
                Before = Before,
                WholeWarp = true,
            };
        }

        ulong Votes(WarpValues w) => (ulong)Enumerable.Range(0, 512).Count(i => w.Thread(0, i) != 0);
        foreach (string form in new[] { "bar.red", "barrier.red", "barrier.cta.red.aligned" })
        {
            yield return new($"{form}.popc.u32", $"{form}.popc.u32 %d, 1, %a;", I32, [Pred], (w, _) => Votes(w)) { WholeWarp = true };
            yield return new($"{form}.popc.u32 (count, negated)", $"{form}.popc.u32 %d, 2, 512, !%a;", I32, [Pred], (w, _) => 512 - Votes(w)) { WholeWarp = true };
            yield return new($"{form}.and.pred", $"{form}.and.pred %d, 3, %a;", Pred, [Pred], (w, _) => Votes(w) == 512 ? 1u : 0) { WholeWarp = true };
            yield return new($"{form}.or.pred", $"{form}.or.pred %d, 4, %a;", Pred, [Pred], (w, _) => Votes(w) > 0 ? 1u : 0) { WholeWarp = true };
        }

        foreach (string fence in new[] { "membar.cta", "membar.gl", "membar.sys", "fence.sc.cta", "fence.sc.gpu", "fence.sc.sys", "fence.acq_rel.cta", "fence.acq_rel.gpu", "fence.acq_rel.sys" })
        {
            yield return Row(fence, $"st.global.u32 [%at], %a; {fence}; ld.global.u32 %d, [%at];", I32, [I32], v => v[0]);
        }
    }

    private static IEnumerable<OpcodeCase> Registers()
    {
        (string Name, Func<WarpValues, int, ulong> Value)[] known =
        [
            ("%tid.x", (w, lane) => (32 * w.Warp) + (uint)lane), ("%tid.y", (_, _) => 0), ("%tid.z", (_, _) => 0), ("%ntid.x", (_, _) => 512), ("%ntid.y", (_, _) => 1), ("%ntid.z", (_, _) => 1),
            ("%ctaid.x", (_, _) => 0), ("%ctaid.y", (_, _) => 0), ("%ctaid.z", (_, _) => 0), ("%nctaid.x", (_, _) => 1), ("%nctaid.y", (_, _) => 1), ("%nctaid.z", (_, _) => 1),
            ("%laneid", (_, lane) => (ulong)lane), ("%warpid", (w, _) => w.Warp), ("%nwarpid", (_, _) => 16),
            ("%lanemask_eq", (_, lane) => 1ul << lane), ("%lanemask_lt", (_, lane) => (1ul << lane) - 1), ("%lanemask_le", (_, lane) => (2ul << lane) - 1),
            ("%lanemask_gt", (_, lane) => ~((2ul << lane) - 1)), ("%lanemask_ge", (_, lane) => ~((1ul << lane) - 1)),
            ("%dynamic_smem_size", (_, _) => 0), ("%total_smem_size", (_, _) => 0),
        ];
        foreach ((string name, Func<WarpValues, int, ulong> value) in known)
        {
            yield return new($"mov.u32 {name}", $"mov.u32 %d, {name};", I32, [], value) { Accepts = name is "%nwarpid" or "%total_smem_size" ? (_, want, got) => got >= want : null };
        }

        // Numbers that are the device's own: any value, but the same clock never runs backwards.
        yield return Row("%smid < %nsmid", "mov.u32 %t0, %smid; mov.u32 %t1, %nsmid; setp.lt.u32 %d, %t0, %t1;", Pred, [], _ => 1);
        yield return Row("%gridid", "mov.u64 %u0, %gridid; setp.ge.u64 %d, %u0, 0;", Pred, [], _ => 1);
        yield return Row("%clock", "mov.u32 %t0, %clock; add.u32 %t2, %t0, 1; mov.u32 %t1, %clock; setp.gt.u32 %d, %t1, %t0;", Pred, [], _ => 1);
        yield return Row("%clock64", "mov.u64 %u0, %clock64; add.s64 %u2, %u0, 1; mov.u64 %u1, %clock64; setp.gt.u64 %d, %u1, %u0;", Pred, [], _ => 1);
        yield return Row("%globaltimer", "mov.u64 %u0, %globaltimer; mov.u64 %u1, %globaltimer; setp.ge.u64 %d, %u1, %u0;", Pred, [], _ => 1);
    }
}
