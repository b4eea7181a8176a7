namespace AdmNative.Formats;

/// <summary>A Python dictionary in a torch file: keys are <see cref="string"/> or <see cref="long"/>, in insertion order.</summary>
public sealed class PtDict
{
    private readonly OrderedDictionary<object, object?> _items = [];

    /// <summary>An empty dictionary; <paramref name="isOrdered"/> for a collections.OrderedDict (state dicts), else a plain dict.</summary>
    public PtDict(bool isOrdered = false) => IsOrdered = isOrdered;

    /// <summary>True for a collections.OrderedDict.</summary>
    public bool IsOrdered { get; }

    /// <summary>Entries in insertion order.</summary>
    public IReadOnlyList<KeyValuePair<object, object?>> Items => _items;

    /// <summary>The value of a key.</summary>
    /// <exception cref="KeyNotFoundException">No such key; the message lists those there are.</exception>
    public object? this[object key] => TryGet(key, out object? value)
        ? value
        : throw new KeyNotFoundException($"no key '{key}'; there are {Listing.Of(_items.Keys.Select(k => k.ToString()!))}");

    /// <summary>Appends an entry.</summary>
    /// <exception cref="ArgumentException">The key is neither string nor integer, or was added before.</exception>
    public void Add(object key, object? value)
    {
        ArgumentNullException.ThrowIfNull(key);
        key = Widen(key);
        if (key is not (string or long))
        {
            throw new ArgumentException($"a dictionary key is a string or an integer here, not {key.GetType().Name}", nameof(key));
        }

        if (!_items.TryAdd(key, value))
        {
            throw new ArgumentException($"the key '{key}' appears twice", nameof(key));
        }
    }

    /// <summary>Looks a key up; integer keys are <see cref="long"/> (or <see cref="int"/>).</summary>
    public bool TryGet(object key, out object? value) => _items.TryGetValue(Widen(key), out value);

    private static object Widen(object key) => key is int i ? (long)i : key;
}
