namespace AdmNative.VirtualGpu.Tests.Opcodes;

using static Kind;

/// <summary>f32 and f64 arithmetic in all roundings, comparisons, and the approximate functions inside their documented bounds.</summary>
internal static class FloatCases
{
    public static readonly (string Name, RoundTo To)[] Roundings = [("rn", RoundTo.Even), ("rz", RoundTo.Zero), ("rm", RoundTo.Down), ("rp", RoundTo.Up)];

    public static IEnumerable<OpcodeCase> All() => [.. Single(), .. Double(), .. Comparisons(), .. Approximate()];

    /// <summary>A row on one format: .ftz flushes operands and result, .sat clamps, any NaN will do where the format says so.</summary>
    public static OpcodeCase Row(SoftFormat format, Kind kind, string statement, int operands, Func<ulong[], ulong> f)
    {
        string[] modifiers = statement.Split(' ')[0].Split('.');
        bool ftz = modifiers.Contains("ftz"), sat = modifiers.Contains("sat"), relu = modifiers.Contains("relu");
        return OpcodeCase.Lane(statement, kind, [.. Enumerable.Repeat(kind, operands)], v => Apply(format, ftz, sat, relu, v, f)) with
        {
            // The payload of a double-precision NaN is not specified.
            Accepts = format == SoftFormat.F64 ? (_, want, got) => got == want || (format.IsNan(want) && format.IsNan(got)) : null,
        };
    }

    public static ulong Apply(SoftFormat format, bool ftz, bool sat, bool relu, ulong[] v, Func<ulong[], ulong> f)
    {
        ulong r = f(ftz ? [.. v.Select(format.Flush)] : v);
        r = format.IsNan(r) ? format.Nan : r;
        r = ftz ? format.Flush(r) : r;
        r = sat ? format.Saturate(r) : r;
        return relu ? format.Relu(r) : r;
    }

    private static IEnumerable<OpcodeCase> Single()
    {
        SoftFormat s = SoftFormat.F32;
        foreach (string ftz in new[] { "", ".ftz" })
        {
            foreach (string sat in new[] { "", ".sat" })
            {
                foreach ((string name, RoundTo to) in ((string, RoundTo)[])[("", RoundTo.Even), .. Roundings])
                {
                    string m = (name.Length > 0 ? "." + name : "") + ftz + sat;
                    yield return Row(s, F32, $"add{m}.f32 %d, %a, %b;", 2, v => s.Add(v[0], v[1], to));
                    yield return Row(s, F32, $"sub{m}.f32 %d, %a, %b;", 2, v => s.Sub(v[0], v[1], to));
                    yield return Row(s, F32, $"mul{m}.f32 %d, %a, %b;", 2, v => s.Mul(v[0], v[1], to));
                    if (name.Length > 0)
                    {
                        yield return Row(s, F32, $"fma{m}.f32 %d, %a, %b, %c;", 3, v => s.Fma(v[0], v[1], v[2], to));
                        yield return Row(s, F32, $"mad{m}.f32 %d, %a, %b, %c;", 3, v => s.Fma(v[0], v[1], v[2], to));
                    }
                }
            }

            foreach ((string name, RoundTo to) in Roundings)
            {
                yield return Row(s, F32, $"div.{name}{ftz}.f32 %d, %a, %b;", 2, v => s.Div(v[0], v[1], to));
                yield return Row(s, F32, $"rcp.{name}{ftz}.f32 %d, %a;", 1, v => s.Div(s.One, v[0], to));
                yield return Row(s, F32, $"sqrt.{name}{ftz}.f32 %d, %a;", 1, v => s.Sqrt(v[0], to));
            }

            foreach (string nan in new[] { "", ".NaN" })
            {
                yield return Row(s, F32, $"min{ftz}{nan}.f32 %d, %a, %b;", 2, v => s.Min(v[0], v[1], nan.Length > 0));
                yield return Row(s, F32, $"max{ftz}{nan}.f32 %d, %a, %b;", 2, v => s.Max(v[0], v[1], nan.Length > 0));
                ulong Signed(ulong[] v, bool min)
                {
                    ulong r = min ? s.Min(v[0] & ~s.Sign, v[1] & ~s.Sign, nan.Length > 0) : s.Max(v[0] & ~s.Sign, v[1] & ~s.Sign, nan.Length > 0);
                    return s.IsNan(r) ? r : r | ((v[0] ^ v[1]) & s.Sign);
                }

                yield return Row(s, F32, $"min{ftz}{nan}.xorsign.abs.f32 %d, %a, %b;", 2, v => Signed(v, true)) with { Target = "sm_86" };
                yield return Row(s, F32, $"max{ftz}{nan}.xorsign.abs.f32 %d, %a, %b;", 2, v => Signed(v, false)) with { Target = "sm_86" };
            }

            yield return Row(s, F32, $"neg{ftz}.f32 %d, %a;", 1, v => v[0] ^ s.Sign);
            yield return Row(s, F32, $"abs{ftz}.f32 %d, %a;", 1, v => v[0] & ~s.Sign);
        }

        yield return Row(s, F32, "add.f32 %d, %a, 0fC0490FDB;", 1, v => s.Add(v[0], 0xC049_0FDB, RoundTo.Even));
        yield return OpcodeCase.Lane("copysign.f32 %d, %a, %b;", F32, [F32, F32], v => (v[0] & s.Sign) | (v[1] & ~s.Sign));
        (string Name, Func<ulong, bool> Is)[] tests =
        [
            ("finite", v => (v & s.Infinity) != s.Infinity), ("infinite", s.IsInfinity), ("number", v => !s.IsNan(v)), ("notanumber", s.IsNan),
            ("normal", v => (v & s.Infinity) is not 0 and not 0x7F80_0000), ("subnormal", s.IsSubnormal),
        ];
        foreach ((string name, Func<ulong, bool> isSo) in tests)
        {
            yield return OpcodeCase.Lane($"testp.{name}.f32 %d, %a;", Pred, [F32], v => isSo(v[0]) ? 1u : 0);
        }
    }

    private static IEnumerable<OpcodeCase> Double()
    {
        SoftFormat s = SoftFormat.F64;
        foreach ((string name, RoundTo to) in ((string, RoundTo)[])[("", RoundTo.Even), .. Roundings])
        {
            string m = name.Length > 0 ? "." + name : "";
            yield return Row(s, F64, $"add{m}.f64 %d, %a, %b;", 2, v => s.Add(v[0], v[1], to));
            yield return Row(s, F64, $"sub{m}.f64 %d, %a, %b;", 2, v => s.Sub(v[0], v[1], to));
            yield return Row(s, F64, $"mul{m}.f64 %d, %a, %b;", 2, v => s.Mul(v[0], v[1], to));
            if (name.Length > 0)
            {
                yield return Row(s, F64, $"fma{m}.f64 %d, %a, %b, %c;", 3, v => s.Fma(v[0], v[1], v[2], to));
                yield return Row(s, F64, $"mad{m}.f64 %d, %a, %b, %c;", 3, v => s.Fma(v[0], v[1], v[2], to));
                yield return Row(s, F64, $"div{m}.f64 %d, %a, %b;", 2, v => s.Div(v[0], v[1], to));
                yield return Row(s, F64, $"rcp{m}.f64 %d, %a;", 1, v => s.Div(s.One, v[0], to));
                yield return Row(s, F64, $"sqrt{m}.f64 %d, %a;", 1, v => s.Sqrt(v[0], to));
            }
        }

        yield return Row(s, F64, "min.f64 %d, %a, %b;", 2, v => s.Min(v[0], v[1]));
        yield return Row(s, F64, "max.f64 %d, %a, %b;", 2, v => s.Max(v[0], v[1]));
        yield return Row(s, F64, "neg.f64 %d, %a;", 1, v => v[0] ^ s.Sign);
        yield return Row(s, F64, "abs.f64 %d, %a;", 1, v => v[0] & ~s.Sign);
    }

    public static bool Holds(SoftFormat s, string name, ulong a, ulong b)
    {
        double x = s.ToDouble(a), y = s.ToDouble(b);
        bool unordered = double.IsNaN(x) || double.IsNaN(y);
        return name switch
        {
            "num" => !unordered,
            "nan" => unordered,
            "eq" or "equ" => unordered ? name == "equ" : x == y,
            "ne" or "neu" => unordered ? name == "neu" : x != y,
            "lt" or "ltu" => unordered ? name == "ltu" : x < y,
            "le" or "leu" => unordered ? name == "leu" : x <= y,
            "gt" or "gtu" => unordered ? name == "gtu" : x > y,
            _ => unordered ? name == "geu" : x >= y,
        };
    }

    public static readonly string[] Compares = ["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"];

    private static IEnumerable<OpcodeCase> Comparisons()
    {
        foreach ((SoftFormat s, Kind kind, string ftz) in new[] { (SoftFormat.F32, F32, ""), (SoftFormat.F32, F32, ".ftz"), (SoftFormat.F64, F64, "") })
        {
            foreach (string name in Compares)
            {
                ulong Yes(ulong[] v) => Holds(s, name, ftz.Length > 0 ? s.Flush(v[0]) : v[0], ftz.Length > 0 ? s.Flush(v[1]) : v[1]) ? 1u : 0;
                yield return OpcodeCase.Lane($"setp.{name}{ftz}.{s.Name} %d, %a, %b;", Pred, [kind, kind], Yes);
                yield return OpcodeCase.Lane($"setp.{name}{ftz}.{s.Name} %p1|%d, %a, %b;", Pred, [kind, kind], v => Yes(v) ^ 1);
                yield return OpcodeCase.Lane($"setp.{name}.and{ftz}.{s.Name} %d, %a, %b, !%c;", Pred, [kind, kind, Pred], v => Yes(v) & (v[2] ^ 1));
                yield return OpcodeCase.Lane($"setp.{name}.or{ftz}.{s.Name} %d, %a, %b, %c;", Pred, [kind, kind, Pred], v => Yes(v) | v[2]);
                yield return OpcodeCase.Lane($"setp.{name}.xor{ftz}.{s.Name} %d, %a, %b, %c;", Pred, [kind, kind, Pred], v => Yes(v) ^ v[2]);
                yield return OpcodeCase.Lane($"set.{name}{ftz}.u32.{s.Name} %d, %a, %b;", I32, [kind, kind], v => Yes(v) * uint.MaxValue);
                yield return OpcodeCase.Lane($"set.{name}{ftz}.s32.{s.Name} %d, %a, %b;", I32, [kind, kind], v => Yes(v) * uint.MaxValue);
                yield return OpcodeCase.Lane($"set.{name}{ftz}.f32.{s.Name} %d, %a, %b;", I32, [kind, kind], v => Yes(v) * 0x3F80_0000);
            }
        }
    }

    /// <summary>Within a distance of the exact value, or its special case; subnormal results may be flushed where .ftz says so.</summary>
    private static OpcodeCase Near(string statement, Kind[] inputs, Func<double[], double> exact, Func<double[], double, double> bound)
    {
        bool ftz = statement.Split(' ')[0].Split('.').Contains("ftz");
        SoftFormat s = SoftFormat.F32;
        double[] Values(ulong[] v) => [.. v.Select(x => s.ToDouble(ftz ? s.Flush(x) : x))];
        return OpcodeCase.Lane(statement, F32, inputs, v => s.ConvertTo(s, BitConverter.SingleToUInt32Bits((float)exact(Values(v))), RoundTo.Even)) with
        {
            Accepts = (v, want, got) =>
            {
                double[] x = Values(v);
                double e = exact(x), g = s.ToDouble(got);
                if (double.IsNaN(e) || double.IsNaN(g))
                {
                    return double.IsNaN(e) && got == s.Nan;
                }

                if (double.IsInfinity(e) || double.IsInfinity(g) || e == 0)
                {
                    // Overflow at the edge of the format is the rounding's choice.
                    return e == 0 ? g == 0 && double.IsNegative(e) == double.IsNegative(g) : g == e || (Math.Abs(e) > 3.4028234e38 && double.IsInfinity(g) && (e > 0) == (g > 0));
                }

                double allowed = bound(x, e) + (ftz && Math.Abs(e) < 1.1754944e-38 ? 1.1754944e-38 : Math.ScaleB(1, -150));
                return Math.Abs(g - e) <= allowed && !(ftz && s.IsSubnormal(got));
            },
        };
    }

    private static IEnumerable<OpcodeCase> Approximate()
    {
        double Ulp(double e) => Math.Max(Math.ScaleB(1, Math.ILogB(e) - 23), Math.ScaleB(1, -149));
        foreach (string ftz in new[] { "", ".ftz" })
        {
            yield return Near($"rcp.approx{ftz}.f32 %d, %a;", [F32], x => 1 / x[0], (_, e) => Ulp(e));
            yield return Near($"sqrt.approx{ftz}.f32 %d, %a;", [F32], x => Math.Sqrt(x[0]), (_, e) => e * Math.ScaleB(1, -23));
            yield return Near($"rsqrt.approx{ftz}.f32 %d, %a;", [F32], x => 1 / Math.Sqrt(x[0]), (_, e) => e * Math.Pow(2, -22.9));
            yield return Near($"ex2.approx{ftz}.f32 %d, %a;", [F32], x => Math.Pow(2, x[0]), (_, e) => 2 * Ulp(e));
            yield return Near($"lg2.approx{ftz}.f32 %d, %a;", [F32], x => Math.Log2(x[0]), (x, e) => x[0] is > 0.5 and < 2 ? Math.ScaleB(1, -22) : Math.Abs(e) * Math.ScaleB(1, -22));
            foreach ((string name, Func<double, double> f) in new (string, Func<double, double>)[] { ("sin", Math.Sin), ("cos", Math.Cos) })
            {
                yield return Near($"{name}.approx{ftz}.f32 %d, %a;", [Angle], x => f(x[0]), (x, _) =>
                    Math.Abs(x[0]) <= 2 * Math.PI ? Math.Pow(2, -20.5) : Math.Pow(2, -14.7));
                yield return SpecialAngle($"{name}.approx{ftz}.f32 %d, %b;", f);
            }

            foreach (string kind in new[] { "approx", "full" })
            {
                yield return Near($"div.{kind}{ftz}.f32 %d, %a, %b;", [F32, F32], x => DivideApprox(x[0], x[1], kind), (x, e) => 2 * Ulp(e));
            }
        }

        yield return Near("tanh.approx.f32 %d, %a;", [F32], x => Math.Tanh(x[0]), (_, e) => Math.Abs(e) * Math.ScaleB(1, -11));

        // A divisor beyond 2^126: zero, or NaN under an infinity. div.full has the whole range.
        static double DivideApprox(double a, double b, string kind) =>
            kind == "approx" && Math.Abs(b) > Math.ScaleB(1, 126) && !double.IsInfinity(b)
                ? double.IsInfinity(a) ? double.NaN : double.IsNaN(a) ? a : Math.CopySign(0, Math.CopySign(1, a) * Math.CopySign(1, b))
                : a / b;

        // sin and cos of zeros, infinities and NaN.
        static OpcodeCase SpecialAngle(string statement, Func<double, double> f) => OpcodeCase.Lane(
            statement, F32, [F32, F32], v => v[1] is 0 or 0x8000_0000 || SoftFormat.F32.IsNan(v[1]) || SoftFormat.F32.IsInfinity(v[1])
                ? SoftFormat.F32.ConvertTo(SoftFormat.F32, BitConverter.SingleToUInt32Bits((float)f(SoftFormat.F32.ToDouble(v[1]))), RoundTo.Even) : 0) with
        {
            Accepts = (v, want, got) => want == got || (!SoftFormat.F32.IsZero(v[1]) && !SoftFormat.F32.IsNan(v[1]) && !SoftFormat.F32.IsInfinity(v[1])),
        };
    }
}
