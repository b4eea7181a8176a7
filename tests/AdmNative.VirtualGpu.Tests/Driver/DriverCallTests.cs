using System.Text;
using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

/// <summary>Device, context, module and function calls: what they answer, and how they fail.</summary>
public sealed class DriverCallTests
{
    [Fact]
    public void Nothing_works_before_init()
    {
        using var driver = new VirtualDriver();
        Assert.Equal(CudaStatus.NotInitialized, driver.DeviceGetCount(out _));
        Assert.Equal(CudaStatus.NotInitialized, driver.DeviceGet(out _, 0));
        Assert.Equal(CudaStatus.NotInitialized, driver.PrimaryCtxRetain(out _, 0));
        Assert.Equal(CudaStatus.NotInitialized, driver.CtxGetCurrent(out _));
        Assert.Equal(CudaStatus.NotInitialized, driver.MemAlloc(out _, 4));
        Assert.Contains("Init", driver.LastErrorDetail, StringComparison.Ordinal);
        Assert.Equal(CudaStatus.Success, driver.DriverGetVersion(out int version));
        Assert.Equal(12080, version);
        Assert.Equal(CudaStatus.Success, driver.Init());
        Assert.Equal(CudaStatus.Success, driver.DeviceGetCount(out int count));
        Assert.Equal(1, count);
    }

    [Theory]
    [InlineData("sm_80", 108, 166912, 167936, 32, 2048)]
    [InlineData("rtx3090", 82, 101376, 102400, 16, 1536)]
    [InlineData("8.9", 128, 101376, 102400, 24, 1536)]
    [InlineData("H100", 132, 232448, 233472, 32, 2048)]
    public void A_profile_decides_what_the_device_answers(string name, int sms, int optin, int sharedPerSm, int blocks, int threads)
    {
        DeviceProfile profile = DeviceProfile.Parse(name);
        using var rig = new Rig(new VirtualDriverOptions { Profile = profile, MemoryLimit = 1 << 20 });
        int Value(CudaDeviceAttribute a)
        {
            rig.Ok(rig.Driver.DeviceGetAttribute(out int v, a, 0));
            return v;
        }

        Assert.Equal(sms, Value(CudaDeviceAttribute.MultiprocessorCount));
        Assert.Equal(optin, Value(CudaDeviceAttribute.MaxSharedBytesPerBlockOptin));
        Assert.Equal(sharedPerSm, Value(CudaDeviceAttribute.MaxSharedBytesPerMultiprocessor));
        Assert.Equal(blocks, Value(CudaDeviceAttribute.MaxBlocksPerMultiprocessor));
        Assert.Equal(threads, Value(CudaDeviceAttribute.MaxThreadsPerMultiprocessor));
        Assert.Equal((profile.Major, profile.Minor), (Value(CudaDeviceAttribute.ComputeCapabilityMajor), Value(CudaDeviceAttribute.ComputeCapabilityMinor)));
        Assert.Equal((1024, 64, 65535), (Value(CudaDeviceAttribute.MaxBlockDimX), Value(CudaDeviceAttribute.MaxBlockDimZ), Value(CudaDeviceAttribute.MaxGridDimY)));
        Assert.Equal((32, 49152, 1024), (Value(CudaDeviceAttribute.WarpSize), Value(CudaDeviceAttribute.MaxSharedBytesPerBlock), Value(CudaDeviceAttribute.ReservedSharedBytesPerBlock)));
        foreach (CudaDeviceAttribute a in Enum.GetValues<CudaDeviceAttribute>())
        {
            Assert.True(Value(a) > 0 || a == CudaDeviceAttribute.ComputeCapabilityMinor, $"{a}");
        }

        rig.Ok(rig.Driver.DeviceGetName(out string text, 0));
        Assert.Equal(profile.Name, text);
        rig.Ok(rig.Driver.DeviceTotalMem(out ulong bytes, 0));
        Assert.Equal(1UL << 20, bytes);
        Assert.Contains(profile.Target, rig.Driver.Description, StringComparison.Ordinal);
    }

    [Fact]
    public void Unknown_devices_attributes_and_profiles_are_refused()
    {
        using var rig = new Rig();
        rig.Fails(CudaStatus.InvalidDevice, "device 1", rig.Driver.DeviceGet(out _, 1));
        rig.Fails(CudaStatus.InvalidDevice, "device -1", rig.Driver.DeviceGetName(out _, -1));
        rig.Fails(CudaStatus.InvalidDevice, "device 7", rig.Driver.DeviceTotalMem(out _, 7));
        rig.Fails(CudaStatus.InvalidDevice, "device 2", rig.Driver.PrimaryCtxRetain(out _, 2));
        rig.Fails(CudaStatus.InvalidValue, "12345", rig.Driver.DeviceGetAttribute(out _, (CudaDeviceAttribute)12345, 0));
        rig.Ok(rig.Driver.DeviceGet(out int device, 0));
        Assert.Equal(0, device);
        ArgumentException e = Assert.Throws<ArgumentException>(() => DeviceProfile.Parse("sm_70"));
        Assert.Contains("sm_86 (rtx3090)", e.Message, StringComparison.Ordinal);
        Assert.False(DeviceProfile.TryParse(null, out _));
        Assert.Throws<ArgumentOutOfRangeException>(() => new VirtualDriver(new VirtualDriverOptions { DriverVersion = 11080 }));
    }

    [Fact]
    public void The_primary_context_counts_its_owners_and_takes_everything_with_it()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        ulong a = rig.Alloc(64);
        rig.Ok(d.PrimaryCtxRetain(out nint second, 0));
        Assert.Equal(rig.Context, second);
        rig.Ok(d.PrimaryCtxRelease(0));
        rig.Ok(d.MemFree(a)); // still alive
        rig.Ok(d.CtxGetCurrent(out nint current));
        Assert.Equal(rig.Context, current);
        rig.Ok(d.PrimaryCtxRelease(0));
        rig.Fails(CudaStatus.ContextIsDestroyed, "released", d.MemAlloc(out _, 4));
        rig.Fails(CudaStatus.InvalidContext, "not retained", d.PrimaryCtxRelease(0));
        rig.Fails(CudaStatus.InvalidContext, "no live context", d.CtxSetCurrent(rig.Context));
        rig.Ok(d.PrimaryCtxRetain(out nint fresh, 0));
        rig.Ok(d.CtxSetCurrent(fresh));
        rig.Ok(d.MemGetInfo(out nuint free, out nuint total));
        Assert.Equal(total, free);
        rig.Ok(d.CtxSetCurrent(0));
        rig.Fails(CudaStatus.InvalidContext, "no context is current", d.CtxSynchronize());
    }

    [Fact]
    public void A_module_gives_functions_and_variables_and_takes_them_back()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        rig.Ok(d.ModuleLoad(out nint module, Encoding.UTF8.GetBytes(Rig.Ptx + "\0"), out string log));
        Assert.Contains("'shared': about", log, StringComparison.Ordinal);
        Assert.Contains("1024 bytes smem, 24 bytes lmem", log, StringComparison.Ordinal);
        nint f = rig.Function(module, "add1");
        Assert.Equal(f, rig.Function(module, "add1"));
        rig.Fails(CudaStatus.NotFound, "scale, add1, limited", d.ModuleGetFunction(out _, module, "add2"));
        rig.Ok(d.ModuleGetGlobal(out ulong table, out nuint bytes, module, "table"));
        Assert.Equal(8u, bytes);
        Assert.Equal([1, 2], rig.Get(table, 2).Select(BitConverter.SingleToInt32Bits));
        rig.Fails(CudaStatus.NotFound, "table, constants", d.ModuleGetGlobal(out _, out _, module, "tables"));
        rig.Fails(CudaStatus.InvalidValue, "module variable 'table'", d.MemFree(table));
        rig.Fails(CudaStatus.InvalidHandle, "another kind", d.ModuleUnload(f));
        rig.Fails(CudaStatus.InvalidHandle, "is null", d.ModuleGetFunction(out _, 0, "add1"));
        rig.Fails(CudaStatus.InvalidHandle, "never gave it out", d.ModuleUnload(12345));
        rig.Ok(d.ModuleUnload(module));
        rig.Fails(CudaStatus.InvalidHandle, "destroyed", d.ModuleUnload(module));
        rig.Fails(CudaStatus.InvalidHandle, "destroyed", rig.One(f, 0, 32));
        rig.Ok(d.MemGetInfo(out nuint free, out nuint total));
        Assert.Equal(total, free);
    }

    [Theory]
    [InlineData("mul.f32 %f3", "mul.wavelet.f32 %f3", CudaStatus.InvalidPtx, "line 17; error   : mul.wavelet.f32")]
    [InlineData("@%p1 ret;", "@%p1 ret", CudaStatus.InvalidPtx, "line 15")]
    [InlineData("sm_80", "sm_90", CudaStatus.InvalidPtx, "newer than this device (sm_80)")]
    [InlineData("sm_80", "sm_90a", CudaStatus.InvalidPtx, "newer than this device (sm_80)")]
    [InlineData(".version 7.0", ".version 8.8", CudaStatus.UnsupportedPtxVersion, "Unsupported .version 8.8; current version is '8.7'")]
    public void A_bad_module_is_refused_with_a_log(string from, string to, CudaStatus status, string text)
    {
        using var rig = new Rig();
        Assert.Contains(from, Rig.Ptx, StringComparison.Ordinal);
        string ptx = Rig.Ptx.Replace(from, to, StringComparison.Ordinal);
        Assert.Equal(status, rig.Driver.ModuleLoad(out nint module, Encoding.UTF8.GetBytes(ptx + "\0"), out string log));
        Assert.Equal(0, module);
        Assert.Contains(text, log, StringComparison.Ordinal);
        Assert.NotEqual("", rig.Driver.LastErrorDetail);
        Assert.Contains(rig.Driver.LastErrorDetail, log, StringComparison.Ordinal);
    }

    [Fact]
    public void A_module_for_an_older_device_runs_and_an_exact_one_only_on_its_own()
    {
        string exact = Rig.Ptx.Replace("sm_80", "sm_90a", StringComparison.Ordinal).Replace(".version 7.0", ".version 8.0", StringComparison.Ordinal);
        using var h100 = new Rig(new VirtualDriverOptions { Profile = DeviceProfile.H100 });
        h100.Load();
        nint module = h100.Load(exact);
        h100.Ok(h100.Driver.FuncGetAttribute(out int version, CudaFunctionAttribute.PtxVersion, h100.Function(module, "add1")));
        Assert.Equal(90, version);
        DeviceProfile future = DeviceProfile.H100 with { Major = 10 };
        using var newer = new Rig(new VirtualDriverOptions { Profile = future });
        newer.Load();
        Assert.Equal(CudaStatus.InvalidPtx, newer.Driver.ModuleLoad(out _, Encoding.UTF8.GetBytes(exact + "\0"), out string log));
        Assert.Contains("runs on sm_90 only", log, StringComparison.Ordinal);
    }

    [Fact]
    public void An_image_that_is_no_PTX_text_is_refused()
    {
        using var rig = new Rig();
        Assert.Equal(CudaStatus.InvalidImage, rig.Driver.ModuleLoad(out _, "\u007fELF123\0"u8, out string log));
        Assert.Contains("PTX text only", log, StringComparison.Ordinal);
        Assert.Equal(CudaStatus.InvalidImage, rig.Driver.ModuleLoad(out _, Encoding.UTF8.GetBytes(Rig.Ptx), out log));
        Assert.Contains("NUL", log, StringComparison.Ordinal);
        Assert.Equal(CudaStatus.InvalidImage, rig.Driver.ModuleLoad(out _, [], out _));
        Assert.Equal(CudaStatus.InvalidPtx, rig.Driver.ModuleLoad(out _, "\0"u8, out _));
    }

    [Fact]
    public void Function_attributes_come_from_the_text()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        nint module = rig.Load(), shared = rig.Function(module, "shared"), constant = rig.Function(module, "constant");
        int Value(nint f, CudaFunctionAttribute a)
        {
            rig.Ok(d.FuncGetAttribute(out int v, a, f));
            return v;
        }

        Assert.Equal(1024, Value(shared, CudaFunctionAttribute.SharedBytes));
        Assert.Equal(24, Value(shared, CudaFunctionAttribute.LocalBytes));
        Assert.Equal((0, 12), (Value(shared, CudaFunctionAttribute.ConstBytes), Value(constant, CudaFunctionAttribute.ConstBytes)));
        Assert.Equal((1024, 64), (Value(shared, CudaFunctionAttribute.MaxThreadsPerBlock), Value(rig.Function(module, "limited"), CudaFunctionAttribute.MaxThreadsPerBlock)));
        Assert.Equal((80, 80), (Value(shared, CudaFunctionAttribute.PtxVersion), Value(shared, CudaFunctionAttribute.BinaryVersion)));
        Assert.InRange(Value(shared, CudaFunctionAttribute.Registers), 3, 3);
        Assert.Equal(48 * 1024 - 1024, Value(shared, CudaFunctionAttribute.MaxDynamicSharedBytes));
        rig.Ok(d.FuncSetAttribute(shared, CudaFunctionAttribute.MaxDynamicSharedBytes, 163 * 1024 - 1024));
        Assert.Equal(162 * 1024, Value(shared, CudaFunctionAttribute.MaxDynamicSharedBytes));
        rig.Fails(CudaStatus.InvalidValue, "allows 165888 beside 1024", d.FuncSetAttribute(shared, CudaFunctionAttribute.MaxDynamicSharedBytes, 163 * 1024 - 1023));
        rig.Fails(CudaStatus.InvalidValue, "-1 bytes", d.FuncSetAttribute(shared, CudaFunctionAttribute.MaxDynamicSharedBytes, -1));
        rig.Ok(d.FuncSetAttribute(shared, CudaFunctionAttribute.PreferredSharedCarveout, 50));
        Assert.Equal(50, Value(shared, CudaFunctionAttribute.PreferredSharedCarveout));
        rig.Fails(CudaStatus.InvalidValue, "101 percent", d.FuncSetAttribute(shared, CudaFunctionAttribute.PreferredSharedCarveout, 101));
        rig.Fails(CudaStatus.InvalidValue, "cannot be set", d.FuncSetAttribute(shared, CudaFunctionAttribute.Registers, 10));
        rig.Fails(CudaStatus.InvalidValue, "not known", d.FuncGetAttribute(out _, (CudaFunctionAttribute)99, shared));
        rig.Fails(CudaStatus.InvalidHandle, "another kind", d.FuncGetAttribute(out _, CudaFunctionAttribute.Registers, module));
        rig.Fails(CudaStatus.InvalidHandle, "another kind", d.FuncSetAttribute(module, CudaFunctionAttribute.Registers, 1));
    }

    [Fact]
    public void Known_registers_replace_the_estimate()
    {
        using var rig = new Rig(new VirtualDriverOptions { Registers = (entry, profile) => entry.Name == "add1" && profile.Target == "sm_80" ? 80 : null });
        VirtualDriver d = rig.Driver;
        nint module = rig.Load(), known = rig.Function(module, "add1"), estimated = rig.Function(module, "scale");
        rig.Ok(d.FuncGetAttribute(out int registers, CudaFunctionAttribute.Registers, known));
        Assert.Equal(80, registers);
        rig.Ok(d.FuncGetAttribute(out int threads, CudaFunctionAttribute.MaxThreadsPerBlock, known));
        Assert.Equal(800, threads); // 65536 / (80 * 32) = 25 warps
        rig.Ok(d.FuncGetAttribute(out registers, CudaFunctionAttribute.Registers, estimated));
        Assert.InRange(registers, 6, 16);
        ulong x = rig.Put(new float[1024]);
        rig.Fails(CudaStatus.LaunchOutOfResources, "832 threads with 80 registers each take 66560", rig.One(known, x, 832));
        rig.Ok(rig.One(known, x, 800));
    }

    [Theory]
    [InlineData("sm_80", 256, 32, 0, 8)] // threads: 2048 / 256
    [InlineData("sm_86", 256, 32, 0, 6)] // threads: 1536 / 256
    [InlineData("sm_80", 32, 16, 0, 32)] // blocks
    [InlineData("sm_86", 32, 16, 0, 16)]
    [InlineData("sm_89", 32, 16, 0, 24)]
    [InlineData("sm_80", 128, 128, 0, 4)] // registers: 4 warps of 4096
    [InlineData("sm_80", 128, 129, 0, 3)] // 129 * 32 rounds up to 4352
    [InlineData("sm_80", 160, 129, 0, 2)] // 3 warps in each quarter, 5 a block: 15 would fit in one pool
    [InlineData("sm_80", 256, 255, 0, 1)]
    [InlineData("sm_80", 512, 255, 0, 0)] // 16 warps of 8192 registers do not fit
    [InlineData("sm_80", 128, 32, 48 * 1024, 3)] // 164 / 49
    [InlineData("sm_80", 128, 32, 163 * 1024, 1)]
    [InlineData("sm_80", 128, 32, (163 * 1024) + 1, 0)]
    [InlineData("sm_90", 128, 32, 48 * 1024, 4)] // 228 / 49
    [InlineData("sm_89", 128, 32, 48 * 1024, 2)] // 100 / 49
    [InlineData("sm_80", 1025, 32, 0, 0)]
    public void Occupancy_is_the_least_of_four_limits(string profile, int threads, int registers, int shared, int blocks) =>
        Assert.Equal(blocks, Occupancy.Blocks(DeviceProfile.Parse(profile), threads, registers, shared));

    [Fact]
    public void Occupancy_of_a_function_counts_its_own_shared_memory_and_limits()
    {
        using var rig = new Rig(new VirtualDriverOptions { Registers = (_, _) => 32 });
        VirtualDriver d = rig.Driver;
        nint module = rig.Load(), f = rig.Function(module, "shared");
        int Blocks(nint f, int threads, nuint bytes)
        {
            rig.Ok(d.OccupancyMaxActiveBlocks(out int blocks, f, threads, bytes));
            return blocks;
        }

        Assert.Equal(8, Blocks(f, 256, 0));
        Assert.Equal(3, Blocks(f, 256, 47 * 1024)); // 1 + 47 + 1 KiB of 164
        Assert.Equal(0, Blocks(f, 256, 48 * 1024)); // beyond what it may ask for
        rig.Ok(d.FuncSetAttribute(f, CudaFunctionAttribute.MaxDynamicSharedBytes, 80 * 1024));
        Assert.Equal(2, Blocks(f, 256, 80 * 1024));
        Assert.Equal(0, Blocks(rig.Function(module, "limited"), 96, 0));
        Assert.Equal(32, Blocks(rig.Function(module, "limited"), 64, 0));
        rig.Fails(CudaStatus.InvalidValue, "0 threads", d.OccupancyMaxActiveBlocks(out _, f, 0, 0));
        rig.Fails(CudaStatus.InvalidHandle, "no function", d.OccupancyMaxActiveBlocks(out _, module, 32, 0));
    }

    [Fact]
    public void Every_status_has_its_name_and_text()
    {
        using var driver = new VirtualDriver();
        foreach (CudaStatus status in Enum.GetValues<CudaStatus>())
        {
            string text = driver.ErrorText(status);
            Assert.Matches("^CUDA_(SUCCESS|ERROR_[A-Z_]+): .+", text);
            string name = text[..text.IndexOf(':', StringComparison.Ordinal)].Replace("CUDA_ERROR_", "", StringComparison.Ordinal)
                .Replace("CUDA_", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal);
            Assert.Equal(status.ToString(), name, ignoreCase: true);
        }

        Assert.Equal("CUDA_ERROR_OUT_OF_MEMORY: out of memory", driver.ErrorText(CudaStatus.OutOfMemory));
        Assert.Contains("12345", driver.ErrorText((CudaStatus)12345), StringComparison.Ordinal);
    }
}
