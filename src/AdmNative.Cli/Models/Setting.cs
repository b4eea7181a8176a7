using System.Globalization;

namespace AdmNative.Cli;

/// <summary>
/// One model flag: how it is called on the command line and in config.json, and how it reads and changes a flags record.
/// </summary>
/// <param name="Name">Flag name without dashes.</param>
/// <param name="Placeholder">Placeholder in help.</param>
/// <param name="Description">One sentence.</param>
/// <param name="Expected">What a value is, for messages: "'x' is not ...".</param>
/// <param name="Get">The value as flag text.</param>
/// <param name="Set">A record with the value of a text; null if the text is not one.</param>
/// <param name="ConfigName">Name in config.json where it differs.</param>
internal sealed record Setting<T>(
    string Name, string Placeholder, string Description, string Expected, Func<T, string> Get, Func<T, string, T?> Set, string? ConfigName = null)
    where T : class
{
    /// <summary>The same flag of a record that holds a T.</summary>
    public Setting<TOuter> In<TOuter>(Func<TOuter, T> inner, Func<TOuter, T, TOuter> replace) where TOuter : class => new(
        Name, Placeholder, Description, Expected, f => Get(inner(f)), (f, text) => Set(inner(f), text) is { } v ? replace(f, v) : null, ConfigName);

    /// <summary>The record with this flag set.</summary>
    /// <exception cref="UsageException">The text is not a value of this flag.</exception>
    public T Apply(T flags, string text) => Set(flags, text) ?? throw new UsageException($"--{Name}: '{text}' is not {Expected}");
}

/// <summary>The kinds of values.</summary>
internal static class Setting
{
    public static Setting<T> Bool<T>(string name, string description, Func<T, bool> get, Func<T, bool, T> set, string? config = null) where T : class => new(
        name, Flag.YesNo, description, Flag.BooleanExpected,
        f => get(f) ? "True" : "False",
        (f, text) => Flag.Boolean(text) is bool b ? set(f, b) : null,
        config);

    public static Setting<T> Int<T>(string name, string description, Func<T, int> get, Func<T, int, T> set, string? config = null) where T : class => new(
        name, "n", description, "a whole number",
        f => get(f).ToString(CultureInfo.InvariantCulture),
        (f, text) => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int v) ? set(f, v) : null,
        config);

    public static Setting<T> Real<T>(string name, string description, Func<T, double> get, Func<T, double, T> set, string? config = null) where T : class => new(
        name, "x", description, "a finite number",
        f => get(f).ToString("0.0##############", CultureInfo.InvariantCulture),
        (f, text) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double v) && double.IsFinite(v) ? set(f, v) : null,
        config);

    public static Setting<T> Text<T>(
        string name, string placeholder, string description, Func<T, string> get, Func<T, string, T> set, string? config = null) where T : class =>
        new(name, placeholder, description, "text", get, set, config);

    /// <summary>One of a few words.</summary>
    public static Setting<T> Choice<T, TValue>(
        string name, string description, IReadOnlyList<(string Word, TValue Value)> choices, Func<T, TValue> get, Func<T, TValue, T> set)
        where T : class
        where TValue : struct => new(
            name, string.Join("|", choices.Select(c => c.Word)), description, $"one of {string.Join(", ", choices.Select(c => c.Word))}",
            f => choices.First(c => EqualityComparer<TValue>.Default.Equals(c.Value, get(f))).Word,
            (f, text) =>
            {
                foreach ((string word, TValue value) in choices)
                {
                    if (word == text)
                    {
                        return set(f, value);
                    }
                }

                return null;
            });
}
