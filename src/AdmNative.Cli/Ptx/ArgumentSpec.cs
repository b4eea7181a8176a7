using System.Globalization;
using AdmNative.Core;
using AdmNative.Formats;
using AdmNative.VirtualGpu;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>An array that arguments point to.</summary>
/// <param name="Name">Its name in the .npz files.</param>
/// <param name="Fresh">Type and shape of one that is made for the launch; null for one of the input file.</param>
/// <param name="Fill">One element to fill a fresh array with; null leaves it unwritten.</param>
/// <param name="Place">Where the spec first names it, for messages.</param>
internal sealed record ArgumentArray(string Name, TensorType? Fresh, byte[]? Fill, string Place);

/// <summary>
/// The arguments of a launch as JSON: a list with one object per parameter. {"buffer":"x"} is the address of an array of the input file,
/// {"alloc":"y","dtype":"f32","shape":[4]} that of a new one, {"u32":5} a scalar, {"f32":[1,2]} a C array of them, {"bytes":"00ff"} raw bytes,
/// {"struct":[...]} a by-value struct whose members are any of these at C alignment.
/// </summary>
internal sealed class ArgumentSpec
{
    private const int MaxDepth = 32;
    private const int MaxBytes = 1 << 16; // no device takes a larger parameter block

    private static readonly string[] s_kinds = ["buffer", "alloc", .. ScalarText.Names, "bytes", "struct"];

    private readonly string _source;
    private readonly List<KernelArgument> _arguments = [];
    private readonly List<string> _places = [];
    private readonly List<ArgumentArray> _arrays = [];

    private ArgumentSpec(string source)
    {
        _source = source;
    }

    /// <summary>Arguments in order.</summary>
    public IReadOnlyList<KernelArgument> Arguments => _arguments;

    /// <summary>Arrays in the order they are first named.</summary>
    public IReadOnlyList<ArgumentArray> Arrays => _arrays;

    /// <summary>No arguments at all.</summary>
    public static ArgumentSpec Empty() => new("--args");

    /// <summary>Reads a file, or the text itself where it begins with a bracket.</summary>
    /// <exception cref="UsageException">Not JSON, or not a list of arguments; says which and where.</exception>
    public static ArgumentSpec Read(string pathOrText)
    {
        bool inline = pathOrText.TrimStart().StartsWith('[');
        var spec = new ArgumentSpec(inline ? "--args" : pathOrText);
        spec.Parse(inline ? pathOrText : Text(pathOrText));
        return spec;
    }

    private static string Text(string path)
    {
        try
        {
            return SmallText.Read(path);
        }
        catch (CheckpointException e) when (File.Exists(path))
        {
            throw new UsageException(e.Message);
        }
    }

    /// <summary>The parameter block of a launch.</summary>
    /// <exception cref="UsageException">The arguments are not those the entry takes.</exception>
    public byte[] Encode(EntrySummary entry, IReadOnlyDictionary<string, ulong> addresses)
    {
        Check(entry);
        var block = new byte[entry.ParameterBytes];
        for (int i = 0; i < _arguments.Count; i++)
        {
            _arguments[i].Write(block.AsSpan(entry.Parameters[i].Offset, _arguments[i].Bytes), addresses);
        }

        return block;
    }

    /// <summary>Compares count, sizes and kinds with what the entry takes.</summary>
    /// <exception cref="UsageException">They differ; names the parameter.</exception>
    public void Check(EntrySummary entry)
    {
        if (_arguments.Count != entry.Parameters.Count)
        {
            string wanted = string.Join(", ", entry.Parameters.Select(p => $"{p.Name} ({p.Type})"));
            throw new UsageException($"{_source}: '{entry.Name}' takes {PtxList.Count(entry.Parameters.Count, "parameter", "parameters")}"
                + $"{(wanted.Length > 0 ? $", {wanted}" : "")}; {_arguments.Count} given");
        }

        for (int i = 0; i < _arguments.Count; i++)
        {
            ParameterSummary p = entry.Parameters[i];
            KernelArgument a = _arguments[i];
            string problem = a.Bytes != p.Bytes ? $"{PtxList.Count(a.Bytes, "byte", "bytes")}{Layout(a)}"
                : a.Kind is ArgumentKind.Integer or ArgumentKind.Pointer && p.Type is "f16" or "f32" or "f64" ? "not a floating-point number"
                : a.Kind == ArgumentKind.Float && p.Type[0] is 'u' or 's' && !p.Type.Contains('[', StringComparison.Ordinal) ? "a floating-point number" : "";
            if (problem.Length > 0)
            {
                throw new UsageException($"{_places[i]}: '{p.Name}' of '{entry.Name}' takes {PtxList.Count(p.Bytes, "byte", "bytes")} ({p.Type}); {a.Text} is {problem}");
            }
        }
    }

    private static string Layout(KernelArgument a) => a is StructArgument s ? $" (members at {string.Join(", ", s.Offsets)})" : "";

    private void Parse(string text)
    {
        JToken root;
        try
        {
            using var reader = new JsonTextReader(new StringReader(text)) { MaxDepth = (2 * MaxDepth) + 4, DateParseHandling = DateParseHandling.None };
            root = JToken.Load(reader, new JsonLoadSettings { DuplicatePropertyNameHandling = DuplicatePropertyNameHandling.Error });
            while (reader.Read())
            {
                // comments; the reader itself refuses anything else behind the list
            }
        }
        catch (JsonException e)
        {
            throw new UsageException($"{_source}: not valid JSON: {e.Message}");
        }

        if (root is not JArray list)
        {
            throw new UsageException($"{_source}: must be a list with one object per parameter, such as [{{\"buffer\":\"x\"}}, {{\"u32\":5}}]");
        }

        for (int i = 0; i < list.Count; i++)
        {
            string place = $"{_source}{LineOf(list[i])}: parameter {i}";
            _places.Add(place);
            _arguments.Add(Argument(list[i], place, 0));
        }
    }

    private static string LineOf(JToken token) => token is IJsonLineInfo info && info.HasLineInfo() ? $":{info.LineNumber}" : "";

    private KernelArgument Argument(JToken token, string place, int depth)
    {
        if (token is not JObject argument)
        {
            throw new UsageException($"{place}: must be an object such as {{\"u32\":5}}");
        }

        JProperty[] kinds = [.. argument.Properties().Where(p => s_kinds.Contains(p.Name))];
        if (kinds.Length != 1)
        {
            string names = string.Join(", ", argument.Properties().Select(p => $"\"{p.Name}\""));
            throw new UsageException($"{place}: needs exactly one of {string.Join(", ", s_kinds)}; it has {(names.Length == 0 ? "nothing" : names)}");
        }

        (string kind, JToken value) = (kinds[0].Name, kinds[0].Value);
        KeysAre(argument, place, kind, kind switch
        {
            "buffer" => ["offset"],
            "alloc" => ["dtype", "shape", "fill", "offset"],
            "bytes" or "struct" => ["align"],
            _ => [],
        });
        return kind switch
        {
            "buffer" => Buffer(argument, value, place),
            "alloc" => Alloc(argument, value, place),
            "bytes" => Raw(argument, value, place),
            "struct" => Struct(argument, value, place, depth),
            _ => Scalar(kind, value, place),
        };
    }

    private static void KeysAre(JObject argument, string place, string kind, string[] others)
    {
        foreach (JProperty p in argument.Properties())
        {
            if (p.Name != kind && !others.Contains(p.Name))
            {
                string known = others.Length == 0 ? "it takes no other key" : $"it also takes {string.Join(", ", others)}";
                throw new UsageException($"{place}: \"{kind}\" with an unknown key \"{p.Name}\"; {known}");
            }
        }
    }

    private PointerArgument Buffer(JObject argument, JToken value, string place)
    {
        string name = Name(value, place, "buffer");
        if (!_arrays.Any(a => a.Name == name))
        {
            _arrays.Add(new ArgumentArray(name, null, null, place));
        }

        return new PointerArgument(name, Offset(argument, place), $"{{\"buffer\":\"{name}\"}}");
    }

    private PointerArgument Alloc(JObject argument, JToken value, string place)
    {
        string name = Name(value, place, "alloc");
        if (_arrays.FirstOrDefault(a => a.Name == name) is { } earlier)
        {
            throw new UsageException($"{place}: \"{name}\" is already used by {earlier.Place[(earlier.Place.LastIndexOf(": ", StringComparison.Ordinal) + 2)..]};"
                + $" {{\"buffer\":\"{name}\"}} behind its \"alloc\" passes it again");
        }

        string dtypeName = argument["dtype"] is JValue { Value: string d } ? d : throw new UsageException($"{place}: \"alloc\" needs a \"dtype\", one of {DTypeNames}");
        if (!s_dtypes.TryGetValue(dtypeName, out DType dtype))
        {
            throw new UsageException($"{place}: dtype \"{dtypeName}\" is not one of {DTypeNames}");
        }

        if (argument["shape"] is not JArray dims || !dims.All(x => x is JValue { Value: long n } && n is >= 0 and <= int.MaxValue))
        {
            throw new UsageException($"{place}: \"alloc\" needs a \"shape\", a list of whole numbers such as [2, 3]");
        }

        Shape shape;
        try
        {
            shape = Shape.Create([.. dims.Select(x => (long)x)]);
        }
        catch (ShapeException e)
        {
            throw new UsageException($"{place}: shape {e.Message}");
        }

        if (shape.Elements > Array.MaxLength / dtype.SizeBytes())
        {
            throw new UsageException($"{place}: {dtypeName} {shape} takes more than 2 GiB");
        }

        byte[]? fill = null;
        if (argument["fill"] is { } fillValue)
        {
            string type = s_scalarOf[dtype];
            fill = ScalarText.Encode(type, fillValue) ?? throw new UsageException($"{place}: \"fill\": {Short(fillValue)} is not a value of {dtypeName}");
        }

        _arrays.Add(new ArgumentArray(name, new TensorType(dtype, shape), fill, place));
        return new PointerArgument(name, Offset(argument, place), $"{{\"alloc\":\"{name}\"}}");
    }

    private static readonly Dictionary<string, DType> s_dtypes = new()
    {
        ["f32"] = DType.F32,
        ["f64"] = DType.F64,
        ["f16"] = DType.F16,
        ["bf16"] = DType.BF16,
        ["s64"] = DType.I64,
        ["s32"] = DType.I32,
        ["s16"] = DType.I16,
        ["s8"] = DType.I8,
        ["u8"] = DType.U8,
        ["bool"] = DType.Bool,
        ["i64"] = DType.I64,
        ["i32"] = DType.I32,
        ["i16"] = DType.I16,
        ["i8"] = DType.I8,
    };

    private static readonly Dictionary<DType, string> s_scalarOf = new()
    {
        [DType.F32] = "f32",
        [DType.F64] = "f64",
        [DType.F16] = "f16",
        [DType.BF16] = "bf16",
        [DType.I64] = "s64",
        [DType.I32] = "s32",
        [DType.I16] = "s16",
        [DType.I8] = "s8",
        [DType.U8] = "u8",
        [DType.Bool] = "u8",
    };

    private static string DTypeNames => string.Join(", ", s_dtypes.Keys.Take(10));

    private static long Offset(JObject argument, string place) => argument["offset"] switch
    {
        null => 0,
        JValue { Value: long n } => n,
        JToken other => throw new UsageException($"{place}: \"offset\": {Short(other)} is not a number of bytes"),
    };

    private static string Name(JToken value, string place, string kind)
    {
        // Names become members of a zip archive.
        return value is JValue { Value: string { Length: > 0 } name } && !name.Any(c => c is '/' or '\\' || char.IsControl(c)) && name.Length <= 200 ? name
            : throw new UsageException($"{place}: \"{kind}\" takes the name of an array, not {Short(value)}");
    }

    private static BytesArgument Scalar(string type, JToken value, string place)
    {
        JToken[] values = value is JArray list ? [.. list] : [value];
        if (values.Length == 0 || values.Length > MaxBytes)
        {
            throw new UsageException($"{place}: \"{type}\" takes a value, or a list of 1 to {MaxBytes}");
        }

        var bytes = new List<byte>();
        foreach (JToken v in values)
        {
            bytes.AddRange(ScalarText.Encode(type, v) ?? throw new UsageException($"{place}: {Short(v)} is not a value of {type}"));
        }

        ArgumentKind kind = value is JArray ? ArgumentKind.Raw : ScalarText.IsFloat(type) ? ArgumentKind.Float : ArgumentKind.Integer;
        return new BytesArgument(kind, [.. bytes], ScalarText.Bytes(type), value is JArray ? $"{{\"{type}\"}} of {values.Length}" : $"{{\"{type}\"}}");
    }

    private static BytesArgument Raw(JObject argument, JToken value, string place)
    {
        string? hex = value is JValue { Value: string text } ? string.Concat(text.Where(c => !char.IsWhiteSpace(c))) : null;
        return hex is { Length: > 0 and <= 2 * MaxBytes } && hex.Length % 2 == 0 && hex.All(char.IsAsciiHexDigit)
            ? new BytesArgument(ArgumentKind.Raw, Convert.FromHexString(hex), Align(argument, place), "{\"bytes\"}")
            : throw new UsageException($"{place}: \"bytes\" takes an even number of hexadecimal digits, not {Short(value)}");
    }

    private StructArgument Struct(JObject argument, JToken value, string place, int depth)
    {
        if (value is not JArray { Count: > 0 } list)
        {
            throw new UsageException($"{place}: \"struct\" takes a list of members");
        }

        if (depth == MaxDepth)
        {
            throw new UsageException($"{place}: structs nested more than {MaxDepth} deep");
        }

        var members = new KernelArgument[list.Count];
        var offsets = new int[list.Count];
        int at = 0, align = Align(argument, place);
        for (int i = 0; i < members.Length; i++)
        {
            KernelArgument m = members[i] = Argument(list[i], $"{place}, member {i}", depth + 1);
            offsets[i] = RoundUp(at, m.Align);
            at = offsets[i] + m.Bytes;
            align = Math.Max(align, m.Align);
            if (at > MaxBytes)
            {
                throw new UsageException($"{place}: a struct of more than {MaxBytes} bytes");
            }
        }

        return new StructArgument(members, offsets, RoundUp(at, align), align, $"{{\"struct\"}} of {PtxList.Count(members.Length, "member", "members")}");
    }

    private static int Align(JObject argument, string place) => argument["align"] switch
    {
        null => 1,
        JValue { Value: long n } when n is 1 or 2 or 4 or 8 or 16 or 32 or 64 or 128 or 256 => (int)n,
        JToken other => throw new UsageException($"{place}: \"align\": {Short(other)} is not a power of two up to 256"),
    };

    private static int RoundUp(int value, int align) => (value + align - 1) / align * align;

    private static string Short(JToken token)
    {
        string text = token is JValue { Value: IFormattable number } ? number.ToString(null, CultureInfo.InvariantCulture) : token.ToString(Formatting.None);
        return text.Length <= 40 ? text : text[..37] + "...";
    }
}
