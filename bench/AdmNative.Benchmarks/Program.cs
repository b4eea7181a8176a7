using BenchmarkDotNet.Running;

// dotnet run -c Release --project bench/AdmNative.Benchmarks -- --inProcess --filter '*Conv*'
BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
