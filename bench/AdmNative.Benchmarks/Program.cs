using AdmNative.Benchmarks.VirtualGpu;
using BenchmarkDotNet.Running;

// dotnet run -c Release --project bench/AdmNative.Benchmarks -- --inProcess --filter '*Conv*'
// dotnet run -c Release --project bench/AdmNative.Benchmarks -- --virtual-device     prints the tables of bench/results/*-virtual-device.md
if (args is ["--virtual-device"])
{
    VirtualDeviceReport.Print(Console.Out);
    return;
}

BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
