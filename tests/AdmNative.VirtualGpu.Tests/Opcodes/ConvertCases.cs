using System.Numerics;

namespace AdmNative.VirtualGpu.Tests.Opcodes;

using static Kind;

/// <summary>cvt: every pair of types with every rounding, .ftz, .sat, .relu and .satfinite where they are legal, and registers wider than the types.</summary>
internal static class ConvertCases
{
    private static readonly string[] s_integers = ["s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64"];

    private static readonly (string Type, SoftFormat Format, Kind Kind)[] s_floats =
        [("f16", SoftFormat.F16, F16), ("bf16", SoftFormat.BF16, BF16), ("f32", SoftFormat.F32, F32), ("f64", SoftFormat.F64, F64)];

    private static readonly (string Name, RoundTo To)[] s_integral = [("rni", RoundTo.Even), ("rzi", RoundTo.Zero), ("rmi", RoundTo.Down), ("rpi", RoundTo.Up)];

    public static IEnumerable<OpcodeCase> All() => [.. IntegerToInteger(), .. IntegerToFloat(), .. FloatToInteger(), .. FloatToFloat(), .. Packed(), .. Addresses()];

    private static (BigInteger Low, BigInteger High) Range(string type)
    {
        int width = IntegerCases.Width(type);
        return type[0] == 's' ? (-(BigInteger.One << (width - 1)), (BigInteger.One << (width - 1)) - 1) : (0, (BigInteger.One << width) - 1);
    }

    private static IEnumerable<OpcodeCase> IntegerToInteger()
    {
        foreach (string to in s_integers)
        {
            foreach (string from in s_integers)
            {
                (BigInteger low, BigInteger high) = Range(to);
                (BigInteger fromLow, BigInteger fromHigh) = Range(from);
                foreach (string sat in low <= fromLow && high >= fromHigh ? [""] : new[] { "", ".sat" })
                {
                    ulong Result(ulong bits)
                    {
                        BigInteger v = IntegerCases.Value(from, bits);
                        v = sat.Length > 0 ? BigInteger.Clamp(v, low, high) : v;
                        return IntegerCases.Bits(IntegerCases.Value(to, IntegerCases.Bits(v)));
                    }

                    yield return OpcodeCase.Lane($"cvt{sat}.{to}.{from} %d, %a;", IntegerCases.KindOf(to), [IntegerCases.KindOf(from)], v => Result(v[0]));

                    // Wider registers: only the low bits of the source count, and the result is extended by the sign of its type.
                    if (IntegerCases.Width(to) < 64 && IntegerCases.Width(from) < 64)
                    {
                        yield return OpcodeCase.Lane($"cvt{sat}.{to}.{from} %d, %a;", I64, [I64], v => Result(v[0])) with { Spelling = $"cvt{sat}.{to}.{from} (64-bit registers)" };
                    }

                    if (IntegerCases.Width(to) < 32 && IntegerCases.Width(from) < 32)
                    {
                        yield return OpcodeCase.Lane($"cvt{sat}.{to}.{from} %d, %a;", I32, [I32], v => Result(v[0])) with { Spelling = $"cvt{sat}.{to}.{from} (32-bit registers)" };
                    }
                }
            }
        }
    }

    private static IEnumerable<OpcodeCase> IntegerToFloat()
    {
        foreach ((string to, SoftFormat s, Kind kind) in s_floats)
        {
            foreach (string from in s_integers.Where(i => to != "bf16" || IntegerCases.Width(i) > 8))
            {
                foreach ((string rounding, RoundTo mode) in FloatCases.Roundings)
                {
                    foreach (string sat in to == "bf16" ? [""] : new[] { "", ".sat" })
                    {
                        yield return OpcodeCase.Lane($"cvt.{rounding}{sat}.{to}.{from} %d, %a;", kind, [IntegerCases.KindOf(from)], v =>
                        {
                            ulong r = s.Round(IntegerCases.Value(from, v[0]), 0, mode);
                            return sat.Length > 0 ? s.Saturate(r) : r;
                        }) with
                        { Target = to == "bf16" ? "sm_90" : "sm_80" };
                    }
                }
            }
        }
    }

    private static IEnumerable<OpcodeCase> FloatToInteger()
    {
        foreach ((string from, SoftFormat s, Kind kind) in s_floats)
        {
            foreach (string to in s_integers.Where(i => from != "bf16" || IntegerCases.Width(i) > 8))
            {
                int width = IntegerCases.Width(to);
                (BigInteger low, BigInteger high) = Range(to);
                foreach ((string rounding, RoundTo mode) in s_integral)
                {
                    foreach (string ftz in from == "f32" ? ["", ".ftz"] : new[] { "" })
                    {
                        foreach (string sat in from == "bf16" ? [""] : new[] { "", ".sat" })
                        {
                            yield return OpcodeCase.Lane($"cvt.{rounding}{ftz}{sat}.{to}.{from} %d, %a;", IntegerCases.KindOf(to), [kind], v =>
                            {
                                ulong a = ftz.Length > 0 ? s.Flush(v[0]) : v[0];
                                if (s.IsNan(a))
                                {
                                    // Zero, or the top bit where 64 bits are involved.
                                    return from == "f64" || width == 64 ? IntegerCases.Bits(IntegerCases.Value(to, 1UL << (width - 1))) : 0;
                                }

                                BigInteger whole = s.IsInfinity(a) ? s.IsNegative(a) ? low : high : BigInteger.Clamp(s.Whole(a, mode), low, high);
                                return IntegerCases.Bits(whole);
                            }) with
                            { Target = from == "bf16" ? "sm_90" : "sm_80" };
                        }
                    }
                }
            }
        }
    }

    private static IEnumerable<OpcodeCase> FloatToFloat()
    {
        foreach ((string to, SoftFormat t, Kind toKind) in s_floats)
        {
            foreach ((string from, SoftFormat s, Kind fromKind) in s_floats)
            {
                bool narrows = t.Bits < s.Bits || (t.Bits == s.Bits && t != s), brain = to == "bf16" || from == "bf16";
                (string, RoundTo)[] modes = narrows ? [.. FloatCases.Roundings.Select(r => ("." + r.Name, r.To))] : [("", RoundTo.Even)];
                if (t == s)
                {
                    modes = [.. modes, .. s_integral.Select(r => ("." + r.Name, r.To))];
                }

                foreach ((string rounding, RoundTo mode) in modes)
                {
                    bool whole = rounding.EndsWith('i');
                    string[] options = to == "f32" || from == "f32"
                        ? brain ? ["", ".relu"] : ["", ".ftz", ".sat", ".ftz.sat", ".relu"]
                        : brain ? [""] : ["", ".sat"];
                    foreach (string option in options)
                    {
                        bool ftz = option.Contains("ftz", StringComparison.Ordinal), sat = option.Contains("sat", StringComparison.Ordinal);
                        bool relu = option == ".relu";
                        if ((relu && (t.Bits != 16 || !narrows || mode is not (RoundTo.Even or RoundTo.Zero))) || (brain && narrows && from == "f32" && mode is RoundTo.Up or RoundTo.Down))
                        {
                            continue;
                        }

                        yield return OpcodeCase.Lane($"cvt{rounding}{option}.{to}.{from} %d, %a;", toKind, [fromKind], v => Convert(s, t, v[0], mode, whole, ftz, sat, relu)) with
                        {
                            Target = brain && !(to == "bf16" && from == "f32") && !(to == "f32" && from == "bf16") ? "sm_90" : brain && from == "bf16" ? "sm_90" : "sm_80",
                            Accepts = to == "f64" ? (_, want, got) => got == want || (t.IsNan(want) && t.IsNan(got)) : null,
                        };
                    }
                }
            }
        }

        SoftFormat f = SoftFormat.F32;
        foreach (string satfinite in new[] { "", ".satfinite" })
        {
            foreach ((string type, SoftFormat t, Kind kind) in new[] { ("f16", SoftFormat.F16, F16), ("bf16", SoftFormat.BF16, BF16) })
            {
                foreach (string mode in new[] { ".rn", ".rz", ".rn.relu", ".rz.relu" })
                {
                    if (satfinite.Length > 0)
                    {
                        yield return OpcodeCase.Lane($"cvt{mode}{satfinite}.{type}.f32 %d, %a;", kind, [F32], v =>
                            SatFinite(t, Convert(f, t, v[0], mode.StartsWith(".rn", StringComparison.Ordinal) ? RoundTo.Even : RoundTo.Zero, false, false, false, mode.EndsWith("relu", StringComparison.Ordinal))));
                    }
                }
            }

            yield return Tf32($"cvt.rna{satfinite}.tf32.f32 %d, %a;", RoundTo.Away, satfinite) with { Target = "sm_80" };
        }

        foreach (string relu in new[] { "", ".relu" })
        {
            yield return Tf32($"cvt.rn{relu}.tf32.f32 %d, %a;", RoundTo.Even, relu) with { Target = "sm_90" };
            yield return Tf32($"cvt.rz{relu}.tf32.f32 %d, %a;", RoundTo.Zero, relu) with { Target = "sm_90" };
        }

        // The 19 significant bits stand in the upper part of the word; what the rest holds is not specified, ours is zero.
        OpcodeCase Tf32(string statement, RoundTo mode, string option) => OpcodeCase.Lane(statement, I32, [F32], v =>
        {
            ulong r = Convert(f, SoftFormat.TF32, v[0], mode, false, false, false, option == ".relu");
            r = option == ".satfinite" ? SatFinite(SoftFormat.TF32, r) : r;
            return SoftFormat.TF32.IsNan(r) ? f.Nan : r << 13;
        }) with
        { Accepts = (_, want, got) => got == want || (f.IsNan(want) && f.IsNan(got & 0xFFFF_E000)) };
    }

    public static ulong SatFinite(SoftFormat t, ulong v) => t.IsInfinity(v) ? v - 1 : v;

    private static ulong Convert(SoftFormat s, SoftFormat t, ulong v, RoundTo mode, bool whole, bool ftz, bool sat, bool relu)
    {
        v = ftz && s == SoftFormat.F32 ? s.Flush(v) : v;
        v = whole ? s.Integral(v, mode) : v;
        ulong r = s.ConvertTo(t, v, whole ? RoundTo.Even : mode);
        r = ftz && t == SoftFormat.F32 ? t.Flush(r) : r;
        r = sat ? t.Saturate(r) : r;
        return relu ? t.Relu(r) : r;
    }

    private static IEnumerable<OpcodeCase> Packed()
    {
        foreach ((string type, SoftFormat t) in new[] { ("f16x2", SoftFormat.F16), ("bf16x2", SoftFormat.BF16) })
        {
            foreach ((string rounding, RoundTo mode) in FloatCases.Roundings.Take(2))
            {
                foreach (string option in new[] { "", ".relu", ".satfinite", ".relu.satfinite" })
                {
                    bool relu = option.StartsWith(".relu", StringComparison.Ordinal), finite = option.EndsWith("satfinite", StringComparison.Ordinal);
                    ulong One(ulong v)
                    {
                        ulong r = Convert(SoftFormat.F32, t, v, mode, false, false, false, relu);
                        return finite ? SatFinite(t, r) : r;
                    }

                    // The first source goes to the high half.
                    yield return OpcodeCase.Lane($"cvt.{rounding}{option}.{type}.f32 %d, %a, %b;", I32, [F32, F32], v => (One(v[0]) << 16) | One(v[1]));
                }
            }
        }
    }

    private static IEnumerable<OpcodeCase> Addresses()
    {
        foreach (string space in new[] { "global", "shared", "local", "const" })
        {
            // There and back is the identity; what lies between is the device's business.
            yield return OpcodeCase.Lane($"cvta.{space}.u64 %u0, %a; cvta.to.{space}.u64 %d, %u0;", I64, [I32], v => v[0]) with
            {
                Statement = $"cvt.u64.u32 %u1, %a; cvta.{space}.u64 %u0, %u1; cvta.to.{space}.u64 %d, %u0;",
                Spelling = $"cvta.{space}.u64 + cvta.to.{space}.u64",
            };
            yield return OpcodeCase.Lane(
                $"cvta.{space}.u64 %u0, 64; isspacep.{space} %d, %u0;", Pred, [I32], _ => space is "global" or "const" ? 2u : 1) with
            {
                Spelling = $"isspacep.{space}",
                Accepts = (_, want, got) => want == 0 || got == want, // no window of their own for global and const: any answer
            };
        }
    }
}
