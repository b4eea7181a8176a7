using AdmNative.Core;

namespace AdmNative.Cpu;

/// <summary>
/// Weights in native memory. Each is read once, row-major; a kernel that wants another form has it made at load and shares it with every
/// executable that wants the same. A row-major copy nobody runs on is let go as soon as a reversible form holds the same numbers, so a
/// network that only runs on packed weights keeps one copy of them.
/// </summary>
internal sealed unsafe class CpuParameters : IParameters
{
    private readonly Dictionary<string, Weight> _weights = [];
    private readonly Lock _lock = new();
    private bool _disposed;

    public CpuParameters(IReadOnlyDictionary<string, Node> parameters, ITensorSource source)
    {
        ParameterCheck.Fits(parameters, source);
        try
        {
            foreach ((string name, Node node) in parameters)
            {
                var weight = new Weight(node.Shape);
                _weights.Add(name, weight);
                AlignedMemory raw = weight.Add(RowMajor.Form);
                Read(source, name, raw.Floats, node.Shape);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public long Bytes
    {
        get
        {
            lock (_lock)
            {
                return _weights.Values.Sum(w => w.Forms.Values.Sum(m => m.Bytes));
            }
        }
    }

    /// <summary>The weight in a form; made on first demand and resident from then on.</summary>
    public float* Get(string name, Shape shape, WeightForm form)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        lock (_lock)
        {
            if (!_weights.TryGetValue(name, out Weight? weight))
            {
                throw new CheckpointException($"parameter {name} {shape} is not among the loaded weights; load them with this graph's parameters");
            }

            if (weight.Shape != shape)
            {
                throw new CheckpointException($"parameter {name} is {shape} in the graph and {weight.Shape} in the loaded weights");
            }

            weight.InUse.Add(form);
            return weight.Get(form);
        }
    }

    public void Dispose()
    {
        _disposed = true;
        foreach (Weight weight in _weights.Values)
        {
            foreach (AlignedMemory memory in weight.Forms.Values)
            {
                memory.Dispose();
            }

            weight.Forms.Clear();
        }
    }

    private static void Read(ITensorSource source, string name, float* destination, Shape shape)
    {
        source.ReadFloats(name, new Span<float>(destination, (int)shape.Elements));
    }

    /// <summary>One parameter and the forms it is held in.</summary>
    private sealed class Weight(Shape shape)
    {
        public Shape Shape => shape;

        public Dictionary<WeightForm, AlignedMemory> Forms { get; } = [];

        /// <summary>Forms whose addresses were handed out.</summary>
        public HashSet<WeightForm> InUse { get; } = [];

        public AlignedMemory Add(WeightForm form)
        {
            var memory = new AlignedMemory(form.Elements(shape) * sizeof(float));
            Forms.Add(form, memory);
            return memory;
        }

        public float* Get(WeightForm form)
        {
            if (!Forms.TryGetValue(form, out AlignedMemory? memory))
            {
                memory = Make(form);
            }

            if (!InUse.Contains(RowMajor.Form) && Forms.Keys.Any(f => f is not RowMajor && f.Reversible)
                && Forms.Remove(RowMajor.Form, out AlignedMemory? raw))
            {
                raw.Dispose();
            }

            return memory.Floats;
        }

        private AlignedMemory Make(WeightForm form)
        {
            AlignedMemory? scratch = null;
            if (!Forms.TryGetValue(RowMajor.Form, out AlignedMemory? raw))
            {
                (WeightForm source, AlignedMemory packed) = Forms.First(f => f.Key.Reversible);
                raw = form is RowMajor ? Add(form) : scratch = new AlignedMemory(shape.Elements * sizeof(float));
                source.Unpack(shape, packed.Floats, raw.Floats);
                if (form is RowMajor)
                {
                    return raw;
                }
            }

            AlignedMemory made = Add(form);
            form.Pack(shape, raw.Floats, made.Floats);
            scratch?.Dispose();
            return made;
        }
    }
}
