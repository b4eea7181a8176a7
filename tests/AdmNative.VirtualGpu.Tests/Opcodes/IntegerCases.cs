using System.Numerics;

namespace AdmNative.VirtualGpu.Tests.Opcodes;

using static Kind;

/// <summary>Moves, integers, logic, shifts, bit fields, comparisons, selection. Results are computed in unbounded integers and cut to the width.</summary>
internal static class IntegerCases
{
    private static readonly string[] s_all = ["s16", "u16", "s32", "u32", "s64", "u64"];

    public static IEnumerable<OpcodeCase> All() => [.. Moves(), .. Arithmetic(), .. Multiplication(), .. Division(), .. Logic(), .. Shifts(), .. BitFields(), .. Comparisons(), .. Selection()];

    public static int Width(string type) => int.Parse(type[1..]);

    public static Kind KindOf(string type) => Width(type) switch { 8 => I8, 16 => I16, 32 => I32, _ => I64 };

    /// <summary>The number a pattern stands for.</summary>
    public static BigInteger Value(string type, ulong bits)
    {
        int width = Width(type);
        BigInteger v = bits & (ulong.MaxValue >> (64 - width));
        return type[0] == 's' && v >= BigInteger.One << (width - 1) ? v - (BigInteger.One << width) : v;
    }

    /// <summary>The low 64 bits of a number.</summary>
    public static ulong Bits(BigInteger v) => (ulong)(v & ulong.MaxValue);

    private static OpcodeCase Two(string op, string type, Func<BigInteger, BigInteger, BigInteger> f) => OpcodeCase.Lane(
        $"{op}.{type} %d, %a, %b;", KindOf(type), [KindOf(type), KindOf(type)], v => Bits(f(Value(type, v[0]), Value(type, v[1]))));

    private static OpcodeCase One(string op, string type, Func<BigInteger, BigInteger> f) =>
        OpcodeCase.Lane($"{op}.{type} %d, %a;", KindOf(type), [KindOf(type)], v => Bits(f(Value(type, v[0]))));

    private static IEnumerable<OpcodeCase> Moves()
    {
        foreach (string type in new[] { "b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64" })
        {
            yield return OpcodeCase.Lane($"mov.{type} %d, %a;", KindOf("u" + type[1..]), [KindOf("u" + type[1..])], v => v[0]);
        }

        yield return OpcodeCase.Lane("mov.pred %d, %a;", Pred, [Pred], v => v[0]);
        yield return OpcodeCase.Lane("mov.u32 %d, 0x89ABCDEF;", I32, [], _ => 0x89AB_CDEF);
        yield return OpcodeCase.Lane("mov.u64 %d, 0x89ABCDEF01234567;", I64, [], _ => 0x89AB_CDEF_0123_4567);
        yield return OpcodeCase.Lane("mov.s32 %d, -7;", I32, [], _ => unchecked((uint)-7));
        yield return OpcodeCase.Lane("mov.f32 %d, 0fC0490FDB;", I32, [], _ => 0xC049_0FDB) with { Spelling = "mov.f32 (literal)" };
        yield return OpcodeCase.Lane("mov.f64 %d, 0d400921FB54442D18;", I64, [], _ => 0x4009_21FB_5444_2D18) with { Spelling = "mov.f64 (literal)" };
        yield return OpcodeCase.Lane("mov.b32 %d, {%a, %b};", I32, [I16, I16], v => v[0] | (v[1] << 16)) with { Spelling = "mov.b32 (pack 16)" };
        yield return OpcodeCase.Lane("mov.b64 %d, {%a, %b};", I64, [I32, I32], v => v[0] | (v[1] << 32)) with { Spelling = "mov.b64 (pack 32)" };
        yield return OpcodeCase.Lane("mov.b64 %d, {%a, %b, %c, %e};", I64, [I16, I16, I16, I16], v => v[0] | (v[1] << 16) | (v[2] << 32) | (v[3] << 48))
            with
        { Spelling = "mov.b64 (pack 16)" };
        yield return OpcodeCase.Lane("mov.b32 {%d, %h0}, %a;", I16, [I32], v => v[0] & 0xFFFF) with { Spelling = "mov.b32 (low half)" };
        yield return OpcodeCase.Lane("mov.b32 {_, %d}, %a;", I16, [I32], v => v[0] >> 16) with { Spelling = "mov.b32 (high half)" };
        yield return OpcodeCase.Lane("mov.b64 {%d, _}, %a;", I32, [I64], v => v[0] & uint.MaxValue) with { Spelling = "mov.b64 (low word)" };
        yield return OpcodeCase.Lane("mov.b64 {%t0, %d}, %a;", I32, [I64], v => v[0] >> 32) with { Spelling = "mov.b64 (high word)" };
        yield return OpcodeCase.Lane("mov.b64 {%h0, %h1, %d, %h2}, %a;", I16, [I64], v => (v[0] >> 32) & 0xFFFF) with { Spelling = "mov.b64 (third half)" };
    }

    private static IEnumerable<OpcodeCase> Arithmetic()
    {
        foreach (string type in s_all)
        {
            yield return Two("add", type, (a, b) => a + b);
            yield return Two("sub", type, (a, b) => a - b);
            yield return Two("min", type, BigInteger.Min);
            yield return Two("max", type, BigInteger.Max);
            if (type[0] == 's')
            {
                yield return One("neg", type, a => -a);
                yield return One("abs", type, BigInteger.Abs);
            }
        }

        BigInteger Clamp(BigInteger v) => BigInteger.Clamp(v, int.MinValue, int.MaxValue);
        yield return Two("add.sat", "s32", (a, b) => Clamp(a + b));
        yield return Two("sub.sat", "s32", (a, b) => Clamp(a - b));
        yield return OpcodeCase.Lane("add.s32 %d, %a, -17;", I32, [I32], v => v[0] - 17) with { Spelling = "add.s32 (immediate)" };
        yield return OpcodeCase.Lane("sub.s64 %d, 5, %a;", I64, [I64], v => 5 - v[0]) with { Spelling = "sub.s64 (immediate)" };
        foreach (string type in new[] { "s32", "u32" })
        {
            yield return OpcodeCase.Lane($"sad.{type} %d, %a, %b, %c;", I32, [I32, I32, I32], v => Bits(BigInteger.Abs(Value(type, v[0]) - Value(type, v[1])) + v[2]));
            yield return Carry($"add.cc.{type} %t0, %a, %b; addc.{type} %d, %c, %e;", v => ((v[0] + v[1]) >> 32) + v[2] + v[3]);
            yield return Carry($"add.cc.{type} %t0, %a, %b; addc.cc.{type} %t1, %c, %e; addc.{type} %d, 0, 0;", v => (v[2] + v[3] + ((v[0] + v[1]) >> 32)) >> 32);
            yield return Carry($"sub.cc.{type} %t0, %a, %b; subc.{type} %d, %c, %e;", v => v[2] - v[3] - (v[0] < v[1] ? 1u : 0));
            yield return Carry($"sub.cc.{type} %t0, %a, %b; subc.cc.{type} %t1, %c, %e; subc.{type} %d, 0, 0;", v => v[2] < v[3] + (v[0] < v[1] ? 1ul : 0) ? ulong.MaxValue : 0);
            yield return Carry($"mad.lo.cc.{type} %t0, %a, %b, %c; madc.hi.{type} %d, %a, %b, %e;", v =>
                Bits((Value(type, v[0]) * Value(type, v[1])) >> 32) + v[3] + ((((v[0] * v[1]) & uint.MaxValue) + v[2]) >> 32));
            yield return Carry($"mad.hi.cc.{type} %t0, %a, %b, %c; madc.lo.{type} %d, %a, %b, %e;", v =>
                (v[0] * v[1]) + v[3] + (((Bits((Value(type, v[0]) * Value(type, v[1])) >> 32) & uint.MaxValue) + v[2]) >> 32));
            yield return Carry($"mad.lo.cc.{type} %t0, %a, %b, %c; madc.lo.cc.{type} %t1, %a, %c, %e; addc.{type} %d, 0, 0;", v =>
                (((v[0] * v[2]) & uint.MaxValue) + v[3] + ((((v[0] * v[1]) & uint.MaxValue) + v[2]) >> 32)) >> 32);
        }

        OpcodeCase Carry(string statement, Func<ulong[], ulong> f) => OpcodeCase.Lane(statement, I32, [I32, I32, I32, I32], f) with
        {
            Spelling = string.Join("+", statement.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(s => s.Split(' ')[0])),
        };
    }

    private static IEnumerable<OpcodeCase> Multiplication()
    {
        foreach (string type in s_all)
        {
            int width = Width(type);
            Kind kind = KindOf(type);
            yield return Two("mul.lo", type, (a, b) => a * b);
            yield return Two("mul.hi", type, (a, b) => (a * b) >> width);
            yield return Three("mad.lo", kind, (a, b, c) => (a * b) + c);
            if (width > 16)
            {
                yield return Three("mad.hi", kind, (a, b, c) => ((a * b) >> width) + c);
            }

            if (width < 64)
            {
                string wide = type[0] + (2 * width).ToString();
                yield return OpcodeCase.Lane($"mul.wide.{type} %d, %a, %b;", KindOf(wide), [kind, kind], v => Bits(Value(type, v[0]) * Value(type, v[1])));
                yield return OpcodeCase.Lane(
                    $"mad.wide.{type} %d, %a, %b, %c;", KindOf(wide), [kind, kind, KindOf(wide)], v => Bits((Value(type, v[0]) * Value(type, v[1])) + Value(wide, v[2])));
            }

            OpcodeCase Three(string op, Kind k, Func<BigInteger, BigInteger, BigInteger, BigInteger> f) => OpcodeCase.Lane(
                $"{op}.{type} %d, %a, %b, %c;", k, [k, k, k], v => Bits(f(Value(type, v[0]), Value(type, v[1]), Value(type, v[2]))));
        }

        foreach ((string a, string b) in new[] { ("u32", "u32"), ("u32", "s32"), ("s32", "u32"), ("s32", "s32") })
        {
            yield return OpcodeCase.Lane($"dp4a.{a}.{b} %d, %a, %b, %c;", I32, [I32, I32, I32], v =>
            {
                BigInteger sum = v[2];
                for (int i = 0; i < 32; i += 8)
                {
                    sum += Value(a[0] + "8", v[0] >> i) * Value(b[0] + "8", v[1] >> i);
                }

                return Bits(sum);
            });
        }
    }

    private static IEnumerable<OpcodeCase> Division()
    {
        foreach (string type in s_all)
        {
            yield return Two("div", type, (a, b) => b.IsZero ? -1 : BigInteger.Divide(a, b)) with { Provokes = Checks.Arithmetic };
            yield return Two("rem", type, (a, b) => b.IsZero ? a : BigInteger.Remainder(a, b)) with { Provokes = Checks.Arithmetic };
        }
    }

    private static IEnumerable<OpcodeCase> Logic()
    {
        foreach (string type in new[] { "b16", "b32", "b64" })
        {
            Kind kind = KindOf(type);
            yield return OpcodeCase.Lane($"and.{type} %d, %a, %b;", kind, [kind, kind], v => v[0] & v[1]);
            yield return OpcodeCase.Lane($"or.{type} %d, %a, %b;", kind, [kind, kind], v => v[0] | v[1]);
            yield return OpcodeCase.Lane($"xor.{type} %d, %a, %b;", kind, [kind, kind], v => v[0] ^ v[1]);
            yield return OpcodeCase.Lane($"not.{type} %d, %a;", kind, [kind], v => ~v[0]);
        }

        yield return OpcodeCase.Lane("and.pred %d, %a, %b;", Pred, [Pred, Pred], v => v[0] & v[1]);
        yield return OpcodeCase.Lane("or.pred %d, %a, %b;", Pred, [Pred, Pred], v => v[0] | v[1]);
        yield return OpcodeCase.Lane("xor.pred %d, %a, %b;", Pred, [Pred, Pred], v => v[0] ^ v[1]);
        yield return OpcodeCase.Lane("not.pred %d, %a;", Pred, [Pred], v => v[0] ^ 1);
        foreach (int table in new[] { 0, 0x80, 0x96, 0xCA, 0xE8, 0x1B, 0xFF, 0xF0, 0xCC, 0xAA, 0x2D })
        {
            yield return OpcodeCase.Lane($"lop3.b32 %d, %a, %b, %c, 0x{table:x};", I32, [I32, I32, I32], v =>
            {
                ulong r = 0;
                for (int i = 0; i < 32; i++)
                {
                    int index = (int)((((v[0] >> i) & 1) << 2) | (((v[1] >> i) & 1) << 1) | ((v[2] >> i) & 1));
                    r |= (ulong)((table >> index) & 1) << i;
                }

                return r;
            }) with
            { Spelling = $"lop3.b32 (0x{table:x2})" };
        }
    }

    private static IEnumerable<OpcodeCase> Shifts()
    {
        foreach (string type in new[] { "b16", "b32", "b64" })
        {
            int width = Width(type);
            yield return OpcodeCase.Lane($"shl.{type} %d, %a, %b;", KindOf(type), [KindOf(type), Count], v => Bits(v[1] >= (ulong)width ? 0 : (BigInteger)v[0] << (int)v[1]));
            foreach (int n in new[] { 0, 1, width - 1, width, 255 })
            {
                yield return OpcodeCase.Lane($"shl.{type} %d, %a, {n};", KindOf(type), [KindOf(type)], v => Bits(n >= width ? 0 : (BigInteger)v[0] << n)) with
                {
                    Spelling = $"shl.{type} (by {n})",
                };
            }
        }

        foreach (string type in (string[])[.. s_all, "b16", "b32", "b64"])
        {
            yield return OpcodeCase.Lane($"shr.{type} %d, %a, %b;", KindOf(type), [KindOf(type), Count], v => Bits(Value(type, v[0]) >> (int)Math.Min(v[1], 64)));
            yield return OpcodeCase.Lane($"shr.{type} %d, %a, 32;", KindOf(type), [KindOf(type)], v => Bits(Value(type, v[0]) >> 32)) with { Spelling = $"shr.{type} (by 32)" };
            yield return OpcodeCase.Lane($"shr.{type} %d, %a, 3;", KindOf(type), [KindOf(type)], v => Bits(Value(type, v[0]) >> 3)) with { Spelling = $"shr.{type} (by 3)" };
        }

        foreach (bool wrap in new[] { true, false })
        {
            string mode = wrap ? "wrap" : "clamp";
            int Amount(ulong n) => wrap ? (int)(n & 31) : (int)Math.Min(n, 32);
            yield return OpcodeCase.Lane($"shf.l.{mode}.b32 %d, %a, %b, %c;", I32, [I32, I32, Count], v => Bits(((((BigInteger)v[1] << 32) | v[0]) << Amount(v[2])) >> 32));
            yield return OpcodeCase.Lane($"shf.r.{mode}.b32 %d, %a, %b, %c;", I32, [I32, I32, Count], v => Bits((((BigInteger)v[1] << 32) | v[0]) >> Amount(v[2])));
        }
    }

    private static IEnumerable<OpcodeCase> BitFields()
    {
        foreach (string type in new[] { "u32", "s32", "u64", "s64" })
        {
            int width = Width(type);
            yield return OpcodeCase.Lane($"bfe.{type} %d, %a, %b, %c;", KindOf(type), [KindOf(type), Count, Count], v => Extract(type, v[0], v[1], v[2]));
            yield return OpcodeCase.Lane($"bfe.{type} %d, %a, 5, 7;", KindOf(type), [KindOf(type)], v => Extract(type, v[0], 5, 7)) with { Spelling = $"bfe.{type} (immediate)" };
            string bits = "b" + width;
            if (type[0] == 'u')
            {
                yield return OpcodeCase.Lane($"bfi.{bits} %d, %a, %b, %c, %e;", KindOf(type), [KindOf(type), KindOf(type), Count, Count], v =>
                {
                    int pos = (int)(v[2] & 255), len = (int)(v[3] & 255);
                    ulong r = v[1];
                    for (int i = 0; i < len && pos + i < width; i++)
                    {
                        r = (r & ~(1UL << (pos + i))) | (((v[0] >> i) & 1) << (pos + i));
                    }

                    return r;
                });
                yield return OpcodeCase.Lane($"popc.{bits} %d, %a;", I32, [KindOf(type)], v => (ulong)Enumerable.Range(0, width).Count(i => ((v[0] >> i) & 1) != 0));
                yield return OpcodeCase.Lane($"clz.{bits} %d, %a;", I32, [KindOf(type)], v => (ulong)Enumerable.Range(0, width).TakeWhile(i => ((v[0] >> (width - 1 - i)) & 1) == 0).Count());
                yield return OpcodeCase.Lane($"brev.{bits} %d, %a;", KindOf(type), [KindOf(type)], v =>
                    Enumerable.Range(0, width).Aggregate(0ul, (r, i) => r | (((v[0] >> i) & 1) << (width - 1 - i))));
            }

            yield return OpcodeCase.Lane($"bfind.{type} %d, %a;", I32, [KindOf(type)], v => (ulong)Find(type, v[0]));
            yield return OpcodeCase.Lane($"bfind.shiftamt.{type} %d, %a;", I32, [KindOf(type)], v => (ulong)(Find(type, v[0]) is var at && at < 0 ? -1 : width - 1 - at));
        }

        yield return OpcodeCase.Lane("prmt.b32 %d, %a, %b, %c;", I32, [I32, I32, I32], v => Permute(v[0], v[1], v[2]));
        foreach (uint selector in new uint[] { 0x3210u, 0x7531, 0x5410, 0x7632, 0xBA98, 0xFEDC, 0x0123, 0x1032, 0x8F80 })
        {
            yield return OpcodeCase.Lane($"prmt.b32 %d, %a, %b, 0x{selector:x};", I32, [I32, I32], v => Permute(v[0], v[1], selector)) with { Spelling = $"prmt.b32 (0x{selector:x4})" };
        }

        static ulong Permute(ulong a, ulong b, ulong selector)
        {
            ulong pool = (b << 32) | a, r = 0;
            for (int i = 0; i < 4; i++)
            {
                int s = (int)(selector >> (4 * i)) & 15;
                ulong one = (pool >> (8 * (s & 7))) & 0xFF;
                r |= ((s & 8) == 0 ? one : (one & 0x80) != 0 ? 0xFFul : 0) << (8 * i);
            }

            return r;
        }

        // Bit by bit as the manual says it: bits past the value repeat the sign bit, which is the field's top bit or the value's.
        static ulong Extract(string type, ulong a, ulong position, ulong length)
        {
            int msb = Width(type) - 1, pos = (int)(position & 255), len = (int)(length & 255);
            ulong sign = type[0] == 'u' || len == 0 ? 0 : (a >> Math.Min(pos + len - 1, msb)) & 1, r = 0;
            for (int i = 0; i <= msb; i++)
            {
                r |= (i < len && pos + i <= msb ? (a >> (pos + i)) & 1 : sign) << i;
            }

            return r;
        }

        // The highest bit that is not a copy of the sign; -1 if there is none.
        static int Find(string type, ulong a)
        {
            BigInteger v = Value(type, a);
            v = v.Sign < 0 ? -1 - v : v;
            return (int)v.GetBitLength() - 1;
        }
    }

    private static bool Holds(string name, int order) => name switch
    {
        "eq" => order == 0,
        "ne" => order != 0,
        "lt" or "lo" => order < 0,
        "le" or "ls" => order <= 0,
        "gt" or "hi" => order > 0,
        _ => order >= 0,
    };

    private static IEnumerable<OpcodeCase> Comparisons()
    {
        foreach (string type in (string[])[.. s_all, "b16", "b32", "b64"])
        {
            string[] names = type[0] switch
            {
                'b' => ["eq", "ne"],
                's' => ["eq", "ne", "lt", "le", "gt", "ge"],
                _ => ["eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"],
            };
            Kind kind = KindOf(type);
            foreach (string name in names)
            {
                ulong Yes(ulong[] v) => Holds(name, Value(type, v[0]).CompareTo(Value(type, v[1]))) ? 1u : 0;
                yield return OpcodeCase.Lane($"setp.{name}.{type} %d, %a, %b;", Pred, [kind, kind], Yes);
                yield return OpcodeCase.Lane($"setp.{name}.{type} %p0|%d, %a, %b;", Pred, [kind, kind], v => Yes(v) ^ 1) with { Spelling = $"setp.{name}.{type} (second)" };
                foreach (string boolean in new[] { "and", "or", "xor" })
                {
                    ulong Both(ulong r, ulong c) => boolean switch { "and" => r & c, "or" => r | c, _ => r ^ c };
                    yield return OpcodeCase.Lane($"setp.{name}.{boolean}.{type} %d, %a, %b, %c;", Pred, [kind, kind, Pred], v => Both(Yes(v), v[2]));
                    if (type == "s32")
                    {
                        yield return OpcodeCase.Lane($"setp.{name}.{boolean}.{type} %p0|%d, %a, %b, !%c;", Pred, [kind, kind, Pred], v => Both(Yes(v) ^ 1, v[2] ^ 1))
                            with
                        { Spelling = $"setp.{name}.{boolean}.{type} (second, negated)" };
                    }
                }

                foreach (string result in new[] { "u32", "s32", "f32" })
                {
                    ulong one = result == "f32" ? 0x3F80_0000u : uint.MaxValue;
                    yield return OpcodeCase.Lane($"set.{name}.{result}.{type} %d, %a, %b;", I32, [kind, kind], v => Yes(v) * one);
                }
            }
        }
    }

    private static IEnumerable<OpcodeCase> Selection()
    {
        foreach (string type in new[] { "b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64" })
        {
            Kind kind = KindOf("u" + type[1..]);
            yield return OpcodeCase.Lane($"selp.{type} %d, %a, %b, %c;", kind, [kind, kind, Pred], v => v[2] != 0 ? v[0] : v[1]);
        }

        yield return OpcodeCase.Lane("selp.s32 %d, 5, %b, %c;", I32, [I32, I32, Pred], v => v[2] != 0 ? 5 : v[1]) with { Spelling = "selp.s32 (immediate)" };
        foreach (string type in new[] { "b32", "u32", "s32", "f32" })
        {
            yield return OpcodeCase.Lane($"slct.{type}.s32 %d, %a, %b, %c;", I32, [I32, I32, I32], v => (v[2] >> 31) == 0 ? v[0] : v[1]);
            foreach (string ftz in new[] { "", ".ftz" })
            {
                yield return OpcodeCase.Lane($"slct{ftz}.{type}.f32 %d, %a, %b, %c;", I32, [I32, I32, F32], v =>
                    BitConverter.UInt32BitsToSingle((uint)(ftz.Length > 0 ? SoftFormat.F32.Flush(v[2]) : v[2])) >= 0 ? v[0] : v[1]);
            }
        }
    }
}
