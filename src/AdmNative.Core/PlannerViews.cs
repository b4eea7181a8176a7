namespace AdmNative.Core;

/// <summary>
/// Which values live inside another value's buffer, decided from the graph's structure alone, before any order or address:
/// parts born inside the concatenation that joins them, then reshapes, slices and stop-gradients of what is there. Only
/// values of one stored type share a buffer so.
/// </summary>
internal sealed class PlannerViews
{
    private readonly Graph _graph;
    private readonly Func<Node, bool> _allowStrided;
    private readonly List<Node>[] _users;
    private readonly bool[] _isOutput;
    private readonly long[] _bytesInBase;

    /// <param name="graph">The graph.</param>
    /// <param name="allowStrided">See <see cref="PlannerOptions.AllowStrided"/>.</param>
    /// <param name="stored">Type of each node in the arena, by id.</param>
    /// <param name="early">
    /// Whether a concatenation's buffer may exist from its first part on. If not, only its last part is born in place,
    /// the others are copied: less memory while a skip connection waits for its other half.
    /// </param>
    public PlannerViews(Graph graph, Func<Node, bool> allowStrided, DType[] stored, bool early = true)
    {
        int count = graph.Nodes.Count;
        _graph = graph;
        _allowStrided = allowStrided;
        Stored = stored;
        Live = DeadNodes.Live(graph);
        Base = new int[count];
        Root = new int[count];
        RowStride = new long[count];
        Runs = new bool[count];
        BytesInRoot = new long[count];
        _bytesInBase = new long[count];
        _isOutput = new bool[count];
        _users = Users(graph, Live);
        Array.Fill(Base, -1);
        foreach (Node node in graph.Nodes)
        {
            RowStride[node.Id] = node.Shape.Last;
        }

        foreach ((_, Node node) in graph.Outputs)
        {
            _isOutput[node.Id] = true;
        }

        foreach (Node node in graph.Nodes)
        {
            if (Live[node.Id] && node.Op is ConcatChannels)
            {
                PlaceParts(node, early);
            }
        }

        foreach (Node node in graph.Nodes)
        {
            if (Live[node.Id] && node.Kind == NodeKind.Op)
            {
                Runs[node.Id] = node.Op is ConcatChannels ? !IsComplete(node) : !TryView(node);
            }
        }

        FindRoots();
    }

    /// <summary>Does an output depend on it?</summary>
    public bool[] Live { get; }

    /// <summary>Id of the node in whose buffer this one lies, or -1.</summary>
    public int[] Base { get; }

    /// <summary>End of the chain of bases: the node that owns the buffer.</summary>
    public int[] Root { get; }

    /// <summary>Byte offset of element 0 in the root's buffer.</summary>
    public long[] BytesInRoot { get; }

    /// <summary>Elements between rows.</summary>
    public long[] RowStride { get; }

    /// <summary>Type of each node in the arena.</summary>
    public DType[] Stored { get; }

    /// <summary>Bytes per stored element.</summary>
    public int ElementBytes(Node node) => Stored[node.Id].SizeBytes();

    /// <summary>Does the op need a step? Views and concatenations with all parts in place do not.</summary>
    public bool[] Runs { get; }

    /// <summary>Contiguous in memory; a single row always is.</summary>
    public bool IsDense(Node node) => RowStride[node.Id] == node.Shape.Last || node.Shape.Rows <= 1;

    private void PlaceParts(Node concat, bool early)
    {
        Node[] parts = [.. concat.Inputs.Where(p => Stored[p.Id] == Stored[concat.Id] && CanBeBornInPlace(p)).Distinct()];
        int last = parts.Select(p => p.Id).DefaultIfEmpty().Max();
        foreach (Node part in early ? parts : parts.Where(p => p.Id == last))
        {
            Base[part.Id] = concat.Id;
            _bytesInBase[part.Id] = ElementBytes(concat) * Plan.FirstColumn(concat, IndexOf(part));
            RowStride[part.Id] = part.Shape.Rows <= 1 ? part.Shape.Last : concat.Shape.Last;
        }

        int IndexOf(Node part)
        {
            int i = 0;
            while (concat.Inputs[i] != part)
            {
                i++;
            }

            return i;
        }
    }

    // Its producer can write rows that are apart and every reader can read them; a single row is never apart.
    private bool CanBeBornInPlace(Node part) =>
        part.Kind == NodeKind.Op && Base[part.Id] < 0
        && part.Op is not (ConcatChannels or Reshape or StopGradient or SliceChannels)
        && (part.Shape.Rows <= 1 || (_allowStrided(part) && ReadersAllowStrided(part)));

    private bool ReadersAllowStrided(Node value)
    {
        if (_isOutput[value.Id])
        {
            return false; // outputs are read as one block
        }

        foreach (Node user in _users[value.Id])
        {
            bool allowed = user.Op switch
            {
                Reshape => user.Shape.Last == value.Shape.Last && ReadersAllowStrided(user),
                StopGradient or SliceChannels => ReadersAllowStrided(user),
                _ => _allowStrided(user),
            };
            if (!allowed)
            {
                return false;
            }
        }

        return true;
    }

    private bool TryView(Node node)
    {
        Node source = node.Op is Reshape or StopGradient or SliceChannels ? node.Inputs[0] : node;
        if (source == node || source.Kind == NodeKind.Parameter || Stored[source.Id] != Stored[node.Id])
        {
            return false;
        }

        // A strided source has only readers that cope (ReadersAllowStrided), so a Reshape of one keeps its rows.
        bool rowsApart = !IsDense(source) || (node.Op is SliceChannels && node.Shape.Last != source.Shape.Last);
        if (rowsApart && node.Shape.Rows > 1)
        {
            if (!ReadersAllowStrided(node))
            {
                return false;
            }

            RowStride[node.Id] = RowStride[source.Id];
        }

        Base[node.Id] = source.Id;
        _bytesInBase[node.Id] = node.Op is SliceChannels slice ? (long)ElementBytes(node) * slice.Begin : 0;
        return true;
    }

    private bool IsComplete(Node concat)
    {
        long column = 0;
        foreach (Node part in concat.Inputs)
        {
            if (Base[part.Id] != concat.Id || _bytesInBase[part.Id] != ElementBytes(concat) * column)
            {
                return false;
            }

            column += part.Shape.Last;
        }

        return true;
    }

    private void FindRoots()
    {
        for (int id = 0; id < Root.Length; id++)
        {
            int at = id;
            for (; Base[at] >= 0; at = Base[at])
            {
                BytesInRoot[id] += _bytesInBase[at];
            }

            Root[id] = at;
        }
    }

    private static List<Node>[] Users(Graph graph, bool[] live)
    {
        var users = new List<Node>[graph.Nodes.Count];
        for (int i = 0; i < users.Length; i++)
        {
            users[i] = [];
        }

        foreach (Node node in graph.Nodes)
        {
            if (live[node.Id])
            {
                foreach (Node operand in node.Inputs)
                {
                    users[operand.Id].Add(node);
                }
            }
        }

        return users;
    }
}
