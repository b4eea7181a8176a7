using System.Diagnostics;
using AdmNative.Cli;
using AdmNative.Core;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>adm ptx run: launches on real .npz files, and every way they can go wrong.</summary>
public sealed class PtxRunTests
{
    private const string Head = ".version 8.4\n.target sm_80\n.address_size 64\n";

    // y[i] = a * x[i] + y[i]
    private const string Axpy = Head + """
        .visible .entry axpy(.param .u64 y, .param .u64 x, .param .f32 a, .param .u32 n)
        .maxntid 256
        {
        .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f32 %f<5>; .reg .pred %p<2>;
        mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.s32 %r4, %r1, %r2, %r3;
        ld.param.u32 %r5, [n]; setp.ge.u32 %p1, %r4, %r5;
        @%p1 bra $end;
        ld.param.u64 %rd1, [y]; ld.param.u64 %rd2, [x]; mul.wide.u32 %rd3, %r4, 4;
        add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3;
        ld.global.f32 %f1, [%rd5]; ld.global.f32 %f2, [%rd4]; ld.param.f32 %f3, [a];
        fma.rn.f32 %f4, %f3, %f1, %f2;
        st.global.f32 [%rd4], %f4;
        $end:
        ret;
        }
        """;

    private const string AxpyArgs = """[{"buffer":"y"}, {"buffer":"x"}, {"f32":0.5}, {"u32":100}]""";

    // Copies its parameter block, n bytes, to the array.
    private static string Dump(string parameters, int bytes) => Head + $$"""
        .visible .entry dump(.param .u64 to, {{parameters}})
        {
        .reg .b32 %r<4>; .reg .b64 %rd<6>; .reg .pred %p<2>; .reg .b16 %rs<2>;
        ld.param.u64 %rd1, [to]; mov.b64 %rd2, to; mov.u32 %r1, 0;
        $next:
        cvt.u64.u32 %rd3, %r1; add.s64 %rd4, %rd2, %rd3; add.s64 %rd5, %rd1, %rd3;
        ld.param.u8 %rs1, [%rd4]; st.global.u8 [%rd5], %rs1;
        add.u32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, {{bytes}};
        @%p1 bra $next;
        ret;
        }
        """;

    // One thread of a warp after another does the body, for failures that need little else.
    private static string Small(string body, string declarations = "") => Head + declarations + $$"""

        .visible .entry k(.param .u64 a)
        {
        .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<4>; .reg .f32 %f<5>;
        ld.param.u64 %rd1, [a]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;
        {{body}}
        ret;
        }
        """;

    private const string SmallArgs = """[{"alloc":"a","dtype":"s32","shape":[32]}]""";

    /// <summary>A folder with k.ptx, in.npz (x: 0..99, y: all 1) and what the test adds.</summary>
    private sealed class Bench : IDisposable
    {
        public TempFolder Temp { get; } = new();

        public Bench(string ptx)
        {
            TestTexts.Note(ptx);
            File.WriteAllText(Temp["k.ptx"], ptx);
        }

        public void Input(params (string Name, Tensor Tensor)[] arrays)
        {
            using NpzWriter writer = NpzWriter.Create(Temp["in.npz"]);
            foreach ((string name, Tensor tensor) in arrays)
            {
                writer.Add(name, tensor);
            }

            writer.Commit();
        }

        public Adm.Outcome Run(params string[] flags) => Run(CancellationToken.None, flags);

        public Adm.Outcome Run(CancellationToken stop, params string[] flags)
        {
            Adm.Outcome outcome = Adm.Run(stop, ["ptx", "run", Temp["k.ptx"], .. flags.Select(f => f is "in.npz" or "out.npz" or "spec.json" ? Temp[f] : f)]);
            string Short(string text) => text.Replace(Temp.Path + "/", "", StringComparison.Ordinal);
            return new Adm.Outcome(outcome.Code, Short(outcome.Out), Short(outcome.Error));
        }

        public void Dispose() => Temp.Dispose();
    }

    private static Bench AxpyBench()
    {
        var bench = new Bench(Axpy);
        bench.Input(
            ("x", Tensor.From([100], Enumerable.Range(0, 100).Select(i => (float)i).ToArray())), ("y", Tensor.From([10, 10], Enumerable.Repeat(1f, 100).ToArray())));
        return bench;
    }

    private static readonly string[] s_axpy = ["--grid", "4", "--block", "32", "--input", "in.npz", "--output", "out.npz"];

    // ---- good runs

    [Fact]
    public void Arrays_come_back_with_their_names_types_and_shapes()
    {
        using Bench bench = AxpyBench();
        File.WriteAllText(bench.Temp["spec.json"], AxpyArgs);
        Adm.Outcome outcome = bench.Run(["--entry", "axpy", .. s_axpy, "--args", "spec.json"]);
        Assert.Equal("axpy: no findings; results in out.npz\n", outcome.Error);
        Assert.Equal(ExitCode.Done, outcome.Code);
        Assert.Empty(outcome.Out);
        using NpzFile file = NpzFile.Open(bench.Temp["out.npz"]);
        Assert.Equal(["y", "x"], file.Names);
        Assert.Equal(Shape.Create([10, 10]), file.TypeOf("y").Shape);
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (0.5f * i) + 1), file.Read("y").ToFloats());
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (float)i), file.Read("x").ToFloats());
        Assert.Equal(["in.npz", "k.ptx", "out.npz", "spec.json"], bench.Temp.Names);
    }

    [Fact]
    public void The_result_may_replace_the_input_and_quiet_is_quiet()
    {
        using Bench bench = AxpyBench();
        Adm.Outcome outcome = bench.Run("--grid", "4", "--block", "32", "--args", AxpyArgs, "--input", "in.npz", "--output", "in.npz", "--quiet");
        Assert.Equal(new Adm.Outcome(ExitCode.Done, "", ""), outcome);
        using NpzFile file = NpzFile.Open(bench.Temp["in.npz"]);
        Assert.Equal(50.5f, file.Read("y").ToFloats()[99]);
    }

    [Theory]
    [InlineData("--engine interpreter")]
    [InlineData("--engine interpreter --checks none")]
    [InlineData("--engine jit --checks none")]
    [InlineData("--checks none --threads 2")]
    [InlineData("--schedule reverse")]
    [InlineData("--schedule random --seed 7 --delivery late")]
    [InlineData("--schedule adversarial --device sm_86")]
    [InlineData("--schedule all --device h100")]
    [InlineData("--mma sm90 --approx_noise --profile text")]
    [InlineData("--checks all,numeric --max_steps 100000")]
    public void Every_way_of_running_gives_the_same_bits(string flags)
    {
        using Bench bench = AxpyBench();
        Adm.Outcome outcome = bench.Run([.. s_axpy, "--args", AxpyArgs, .. flags.Split(' ')]);
        Assert.True(outcome.Code == ExitCode.Done, outcome.Error);
        using NpzFile file = NpzFile.Open(bench.Temp["out.npz"]);
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (0.5f * i) + 1), file.Read("y").ToFloats());
    }

    [Fact]
    public void Every_kind_of_argument_lands_where_c_puts_it()
    {
        // struct { u8 a; struct { f16 h; f64 d; } in; void* p; s16 w[3]; bf16 b; u8 raw[3]; s64 l; f32 f; } s; then u16, bf16, s8, f64, f32
        const string Spec = """
            [
              {"alloc": "to", "dtype": "u8", "shape": [112], "fill": 238},
              {"struct": [
                {"u8": 255},
                {"struct": [{"f16": 1.5}, {"f64": "-inf"}]},
                {"buffer": "x", "offset": 4},
                {"s16": [-2, 3, "0x7fff"]},
                {"bf16": 1.00390625},
                {"bytes": "0a 0b 0c"},
                {"s64": -9223372036854775808},
                {"f32": 0.1}
              ]},
              {"u16": 65535},
              {"bf16": "nan"},
              {"s8": -128},
              {"f64": 1e300},
              {"f32": 16777217},
              {"u64": 18446744073709551615}
            ]
            """;
        using var bench = new Bench(Dump(".param .align 8 .b8 s[64], .param .u16 h, .param .b16 b, .param .s8 c, .param .f64 d, .param .f32 f, .param .u64 u", 104));
        bench.Input(("x", Tensor.From([3], new float[] { 1, 2, 3 })));
        File.WriteAllText(bench.Temp["spec.json"], Spec);
        Adm.Outcome outcome = bench.Run("--block", "1", "--args", "spec.json", "--input", "in.npz", "--output", "out.npz", "--checks", "all,-uninitialised_memory");
        Assert.True(outcome.Code == ExitCode.Done, outcome.Error);
        using NpzFile file = NpzFile.Open(bench.Temp["out.npz"]);
        byte[] block = file.Read("to").Bytes.ToArray();
        Assert.Equal(255, block[8]);
        Assert.Equal((Half)1.5, BitConverter.ToHalf(block, 16));
        Assert.Equal(double.NegativeInfinity, BitConverter.ToDouble(block, 24));
        Assert.Equal(4, (BitConverter.ToInt64(block, 32) - BitConverter.ToInt64(block, 0)) & 255); // allocations begin at multiples of 256
        Assert.Equal([-2, 3, 0x7fff], new[] { 40, 42, 44 }.Select(i => (int)BitConverter.ToInt16(block, i)));
        Assert.Equal(0x3F80, BitConverter.ToUInt16(block, 46)); // halfway between 1 and 1 + 2^-7: to even
        Assert.Equal([10, 11, 12], block[48..51]);
        Assert.Equal(long.MinValue, BitConverter.ToInt64(block, 56));
        Assert.Equal(0.1f, BitConverter.ToSingle(block, 64));
        Assert.Equal(0, block[68] | block[69] | block[70] | block[71]); // padding of the struct's end
        Assert.Equal(65535, BitConverter.ToUInt16(block, 72));
        Assert.Equal(0x7FFF, BitConverter.ToUInt16(block, 74));
        Assert.Equal(0x80, block[76]);
        Assert.Equal(1e300, BitConverter.ToDouble(block, 80));
        Assert.Equal(16777216f, BitConverter.ToSingle(block, 88));
        Assert.Equal(ulong.MaxValue, BitConverter.ToUInt64(block, 96));
        Assert.Equal(238, block[111]);
    }

    [Theory]
    [InlineData("u8", "fill", "200", DType.U8)]
    [InlineData("s8", "fill", "-100", DType.I8)]
    [InlineData("i16", "fill", "-3", DType.I16)]
    [InlineData("s32", "fill", "1e6", DType.I32)]
    [InlineData("s64", "fill", "\"-5\"", DType.I64)]
    [InlineData("f16", "fill", "0.25", DType.F16)]
    [InlineData("bf16", "fill", "\"inf\"", DType.BF16)]
    [InlineData("f32", "fill", "2.5", DType.F32)]
    [InlineData("f64", "fill", "0", DType.F64)]
    [InlineData("bool", "fill", "1", DType.Bool)]
    public void New_arrays_of_every_type_are_filled_and_come_back(string dtype, string key, string value, DType expected)
    {
        using var bench = new Bench(Head + ".visible .entry k(.param .u64 a)\n{\nret;\n}\n");
        Adm.Outcome outcome = bench.Run("--block", "1", "--output", "out.npz", "--args", $$"""[{"alloc":"a","dtype":"{{dtype}}","shape":[2,3],"{{key}}":{{value}}}]""");
        Assert.True(outcome.Code == ExitCode.Done, outcome.Error);
        using NpzFile file = NpzFile.Open(bench.Temp["out.npz"]);
        Tensor a = file.Read("a");
        Assert.Equal(new TensorType(expected, Shape.Create([2, 3])), new TensorType(a.DType, a.Shape));
        float wanted = value.Trim('"') == "inf" ? float.PositiveInfinity : float.Parse(value.Trim('"'), System.Globalization.CultureInfo.InvariantCulture);
        Assert.All(a.ToFloats(), v => Assert.Equal(expected == DType.Bool ? 1 : wanted, v));
    }

    [Fact]
    public void Without_a_fill_new_memory_holds_ones_and_reading_it_is_a_finding()
    {
        using var bench = new Bench(Small("ld.global.u32 %r2, [%rd3]; st.global.u32 [%rd3], %r2;"));
        Adm.Outcome outcome = bench.Run("--block", "1", "--args", SmallArgs, "--output", "out.npz");
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Contains("byte 0 of 'a' is read, nothing was written there", outcome.Error);
        using NpzFile file = NpzFile.Open(bench.Temp["out.npz"]);
        Assert.All(file.Read("a").AsSpan<int>().ToArray(), v => Assert.Equal(-1, v));
    }

    [Fact]
    public void An_entry_without_parameters_needs_no_arguments_and_empty_arrays_are_null()
    {
        using (var bench = new Bench(Head + ".visible .entry k()\n{\nret;\n}\n"))
        {
            Assert.Equal(new Adm.Outcome(ExitCode.Done, "", "k: no findings\n"), bench.Run("--block", "1"));
        }

        using (var bench = new Bench(Small("")))
        {
            bench.Input(("a", new Tensor(DType.F32, Shape.Create([0, 7]))));
            Assert.Equal(ExitCode.Done, bench.Run("--block", "1", "--args", """[{"buffer":"a"}]""", "--input", "in.npz", "--output", "out.npz").Code);
            using NpzFile file = NpzFile.Open(bench.Temp["out.npz"]);
            Assert.Equal(Shape.Create([0, 7]), file.TypeOf("a").Shape);
        }
    }

    [Fact]
    public void Dynamic_shared_memory_is_as_large_as_asked_for()
    {
        const string Declarations = ".extern .shared .align 16 .b8 s[];";
        const string Body = "mov.u32 %r2, s; mad.lo.u32 %r3, %r1, 4, %r2; st.shared.u32 [%r3], %r1; ld.shared.u32 %r4, [%r3]; st.global.u32 [%rd3], %r4;";
        using var bench = new Bench(Small(Body, Declarations));
        Assert.Equal(ExitCode.Done, bench.Run("--block", "32", "--args", SmallArgs, "--shared", "128").Code);
        Adm.Outcome outcome = bench.Run("--block", "32", "--args", SmallArgs, "--shared", "124");
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Contains("lane 31", outcome.Error);
        outcome = bench.Run("--block", "32", "--args", SmallArgs, "--shared", "120000", "--device", "sm_86");
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains("120000 bytes of dynamic shared memory", outcome.Error);
    }

    // ---- what the kernel prints, counters

    private const string Hello = Head + """
        .extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 v);
        .global .align 1 .b8 text[10] = {104, 105, 32, 37, 100, 10, 0};
        .visible .entry hello()
        {
        .local .align 8 .b8 depot[8];
        .reg .b32 %r<3>; .reg .b64 %rd<6>;
        mov.u64 %rd1, depot; cvta.local.u64 %rd2, %rd1;
        mov.u32 %r1, %tid.x; st.local.u32 [%rd1], %r1;
        mov.u64 %rd3, text; cvta.global.u64 %rd4, %rd3;
        {
        .param .b64 p0; .param .b64 p1; .param .b32 back;
        st.param.b64 [p0], %rd4; st.param.b64 [p1], %rd2;
        call.uni (back), vprintf, (p0, p1);
        ld.param.b32 %r2, [back];
        }
        ret;
        }
        """;

    [Fact]
    public void What_the_kernel_prints_goes_to_stdout()
    {
        using var bench = new Bench(Hello);
        Assert.Equal(new Adm.Outcome(ExitCode.Done, "hi 0\nhi 1\n", "hello: no findings\n"), bench.Run("--block", "2"));
        Assert.Equal("hi 0\nhi 1\n", (string?)JObject.Parse(bench.Run("--block", "2", "--profile", "json").Out)["output"]);
    }

    [Fact]
    public void A_kernel_that_prints_without_end_does_not_fill_the_memory()
    {
        string text = string.Join(", ", Enumerable.Repeat("120", 1000));
        using var bench = new Bench(Hello.Replace("text[10] = {104, 105, 32, 37, 100, 10, 0}", $"text[1001] = {{{text}, 0}}", StringComparison.Ordinal));
        Adm.Outcome outcome = bench.Run("--block", "1024", "--grid", "20");
        Assert.Equal(ExitCode.Done, outcome.Code);
        Assert.InRange(outcome.Out.Length, 1 << 24, (1 << 24) + 2000);
        Assert.EndsWith("\n[more than 16777216 characters printed: the rest is not kept]\n", outcome.Out);
    }

    [Fact]
    public void Counters_are_exact_in_total_and_per_line()
    {
        using Bench bench = AxpyBench();
        Adm.Outcome outcome = bench.Run([.. s_axpy, "--args", AxpyArgs, "--profile", "json", "--device", "sm_89"]);
        Assert.Equal(ExitCode.Done, outcome.Code);
        JObject json = JObject.Parse(outcome.Out);
        JToken c = json["counters"]!;
        // 4 warps; the last has 4 lanes below n. 7 instructions up to the branch, 10 more inside, and ret; 28 threads take the branch.
        Assert.Equal((4 * 7) + (4 * 10) + 4, (int)c["warp_instructions"]!);
        Assert.Equal((128 * 6) + 28 + (100 * 10) + 128, (int)c["lane_instructions"]!);
        Assert.Equal(8, (int)c["global_read_requests"]!);
        // 25 sectors of 8 elements in x and in y
        Assert.Equal(2 * 13, (int)c["global_read_sectors"]!);
        Assert.Equal(800, (int)c["global_read_bytes"]!);
        Assert.Equal(13, (int)c["global_write_sectors"]!);
        Assert.Equal(200, (int)c["flops"]!);
        Assert.Equal(1, (int)c["divergent_branches"]!);
        Assert.Equal(4, json["grid"]![0]);
        Assert.Equal("sm_89", (string?)json["device"]);
        Assert.Empty(json["findings"]!);
        long Sum(string name) => json["lines"]!.Sum(l => (long?)l["counters"]![name] ?? 0);
        foreach (string name in new[] { "warp_instructions", "lane_instructions", "global_read_sectors", "flops", "divergent_branches" })
        {
            Assert.Equal((long)c[name]!, Sum(name));
        }

        JToken bounds = json["lower_bounds"]!;
        Assert.Contains("no device of this profile can be faster", (string?)bounds["note"]);
        Assert.Equal((double)bounds["seconds"]!, bounds["terms"]!.Max(t => (double)t["seconds"]!));
    }

    [Fact]
    public void The_text_profile_has_totals_bounds_and_lines()
    {
        using Bench bench = AxpyBench();
        string text = bench.Run([.. s_axpy, "--args", AxpyArgs, "--profile", "text"]).Out;
        Assert.StartsWith("axpy: 4x1x1 blocks of 32x1x1 threads, 0 bytes of dynamic shared memory\n", text);
        Assert.Contains("arithmetic     200 floating-point operations, 0 in tensor cores\n", text);
        Assert.Contains("lower bound on ", text);
        Assert.Contains("  fma.rn.f32 %f4, %f3, %f1, %f2;\n", text); // the PTX line itself, where there is no other source
    }

    [Fact]
    public void A_shipped_kernel_runs_as_its_catalogue_says()
    {
        const int M = 40, N = 24, K = 40;
        using var bench = new Bench(File.ReadAllText(Repo.Path("kernels", "ptx", "gemm.sm80.ptx")));
        Half[] a = [.. Enumerable.Range(0, M * K).Select(i => (Half)((i * 7 % 11) - 5))], b = [.. Enumerable.Range(0, N * K).Select(i => (Half)((i * 5 % 9) - 4))];
        bench.Input(("a", Tensor.From([M, K], a)), ("b", Tensor.From([N, K], b)));
        File.WriteAllText(bench.Temp["spec.json"], $$"""
            [{"struct": [{"buffer": "a"}, {"buffer": "b"}, {"alloc": "c", "dtype": "f16", "shape": [{{M}}, {{N}}]},
              {"s64": {{K}}}, {"s64": {{K}}}, {"s64": {{N}}}, {"s32": {{M}}}, {"s32": {{N}}}, {"s32": {{K}}}, {"s32": 0}]}]
            """);
        Adm.Outcome outcome = bench.Run("--entry", "gemm_nt_f16", "--block", "128", "--args", "spec.json", "--input", "in.npz", "--output", "out.npz", "--profile", "json");
        Assert.True(outcome.Code == ExitCode.Done, outcome.Error);
        using NpzFile file = NpzFile.Open(bench.Temp["out.npz"]);
        float[] c = file.Read("c").ToFloats();
        for (int i = 0; i < c.Length; i++)
        {
            // whole numbers below 2^11: exact in f16
            Assert.Equal(Enumerable.Range(0, K).Sum(k => (float)a[(i / N * K) + k] * (float)b[(i % N * K) + k]), c[i]);
        }

        JToken counters = JObject.Parse(outcome.Out)["counters"]!;
        Assert.Equal(2 * 256, (int)counters["mma_instructions"]!); // two steps of 32 k
        Assert.Equal(2 * 256 * 2 * 16 * 8 * 16, (int)counters["mma_flops"]!);
        Assert.Equal(0, (int)counters["shared_conflicts"]!);
    }

    // ---- findings

    [Fact]
    public void A_finding_is_exit_code_1_says_where_and_the_results_are_written()
    {
        using Bench bench = AxpyBench();
        Adm.Outcome outcome = bench.Run([.. s_axpy, "--args", AxpyArgs.Replace("100", "128", StringComparison.Ordinal)]);
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Empty(outcome.Out);
        string[] lines = outcome.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Matches("^ptx:13: axpy: read of 4 bytes at 0x[0-9a-f]+: byte 400 of 'x', which has 400 \\[Bounds, ptx line 13, block \\(3,0,0\\), warp 0, lane 4", lines[0]);
        Assert.Equal($"axpy: {lines.Length - 1} findings; results in out.npz", lines[^1]);
        using NpzFile file = NpzFile.Open(bench.Temp["out.npz"]);
        Assert.Equal(50.5f, file.Read("y").ToFloats()[99]);
    }

    [Fact]
    public void Findings_in_json_say_the_same()
    {
        using Bench bench = AxpyBench();
        Adm.Outcome outcome = bench.Run([.. s_axpy, "--args", AxpyArgs.Replace("100", "128", StringComparison.Ordinal), "--profile", "json"]);
        Assert.Equal(ExitCode.Failed, outcome.Code);
        JToken finding = JObject.Parse(outcome.Out)["findings"]![0]!;
        Assert.Equal("bounds", (string?)finding["check"]);
        Assert.Equal("axpy", (string?)finding["kernel"]);
        Assert.Equal(13, (int)finding["ptx_line"]!);
        Assert.Equal([3, 0, 0], finding["block"]!.Select(v => (int)v));
        Assert.Equal(4, (int)finding["lane"]!);
    }

    [Theory]
    [InlineData("trap;", "trap")]
    [InlineData("$again: bra $again;", "endless")]
    [InlineData("setp.lt.u32 %p1, %r1, 32; @%p1 bra $one; bar.sync 2; bra $end; $one: bar.sync 1; $end:", "deadlock")]
    public void A_launch_that_does_not_complete_leaves_the_earlier_result_alone(string body, string message)
    {
        using var bench = new Bench(Small(body));
        File.WriteAllText(bench.Temp["out.npz"], "before");
        Adm.Outcome outcome = bench.Run("--block", "64", "--args", SmallArgs, "--output", "out.npz", "--max_steps", "1000000");
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Contains(message, outcome.Error);
        Assert.Contains("ptx line", outcome.Error);
        Assert.EndsWith("k: 1 finding; the launch did not complete; out.npz is not written\n", outcome.Error);
        Assert.Equal("before", File.ReadAllText(bench.Temp["out.npz"]));
        Assert.Equal(["k.ptx", "out.npz"], bench.Temp.Names);
    }

    [Fact]
    public void Checks_can_be_chosen_and_findings_limited()
    {
        const string Body = "st.global.u32 [%rd3], %r2; add.u32 %r3, %r4, 1; st.global.u32 [%rd3], %r3; div.u32 %r5, %r1, %r1; st.global.u32 [%rd3], %r5;";
        using var bench = new Bench(Small(Body));
        string[] run = ["--block", "32", "--args", SmallArgs];
        Assert.Equal(3, Findings([]));
        Assert.Equal(0, Findings(["--checks", "none"]));
        Assert.Equal(1, Findings(["--checks", "arithmetic"]));
        Assert.Equal(2, Findings(["--checks", "all,-arithmetic"]));
        Assert.Equal(2, Findings(["--checks", "Bounds, UninitialisedRegisters"]));
        Adm.Outcome limited = bench.Run([.. run, "--max_findings", "1"]);
        Assert.Contains("k: 1 finding and 2 more (--max_findings)", limited.Error);
        Assert.Equal(ExitCode.Failed, limited.Code);
        Assert.Contains("k: not checked", bench.Run([.. run, "--checks", "none"]).Error);

        int Findings(string[] flags)
        {
            Adm.Outcome outcome = bench.Run([.. run, .. flags]);
            int findings = outcome.Error.Split('\n').Count(l => l.StartsWith("ptx:", StringComparison.Ordinal));
            Assert.Equal(findings > 0 ? ExitCode.Failed : ExitCode.Done, outcome.Code);
            return findings;
        }
    }

    [Fact]
    public void Findings_do_not_depend_on_the_number_of_threads()
    {
        // Blocks 5 and up read past the end, blocks 9 and up divide by zero: each is told of the first such block.
        const string Body = """
            mov.u32 %r2, %ctaid.x; shl.b32 %r3, %r2, 3; cvt.u64.u32 %rd4, %r3; add.s64 %rd5, %rd3, %rd4; ld.global.u32 %r4, [%rd5];
            mov.u32 %r5, 8; min.u32 %r6, %r2, 9; sub.u32 %r7, %r6, 9; div.u32 %r8, %r5, %r7;
            """;
        using var bench = new Bench(Small(Body));
        string[] run = ["--block", "24", "--grid", "2000", "--args", SmallArgs.Replace("]}", "],\"fill\":0}", StringComparison.Ordinal), "--checks", "bounds,arithmetic"];
        Adm.Outcome one = bench.Run([.. run, "--threads", "1"]);
        Assert.Matches("byte 128 of 'a', which has 128 \\[Bounds, ptx line 9, block \\(5,0,0\\), warp 0, lane 22, [0-9]+ times\\]\n.*block \\(9,0,0\\), warp 0, lane 0, 47784 times\\]\nk: 2 findings", one.Error);
        foreach (string threads in new[] { "2", "3", "8", "0" })
        {
            Assert.Equal(one, bench.Run([.. run, "--threads", threads]));
        }
    }

    [Fact]
    public void Results_that_depend_on_the_schedule_are_named()
    {
        // The last warp to write wins.
        using var bench = new Bench(Small("st.shared.u32 [s], %r1; bar.sync 0; ld.shared.u32 %r2, [s]; st.global.u32 [%rd1], %r2;", ".shared .align 4 .b8 s[4];"));
        string[] run = ["--block", "64", "--args", SmallArgs, "--checks", "none", "--output", "out.npz"];
        Assert.Equal(ExitCode.Done, bench.Run(run).Code);
        Adm.Outcome outcome = bench.Run([.. run, "--schedule", "all"]);
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Equal(
            "results depend on the schedule: element 0 of 'a' is 0x0000003f and 0x0000001f under (in_order, early) and (reverse, early)\n"
            + "k: not checked in 8 schedules; results in out.npz\n", outcome.Error);
    }

    // ---- stopping

    [Fact]
    public void A_stop_leaves_nothing()
    {
        using var bench = new Bench(Small("$again: bra $again;"));
        using var stop = new CancellationTokenSource(200);
        foreach (string engine in new[] { "interpreter", "jit" })
        {
            Adm.Outcome outcome = bench.Run(stop.Token, "--block", "32", "--grid", "4", "--args", SmallArgs, "--output", "out.npz", "--checks", "none", "--engine", engine);
            Assert.Equal(ExitCode.Cancelled, outcome.Code);
            Assert.Empty(outcome.Out);
            Assert.Equal(["k.ptx"], bench.Temp.Names);
        }
    }

    [Fact]
    public async Task Ctrl_C_ends_the_program_cleanly()
    {
        using var bench = new Bench(Small("$again: bra $again;"));
        var start = new ProcessStartInfo("dotnet") { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string word in (string[])[Path.Combine(AppContext.BaseDirectory, "adm.dll"), "ptx", "run", bench.Temp["k.ptx"], "--block", "32", "--args", SmallArgs, "--output", bench.Temp["out.npz"]])
        {
            start.ArgumentList.Add(word);
        }

        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        await Task.Delay(2000);
        Assert.False(process.HasExited, "it ended by itself");
        using Process kill = Process.Start("kill", ["-TERM", process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(ExitCode.Cancelled, process.ExitCode);
        Assert.Contains("adm ptx run: stopped", await error);
        Assert.Equal(["k.ptx"], bench.Temp.Names);
    }

    // ---- command lines

    [Theory]
    [InlineData("--block 0", "--block: '0' is not one to three positive numbers")]
    [InlineData("--block 1,2,3,4", "--block: '1,2,3,4'")]
    [InlineData("--block 32x2", "--block: '32x2'")]
    [InlineData("--grid 4,,1 --block 32", "--grid: '4,,1'")]
    [InlineData("--grid 5000000000 --block 32", "--grid: '5000000000'")]
    [InlineData("--grid 4", "--block is needed")]
    [InlineData("--block 512", "a block of 512 threads; .maxntid allows 256")]
    [InlineData("--block 64,32", "a block of 64x32x1 = 2048 threads")]
    [InlineData("--grid 1,70000 --block 32", "a grid of 1x70000x1 blocks")]
    [InlineData("--block 32 --entry gemm", "--entry: k.ptx has no 'gemm'; it has axpy")]
    [InlineData("--block 32 --shared -1", "--shared: '-1'")]
    [InlineData("--block 32 --shared 200000", "200000 bytes of dynamic shared memory")]
    [InlineData("--block 32 --checks everything", "--checks: 'everything' is not one of all, none, bounds, alignment,")]
    [InlineData("--block 32 --engine gpu", "--engine: 'gpu' is not one of auto, interpreter, jit")]
    [InlineData("--block 32 --engine jit", "--engine jit neither checks nor counts: add --checks none")]
    [InlineData("--block 32 --engine jit --checks none --profile text", "--engine jit neither checks nor counts: leave --profile out")]
    [InlineData("--block 32 --mma sm86", "--mma: 'sm86' is not one of ieee, sm80, sm90")]
    [InlineData("--block 32 --device sm_70", "--device: 'sm_70' is not one of auto, sm_80")]
    [InlineData("--block 32 --schedule best", "--schedule: 'best' is not one of in_order, reverse, random, adversarial")]
    [InlineData("--block 32 --delivery never", "--delivery: 'never' is not one of early, late")]
    [InlineData("--block 32 --profile xml", "--profile: 'xml' is not one of none, text, json")]
    [InlineData("--block 32 --max_steps 0", "--max_steps: '0' is not a positive whole number")]
    [InlineData("--block 32 --threads 5000", "--threads: '5000'")]
    [InlineData("--block 32 --seed x", "--seed: 'x'")]
    [InlineData("--block 32 --chekcs none", "did you mean --checks?")]
    [InlineData("--block 32 --output .", "--output .: a file name is needed")]
    public void A_wrong_command_line_is_usage(string flags, string message)
    {
        using Bench bench = AxpyBench();
        Adm.Outcome outcome = bench.Run(["--args", AxpyArgs, "--input", "in.npz", .. flags.Split(' ')]);
        Assert.Contains(message, outcome.Error);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains("try 'adm ptx run --help'", outcome.Error);
        Assert.Empty(outcome.Out);
        Assert.Equal(["in.npz", "k.ptx"], bench.Temp.Names);
    }

    [Fact]
    public void The_entry_must_be_named_where_there_are_several()
    {
        using var bench = new Bench(Head + ".visible .entry a()\n{\nret;\n}\n.visible .entry b()\n{\nret;\n}\n");
        Adm.Outcome outcome = bench.Run("--block", "1");
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains("--entry is needed: k.ptx has a, b", outcome.Error);
        Assert.Equal(ExitCode.Done, bench.Run("--block", "1", "--entry", "b").Code);
    }

    [Fact]
    public void A_file_for_a_newer_device_is_refused_by_an_older_one()
    {
        using var bench = new Bench(Head.Replace("sm_80", "sm_90", StringComparison.Ordinal) + ".visible .entry k()\n{\nret;\n}\n");
        Assert.Equal(ExitCode.Done, bench.Run("--block", "1").Code); // auto
        Adm.Outcome outcome = bench.Run("--block", "1", "--device", "sm_80");
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains("sm_90, newer than this device (sm_80)", outcome.Error);
    }

    [Fact]
    public void Output_without_arrays_is_usage()
    {
        using var bench = new Bench(Head + ".visible .entry k(.param .u32 n)\n{\nret;\n}\n");
        Adm.Outcome outcome = bench.Run("--block", "1", "--args", """[{"u32":1}]""", "--output", "out.npz");
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains("--output: no argument is an array", outcome.Error);
    }

    // ---- spec.json

    [Theory]
    [InlineData("{", "must be a list|not valid JSON")]
    [InlineData("", "is empty")]
    [InlineData("[{\"u32\":1}", "not valid JSON")]
    [InlineData("[] []", "Additional text")]
    [InlineData("[{\"u32\":1,\"u32\":2}]", "not valid JSON")]
    [InlineData("{\"args\":[]}", "must be a list with one object per parameter")]
    [InlineData("3", "must be a list")]
    [InlineData("[5]", "spec.json:1: parameter 0: must be an object such as {\"u32\":5}")]
    [InlineData("[{}]", "parameter 0: needs exactly one of buffer, alloc, u8")]
    [InlineData("[{\"u33\":5}]", "it has \"u33\"")]
    [InlineData("[{\"u32\":5,\"f32\":1}]", "it has \"u32\", \"f32\"")]
    [InlineData("[{\"u32\":5,\"name\":\"n\"}]", "\"u32\" with an unknown key \"name\"; it takes no other key")]
    [InlineData("[{\"buffer\":\"x\",\"shape\":[1]}]", "\"buffer\" with an unknown key \"shape\"; it also takes offset")]
    [InlineData("[{\"buffer\":5}]", "\"buffer\" takes the name of an array, not 5")]
    [InlineData("[{\"buffer\":\"\"}]", "takes the name of an array")]
    [InlineData("[{\"buffer\":\"../x\"}]", "takes the name of an array")]
    [InlineData("[{\"buffer\":\"x\",\"offset\":1.5}]", "\"offset\": 1.5 is not a number of bytes")]
    [InlineData("[{\"alloc\":\"z\"}]", "\"alloc\" needs a \"dtype\"")]
    [InlineData("[{\"alloc\":\"z\",\"dtype\":\"f8\",\"shape\":[1]}]", "dtype \"f8\" is not one of f32, f64")]
    [InlineData("[{\"alloc\":\"z\",\"dtype\":\"f32\"}]", "\"alloc\" needs a \"shape\"")]
    [InlineData("[{\"alloc\":\"z\",\"dtype\":\"f32\",\"shape\":[-1]}]", "\"alloc\" needs a \"shape\"")]
    [InlineData("[{\"alloc\":\"z\",\"dtype\":\"f32\",\"shape\":[2000000000,2000000000,2000000000]}]", "parameter 0")]
    [InlineData("[{\"alloc\":\"z\",\"dtype\":\"f32\",\"shape\":[1000000,1000000]}]", "takes more than 2 GiB")]
    [InlineData("[{\"alloc\":\"z\",\"dtype\":\"u8\",\"shape\":[1],\"fill\":256}]", "\"fill\": 256 is not a value of u8")]
    [InlineData("[{\"buffer\":\"x\"},{\"alloc\":\"x\",\"dtype\":\"u8\",\"shape\":[1]}]", "parameter 1: \"x\" is already used by parameter 0")]
    [InlineData("[{\"u32\":-1}]", "-1 is not a value of u32")]
    [InlineData("[{\"u32\":4294967296}]", "4294967296 is not a value of u32")]
    [InlineData("[{\"u32\":1.5}]", "1.5 is not a value of u32")]
    [InlineData("[{\"u32\":true}]", "true is not a value of u32")]
    [InlineData("[{\"u32\":null}]", "null is not a value of u32")]
    [InlineData("[{\"u32\":\"five\"}]", "\"five\" is not a value of u32")]
    [InlineData("[{\"u64\":99999999999999999999999999}]", "is not a value of u64")]
    [InlineData("[{\"s8\":128}]", "128 is not a value of s8")]
    [InlineData("[{\"f32\":1e39}]", "is not a value of f32")]
    [InlineData("[{\"f16\":65520}]", "65520 is not a value of f16")]
    [InlineData("[{\"f32\":\"zero\"}]", "\"zero\" is not a value of f32")]
    [InlineData("[{\"u32\":[]}]", "\"u32\" takes a value, or a list of 1 to")]
    [InlineData("[{\"bytes\":\"abc\"}]", "\"bytes\" takes an even number of hexadecimal digits, not \"abc\"")]
    [InlineData("[{\"bytes\":\"zz\"}]", "\"bytes\" takes an even number")]
    [InlineData("[{\"bytes\":\"00\",\"align\":3}]", "\"align\": 3 is not a power of two")]
    [InlineData("[{\"struct\":[]}]", "\"struct\" takes a list of members")]
    [InlineData("[{\"struct\":{\"u32\":1}}]", "\"struct\" takes a list of members")]
    [InlineData("[{\"struct\":[{\"u32\":1},{\"struct\":[{\"u9\":1}]}]}]", "parameter 0, member 1, member 0: needs exactly one of")]
    public void A_wrong_spec_is_usage_and_says_which_parameter(string spec, string message)
    {
        using Bench bench = AxpyBench();
        File.WriteAllText(bench.Temp["spec.json"], spec);
        Adm.Outcome outcome = bench.Run([.. s_axpy, "--args", "spec.json"]);
        Assert.True(message.Split('|').Any(m => outcome.Error.Contains(m, StringComparison.Ordinal)), outcome.Error);
        Assert.StartsWith("adm ptx run: spec.json", outcome.Error);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Equal(["in.npz", "k.ptx", "spec.json"], bench.Temp.Names);
    }

    [Theory]
    [InlineData("[]", "'axpy' takes 4 parameters, y (u64), x (u64), a (f32), n (u32); 0 given")]
    [InlineData("[{\"buffer\":\"y\"}]", "1 given")]
    [InlineData("[{\"buffer\":\"y\"},{\"buffer\":\"x\"},{\"f32\":1},{\"u32\":1},{\"u32\":1}]", "5 given")]
    [InlineData("[{\"buffer\":\"y\"},{\"u32\":1},{\"f32\":1},{\"u32\":1}]", "parameter 1: 'x' of 'axpy' takes 8 bytes (u64); {\"u32\"} is 4 bytes")]
    [InlineData("[{\"buffer\":\"y\"},{\"buffer\":\"x\"},{\"f32\":1},{\"struct\":[{\"u8\":1},{\"u64\":2}]}]", "parameter 3: 'n' of 'axpy' takes 4 bytes (u32); {\"struct\"} of 2 members is 16 bytes (members at 0, 8)")]
    [InlineData("[{\"buffer\":\"y\"},{\"buffer\":\"x\"},{\"s32\":1},{\"u32\":1}]", "'a' of 'axpy' takes 4 bytes (f32); {\"s32\"} is not a floating-point number")]
    [InlineData("[{\"buffer\":\"y\"},{\"buffer\":\"x\"},{\"f32\":1},{\"f32\":1}]", "'n' of 'axpy' takes 4 bytes (u32); {\"f32\"} is a floating-point number")]
    [InlineData("[{\"buffer\":\"y\"},{\"f64\":1},{\"f32\":1},{\"u32\":1}]", "'x' of 'axpy' takes 8 bytes (u64); {\"f64\"} is a floating-point number")]
    public void Arguments_that_the_entry_does_not_take_are_usage(string spec, string message)
    {
        using Bench bench = AxpyBench();
        Adm.Outcome outcome = bench.Run([.. s_axpy, "--args", spec]);
        Assert.Contains(message, outcome.Error);
        Assert.StartsWith("adm ptx run: --args: ", outcome.Error.Replace("--args:1: parameter", "--args: parameter", StringComparison.Ordinal));
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Equal(["in.npz", "k.ptx"], bench.Temp.Names);
    }

    [Fact]
    public void A_deeply_nested_spec_is_refused()
    {
        using Bench bench = AxpyBench();
        foreach (int depth in new[] { 33, 40, 5000 })
        {
            File.WriteAllText(bench.Temp["spec.json"], "[" + string.Concat(Enumerable.Repeat("{\"struct\":[", depth)) + "{\"u8\":1}" + string.Concat(Enumerable.Repeat("]}", depth)) + "]");
            Adm.Outcome outcome = bench.Run([.. s_axpy, "--args", "spec.json"]);
            Assert.Equal(ExitCode.Usage, outcome.Code);
            Assert.StartsWith("adm ptx run: spec.json", outcome.Error);
        }
    }

    // ---- files

    [Fact]
    public void Missing_files_are_code_4()
    {
        using Bench bench = AxpyBench();
        Check("spec.json", ["--block", "32", "--args", "spec.json"]);
        Check("none.npz", ["--block", "32", "--args", AxpyArgs, "--input", bench.Temp["none.npz"]]);
        File.Delete(bench.Temp["k.ptx"]);
        Check("k.ptx", ["--block", "32", "--args", AxpyArgs, "--input", "in.npz"]);

        void Check(string name, string[] flags)
        {
            Adm.Outcome outcome = bench.Run(flags);
            Assert.Equal(ExitCode.BadInput, outcome.Code);
            Assert.Contains(name, outcome.Error);
        }
    }

    [Fact]
    public void A_missing_input_or_array_is_named()
    {
        using Bench bench = AxpyBench();
        Adm.Outcome outcome = bench.Run("--block", "32", "--args", AxpyArgs);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains("--input is needed: --args:1: parameter 0 is array 'y' of it", outcome.Error);
        outcome = bench.Run("--block", "32", "--args", AxpyArgs.Replace("\"x\"", "\"z\"", StringComparison.Ordinal), "--input", "in.npz");
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains("has no array 'z'; it has x, y", outcome.Error);
    }

    [Fact]
    public void Damaged_archives_are_code_4_and_leave_nothing()
    {
        using Bench bench = AxpyBench();
        byte[] good = File.ReadAllBytes(bench.Temp["in.npz"]);
        var bad = new List<byte[]> { Array.Empty<byte>(), "PK\u0003\u0004"u8.ToArray(), "hello"u8.ToArray(), new byte[4096] };
        bad.AddRange(Enumerable.Range(1, 30).Select(i => good[..(good.Length * i / 31)]));
        foreach (byte[] bytes in bad)
        {
            File.WriteAllBytes(bench.Temp["in.npz"], bytes);
            Adm.Outcome outcome = bench.Run([.. s_axpy, "--args", AxpyArgs]);
            Assert.True(outcome.Code == ExitCode.BadInput, outcome.Error);
            Assert.Contains("in.npz", outcome.Error);
            Assert.Equal(["in.npz", "k.ptx"], bench.Temp.Names);
        }
    }

    [Theory]
    [InlineData("'<u4'", "(100,)", "numpy type '<u4'")]
    [InlineData("'|O'", "(100,)", "numpy type '|O'")]
    [InlineData("'<f4'", "(101,)", "truncated or damaged")]
    [InlineData("'<f4'", "(1000000000000,)", "truncated or damaged")]
    [InlineData("'<f4'", "(-1,)", "dimension")]
    public void Arrays_that_cannot_be_read_are_code_4(string descr, string shape, string message)
    {
        using Bench bench = AxpyBench();
        string header = $"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".PadRight(117) + "\n";
        byte[] npy = [0x93, .. "NUMPY"u8, 1, 0, 118, 0, .. System.Text.Encoding.ASCII.GetBytes(header), .. new byte[400]];
        using (var zip = new System.IO.Compression.ZipArchive(File.Create(bench.Temp["in.npz"]), System.IO.Compression.ZipArchiveMode.Create))
        {
            using Stream entry = zip.CreateEntry("y.npy", System.IO.Compression.CompressionLevel.NoCompression).Open();
            entry.Write(npy);
        }

        Adm.Outcome outcome = bench.Run([.. s_axpy, "--args", AxpyArgs]);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains(message, outcome.Error);
    }

    [Fact]
    public void Bad_ptx_is_code_4_and_names_the_line()
    {
        using var bench = new Bench(Small("zip.u32 %r2, %r1;\nzap.u32 %r2, %r1;"));
        Adm.Outcome outcome = bench.Run("--block", "32", "--args", SmallArgs);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.StartsWith("adm ptx run: k.ptx:9: zip.u32 is not an instruction the virtual device knows (and 1 more error: adm ptx check k.ptx)", outcome.Error);
    }
}
