using System.Numerics;

namespace AdmNative.VirtualGpu.Tests;

/// <summary>Integer, logic, shift, bit-field, comparison and basic float opcodes against plain C#, under full, partial and single-lane masks.</summary>
public sealed class OpcodeTests
{
    private static readonly uint[] s_edges = [0, 1, 2, 3, 31, 32, 33, 255, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x0001_0203, 0x8081_8283, 0xDEAD_BEEF, 0x0000_FFFF, 0xFFFF_0000];

    private const uint Untouched = 0x5A5A_5A5A;

    private static uint[] Inputs(int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, 32).Select(i => i < 16 ? s_edges[(i * (seed | 1)) & 15] : (uint)random.NextInt64(1L << 32))];
    }

    /// <summary>Runs "op" on rows of inputs under the mask; lanes outside keep their old result.</summary>
    private static void Check(string statement, Func<uint, uint, uint, uint> expected, Func<uint, uint>? second = null)
    {
        foreach (uint mask in new[] { 0xFFFF_FFFFu, 0x0F0F_3355u, 0x0000_0100u, 0x8000_0000u })
        {
            for (int seed = 1; seed < 6; seed++)
            {
                uint[] a = Inputs(seed), b = Inputs(seed + 10).Select(v => second is null ? v : second(v)).ToArray(), c = Inputs(seed + 20);
                using var run = new PtxRun(PtxRun.Entry($$"""
                    .reg .b32 %r<8>; .reg .f32 %f<6>; .reg .b64 %rd<14>; .reg .pred %p<4>; .reg .b16 %h<6>;
                    ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; ld.param.u64 %rd3, [b]; ld.param.u64 %rd4, [c]; ld.param.u32 %r5, [n];
                    mov.u32 %r6, %tid.x; mul.wide.u32 %rd5, %r6, 4;
                    add.s64 %rd6, %rd2, %rd5; add.s64 %rd7, %rd3, %rd5; add.s64 %rd8, %rd4, %rd5; add.s64 %rd9, %rd1, %rd5;
                    ld.global.u32 %r1, [%rd6]; ld.global.u32 %r2, [%rd7]; ld.global.u32 %r3, [%rd8];
                    mov.b32 %f1, %r1; mov.b32 %f2, %r2; mov.b32 %f3, %r3;
                    mov.u32 %r4, {{Untouched}}; mov.b32 %f4, %r4;
                    shr.u32 %r7, %r5, %r6; and.b32 %r7, %r7, 1; setp.ne.u32 %p1, %r7, 0;
                    @!%p1 bra $skip;
                    {{statement}}
                    $skip:
                    st.global.u32 [%rd9], %r4; ret;
                    """));
                long to = run.Room<uint>(32);
                LaunchReport report = run.Launch("k", 1, 32, to, run.Put<uint>(a), run.Put<uint>(b), run.Put<uint>(c), mask);
                uint[] got = run.Get<uint>(to, 32);
                for (int i = 0; i < 32; i++)
                {
                    uint want = ((mask >> i) & 1) != 0 ? expected(a[i], b[i], c[i]) : Untouched;
                    Assert.True(want == got[i], $"{statement} lane {i} mask {mask:x8}: a={a[i]:x} b={b[i]:x} c={c[i]:x} gives {got[i]:x}, not {want:x}");
                }

                Assert.DoesNotContain(report.Findings, f => f.Check != Checks.Arithmetic);
            }
        }
    }

    public static TheoryData<string, Func<uint, uint, uint, uint>> Cases() => new()
    {
        { "add.s32 %r4, %r1, %r2;", (a, b, c) => a + b },
        { "sub.s32 %r4, %r1, %r2;", (a, b, c) => a - b },
        { "add.sat.s32 %r4, %r1, %r2;", (a, b, c) => (uint)(int)Math.Clamp((long)(int)a + (int)b, int.MinValue, int.MaxValue) },
        { "neg.s32 %r4, %r1;", (a, b, c) => 0 - a },
        { "abs.s32 %r4, %r1;", (a, b, c) => (int)a < 0 ? 0 - a : a },
        { "min.s32 %r4, %r1, %r2;", (a, b, c) => (uint)Math.Min((int)a, (int)b) },
        { "max.s32 %r4, %r1, %r2;", (a, b, c) => (uint)Math.Max((int)a, (int)b) },
        { "min.u32 %r4, %r1, %r2;", (a, b, c) => Math.Min(a, b) },
        { "max.u32 %r4, %r1, %r2;", (a, b, c) => Math.Max(a, b) },
        { "mul.lo.s32 %r4, %r1, %r2;", (a, b, c) => a * b },
        { "mul.hi.s32 %r4, %r1, %r2;", (a, b, c) => (uint)(((long)(int)a * (int)b) >> 32) },
        { "mul.hi.u32 %r4, %r1, %r2;", (a, b, c) => (uint)(((ulong)a * b) >> 32) },
        { "mad.lo.s32 %r4, %r1, %r2, %r3;", (a, b, c) => (a * b) + c },
        { "mad.hi.u32 %r4, %r1, %r2, %r3;", (a, b, c) => (uint)(((ulong)a * b) >> 32) + c },
        { "mul.wide.u32 %rd10, %r1, %r2; shr.u64 %rd11, %rd10, 32; cvt.u32.u64 %r4, %rd11;", (a, b, c) => (uint)(((ulong)a * b) >> 32) },
        { "mul.wide.s32 %rd10, %r1, %r2; shr.s64 %rd11, %rd10, 32; cvt.u32.u64 %r4, %rd11;", (a, b, c) => (uint)(((long)(int)a * (int)b) >> 32) },
        { "cvt.s64.s32 %rd10, %r3; mad.wide.s32 %rd11, %r1, %r2, %rd10; shr.u64 %rd12, %rd11, 16; cvt.u32.u64 %r4, %rd12;", (a, b, c) => (uint)((ulong)(((long)(int)a * (int)b) + (int)c) >> 16) },
        { "add.cc.u32 %r4, %r1, %r2; addc.u32 %r4, %r3, 0;", (a, b, c) => c + (uint)(((ulong)a + b) >> 32) },
        { "sub.cc.u32 %r4, %r1, %r2; subc.u32 %r4, %r3, 0;", (a, b, c) => c - (a < b ? 1u : 0) },
        { "mad.lo.cc.u32 %r4, %r1, %r2, %r3; madc.hi.u32 %r4, %r1, %r2, 0;", (a, b, c) => (uint)((((ulong)a * b) + c) >> 32) },
        { "div.s32 %r4, %r1, %r2;", (a, b, c) => b == 0 ? uint.MaxValue : (uint)((long)(int)a / (int)b) },
        { "div.u32 %r4, %r1, %r2;", (a, b, c) => b == 0 ? uint.MaxValue : a / b },
        { "rem.s32 %r4, %r1, %r2;", (a, b, c) => b == 0 ? a : (uint)((long)(int)a % (int)b) },
        { "rem.u32 %r4, %r1, %r2;", (a, b, c) => b == 0 ? a : a % b },
        { "and.b32 %r4, %r1, %r2;", (a, b, c) => a & b },
        { "or.b32 %r4, %r1, %r2;", (a, b, c) => a | b },
        { "xor.b32 %r4, %r1, %r2;", (a, b, c) => a ^ b },
        { "not.b32 %r4, %r1;", (a, b, c) => ~a },
        { "lop3.b32 %r4, %r1, %r2, %r3, 0x96;", (a, b, c) => a ^ b ^ c },
        { "lop3.b32 %r4, %r1, %r2, %r3, 0xCA;", (a, b, c) => (a & b) | (~a & c) },
        { "shl.b32 %r4, %r1, %r2;", (a, b, c) => b >= 32 ? 0 : a << (int)b },
        { "shr.u32 %r4, %r1, %r2;", (a, b, c) => b >= 32 ? 0 : a >> (int)b },
        { "shr.s32 %r4, %r1, %r2;", (a, b, c) => (uint)((int)a >> (int)Math.Min(b, 31)) },
        { "shl.b32 %r4, %r1, 5;", (a, b, c) => a << 5 },
        { "shr.s32 %r4, %r1, 31;", (a, b, c) => (uint)((int)a >> 31) },
        { "shr.u32 %r4, %r1, 32;", (a, b, c) => 0 },
        { "shf.l.wrap.b32 %r4, %r1, %r2, %r3;", (a, b, c) => (uint)(((((ulong)b << 32) | a) << (int)(c & 31)) >> 32) },
        { "shf.r.wrap.b32 %r4, %r1, %r2, %r3;", (a, b, c) => (uint)((((ulong)b << 32) | a) >> (int)(c & 31)) },
        { "shf.r.clamp.b32 %r4, %r1, %r2, %r3;", (a, b, c) => c >= 32 ? b : (uint)((((ulong)b << 32) | a) >> (int)c) },
        { "popc.b32 %r4, %r1;", (a, b, c) => (uint)BitOperations.PopCount(a) },
        { "clz.b32 %r4, %r1;", (a, b, c) => (uint)BitOperations.LeadingZeroCount(a) },
        { "brev.b32 %r4, %r1;", (a, b, c) => Enumerable.Range(0, 32).Aggregate(0u, (s, i) => s | (((a >> i) & 1) << (31 - i))) },
        { "bfind.u32 %r4, %r1;", (a, b, c) => a == 0 ? uint.MaxValue : (uint)BitOperations.Log2(a) },
        { "bfind.shiftamt.u32 %r4, %r1;", (a, b, c) => a == 0 ? uint.MaxValue : 31 - (uint)BitOperations.Log2(a) },
        { "bfe.u32 %r4, %r1, 7, 9;", (a, b, c) => (a >> 7) & 0x1FF },
        { "bfe.s32 %r4, %r1, 28, 9;", (a, b, c) => (uint)((int)a >> 28) },
        { "bfi.b32 %r4, %r1, %r2, 8, 12;", (a, b, c) => (b & ~0xFFF00u) | ((a & 0xFFF) << 8) },
        { "prmt.b32 %r4, %r1, %r2, 0x7531;", (a, b, c) => ((a >> 8) & 0xFF) | (((a >> 24) & 0xFF) << 8) | (((b >> 8) & 0xFF) << 16) | ((b >> 24) << 24) },
        { "prmt.b32 %r4, %r1, %r2, 0xB;", (a, b, c) => ((int)a < 0 ? 0xFFu : 0) | ((a & 0xFF) << 8) | ((a & 0xFF) << 16) | ((a & 0xFF) << 24) },
        { "dp4a.u32.s32 %r4, %r1, %r2, %r3;", (a, b, c) => (uint)(Enumerable.Range(0, 4).Sum(i => (int)((a >> (8 * i)) & 0xFF) * (sbyte)(b >> (8 * i))) + (int)c) },
        { "dp4a.s32.u32 %r4, %r1, %r2, %r3;", (a, b, c) => (uint)(Enumerable.Range(0, 4).Sum(i => (sbyte)(a >> (8 * i)) * (int)((b >> (8 * i)) & 0xFF)) + (int)c) },
        { "sad.u32 %r4, %r1, %r2, %r3;", (a, b, c) => c + (a > b ? a - b : b - a) },
        { "setp.lt.s32 %p2, %r1, %r2; selp.b32 %r4, %r3, 17, %p2;", (a, b, c) => (int)a < (int)b ? c : 17 },
        { "setp.hi.u32 %p2, %r1, %r2; selp.b32 %r4, 1, 0, %p2;", (a, b, c) => a > b ? 1u : 0 },
        { "setp.ne.b32 %p2|%p3, %r1, %r2; selp.b32 %r4, 1, 0, %p3;", (a, b, c) => a == b ? 1u : 0 },
        { "setp.ge.s32 %p2, %r1, 0; setp.ge.and.s32 %p3, %r2, 0, %p2; selp.b32 %r4, 1, 0, %p3;", (a, b, c) => (int)a >= 0 && (int)b >= 0 ? 1u : 0 },
        { "setp.ge.s32 %p2, %r1, 0; setp.ge.xor.s32 %p3, %r2, 0, !%p2; selp.b32 %r4, 1, 0, %p3;", (a, b, c) => ((int)b >= 0) ^ ((int)a < 0) ? 1u : 0 },
        { "setp.lt.s32 %p2, %r1, %r2; not.pred %p3, %p2; or.pred %p2, %p3, %p2; selp.b32 %r4, 1, 0, %p2;", (a, b, c) => 1 },
        { "set.le.u32.u32 %r4, %r1, %r2;", (a, b, c) => a <= b ? uint.MaxValue : 0 },
        { "slct.u32.s32 %r4, %r1, %r2, %r3;", (a, b, c) => (int)c >= 0 ? a : b },
        { "mov.b32 {%h1, %h2}, %r1; mov.b32 %r4, {%h2, %h1};", (a, b, c) => BitOperations.RotateLeft(a, 16) },
        { "mov.b64 %rd10, {%r1, %r2}; shr.u64 %rd11, %rd10, 8; mov.b64 {%r4, _}, %rd11;", (a, b, c) => (a >> 8) | (b << 24) },
        { "cvt.u16.u32 %h1, %r1; cvt.u16.u32 %h2, %r2; add.s16 %h3, %h1, %h2; cvt.s32.s16 %r4, %h3;", (a, b, c) => (uint)(short)(a + b) },
        { "cvt.u16.u32 %h1, %r1; cvt.u16.u32 %h2, %r2; mul.wide.u16 %r4, %h1, %h2;", (a, b, c) => (uint)(ushort)a * (ushort)b },
        { "cvt.s8.s32 %r4, %r1;", (a, b, c) => (uint)(sbyte)a },
        { "cvt.u64.u32 %rd10, %r1; cvt.u64.u32 %rd11, %r2; sub.s64 %rd12, %rd10, %rd11; setp.lt.s64 %p2, %rd12, 0; selp.b32 %r4, 1, 0, %p2;", (a, b, c) => a < b ? 1u : 0 },
        { "cvt.u64.u32 %rd10, %r1; shl.b64 %rd10, %rd10, 40; or.b64 %rd10, %rd10, 3; clz.b64 %r4, %rd10;", (a, b, c) => (uint)BitOperations.LeadingZeroCount(((ulong)a << 40) | 3) },
        { "add.f32 %f4, %f1, %f2; mov.b32 %r4, %f4;", (a, b, c) => Bits(Single(a) + Single(b)) },
        { "sub.rn.f32 %f4, %f1, %f2; mov.b32 %r4, %f4;", (a, b, c) => Bits(Single(a) - Single(b)) },
        { "mul.f32 %f4, %f1, %f2; mov.b32 %r4, %f4;", (a, b, c) => Bits(Single(a) * Single(b)) },
        { "fma.rn.f32 %f4, %f1, %f2, %f3; mov.b32 %r4, %f4;", (a, b, c) => Bits(MathF.FusedMultiplyAdd(Single(a), Single(b), Single(c))) },
        { "div.rn.f32 %f4, %f1, %f2; mov.b32 %r4, %f4;", (a, b, c) => Bits(Single(a) / Single(b)) },
        { "min.f32 %f4, %f1, %f2; mov.b32 %r4, %f4;", (a, b, c) => Bits(float.MinNumber(Single(a), Single(b))) },
        { "add.ftz.f32 %f4, %f1, 0f00000000; mov.b32 %r4, %f4;", (a, b, c) => Bits((a & 0x7F80_0000) == 0 ? 0f : Single(a)) },
        { "setp.lt.f32 %p2, %f1, %f2; selp.b32 %r4, 1, 0, %p2;", (a, b, c) => Single(a) < Single(b) ? 1u : 0 },
        { "setp.geu.f32 %p2, %f1, %f2; selp.b32 %r4, 1, 0, %p2;", (a, b, c) => !(Single(a) < Single(b)) ? 1u : 0 },
        { "setp.ne.f32 %p2, %f1, %f2; selp.b32 %r4, 1, 0, %p2;", (a, b, c) => Single(a) < Single(b) || Single(a) > Single(b) ? 1u : 0 },
        { "setp.nan.f32 %p2, %f1, %f2; selp.b32 %r4, 1, 0, %p2;", (a, b, c) => float.IsNaN(Single(a)) || float.IsNaN(Single(b)) ? 1u : 0 },
        { "cvt.rn.f32.s32 %f4, %r1; mov.b32 %r4, %f4;", (a, b, c) => Bits((int)a) },
        { "cvt.rzi.s32.f32 %r4, %f1;", (a, b, c) => float.IsNaN(Single(a)) ? 0 : (uint)(int)Math.Clamp(Math.Truncate((double)Single(a)), int.MinValue, int.MaxValue) },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Lane_operations(string statement, Func<uint, uint, uint, uint> expected) => Check(statement, expected);

    private static float Single(uint bits) => BitConverter.UInt32BitsToSingle(bits);

    private static uint Bits(float v) => float.IsNaN(v) ? 0x7FFF_FFFF : BitConverter.SingleToUInt32Bits(v);
}
