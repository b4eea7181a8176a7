using System.Diagnostics;
using System.Text;
using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;
using AdmNative.VirtualGpu.Tests.Corpora;

namespace AdmNative.VirtualGpu.Tests.Parser;

/// <summary>Damaged and hostile PTX: an error with a line or a module that lowers; never another exception, never long, never much memory.</summary>
public sealed class FuzzTests
{
    /// <summary>Parses and lowers everything. True when accepted; a refusal must name a line of the text.</summary>
    private static bool Accepts(string text)
    {
        try
        {
            PtxModule module = PtxParser.Parse(text);
            foreach (PtxFunction entry in module.Entries)
            {
                Lowering.Lower(module, entry);
            }

            return !ModuleImage.Problems(module).Any();
        }
        catch (PtxException e)
        {
            Assert.InRange(e.Line, 1, text.AsSpan().Count('\n') + 1);
            return false;
        }
    }

    /// <summary>The module's head and one entry, so that a case is small.</summary>
    private static List<string> Pieces(string file)
    {
        string text = CorpusTests.Text(file);
        var starts = new List<int>();
        for (int at = text.IndexOf("\n.visible .entry", StringComparison.Ordinal); at >= 0; at = text.IndexOf("\n.visible .entry", at + 1, StringComparison.Ordinal))
        {
            starts.Add(at);
        }

        int section = text.IndexOf(".section", StringComparison.Ordinal);
        starts.Add(section < 0 ? text.Length : section);
        string head = text[..starts[0]];
        return [.. starts.SkipLast(1).Select((s, i) => head + text[s..Math.Max(s, starts[i + 1])])];
    }

    [Theory]
    [InlineData("nvrtc124-sm_80.ptx", 1)]
    [InlineData("nvcc118-sm_90-fastmath-lineinfo.ptx", 2)]
    [InlineData("clang19-sm_80.ptx", 3)]
    public void Damaged_tokens_and_bytes(string file, int seed)
    {
        var random = new Random(seed);
        List<string> pieces = [.. Pieces(file).OrderBy(p => p.Length).Take(6)];
        int refused = 0, cases = 0;
        string[] spare = ["{", "}", "(", ")", "[", "]", ",", ";", "@", "!", "%p1", "%r1", "%rd1", "_", "-1", "0x7fffffffffffffff", "0f7f800000", ".reg", ".b32", ".v4", ".entry", "$L__BB0_1", "+", "<9>", "\"", "/*", "//", "\0", "é"];
        var watch = Stopwatch.StartNew();
        while (cases < 800)
        {
            string piece = pieces[random.Next(pieces.Count)];
            string damaged;
            int at = random.Next(piece.Length);
            int length = Math.Min(random.Next(1, 12), piece.Length - at);
            switch (cases % 6)
            {
                case 0: damaged = piece.Remove(at, length); break;
                case 1: damaged = piece.Insert(at, piece.Substring(random.Next(piece.Length - 40), 40)); break;
                case 2: damaged = piece.Insert(at, spare[random.Next(spare.Length)]); break;
                case 3: damaged = piece[..at] + (char)random.Next(1, 256) + piece[(at + 1)..]; break;
                case 4: damaged = Tokens(piece, random, remove: true); break;
                default: damaged = Tokens(piece, random, remove: false); break;
            }

            cases++;
            refused += Accepts(damaged) ? 0 : 1;
        }

        Assert.True(refused > cases / 3, $"only {refused} of {cases} damages were noticed");
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 60); // about two seconds on an idle core
    }

    /// <summary>Removes, or swaps for another of the same text, one blank-separated token.</summary>
    private static string Tokens(string piece, Random random, bool remove)
    {
        string[] tokens = piece.Split(' ', '\t');
        int at = random.Next(tokens.Length);
        tokens[at] = remove ? "" : tokens[random.Next(tokens.Length)];
        return string.Join(' ', tokens);
    }

    private const string Head = ".version 8.4\n.target sm_80\n.address_size 64\n";

    private static string In(string body) => Head + ".entry k(.param .u64 p) {\n.reg .b32 %r<4>; .reg .b64 %rd<4>; .reg .pred %p;\n" + body + "\nret;\n}\n";

    public static TheoryData<string> Hostile() => [.. s_hostile.Value.Keys];

    // By name: a runner should not have to carry megabytes as arguments.
    private static readonly Lazy<Dictionary<string, Func<string>>> s_hostile = new(() =>
    {
        string many = string.Concat(Enumerable.Repeat("%r1, ", 200_000));
        return new Dictionary<string, Func<string>>
        {
            { "ten megabytes of braces", () => Head + new string('{', 10_000_000) },
            { "braces in a body", () => In(new string('{', 5_000_000)) },
            { "brackets in a body", () => In("mov.u32 %r1, " + new string('[', 1_000_000) + ";") },
            { "parentheses", () => In("call " + new string('(', 1_000_000) + ";") },
            { "nested vectors", () => In("mov.b64 %rd1, " + new string('{', 100_000) + "%r1" + new string('}', 100_000) + ";") },
            { "a huge vector", () => In($"ld.global.v4.u32 {{{many}%r1}}, [%rd1];") },
            { "a huge call", () => In($"call ({many}%r1), f, ({many}%r1);") },
            { "many registers", () => In(".reg .b32 %x<4000000000>;") },
            { "more registers than numbers", () => In(".reg .b32 %x<99999999999999999999999>;") },
            { "registers many times", () => In(string.Concat(Enumerable.Range(0, 400).Select(i => $".reg .b64 %y{i}_<60000>;"))) },
            { "a huge shared array", () => In(".shared .align 4 .b8 s[9223372036854775807];") },
            { "a huge array of two dimensions", () => Head + ".global .b32 g[4294967296][4294967296];\n" },
            { "an overflowing array", () => Head + ".global .b64 g[1073741823][1073741823][1073741823];\n" },
            { "a huge initialised array", () => Head + ".global .b8 g[2000000000] = {1};\n" },
            { "many large arrays", () => Head + string.Concat(Enumerable.Range(0, 100_000).Select(i => $".global .b8 g{i}[1000000000];\n")) },
            { "many local arrays", () => In(string.Concat(Enumerable.Range(0, 5000).Select(i => $".local .b8 l{i}[1000000000];\n"))) },
            { "many shared arrays", () => In(string.Concat(Enumerable.Range(0, 5000).Select(i => $".shared .b8 s{i}[1000000000];\n"))) },
            { "huge parameters", () => Head + ".entry k(" + string.Join(", ", Enumerable.Range(0, 50).Select(i => $".param .b8 p{i}[1000000000]")) + ") { ret; }\n" },
            { "a huge initialised array in a body", () => In(".shared .b8 s[1000000000] = {1};") },
            { "align 0", () => Head + ".global .align 0 .b8 g[4];\n" },
            { "align 3", () => Head + ".global .align 3 .b8 g[4];\n" },
            { "align 2^31", () => Head + ".global .align 2147483648 .b8 g[4];\n" },
            { "align -4", () => Head + ".global .align -4 .b8 g[4];\n" },
            { "an enormous immediate", () => In("mov.u64 %rd1, 999999999999999999999999999999999999999;") },
            { "an immediate of a million digits", () => In($"mov.u64 %rd1, {new string('9', 1_000_000)};") },
            { "a hexadecimal immediate of a million digits", () => In($"mov.u64 %rd1, 0x{new string('f', 1_000_000)};") },
            { "a name of ten megabytes", () => In($"bra {new string('a', 10_000_000)};") },
            { "an enormous offset", () => In("ld.global.u32 %r1, [%rd1+99999999999999999999];") },
            { "signs without end", () => In($"mov.u32 %r1, {new string('-', 1_000_000)}1;") },
            { "a huge cp.async wait", () => In("cp.async.wait_group 4294967295;") },
            { "a huge version", () => ".version 99999999999.4\n.target sm_80\n" },
            { "a huge target", () => ".version 8.4\n.target sm_99999999999999999999\n.entry k() { frob; }" },
            { "recursion", () => Head + ".func f() { call f, (); ret; }\n.entry k() { call f, (); ret; }\n" },
            { "recursion of two", () => Head + ".func g();\n.func f() { call g, (); ret; }\n.func g() { call f, (); ret; }\n.entry k() { call f, (); ret; }\n" },
            { "calls that double", () => Doubling(40) },
            { "a body without end", () => In("")[..^4] },
            { "a comment without end", () => In("/* never closed") },
            { "text without end", () => In(".pragma \"nounroll;") },
            { "only zeros", () => new string('\0', 1_000_000) },
            { "nothing", () => "" },
            { "not PTX", () => "#include <stdio.h>\nint main() { return 0; }\n" },
            { "ELF", () => "\u007fELF\u0002\u0001\u0001\0\0\0\0\0" },
            { "branch targets without labels", () => In("$t: .branchtargets $a, $b; brx.idx %r1, $t;") },
            { "a table that is not one", () => In("$t: mov.u32 %r1, 0; brx.idx %r1, $t;") },
            { "an initialiser of a stranger", () => Head + ".global .u64 g = nobody;\n" },
            { "an initialiser of braces", () => Head + ".global .b8 g[4] = " + new string('{', 1_000_000) + ";\n" },
            { "a guard that is no predicate", () => In("@%r1 mov.u32 %r1, 0;") },
            { "a label of another function", () => Head + ".func f() { $x: ret; }\n.entry k() { bra $x; }\n" },
            { "shared as a pointer initialiser", () => Head + ".shared .b8 s[4];\n.global .u32 g[1] = {s};\n" },
        };

        static string Doubling(int depth)
        {
            var text = new StringBuilder(Head + ".func f0() { ret; }\n");
            for (int i = 1; i <= depth; i++)
            {
                text.Append($".func f{i}() {{ call f{i - 1}, (); call f{i - 1}, (); ret; }}\n");
            }

            return text.Append($".entry k() {{ call f{depth}, (); ret; }}\n").ToString();
        }
    });

    [Theory]
    [MemberData(nameof(Hostile))]
    public void Hostile_text_is_refused_with_a_line_soon_and_cheaply(string what)
    {
        string text = s_hostile.Value[what]();
        long before = GC.GetAllocatedBytesForCurrentThread();
        var watch = Stopwatch.StartNew();
        bool accepted = Accepts(text);
        Assert.False(accepted, what);
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 30);

        // In proportion to the text: a token is some 60 bytes and never shorter than one character.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 512_000_000 + (200L * text.Length));
    }

    [Fact]
    public void A_large_array_with_a_short_initialiser_keeps_the_short_one() =>
        Assert.Equal([1, 2], PtxParser.Parse(Head + ".global .b8 g[1000000000] = {1, 2};\n").Globals.Single().Init!);
}
