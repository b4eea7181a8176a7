namespace AdmNative.Formats;

/// <summary>A Python list or tuple in a torch file.</summary>
public sealed class PtList
{
    private readonly List<object?> _items;

    /// <summary>A list, or a tuple, of the given items.</summary>
    public PtList(IEnumerable<object?> items, bool isTuple = false)
    {
        _items = [.. items];
        IsTuple = isTuple;
    }

    /// <summary>True for a tuple.</summary>
    public bool IsTuple { get; }

    /// <summary>The items in order.</summary>
    public IReadOnlyList<object?> Items => _items;

    internal void Append(object? item) => _items.Add(item);
}
