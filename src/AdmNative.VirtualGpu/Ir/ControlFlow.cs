namespace AdmNative.VirtualGpu.Ir;

/// <summary>
/// Block order. The index of a block is its scheduling priority: reverse post-order of the flow graph in which the blocks of a loop stay
/// together, so that the lanes with the lowest priority number are always the ones furthest behind, and lanes that diverged meet again
/// at or before the immediate post-dominator of reducible code.
/// </summary>
internal static class ControlFlow
{
    /// <summary>Order of the blocks reachable from 0, given each block's successors.</summary>
    public static int[] Order(IReadOnlyList<int[]> successors)
    {
        // Depth-first search by an explicit stack: PTX with 100k blocks must not overflow ours.
        int n = successors.Count;
        var state = new byte[n];
        var postOrder = new List<int>(n);
        var stack = new Stack<(int Block, int Next)>();
        var backEdges = new List<(int From, int To)>();
        stack.Push((0, 0));
        state[0] = 1;
        while (stack.Count > 0)
        {
            (int block, int next) = stack.Pop();
            if (next < successors[block].Length)
            {
                stack.Push((block, next + 1));
                int to = successors[block][next];
                if (state[to] == 0)
                {
                    state[to] = 1;
                    stack.Push((to, 0));
                }
                else if (state[to] == 1)
                {
                    backEdges.Add((block, to));
                }
            }
            else
            {
                state[block] = 2;
                postOrder.Add(block);
            }
        }

        postOrder.Reverse();
        return KeepLoopsTogether(successors, [.. postOrder], backEdges);
    }

    /// <summary>
    /// Moves blocks that a loop's reverse post-order interleaved with code after the loop: for each back edge, the natural loop's members directly
    /// follow its header, in their relative order, before anything that comes after the loop.
    /// </summary>
    private static int[] KeepLoopsTogether(IReadOnlyList<int[]> successors, int[] order, List<(int From, int To)> backEdges)
    {
        if (backEdges.Count == 0)
        {
            return order;
        }

        int n = successors.Count;
        var predecessors = new List<int>[n];
        for (int i = 0; i < n; i++)
        {
            predecessors[i] = [];
        }

        foreach (int b in order)
        {
            foreach (int s in successors[b])
            {
                predecessors[s].Add(b);
            }
        }

        var position = new int[n];
        // Larger loops first, so that inner loops end up contiguous inside them.
        var loops = backEdges.GroupBy(e => e.To).Select(g => (Header: g.Key, Members: Members(g.Key, g.Select(e => e.From), predecessors)))
            .OrderByDescending(l => l.Members.Count).ThenBy(l => l.Header).ToList();
        foreach ((int header, HashSet<int> members) in loops)
        {
            for (int i = 0; i < order.Length; i++)
            {
                position[order[i]] = i;
            }

            int first = position[header];
            var inside = order.Where(b => members.Contains(b) && position[b] >= first).ToList();
            var before = order.Take(first);
            var after = order.Skip(first).Where(b => !members.Contains(b));
            order = [.. before, .. inside, .. after];
        }

        return order;
    }

    private static HashSet<int> Members(int header, IEnumerable<int> tails, List<int>[] predecessors)
    {
        var members = new HashSet<int> { header };
        var work = new Stack<int>(tails);
        while (work.Count > 0)
        {
            int b = work.Pop();
            if (members.Add(b))
            {
                foreach (int p in predecessors[b])
                {
                    work.Push(p);
                }
            }
        }

        return members;
    }
}
