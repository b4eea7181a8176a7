using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace AdmNative.Cli;

/// <summary>What help and the option list need to know about an option, whatever its type.</summary>
internal interface IFlag
{
    /// <summary>Heading in the help text.</summary>
    string Group { get; }

    /// <summary>Default as help shows it; null shows none.</summary>
    string? Shown { get; }

    /// <summary>Placeholder of the value.</summary>
    string Placeholder { get; }

    /// <summary>True when the value is a yes or no, and may be left out for yes.</summary>
    bool IsBoolean => Placeholder == Flag.YesNo;
}

/// <summary>An option with a heading, a default and a parser whose message names the flag.</summary>
internal sealed class Flag<T> : Option<T>, IFlag
{
    public Flag(string name, string group, string placeholder, string? shown, string description, Func<string, (bool Ok, T Value)> parse, string expected, params string[] aliases)
        : base("--" + name, [.. aliases.Select(a => "--" + a)])
    {
        Group = group;
        Placeholder = placeholder;
        Shown = shown;
        Description = description;
        Arity = ArgumentArity.ExactlyOne;
        CustomParser = result =>
        {
            string text = result.Tokens[^1].Value;
            (bool ok, T value) = parse(text);
            if (!ok)
            {
                result.AddError($"--{name}: '{text}' is not {expected}");
            }

            return value;
        };
    }

    public string Group { get; }

    public string? Shown { get; }

    public string Placeholder { get; }
}

/// <summary>The kinds of options there are.</summary>
internal static class Flag
{
    public const string YesNo = "yes|no";

    public const string BooleanExpected = "one of yes/true/t/y/1 or no/false/f/n/0";

    private static readonly string[] s_true = ["yes", "true", "t", "y", "1"];
    private static readonly string[] s_false = ["no", "false", "f", "n", "0"];

    /// <summary>yes/true/t/y/1 or no/false/f/n/0 in any case; null for anything else.</summary>
    public static bool? Boolean(string text) =>
        s_true.Contains(text, StringComparer.OrdinalIgnoreCase) ? true
        : s_false.Contains(text, StringComparer.OrdinalIgnoreCase) ? false
        : null;

    public static Flag<bool> Bool(string name, string group, bool value, string description, params string[] aliases) => new(
        name, group, YesNo, value ? "True" : "False", description,
        text => Boolean(text) is bool b ? (true, b) : (false, value), BooleanExpected, aliases)
    {
        DefaultValueFactory = _ => value,
    };

    public static Flag<int?> Int(string name, string group, int? value, string description, int min = int.MinValue, string? shown = null, int max = int.MaxValue) => new(
        name, group, "n", shown ?? value?.ToString(CultureInfo.InvariantCulture), description,
        text => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int v) && v >= min && v <= max ? (true, v) : (false, value),
        max < int.MaxValue ? $"a whole number from {min} to {max}" : min > int.MinValue ? $"a whole number of at least {min}" : "a whole number")
    {
        DefaultValueFactory = _ => value,
    };

    public static Flag<ulong?> Seed(string name, string group, ulong? value, string description) => new(
        name, group, "n", value?.ToString(CultureInfo.InvariantCulture), description,
        text => ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong v) ? (true, v) : (false, value),
        "a whole number from 0 to 2^64-1")
    {
        DefaultValueFactory = _ => value,
    };

    public static Flag<double?> Real(string name, string group, double? value, string description) => new(
        name, group, "x", value?.ToString("0.0###", CultureInfo.InvariantCulture), description,
        text => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double v) && double.IsFinite(v) ? (true, v) : (false, value),
        "a finite number")
    {
        DefaultValueFactory = _ => value,
    };

    public static Flag<string?> Text(string name, string group, string? value, string placeholder, string description, params string[] aliases) => new(
        name, group, placeholder, value is null ? null : $"\"{value}\"", description, text => (true, text), "text", aliases)
    {
        DefaultValueFactory = _ => value,
    };
}
