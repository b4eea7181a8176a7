using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

namespace AdmNative.Diffusion;

/// <summary>Reads the members of a JSON object by name and type; what was not asked for is an error.</summary>
internal sealed class ConfigReader
{
    private readonly JObject _object;
    private readonly string _where;
    private readonly HashSet<string> _known = [];

    private ConfigReader(JObject value, string where)
    {
        _object = value;
        _where = where;
    }

    /// <summary>Parses a JSON text whose top level is an object.</summary>
    /// <exception cref="ConfigException">It is not.</exception>
    public static ConfigReader Parse(string json, string where)
    {
        try
        {
            using var reader = new JsonTextReader(new StringReader(json));
            var settings = new JsonLoadSettings { DuplicatePropertyNameHandling = DuplicatePropertyNameHandling.Error };
            JToken token = JToken.ReadFrom(reader, settings);
            if (reader.Read())
            {
                throw new ConfigException($"{where}: there is more after the end of the JSON value");
            }

            return token is JObject o
                ? new ConfigReader(o, where)
                : throw new ConfigException($"{where}: a JSON object is needed");
        }
        catch (JsonException e)
        {
            throw new ConfigException($"{where}: not valid JSON: {e.Message}");
        }
    }

    public bool Has(string name) => _object[name] is JToken token && token.Type != JTokenType.Null;

    public long Long(string name, long? otherwise = null) =>
        Find(name) is JToken token ? Number(name, token) : otherwise ?? throw Missing(name);

    public int Int(string name, int? otherwise = null) =>
        Long(name, otherwise) is >= int.MinValue and <= int.MaxValue and var value
            ? (int)value
            : throw Wrong(name, _object[name]!, "a whole number of at most 31 bits");

    public double Double(string name, double? otherwise = null) => Find(name) switch
    {
        null => otherwise ?? throw Missing(name),
        JToken { Type: JTokenType.Integer or JTokenType.Float } token => (double)token,
        JToken token => throw Wrong(name, token, "a number"),
    };

    public bool Bool(string name, bool? otherwise = null) => Find(name) switch
    {
        null => otherwise ?? throw Missing(name),
        JToken { Type: JTokenType.Boolean } token => (bool)token,
        JToken token => throw Wrong(name, token, "true or false"),
    };

    public string Text(string name, string? otherwise = null) => Find(name) switch
    {
        null => otherwise ?? throw Missing(name),
        JToken { Type: JTokenType.String } token => (string)token!,
        JToken token => throw Wrong(name, token, "a string"),
    };

    /// <summary>One of a few words.</summary>
    public T Word<T>(string name, string? otherwise, params ReadOnlySpan<(string Word, T Value)> words)
    {
        string text = Text(name, otherwise);
        var all = new List<string>();
        foreach ((string word, T value) in words)
        {
            if (word == text)
            {
                return value;
            }

            all.Add(word);
        }

        throw new ConfigException($"{_where}: {name} is \"{text}\"; it can be {string.Join(", ", all)}");
    }

    public int[] Ints(string name) => [.. Items(name).Select(t => Number(name, t) is >= int.MinValue and <= int.MaxValue and var value
        ? (int)value
        : throw Wrong(name, t, "a list of whole numbers of at most 31 bits"))];

    public double[] Doubles(string name, double[] otherwise)
    {
        _known.Add(name);
        return !Has(name) ? otherwise : [.. Items(name).Select(t => t.Type is JTokenType.Integer or JTokenType.Float
            ? (double)t
            : throw Wrong(name, t, "a list of numbers"))];
    }

    /// <summary>A member that is itself an object; null when it is absent or null.</summary>
    public ConfigReader? Child(string name) => Find(name) switch
    {
        null => null,
        JObject o => new ConfigReader(o, $"{_where}: {name}"),
        JToken token => throw Wrong(name, token, "an object"),
    };

    /// <summary>Names of all members, taken as known.</summary>
    public IReadOnlyList<string> Names()
    {
        string[] names = [.. _object.Properties().Select(p => p.Name)];
        _known.UnionWith(names);
        return names;
    }

    /// <summary>Throws if members are left that nobody asked for.</summary>
    public void Finish()
    {
        string[] unknown = [.. _object.Properties().Select(p => p.Name).Where(n => !_known.Contains(n))];
        if (unknown.Length > 0)
        {
            throw new ConfigException(
                $"{_where}: unknown {string.Join(", ", unknown)}; known here are {string.Join(", ", _known.Order())}");
        }
    }

    public ConfigException Error(string message) => new($"{_where}: {message}");

    private JToken? Find(string name)
    {
        _known.Add(name);
        return Has(name) ? _object[name] : null;
    }

    private JArray Items(string name) => Find(name) switch
    {
        null => throw Missing(name),
        JArray array => array,
        JToken token => throw Wrong(name, token, "a list of numbers"),
    };

    private long Number(string name, JToken token) => token is JValue { Type: JTokenType.Integer, Value: long value }
        ? value
        : throw Wrong(name, token, "a whole number");

    private ConfigException Missing(string name) => new($"{_where}: {name} is missing");

    private ConfigException Wrong(string name, JToken token, string wanted) =>
        new($"{_where}: {name} must be {wanted}, it is {token.ToString(Formatting.None)}");
}
