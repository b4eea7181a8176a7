using AdmNative.Tests;

namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>NVIDIA's assembler accepts every kernel of the table, so no test rests on PTX that does not exist.</summary>
public sealed class AssemblerTests
{
    [PtxasFact]
    public void Every_matrix_shape_assembles() => Assert.Equal("", Toolchain.Assemble(MatrixProductTests.Module(), "sm_80"));

    [PtxasFact]
    public void Every_row_assembles()
    {
        var complaints = new List<string>();
        foreach (IGrouping<string, OpcodeCase> group in OpcodeTable.Rows.Values.GroupBy(r => r.Target))
        {
            foreach (OpcodeCase[] batch in group.Chunk(500))
            {
                string ptx = OpcodeHarness.Module(batch, group.Key);
                string complaint = Toolchain.Assemble(ptx, group.Key);
                if (complaint.Length > 0)
                {
                    complaints.Add($"{group.Key}: {complaint}");
                }
            }
        }

        Assert.True(complaints.Count == 0, string.Join('\n', complaints));
    }
}
