using System.Globalization;
using AdmNative.Core;
using AdmNative.Formats;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>
/// The config.json that may stand beside a checkpoint: per model ("diffusion", "super_res", "classifier") the flags it was
/// trained with, so that nobody has to repeat them, and optionally the "file" they belong to.
/// </summary>
internal static class ConfigFile
{
    public const string Name = "config.json";

    /// <summary>Flags of a checkpoint as text, by name; null when no config.json speaks of it.</summary>
    /// <param name="checkpoint">Path of the checkpoint.</param>
    /// <param name="section">What kind of model it is.</param>
    /// <exception cref="CheckpointException">The file is damaged.</exception>
    public static IReadOnlyDictionary<string, string>? FlagsOf(string checkpoint, string section)
    {
        string path = PathBeside(checkpoint);
        if (!File.Exists(path))
        {
            return null;
        }

        JObject root;
        try
        {
            using var reader = new JsonTextReader(new StringReader(SmallText.Read(path))) { MaxDepth = 8, DateParseHandling = DateParseHandling.None };
            root = JObject.Load(reader);
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"is not valid JSON: {e.Message}", path, e);
        }

        if (root[section] is not { } found)
        {
            return null;
        }

        if (found is not JObject model)
        {
            throw new CheckpointException($"\"{section}\" must be an object of flags", path);
        }

        var flags = new Dictionary<string, string>();
        foreach (JProperty property in model.Properties())
        {
            flags[property.Name] = property.Value is JValue { Value: not null } value
                ? Convert.ToString(value.Value, CultureInfo.InvariantCulture)!
                : throw new CheckpointException($"\"{section}.{property.Name}\" must be a text, a number or true/false", path);
        }

        return flags.Remove("file", out string? file) && Stem(file) != Stem(checkpoint) ? null : flags;
    }

    /// <summary>Where the file of a checkpoint would be.</summary>
    public static string PathBeside(string checkpoint) => Path.Combine(Path.GetDirectoryName(Path.GetFullPath(checkpoint)) ?? "", Name);

    /// <summary>A flags record with the values of a config.json.</summary>
    /// <exception cref="CheckpointException">An unknown flag or a value that is none.</exception>
    public static T Apply<T>(T flags, IReadOnlyList<Setting<T>> settings, IReadOnlyDictionary<string, string> values, string checkpoint) where T : class
    {
        foreach ((string name, string text) in values)
        {
            Setting<T> setting = settings.FirstOrDefault(s => s.Name == name || s.ConfigName == name)
                ?? throw new CheckpointException($"\"{name}\" is not a flag of this kind of model", PathBeside(checkpoint));
            flags = setting.Set(flags, text)
                ?? throw new CheckpointException($"\"{name}\": '{text}' is not {setting.Expected}", PathBeside(checkpoint));
        }

        return flags;
    }

    private static string Stem(string path) => Path.GetFileNameWithoutExtension(path);
}
