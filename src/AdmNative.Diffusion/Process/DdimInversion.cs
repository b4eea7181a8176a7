namespace AdmNative.Diffusion;

/// <summary>
/// Steps of the deterministic encoder (DDIM inversion). The reverse step at t takes x at level t to level t + 1; at the last level it
/// returns the bare noise estimate (alphaBar_T = 0), which the decoder cannot undo, so stopping one step early reconstructs better.
/// </summary>
public static class DdimInversion
{
    /// <summary>Steps t for the reverse step in order: 0 .. T-2, or to T-1 when not stopping early.</summary>
    public static int[] EncodeSteps(Schedule schedule, bool stopOneEarly = true)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        return [.. Enumerable.Range(0, schedule.Steps - (stopOneEarly ? 1 : 0))];
    }

    /// <summary>Steps t for the DDIM step that lead an encoded image back: T-1 .. 0, whichever way it was encoded.</summary>
    public static int[] DecodeSteps(Schedule schedule)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        return [.. Enumerable.Range(0, schedule.Steps).Reverse()];
    }
}
