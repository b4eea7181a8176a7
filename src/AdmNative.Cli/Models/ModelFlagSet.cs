using System.CommandLine;

namespace AdmNative.Cli;

/// <summary>Model flags given on the command line, as text by name; those not given are absent.</summary>
internal sealed class ModelFlagSet
{
    private readonly List<Flag<string?>> _flags = [];

    /// <summary>Adds an option per setting, with the default of <paramref name="defaults"/> in its help.</summary>
    public ModelFlagSet With<T>(string group, IReadOnlyList<Setting<T>> settings, T defaults) where T : class
    {
        foreach (Setting<T> setting in settings)
        {
            _flags.Add(new Flag<string?>(
                setting.Name, group, setting.Placeholder, Shown(setting.Get(defaults)), setting.Description,
                text => (setting.Set(defaults, text) is not null, text), setting.Expected));
        }

        return this;
    }

    /// <summary>Puts the options on a command.</summary>
    public void AddTo(Command command)
    {
        foreach (Flag<string?> flag in _flags)
        {
            command.Add(flag);
        }
    }

    /// <summary>What the command line says.</summary>
    public IReadOnlyDictionary<string, string> Read(ParseResult parsed)
    {
        var given = new Dictionary<string, string>();
        foreach (Flag<string?> flag in _flags)
        {
            if (parsed.GetValue(flag) is string text)
            {
                given[flag.Name[2..]] = text;
            }
        }

        return given;
    }

    private static string Shown(string value) => value.Length == 0 ? "\"\"" : value;
}
