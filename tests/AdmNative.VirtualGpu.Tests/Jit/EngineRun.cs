namespace AdmNative.VirtualGpu.Tests;

/// <summary>What one engine made of a launch: its report, and memory afterwards.</summary>
internal sealed record EngineRun(LaunchReport Report, byte[][] Memory)
{
    public static void AssertEqual(EngineRun interpreter, EngineRun jit, string what)
    {
        Assert.Equal(interpreter.Report.Findings.Select(Text), jit.Report.Findings.Select(Text));
        Assert.Equal(
            (interpreter.Report.Completed, interpreter.Report.Output, interpreter.Report.SpinRotations, interpreter.Report.FindingsDropped),
            (jit.Report.Completed, jit.Report.Output, jit.Report.SpinRotations, jit.Report.FindingsDropped));
        Assert.Equal(interpreter.Memory.Length, jit.Memory.Length);
        for (int i = 0; i < interpreter.Memory.Length; i++)
        {
            int at = interpreter.Memory[i].AsSpan().CommonPrefixLength(jit.Memory[i]);
            Assert.True(at == interpreter.Memory[i].Length, $"{what}: the engines differ in byte {at} of array {i}");
        }

        static string Text(Finding f) => $"{f} {f.Count}";
    }
}
