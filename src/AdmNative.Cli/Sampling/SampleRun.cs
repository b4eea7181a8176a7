using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;
using Picture = AdmNative.Formats.ImageBytes;

namespace AdmNative.Cli;

/// <summary>What a sampling verb has prepared: networks, noise, labels. Image i is the same whatever the rest of the run is.</summary>
internal sealed record SampleJob
{
    public required Sampler Sampler { get; init; }

    public required int Height { get; init; }

    public required int Width { get; init; }

    public required int Channels { get; init; }

    public required SampleCount Count { get; init; }

    /// <summary>Labels are drawn from so many classes; null when the reference draws none.</summary>
    public int? DrawnClasses { get; init; }

    /// <summary>Labels that come with the input: first image and count to labels.</summary>
    public Func<long, int, int[]>? GivenLabels { get; init; }

    /// <summary>Small images that come with the input: first image and count to [n,C,h,w].</summary>
    public Func<long, int, Tensor>? LowRes { get; init; }

    /// <summary>Files that are read, with the flags that named them: no result may take their place.</summary>
    public required IReadOnlyList<(string What, string Path)> Inputs { get; init; }

    /// <summary>Everything the result depends on, for resuming.</summary>
    public required IReadOnlyDictionary<string, string> Settings { get; init; }
}

/// <summary>Files a run wrote; null for those not asked for.</summary>
internal sealed record SampleFiles(string Samples, string? Grid, string? PngDir, string? Frames, int Count, double Seconds);

/// <summary>
/// The loop of the sampling programs: batch by batch into a folder of finished batches, then one .npz (arr_0 u8 [N,H,W,C],
/// arr_1 i64 labels), a grid and single pictures as asked.
/// </summary>
internal sealed class SampleRun
{
    private const string Images = "arr_0";
    private const string LabelsName = "arr_1";
    private const string Frames = "frames";

    private readonly Host _host;
    private readonly SamplingOptions _options;
    private readonly SampleJob _job;
    private readonly string _result;
    private readonly string? _grid;
    private readonly string? _pngDir;

    /// <summary>Checks the places results go to.</summary>
    public SampleRun(Host host, SamplingOptions options, SampleJob job)
    {
        _host = host;
        _options = options;
        _job = job;
        if ((options.Grid ?? options.PngDir) is not null && job.Channels is not (1 or 3 or 4))
        {
            throw new UsageException($"--grid and --png_dir need images of 1, 3 or 4 channels, these have {job.Channels}; leave them out");
        }

        // The network's result has twice the channels; arrays hold at most 2^31 values.
        int batch = options.TorchSeed is null ? Math.Min(options.BatchSize, job.Count.Count) : options.BatchSize;
        if ((double)batch * job.Height * job.Width * job.Channels * 2 > Array.MaxLength)
        {
            throw new UsageException($"--batch_size {batch} of {job.Height}x{job.Width} images is more than arrays can hold; take fewer at a time");
        }

        string name = $"samples_{job.Count.Count}x{job.Height}x{job.Width}x{job.Channels}.npz";
        _result = OutputPaths.ResultFile(options.Out, name, ".npz");
        _grid = options.Grid is null ? null : OutputPaths.File(options.Grid, "--grid");
        _pngDir = options.PngDir is null ? null : OutputPaths.Folder(options.PngDir, "--png_dir");
        OutputPaths.Distinct([.. Outputs()], job.Inputs);
    }

    private string FramesPath => Path.ChangeExtension(_result, ".frames.npz");

    private static string StepGridPath(string grid, long step) => Path.ChangeExtension(grid, $".step{step:0000}.png");

    private IEnumerable<(string What, string Path)> Outputs()
    {
        yield return ("--out", _result);
        yield return ("the folder for finished batches", PartsFolder.PathFor(_result));
        if (_options.SaveEvery is not null)
        {
            yield return ("the file of --save_every", FramesPath);
        }

        if (_grid is not null)
        {
            yield return ("--grid", _grid);
        }

        if (_pngDir is not null)
        {
            yield return ("--png_dir", _pngDir);
        }
    }

    private bool Labelled => _job.GivenLabels is not null || _job.DrawnClasses is not null;

    /// <summary>Draws what is missing and writes the results.</summary>
    public SampleFiles Execute()
    {
        _ = Canvas(); // refuses impossible grids before the work
        int total = _job.Count.Count;
        using PartsFolder parts = PartsFolder.Open(PartsFolder.PathFor(_result), _job.Settings, _options.Resume);
        using var progress = new Progress(_host, "sampling", total, parts.Done, _options.Quiet);
        if (_options.Resume && !_options.Quiet)
        {
            _host.Error.WriteLine(parts.Done > 0 ? $"resuming after {parts.Done} of {total} samples" : "nothing to resume, starting");
        }

        try
        {
            INoise noise = Noise(parts.Done);
            while (parts.Done < total)
            {
                parts.Write(Batch(parts.Done, noise, progress));
            }

            SampleFiles files = Assemble(parts) with { Count = total, Seconds = progress.Seconds };
            parts.Delete();
            return files;
        }
        catch (OperationCanceledException)
        {
            throw new OperationCanceledException("stopped; " + Kept(parts));
        }
        catch (CheckpointException e) when (parts.Done > 0)
        {
            throw new CheckpointException($"{e.Message}; {Kept(parts)}", e.Path, e);
        }
        catch (IOException e) when (parts.Done > 0)
        {
            throw new IOException($"{e.Message}; {Kept(parts)}", e);
        }
    }

    private string Kept(PartsFolder parts) => parts.Done == 0
        ? "no batch was finished, nothing is kept"
        : $"{parts.Done} of {_job.Count.Count} samples are kept in {PartsFolder.PathFor(_result)}; run the same command with --resume to go on";

    // The stream of a torch seed is brought to where the finished batches left it.
    private INoise Noise(long done)
    {
        if (_options.TorchSeed is not ulong seed)
        {
            return new PhiloxNoise(_options.Seed);
        }

        var noise = new TorchNoise(seed);
        var scratch = new float[_options.BatchSize * _job.Height * _job.Width * _job.Channels];
        for (long first = 0; first < done; first += _options.BatchSize)
        {
            _host.Stop.ThrowIfCancellationRequested();
            DrawLabels(noise, first, _options.BatchSize);
            for (int draw = 0; draw <= _job.Sampler.Process.Steps; draw++)
            {
                noise.Normals(INoise.Initial, first, [_options.BatchSize, _job.Height, _job.Width, _job.Channels], scratch);
            }
        }

        return noise;
    }

    private int[]? DrawLabels(INoise noise, long first, int count)
    {
        if (_job.GivenLabels is not null)
        {
            return _job.GivenLabels(first, count);
        }

        if (_job.DrawnClasses is not int classes)
        {
            return null;
        }

        // Chosen classes do not shift the stream: the same seed gives the same noise.
        var labels = new int[count];
        noise.Labels(first, classes, labels);
        return _job.Count.Classes is null ? labels : [.. Enumerable.Range(0, count).Select(i => _job.Count.Label(first + i))];
    }

    // With a torch seed a batch is always whole, as in the reference, and cut afterwards.
    private List<(string, Tensor)> Batch(long first, INoise noise, Progress progress)
    {
        int rest = (int)Math.Min(_options.BatchSize, _job.Count.Count - first);
        int size = _options.TorchSeed is null ? rest : _options.BatchSize;
        int[]? labels = DrawLabels(noise, first, size);
        var batch = new SampleBatch
        {
            Count = size,
            Height = _job.Height,
            Width = _job.Width,
            Noise = noise,
            First = first,
            Labels = labels,
            LowRes = _job.LowRes?.Invoke(first, size),
        };

        int steps = _job.Sampler.Process.Steps;
        var frames = new List<Tensor>();
        Tensor? last = null;
        foreach (SamplerStep step in _job.Sampler.Progressive(batch))
        {
            _host.Stop.ThrowIfCancellationRequested();
            int done = steps - step.T;
            progress.Report(first + (rest * (double)done / steps));
            last = step.Sample;
            if (_options.SaveEvery is int every && (done % every == 0 || done == steps))
            {
                frames.Add(SampleBytes.From(step.Sample));
            }
        }

        var arrays = new List<(string, Tensor)> { (Images, First(SampleBytes.From(last!), rest)) };
        if (labels is not null)
        {
            arrays.Add((LabelsName, Tensor.From([rest], [.. labels.Take(rest).Select(l => (long)l)])));
        }

        if (frames.Count > 0)
        {
            arrays.Add((Frames, Interleave(frames, rest)));
        }

        return arrays;
    }

    private static Tensor First(Tensor images, int count) => images.Shape[0] == count
        ? images
        : new Tensor(images.DType, [count, .. images.Shape.ToArray().AsSpan(1)], images.Bytes[..(int)(images.Bytes.Length / images.Shape[0] * (long)count)].ToArray());

    // S tensors [n,H,W,C] into [count,S,H,W,C].
    private static Tensor Interleave(List<Tensor> frames, int count)
    {
        Shape image = frames[0].Shape;
        int bytes = image[1] * image[2] * image[3];
        var result = new Tensor(DType.U8, [count, frames.Count, image[1], image[2], image[3]]);
        for (int i = 0; i < count; i++)
        {
            for (int s = 0; s < frames.Count; s++)
            {
                frames[s].Bytes.Slice(i * bytes, bytes).CopyTo(result.Bytes[(((i * frames.Count) + s) * bytes)..]);
            }
        }

        return result;
    }

    // Canvas for the labels known beforehand; classes are known whenever they shape the grid.
    private GridCanvas? Canvas()
    {
        if (_grid is null)
        {
            return null;
        }

        int count = _job.Count.Count;
        int[]? labels = _job.Count.Classes is null ? null : [.. Enumerable.Range(0, count).Select(i => _job.Count.Label(i))];
        return GridPicture.Layout(count, labels, _job.Count.Classes).Canvas(_job.Height, _job.Width, _job.Channels, _options.GridScale);
    }

    private SampleFiles Assemble(PartsFolder parts)
    {
        (int n, int h, int w, int c) = (_job.Count.Count, _job.Height, _job.Width, _job.Channels);
        GridCanvas? canvas = Canvas();
        using (NpzWriter npz = NpzWriter.Create(_result))
        {
            npz.Begin(Images, DType.U8, [n, h, w, c]);
            int index = 0;
            long[]? labels = Labelled ? [.. parts.Read(LabelsName).SelectMany(t => t.AsSpan<long>().ToArray())] : null;
            foreach (Tensor images in parts.Read(Images))
            {
                _host.Stop.ThrowIfCancellationRequested();
                npz.Append(images.Bytes);
                for (int i = 0; i < images.Shape[0]; i++, index++)
                {
                    ReadOnlySpan<byte> image = images.Bytes.Slice(i * h * w * c, h * w * c);
                    canvas?.Put(index, image);
                    if (_pngDir is not null)
                    {
                        string label = labels is null ? "" : $"_class{labels[index]}";
                        Png.Write(Path.Combine(_pngDir, $"{index:000000}{label}.png"), new Picture(w, h, c, image.ToArray()));
                    }
                }
            }

            if (labels is not null)
            {
                npz.Add(LabelsName, Tensor.From([n], labels));
            }

            npz.Commit();
        }

        if (canvas is not null)
        {
            Png.Write(_grid!, new Picture(canvas.Width, canvas.Height, c, canvas.Pixels));
        }

        return new SampleFiles(_result, _grid, _pngDir, _options.SaveEvery is null ? null : AssembleFrames(parts), n, 0);
    }

    // The frames of all images, [N,S,H,W,C], the step after which each was taken, and a grid for each if there is a grid.
    private string AssembleFrames(PartsFolder parts)
    {
        (int n, int h, int w, int c) = (_job.Count.Count, _job.Height, _job.Width, _job.Channels);
        int steps = _job.Sampler.Process.Steps;
        long[] taken = [.. Enumerable.Range(1, steps).Where(s => s % _options.SaveEvery!.Value == 0 || s == steps).Select(s => (long)s)];
        string path = FramesPath;
        using (NpzWriter npz = NpzWriter.Create(path))
        {
            npz.Begin(Images, DType.U8, [n, taken.Length, h, w, c]);
            foreach (Tensor frames in parts.Read(Frames))
            {
                npz.Append(frames.Bytes);
            }

            npz.Add("steps", Tensor.From([taken.Length], taken));
            npz.Commit();
        }

        for (int s = 0; _grid is not null && s < taken.Length; s++)
        {
            GridCanvas canvas = Canvas()!;
            int index = 0;
            foreach (Tensor frames in parts.Read(Frames))
            {
                for (int i = 0; i < frames.Shape[0]; i++, index++)
                {
                    canvas.Put(index, frames.Bytes.Slice(((i * taken.Length) + s) * h * w * c, h * w * c));
                }
            }

            Png.Write(StepGridPath(_grid, taken[s]), new Picture(canvas.Width, canvas.Height, c, canvas.Pixels));
        }

        return path;
    }
}
