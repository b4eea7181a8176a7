using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Sizes of an attention: every head of every sample has Queries rows of Q and Keys rows of K and V, HeadDim wide.</summary>
/// <param name="N">Samples.</param>
/// <param name="Queries">Rows of Q and O; 1 for the classifier's pool, which wants token 0 alone.</param>
/// <param name="Keys">Rows of K and V.</param>
/// <param name="Heads">Heads per sample.</param>
/// <param name="HeadDim">Elements per row and head.</param>
public readonly record struct AttentionShape(int N, int Queries, int Keys, int Heads, int HeadDim)
{
    /// <summary>Self-attention over T tokens.</summary>
    public static AttentionShape Self(int n, int tokens, int heads, int headDim) => new(n, tokens, tokens, heads, headDim);
}

/// <summary>Where row t of head h of sample n begins: n Sample + h Head + t Row, in elements.</summary>
/// <param name="Row">Between neighbouring tokens.</param>
/// <param name="Head">Between neighbouring heads.</param>
/// <param name="Sample">Between neighbouring samples.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct AttentionStrides(long Row, long Head, long Sample)
{
    /// <summary>Rows of heads side by side: O, and the q, k or v columns of the new qkv order, in rows of <paramref name="row"/> elements.</summary>
    public static AttentionStrides HeadMajor(long row, int tokens, int headDim) => new(row, headDim, row * tokens);

    /// <summary>The q, k or v columns of the legacy qkv order, in which every head has its q, k and v together.</summary>
    public static AttentionStrides Legacy(long row, int tokens, int headDim) => new(row, 3L * headDim, row * tokens);
}

/// <summary>Device addresses and strides of a forward launch.</summary>
/// <param name="Q">Rows of Q.</param>
/// <param name="K">Rows of K.</param>
/// <param name="V">Rows of V, strides of K.</param>
/// <param name="O">Rows of O.</param>
/// <param name="Lse">[N, Heads, Queries] f32, natural log; 0 = not wanted.</param>
/// <param name="QStrides">Strides of Q.</param>
/// <param name="KvStrides">Strides of K and V.</param>
/// <param name="OStrides">Strides of O.</param>
public readonly record struct AttentionTensors(
    ulong Q, ulong K, ulong V, ulong O, ulong Lse, AttentionStrides QStrides, AttentionStrides KvStrides, AttentionStrides OStrides)
{
    /// <summary>Self-attention over one packed tensor qkv [N, tokens, 3C] (spec 1.6), O [N, tokens, C].</summary>
    public static AttentionTensors Packed(ulong qkv, ulong o, ulong lse, in AttentionShape shape, KernelDType dtype, bool newOrder)
    {
        (int d, long c) = (shape.HeadDim, (long)shape.HeadDim * shape.Heads);
        ulong part = (ulong)((newOrder ? c : d) * dtype.Bytes());
        AttentionStrides strides = newOrder ? AttentionStrides.HeadMajor(3 * c, shape.Keys, d) : AttentionStrides.Legacy(3 * c, shape.Keys, d);
        return new(qkv, qkv + part, qkv + (2 * part), o, lse, strides, strides, AttentionStrides.HeadMajor(c, shape.Queries, d));
    }
}

/// <summary>Device addresses and strides of a backward launch.</summary>
/// <param name="Forward">What the forward launch read and wrote; its LSE is needed.</param>
/// <param name="DO">Gradient of O.</param>
/// <param name="DQ">Gradient of Q, written.</param>
/// <param name="DK">Gradient of K, written.</param>
/// <param name="DV">Gradient of V, written, strides of DK.</param>
/// <param name="DOStrides">Strides of DO.</param>
/// <param name="DQStrides">Strides of DQ.</param>
/// <param name="DKvStrides">Strides of DK and DV.</param>
public readonly record struct AttentionGradients(
    AttentionTensors Forward, ulong DO, ulong DQ, ulong DK, ulong DV, AttentionStrides DOStrides, AttentionStrides DQStrides, AttentionStrides DKvStrides)
{
    /// <summary>Gradients laid out as the packed tensors they belong to: dqkv [N, tokens, 3C], dO [N, tokens, C].</summary>
    public static AttentionGradients Packed(in AttentionTensors forward, ulong dO, ulong dqkv) =>
        new(forward, dO, dqkv, dqkv + (forward.K - forward.Q), dqkv + (forward.V - forward.Q), forward.OStrides, forward.QStrides, forward.KvStrides);
}
