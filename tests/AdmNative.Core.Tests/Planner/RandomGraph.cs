namespace AdmNative.Core.Tests;

/// <summary>
/// Graphs no one would write, heavy in what planning is about: concatenations of anything (also of one value twice, and
/// nested), slices of slices, reshapes, chains of in-place ops, values read long after they were made.
/// </summary>
internal sealed class RandomGraph
{
    private readonly Random _random;
    private readonly Graph _graph = new();
    private readonly List<Node> _values = [];
    private readonly int _batch;
    private readonly int _height;
    private readonly int _width;
    private int _parameters;

    private RandomGraph(int seed)
    {
        _random = new Random(seed);
        _batch = _random.Next(1, 3);
        _height = Pick(1, 2, 4);
        _width = Pick(1, 2, 3);
        for (int i = 0; i < 3; i++)
        {
            _values.Add(_graph.Input($"x{i}", [_batch, _height, _width, _random.Next(1, 7)]));
        }
    }

    /// <summary>Builds one; some have gradients of everything with respect to inputs and parameters as outputs too.</summary>
    public static Graph Build(int seed)
    {
        var build = new RandomGraph(seed);
        int ops = build._random.Next(5, 25);
        for (int i = 0; i < ops; i++)
        {
            build.Grow();
        }

        build.AddOutputs();
        Graph graph = build._random.Next(3) == 0 ? build._graph : Passes.Optimize(build._graph);
        if (build._random.Next(3) > 0)
        {
            AddGradients(graph);
            graph = build._random.Next(3) == 0 ? graph : Passes.Optimize(graph);
        }

        return graph;
    }

    private void Grow()
    {
        Node x = _values[_random.Next(3) == 0 ? _random.Next(_values.Count) : ^1];
        Node y = _random.Next(15) switch
        {
            0 => _graph.Silu(x),
            1 => _graph.Scale(x, 0.5),
            2 or 3 => Concat(x),
            4 => Slice(x),
            5 => Reshape(x),
            6 => _graph.StopGradient(x),
            7 => _graph.Plus(x, Same(x)),
            8 => Linear(x),
            9 => Convolve(x),
            10 => _graph.GroupNorm(x, Parameter([x.Shape.Last]), Parameter([x.Shape.Last]), groups: 1),
            11 => _graph.AddPerSample(x, _graph.MeanSpatial(Same(x))),
            12 => _graph.PadChannels(x, 1, x.Shape.Last + 2),
            13 => _graph.ConcatChannels(Linear(x), _graph.Silu(x)),
            _ => _graph.Plus(Linear(x, x.Shape.Last), x),
        };
        _values.Add(y);
    }

    private void AddOutputs()
    {
        _graph.Output("last", _values[^1]);
        for (int i = _random.Next(4); i > 0; i--)
        {
            _graph.Output($"output{i}", _values[_random.Next(_values.Count)]); // views, concatenations, inputs, the same one twice
        }
    }

    private static void AddGradients(Graph graph)
    {
        (Node, Node)[] seeds = [.. graph.Outputs.ToArray().Select(o => (o.Node, graph.Constant(1, o.Node.Shape)))];
        Node[] wrt = [.. graph.Inputs.Values, .. graph.Parameters.Values];
        Node[] gradients = Gradients.Add(graph, seeds, wrt);
        for (int i = 0; i < wrt.Length; i++)
        {
            graph.Output($"grad.{wrt[i].Name}", gradients[i]);
        }
    }

    private Node Concat(Node x)
    {
        Node[] parts = [x, .. _values.Where(v => WithLast(v.Shape, 1) == WithLast(x.Shape, 1) && v.Shape.Last < 24)
            .OrderBy(_ => _random.Next()).Take(_random.Next(1, 4))];
        _random.Shuffle(parts);
        return _graph.ConcatChannels(parts);
    }

    private Node Slice(Node x)
    {
        int begin = _random.Next(x.Shape.Last);
        return _graph.SliceChannels(x, begin, _random.Next(1, x.Shape.Last - begin + 1));
    }

    private Node Reshape(Node x) => _random.Next(4) switch
    {
        0 => _graph.Reshape(x, [_batch, x.Shape.Elements / _batch / x.Shape.Last, x.Shape.Last]), // tokens
        1 => _graph.Reshape(x, [_batch, 1, x.Shape.Elements / _batch]), // one row per sample
        2 when x.Shape.Last % 2 == 0 => _graph.Reshape(x, [_batch, x.Shape.Elements * 2 / _batch / x.Shape.Last, x.Shape.Last / 2]),
        _ => _graph.Reshape(x, [_batch, x.Shape.Elements / _batch / x.Shape.Last, 1, x.Shape.Last]),
    };

    private Node Linear(Node x, int? channels = null)
    {
        int outputs = channels ?? _random.Next(1, 7);
        return _graph.Linear(x, Parameter([outputs, x.Shape.Last]), Parameter([outputs]));
    }

    private Node Convolve(Node x) => x.Shape.Rank == 4
        ? _graph.Conv2d(x, Parameter([3, x.Shape.Last, 3, 3]), Parameter([3]), padH: 1, padW: 1)
        : Linear(x);

    private Node Same(Node x)
    {
        Node[] candidates = [.. _values.Where(v => v.Shape == x.Shape)];
        return candidates[_random.Next(candidates.Length)];
    }

    private Node Parameter(Shape shape) => _graph.Parameter($"p{_parameters++}", shape);

    private int Pick(params int[] choices) => choices[_random.Next(choices.Length)];

    private static Shape WithLast(Shape shape, long last) => Shape.Create([.. shape.ToArray()[..^1], last]);
}
