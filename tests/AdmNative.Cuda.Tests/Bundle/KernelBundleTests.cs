using System.Reflection;
using System.Runtime.InteropServices;
using AdmNative.Tests;

namespace AdmNative.Cuda.Tests.Bundle;

/// <summary>The embedded kernels: what the catalogue says of them is so, and the host's parameter structs match.</summary>
public sealed class KernelBundleTests
{
    private static readonly KernelBundle s_bundle = KernelBundle.Open();

    [Fact]
    public void Entries_are_found_by_name()
    {
        KernelEntry entry = s_bundle["gemm_nt_f16"];
        Assert.Equal(("gemm.sm80.ptx", 64, 49152, 2), (entry.Image.File, entry.ParameterBytes, entry.StaticSharedBytes, entry.MinBlocksPerSm));
        Assert.Equal([128, 1, 1], entry.MaxThreads);
        Assert.Contains(".visible .entry gemm_nt_f16(", entry.Image.Text, StringComparison.Ordinal);
        Assert.True(s_bundle.TryFind("eltwise_add_f32", out KernelEntry? add));
        Assert.Equal("sm_80", add.Image.Target);
        Assert.False(s_bundle.TryFind("gemm_nt_f64", out _));
    }

    [Fact]
    public void A_wrong_name_is_answered_with_the_family()
    {
        KeyNotFoundException e = Assert.Throws<KeyNotFoundException>(() => s_bundle["gemm_nt_f64"]);
        Assert.Contains("gemm_nt_f16", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("eltwise", e.Message, StringComparison.Ordinal);
    }

    public static TheoryData<string> Names() => new(s_bundle.Entries.Select(e => e.Name));

    /// <summary>Names as family_op_dtype; one struct by value; the text has the entry with the size and limits the catalogue states.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void The_text_has_what_the_catalogue_says(string name)
    {
        KernelEntry entry = s_bundle[name];
        Assert.Matches("^[a-z][a-z0-9]*_[a-z0-9_]+_(f32|f16|bf16)$", name);
        Assert.Matches($"^(plain_)?{name.Split('_')[0]}[._]", entry.Image.File);
        KernelParameter parameter = Assert.Single(entry.Parameters);
        Assert.InRange(parameter.Bytes, 1, 256);
        string text = entry.Image.Text;
        int start = text.IndexOf($".visible .entry {name}(", StringComparison.Ordinal);
        Assert.True(start > 0);
        string head = text[start..text.IndexOf('{', start)];
        Assert.Contains($".param .align {parameter.Align} .b8 {parameter.Name}[{parameter.Bytes}]", head, StringComparison.Ordinal);
        Assert.Contains($".maxntid {string.Join(", ", entry.MaxThreads)}\n", head, StringComparison.Ordinal);
        Assert.Contains($".minnctapersm {entry.MinBlocksPerSm}\n", head, StringComparison.Ordinal);
        Assert.Contains($"block {entry.MaxThreads[0]}", entry.Launch, StringComparison.Ordinal);
        Assert.Contains("grid x = ", entry.Launch, StringComparison.Ordinal);
    }

    [Fact]
    public void The_files_have_no_entries_the_catalogue_leaves_out()
    {
        foreach (KernelImage image in s_bundle.Images)
        {
            string[] named = [.. image.Text.Split('\n').Where(l => l.Contains(".entry ", StringComparison.Ordinal)).Select(l => l.Split(".entry ")[1].Split('(')[0])];
            Assert.Equal(s_bundle.Entries.Where(e => e.Image == image).Select(e => e.Name).Order(StringComparer.Ordinal), named.Order(StringComparer.Ordinal));
            Assert.EndsWith("\n", image.Text, StringComparison.Ordinal);
            Assert.Contains($"\n.version {image.Version}\n.target {image.Target}\n", image.Text, StringComparison.Ordinal);
        }
    }

    /// <summary>No spills, no stack, static shared memory as declared, on every architecture.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Every_architecture_was_measured_and_nothing_spills(string name)
    {
        KernelEntry entry = s_bundle[name];
        Assert.Equal(["sm_80", "sm_86", "sm_89", "sm_90"], entry.Resources.Keys.Order(StringComparer.Ordinal));
        foreach (KernelResources r in entry.Resources.Values)
        {
            Assert.Equal((0, 0, 0), (r.SpillStoreBytes, r.SpillLoadBytes, r.StackBytes));
            Assert.Equal(entry.StaticSharedBytes, r.SharedBytes);
            Assert.InRange(r.Registers, 8, 255);
            // 64 Ki registers in granules of 256 per warp must hold the blocks promised by .minnctapersm
            int warps = entry.MaxThreads.Aggregate(1, (a, b) => a * b) / 32;
            Assert.True(entry.MinBlocksPerSm * warps * ((r.Registers + 7) / 8 * 8 * 32) <= 65536);
        }
    }

    /// <summary>Each parameter struct of the catalogue has a mirror of the same name, size, members and offsets.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Host_structs_have_the_kernels_layout(string name)
    {
        KernelParameter parameter = s_bundle[name].Parameters[0];
        Type mirror = typeof(KernelBundle).Assembly.GetType($"AdmNative.Cuda.{parameter.Type}") ?? throw new InvalidOperationException($"no struct {parameter.Type}");
        Assert.Equal(parameter.Bytes, mirror.StructLayoutAttribute!.Size);
        Assert.Equal(LayoutKind.Explicit, mirror.StructLayoutAttribute.Value);
        Assert.Equal(parameter.Bytes, Marshal.SizeOf(mirror));
        FieldInfo[] fields = [.. mirror.GetFields(BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public)];
        Assert.Equal(parameter.Fields.Count, fields.Length);
        int end = 0;
        foreach (KernelField field in parameter.Fields)
        {
            FieldInfo host = Assert.Single(fields, f => string.Equals(f.Name.Trim('<').Split('>')[0], field.Name, StringComparison.OrdinalIgnoreCase));
            Assert.Equal((field.Name, field.Offset), (field.Name, host.GetCustomAttribute<FieldOffsetAttribute>()!.Value));
            Assert.Equal((field.Name, HostType(field)), (field.Name, host.FieldType));
            Assert.Equal(field.Bytes, Marshal.SizeOf(host.FieldType));
            Assert.True(field.Offset >= end, $"{parameter.Type}.{field.Name} overlaps the field before it");
            end = field.Offset + field.Bytes;
        }

        Assert.Equal(parameter.Bytes, (end + parameter.Align - 1) / parameter.Align * parameter.Align);
    }

    private static Type HostType(KernelField field) => field.Type.Contains('*', StringComparison.Ordinal) ? typeof(ulong) : field.Type switch
    {
        "u64" => typeof(ulong),
        "i64" => typeof(long),
        "int" => typeof(int),
        "u32" => typeof(uint),
        "float" => typeof(float),
        "double" => typeof(double),
        _ => typeof(KernelBundle).Assembly.GetType($"AdmNative.Cuda.{field.Type}") ?? throw new InvalidOperationException($"no host type for '{field.Type}'"),
    };

    [Fact]
    public void A_folder_overrides_single_files()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("ptx");
        try
        {
            File.WriteAllText(Path.Combine(folder.FullName, "gemm.sm80.ptx"), "// mine\n");
            KernelBundle bundle = KernelBundle.Open(folder.FullName);
            Assert.Equal("// mine\n", bundle["gemm_nn_f16"].Image.Text);
            Assert.Equal([Path.Combine(folder.FullName, "gemm.sm80.ptx")], bundle.Overridden);
            Assert.Equal(s_bundle["eltwise_add_f32"].Image.Text, bundle["eltwise_add_f32"].Image.Text);
        }
        finally
        {
            folder.Delete(true);
        }

        Assert.Throws<DirectoryNotFoundException>(() => KernelBundle.Open(folder.FullName));
    }

    [Fact]
    public void The_embedded_text_is_the_one_in_the_checkout()
    {
        foreach (KernelImage image in s_bundle.Images)
        {
            Assert.Equal(File.ReadAllText(Repo.Path("kernels", "ptx", image.File)), image.Text);
        }
    }
}
