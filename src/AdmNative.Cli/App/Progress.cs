using System.Diagnostics;
using Spectre.Console;

namespace AdmNative.Cli;

/// <summary>
/// Progress of a long verb on stderr: a bar where stderr is a terminal, one plain line every ten seconds elsewhere, both only
/// after the first seconds, so short runs stay quiet.
/// </summary>
internal sealed class Progress : IDisposable
{
    private static readonly TimeSpan s_barAfter = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_lineEvery = TimeSpan.FromSeconds(10);

    private readonly Host _host;
    private volatile string _what;
    private readonly double _total;
    private readonly bool _quiet;
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly ManualResetEventSlim _finished = new();
    private readonly double _start;
    private TimeSpan _nextLine = s_lineEvery;
    private Task? _bar;
    private double _done;

    /// <param name="host">Where to write.</param>
    /// <param name="what">What is counted, e.g. "sampling".</param>
    /// <param name="total">Units of work in all.</param>
    /// <param name="start">Units already done by an earlier run.</param>
    /// <param name="quiet">Write nothing.</param>
    public Progress(Host host, string what, double total, double start, bool quiet)
    {
        _host = host;
        _what = what;
        _total = total;
        _start = start;
        _done = start;
        _quiet = quiet;
    }

    /// <summary>Seconds since the start.</summary>
    public double Seconds => _clock.Elapsed.TotalSeconds;

    /// <summary>Units of work done so far, earlier runs included.</summary>
    public void Report(double done)
    {
        Volatile.Write(ref _done, done);
        TimeSpan now = _clock.Elapsed;
        if (_quiet)
        {
            return;
        }

        if (_host.Interactive)
        {
            if (_bar is null && now >= s_barAfter)
            {
                _bar = Task.Run(ShowBar);
            }
        }
        else if (now >= _nextLine)
        {
            _nextLine = now + s_lineEvery;
            _host.Error.WriteLine(Line(_what, done, _total, _start, now));
        }
    }

    /// <summary>A word on how it goes: beside the bar, or a line of its own where there is none.</summary>
    public void Note(string what, string note)
    {
        _what = $"{what}, {note}";
        if (!_quiet && !_host.Interactive)
        {
            _host.Error.WriteLine(note);
        }
    }

    /// <summary>E.g. "sampling: 40.0 % after 0:20, 0:30 left".</summary>
    internal static string Line(string what, double done, double total, double start, TimeSpan elapsed)
    {
        string left = done <= start ? "" : $", {Span(elapsed * ((total - done) / (done - start)))} left";
        return $"{what}: {100 * done / total:0.0} % after {Span(elapsed)}{left}";
    }

    /// <summary>Takes the bar away.</summary>
    public void Dispose()
    {
        _finished.Set();
        _bar?.Wait();
        _finished.Dispose();
    }

    private static string Span(TimeSpan t) => t.TotalHours >= 1 ? $"{(int)t.TotalHours}:{t.Minutes:00}:{t.Seconds:00}" : $"{t.Minutes}:{t.Seconds:00}";

    private void ShowBar()
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(_host.Error),
            Ansi = AnsiSupport.Yes,
            Interactive = InteractionSupport.Yes,
        });
        console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask(Markup.Escape(_what), maxValue: _total);
                do
                {
                    task.Value = Volatile.Read(ref _done);
                    task.Description = Markup.Escape(_what);
                }
                while (!_finished.Wait(100));
            });
    }
}
