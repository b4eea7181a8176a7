using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

public sealed unsafe class MemoryTests
{
    [Fact]
    public void Memory_is_limited_aligned_and_given_back()
    {
        using var rig = new Rig(new VirtualDriverOptions { MemoryLimit = 1000 });
        VirtualDriver d = rig.Driver;
        ulong a = rig.Alloc(600);
        Assert.Equal(0UL, a % 256);
        rig.Ok(d.MemGetInfo(out nuint free, out nuint total));
        Assert.Equal((400u, 1000u), ((uint)free, (uint)total));
        rig.Fails(CudaStatus.OutOfMemory, "401 bytes: 400 of 1000 bytes are free on Virtual A100-SXM4-80GB, 1 too few", d.MemAlloc(out ulong none, 401));
        Assert.Equal(0UL, none);
        rig.Fails(CudaStatus.OutOfMemory, "600 too few", d.MemAlloc(out _, 1000));
        rig.Fails(CudaStatus.OutOfMemory, "free", d.MemAlloc(out _, nuint.MaxValue));
        rig.Fails(CudaStatus.InvalidValue, "0 bytes", d.MemAlloc(out _, 0));
        rig.Ok(d.MemFree(a));
        rig.Ok(d.MemFree(0));
        ulong b = rig.Alloc(1000);
        Assert.NotEqual(a, b); // freed addresses do not come back
        rig.Fails(CudaStatus.InvalidValue, "freed before", d.MemFree(a));
        rig.Fails(CudaStatus.InvalidValue, "only its beginning can be freed", d.MemFree(b + 256));
        rig.Fails(CudaStatus.InvalidValue, "no allocation", d.MemFree(16));
        rig.Fails(CudaStatus.InvalidValue, "no allocation", d.MemFree(ulong.MaxValue));
    }

    [Fact]
    public void A_modules_variables_count_too()
    {
        using var rig = new Rig(new VirtualDriverOptions { MemoryLimit = 19 });
        CudaStatus status = rig.Driver.ModuleLoad(out _, System.Text.Encoding.UTF8.GetBytes(Rig.Ptx + "\0"), out string log);
        Assert.Equal(CudaStatus.OutOfMemory, status);
        Assert.Contains("the variables of a module, 20 bytes", log, StringComparison.Ordinal);
        using var enough = new Rig(new VirtualDriverOptions { MemoryLimit = 20 });
        enough.Load();
    }

    [Fact]
    public void Copies_and_fills_check_their_ranges()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        ulong a = rig.Alloc(64), b = rig.Alloc(64), freed = rig.Alloc(64);
        rig.Ok(d.MemFree(freed));
        byte* host = stackalloc byte[128];
        nint p = (nint)host;
        rig.Ok(d.MemcpyHtoD(a, p, 64, 0));
        rig.Fails(CudaStatus.InvalidValue, "65 bytes written at", d.MemcpyHtoD(a, p, 65, 0));
        rig.Fails(CudaStatus.InvalidValue, "byte 1 of the allocation", d.MemcpyHtoD(a + 1, p, 64, 0));
        rig.Fails(CudaStatus.InvalidValue, "which was freed", d.MemcpyHtoD(freed, p, 1, 0));
        rig.Fails(CudaStatus.InvalidValue, "host address is null", d.MemcpyHtoD(a, 0, 1, 0));
        rig.Fails(CudaStatus.InvalidValue, "65 bytes read at", d.MemcpyDtoH(p, a, 65, 0));
        rig.Fails(CudaStatus.InvalidValue, "which was freed", d.MemcpyDtoH(p, freed, 4, 0));
        rig.Fails(CudaStatus.InvalidValue, "host address is null", d.MemcpyDtoH(0, a, 4, 0));
        rig.Ok(d.MemcpyDtoD(b, a, 64, 0));
        rig.Fails(CudaStatus.InvalidValue, "65 bytes read at", d.MemcpyDtoD(b, a, 65, 0));
        rig.Fails(CudaStatus.InvalidValue, "written at", d.MemcpyDtoD(b + 4, a, 64, 0));
        rig.Fails(CudaStatus.InvalidValue, "belongs to no allocation", d.MemcpyDtoD(8, a, 4, 0));
        rig.Ok(d.MemsetD8(a, 7, 64, 0));
        rig.Fails(CudaStatus.InvalidValue, "65 bytes filled", d.MemsetD8(a, 7, 65, 0));
        rig.Ok(d.MemsetD32(a, 7, 16, 0));
        rig.Fails(CudaStatus.InvalidValue, "68 bytes filled", d.MemsetD32(a, 7, 17, 0));
        rig.Fails(CudaStatus.InvalidValue, "not a multiple of 4", d.MemsetD32(a + 2, 7, 1, 0));
        rig.Fails(CudaStatus.InvalidValue, "values", d.MemsetD32(a, 7, nuint.MaxValue / 2, 0));
        rig.Fails(CudaStatus.InvalidHandle, "no stream", d.MemsetD8(a, 1, 1, 12345));
        rig.Ok(d.MemcpyHtoD(8, 0, 0, 0)); // nothing to do
        rig.Ok(d.MemcpyDtoH(0, 8, 0, 0));
        rig.Ok(d.MemcpyDtoD(8, 8, 0, 0));
        rig.Ok(d.MemsetD32(a + 2, 7, 0, 0));
    }

    [Fact]
    public void Bytes_arrive_where_they_should()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        ulong a = rig.Alloc(16), b = rig.Alloc(16);
        byte[] from = [.. Enumerable.Range(1, 16).Select(i => (byte)i)], to = new byte[16];
        fixed (byte* f = from, t = to)
        {
            rig.Ok(d.MemcpyHtoD(a, (nint)f, 16, 0));
            rig.Ok(d.MemsetD8(b, 0xAA, 16, 0));
            rig.Ok(d.MemcpyDtoD(b + 2, a + 4, 4, 0));
            rig.Ok(d.MemsetD32(b + 8, 0x01020304, 1, 0));
            rig.Ok(d.MemcpyDtoH((nint)t + 1, b, 14, 0));
        }

        Assert.Equal([0, 0xAA, 0xAA, 5, 6, 7, 8, 0xAA, 0xAA, 4, 3, 2, 1, 0xAA, 0xAA, 0], to);
    }

    [Fact]
    public void Page_locked_memory_is_known_by_its_range()
    {
        using var rig = new Rig();
        VirtualDriver d = rig.Driver;
        rig.Ok(d.MemHostAlloc(out nint host, 64));
        Assert.Equal(0xFFFFFFFF, *(uint*)host);
        ulong a = rig.Alloc(128);
        rig.Ok(d.MemcpyHtoD(a, host, 64, 0));
        rig.Fails(CudaStatus.InvalidValue, "65 bytes at byte 0 of the host allocation", d.MemcpyHtoD(a, host, 65, 0));
        rig.Fails(CudaStatus.InvalidValue, "2 bytes at byte 63", d.MemcpyDtoH(host + 63, a, 2, 0));
        rig.Fails(CudaStatus.InvalidValue, "not the beginning", d.MemFreeHost(host + 1));
        rig.Ok(d.MemFreeHost(host));
        rig.Fails(CudaStatus.InvalidValue, "not the beginning", d.MemFreeHost(host));
        rig.Fails(CudaStatus.InvalidValue, "0 bytes", d.MemHostAlloc(out _, 0));
    }
}
