namespace AdmNative.Cli;

/// <summary>The command line is wrong; the message says which flag and what it may be.</summary>
internal sealed class UsageException(string message) : Exception(message);
