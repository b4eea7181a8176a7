using System.Buffers.Binary;
using System.Text;
using AdmNative.Core;
using Newtonsoft.Json;

namespace AdmNative.Formats;

/// <summary>
/// Writes safetensors files. Tensors are laid out by falling element size, then name, as the format's own library does:
/// every one is aligned to its elements, and the bytes do not depend on the order of the entries. Data is streamed.
/// </summary>
public static class SafetensorsWriter
{
    private static readonly (DType DType, string Name)[] s_names =
    [
        (DType.F64, "F64"), (DType.F32, "F32"), (DType.F16, "F16"), (DType.BF16, "BF16"), (DType.I64, "I64"), (DType.I32, "I32"),
        (DType.I16, "I16"), (DType.I8, "I8"), (DType.U8, "U8"), (DType.Bool, "BOOL"),
    ];

    /// <summary>Writes tensors and free text; the file appears whole or not at all.</summary>
    /// <exception cref="ArgumentException">A name appears twice.</exception>
    public static void Write(string path, IEnumerable<TensorEntry> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        List<TensorEntry> ordered =
            [.. tensors.OrderByDescending(t => t.Type.DType.SizeBytes()).ThenBy(t => t.Name, StringComparer.Ordinal)];
        byte[] head = Head(ordered, metadata);
        using var file = AtomicFile.Create(path);
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, head.Length);
        file.Stream.Write(length);
        file.Stream.Write(head);
        foreach (TensorEntry tensor in ordered)
        {
            tensor.WriteTo(file.Stream.Write);
        }

        file.Commit();
    }

    internal static DType? Parse(string name)
    {
        foreach ((DType dtype, string known) in s_names)
        {
            if (known == name)
            {
                return dtype;
            }
        }

        return null;
    }

    private static byte[] Head(List<TensorEntry> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        var text = new StringWriter();
        using var json = new JsonTextWriter(text);
        json.WriteStartObject();
        if (metadata is { Count: > 0 })
        {
            json.WritePropertyName("__metadata__");
            json.WriteStartObject();
            foreach ((string key, string value) in metadata.OrderBy(m => m.Key, StringComparer.Ordinal))
            {
                json.WritePropertyName(key);
                json.WriteValue(value);
            }

            json.WriteEndObject();
        }

        var names = new HashSet<string>(StringComparer.Ordinal) { "__metadata__" };
        long at = 0;
        foreach (TensorEntry tensor in tensors)
        {
            if (!names.Add(tensor.Name))
            {
                throw new ArgumentException($"the tensor name '{tensor.Name}' appears twice or is reserved", nameof(tensors));
            }

            json.WritePropertyName(tensor.Name);
            json.WriteStartObject();
            json.WritePropertyName("dtype");
            json.WriteValue(s_names.First(n => n.DType == tensor.Type.DType).Name);
            json.WritePropertyName("shape");
            WriteNumbers(json, tensor.Type.Shape.ToArray());
            json.WritePropertyName("data_offsets");
            WriteNumbers(json, [at, at + tensor.Bytes]);
            json.WriteEndObject();
            at = checked(at + tensor.Bytes);
        }

        json.WriteEndObject();
        json.Flush();
        int bytes = Encoding.UTF8.GetByteCount(text.ToString());
        text.Write(new string(' ', -(bytes + 8) & 63));     // the data begins at a multiple of 64
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    private static void WriteNumbers(JsonTextWriter json, long[] numbers)
    {
        json.WriteStartArray();
        foreach (long n in numbers)
        {
            json.WriteValue(n);
        }

        json.WriteEndArray();
    }
}
