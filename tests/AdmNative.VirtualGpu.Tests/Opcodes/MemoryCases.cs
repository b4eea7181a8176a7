namespace AdmNative.VirtualGpu.Tests.Opcodes;

using static Kind;

/// <summary>Loads and stores of every type, width and space, atomics and reductions, asynchronous copies. Each thread works on 32 bytes of its own.</summary>
internal static class MemoryCases
{
    private static readonly string[] s_types = ["b8", "u8", "s8", "b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"];

    private sealed record Space(string Name, string Address, string Before, string Declarations, string Locals);

    private const string SharedBase = "mov.u32 %t7, NAME_s; mad.lo.u32 %t7, %thread, 32, %t7; ";

    private static readonly Space[] s_spaces =
    [
        new(".global", "%at", "", "", ""),
        new(".shared", "%t7", SharedBase, ".shared .align 16 .b8 NAME_s[16384];", ""),
        new(".local", "%u7", "mov.u64 %u7, NAME_l; ", "", ".local .align 16 .b8 NAME_l[32];"),
        new("", "%u7", SharedBase + "cvt.u64.u32 %u6, %t7; cvta.shared.u64 %u7, %u6; ", ".shared .align 16 .b8 NAME_s[16384];", ""),
        new("", "%u7", "mov.u64 %u6, NAME_l; cvta.local.u64 %u7, %u6; ", "", ".local .align 16 .b8 NAME_l[32];"),
    ];

    public static IEnumerable<OpcodeCase> All() => [.. Loads(), .. Stores(), .. Qualifiers(), .. Constants(), .. Parameters(), .. Atomics(), .. AsyncCopies()];

    private static int Width(string type) => IntegerCases.Width(type);

    private static Kind Register(int bits) => bits switch { <= 16 => I16, 32 => I32, _ => I64 };

    private static string Temporary(int bits, int i) => bits switch { <= 16 => $"%h{i}", 32 => $"%t{i}", _ => $"%u{i}" };

    /// <summary>An element as a register of the given width sees it.</summary>
    private static ulong Extend(string type, ulong bits) =>
        type[0] == 's' ? IntegerCases.Bits(IntegerCases.Value(type, bits)) : bits & (ulong.MaxValue >> (64 - Width(type)));

    private static ulong Element(ulong low, ulong high, string type, int index)
    {
        int bit = index * Width(type);
        return Extend(type, bit < 64 ? low >> bit : high >> (bit - 64));
    }

    private static IEnumerable<OpcodeCase> Loads()
    {
        foreach ((int index, Space space) in s_spaces.Index())
        {
            string before = $"{space.Before}st{space.Name}.v2.b64 [{space.Address}], {{%a, %b}};";
            foreach (string type in s_types)
            {
                int width = Width(type);
                foreach (int register in new[] { 16, 32, 64 }.Where(r => r >= width && (type[0] != 'f' || r == width)))
                {
                    yield return Row($"ld{space.Name}.{type} %d, [{space.Address}];", Register(register), v => Element(v[0], v[1], type, 0), $"into {register} bits");
                }

                yield return Row($"ld{space.Name}.{type} %d, [{space.Address}+{16 - (width / 8)}];", Register(width), v => Element(v[0], v[1], type, (128 / width) - 1), "last element");
                foreach (int count in new[] { 2, 4 }.Where(n => n * width <= 128))
                {
                    for (int k = 0; k < count; k++)
                    {
                        int element = k;
                        string list = string.Join(", ", Enumerable.Range(0, count).Select(i => i == element ? "%d" : Temporary(width, i)));
                        yield return Row($"ld{space.Name}.v{count}.{type} {{{list}}}, [{space.Address}];", Register(width), v => Element(v[0], v[1], type, element), $"element {element}");
                    }

                    if (width is 8 or 16 && index < 2)
                    {
                        string wide = string.Join(", ", Enumerable.Range(0, count).Select(i => i == 1 ? "%d" : $"%t{i}"));
                        yield return Row($"ld{space.Name}.v{count}.{type} {{{wide}}}, [{space.Address}];", I32, v => Element(v[0], v[1], type, 1), "into 32 bits");
                    }
                }
            }

            OpcodeCase Row(string statement, Kind result, Func<ulong[], ulong> expected, string what) => OpcodeCase.Lane(statement, result, [I64, I64], expected) with
            {
                Before = before,
                Threads = 128,
                Declarations = space.Declarations,
                Locals = space.Locals,
                Spelling = $"{statement.Split(' ')[0]} ({what})",
            };
        }
    }

    private static IEnumerable<OpcodeCase> Stores()
    {
        const ulong Fill = 0x1122_3344_5566_7788;
        foreach (Space space in s_spaces)
        {
            string before = $"{space.Before}mov.u64 %u5, 0x{Fill:x}; st{space.Name}.v2.b64 [{space.Address}], {{%u5, %u5}};";
            foreach (string type in s_types)
            {
                int width = Width(type);
                foreach (int register in new[] { 16, 32, 64 }.Where(r => r >= width && (type[0] != 'f' || r == width)))
                {
                    ulong mask = ulong.MaxValue >> (64 - width);
                    yield return Row($"st{space.Name}.{type} [{space.Address}], %a;", [Register(register)], 0, v => (Fill & ~mask) | (v[0] & mask), $"from {register} bits");
                }

                foreach (int count in new[] { 2, 4 }.Where(n => n * width <= 128))
                {
                    string[] names = ["%a", "%b", "%c", "%e"];
                    Kind[] inputs = [.. Enumerable.Repeat(Register(width), count)];
                    for (int half = 0; half < (count * width > 64 ? 2 : 1); half++)
                    {
                        int at = half;
                        yield return Row(
                            $"st{space.Name}.v{count}.{type} [{space.Address}], {{{string.Join(", ", names.Take(count))}}};", inputs, at, v => Image(v, count, width, at), $"bytes {8 * at}..");
                    }
                }
            }

            OpcodeCase Row(string statement, Kind[] inputs, int half, Func<ulong[], ulong> expected, string what) => OpcodeCase.Lane(statement, I64, inputs, expected) with
            {
                Statement = $"{statement} ld{space.Name}.b64 %d, [{space.Address}+{8 * half}];",
                Before = before,
                Threads = 128,
                Declarations = space.Declarations,
                Locals = space.Locals,
                Spelling = $"{statement.Split(' ')[0]} ({what})",
            };
        }

        static ulong Image(ulong[] v, int count, int width, int half)
        {
            ulong image = Fill;
            for (int i = 0; i < count; i++)
            {
                int bit = (i * width) - (64 * half);
                if (bit is >= 0 and < 64)
                {
                    ulong mask = (ulong.MaxValue >> (64 - width)) << bit;
                    image = (image & ~mask) | ((v[i] << bit) & mask);
                }
            }

            return image;
        }
    }

    private static IEnumerable<OpcodeCase> Qualifiers()
    {
        // A negative byte or short in a 16-bit register is 16 bits wide for whoever uses it next.
        foreach (string type in new[] { "s8", "s16" })
        {
            (string Use, Kind Result, Func<ulong, ulong> F)[] uses =
            [
                ("min.u16 %d, %h0, 0x9000", I16, x => Math.Min(x, 0x9000)), ("max.u16 %d, %h0, 0x9000", I16, x => Math.Max(x, 0x9000)), ("shr.u16 %d, %h0, 4", I16, x => x >> 4),
                ("cvt.u32.u16 %d, %h0", I32, x => x), ("cvt.u64.u16 %d, %h0", I64, x => x), ("mul.wide.u16 %d, %h0, %h0", I32, x => x * x), ("mov.b32 %d, {%h0, %h0}", I32, x => x | (x << 16)),
                ("setp.gt.u16 %d, %h0, 0x9000", Pred, x => x > 0x9000 ? 1u : 0), ("setp.eq.b16 %d, %h0, 0xFFFE", Pred, x => x == 0xFFFE ? 1u : 0), ("div.u16 %d, %h0, 3", I16, x => x / 3),
                ("cvt.rn.f32.u16 %d, %h0", F32, x => SoftFormat.F32.Round(x, 0, RoundTo.Even)), ("set.le.u32.u16 %d, %h0, 0x9000", I32, x => x <= 0x9000 ? uint.MaxValue : 0),
            ];
            foreach ((string use, Kind result, Func<ulong, ulong> f) in uses)
            {
                yield return OpcodeCase.Lane($"ld.global.{type} %h0, [%at]; {use};", result, [I16], v => f(Extend(type, v[0]) & 0xFFFF)) with
                {
                    Before = "st.global.b16 [%at], %a;",
                    Spelling = $"ld.global.{type} + {use.Split(' ')[0]}",
                };
                yield return OpcodeCase.Lane($"ld.param.{type} %h0, [mask]; {use};", result, [], _ => 0) with
                {
                    Expected = (w, _) => f(Extend(type, w.Mask) & 0xFFFF),
                    IsLane = false,
                    Spelling = $"ld.param.{type} + {use.Split(' ')[0]}",
                };
            }
        }

        foreach (string q in new[]
        {
            "volatile.global", "relaxed.gpu.global", "relaxed.cta.global", "relaxed.sys.global", "acquire.gpu.global", "acquire.sys.global", "acquire.cta.global", "weak.global", "global.ca", "global.cg",
            "global.cs", "global.lu", "global.cv", "global.L1::evict_normal", "global.L1::evict_last", "global.L1::evict_first", "global.L1::no_allocate", "global.L2::64B",
            "global.L2::128B", "global.L2::256B", "global.L1::evict_last.L2::128B", "volatile", "relaxed.gpu", "acquire.gpu", "ca",
        })
        {
            yield return OpcodeCase.Lane($"ld.{q}.u32 %d, [%at+4];", I32, [I32], v => v[0]) with { Before = "st.global.u32 [%at+4], %a;" };
        }

        foreach (string q in new[]
        {
            "volatile.global", "relaxed.gpu.global", "relaxed.cta.global", "release.gpu.global", "release.sys.global", "weak.global", "global.wb", "global.cg", "global.cs", "global.wt",
            "global.L1::evict_last", "volatile", "relaxed.gpu", "release.cta",
        })
        {
            yield return OpcodeCase.Lane($"st.{q}.u32 [%at+4], %a;", I32, [I32], v => v[0]) with { Statement = $"st.{q}.u32 [%at+4], %a; ld.global.u32 %d, [%at+4];", Spelling = $"st.{q}.u32" };
        }

        foreach (string type in s_types)
        {
            int width = Width(type);
            foreach ((string space, string address) in new[] { (".global", "%at+8"), (".shared", "%t7"), ("", "%at+16") })
            {
                yield return OpcodeCase.Lane($"ld.volatile{space}.{type} %d, [{address}];", Register(width), [Register(width)], v => Extend(type, v[0])) with
                {
                    Statement = $"st.volatile{space}.{type} [{address}], %a; ld.volatile{space}.{type} %d, [{address}];",
                    Before = SharedBase,
                    Declarations = ".shared .align 16 .b8 NAME_s[16384];",
                    Spelling = $"ld.volatile{space}.{type}",
                };
            }
        }

        foreach (string type in new[] { "f32", "u32", "b64" })
        {
            string second = Temporary(Width(type), 0);
            yield return OpcodeCase.Lane($"ld.volatile.global.v2.{type} {{{second}, %d}}, [%at];", Register(Width(type)), [I64, I64], v => Element(v[0], v[1], type, 1)) with
            {
                Before = "st.global.v2.b64 [%at], {%a, %b};",
                Threads = 128,
            };
        }

        foreach (string q in new[] { "volatile.shared", "relaxed.cta.shared", "shared::cta", "acquire.cta.shared" })
        {
            string store = q.Replace("acquire", "release", StringComparison.Ordinal);
            yield return OpcodeCase.Lane($"ld.{q}.u32 %d, [%t7];", I32, [I32], v => v[0]) with
            {
                Statement = $"st.{store}.u32 [%t7], %a; ld.{q}.u32 %d, [%t7];",
                Before = SharedBase,
                Declarations = ".shared .align 16 .b8 NAME_s[16384];",
                Spelling = $"ld.{q}.u32",
            };
        }

        foreach (string q in new[] { "nc", "nc.L1::no_allocate", "nc.L2::128B", "nc.L1::no_allocate.L2::256B", "ca.nc", "cg.nc", "cs.nc" })
        {
            foreach (string type in new[] { "u8", "s8", "u16", "s16", "u32", "s32", "f32", "u64", "f64" })
            {
                int width = Width(type);
                // %a's own array is the memory read through the non-coherent path: nobody writes it.
                yield return OpcodeCase.Lane($"ld.global.{q}.{type} %d, [%u0];", Register(width), [I64], v => Element(v[0], 0, type, 0)) with
                {
                    Before = "ld.param.u64 %u0, [a]; add.s64 %u0, %u0, %step;",
                };
            }

            foreach (string type in s_types)
            {
                int width = Width(type);
                foreach (int count in new[] { 2, 4 }.Where(n => n * width <= 128))
                {
                    // Two neighbouring threads read the same 16 bytes of %a's array.
                    int element = count - 1;
                    string list = string.Join(", ", Enumerable.Range(0, count).Select(i => i == element ? "%d" : Temporary(width, i)));
                    yield return new($"ld.global.{q}.v{count}.{type}", $"ld.global.{q}.v{count}.{type} {{{list}}}, [%u0];", Register(width), [I64], (w, lane) =>
                    {
                        int even = ((int)(32 * w.Warp) + lane) & ~1;
                        return Element(w.Thread(0, even), w.Thread(0, even + 1), type, element);
                    })
                    {
                        Before = "ld.param.u64 %u0, [a]; and.b64 %u1, %step, -16; add.s64 %u0, %u0, %u1;",
                        Threads = 128,
                    };
                }
            }
        }

        yield return OpcodeCase.Lane("prefetch.global.L2 [%at]; mov.u32 %d, %a;", I32, [I32], v => v[0]) with { Spelling = "prefetch.global.L2" };
        yield return OpcodeCase.Lane("prefetch.global.L1 [%at]; mov.u32 %d, %a;", I32, [I32], v => v[0]) with { Spelling = "prefetch.global.L1" };
    }

    private static IEnumerable<OpcodeCase> Constants()
    {
        byte[] data = [0x80, 0x01, 0xFE, 0x7F, 0x10, 0x32, 0x54, 0xF6, 0xDE, 0xAD, 0xBE, 0xEF, 0x00, 0xFF, 0x7E, 0x81];
        ulong low = BitConverter.ToUInt64(data, 0), high = BitConverter.ToUInt64(data, 8);
        string bytes = string.Join(", ", data);
        foreach (string type in s_types)
        {
            int width = Width(type);
            foreach ((string space, string declared) in new[] { ("const", "const"), ("global", "global"), ("global.nc", "global") })
            {
                string declaration = $".{declared} .align 16 .b8 NAME_v[16] = {{{bytes}}};";
                yield return OpcodeCase.Lane($"ld.{space}.{type} %d, [NAME_v+8];", Register(width), [], _ => Element(low, high, type, 64 / width)) with { Declarations = declaration };
                yield return OpcodeCase.Lane($"ld.{space}.{type} %d, [%u0+{width / 8}];", Register(width), [], _ => Element(low, high, type, 1)) with
                {
                    Declarations = declaration,
                    Before = "mov.u64 %u0, NAME_v;",
                };
                if (width <= 32)
                {
                    string list = $"{Temporary(width, 0)}, {Temporary(width, 1)}, {Temporary(width, 2)}, %d";
                    yield return OpcodeCase.Lane($"ld.{space}.v4.{type} {{{list}}}, [NAME_v];", Register(width), [], _ => Element(low, high, type, 3)) with { Declarations = declaration };
                }
                else
                {
                    yield return OpcodeCase.Lane($"ld.{space}.v2.{type} {{%u1, %d}}, [NAME_v];", I64, [], _ => high) with { Declarations = declaration };
                }
            }
        }
    }

    private static IEnumerable<OpcodeCase> Parameters()
    {
        foreach (string type in s_types.Where(t => Width(t) <= 32))
        {
            int width = Width(type);
            foreach (int register in new[] { 16, 32, 64 }.Where(r => r >= width && (type[0] != 'f' || r == width)))
            {
                yield return new($"ld.param.{type} ({register} bits)", $"ld.param.{type} %d, [mask];", Register(register), [], (w, _) => Extend(type, w.Mask));
            }

            if (width < 32)
            {
                yield return new($"ld.param.{type} (offset)", $"ld.param.{type} %d, [mask+{4 - (width / 8)}];", Register(width), [], (w, _) => Extend(type, w.Mask >> (32 - width)));
                int count = 32 / width;
                string list = string.Join(", ", Enumerable.Range(0, count).Select(i => i == 1 ? "%d" : $"%h{i}"));
                yield return new($"ld.param.v{count}.{type}", $"ld.param.v{count}.{type} {{{list}}}, [mask];", Register(width), [], (w, _) => Extend(type, w.Mask >> width));
            }

            yield return new($"ld.param.{type} (register)", $"mov.b64 %u0, mask; ld.param.{type} %d, [%u0];", Register(width), [], (w, _) => Extend(type, w.Mask));
        }

        foreach (string type in new[] { "u64", "b64", "s64" })
        {
            yield return new($"ld.param.{type}", $"ld.param.{type} %u0, [a]; ld.global.u64 %d, [%u0];", I64, [I64], (w, _) => w.Thread(0, 0));
        }

        // Whole pointers by their halves or in pairs: what they point at tells whether they came through. a and b lie side by side.
        foreach (string type in new[] { "u32", "s32", "b32", "f32" })
        {
            foreach (string at in new[] { "[a]", "[%u2]" })
            {
                yield return Pointer($"ld.param.v2.{type} {{%t0, %t1}}, {at}; mov.b64 %u0, {{%t0, %t1}};", 0);
                yield return Pointer($"ld.param.v4.{type} {{%t0, %t1, %t2, %t3}}, {at}; mov.b64 %u0, {{%t0, %t1}};", 0);
                yield return Pointer($"ld.param.v4.{type} {{%t0, %t1, %t2, %t3}}, {at}; mov.b64 %u0, {{%t2, %t3}};", 1);
            }
        }

        foreach (string type in new[] { "u64", "s64", "b64", "f64" })
        {
            foreach (string at in new[] { "[a]", "[%u2]" })
            {
                yield return Pointer($"ld.param.{type} %u0, {at};", 0);
                yield return Pointer($"ld.param.v2.{type} {{%u0, %u1}}, {at};", 0);
                yield return Pointer($"ld.param.v2.{type} {{%u1, %u0}}, {at};", 1);
            }
        }

        static OpcodeCase Pointer(string statement, int operand) =>
            new(statement.Split(' ')[0], $"{statement} add.s64 %u0, %u0, %step; ld.global.b64 %d, [%u0];", I64, [I64, I64], (w, lane) => w.Thread(operand, (int)(32 * w.Warp) + lane))
            {
                Before = "mov.b64 %u2, a;",
                Threads = 128,
            };

        // Through a function that gives back what it gets.
        foreach (string type in s_types)
        {
            int width = Width(type);
            string register = Register(width) == I16 ? "b16" : $"b{width}";

            // The calling convention has no scalars below 32 bits.
            string Declared(string name) => width < 32 ? $".align {width / 8} .b8 {name}[{width / 8}]" : $".{type} {name}";
            yield return OpcodeCase.Lane($"st.param.{type} [p], %a;", Register(width), [Register(width)], v => Extend(type, v[0])) with
            {
                Statement = $"{{ .param {Declared("p")}; .param {Declared("q")}; st.param.{type} [p], %a; call (q), NAME_f, (p); ld.param.{type} %d, [q]; }}",
                Declarations = $".func (.param {Declared("r")}) NAME_f(.param {Declared("x")}) {{ .reg .{register} %v; ld.param.{type} %v, [x]; st.param.{type} [r], %v; ret; }}",
            };
            foreach (int count in new[] { 2, 4 }.Where(n => n * width <= 128))
            {
                string[] names = ["%a", "%b", "%c", "%e"];
                string registers = string.Join(", ", Enumerable.Range(0, count).Select(i => $"%v{i}")), given = string.Join(", ", names.Take(count));
                int bytes = count * width / 8;
                for (int k = 0; k < count; k++)
                {
                    int element = k;
                    string taken = string.Join(", ", Enumerable.Range(0, count).Select(i => i == element ? "%d" : Temporary(width, i)));
                    yield return OpcodeCase.Lane(
                        $"st.param.v{count}.{type} [p], {{{given}}};", Register(width), [.. Enumerable.Repeat(Register(width), count)], v => Extend(type, v[element])) with
                    {
                        Statement = $"{{ .param .align {bytes} .b8 p[{bytes}]; .param .align {bytes} .b8 q[{bytes}]; st.param.v{count}.{type} [p], {{{given}}}; call (q), NAME_f, (p); ld.param.v{count}.{type} {{{taken}}}, [q]; }}",
                        Declarations = $".func (.param .align {bytes} .b8 r[{bytes}]) NAME_f(.param .align {bytes} .b8 x[{bytes}]) {{ .reg .{register} %v<4>; ld.param.v{count}.{type} {{{registers}}}, [x]; st.param.v{count}.{type} [r], {{{registers}}}; ret; }}",
                        Spelling = $"st.param.v{count}.{type} (element {element})",
                        Threads = 128,
                    };
                }
            }
        }

        yield return new("ld.param::entry.u32", "ld.param::entry.u32 %d, [mask];", I32, [], (w, _) => w.Mask);
    }

    private static IEnumerable<OpcodeCase> Atomics()
    {
        foreach (Space space in s_spaces.Where(s => s.Name is ".global" or ".shared" || s.Before.Contains("NAME_s", StringComparison.Ordinal)))
        {
            foreach ((string op, string type, Kind kind, Func<ulong[], ulong> apply) in Operations(space))
            {
                string target = type is "bf16" or "bf16x2" ? "sm_90" : "sm_80";
                string bits = $"b{OpcodeHarness.RegisterBits(kind)}", operands = op == "cas" ? "%a, %c" : "%a";
                string modifier = type.Contains('f') && type is not ("f32" or "f64") ? ".noftz" : "";
                Kind[] inputs = op == "cas" ? [kind, kind, kind] : [kind, kind];
                string before = $"{space.Before}st{space.Name}.{bits} [{space.Address}], %b;";
                yield return Row($"atom{space.Name}.{op}{modifier}.{type} %d, [{space.Address}], {operands};", "", v => v[1], "old value");
                yield return Row($"atom{space.Name}.{op}{modifier}.{type} {Temporary(OpcodeHarness.RegisterBits(kind), 0)}, [{space.Address}], {operands};", $" ld{space.Name}.{bits} %d, [{space.Address}];", apply, "new value");
                if (op is not ("cas" or "exch"))
                {
                    yield return Row($"red{space.Name}.{op}{modifier}.{type} [{space.Address}], {operands};", $" ld{space.Name}.{bits} %d, [{space.Address}];", apply, "new value");
                    yield return Row($"atom{space.Name}.{op}{modifier}.{type} _, [{space.Address}], {operands};", $" ld{space.Name}.{bits} %d, [{space.Address}];", apply, "no result");
                }

                OpcodeCase Row(string statement, string after, Func<ulong[], ulong> expected, string what) => OpcodeCase.Lane(statement, kind, inputs, expected) with
                {
                    Statement = statement + after,
                    Before = before,
                    Declarations = space.Declarations,
                    Target = target,
                    Spelling = $"{statement.Split(' ')[0]} ({what})",
                    Accepts = type == "f64" ? (_, want, got) => got == want || (SoftFormat.F64.IsNan(want) && SoftFormat.F64.IsNan(got)) : null,
                };
            }
        }

        foreach (string q in new[] { "relaxed.gpu.global", "acquire.gpu.global", "release.sys.global", "acq_rel.cta.global", "global.gpu", "relaxed.gpu", "global.cta" })
        {
            yield return OpcodeCase.Lane($"atom.{q}.add.u32 %d, [%at], 1;", I32, [I32], v => v[0]) with { Before = "st.global.u32 [%at], %a;" };
        }

        foreach (string q in new[] { "relaxed.gpu.global", "release.gpu.global", "relaxed.sys.global", "global.gpu" })
        {
            yield return OpcodeCase.Lane($"red.{q}.add.u32 [%at], 3;", I32, [I32], v => v[0] + 3) with
            {
                Statement = $"red.{q}.add.u32 [%at], 3; ld.global.u32 %d, [%at];",
                Before = "st.global.u32 [%at], %a;",
                Spelling = $"red.{q}.add.u32",
            };
        }
    }

    private static IEnumerable<(string Op, string Type, Kind Kind, Func<ulong[], ulong> Apply)> Operations(Space space)
    {
        ulong Integer(string type, ulong[] v, Func<System.Numerics.BigInteger, System.Numerics.BigInteger, System.Numerics.BigInteger> f) =>
            IntegerCases.Bits(f(IntegerCases.Value(type, v[1]), IntegerCases.Value(type, v[0])));
        foreach (string type in new[] { "u32", "s32", "u64" })
        {
            yield return ("add", type, IntegerCases.KindOf(type), v => Integer(type, v, (m, a) => m + a));
        }

        foreach (string type in new[] { "u32", "s32", "u64", "s64" })
        {
            yield return ("min", type, IntegerCases.KindOf(type), v => Integer(type, v, System.Numerics.BigInteger.Min));
            yield return ("max", type, IntegerCases.KindOf(type), v => Integer(type, v, System.Numerics.BigInteger.Max));
        }

        foreach (string type in new[] { "b32", "b64" })
        {
            yield return ("and", type, IntegerCases.KindOf(type), v => v[0] & v[1]);
            yield return ("or", type, IntegerCases.KindOf(type), v => v[0] | v[1]);
            yield return ("xor", type, IntegerCases.KindOf(type), v => v[0] ^ v[1]);
            yield return ("exch", type, IntegerCases.KindOf(type), v => v[0]);
        }

        foreach (string type in new[] { "b16", "b32", "b64" })
        {
            yield return ("cas", type, IntegerCases.KindOf(type), v => v[1] == v[0] ? v[2] : v[1]);
        }

        yield return ("inc", "u32", I32, v => v[1] >= v[0] ? 0 : v[1] + 1);
        yield return ("dec", "u32", I32, v => v[1] == 0 || v[1] > v[0] ? v[0] : v[1] - 1);

        // f32 in global memory flushes subnormals, in shared memory it does not.
        SoftFormat s = SoftFormat.F32;
        bool flush = space.Name == ".global";
        yield return ("add", "f32", F32, v => flush ? s.Flush(s.Add(s.Flush(v[0]), s.Flush(v[1]), RoundTo.Even)) : s.Add(v[0], v[1], RoundTo.Even));
        yield return ("add", "f64", F64, v => SoftFormat.F64.Add(v[0], v[1], RoundTo.Even));
        yield return ("add", "f16", F16, v => SoftFormat.F16.Add(v[0], v[1], RoundTo.Even));
        yield return ("add", "bf16", BF16, v => SoftFormat.BF16.Add(v[0], v[1], RoundTo.Even));
        yield return ("add", "f16x2", F16x2, v => Pair(SoftFormat.F16, v));
        yield return ("add", "bf16x2", BF16x2, v => Pair(SoftFormat.BF16, v));
        static ulong Pair(SoftFormat f, ulong[] v) => f.Add(v[0] & 0xFFFF, v[1] & 0xFFFF, RoundTo.Even) | (f.Add(v[0] >> 16, v[1] >> 16, RoundTo.Even) << 16);
    }

    private static IEnumerable<OpcodeCase> AsyncCopies()
    {
        // Four groups of one copy: behind wait_group n all but the last n have landed, and late delivery has touched no other.
        const string Four = "cp.async.ca.shared.global [%t7], [%at], 4; cp.async.commit_group; cp.async.ca.shared.global [%t7+4], [%at+4], 4; cp.async.commit_group; "
            + "cp.async.ca.shared.global [%t7+8], [%at+8], 4; cp.async.commit_group; cp.async.ca.shared.global [%t7+12], [%at+12], 4; cp.async.commit_group; ";
        for (int pending = 0; pending <= 4; pending++)
        {
            for (int slot = 0; slot < 4; slot++)
            {
                int at = slot;
                bool landed = slot < 4 - pending;
                foreach (AsyncDelivery delivery in Enum.GetValues<AsyncDelivery>())
                {
                    bool old = !landed && delivery == AsyncDelivery.Late;
                    yield return OpcodeCase.Lane($"cp.async.wait_group {pending};", I32, [I64, I64], v => old ? 0xDEAD_0000u + (uint)at : (at < 2 ? v[0] : v[1]) >> (32 * (at & 1)) & uint.MaxValue) with
                    {
                        Statement = $"{Four}cp.async.wait_group {pending}; ld.shared.u32 %d, [%t7+{4 * slot}]; cp.async.wait_all;",
                        Before = SharedBase + "st.global.v2.b64 [%at], {%a, %b}; mov.b32 %t0, 0xDEAD0000; mov.b32 %t1, 0xDEAD0001; mov.b32 %t2, 0xDEAD0002; mov.b32 %t3, 0xDEAD0003; st.shared.v4.b32 [%t7], {%t0, %t1, %t2, %t3};",
                        Declarations = ".shared .align 16 .b8 NAME_s[16384];",
                        Spelling = $"cp.async.wait_group {pending} (group {slot}, {delivery})",
                        Delivery = delivery,
                        Provokes = landed ? Checks.None : Checks.AsyncCopies,
                        Threads = 128,
                    };
                }
            }
        }

        foreach ((string cache, int size) in new[] { ("ca", 4), ("ca", 8), ("ca", 16), ("cg", 16) })
        {
            foreach (string hint in new[] { "", ".L2::64B", ".L2::128B", ".L2::256B" })
            {
                foreach (string wait in new[] { "cp.async.wait_all;", "cp.async.commit_group; cp.async.wait_group 0;" })
                {
                    foreach (bool partial in new[] { false, true })
                    {
                        for (int half = 0; half < (size == 16 ? 2 : 1); half++)
                        {
                            int at = half;
                            string statement = $"cp.async.{cache}.shared.global{hint} [%t7], [%at], {size}{(partial ? ", %t0" : "")};";
                            yield return OpcodeCase.Lane(statement, size == 4 ? I32 : I64, [I64, I64, Byte], v =>
                            {
                                int bytes = partial ? Math.Min((int)v[2] & 31, size) : size, here = Math.Clamp(bytes - (8 * at), 0, 8);
                                return here == 0 ? 0 : v[at] & (ulong.MaxValue >> (64 - (8 * here)));
                            }) with
                            {
                                Statement = $"{statement} {wait} ld.shared.b{(size == 4 ? 32 : 64)} %d, [%t7+{8 * at}];",
                                Before = SharedBase + $"st.global.v2.b64 [%at], {{%a, %b}}; and.b32 %t0, %c, 31; min.u32 %t0, %t0, {size};",
                                Declarations = ".shared .align 16 .b8 NAME_s[16384];",
                                Spelling = $"{statement.Split(' ')[0]} {size}{(partial ? " (part)" : "")}",
                            };
                        }
                    }
                }
            }
        }
    }
}
