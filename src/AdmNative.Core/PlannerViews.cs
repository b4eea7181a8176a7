namespace AdmNative.Core;

/// <summary>
/// Which values live inside another value's buffer, decided from the graph's structure alone, before any order or address:
/// parts born inside the concatenation that joins them, then reshapes, slices and stop-gradients of what is there.
/// </summary>
internal sealed class PlannerViews
{
    private readonly Graph _graph;
    private readonly Func<Node, bool> _allowStrided;
    private readonly List<Node>[] _users;
    private readonly bool[] _isOutput;
    private readonly long[] _bytesInBase;

    public PlannerViews(Graph graph, Func<Node, bool> allowStrided)
    {
        int count = graph.Nodes.Count;
        _graph = graph;
        _allowStrided = allowStrided;
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
                PlaceParts(node);
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

    /// <summary>Does the op need a step? Views and concatenations with all parts in place do not.</summary>
    public bool[] Runs { get; }

    /// <summary>Contiguous in memory; a single row always is.</summary>
    public bool IsDense(Node node) => RowStride[node.Id] == node.Shape.Last || node.Shape.Rows <= 1;

    // A part can be born in place when its producer can write rows that are apart and every reader can read them.
    private void PlaceParts(Node concat)
    {
        long column = 0;
        foreach (Node part in concat.Inputs)
        {
            bool free = part.Kind == NodeKind.Op && Base[part.Id] < 0
                && part.Op is not (ConcatChannels or Reshape or StopGradient or SliceChannels);
            bool single = part.Shape.Rows <= 1;
            if (free && (single || (_allowStrided(part) && ReadersAllowStrided(part))))
            {
                Base[part.Id] = concat.Id;
                _bytesInBase[part.Id] = 4 * column;
                RowStride[part.Id] = single ? part.Shape.Last : concat.Shape.Last;
            }

            column += part.Shape.Last;
        }
    }

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
        if (node.Op is not (Reshape or StopGradient or SliceChannels) || node.Inputs[0].Kind == NodeKind.Parameter)
        {
            return false;
        }

        Node source = node.Inputs[0];
        bool whole = source.Shape.Last == node.Shape.Last || node.Op is Reshape;
        long stride = node.Shape.Last;
        if (node.Shape.Rows > 1 && (!IsDense(source) || !whole))
        {
            // Rows stay apart: the same rows must be meant, and every reader must cope.
            if ((node.Op is Reshape && source.Shape.Last != node.Shape.Last) || !ReadersAllowStrided(node))
            {
                return false;
            }

            stride = RowStride[source.Id];
        }
        else if (!IsDense(source) && node.Op is Reshape)
        {
            return false; // several strided rows become one
        }

        Base[node.Id] = source.Id;
        _bytesInBase[node.Id] = node.Op is SliceChannels slice ? 4L * slice.Begin : 0;
        RowStride[node.Id] = stride;
        return true;
    }

    private bool IsComplete(Node concat)
    {
        long column = 0;
        foreach (Node part in concat.Inputs)
        {
            if (Base[part.Id] != concat.Id || _bytesInBase[part.Id] != 4 * column)
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
