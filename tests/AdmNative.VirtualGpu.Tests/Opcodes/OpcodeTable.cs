namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>All rows, by family.</summary>
internal static class OpcodeTable
{
    private static readonly Lazy<Dictionary<string, OpcodeCase>> s_rows = new(() =>
    {
        var rows = new Dictionary<string, OpcodeCase>();
        foreach (OpcodeCase row in Everything())
        {
            string key = row.Statement;
            for (int n = 2; !rows.TryAdd(key, row); n++)
            {
                key = $"{row.Statement} #{n}";
            }
        }

        return rows;
    });

    public static IReadOnlyDictionary<string, OpcodeCase> Rows => s_rows.Value;

    private static IEnumerable<OpcodeCase> Everything() => [.. IntegerCases.All(), .. FloatCases.All(), .. HalfCases.All(), .. ConvertCases.All(), .. MemoryCases.All(), .. WarpCases.All(), .. ControlCases.All()];
}
