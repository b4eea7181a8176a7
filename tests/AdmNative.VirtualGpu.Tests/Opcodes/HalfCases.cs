namespace AdmNative.VirtualGpu.Tests.Opcodes;

using static Kind;

/// <summary>f16, f16x2, bf16 and bf16x2 arithmetic and comparisons, judged half by half.</summary>
internal static class HalfCases
{
    private static readonly (string Type, SoftFormat Format, Kind Kind)[] s_types =
        [("f16", SoftFormat.F16, F16), ("f16x2", SoftFormat.F16, F16x2), ("bf16", SoftFormat.BF16, BF16), ("bf16x2", SoftFormat.BF16, BF16x2)];

    public static IEnumerable<OpcodeCase> All() => [.. Arithmetic(), .. Comparisons(), .. Approximate()];

    private static OpcodeCase Row(string statement, SoftFormat s, Kind kind, int operands, Func<ulong[], ulong> f)
    {
        string[] modifiers = statement.Split(' ')[0].Split('.');
        bool ftz = modifiers.Contains("ftz"), sat = modifiers.Contains("sat"), relu = modifiers.Contains("relu");
        bool pair = kind is F16x2 or BF16x2;
        return OpcodeCase.Lane(statement, kind, [.. Enumerable.Repeat(kind, operands)], v =>
        {
            ulong r = FloatCases.Apply(s, ftz, sat, relu, [.. v.Select(x => x & 0xFFFF)], f);
            return pair ? r | (FloatCases.Apply(s, ftz, sat, relu, [.. v.Select(x => x >> 16)], f) << 16) : r;
        });
    }

    private static IEnumerable<OpcodeCase> Arithmetic()
    {
        foreach ((string type, SoftFormat s, Kind kind) in s_types)
        {
            bool brain = type[0] == 'b';
            string later = brain ? "sm_90" : "sm_80"; // most bf16 arithmetic came with sm_90
            foreach (string m in brain ? ["", ".rn"] : new[] { "", ".rn", ".ftz", ".sat", ".ftz.sat", ".rn.ftz", ".rn.sat", ".rn.ftz.sat" })
            {
                yield return Row($"add{m}.{type} %d, %a, %b;", s, kind, 2, v => s.Add(v[0], v[1], RoundTo.Even)) with { Target = later };
                yield return Row($"sub{m}.{type} %d, %a, %b;", s, kind, 2, v => s.Sub(v[0], v[1], RoundTo.Even)) with { Target = later };
                yield return Row($"mul{m}.{type} %d, %a, %b;", s, kind, 2, v => s.Mul(v[0], v[1], RoundTo.Even)) with { Target = later };
            }

            foreach (string m in brain ? ["", ".relu"] : new[] { "", ".ftz", ".sat", ".ftz.sat", ".relu", ".ftz.relu" })
            {
                yield return Row($"fma.rn{m}.{type} %d, %a, %b, %c;", s, kind, 3, v => s.Fma(v[0], v[1], v[2], RoundTo.Even));
            }

            foreach (string m in brain ? ["", ".NaN"] : new[] { "", ".ftz", ".NaN", ".ftz.NaN" })
            {
                bool nan = m.EndsWith("NaN", StringComparison.Ordinal);
                yield return Row($"min{m}.{type} %d, %a, %b;", s, kind, 2, v => s.Min(v[0], v[1], nan));
                yield return Row($"max{m}.{type} %d, %a, %b;", s, kind, 2, v => s.Max(v[0], v[1], nan));
                foreach (bool min in new[] { true, false })
                {
                    yield return Row($"{(min ? "min" : "max")}{m}.xorsign.abs.{type} %d, %a, %b;", s, kind, 2, v =>
                    {
                        ulong a = v[0] & ~s.Sign, b = v[1] & ~s.Sign, r = min ? s.Min(a, b, nan) : s.Max(a, b, nan);
                        return s.IsNan(r) ? r : r | ((v[0] ^ v[1]) & s.Sign);
                    }) with
                    { Target = "sm_86" };
                }
            }

            foreach (string m in brain ? [""] : new[] { "", ".ftz" })
            {
                yield return Row($"neg{m}.{type} %d, %a;", s, kind, 1, v => v[0] ^ s.Sign);
                yield return Row($"abs{m}.{type} %d, %a;", s, kind, 1, v => v[0] & ~s.Sign);
            }
        }
    }

    private static IEnumerable<OpcodeCase> Comparisons()
    {
        foreach ((string type, SoftFormat s, Kind kind) in s_types)
        {
            bool brain = type[0] == 'b', pair = type.EndsWith("x2", StringComparison.Ordinal);
            string target = brain ? "sm_90" : "sm_80";
            foreach (string ftz in brain ? [""] : new[] { "", ".ftz" })
            {
                foreach (string name in FloatCases.Compares)
                {
                    ulong Yes(ulong[] v, int shift)
                    {
                        ulong a = (v[0] >> shift) & 0xFFFF, b = (v[1] >> shift) & 0xFFFF;
                        return FloatCases.Holds(s, name, ftz.Length > 0 ? s.Flush(a) : a, ftz.Length > 0 ? s.Flush(b) : b) ? 1u : 0;
                    }

                    if (pair)
                    {
                        yield return OpcodeCase.Lane($"setp.{name}{ftz}.{type} %d|%p1, %a, %b;", Pred, [kind, kind], v => Yes(v, 0)) with { Target = target };
                        yield return OpcodeCase.Lane($"setp.{name}{ftz}.{type} %p1|%d, %a, %b;", Pred, [kind, kind], v => Yes(v, 16)) with { Target = target };
                        yield return OpcodeCase.Lane($"setp.{name}.and{ftz}.{type} %p1|%d, %a, %b, %c;", Pred, [kind, kind, Pred], v => Yes(v, 16) & v[2]) with { Target = target };
                        yield return OpcodeCase.Lane($"set.{name}{ftz}.{type}.{type} %d, %a, %b;", kind, [kind, kind], v => (Yes(v, 0) * s.One) | ((Yes(v, 16) * s.One) << 16)) with { Target = target };
                    }
                    else
                    {
                        yield return OpcodeCase.Lane($"setp.{name}{ftz}.{type} %d, %a, %b;", Pred, [kind, kind], v => Yes(v, 0)) with { Target = target };
                        yield return OpcodeCase.Lane($"setp.{name}.or{ftz}.{type} %d, %a, %b, %c;", Pred, [kind, kind, Pred], v => Yes(v, 0) | v[2]) with { Target = target };
                        yield return OpcodeCase.Lane($"set.{name}{ftz}.{type}.{type} %d, %a, %b;", kind, [kind, kind], v => Yes(v, 0) * s.One) with { Target = target };
                        yield return OpcodeCase.Lane($"set.{name}{ftz}.u32.{type} %d, %a, %b;", I32, [kind, kind], v => Yes(v, 0) * uint.MaxValue) with { Target = target };
                        yield return OpcodeCase.Lane($"set.{name}{ftz}.s32.{type} %d, %a, %b;", I32, [kind, kind], v => Yes(v, 0) * uint.MaxValue) with { Target = target };
                        yield return OpcodeCase.Lane($"set.{name}{ftz}.u16.{type} %d, %a, %b;", I16, [kind, kind], v => Yes(v, 0) * 0xFFFF) with { Target = target };
                        yield return OpcodeCase.Lane($"set.{name}{ftz}.s16.{type} %d, %a, %b;", I16, [kind, kind], v => Yes(v, 0) * 0xFFFF) with { Target = target };
                    }

                    if (!brain)
                    {
                        yield return pair
                            ? OpcodeCase.Lane($"set.{name}{ftz}.u32.{type} %d, %a, %b;", I32, [kind, kind], v => (Yes(v, 0) * 0xFFFF) | (Yes(v, 16) * 0xFFFF_0000))
                            : OpcodeCase.Lane($"set.{name}{ftz}.f16.f32 %d, %a, %b;", F16, [F32, F32], v =>
                                FloatCases.Holds(SoftFormat.F32, name, ftz.Length > 0 ? SoftFormat.F32.Flush(v[0]) : v[0], ftz.Length > 0 ? SoftFormat.F32.Flush(v[1]) : v[1]) ? s.One : 0);
                    }
                }
            }
        }
    }

    private static IEnumerable<OpcodeCase> Approximate()
    {
        foreach ((string type, SoftFormat s, Kind kind) in s_types)
        {
            bool brain = type[0] == 'b', pair = type.EndsWith("x2", StringComparison.Ordinal);
            yield return Near($"ex2.approx{(brain ? ".ftz" : "")}.{type} %d, %a;", x => Math.Pow(2, x), e => e * (brain ? Math.ScaleB(1, -7) : Math.Pow(2, -9.9)))
                with
            { Target = brain ? "sm_90" : "sm_80" };
            yield return Near($"tanh.approx.{type} %d, %a;", Math.Tanh, e => brain ? Math.ScaleB(1, -8) : Math.Pow(2, -10.987)) with { Target = brain ? "sm_90" : "sm_80" };

            OpcodeCase Near(string statement, Func<double, double> exact, Func<double, double> bound)
            {
                bool ftz = statement.Contains(".ftz", StringComparison.Ordinal);
                ulong Nearest(ulong v) => SoftFormat.F64.ConvertTo(s, BitConverter.DoubleToUInt64Bits(exact(s.ToDouble(ftz ? s.Flush(v) : v))), RoundTo.Even);
                bool Ok(ulong v, ulong got)
                {
                    double e = exact(s.ToDouble(ftz ? s.Flush(v) : v)), g = s.ToDouble(got);
                    double floor = ftz ? Math.ScaleB(1, 1 - s.Bias) : Math.ScaleB(1, 1 - s.Bias - s.Fraction);
                    return double.IsNaN(e) ? got == s.Nan : got == Nearest(v) || Math.Abs(g - e) <= bound(Math.Abs(e)) + floor;
                }

                return OpcodeCase.Lane(statement, kind, [kind], v => pair ? Nearest(v[0] & 0xFFFF) | (Nearest(v[0] >> 16) << 16) : Nearest(v[0])) with
                {
                    Accepts = (v, _, got) => Ok(v[0] & 0xFFFF, got & 0xFFFF) && (!pair || Ok(v[0] >> 16, got >> 16)),
                };
            }
        }
    }
}
