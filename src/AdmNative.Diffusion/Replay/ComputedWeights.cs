using System.Text;
using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// Weights that are a function of their names, so that recorded cases need no checkpoint. For a key with n elements:
/// s = FNV-1a-64(key) + seed; splitmix64 from s gives z_i; v_i = (2 (z_i >> 11) 2^-53 - 1) sqrt(3).
/// More than one dimension: v / sqrt(n / rows). One dimension: 1 + 0.2 v if the name ends in "weight", else 0.1 v.
/// Rounded to f32, then times the key's factor.
/// </summary>
public sealed class ComputedWeights : ITensorSource
{
    private readonly Dictionary<string, TensorType> _tensors = [];
    private readonly IReadOnlyDictionary<string, double> _scale;
    private readonly ulong _seed;

    /// <summary>The weights of a network.</summary>
    /// <exception cref="ConfigException">A factor is given for a weight that the network does not have.</exception>
    public ComputedWeights(ReplayNetwork network, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(network);
        foreach (ParameterSpec p in ParameterList.Of(network.Config))
        {
            _tensors.Add(p.Name, TensorType.F32(p.Shape));
        }

        foreach (string name in network.WeightScale.Keys)
        {
            if (!_tensors.ContainsKey(name))
            {
                throw new ConfigException($"weight_scale: the network has no {name}");
            }
        }

        _scale = network.WeightScale;
        _seed = seed;
    }

    /// <inheritdoc/>
    public string Description => $"computed weights, seed {_seed}";

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorType> Tensors => _tensors;

    /// <inheritdoc/>
    public void ReadFloats(string name, Span<float> destination)
    {
        if (!_tensors.TryGetValue(name, out TensorType? type))
        {
            throw new CheckpointException($"{Description}: no tensor {name}");
        }

        if (destination.Length != type.Shape.Elements)
        {
            throw new ShapeException($"{name} is {type.Shape}, {destination.Length} values were asked for");
        }

        double perRow = type.Shape.Rank > 1 ? Math.Sqrt(type.Shape.Elements / (double)type.Shape[0]) : 0;
        bool gain = type.Shape.Rank == 1 && name.EndsWith("weight", StringComparison.Ordinal);
        float factor = (float)_scale.GetValueOrDefault(name, 1);
        ulong state = unchecked(Fnv1a(name) + _seed);
        for (int i = 0; i < destination.Length; i++)
        {
            double v = ((2 * ((NextSplitMix(ref state) >> 11) * Math.ScaleB(1, -53))) - 1) * Math.Sqrt(3);
            destination[i] = (float)(perRow > 0 ? v / perRow : gain ? 1 + (0.2 * v) : 0.1 * v) * factor;
        }
    }

    private static ulong Fnv1a(string text)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (byte b in Encoding.UTF8.GetBytes(text))
        {
            hash = unchecked((hash ^ b) * 0x100000001b3);
        }

        return hash;
    }

    private static ulong NextSplitMix(ref ulong state)
    {
        unchecked
        {
            ulong z = state += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }
    }
}
