using System.Diagnostics;
using System.Text.RegularExpressions;
using AdmNative.Cuda;
using AdmNative.Tests;
using AdmNative.VirtualGpu.Ptx;
using AdmNative.VirtualGpu.Tests.Corpora;

namespace AdmNative.VirtualGpu.Tests.Parser;

/// <summary>
/// Damaged kernels that the loader accepts are run: they end, with findings or without, or are refused as a driver refuses; nothing else is thrown, no case takes
/// long or much memory. Every case follows from its number.
/// </summary>
public sealed class ExecutionFuzzTests
{
    private const int BufferBytes = 1 << 14;

    private static readonly string[] s_immediates = ["0", "1", "-1", "2", "3", "4", "7", "8", "15", "16", "31", "32", "33", "64", "255", "256", "4096", "65535", "0x7fffffff", "0x80000000", "-2147483648", "0xffffffff", "0x7fffffffffffffff"];

    private static readonly string[] s_types = ["u8", "s8", "u16", "s16", "b16", "u32", "s32", "b32", "f32", "u64", "s64", "b64", "f64", "f16", "f16x2", "bf16", "pred"];

    /// <summary>One entry each, with the module's head.</summary>
    private static readonly Lazy<List<(string Name, string Text)>> s_kernels = new(() =>
    {
        var kernels = new List<(string, string)>();
        string[] files = [.. CorpusTests.Files.Select(f => Repo.Path("tests", "AdmNative.VirtualGpu.Tests", "Corpora", f)), .. Directory.GetFiles(Repo.Path("kernels", "ptx"), "*.ptx").Order(StringComparer.Ordinal)];
        foreach (string file in files)
        {
            string text = File.ReadAllText(file);
            int[] starts = [.. Regex.Matches(text, @"^\.visible \.entry", RegexOptions.Multiline).Select(m => m.Index)];
            string head = text[..starts[0]];
            for (int i = 0; i < starts.Length; i++)
            {
                string body = text[starts[i]..(i + 1 < starts.Length ? starts[i + 1] : text.Length)];
                int section = body.IndexOf("\t.section", StringComparison.Ordinal);
                body = section < 0 ? body : body[..section];
                if (body.Length < 20_000)
                {
                    kernels.Add(($"{Path.GetFileName(file)} {Regex.Match(body, @"entry (\w+)").Groups[1].Value}", head + body));
                }
            }
        }

        return kernels;
    });

    /// <summary>Changes some tokens or lines of the body.</summary>
    private static string Damage(string text, Random random)
    {
        int open = text.IndexOf("\n{", text.IndexOf(".entry", StringComparison.Ordinal), StringComparison.Ordinal);
        List<string> lines = [.. text[open..].Split('\n')];
        int[] code = [.. Enumerable.Range(0, lines.Count).Where(i => Regex.IsMatch(lines[i], @"^\s+(@|[a-z])"))];
        for (int n = random.Next(1, 4); n > 0; n--)
        {
            int at = code[random.Next(code.Length)];
            string other = lines[code[random.Next(code.Length)]];
            lines[at] = random.Next(8) switch
            {
                0 => Replace(lines[at], @"%\w+(\.\w+)?", other, random),
                1 => Replace(lines[at], @"%\w+(\.\w+)?", other, random),
                2 => Swap(lines[at], @"(?<![\w.%$])-?(0x[0-9a-fA-F]+|\d+)\b", s_immediates, random),
                3 => Swap(lines[at], @"(?<=\.)(pred|[usbf]\d+(x2)?)\b", s_types, random),
                4 => Replace(lines[at], @"(?<=^\s*(@!?%\w+ )?\s*)[a-z][\w.:]*", other, random),
                5 => Replace(lines[at], @"\$\w+", string.Join(' ', Regex.Matches(text, @"\$\w+(?=:)").Select(m => m.Value)), random),
                6 => random.Next(2) == 0 ? "" : other,
                _ => lines[at].Contains('@', StringComparison.Ordinal) ? Regex.Replace(lines[at], @"@!?%\w+", random.Next(2) == 0 ? "" : "@!%p1") : $"@%p1 {lines[at].Trim()}",
            };
        }

        return text[..open] + string.Join('\n', lines);
    }

    /// <summary>One match in the line becomes one of the matches in the other text.</summary>
    private static string Replace(string line, string pattern, string from, Random random) =>
        Swap(line, pattern, [.. Regex.Matches(from, pattern).Select(m => m.Value)], random);

    private static string Swap(string line, string pattern, string[] values, Random random)
    {
        MatchCollection matches = Regex.Matches(line, pattern);
        if (matches.Count == 0 || values.Length == 0)
        {
            return line;
        }

        Match match = matches[random.Next(matches.Count)];
        return line[..match.Index] + values[random.Next(values.Length)] + line[(match.Index + match.Length)..];
    }

    private enum End
    {
        Refused, Silent, Findings, Stopped,
    }

    private static End Execute(string text, Random random)
    {
        using var device = new VirtualDevice(DeviceProfile.H100, memoryLimit: 1 << 24);
        try
        {
            PtxProgram program = device.Load(text);
            PtxEntry entry = program.Entries[0];
            ulong[] buffers = [.. Enumerable.Range(0, 4).Select(_ => device.Allocate(BufferBytes))];
            var data = new byte[BufferBytes];
            foreach (ulong buffer in buffers)
            {
                random.NextBytes(data);
                device.Write(buffer, data);
            }

            // Pointers and small numbers, where the damaged kernel may look for either.
            var block = new byte[entry.ParameterBytes];
            for (int i = 0; i + 8 <= block.Length; i += 8)
            {
                ulong value = random.Next(3) == 0 ? (uint)random.Next(1, 64) | ((ulong)(uint)random.Next(1, 64) << 32) : buffers[random.Next(4)];
                BitConverter.TryWriteBytes(block.AsSpan(i), value);
            }

            bool checks = random.Next(4) != 0;
            var options = new LaunchOptions
            {
                Checks = checks ? Checks.All | Checks.Numeric : Checks.None,
                Counters = checks,
                Engine = checks ? EngineKind.Interpreter : (EngineKind)random.Next(3),
                Schedule = (SchedulePolicy)random.Next(4),
                Delivery = (AsyncDelivery)random.Next(2),
                Mma = (MmaRounding)random.Next(3),
                Threads = 1,
                Seed = (ulong)random.Next(),
                StepBudget = 1 << 15,
            };
            LaunchReport report = device.Launch(entry, new LaunchShape(2, 1, 1, 128, 1, 1, (uint)random.Next(2) * 8192), block, options);
            Assert.InRange(report.Findings.Count, report.Completed ? 0 : 1, options.MaxFindings);
            Assert.All(report.Findings, f => Assert.InRange(f.PtxLine, 1, text.AsSpan().Count('\n') + 1));
            return !report.Completed ? End.Stopped : report.Findings.Count > 0 ? End.Findings : End.Silent;
        }
        catch (PtxException)
        {
            return End.Refused;
        }
        catch (CudaException)
        {
            return End.Refused;
        }
    }

    [Theory]
    [InlineData(0, 400)]
    [InlineData(1_000_000, 400)]
    public void Damaged_kernels_run_to_an_end(int first, int count)
    {
        // A longer search: ADMNATIVE_FUZZ_CASES=20000.
        count = int.TryParse(Environment.GetEnvironmentVariable("ADMNATIVE_FUZZ_CASES"), out int more) ? more : count;
        var ends = new int[4];
        var watch = new Stopwatch();
        TimeSpan slowest = default;
        for (int seed = first; seed < first + count; seed++)
        {
            var random = new Random(seed);
            (string name, string text) = s_kernels.Value[random.Next(s_kernels.Value.Count)];
            string damaged = Damage(text, random);
            long before = GC.GetAllocatedBytesForCurrentThread();
            watch.Restart();
            try
            {
                ends[(int)Execute(damaged, random)]++;
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                Assert.Fail($"case {seed}, {name}: {e}");
            }

            slowest = watch.Elapsed > slowest ? watch.Elapsed : slowest;
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(10), $"case {seed}, {name} took {watch.Elapsed}");
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(allocated < 512_000_000, $"case {seed}, {name} allocated {allocated} bytes");
        }

        // Most damages must get past the loader, and ends of all kinds come up: otherwise this tests less than it says.
        string kinds = string.Join(", ", ends.Select((n, i) => $"{(End)i} {n}"));
        Assert.True(ends[0] < count * 3 / 4 && ends.All(n => n > count / 50), $"{kinds}; slowest {slowest}");
    }
}
