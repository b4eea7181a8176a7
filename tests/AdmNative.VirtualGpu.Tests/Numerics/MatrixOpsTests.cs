using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Tests.Numerics;

public sealed unsafe class MatrixOpsTests
{
    /// <summary>Row pointers of `count` matrices laid one after another in memory.</summary>
    private static nint[] RowPointers(ushort* memory, int count) => [.. Enumerable.Range(0, 8 * count).Select(i => (nint)(memory + (8 * i)))];

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(4, false)]
    [InlineData(1, true)]
    [InlineData(2, true)]
    [InlineData(4, true)]
    public void Lanes_receive_their_pair_and_stores_put_it_back(int count, bool transposed)
    {
        using var rows = new Rows(4);
        ushort* memory = stackalloc ushort[256], copy = stackalloc ushort[256];
        for (int i = 0; i < 256; i++)
        {
            (memory[i], copy[i]) = ((ushort)(1000 + i), 0);
        }

        fixed (nint* d = rows.Table(0, 4), from = RowPointers(memory, count), to = RowPointers(copy, count))
        {
            MatrixOps.Load((uint**)d, (byte**)from, count, transposed, LaneOps.Full);
            MatrixOps.Store((byte**)to, (uint**)d, count, transposed, LaneOps.Full);
        }

        for (int j = 0; j < count; j++)
        {
            for (int l = 0; l < 32; l++)
            {
                int g = l / 4, t = l % 4;
                int first = transposed ? (2 * t * 8) + g : (g * 8) + (2 * t), second = transposed ? (((2 * t) + 1) * 8) + g : (g * 8) + (2 * t) + 1;
                Assert.Equal((uint)(1000 + (64 * j) + first) | ((uint)(1000 + (64 * j) + second) << 16), rows.Lanes(j)[l]);
            }
        }

        Assert.True(new Span<ushort>(memory, 64 * count).SequenceEqual(new Span<ushort>(copy, 64 * count)));
        if (count < 4)
        {
            Assert.Equal(0xDEAD_BEEFu, rows.Lanes(count)[0]);
            Assert.Equal(0, copy[64 * count]);
        }
    }

    [Fact]
    public void Moving_a_matrix_transposes_it_in_place_too()
    {
        using var rows = new Rows(3);
        ushort* memory = stackalloc ushort[64];
        for (int i = 0; i < 64; i++)
        {
            memory[i] = (ushort)(i * 3);
        }

        fixed (nint* d = rows.Table(0, 1), e = rows.Table(1, 1), from = RowPointers(memory, 1))
        {
            MatrixOps.Load((uint**)d, (byte**)from, 1, false, LaneOps.Full);
            MatrixOps.Load((uint**)e, (byte**)from, 1, true, LaneOps.Full);
        }

        MatrixOps.Transpose(rows[2], rows[0], 0x0000_FFFF);
        Assert.True(rows.Lanes(2)[..16].SequenceEqual(rows.Lanes(1)[..16]));
        Assert.Equal(0xDEAD_BEEFu, rows.Lanes(2)[16]);
        MatrixOps.Transpose(rows[0], rows[0], LaneOps.Full);
        Assert.True(rows.Lanes(0).SequenceEqual(rows.Lanes(1)));
    }

    [Fact]
    public void Loaded_fragments_multiply_as_matrices()
    {
        // A 16x16 row-major by x4; B as [n][k] rows by x2, and as [k][n] rows by x2.trans: the ways kernels do it.
        using var rows = new Rows(16);
        Half* a = stackalloc Half[256], bt = stackalloc Half[128], b = stackalloc Half[128];
        for (int i = 0; i < 256; i++)
        {
            a[i] = (Half)((i * 7 % 61) - 30);
        }

        for (int k = 0; k < 16; k++)
        {
            for (int n = 0; n < 8; n++)
            {
                b[(8 * k) + n] = bt[(16 * n) + k] = (Half)(((k * 8) + n) * 5 % 47 - 20);
            }
        }

        // Lane address of A: row l % 16, chunk l / 16; matrix j takes lanes 8j .. 8j+7.
        nint[] aRows = [.. Enumerable.Range(0, 32).Select(l => (nint)(a + (16 * (l % 16)) + (8 * (l / 16))))];
        nint[] btRows = [.. Enumerable.Range(0, 16).Select(l => (nint)(bt + (16 * (l % 8)) + (8 * (l / 8))))];
        nint[] bRows = [.. Enumerable.Range(0, 16).Select(l => (nint)(b + (8 * l)))];
        foreach (bool transposed in (bool[])[false, true])
        {
            for (int i = 0; i < 4; i++)
            {
                rows.Lanes(6 + i).Clear();
            }

            fixed (nint* fa = rows.Table(0, 4), fb = rows.Table(4, 2), c = rows.Table(6, 4), pa = aRows, pb = transposed ? bRows : btRows)
            {
                MatrixOps.Load((uint**)fa, (byte**)pa, 4, false, LaneOps.Full);
                MatrixOps.Load((uint**)fb, (byte**)pb, 2, transposed, LaneOps.Full);
                MmaUnit.Mma(MmaShape.M16N8K16F16F32, MmaRounding.Ieee, (uint**)c, (uint**)fa, (uint**)fb, (uint**)c);
            }

            for (int l = 0; l < 32; l++)
            {
                for (int r = 0; r < 4; r++)
                {
                    int row = (l / 4) + (8 * (r >> 1)), column = (2 * (l % 4)) + (r & 1);
                    float sum = 0;
                    for (int k = 0; k < 16; k++)
                    {
                        sum += (float)a[(16 * row) + k] * (float)b[(8 * k) + column];
                    }

                    Assert.Equal(sum, BitConverter.UInt32BitsToSingle(rows.Lanes(6 + r)[l]));
                }
            }
        }
    }
}
