namespace AdmNative.Core;

/// <summary>What a node is.</summary>
public enum NodeKind : byte
{
    /// <summary>A value given at each run.</summary>
    Input,

    /// <summary>A weight, read once by name from a checkpoint.</summary>
    Parameter,

    /// <summary>The result of an op.</summary>
    Op,
}

/// <summary>One SSA value: an input, a parameter or the single result of an op. Immutable.</summary>
public sealed class Node
{
    internal Node(int id, NodeKind kind, string? name, Op? op, Node[] inputs, TensorType type)
    {
        Id = id;
        Kind = kind;
        Name = name;
        Op = op;
        Inputs = inputs;
        Type = type;
    }

    /// <summary>Position in <see cref="Graph.Nodes"/>; inputs always have smaller ids.</summary>
    public int Id { get; }

    /// <summary>Input, parameter or op result.</summary>
    public NodeKind Kind { get; }

    /// <summary>Name of an input or parameter (checkpoint key); for op results the scope they were built in, if any.</summary>
    public string? Name { get; }

    /// <summary>The op; null for inputs and parameters.</summary>
    public Op? Op { get; }

    /// <summary>Operands, in the op's order.</summary>
    public IReadOnlyList<Node> Inputs { get; }

    /// <summary>Element type and shape.</summary>
    public TensorType Type { get; }

    /// <summary>Shape of the value.</summary>
    public Shape Shape => Type.Shape;

    /// <inheritdoc/>
    public override string ToString() => Op is null
        ? $"%{Id} = {Kind.ToString().ToLowerInvariant()} {Name} : {Type}"
        : $"%{Id} = {Op}({string.Join(", ", Inputs.Select(i => $"%{i.Id}"))}) : {Type}{(Name is null ? "" : $"  # {Name}")}";
}

/// <summary>
/// A graph of SSA values in topological order. Models describe themselves into one; it allocates no tensor data.
/// Ops add themselves through extension methods that stand beside each op (Ops/*.cs), e.g. <c>graph.Conv2d(x, w, b)</c>.
/// </summary>
public sealed class Graph
{
    private readonly List<Node> _nodes = [];
    private readonly List<(string Name, Node Node)> _outputs = [];
    private readonly HashSet<string> _outputNames = [];
    private readonly Dictionary<string, Node> _inputs = [];
    private readonly Dictionary<string, Node> _parameters = [];
    private readonly List<string> _scope = [];

    /// <summary>All values in topological order.</summary>
    public IReadOnlyList<Node> Nodes => _nodes;

    /// <summary>Named results, in the order they were declared.</summary>
    public IReadOnlyList<(string Name, Node Node)> Outputs => _outputs;

    /// <summary>Inputs by name.</summary>
    public IReadOnlyDictionary<string, Node> Inputs => _inputs;

    /// <summary>Parameters by checkpoint key, in creation order.</summary>
    public IReadOnlyDictionary<string, Node> Parameters => _parameters;

    /// <summary>Declares a value given at each run.</summary>
    public Node Input(string name, TensorType type) => Named(NodeKind.Input, _inputs, name, type);

    /// <summary>Declares an f32 input.</summary>
    public Node Input(string name, Shape shape) => Input(name, TensorType.F32(shape));

    /// <summary>Declares a weight; asking again for the same name gives the same node.</summary>
    /// <exception cref="ShapeException">The name is already declared with another shape.</exception>
    public Node Parameter(string name, Shape shape)
    {
        if (_parameters.TryGetValue(name, out Node? known))
        {
            return known.Shape == shape ? known
                : throw new ShapeException($"parameter {name} declared as {known.Shape} and as {shape}");
        }

        return Named(NodeKind.Parameter, _parameters, name, TensorType.F32(shape));
    }

    /// <summary>Adds an op; its shape rule runs here. Null inputs must be trailing optional ones and are dropped.</summary>
    public Node Add(Op op, params ReadOnlySpan<Node?> inputs)
    {
        int count = inputs.Length;
        while (count > 0 && inputs[count - 1] is null)
        {
            count--;
        }

        var operands = new Node[count];
        var types = new TensorType[count];
        for (int i = 0; i < count; i++)
        {
            Node input = inputs[i] ?? throw new ArgumentException($"{op.Name}: input {i} is missing");
            if (!Owns(input))
            {
                throw new ArgumentException($"{op.Name}: input {i} belongs to another graph");
            }

            operands[i] = input;
            types[i] = input.Type;
        }

        return Append(NodeKind.Op, _scope.Count == 0 ? null : string.Join(".", _scope), op, operands, op.Infer(types));
    }

    /// <summary>Declares a named result. The same name twice is an error.</summary>
    public void Output(string name, Node node)
    {
        ArgumentNullException.ThrowIfNull(node);
        if (!Owns(node))
        {
            throw new ArgumentException($"output {name} belongs to another graph");
        }

        if (!_outputNames.Add(name))
        {
            throw new ArgumentException($"output {name} declared twice");
        }

        _outputs.Add((name, node));
    }

    /// <summary>Forgets the named results, so that values marked to survive the passes can be used and others declared.</summary>
    public void ClearOutputs() => _outputs.Clear();

    /// <summary>Names the nodes built until the result is disposed, for dumps and per-op tables.</summary>
    public IDisposable Scope(string name)
    {
        _scope.Add(name);
        return new ScopeEnd(_scope);
    }

    /// <summary>How often each node is used: once per operand position, plus once per output.</summary>
    public int[] UseCounts()
    {
        var uses = new int[_nodes.Count];
        foreach (Node node in _nodes)
        {
            foreach (Node input in node.Inputs)
            {
                uses[input.Id]++;
            }
        }

        foreach ((_, Node node) in _outputs)
        {
            uses[node.Id]++;
        }

        return uses;
    }

    /// <summary>One line per node, then the outputs.</summary>
    public override string ToString() =>
        string.Join('\n', _nodes.Select(n => n.ToString())) + "\n"
        + string.Concat(_outputs.Select(o => $"output {o.Name} = %{o.Node.Id}\n"));

    /// <summary>Appends an op with the scope name of the node it replaces; for passes.</summary>
    internal Node AddNamed(string? name, Op op, params ReadOnlySpan<Node> inputs)
    {
        var types = new TensorType[inputs.Length];
        for (int i = 0; i < inputs.Length; i++)
        {
            types[i] = inputs[i].Type;
        }

        return Append(NodeKind.Op, name, op, inputs.ToArray(), op.Infer(types));
    }

    /// <summary>Is the node one of this graph's?</summary>
    internal bool Owns(Node node) => node.Id < _nodes.Count && ReferenceEquals(_nodes[node.Id], node);

    private Node Named(NodeKind kind, Dictionary<string, Node> table, string name, TensorType type)
    {
        if (table.ContainsKey(name))
        {
            throw new ArgumentException($"{kind.ToString().ToLowerInvariant()} {name} declared twice");
        }

        Node node = Append(kind, name, null, [], type);
        table.Add(name, node);
        return node;
    }

    private Node Append(NodeKind kind, string? name, Op? op, Node[] inputs, TensorType type)
    {
        var node = new Node(_nodes.Count, kind, name, op, inputs, type);
        _nodes.Add(node);
        return node;
    }

    private sealed class ScopeEnd(List<string> scope) : IDisposable
    {
        private bool _done;

        public void Dispose()
        {
            if (!_done)
            {
                _done = true;
                scope.RemoveAt(scope.Count - 1);
            }
        }
    }
}
