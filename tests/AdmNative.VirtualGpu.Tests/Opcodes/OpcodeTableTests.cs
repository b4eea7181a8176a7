namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>Every row of the table under full, partial and single-lane masks.</summary>
public sealed class OpcodeTableTests
{
    public static TheoryData<string> Rows() => [.. OpcodeTable.Rows.Keys];

    [Theory]
    [MemberData(nameof(Rows))]
    public void Row(string statement) => OpcodeHarness.Check(OpcodeTable.Rows[statement]);
}
