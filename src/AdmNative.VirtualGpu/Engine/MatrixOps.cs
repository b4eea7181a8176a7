using System.Numerics;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>
/// ldmatrix, stmatrix and movmatrix on 8x8 matrices of 16-bit elements. Lane l = 4g + t holds elements (g, 2t) and (g, 2t+1) of a matrix,
/// transposed (2t, g) and (2t+1, g); a matrix row is 16 contiguous bytes.
/// </summary>
internal static unsafe class MatrixOps
{
    /// <summary>Row 8j + i of <paramref name="rows"/> points to row i of matrix j; its fragment goes to <paramref name="d"/>[j] (null: nowhere).</summary>
    public static void Load(uint** d, byte** rows, int count, bool transposed, uint mask)
    {
        uint* fragment = stackalloc uint[32];
        for (int j = 0; j < count; j++)
        {
            if (d[j] is null)
            {
                continue;
            }

            byte** matrix = rows + (8 * j);
            for (int g = 0; g < 8; g++)
            {
                for (int t = 0; t < 4; t++)
                {
                    fragment[(4 * g) + t] = transposed
                        ? ((ushort*)matrix[2 * t])[g] | ((uint)((ushort*)matrix[(2 * t) + 1])[g] << 16)
                        : ((uint*)matrix[g])[t];
                }
            }

            LaneOps.Copy(d[j], fragment, mask);
        }
    }

    /// <summary>The reverse: lanes of the mask store their pair of matrix j to its rows, in lane order.</summary>
    public static void Store(byte** rows, uint** s, int count, bool transposed, uint mask)
    {
        for (int j = 0; j < count; j++)
        {
            byte** matrix = rows + (8 * j);
            for (uint m = mask; m != 0; m &= m - 1)
            {
                int l = BitOperations.TrailingZeroCount(m), g = l / 4, t = l % 4;
                uint pair = s[j][l];
                if (transposed)
                {
                    ((ushort*)matrix[2 * t])[g] = (ushort)pair;
                    ((ushort*)matrix[(2 * t) + 1])[g] = (ushort)(pair >> 16);
                }
                else
                {
                    ((uint*)matrix[g])[t] = pair;
                }
            }
        }
    }

    /// <summary>movmatrix.trans: the fragment of the transposed matrix. The rows may be the same.</summary>
    public static void Transpose(uint* d, uint* a, uint mask)
    {
        uint* source = stackalloc uint[32], fragment = stackalloc uint[32];
        LaneOps.Copy(source, a, LaneOps.Full);
        ushort* elements = (ushort*)source;
        for (int g = 0; g < 8; g++)
        {
            for (int t = 0; t < 4; t++)
            {
                fragment[(4 * g) + t] = elements[(16 * t) + g] | ((uint)elements[(16 * t) + 8 + g] << 16);
            }
        }

        LaneOps.Copy(d, fragment, mask);
    }
}
