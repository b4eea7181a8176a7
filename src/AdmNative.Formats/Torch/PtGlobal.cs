using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>What the names of Python functions and classes in a pickle may stand for. Nothing outside this list is known.</summary>
internal enum PtCall
{
    RebuildTensor,
    RebuildParameter,
    OrderedDict,
    Size,
    Storage,
}

/// <summary>An allowed name. It is data to the reader; nothing is ever looked up or run.</summary>
internal sealed record PtGlobal(string Module, string Name, PtCall Call, DType DType = DType.F32)
{
    private static readonly Dictionary<(string, string), PtGlobal> s_allowed = new PtGlobal[]
    {
        new("torch._utils", "_rebuild_tensor_v2", PtCall.RebuildTensor),
        new("torch._utils", "_rebuild_tensor", PtCall.RebuildTensor),
        new("torch._utils", "_rebuild_parameter", PtCall.RebuildParameter),
        new("collections", "OrderedDict", PtCall.OrderedDict),
        new("torch", "Size", PtCall.Size),
        new("torch", "DoubleStorage", PtCall.Storage, DType.F64),
        new("torch", "FloatStorage", PtCall.Storage, DType.F32),
        new("torch", "HalfStorage", PtCall.Storage, DType.F16),
        new("torch", "BFloat16Storage", PtCall.Storage, DType.BF16),
        new("torch", "LongStorage", PtCall.Storage, DType.I64),
        new("torch", "IntStorage", PtCall.Storage, DType.I32),
        new("torch", "ShortStorage", PtCall.Storage, DType.I16),
        new("torch", "CharStorage", PtCall.Storage, DType.I8),
        new("torch", "ByteStorage", PtCall.Storage, DType.U8),
        new("torch", "BoolStorage", PtCall.Storage, DType.Bool),
    }.ToDictionary(g => (g.Module, g.Name));

    public static PtGlobal? Find(string module, string name) => s_allowed.GetValueOrDefault((module, name));

    /// <summary>The storage class of an element type.</summary>
    public static PtGlobal StorageOf(DType dtype) => s_allowed.Values.First(g => g.Call == PtCall.Storage && g.DType == dtype);
}
