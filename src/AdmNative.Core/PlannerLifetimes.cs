namespace AdmNative.Core;

/// <summary>For one execution order: the steps, which results take over a dying operand, and the buffers that remain.</summary>
internal sealed class PlannerLifetimes
{
    private readonly Graph _graph;
    private readonly PlannerViews _views;
    private readonly Func<Node, int, bool> _allowInPlace;
    private readonly int[] _first;
    private readonly int[] _last;
    private readonly int[] _owner; // root -> root it was merged into (itself if none)
    private readonly int[] _bufferOfRoot;

    public PlannerLifetimes(Graph graph, PlannerViews views, List<Node> order, Func<Node, long> workspaceBytes, Func<Node, int, bool>? allowInPlace = null)
    {
        int count = graph.Nodes.Count;
        _graph = graph;
        _views = views;
        _allowInPlace = allowInPlace ?? (static (_, _) => true);
        Steps = order.FindAll(n => views.Runs[n.Id]);
        AliasOf = (int[])views.Base.Clone();
        _owner = [.. Enumerable.Range(0, count)];
        _first = new int[count];
        _last = new int[count];
        _bufferOfRoot = new int[count];
        FindLifetimes();
        for (int s = 0; s < Steps.Count; s++)
        {
            TakeOver(Steps[s], s);
        }

        var buffers = new List<ArenaBuffer>();
        foreach (Node node in graph.Nodes)
        {
            bool owns = _views.Root[node.Id] == node.Id && _owner[node.Id] == node.Id;
            bool used = node.Kind == NodeKind.Input || (node.Kind == NodeKind.Op && views.Live[node.Id]);
            _bufferOfRoot[node.Id] = owns && used ? buffers.Count : -1;
            if (owns && used)
            {
                buffers.Add(new ArenaBuffer(Bytes(node), _first[node.Id], _last[node.Id]));
            }
        }

        WorkspaceOfStep = new int[Steps.Count];
        for (int s = 0; s < Steps.Count; s++)
        {
            long bytes = workspaceBytes(Steps[s]);
            WorkspaceOfStep[s] = bytes > 0 ? buffers.Count
                : bytes == 0 ? -1
                : throw new ArgumentException($"plan: {Steps[s]} asks for {bytes} bytes of workspace");
            if (bytes > 0)
            {
                buffers.Add(new ArenaBuffer(bytes, s, s));
            }
        }

        Buffers = buffers;
    }

    /// <summary>Ops that run, in order.</summary>
    public List<Node> Steps { get; }

    /// <summary>Base of each view, or the operand an in-place result took over; -1 for owners.</summary>
    public int[] AliasOf { get; }

    /// <summary>All buffers: values first, then workspaces.</summary>
    public IReadOnlyList<ArenaBuffer> Buffers { get; }

    /// <summary>Index in <see cref="Buffers"/> of each step's workspace, or -1.</summary>
    public int[] WorkspaceOfStep { get; }

    /// <summary>Index in <see cref="Buffers"/> of a node's buffer, or -1.</summary>
    public int BufferOf(int id) => _bufferOfRoot[Owner(_views.Root[id])];

    // By root: from the first step that writes into the buffer to the last that reads it. Inputs are there from before
    // the first step (-1) to after the last, outputs to after the last.
    private void FindLifetimes()
    {
        Array.Fill(_first, int.MaxValue);
        Array.Fill(_last, -1);
        for (int s = 0; s < Steps.Count; s++)
        {
            int root = _views.Root[Steps[s].Id];
            _first[root] = Math.Min(_first[root], s);
            _last[root] = Math.Max(_last[root], s);
            foreach (Node operand in Steps[s].Inputs)
            {
                _last[_views.Root[operand.Id]] = Math.Max(_last[_views.Root[operand.Id]], s);
            }
        }

        foreach (Node input in _graph.Inputs.Values)
        {
            _first[input.Id] = -1;
            _last[input.Id] = Steps.Count;
        }

        foreach ((_, Node node) in _graph.Outputs)
        {
            _last[_views.Root[node.Id]] = Steps.Count;
        }
    }

    // The result may be written over operand i when the op says so, nothing reads that buffer afterwards, and both fill
    // the same whole buffer with elements of one type. Other operands in the same buffer must be the same bytes and allow it as well.
    private void TakeOver(Node node, int step)
    {
        if (_views.Root[node.Id] != node.Id || node.Op is ConcatChannels or Reshape or StopGradient or SliceChannels)
        {
            return;
        }

        for (int i = 0; i < node.Inputs.Count; i++)
        {
            if (!node.Op!.InPlace(i) || !_allowInPlace(node, i) || !Fills(node.Inputs[i], out int root)
                || _views.Stored[node.Inputs[i].Id] != _views.Stored[node.Id] || _last[root] != step || Bytes(_graph.Nodes[root]) != Bytes(node))
            {
                continue;
            }

            bool alone = true;
            for (int j = 0; j < node.Inputs.Count; j++)
            {
                if (j != i && Owner(_views.Root[node.Inputs[j].Id]) == root)
                {
                    alone &= node.Op.InPlace(j) && _allowInPlace(node, j) && Fills(node.Inputs[j], out _);
                }
            }

            if (alone)
            {
                _owner[node.Id] = root;
                _last[root] = _last[node.Id];
                AliasOf[node.Id] = node.Inputs[i].Id;
                return;
            }
        }
    }

    /// <summary>Is the value a dense view of the whole of an op result's buffer?</summary>
    private bool Fills(Node value, out int root)
    {
        root = Owner(_views.Root[value.Id]);
        return _graph.Nodes[root].Kind == NodeKind.Op && _views.IsDense(value)
            && _views.BytesInRoot[value.Id] == 0 && Bytes(value) == Bytes(_graph.Nodes[root]);
    }

    private int Owner(int root)
    {
        while (_owner[root] != root)
        {
            _owner[root] = _owner[_owner[root]]; // halve the path: chains of in-place ops are long
            root = _owner[root];
        }

        return root;
    }

    private long Bytes(Node node) => node.Shape.Elements * _views.ElementBytes(node);
}
