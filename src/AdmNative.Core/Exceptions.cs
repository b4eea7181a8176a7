namespace AdmNative.Core;

/// <summary>Shapes, element types or strides do not fit together.</summary>
public sealed class ShapeException : ArgumentException
{
    /// <summary>Says what was expected and what was found.</summary>
    public ShapeException(string message) : base(message)
    {
    }
}

/// <summary>A file is damaged, hostile, of the wrong kind, or does not match the model it is loaded into.</summary>
public sealed class CheckpointException : IOException
{
    /// <summary>Message: what is wrong, where in which file, what to do.</summary>
    public CheckpointException(string message, string? path = null, Exception? inner = null)
        : base(path is null || message.Contains(path, StringComparison.Ordinal) ? message : $"{path}: {message}", inner)
    {
        Path = path;
    }

    /// <summary>The file at fault, if there is one.</summary>
    public string? Path { get; }
}

/// <summary>A value that must be finite is not.</summary>
public sealed class NumericException : ArithmeticException
{
    /// <summary>Names the step or op and the first bad index.</summary>
    public NumericException(string message) : base(message)
    {
    }
}

/// <summary>The requested device cannot be used here; the message says why and what would help.</summary>
public class DeviceUnavailableException : NotSupportedException
{
    /// <summary>Reason and remedy.</summary>
    public DeviceUnavailableException(string message) : base(message)
    {
    }

    /// <summary>Reason and remedy, and what the system said.</summary>
    public DeviceUnavailableException(string message, Exception? innerException) : base(message, innerException)
    {
    }
}
