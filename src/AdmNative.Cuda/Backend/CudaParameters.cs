using System.Runtime.CompilerServices;
using AdmNative.Core;

namespace AdmNative.Cuda;

/// <summary>How a weight lies on the device.</summary>
internal enum WeightForm
{
    /// <summary>As in the checkpoint: norms, biases, tables.</summary>
    Plain,

    /// <summary>Filters [K, R, S, C], C in whole 16 bytes.</summary>
    Filters,

    /// <summary>Filters for input gradients: [C, R, S, K] flipped, K in whole 16 bytes.</summary>
    Flipped,
}

/// <summary>
/// Weights on the device, read once. A kernel that wants another form or type has it made when its executable is loaded and shares it with every executable
/// that wants the same. One f32 copy, the master, always stays; a plain one that nobody runs on goes when f32 filters are there.
/// </summary>
internal sealed partial class CudaParameters : IParameters
{
    private static readonly (WeightForm, KernelDType) s_plain = (WeightForm.Plain, KernelDType.F32), s_filters = (WeightForm.Filters, KernelDType.F32);

    private readonly CudaContext _context;
    private readonly Dictionary<string, Weight> _weights = [];
    private readonly Lock _lock = new();
    private int _users = 1;
    private bool _disposed;

    public CudaParameters(CudaContext context, IReadOnlyDictionary<string, Node> parameters, ITensorSource source)
    {
        ParameterCheck.Fits(parameters, source);
        _context = context;
        try
        {
            context.Enter();
            foreach ((string name, Node node) in parameters)
            {
                float[] values = new float[node.Shape.Elements];
                source.ReadFloats(name, values);
                var weight = new Weight(node.Shape);
                _weights.Add(name, weight);
                Add<float>(weight, (WeightForm.Plain, KernelDType.F32), values, name);
            }
        }
        catch (CudaException e)
        {
            CudaException about = context.About(e, $"loading {parameters.Count} weights: {string.Join(", ", parameters.Take(3).Select(p => $"{p.Key} {p.Value.Shape}"))} ...");
            Dispose();
            throw about;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public long Bytes
    {
        get
        {
            lock (_lock)
            {
                return _weights.Values.SelectMany(w => w.Forms.Values).Concat(_stacks.Values).Sum(f => f.Bytes);
            }
        }
    }

    public CudaContext Context => _context;

    /// <summary>The weight in a form and a type; made on first demand and resident from then on.</summary>
    /// <exception cref="CheckpointException">The weight is not among those loaded, or of another shape, or beyond what f16 holds.</exception>
    public ulong Get(string name, Shape shape, WeightForm form, KernelDType type)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            Weight weight = Find(name, shape);
            weight.InUse.Add((form, type));
            if (weight.At((form, type)) is not ulong address)
            {
                try
                {
                    address = Make(weight, form, type, name).Address;
                }
                catch (CudaException e)
                {
                    throw _context.About(e, $"weight {name} {weight.Shape}");
                }
            }

            DropPlain(weight);
            return address;
        }
    }

    /// <summary>Keeps them on the device, disposed or not, until the result is disposed or forgotten: an executable runs on them.</summary>
    public IDisposable Keep()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            Interlocked.Increment(ref _users);
        }

        return new Use(this);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
        }

        Release();
    }

    /// <summary>One user less; the last frees the memory.</summary>
    private void Release()
    {
        if (Interlocked.Decrement(ref _users) == 0)
        {
            foreach (CuHandle memory in _weights.Values.SelectMany(w => w.Forms.Values).Concat(_stacks.Values))
            {
                memory.Dispose();
            }

            _weights.Clear();
            _stacks.Clear();
        }
    }

    private static void DropPlain(Weight weight)
    {
        if (!weight.InUse.Contains(s_plain) && weight.At(s_filters) is not null && weight.Forms.Remove(s_plain, out CuHandle? plain))
        {
            plain.Dispose();
        }
    }

    private Weight Find(string name, Shape shape)
    {
        if (!_weights.TryGetValue(name, out Weight? weight))
        {
            throw new CheckpointException($"parameter {name} {shape} is not among the loaded weights; load them with this graph's parameters");
        }

        return weight.Shape == shape ? weight
            : throw new CheckpointException($"parameter {name} is {shape} in the graph and {weight.Shape} in the loaded weights");
    }

    private CuHandle Add<T>(Weight weight, (WeightForm, KernelDType) form, T[] values, string name) where T : unmanaged
    {
        CuHandle? memory = null;
        try
        {
            memory = _context.Allocate(Math.Max(16, values.Length * (long)Unsafe.SizeOf<T>()), $"weights of {name}");
            _context.Upload<T>(values, memory.Address);
            weight.Forms.Add(form, memory);
            return memory;
        }
        catch (CudaException e)
        {
            memory?.Dispose();
            throw _context.About(e, $"weight {name} {weight.Shape}");
        }
    }

    /// <summary>Any form comes from the master.</summary>
    private CuHandle Make(Weight weight, WeightForm form, KernelDType type, string name)
    {
        Filters f = Filters.Of(weight.Shape);
        float[] plain = new float[weight.Shape.Elements];
        if (weight.At(s_plain) is ulong raw)
        {
            _context.Download<float>(raw, plain);
        }
        else
        {
            float[] packed = new float[f.PackedElements(KernelDType.F32)];
            _context.Download<float>(weight.At(s_filters)!.Value, packed);
            f.Unpack(packed, plain);
        }

        float[] values = form switch
        {
            WeightForm.Plain => plain,
            WeightForm.Filters => f.Pack(plain, type),
            _ => f.Flip(plain, type),
        };
        return type switch
        {
            KernelDType.F16 => Add(weight, (form, type), ToHalf(values, name), name),
            KernelDType.BF16 => Add(weight, (form, type), Array.ConvertAll(values, ToBFloat), name),
            _ => Add(weight, (form, type), values, name),
        };
    }

    private static Half[] ToHalf(float[] values, string name)
    {
        var result = new Half[values.Length];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = (Half)values[i];
            if (Half.IsInfinity(result[i]) && float.IsFinite(values[i]))
            {
                throw new CheckpointException($"parameter {name} holds {values[i]}, beyond f16 (65504); compute in bf16 or f32");
            }
        }

        return result;
    }

    /// <summary>Rounded to nearest even; NaN stays NaN.</summary>
    private static ushort ToBFloat(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    private sealed class Use : CuObject
    {
        private readonly CudaParameters _parameters;

        public Use(CudaParameters parameters)
        {
            _parameters = parameters;
            SetHandle(1);
        }

        protected override bool ReleaseHandle()
        {
            _parameters.Release();
            return true;
        }
    }

    private sealed class Weight(Shape shape)
    {
        public Shape Shape => shape;

        public Dictionary<(WeightForm Form, KernelDType Type), CuHandle> Forms { get; } = [];

        /// <summary>Forms that lie in a stack.</summary>
        public Dictionary<(WeightForm Form, KernelDType Type), ulong> Parts { get; } = [];

        /// <summary>Forms whose addresses were handed out.</summary>
        public HashSet<(WeightForm Form, KernelDType Type)> InUse { get; } = [];

        /// <summary>Where the form is, if it is anywhere.</summary>
        public ulong? At((WeightForm, KernelDType) form) =>
            Forms.TryGetValue(form, out CuHandle? own) ? own.Address : Parts.TryGetValue(form, out ulong part) ? part : null;
    }
}

/// <summary>Filters [K, C, R, S] of a checkpoint, or a matrix [K, C] with ones behind it, and the forms kernels take.</summary>
internal readonly record struct Filters(int K, int C, int R, int S)
{
    public long PackedElements(KernelDType type) => (long)K * R * S * ConvShape.Padded(C, type);

    public static Filters Of(Shape s) => new(s[0], s[1], s.Rank > 2 ? s[2] : 1, s.Rank > 3 ? s[3] : 1);

    /// <summary>[K, R, S, C], C in whole 16 bytes of a type.</summary>
    public float[] Pack(float[] plain, KernelDType type)
    {
        int width = ConvShape.Padded(C, type);
        float[] packed = new float[PackedElements(type)];
        for (int k = 0; k < K; k++)
        {
            for (int c = 0; c < C; c++)
            {
                for (int t = 0; t < R * S; t++)
                {
                    packed[((((long)k * R * S) + t) * width) + c] = plain[((((long)k * C) + c) * R * S) + t];
                }
            }
        }

        return packed;
    }

    /// <summary>Undoes <see cref="Pack"/> in f32.</summary>
    public void Unpack(float[] packed, float[] plain)
    {
        int width = ConvShape.Padded(C, KernelDType.F32);
        for (int k = 0; k < K; k++)
        {
            for (int c = 0; c < C; c++)
            {
                for (int t = 0; t < R * S; t++)
                {
                    plain[((((long)k * C) + c) * R * S) + t] = packed[((((long)k * R * S) + t) * width) + c];
                }
            }
        }
    }

    /// <summary>[C, R, S, K] flipped, K in whole 16 bytes of a type.</summary>
    public float[] Flip(float[] plain, KernelDType type)
    {
        int width = ConvShape.Padded(K, type);
        float[] flipped = new float[(long)C * R * S * width];
        for (int k = 0; k < K; k++)
        {
            for (int c = 0; c < C; c++)
            {
                for (int t = 0; t < R * S; t++)
                {
                    flipped[((((long)c * R * S) + ((R * S) - 1 - t)) * width) + k] = plain[((((long)k * C) + c) * R * S) + t];
                }
            }
        }

        return flipped;
    }
}
