namespace AdmNative.Cuda;

/// <summary>Status codes of cuDNN 9 (cudnnStatus_t), thousands by kind; those of cuDNN 8 are translated. A status without a name here keeps its number.</summary>
public enum CudnnStatus
{
    /// <summary>The call succeeded.</summary>
    Success = 0,

    /// <summary>The library could not start: no device, no driver, no memory.</summary>
    NotInitialized = 1001,

    /// <summary>Parts of the library are of different versions.</summary>
    VersionMismatch = 1002,

    /// <summary>A licence is missing.</summary>
    LicenseError = 1005,

    /// <summary>Work is still under way.</summary>
    InProgress = 1006,

    /// <summary>A number overflowed.</summary>
    Overflow = 1007,

    /// <summary>An argument makes no sense, or descriptors do not fit together.</summary>
    BadParameter = 2000,

    /// <summary>An argument is out of range.</summary>
    InvalidValue = 2001,

    /// <summary>Sound, and not offered.</summary>
    NotSupported = 3000,

    /// <summary>Not offered on this device.</summary>
    ArchMismatch = 3007,

    /// <summary>Another library that it needs is missing.</summary>
    PrerequisiteMissing = 3008,

    /// <summary>An error of its own.</summary>
    InternalError = 4000,

    /// <summary>Out of memory.</summary>
    AllocationFailed = 4003,

    /// <summary>A texture could not be made.</summary>
    MappingError = 4006,

    /// <summary>A kernel failed.</summary>
    ExecutionFailed = 5000,
}

/// <summary>What a status means to a caller.</summary>
internal static class CudnnStatuses
{
    /// <summary>cuDNN 8's statuses 0 to 14 as those of 9.</summary>
    private static readonly CudnnStatus[] s_of8 =
    [
        CudnnStatus.Success, CudnnStatus.NotInitialized, CudnnStatus.AllocationFailed, CudnnStatus.BadParameter, CudnnStatus.InternalError, CudnnStatus.InvalidValue,
        CudnnStatus.ArchMismatch, CudnnStatus.MappingError, CudnnStatus.ExecutionFailed, CudnnStatus.NotSupported, CudnnStatus.LicenseError,
        CudnnStatus.PrerequisiteMissing, CudnnStatus.InProgress, CudnnStatus.Overflow, CudnnStatus.VersionMismatch,
    ];

    /// <summary>cuDNN cannot do what was asked, and would not at another time either: another way must be found.</summary>
    public static bool Refuses(this CudnnStatus status) => (int)status is >= 2000 and < 4000;

    /// <summary>A number of the library as a status.</summary>
    public static CudnnStatus FromNative(int number, bool before9) => before9 && (uint)number < (uint)s_of8.Length ? s_of8[number] : (CudnnStatus)number;

    /// <summary>The library's number for a status.</summary>
    public static int ToNative(this CudnnStatus status, bool before9) =>
        before9 && Array.IndexOf(s_of8, status) is >= 0 and int number ? number : (int)status;
}
