namespace AdmNative.Formats;

/// <summary>Names in messages: the first few, and how many more.</summary>
internal static class Listing
{
    public static string Of(IEnumerable<string> names, int most = 8)
    {
        var all = names.ToList();
        string head = string.Join(", ", all.Take(most).Select(n => n.Length > 80 ? n[..80] + "..." : n));
        return all.Count <= most ? head : $"{head} and {all.Count - most} more";
    }
}
