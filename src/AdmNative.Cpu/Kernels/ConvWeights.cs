namespace AdmNative.Cpu.Kernels;

/// <summary>
/// Reads convolution weights w[K,C,R,S] as vectors over the channels a pass produces: forward over K, input gradient over C.
/// Packed form: [vector][reduced channel][tap][lane], the taps in checkpoint order.
/// </summary>
internal readonly unsafe struct ConvWeights<S, V> where S : struct, ISimd<V> where V : unmanaged
{
    private readonly float* _w;
    private readonly float* _packed;
    private readonly int _reduced;
    private readonly int _produced;
    private readonly int _taps;
    private readonly bool _inputGrad;

    /// <summary>A view of raw or packed weights.</summary>
    /// <param name="g">Sizes.</param>
    /// <param name="inputGrad">Lanes run over C instead of K.</param>
    /// <param name="w">Checkpoint layout; not read if packed is given.</param>
    /// <param name="packed">Packed form or null.</param>
    public ConvWeights(in ConvGeometry g, bool inputGrad, float* w, float* packed)
    {
        _w = w;
        _packed = packed;
        _inputGrad = inputGrad;
        _reduced = inputGrad ? g.K : g.C;
        _produced = inputGrad ? g.C : g.K;
        _taps = g.R * g.S;
    }

    /// <summary>Elements of the packed form.</summary>
    public static long PackedElements(in ConvGeometry g, bool inputGrad)
    {
        long vectors = ((inputGrad ? g.C : g.K) + S.Width - 1) / S.Width;
        return vectors * (inputGrad ? g.K : g.C) * g.R * g.S * S.Width;
    }

    /// <summary>Reduced channels that one <see cref="Get"/> serves.</summary>
    public int Step => _packed is not null ? int.MaxValue : _inputGrad ? 1 : S.Width;

    /// <summary>Elements of scratch that <see cref="Get"/> needs.</summary>
    public static int ScratchElements(in ConvGeometry g) => g.R * g.S * S.Width * S.Width;

    /// <summary>Vectors of taps for <paramref name="vector"/> and at most Step reduced channels from <paramref name="first"/> on: [channel][tap][lane].</summary>
    public float* Get(int vector, int first, int count, float* scratch)
    {
        if (_packed is not null)
        {
            return _packed + ((((long)vector * _reduced) + first) * _taps * S.Width);
        }

        int lane = vector * S.Width;
        Read(lane, Math.Min(S.Width, _produced - lane), first, count, scratch);
        return scratch;
    }

    /// <summary>Packs one vector of produced channels.</summary>
    public void Pack(int vector, float* packed)
    {
        int lane = vector * S.Width;
        float* to = packed + ((long)vector * _reduced * _taps * S.Width);
        int step = _inputGrad ? 1 : S.Width;
        for (int first = 0; first < _reduced; first += step)
        {
            Read(lane, Math.Min(S.Width, _produced - lane), first, Math.Min(step, _reduced - first), to);
            to += (long)step * _taps * S.Width;
        }
    }

    private void Read(int lane, int lanes, int first, int count, float* to)
    {
        if (_inputGrad)
        {
            float* from = _w + ((((long)first * _produced) + lane) * _taps);   // [K = reduced][C = produced][tap]
            if (_taps == 1)
            {
                S.Store(to, lanes == S.Width ? S.Load(from) : S.LoadPartial(from, lanes));
                return;
            }

            for (int t = 0; t < _taps; t += S.Width)
            {
                S.Transpose(from + t, _taps, lanes, Math.Min(S.Width, _taps - t), to + (t * S.Width));
            }
        }
        else
        {
            long stride = (long)_reduced * _taps;   // [K = produced][C = reduced][tap]
            float* from = _w + (lane * stride) + ((long)first * _taps);
            int columns = count * _taps;
            for (int t = 0; t < columns; t += S.Width)
            {
                S.Transpose(from + t, stride, lanes, Math.Min(S.Width, columns - t), to + ((long)t * S.Width));
            }
        }
    }
}

/// <summary>Packs all weights, one vector of produced channels per task.</summary>
internal readonly unsafe struct PackJob<S, V>(ConvWeights<S, V> weights, float* packed) : IPoolJob
    where S : struct, ISimd<V>
    where V : unmanaged
{
    public void Run(int task, int worker) => weights.Pack(task, packed);
}
