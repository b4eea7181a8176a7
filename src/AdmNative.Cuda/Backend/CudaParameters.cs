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
/// Weights on the device, read once. A kernel that wants another form has it made when its executable is loaded and shares it with every executable that
/// wants the same; a plain copy that nobody runs on goes when another form is there.
/// </summary>
internal sealed class CudaParameters : IParameters
{
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
                Add(weight, WeightForm.Plain, values, name);
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
                return _weights.Values.Sum(w => w.Forms.Values.Sum(f => f.Bytes));
            }
        }
    }

    public CudaContext Context => _context;

    /// <summary>The weight in a form; made on first demand and resident from then on.</summary>
    /// <exception cref="CheckpointException">The weight is not among those loaded, or of another shape.</exception>
    public ulong Get(string name, Shape shape, WeightForm form)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (!_weights.TryGetValue(name, out Weight? weight))
            {
                throw new CheckpointException($"parameter {name} {shape} is not among the loaded weights; load them with this graph's parameters");
            }

            if (weight.Shape != shape)
            {
                throw new CheckpointException($"parameter {name} is {shape} in the graph and {weight.Shape} in the loaded weights");
            }

            weight.InUse.Add(form);
            if (!weight.Forms.TryGetValue(form, out CuHandle? memory))
            {
                try
                {
                    memory = Make(weight, form, name);
                }
                catch (CudaException e)
                {
                    throw _context.About(e, $"weight {name} {weight.Shape}");
                }
            }

            if (!weight.InUse.Contains(WeightForm.Plain) && weight.Forms.ContainsKey(WeightForm.Filters) && weight.Forms.Remove(WeightForm.Plain, out CuHandle? plain))
            {
                plain.Dispose();
            }

            return memory.Address;
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
            foreach (CuHandle memory in _weights.Values.SelectMany(w => w.Forms.Values))
            {
                memory.Dispose();
            }

            _weights.Clear();
        }
    }

    private CuHandle Add(Weight weight, WeightForm form, float[] values, string name)
    {
        CuHandle? memory = null;
        try
        {
            memory = _context.Allocate(Math.Max(16, values.Length * 4L), $"weights of {name}");
            _context.Upload<float>(values, memory.Address);
            weight.Forms.Add(form, memory);
            return memory;
        }
        catch (CudaException e)
        {
            memory?.Dispose();
            throw _context.About(e, $"weight {name} {weight.Shape}");
        }
    }

    private CuHandle Make(Weight weight, WeightForm form, string name)
    {
        Filters f = Filters.Of(weight.Shape);
        float[] plain = new float[weight.Shape.Elements];
        if (weight.Forms.TryGetValue(WeightForm.Plain, out CuHandle? raw))
        {
            _context.Download<float>(raw.Address, plain);
        }
        else
        {
            float[] packed = new float[f.PackedElements];
            _context.Download<float>(weight.Forms[WeightForm.Filters].Address, packed);
            f.Unpack(packed, plain);
        }

        return Add(weight, form, form switch
        {
            WeightForm.Plain => plain,
            WeightForm.Filters => f.Pack(plain),
            _ => f.Flip(plain),
        }, name);
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

        public Dictionary<WeightForm, CuHandle> Forms { get; } = [];

        /// <summary>Forms whose addresses were handed out.</summary>
        public HashSet<WeightForm> InUse { get; } = [];
    }
}

/// <summary>Filters [K, C, R, S] of a checkpoint, or a matrix [K, C] with ones behind it, and the forms kernels take.</summary>
internal readonly record struct Filters(int K, int C, int R, int S)
{
    public int PaddedC => ConvShape.Padded(C, KernelDType.F32);

    public int PaddedK => ConvShape.Padded(K, KernelDType.F32);

    public long PackedElements => (long)K * R * S * PaddedC;

    public static Filters Of(Shape s) => new(s[0], s[1], s.Rank > 2 ? s[2] : 1, s.Rank > 3 ? s[3] : 1);

    public float[] Pack(float[] plain)
    {
        float[] packed = new float[PackedElements];
        for (int k = 0; k < K; k++)
        {
            for (int c = 0; c < C; c++)
            {
                for (int t = 0; t < R * S; t++)
                {
                    packed[((((long)k * R * S) + t) * PaddedC) + c] = plain[((((long)k * C) + c) * R * S) + t];
                }
            }
        }

        return packed;
    }

    public void Unpack(float[] packed, float[] plain)
    {
        for (int k = 0; k < K; k++)
        {
            for (int c = 0; c < C; c++)
            {
                for (int t = 0; t < R * S; t++)
                {
                    plain[((((long)k * C) + c) * R * S) + t] = packed[((((long)k * R * S) + t) * PaddedC) + c];
                }
            }
        }
    }

    public float[] Flip(float[] plain)
    {
        float[] flipped = new float[(long)C * R * S * PaddedK];
        for (int k = 0; k < K; k++)
        {
            for (int c = 0; c < C; c++)
            {
                for (int t = 0; t < R * S; t++)
                {
                    flipped[((((long)c * R * S) + ((R * S) - 1 - t)) * PaddedK) + k] = plain[((((long)k * C) + c) * R * S) + t];
                }
            }
        }

        return flipped;
    }
}
