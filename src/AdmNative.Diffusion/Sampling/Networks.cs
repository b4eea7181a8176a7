using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// A denoiser and, for guidance, a classifier with their weights on one device. Graphs of any batch size and kind run
/// over the same weights.
/// </summary>
public sealed class Networks : IDisposable
{
    /// <summary>Prefix of the classifier's parameters in shared graphs.</summary>
    internal const string ClassifierPrefix = "classifier.";

    private readonly IParameters _parameters;

    /// <summary>Loads the weights.</summary>
    /// <exception cref="CheckpointException">A weight is missing or misshapen.</exception>
    /// <exception cref="ConfigException">No such classifier can be built.</exception>
    public Networks(
        IBackend backend,
        IDenoiser denoiser,
        ITensorSource weights,
        EncoderUNetConfig? classifier = null,
        ITensorSource? classifierWeights = null)
    {
        ArgumentNullException.ThrowIfNull(backend);
        ArgumentNullException.ThrowIfNull(denoiser);
        ArgumentNullException.ThrowIfNull(weights);
        if (classifier is null != classifierWeights is null)
        {
            throw new ConfigException("a classifier needs both a configuration and weights");
        }

        Backend = backend;
        Denoiser = denoiser;
        Classifier = classifier;

        var wanted = new Graph();
        Declare(wanted, denoiser.Parameters, "");
        Declare(wanted, classifier is null ? [] : ParameterList.Of(classifier), ClassifierPrefix);
        ITensorSource source = classifierWeights is null
            ? weights
            : new JointWeights(weights, classifierWeights, ClassifierPrefix);
        _parameters = backend.LoadParameters(wanted.Parameters, source);
    }

    /// <summary>The device.</summary>
    public IBackend Backend { get; }

    /// <summary>The denoiser.</summary>
    public IDenoiser Denoiser { get; }

    /// <summary>The classifier; null when there is none.</summary>
    public EncoderUNetConfig? Classifier { get; }

    /// <summary>Bytes the weights take on the device.</summary>
    public long WeightBytes => _parameters.Bytes;

    /// <summary>Optimises, plans and loads a graph over these weights.</summary>
    public IExecutable Load(Graph graph) => Backend.Load(Backend.Plan(Passes.Optimize(graph)), _parameters);

    /// <summary>
    /// Throws unless there is one label in range for each image, where labels are needed, and none where not.
    /// </summary>
    internal void CheckLabels(IReadOnlyList<int>? labels, int images, bool classify = false)
    {
        int? classes = Denoiser.Classes ?? (classify ? Classifier?.OutChannels : null);
        if (labels is null)
        {
            if (classes is not null)
            {
                throw new ShapeException($"labels (y) are needed: one of 0..{classes - 1} for each of {images} images");
            }

            return;
        }

        if (labels.Count != images)
        {
            throw new ShapeException($"{images} images need {images} labels, got {labels.Count}");
        }

        int limit = classify ? Math.Min(classes ?? int.MaxValue, Classifier!.OutChannels) : classes ?? int.MaxValue;
        for (int i = 0; i < images; i++)
        {
            if (labels[i] < 0 || labels[i] >= limit)
            {
                throw new ShapeException($"label {labels[i]} of image {i} is outside 0..{limit - 1}");
            }
        }
    }

    /// <summary>Does a parameter of that name, in a graph of these networks, belong to the classifier?</summary>
    public static bool IsOfClassifier(string parameter)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        return parameter.StartsWith(ClassifierPrefix, StringComparison.Ordinal);
    }

    /// <summary>Frees the weights; executables must be gone.</summary>
    public void Dispose() => _parameters.Dispose();

    private static void Declare(Graph graph, IReadOnlyList<ParameterSpec> parameters, string prefix)
    {
        foreach (ParameterSpec p in parameters)
        {
            graph.Parameter(prefix + p.Name, p.Shape);
        }
    }

    /// <summary>Two checkpoints as one; the names of the second carry a prefix.</summary>
    private sealed class JointWeights : ITensorSource
    {
        private readonly ITensorSource _first;
        private readonly ITensorSource _second;
        private readonly string _prefix;

        public JointWeights(ITensorSource first, ITensorSource second, string prefix)
        {
            _first = first;
            _second = second;
            _prefix = prefix;
            var tensors = new Dictionary<string, TensorType>();
            foreach ((string name, TensorType type) in first.Tensors)
            {
                tensors.Add(name, type);
            }

            foreach ((string name, TensorType type) in second.Tensors)
            {
                tensors.Add(prefix + name, type);
            }

            Tensors = tensors;
        }

        public string Description => $"{_first.Description} and {_second.Description}";

        public IReadOnlyDictionary<string, TensorType> Tensors { get; }

        public void ReadFloats(string name, Span<float> destination)
        {
            if (name.StartsWith(_prefix, StringComparison.Ordinal))
            {
                _second.ReadFloats(name[_prefix.Length..], destination);
            }
            else
            {
                _first.ReadFloats(name, destination);
            }
        }
    }
}
