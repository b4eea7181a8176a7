namespace AdmNative.Core;

/// <summary>Computes equal ops over equal operands once. Ops are pure (dropout is keyed by its seed), so this is exact.</summary>
public static class CommonSubexpressions
{
    /// <summary>The graph with duplicates merged into their first occurrence.</summary>
    public static Graph Merge(Graph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        var known = new Dictionary<Expression, Node>();
        return GraphRewriter.Rewrite(graph, (rewriter, node) =>
        {
            var expression = new Expression(node.Op!, rewriter.Map(node.Inputs));
            if (!known.TryGetValue(expression, out Node? result))
            {
                result = rewriter.Target.AddNamed(node.Name, node.Op!, expression.Operands);
                known.Add(expression, result);
            }

            return result;
        });
    }

    private readonly record struct Expression(Op Op, Node[] Operands)
    {
        public bool Equals(Expression other) => Op.Equals(other.Op) && Operands.AsSpan().SequenceEqual(other.Operands);

        public override int GetHashCode()
        {
            var hash = default(HashCode);
            hash.Add(Op);
            foreach (Node operand in Operands)
            {
                hash.Add(operand.Id);
            }

            return hash.ToHashCode();
        }
    }
}
