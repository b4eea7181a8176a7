namespace AdmNative.VirtualGpu.Tests;

/// <summary>A kernel with a bug and without. In the body, lines in [[ ]] belong to the buggy version, lines in (( )) to the clean one; "// HERE" marks where the finding must be.</summary>
/// <param name="Name">What is wrong.</param>
/// <param name="Check">Which check fires.</param>
/// <param name="Threads">Threads of a block.</param>
/// <param name="Grid">Blocks.</param>
/// <param name="Body">PTX behind the prologue of <see cref="PlantedBugTests"/>.</param>
internal sealed record PlantedBug(string Name, Checks Check, int Threads, int Grid, string Body)
{
    /// <summary>True when the launch cannot go on over the bug, so that it is reported without the check too.</summary>
    public bool IsAlways { get; init; }

    /// <summary>True when the bug is that array a is freed before the launch.</summary>
    public bool IsFree { get; init; }
}

/// <summary>Bugs for every check, by check.</summary>
internal static class PlantedBugs
{
    public static IReadOnlyDictionary<string, PlantedBug> All { get; } =
        ((PlantedBug[])[.. Bounds(), .. Memory(), .. Registers(), .. Races(), .. Copies(), .. Barriers(), .. Masks(), .. Others()]).ToDictionary(b => b.Name);

    private static PlantedBug[] Bounds() =>
    [
        new("read past the end", Checks.Bounds, 32, 1, """
            [[add.s64 %rd4, %rd4, 1024;]]
            ld.global.u32 %r2, [%rd4]; // HERE
            """) { IsAlways = true },
        new("null pointer", Checks.Bounds, 32, 1, """
            [[mov.u64 %rd4, 16;]]
            ld.global.u32 %r2, [%rd4]; // HERE
            """) { IsAlways = true },
        new("shared memory past the end", Checks.Bounds, 32, 1, """
            [[add.u32 %r5, %r5, 1000;]]
            st.shared.u32 [%r5], %r1; // HERE
            """) { IsAlways = true },
        new("local memory past the end", Checks.Bounds, 32, 1, """
            .local .align 8 .b8 depot[16];
            mov.u64 %rd6, depot;
            [[add.s64 %rd6, %rd6, 16;]]
            st.local.u32 [%rd6], %r1; // HERE
            """) { IsAlways = true },
        new("local memory before its begin", Checks.Bounds, 32, 1, """
            .local .align 8 .b8 depot[16];
            mov.u64 %rd6, depot; st.local.u32 [%rd6], %r1;
            [[sub.s64 %rd6, %rd6, 4;]]
            ld.local.u32 %r2, [%rd6]; // HERE
            """) { IsAlways = true },
        new("write to a parameter", Checks.Bounds, 32, 1, """
            mov.b64 %rd6, a; cvta.param.u64 %rd7, %rd6;
            ((ld.u32 %r6, [%rd7];))
            [[st.u32 [%rd7], %r1; // HERE]]
            """) { IsAlways = true },
        new("parameter past the end", Checks.Bounds, 32, 1, """
            mov.b64 %rd6, n;
            [[add.s64 %rd6, %rd6, 64;]]
            ld.param.u32 %r6, [%rd6]; // HERE
            """) { IsAlways = true },
        new("generic address in no window", Checks.Bounds, 32, 1, """
            [[mov.u64 %rd4, 0x7e8000000000;]]
            ld.u32 %r2, [%rd4]; // HERE
            """) { IsAlways = true },
        new("host pointer", Checks.Bounds, 32, 1, """
            [[mov.u64 %rd4, 0x55d2c0a81000;]]
            ld.global.u32 %r2, [%rd4]; // HERE
            """) { IsAlways = true },
        new("generic address past shared memory", Checks.Bounds, 32, 1, """
            cvt.u64.u32 %rd6, %r5; cvta.shared.u64 %rd7, %rd6;
            [[add.s64 %rd7, %rd7, 1024;]]
            st.u32 [%rd7], %r1; // HERE
            """) { IsAlways = true },
        new("generic address past local memory", Checks.Bounds, 32, 1, """
            .local .align 8 .b8 depot[16];
            mov.u64 %rd6, depot; cvta.local.u64 %rd7, %rd6;
            [[add.s64 %rd7, %rd7, 4096;]]
            st.u32 [%rd7], %r1; // HERE
            """) { IsAlways = true },
        new("address before an allocation", Checks.Bounds, 32, 1, """
            [[sub.s64 %rd4, %rd4, 4;]]
            ld.global.u32 %r2, [%rd4]; // HERE
            """) { IsAlways = true },
        new("atomic past the end", Checks.Bounds, 32, 1, """
            [[add.s64 %rd4, %rd4, 1024;]]
            red.global.add.u32 [%rd4], 1; // HERE
            """) { IsAlways = true },
        new("copy from past the end", Checks.Bounds, 32, 1, """
            [[add.s64 %rd4, %rd4, 1024;]]
            cp.async.ca.shared.global [%r5], [%rd4], 4; // HERE
            cp.async.wait_all;
            """) { IsAlways = true },
        new("copy to past the end", Checks.Bounds, 32, 1, """
            [[add.u32 %r5, %r5, 1024;]]
            cp.async.ca.shared.global [%r5], [%rd4], 4; // HERE
            cp.async.wait_all;
            """) { IsAlways = true },
        new("matrix row past the end", Checks.Bounds, 32, 1, """
            st.shared.u32 [%r5], %r1; bar.warp.sync -1;
            and.b32 %r6, %r1, 7; shl.b32 %r6, %r6, 4; add.u32 %r6, %r3, %r6;
            [[add.u32 %r6, %r6, 912;]]
            ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r6]; // HERE
            """) { IsAlways = true },
        new("freed memory", Checks.Bounds, 32, 1, """
            ld.global.u32 %r2, [%rd4+8]; // HERE
            """) { IsAlways = true, IsFree = true },
        new("freed memory written", Checks.Bounds, 32, 1, """
            st.global.u32 [%rd4+8], %r2; // HERE
            """) { IsAlways = true, IsFree = true },
        new("printf of a text that is none", Checks.Bounds, 32, 1, """
            mov.u64 %rd8, number; cvta.global.u64 %rd9, %rd8;
            [[mov.u64 %rd9, 64;]]
            .local .align 8 .b8 depot[8];
            mov.u64 %rd6, depot; cvta.local.u64 %rd7, %rd6; st.local.u32 [%rd6], %r1;
            { .param .b64 p0; st.param.b64 [p0], %rd9; .param .b64 p1; st.param.b64 [p1], %rd7; .param .b32 q0;
            call.uni (q0), vprintf, (p0, p1); // HERE
            }
            """) { IsAlways = true },
        new("printf with arguments nowhere", Checks.Bounds, 32, 1, """
            mov.u64 %rd8, number; cvta.global.u64 %rd9, %rd8;
            .local .align 8 .b8 depot[8];
            mov.u64 %rd6, depot; cvta.local.u64 %rd7, %rd6; st.local.u32 [%rd6], %r1;
            [[mov.u64 %rd7, 0;]]
            { .param .b64 p0; st.param.b64 [p0], %rd9; .param .b64 p1; st.param.b64 [p1], %rd7; .param .b32 q0;
            call.uni (q0), vprintf, (p0, p1); // HERE
            }
            """) { IsAlways = true },
        new("printf of a string nowhere", Checks.Bounds, 32, 1, """
            mov.u64 %rd8, word; cvta.global.u64 %rd9, %rd8; mov.u64 %rd8, number; cvta.global.u64 %rd8, %rd8;
            [[mov.u64 %rd8, 4;]]
            .local .align 8 .b8 depot[8];
            mov.u64 %rd6, depot; cvta.local.u64 %rd7, %rd6; st.local.u64 [%rd6], %rd8;
            { .param .b64 p0; st.param.b64 [p0], %rd9; .param .b64 p1; st.param.b64 [p1], %rd7; .param .b32 q0;
            call.uni (q0), vprintf, (p0, p1); // HERE
            }
            """) { IsAlways = true },
    ];

    private static PlantedBug[] Memory() =>
    [
        new("misaligned vector", Checks.Alignment, 32, 1, """
            [[add.s64 %rd4, %rd4, 4;]]
            ld.global.v2.u32 {%r6,%r7}, [%rd4]; // HERE
            """),
        new("misaligned shared access", Checks.Alignment, 32, 1, """
            [[add.u32 %r5, %r5, 2;]]
            st.shared.u32 [%r5], %r1; // HERE
            """),
        new("misaligned local access", Checks.Alignment, 32, 1, """
            .local .align 8 .b8 depot[16];
            mov.u64 %rd6, depot;
            [[add.s64 %rd6, %rd6, 4;]]
            st.local.u64 [%rd6], %rd4; // HERE
            """),
        new("misaligned generic access", Checks.Alignment, 32, 1, """
            [[add.s64 %rd4, %rd4, 1;]]
            ld.u16 %r2, [%rd4]; // HERE
            """),
        new("misaligned atomic", Checks.Alignment, 32, 1, """
            [[add.s64 %rd4, %rd4, 2;]]
            red.global.add.u32 [%rd4], 1; // HERE
            """),
        new("misaligned copy", Checks.Alignment, 32, 1, """
            shl.b32 %r6, %r1, 4; add.u32 %r6, %r3, %r6;
            [[add.s64 %rd4, %rd4, 8;]]
            cp.async.cg.shared.global [%r6], [%rd4], 16; // HERE
            cp.async.wait_all;
            """),
        new("misaligned place of a copy", Checks.Alignment, 32, 1, """
            shl.b32 %r6, %r1, 3; add.u32 %r6, %r3, %r6;
            [[add.u32 %r6, %r6, 4;]]
            cp.async.ca.shared.global [%r6], [%rd4], 8; // HERE
            cp.async.wait_all;
            """),
        new("misaligned matrix row", Checks.Alignment, 32, 1, """
            st.shared.u32 [%r5], %r1; st.shared.u32 [%r5+128], %r1; bar.warp.sync -1;
            and.b32 %r6, %r1, 7; shl.b32 %r6, %r6, 4; add.u32 %r6, %r3, %r6;
            [[add.u32 %r6, %r6, 8;]]
            ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r6]; // HERE
            """),
        new("shared word nobody wrote", Checks.UninitialisedMemory, 32, 1, """
            ((st.shared.u32 [%r5], %r1;))
            ld.shared.u32 %r2, [%r5]; // HERE
            """),
        new("global word nobody wrote", Checks.UninitialisedMemory, 32, 1, """
            ((st.global.u32 [%rd3], %r1;))
            ld.global.u32 %r2, [%rd3]; // HERE
            """),
        new("printf of an argument nobody wrote", Checks.UninitialisedMemory, 32, 1, """
            mov.u64 %rd8, number; cvta.global.u64 %rd9, %rd8;
            .local .align 8 .b8 depot[8];
            mov.u64 %rd6, depot; cvta.local.u64 %rd7, %rd6;
            ((st.local.u32 [%rd6], %r1;))
            { .param .b64 p0; st.param.b64 [p0], %rd9; .param .b64 p1; st.param.b64 [p1], %rd7; .param .b32 q0;
            call.uni (q0), vprintf, (p0, p1); // HERE
            }
            """),
        new("local word nobody wrote", Checks.UninitialisedMemory, 32, 1, """
            .local .align 8 .b8 depot[16];
            mov.u64 %rd6, depot;
            ((st.local.u32 [%rd6+8], %r1;))
            ld.local.u32 %r2, [%rd6+8]; // HERE
            """),
        new("copy of words nobody wrote", Checks.UninitialisedMemory, 32, 1, """
            ((st.global.u32 [%rd3], %r1;))
            cp.async.ca.shared.global [%r5], [%rd3], 4; // HERE
            cp.async.wait_all;
            """),
        new("atomic on a word nobody wrote", Checks.UninitialisedMemory, 32, 1, """
            ((st.shared.u32 [%r5], %r1;))
            red.shared.add.u32 [%r5], 1; // HERE
            """),
    ];

    private static PlantedBug[] Registers() =>
    [
        new("register set on one path only", Checks.UninitialisedRegisters, 32, 1, """
            ((mov.u32 %r6, 0;))
            setp.lt.u32 %p1, %r1, 20;
            @%p1 mov.u32 %r6, 5;
            add.u32 %r7, %r6, 1;
            st.global.u32 [%rd3], %r7; // HERE
            """),
        new("predicate never set", Checks.UninitialisedRegisters, 32, 1, """
            ((setp.lt.u32 %p2, %r1, 20;))
            @%p2 bra $over; // HERE
            $over:
            """),
        new("address never set", Checks.UninitialisedRegisters, 32, 1, """
            ((mov.u64 %rd6, %rd4;))
            ld.global.u32 %r2, [%rd6]; // HERE
            """),
        new("value that came from a lane without one", Checks.UninitialisedRegisters, 32, 1, """
            ((mov.u32 %r6, 0;))
            setp.lt.u32 %p1, %r1, 31;
            @%p1 mov.u32 %r6, 5;
            shfl.sync.idx.b32 %r7, %r6, 31, 31, -1;
            st.global.u32 [%rd3], %r7; // HERE
            """),
    ];

    private static PlantedBug[] Races() =>
    [
        new("barrier missing between write and read", Checks.SharedRaces, 64, 1, """
            st.shared.u32 [%r5], %r1;
            ((bar.sync 0;))
            xor.b32 %r6, %r4, 128;
            add.u32 %r6, %r3, %r6;
            [[setp.lt.u32 %p1, %r1, 32; @%p1 bra $skip;]]
            ld.shared.u32 %r2, [%r6]; // HERE
            $skip:
            """),
        new("barrier missing between read and write", Checks.SharedRaces, 64, 1, """
            st.shared.u32 [%r5], %r1;
            bar.sync 0;
            xor.b32 %r6, %r4, 128;
            add.u32 %r6, %r3, %r6;
            ld.shared.u32 %r2, [%r6];
            ((bar.sync 0;))
            st.shared.u32 [%r5], %r2; // HERE
            """),
        new("two warps store to one word", Checks.SharedRaces, 64, 1, """
            [[and.b32 %r6, %r4, 127; add.u32 %r5, %r3, %r6;]]
            st.shared.u32 [%r5], %r1; // HERE
            """),
        new("atomic against a store of another warp", Checks.SharedRaces, 64, 1, """
            setp.eq.u32 %p1, %r1, 0; mov.u32 %r6, 0;
            @%p1 st.shared.u32 [%r3], %r6;
            ((bar.sync 0;))
            red.shared.add.u32 [%r3], 1; // HERE
            """),
        new("two half barriers for a whole one", Checks.SharedRaces, 128, 1, """
            st.shared.u32 [%r5], %r1;
            ((bar.sync 1, 128;))
            [[shr.u32 %r7, %r1, 6; add.u32 %r7, %r7, 1; bar.sync %r7, 64;]]
            xor.b32 %r6, %r4, 256; add.u32 %r6, %r3, %r6;
            ld.shared.u32 %r2, [%r6]; // HERE
            """),
        new("producer that arrives before it stores", Checks.SharedRaces, 64, 1, """
            setp.ge.u32 %p1, %r1, 32; @%p1 bra $consume;
            [[bar.arrive 3, 64;]]
            st.shared.u32 [%r5], %r1;
            ((bar.arrive 3, 64;))
            bra $end;
            $consume: bar.sync 3, 64;
            ld.shared.u32 %r2, [%r5+-128]; // HERE
            $end:
            """),
        new("copy of another warp read with no barrier", Checks.SharedRaces, 64, 1, """
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4; cp.async.wait_all;
            ((bar.sync 0;))
            xor.b32 %r6, %r4, 128; add.u32 %r6, %r3, %r6;
            [[setp.lt.u32 %p1, %r1, 32; @%p1 bra $skip;]]
            ld.shared.u32 %r2, [%r6]; // HERE
            $skip:
            """),
        new("lanes exchange without bar.warp.sync", Checks.LaneHazards, 32, 1, """
            st.shared.u32 [%r5], %r1;
            ((bar.warp.sync -1;))
            xor.b32 %r6, %r4, 4; add.u32 %r6, %r3, %r6;
            ld.shared.u32 %r2, [%r6]; // HERE
            """),
        new("two lanes store to one word", Checks.LaneHazards, 32, 1, """
            [[and.b32 %r4, %r4, 64; add.u32 %r5, %r3, %r4;]]
            st.shared.u32 [%r5], %r1; // HERE
            """),
        new("store over a word another lane still reads", Checks.LaneHazards, 32, 1, """
            st.shared.u32 [%r5], %r1; bar.warp.sync -1;
            xor.b32 %r6, %r4, 4; add.u32 %r6, %r3, %r6; ld.shared.u32 %r2, [%r6];
            ((bar.warp.sync -1;))
            st.shared.u32 [%r5], %r2; // HERE
            """),
        new("matrix loaded without bar.warp.sync", Checks.LaneHazards, 32, 1, """
            st.shared.u32 [%r5], %r1;
            and.b32 %r6, %r1, 7; shl.b32 %r6, %r6, 4; add.u32 %r6, %r3, %r6;
            ((bar.warp.sync -1;))
            ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r6]; // HERE
            """),
        new("copy of another lane read without bar.warp.sync", Checks.LaneHazards, 32, 1, """
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4; cp.async.wait_all;
            ((bar.warp.sync -1;))
            xor.b32 %r6, %r4, 4; add.u32 %r6, %r3, %r6;
            ld.shared.u32 %r2, [%r6]; // HERE
            """),
        new("lanes store different values to one global word", Checks.LaneHazards, 32, 1, """
            [[mov.u64 %rd3, %rd1;]]
            st.global.u32 [%rd3], %r1; // HERE
            """),
    ];

    private static PlantedBug[] Copies() =>
    [
        new("copy read before its wait", Checks.AsyncCopies, 32, 1, """
            shl.b32 %r6, %r1, 2; cvt.u64.u32 %rd6, %r6; add.s64 %rd7, %rd4, %rd6;
            cp.async.ca.shared.global [%r5], [%rd7], 4; cp.async.commit_group;
            ((cp.async.wait_group 0;))
            ld.shared.u32 %r2, [%r5]; // HERE
            """),
        new("wait_group 1 for 0", Checks.AsyncCopies, 32, 1, """
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4; cp.async.commit_group;
            [[cp.async.wait_group 1;]]
            ((cp.async.wait_all;))
            ld.shared.u32 %r2, [%r5]; // HERE
            """),
        new("copy over words another warp still reads", Checks.AsyncCopies, 64, 1, """
            st.shared.u32 [%r5], %r1; bar.sync 0;
            xor.b32 %r6, %r4, 128; add.u32 %r6, %r3, %r6; ld.shared.u32 %r2, [%r6];
            ((bar.sync 0;))
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4; // HERE
            cp.async.wait_all;
            """),
        new("source size above the chunk", Checks.AsyncCopies, 32, 1, """
            mov.u32 %r6, 4;
            [[mov.u32 %r6, 8;]]
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4, %r6; // HERE
            cp.async.wait_all;
            """),
        new("copy over a copy in flight", Checks.AsyncCopies, 32, 1, """
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4;
            ((cp.async.wait_all;))
            cp.async.ca.shared.global [%r5], [%rd7+128], 4; // HERE
            cp.async.wait_all;
            """),
        new("store over a copy in flight", Checks.AsyncCopies, 32, 1, """
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4;
            ((cp.async.wait_all;))
            st.shared.u32 [%r5], %r1; // HERE
            cp.async.wait_all;
            """),
        new("wait for groups, but none committed", Checks.AsyncCopies, 32, 1, """
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4;
            ((cp.async.commit_group;))
            cp.async.wait_group 0;
            ld.shared.u32 %r2, [%r5]; // HERE
            """),
        new("second of two groups read after the first", Checks.AsyncCopies, 32, 1, """
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4; cp.async.commit_group;
            cp.async.ca.shared.global [%r5+512], [%rd7], 4; cp.async.commit_group;
            cp.async.wait_group 1;
            [[add.u32 %r5, %r5, 512;]]
            ld.shared.u32 %r2, [%r5]; // HERE
            cp.async.wait_all;
            """),
    ];

    private static PlantedBug[] Barriers() =>
    [
        new("barrier in a branch", Checks.Barriers, 32, 1, """
            [[setp.lt.u32 %p1, %r1, 7; @!%p1 bra $skip;]]
            bar.sync 0; // HERE
            $skip:
            """),
        new("early return before a counted barrier", Checks.Barriers, 64, 1, """
            [[setp.ge.u32 %p1, %r1, 32; @%p1 ret;]]
            bar.sync 1, 64; // HERE
            """) { IsAlways = true },
        new("matrix load by part of a warp", Checks.Barriers, 32, 1, """
            mov.u32 %r6, 0; st.shared.v4.u32 [%r3], {%r6,%r6,%r6,%r6}; mov.u32 %r7, %r3;
            bar.warp.sync -1;
            [[setp.ge.u32 %p1, %r1, 16; @%p1 bra $skip;]]
            ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r7]; // HERE
            $skip:
            """) { IsAlways = true },
        new("counts of one barrier that differ", Checks.Barriers, 64, 1, """
            mov.u32 %r6, 64;
            [[setp.ge.u32 %p1, %r1, 32; @%p1 mov.u32 %r6, 96;]]
            bar.sync 1, %r6; // HERE
            """) { IsAlways = true },
        new("barrier 16", Checks.Barriers, 32, 1, """
            mov.u32 %r6, 1;
            [[mov.u32 %r6, 16;]]
            bar.sync %r6; // HERE
            """) { IsAlways = true },
        new("barrier for 33 threads", Checks.Barriers, 32, 1, """
            mov.u32 %r6, 32;
            [[mov.u32 %r6, 33;]]
            bar.sync 1, %r6; // HERE
            """) { IsAlways = true },
        new("lanes that name different barriers", Checks.Barriers, 32, 1, """
            mov.u32 %r6, 1;
            [[and.b32 %r6, %r1, 1;]]
            bar.sync %r6; // HERE
            """) { IsAlways = true },
        new("matrix product by part of a warp", Checks.Barriers, 32, 1, """
            mov.f32 %f1, 0f00000000;
            [[setp.ge.u32 %p1, %r1, 16; @%p1 bra $skip;]]
            mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f2,%f3,%f4,%f5}, {%r2,%r2}, {%r2}, {%f1,%f1,%f1,%f1}; // HERE
            $skip:
            """) { IsAlways = true },
        new("two barriers for one", Checks.Barriers, 64, 1, """
            mov.u32 %r6, 1;
            [[setp.ge.u32 %p1, %r1, 32; @%p1 mov.u32 %r6, 2;]]
            bar.sync %r6; // HERE
            """) { IsAlways = true },
    ];

    private static PlantedBug[] Masks() =>
    [
        new("shuffle after half the warp exited", Checks.WarpMasks, 32, 1, """
            [[setp.ge.u32 %p1, %r1, 16; @%p1 ret;]]
            shfl.sync.bfly.b32 %r2, %r1, 16, 31, -1; // HERE
            """),
        new("member mask that leaves lanes out", Checks.WarpMasks, 32, 1, """
            [[mov.u32 %r6, 0xffff;]]
            ((mov.u32 %r6, -1;))
            redux.sync.add.u32 %r2, %r1, %r6; // HERE
            """),
        new("member masks that differ", Checks.WarpMasks, 32, 1, """
            mov.u32 %r6, -1;
            [[setp.lt.u32 %p1, %r1, 16; @%p1 mov.u32 %r6, 0xffff;]]
            redux.sync.add.u32 %r2, %r1, %r6; // HERE
            """),
        new("shuffle from a lane the mask does not name", Checks.WarpMasks, 32, 1, """
            setp.ge.u32 %p1, %r1, 16; @%p1 bra $skip;
            mov.u32 %r6, 3;
            [[mov.u32 %r6, 20;]]
            shfl.sync.idx.b32 %r2, %r1, %r6, 31, 0xffff; // HERE
            $skip:
            """),
        new("vote that names absent lanes", Checks.WarpMasks, 32, 1, """
            setp.lt.u32 %p1, %r1, 16;
            [[@%p1 bra $skip;]]
            vote.sync.any.pred %p2, %p1, -1; // HERE
            $skip:
            """),
        new("match that names absent lanes", Checks.WarpMasks, 32, 1, """
            setp.lt.u32 %p1, %r1, 16;
            [[@%p1 bra $skip;]]
            match.any.sync.b32 %r2, %r1, -1; // HERE
            $skip:
            """),
        new("bar.warp.sync without an executing lane", Checks.WarpMasks, 32, 1, """
            mov.u32 %r6, -1;
            [[mov.u32 %r6, 0x7fffffff;]]
            bar.warp.sync %r6; // HERE
            """),
    ];

    private static PlantedBug[] Others() =>
    [
        new("blocks write the same words", Checks.InterCta, 32, 2, """
            ((mul.wide.u32 %rd6, %r19, 128; add.s64 %rd3, %rd3, %rd6;))
            st.global.u32 [%rd3], %r1; // HERE
            """),
        new("block reads what another wrote", Checks.InterCta, 32, 2, """
            setp.ne.u32 %p1, %r19, 0; @%p1 bra $read;
            st.global.u32 [%rd3], %r1;
            bra $end;
            $read:
            ((add.s64 %rd3, %rd4, %rd2;))
            ld.global.u32 %r2, [%rd3]; // HERE
            $end:
            """),
        new("block writes what another read", Checks.InterCta, 32, 2, """
            setp.ne.u32 %p1, %r19, 0; @%p1 bra $write;
            add.s64 %rd6, %rd4, %rd2; ld.global.u32 %r2, [%rd6];
            bra $end;
            $write:
            [[add.s64 %rd3, %rd4, %rd2;]]
            st.global.u32 [%rd3], %r1; // HERE
            $end:
            """),
        new("block reads plainly what another updated", Checks.InterCta, 32, 2, """
            setp.ne.u32 %p1, %r19, 0; @%p1 bra $read;
            red.global.add.u32 [%rd4], 1;
            bra $end;
            $read:
            ((add.s64 %rd4, %rd4, 512;))
            ld.global.u32 %r2, [%rd4]; // HERE
            $end:
            """),
        new("division by zero", Checks.Arithmetic, 32, 1, """
            ((add.u32 %r6, %r1, 1;))
            [[mov.u32 %r6, %r1;]]
            div.u32 %r2, %r1, %r6; // HERE
            """),
        new("remainder by zero", Checks.Arithmetic, 32, 1, """
            ((add.u32 %r6, %r1, 1;))
            [[mov.u32 %r6, %r1;]]
            rem.s32 %r2, %r1, %r6; // HERE
            """),
        new("64-bit division by zero", Checks.Arithmetic, 32, 1, """
            ((or.b64 %rd6, %rd2, 1;))
            [[mov.u64 %rd6, %rd2;]]
            div.u64 %rd7, %rd4, %rd6; // HERE
            """),
        new("branch past its table", Checks.None, 32, 1, """
            mov.u32 %r6, 1;
            [[mov.u32 %r6, 2;]]
            $table: .branchtargets $x, $y;
            brx.idx %r6, $table; // HERE
            $x: add.u32 %r2, %r2, 1;
            $y:
            """) { IsAlways = true },
    ];
}
