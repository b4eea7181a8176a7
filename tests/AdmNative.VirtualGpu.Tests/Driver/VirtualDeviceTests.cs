using System.Runtime.InteropServices;
using AdmNative.Cuda;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Tests.Driver;

public sealed class VirtualDeviceTests
{
    internal const string Scale = """
        .version 7.0
        .target sm_80
        .address_size 64
        .visible .entry scale(.param .u64 y, .param .u64 x, .param .f32 factor, .param .u32 n)
        {
        .reg .pred %p1; .reg .b32 %r<6>; .reg .f32 %f<4>; .reg .b64 %rd<8>;
        ld.param.u64 %rd1, [y]; ld.param.u64 %rd2, [x]; ld.param.f32 %f1, [factor]; ld.param.u32 %r1, [n];
        mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;
        mad.lo.s32 %r5, %r2, %r3, %r4;
        setp.ge.u32 %p1, %r5, %r1;
        @%p1 ret;
        mul.wide.u32 %rd3, %r5, 4; add.s64 %rd4, %rd2, %rd3; add.s64 %rd5, %rd1, %rd3;
        ld.global.f32 %f2, [%rd4];
        mul.f32 %f3, %f2, %f1;
        st.global.f32 [%rd5], %f3;
        ret;
        }
        """;

    internal static byte[] Block(PtxEntry entry, params ReadOnlySpan<object> values)
    {
        var block = new byte[entry.ParameterBytes];
        for (int i = 0; i < values.Length; i++)
        {
            Span<byte> to = block.AsSpan(entry.Parameters[i].Offset);
            switch (values[i])
            {
                case ulong v: MemoryMarshal.Write(to, v); break;
                case int v: MemoryMarshal.Write(to, v); break;
                case float v: MemoryMarshal.Write(to, v); break;
                default: throw new ArgumentException($"value {i} is a {values[i].GetType()}");
            }
        }

        return block;
    }

    [Fact]
    public void Load_allocate_write_launch_read()
    {
        using var device = new VirtualDevice(DeviceProfile.A100);
        PtxProgram program = device.Load(Scale);
        PtxEntry entry = program.Entry("scale");
        float[] x = [.. Enumerable.Range(0, 1000).Select(i => i - 7.5f)], y = new float[1000];
        ulong dx = device.Allocate(4000), dy = device.Allocate(4000);
        device.Write(dx, MemoryMarshal.AsBytes<float>(x));
        LaunchReport report = device.Launch(entry, new LaunchShape(8, 1, 1, 128, 1, 1), Block(entry, dy, dx, 3f, 1000));
        device.Read(dy, MemoryMarshal.AsBytes(y.AsSpan()));
        Assert.Equal(x.Select(v => v * 3f), y);
        Assert.Empty(report.Findings);
        Assert.Equal(CudaStatus.Success, report.Status);
        Assert.Equal(250, report.Counters.GlobalFootprintSectors); // 1000 floats read and 1000 written, 125 sectors each
    }

    [Fact]
    public void An_entry_tells_what_a_launch_has_to_provide()
    {
        PtxEntry entry = PtxProgram.Parse("""
            .version 7.0
            .target sm_80
            .address_size 64
            .extern .shared .align 16 .b8 dyn[];
            .visible .entry k(.param .u32 a, .param .align 8 .b8 s[24], .param .u8 c, .param .u64 d)
            .maxntid 64, 2, 1
            .minnctapersm 3
            {
            .shared .align 4 .b8 fixed[100];
            .local .align 8 .b8 depot[40];
            .reg .b32 %r<3>;
            mov.u32 %r1, dyn; mov.u32 %r2, fixed;
            st.shared.u32 [%r1], %r2;
            ret;
            }
            """).Entry("k");
        Assert.Equal([("a", 0, 4, 4), ("s", 8, 24, 8), ("c", 32, 1, 1), ("d", 40, 8, 8)], entry.Parameters.Select(p => (p.Name, p.Offset, p.Bytes, p.Align)));
        Assert.Equal(48, entry.ParameterBytes);
        Assert.Equal(100, entry.StaticSharedBytes);
        Assert.True(entry.UsesDynamicShared);
        Assert.Equal(40, entry.LocalBytes);
        Assert.Equal((64, 2, 1), entry.MaxNtid);
        Assert.Null(entry.ReqNtid);
        Assert.Equal(3, entry.MinBlocksPerMultiprocessor);
        Assert.Equal(128, entry.MaxThreadsPerBlock(DeviceProfile.A100));
        Assert.Equal(2, entry.EstimatedRegisters);
        Assert.Throws<KeyNotFoundException>(() => entry.Program.Entry("nope"));
    }

    [Fact]
    public void Wrong_memory_use_is_named()
    {
        using var device = new VirtualDevice(DeviceProfile.A100, memoryLimit: 1000);
        ulong a = device.Allocate(600);
        Assert.Equal(600, device.MemoryUsed);
        Failure(CudaStatus.OutOfMemory, "400 of 1000 bytes are free", () => device.Allocate(500));
        Failure(CudaStatus.InvalidValue, "byte 590 of the allocation", () => device.Write(a + 590, new byte[11]));
        device.Write(a + 589, new byte[11]);
        Failure(CudaStatus.InvalidValue, "only its beginning can be freed", () => device.Free(a + 4));
        device.Free(a);
        Failure(CudaStatus.InvalidValue, "freed", () => device.Read(a, new byte[1]));
        Failure(CudaStatus.InvalidValue, "freed before", () => device.Free(a));
        Assert.Equal(0, device.MemoryUsed);
        device.Allocate(1000);
    }

    [Fact]
    public void Bad_text_is_refused_with_its_line()
    {
        using var device = new VirtualDevice();
        PtxException e = Assert.Throws<PtxException>(() => device.Load(Scale.Replace("mul.f32", "wavelet.f32", StringComparison.Ordinal)));
        Assert.Equal(14, e.Line);
        Assert.Contains("wavelet", e.Message, StringComparison.Ordinal);
        Failure(CudaStatus.InvalidPtx, "newer than this device (sm_80)", () => device.Load(Scale.Replace("sm_80", "sm_90", StringComparison.Ordinal)));
    }

    private static void Failure(CudaStatus status, string text, Action action)
    {
        CudaException e = Assert.Throws<CudaException>(action);
        Assert.Equal(status, e.Status);
        Assert.Contains(text, e.Message, StringComparison.Ordinal);
    }
}
