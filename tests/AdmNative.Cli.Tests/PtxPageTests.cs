using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using AdmNative.Cuda;
using AdmNative.Formats;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests;

/// <summary>docs/virtual-device.md: every command on the page prints what the page says, and its tables are complete.</summary>
public sealed class PtxPageTests
{
    private static readonly string s_path = Repo.Path("docs", "virtual-device.md");
    private static readonly string s_page = File.ReadAllText(s_path);

    /// <summary>A command of the page and what stands below it.</summary>
    private sealed record Step(string Command, string Output);

    [Fact]
    public void Every_command_prints_what_the_page_says()
    {
        using var temp = new TempFolder();
        foreach (string file in Directory.GetFiles(Repo.Path("docs", "examples")))
        {
            File.Copy(file, temp[Path.GetFileName(file)]);
        }

        var steps = new List<Step>();
        string[] pieces = Regex.Split(s_page, "(?<=^```console\n)(.*?)(?=^```$)", RegexOptions.Singleline | RegexOptions.Multiline);
        for (int i = 1; i < pieces.Length; i += 2)
        {
            foreach (string step in Regex.Split(pieces[i], "^(?=\\$ )", RegexOptions.Multiline).Where(s => s.Length > 0))
            {
                Assert.StartsWith("$ ", step);
                string command = step.Split('\n')[0][2..];
                steps.Add(new Step(command, step[(command.Length + 3)..]));
            }
        }

        Assert.InRange(steps.Count, 15, 40);
        string[] outputs = RunAll(temp, steps);
        if (Environment.GetEnvironmentVariable("ADMNATIVE_UPDATE_DOCS") == "1")
        {
            var at = 0;
            for (int i = 1; i < pieces.Length; i += 2)
            {
                int count = Regex.Count(pieces[i], "^\\$ ", RegexOptions.Multiline);
                pieces[i] = string.Concat(Enumerable.Range(at, count).Select(k => $"$ {steps[k].Command}\n{outputs[k]}"));
                at += count;
            }

            File.WriteAllText(s_path, string.Concat(pieces));
        }

        for (int i = 0; i < steps.Count; i++)
        {
            Assert.True(steps[i].Output == outputs[i], $"'{steps[i].Command}' prints\n{outputs[i]}\nand the page says\n{steps[i].Output}\n(ADMNATIVE_UPDATE_DOCS=1 writes it anew)");
        }

        // What the fixed kernel wrote is what the page promises of it.
        using NpzFile file2 = NpzFile.Open(temp["out.npz"]);
        CheckSmooth(file2.Read("y").ToFloats(), file2.Read("total").ToFloats());
    }

    // All commands in one shell, so that $? is that of the command before.
    private static string[] RunAll(TempFolder temp, List<Step> steps)
    {
        string folder = temp["bin"];
        Directory.CreateDirectory(folder);
        var script = new StringBuilder($"cd '{temp.Path}'\nadm() {{ dotnet '{Path.Combine(AppContext.BaseDirectory, "adm.dll")}' \"$@\"; }}\n");
        for (int i = 0; i < steps.Count; i++)
        {
            script.Append($"{{ {steps[i].Command}\n}} > bin/{i} 2>&1\n");
        }

        File.WriteAllText(Path.Combine(folder, "script"), script.ToString());
        using Process shell = Process.Start("bash", [Path.Combine(folder, "script")]);
        shell.WaitForExit();
        return [.. steps.Select((_, i) => File.ReadAllText(Path.Combine(folder, i.ToString(System.Globalization.CultureInfo.InvariantCulture))))];
    }

    private static float[] Signal() => [.. Enumerable.Range(0, 200).Select(i => (float)(i % 10))];

    private static void CheckSmooth(float[] y, float[] total)
    {
        float[] x = Signal();
        for (int i = 0; i < x.Length; i++)
        {
            Assert.Equal(i is 0 or 199 ? x[i] : (x[i - 1] + x[i] + x[i + 1]) / 3f, y[i]);
        }

        // Sums of 128 values below 9: each of 128 additions is off by half an ulp of at most 1024.
        Assert.InRange(total[0], y[..128].Sum(v => (double)v) - 0.01, y[..128].Sum(v => (double)v) + 0.01);
        Assert.InRange(total[1], y[128..].Sum(v => (double)v) - 0.01, y[128..].Sum(v => (double)v) + 0.01);
    }

    [Fact]
    public void The_library_example_is_this_code()
    {
        string folder = Repo.Path("docs", "examples");
        float[] signal = Signal();
        var Console = new StringWriter();
        static string[] Words(string text) => [.. text.Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries)];

        // begin
        using var device = new VirtualDevice(DeviceProfile.A100);
        PtxProgram program = device.Load(File.ReadAllText(Path.Combine(folder, "smooth-fixed.ptx")));
        ulong y = device.Allocate(200 * sizeof(float), "y"), total = device.Allocate(2 * sizeof(float), "total"), x = device.Allocate(200 * sizeof(float), "x");
        device.Write(x, MemoryMarshal.AsBytes<float>(signal));

        byte[] parameters = [.. BitConverter.GetBytes(y), .. BitConverter.GetBytes(total), .. BitConverter.GetBytes(x), .. BitConverter.GetBytes(200), 0, 0, 0, 0];
        LaunchReport report = device.Launch(program.Entry("smooth"), new LaunchShape(2, 1, 1, 128, 1, 1), parameters);

        foreach (Finding finding in report.Findings)
        {
            Console.WriteLine(finding);
        }

        var totals = new float[2];
        device.Read(total, MemoryMarshal.AsBytes(totals.AsSpan()));

        // end
        var result = new float[200];
        device.Read(y, MemoryMarshal.AsBytes(result.AsSpan()));
        CheckSmooth(result, totals);
        Assert.Equal("", Console.ToString());
        string source = File.ReadAllText(Repo.Path("tests", "AdmNative.Cli.Tests", "PtxPageTests.cs")).Replace("Path.Combine(folder, \"smooth-fixed.ptx\")", "\"smooth-fixed.ptx\"", StringComparison.Ordinal);
        string code = source.Split("// begin")[1].Split("// end")[0];
        Assert.Equal(Words(s_page.Split("```csharp")[1].Split("```")[0]), Words(code));
    }

    [Fact]
    public void Every_check_counter_and_device_is_on_the_page()
    {
        foreach ((string name, _) in Cli.LaunchWords.Checks)
        {
            Assert.Contains($"| `{name}` |", s_page);
        }

        foreach (System.Reflection.PropertyInfo p in typeof(Counters).GetProperties())
        {
            Assert.Contains($"`{Cli.LaunchWords.Snake(p.Name)}`", s_page);
        }

        foreach (DeviceProfile device in DeviceProfile.All)
        {
            Assert.Contains($"| `{device.Target}` | {device.Name.Replace("Virtual ", "", StringComparison.Ordinal).Replace("-SXM5-", " SXM5 ", StringComparison.Ordinal)} |", s_page);
        }

        foreach (string type in Cli.ScalarText.Names)
        {
            Assert.Contains(type, s_page);
        }
    }

    [Fact]
    public void The_planted_bugs_are_where_the_page_says()
    {
        string[] lines = File.ReadAllLines(Repo.Path("docs", "examples", "smooth.cu"));
        Assert.Contains("p.x[i + 1]", lines[16]);
        Assert.Contains("__syncthreads", lines[20]);
        Assert.Contains("sum[threadIdx.x >> 5] = v", lines[27]);
        Assert.Contains("p.total[blockIdx.x] = sum[0]", lines[28]);
        PtxSummary ptx = PtxSummary.Read(File.ReadAllText(Repo.Path("docs", "examples", "smooth.ptx")));
        Assert.Empty(ptx.Errors);
    }
}
