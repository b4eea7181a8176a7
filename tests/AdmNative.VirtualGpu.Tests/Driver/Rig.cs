using System.Runtime.InteropServices;
using System.Text;
using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

/// <summary>A driver with its context current on this thread, and calls that must succeed.</summary>
internal sealed unsafe class Rig : IDisposable
{
    public Rig(VirtualDriverOptions? options = null)
    {
        Driver = new VirtualDriver(options);
        Ok(Driver.Init());
        Ok(Driver.PrimaryCtxRetain(out nint context, 0));
        Ok(Driver.CtxSetCurrent(context));
        Context = context;
    }

    public static Rig Deferred => new(new VirtualDriverOptions { Streams = StreamOrder.Deferred });

    public VirtualDriver Driver { get; }

    public nint Context { get; }

    /// <summary>y[i] = x[i] * factor; "add1" adds 1 to each x[i]; others misbehave.</summary>
    public const string Ptx = """
        .version 7.0
        .target sm_80
        .address_size 64
        .global .align 4 .b8 table[8] = {1, 0, 0, 0, 2, 0, 0, 0};
        .const .align 4 .b8 constants[12];
        .extern .shared .align 16 .b8 dyn[];
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
        .visible .entry add1(.param .u64 x)
        {
        .reg .b32 %r<2>; .reg .f32 %f<3>; .reg .b64 %rd<4>;
        ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;
        ld.global.f32 %f1, [%rd3]; add.f32 %f2, %f1, 0f3F800000; st.global.f32 [%rd3], %f2;
        ret;
        }
        .visible .entry limited()
        .maxntid 32, 2, 1
        { ret; }
        .visible .entry exact()
        .reqntid 32, 2, 1
        { ret; }
        .visible .entry trapped() { trap; ret; }
        .visible .entry endless()
        {
        $again: bra $again;
        }
        .visible .entry misaligned(.param .u64 x)
        {
        .reg .b32 %r<2>; .reg .b64 %rd<2>;
        ld.param.u64 %rd1, [x]; ld.global.u32 %r1, [%rd1+2]; st.global.u32 [%rd1], %r1;
        ret;
        }
        .visible .entry shared()
        {
        .shared .align 4 .b8 fixed[1024];
        .local .align 4 .b8 depot[24];
        .reg .b32 %r<4>;
        mov.u32 %r1, dyn; mov.u32 %r2, fixed; mov.u32 %r3, 7;
        st.shared.u32 [%r1], %r3; st.shared.u32 [%r2], %r3;
        ret;
        }
        .visible .entry constant(.param .u64 x)
        {
        .reg .b32 %r<2>; .reg .b64 %rd<2>;
        ld.param.u64 %rd1, [x]; ld.const.u32 %r1, [constants+4]; st.global.u32 [%rd1], %r1;
        ret;
        }
        """;

    public void Ok(CudaStatus status) => Assert.True(status == CudaStatus.Success, $"{status}: {Driver.LastErrorDetail}");

    /// <summary>The call failed that way, and the explanation says so.</summary>
    public void Fails(CudaStatus expected, string detail, CudaStatus actual)
    {
        Assert.Equal(expected, actual);
        Assert.Contains(detail, Driver.LastErrorDetail, StringComparison.Ordinal);
    }

    public nint Load(string ptx = Ptx)
    {
        CudaStatus status = Driver.ModuleLoad(out nint module, Encoding.UTF8.GetBytes(ptx + "\0"), out string log);
        Assert.True(status == CudaStatus.Success, $"{status}: {log}");
        return module;
    }

    public nint Function(nint module, string name)
    {
        Ok(Driver.ModuleGetFunction(out nint f, module, name));
        return f;
    }

    public nint Stream(CudaCreateFlags flags = CudaCreateFlags.NonBlocking)
    {
        Ok(Driver.StreamCreate(out nint stream, flags));
        return stream;
    }

    public nint Event(CudaCreateFlags flags = CudaCreateFlags.None)
    {
        Ok(Driver.EventCreate(out nint e, flags));
        return e;
    }

    public ulong Alloc(int bytes)
    {
        Ok(Driver.MemAlloc(out ulong address, (nuint)bytes));
        return address;
    }

    public ulong Put(params float[] values)
    {
        ulong address = Alloc(values.Length * 4);
        fixed (float* p = values)
        {
            Ok(Driver.MemcpyHtoD(address, (nint)p, (nuint)(values.Length * 4), 0));
        }

        Ok(Driver.StreamSynchronize(0)); // other streams do not wait for it
        return address;
    }

    public float[] Get(ulong address, int count)
    {
        var values = new float[count];
        fixed (float* p = values)
        {
            Ok(Driver.MemcpyDtoH((nint)p, address, (nuint)(count * 4), 0));
        }

        return values;
    }

    public CudaStatus Scale(nint f, ulong y, ulong x, float factor, int n, nint stream = 0)
    {
        var block = new byte[24];
        MemoryMarshal.Write(block, y);
        MemoryMarshal.Write(block.AsSpan(8), x);
        MemoryMarshal.Write(block.AsSpan(16), factor);
        MemoryMarshal.Write(block.AsSpan(20), n);
        return Driver.LaunchKernel(f, new LaunchShape((uint)(n + 63) / 64, 1, 1, 64, 1, 1), stream, block);
    }

    public CudaStatus One(nint f, ulong x, uint threads, nint stream = 0)
    {
        var block = new byte[8];
        MemoryMarshal.Write(block, x);
        return Driver.LaunchKernel(f, new LaunchShape(1, 1, 1, threads, 1, 1), stream, block);
    }

    public CudaStatus Empty(nint f, LaunchShape shape, nint stream = 0) => Driver.LaunchKernel(f, shape, stream, []);

    public void Dispose() => Driver.Dispose();
}
