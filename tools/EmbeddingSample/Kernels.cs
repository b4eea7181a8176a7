using AdmNative.Cuda;

namespace EmbeddingSample;

/// <summary>Single kernels on memory and a stream of this program's own, on any driver.</summary>
internal sealed class Kernels : IDisposable
{
    private readonly ICudaDriver _driver;
    private readonly int _device;
    private readonly nint _stream;
    private readonly DeviceLimits _limits;
    private readonly KernelLibrary _library;

    public Kernels(ICudaDriver driver)
    {
        _driver = driver;

        #region open
        driver.Check(driver.Init());
        driver.Check(driver.DeviceGet(out int device, ordinal: 0));
        driver.Check(driver.PrimaryCtxRetain(out nint context, device)); // or any context you have
        driver.Check(driver.CtxSetCurrent(context)); // of this thread
        driver.Check(driver.StreamCreate(out nint stream, CudaCreateFlags.NonBlocking)); // or any stream of it

        DeviceLimits limits = DeviceLimits.Of(driver, device);
        var library = new KernelLibrary(driver);
        #endregion

        (_device, _stream, _limits, _library) = (device, stream, limits, library);
    }

    public void GroupNorm()
    {
        (ICudaDriver driver, nint stream, DeviceLimits limits, KernelLibrary library) = (_driver, _stream, _limits, _library);
        (int n, int h, int w, int c, int groups) = (2, 8, 8, 64, 32);
        (float[] x, float[] gamma, float[] beta) = (Plain.Values(n * h * w * c, 1), Plain.Values(c, 2), Plain.Values(c, 3));

        #region groupnorm
        var shape = new GroupNormShape(n, h, w, c, groups) { Silu = true };
        GroupNormPlan plan = GroupNormKernels.Plan(shape, KernelDType.F32, limits); // pure: which kernels, which grids, how much scratch memory

        using var memory = new DeviceMemory(driver, stream);
        var arguments = new GroupNormArguments
        {
            X = memory.Put(x), // [N, H, W, C]
            Y = memory.New(4L * x.Length),
            Gamma = memory.Put(gamma),
            Beta = memory.Put(beta),
            Mean = memory.New(4L * n * groups), // written; a backward pass reads it
            Rstd = memory.New(4L * n * groups),
            Ab = memory.New(8L * n * c),
            Workspace = memory.New(plan.WorkspaceBytes),
            Tickets = memory.Put(new byte[plan.TicketBytes]), // zeros, and zeros again behind the launches
            Eps = 1e-5f,
        };
        library.Launch(GroupNormKernels.Enqueue(plan, arguments), stream);
        float[] y = memory.Get<float>(arguments.Y, x.Length);
        #endregion

        // f32 sums of 128 values: 128 half units in the last place of values up to 4, taken as one in all of them.
        Check.Near($"group norm f32 by {plan.Launches[0].Entry}", y, Plain.GroupNorm(x, gamma, beta, n, h * w, c, groups, 1e-5), 4 * 128 * Math.Pow(2, -24));
    }

    public void Attention()
    {
        (ICudaDriver driver, nint stream, DeviceLimits limits, KernelLibrary library) = (_driver, _stream, _limits, _library);
        (int n, int tokens, int heads, int d) = (2, 48, 2, 32);
        Half[] qkv = Array.ConvertAll(Plain.Values(n * tokens * 3 * heads * d, 4), v => (Half)v);

        #region attention
        AttentionShape shape = AttentionShape.Self(n, tokens, heads, d);
        AttentionForwardPlan plan = AttentionKernels.PlanForward(shape, KernelDType.F16, limits); // tensor cores

        using var memory = new DeviceMemory(driver, stream);
        ulong o = memory.New(2L * n * tokens * heads * d);
        AttentionTensors tensors = AttentionTensors.Packed(memory.Put(qkv), o, lse: 0, shape, KernelDType.F16, newOrder: true);
        IReadOnlyList<KernelLaunch> launches = AttentionKernels.EnqueueForward(plan, tensors, memory.New(plan.WorkspaceBytes));
        #endregion

        #region capture
        library.Load(plan); // modules cannot be loaded during a capture
        driver.Check(driver.StreamBeginCapture(stream));
        library.Launch(launches, stream);
        driver.Check(driver.StreamEndCapture(stream, out nint graph));
        driver.Check(driver.GraphInstantiate(out nint replay, graph));
        driver.Check(driver.GraphLaunch(replay, stream)); // as often as you like
        driver.Check(driver.StreamSynchronize(stream));
        driver.Check(driver.GraphExecDestroy(replay));
        driver.Check(driver.GraphDestroy(graph));
        #endregion

        float[] actual = Array.ConvertAll(memory.Get<Half>(o, n * tokens * heads * d), v => (float)v);
        float[] expected = Plain.Attention(Array.ConvertAll(qkv, v => (float)v), n, tokens, heads, d);
        // Values of V are below 1. The weights and the result are rounded to 11 bits: half a unit each, and as much again for the weights' sum.
        Check.Near($"attention f16 by {plan.Launches[0].Entry}, replayed", actual, expected, 3 * Math.Pow(2, -11));
    }

    public void Convolution()
    {
        (ICudaDriver driver, nint stream, DeviceLimits limits, KernelLibrary library) = (_driver, _stream, _limits, _library);
        (int n, int h, int w, int c, int k) = (1, 8, 8, 32, 64);
        Half[] x = Array.ConvertAll(Plain.Values(n * h * w * c, 6), v => (Half)v);
        float[] filters = Array.ConvertAll(Plain.Values(k * c * 9, 7), v => (float)(Half)v), bias = Plain.Values(k, 8);

        #region conv
        var shape = new ConvShape(n, h, w, c, k); // 3x3, stride 1, with a bias
        ConvPlan plan = ConvKernels.Plan(shape, KernelDType.F16, limits);

        // A checkpoint has f32 [K, C, 3, 3]; the kernels want [K, 3, 3, C] in their type, C in whole 16 bytes. That is a change of layout like that of images.
        using var memory = new DeviceMemory(driver, stream);
        int width = ConvShape.Padded(c, KernelDType.F16);
        ConvertPlan pack = ConvertKernels.PlanLayout(Conversion.ToRows, k, pixels: 9, c, width, stride: width, KernelDType.F16, limits);
        ulong weights = memory.New(2 * shape.WeightElements(KernelDType.F16));
        library.Launch(ConvertKernels.Enqueue(pack, memory.Put(filters), weights), stream);

        var arguments = new ConvArguments(X: memory.Put(x), weights, Y: memory.New(2 * shape.ResultPixels * k))
        {
            Bias = memory.Put(bias),
            Workspace = memory.New(plan.WorkspaceBytes),
            Tickets = memory.Put(new byte[plan.TicketBytes]), // zeros, and zeros again behind the launch
        };
        library.Launch(ConvKernels.Enqueue(plan, arguments), stream);
        Half[] y = memory.Get<Half>(arguments.Y, (int)shape.ResultPixels * k);
        #endregion

        float[] expected = Plain.Convolution(Array.ConvertAll(x, v => (float)v), filters, bias, n, h, w, c, k);
        // Half a unit of 11 bits of a result below 32, and a unit of 24 bits for each of the 288 sums before it.
        Check.Near($"convolution f16 by {plan.Launches[0].Entry}", Array.ConvertAll(y, v => (float)v), expected, (32 * Math.Pow(2, -12)) + (288 * 32 * Math.Pow(2, -24)));
    }

    /// <summary>What happens when something does not fit.</summary>
    public void Mistakes()
    {
        (ICudaDriver driver, nint stream, DeviceLimits limits) = (_driver, _stream, _limits);

        #region mistakes
        try
        {
            GroupNormKernels.Plan(new GroupNormShape(1, 8, 8, C: 64, G: 30), KernelDType.F32, limits);
        }
        catch (ArgumentException e)
        {
            Console.WriteLine(e.Message); // group norm: 30 groups must divide 64 channels
        }

        try
        {
            driver.Check(driver.MemAlloc(out _, nuint.MaxValue / 2));
        }
        catch (CudaException e) when (e.Status == CudaStatus.OutOfMemory && !e.PoisonsContext)
        {
            Console.WriteLine(e.Message); // the call, the status, the driver's words
        }
        #endregion

        Check.Say(driver.StreamSynchronize(stream) == CudaStatus.Success, "the device after two mistakes", "still usable");
    }

    public void Dispose()
    {
        #region close
        _library.Dispose(); // unloads the kernels; launches must have ended
        _driver.Check(_driver.StreamDestroy(_stream));
        _driver.Check(_driver.PrimaryCtxRelease(_device));
        #endregion
    }
}
