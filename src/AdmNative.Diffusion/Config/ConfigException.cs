namespace AdmNative.Diffusion;

/// <summary>Flags or a configuration that no model or diffusion process can have; the message names the flag at fault.</summary>
public sealed class ConfigException : ArgumentException
{
    /// <summary>Says which flag is wrong, its value, and what is accepted.</summary>
    public ConfigException(string message) : base(message)
    {
    }
}
