using System.Globalization;
using System.Net;
using System.Text;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>The page of adm kernels profile: one file, no scripts, charts as inline SVG.</summary>
internal static class ProfilePage
{
    private static readonly string[] s_colours = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e"];

    /// <summary>Warp instructions by kind.</summary>
    public static IReadOnlyList<(string Name, long Count)> Mix(Counters c) =>
    [
        ("integer", c.IntegerInstructions), ("move", c.MoveInstructions), ("float", c.F32Instructions + c.F16Instructions + c.F64Instructions),
        ("special", c.SpecialFunctionInstructions), ("convert", c.ConversionInstructions), ("global", c.GlobalInstructions), ("shared", c.SharedInstructions),
        ("mma", c.MmaInstructions), ("control", c.ControlInstructions + c.WarpOperations + c.ParameterInstructions + c.LocalInstructions),
    ];

    /// <summary>The whole page.</summary>
    public static string Write(IReadOnlyList<ProfiledCase> cases, string title)
    {
        var page = new StringBuilder();
        page.Append(CultureInfo.InvariantCulture, $$"""
            <!doctype html><html lang="en"><meta charset="utf-8"><title>Kernels on {{Escape(title)}}</title>
            <style>body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:84rem;color:#222}table{border-collapse:collapse;width:100%;margin:.5rem 0}
            td,th{padding:.2rem .4rem;text-align:right;border-bottom:1px solid #e4e4e4}td:first-child,th:first-child{text-align:left;font-family:ui-monospace,monospace}
            h2{margin-top:2.5rem;font-size:1.15rem}h3{margin:.8rem 0 0;font-size:1rem}.bad{color:#b00020;font-weight:600}svg text{font:12px ui-monospace,monospace}
            small,.next{color:#666}.next{margin:.2rem 0 .6rem}</style>
            <h1>Kernels on {{Escape(title)}}</h1>
            <p>Counted by the virtual device from the PTX that ships. <b>At least</b> is the time no device of this kind can beat from a cold L2, from those counts and its
            peak rates; <b>uncached</b> the time all sectors of all requests take at full memory bandwidth. Neither is a measurement. Registers come from the assembler; blocks per
            multiprocessor (on sm_80/86/89/90) from registers, threads and shared memory; <b>SMs</b> is the share of multiprocessors that get a block. Numbers in red miss their gate.</p>

            """);
        if (cases.Any(c => c.Versions.Count > 1))
        {
            Summary(page, [.. cases.Where(c => c.Versions.Count > 1)]);
        }

        foreach (ProfiledCase c in cases)
        {
            page.Append(CultureInfo.InvariantCulture, $"<h2>{Escape(c.Case.Name)}</h2>\n");
            for (int i = 0; i < c.Versions.Count; i++)
            {
                ProfiledVersion v = c.Versions[i];
                page.Append(CultureInfo.InvariantCulture, $"<h3>{Escape(v.Name)}</h3><p class=\"{(v.Result.Passed ? "next" : "bad")}\">{Escape(KernelsProfile.Errors(v))}</p>");
                Table(page, v);
                if (v.Next.Length > 0)
                {
                    page.Append(CultureInfo.InvariantCulture, $"<p class=next>Next: {Escape(v.Next)} <small>{Escape(KernelsProfile.Gain(v, c.Versions[i + 1]))}</small></p>\n");
                }
            }

            (string Label, ProfileRow Row)[] rows = [.. c.Versions.SelectMany(v => v.Rows.Select(r => (r.Run.Planned.Entry, r)))];
            Chart(page, "lower bound by resource", [.. rows.Select(r => (r.Label, r.Row.Bound.Terms.Select(t => (t.Name, t.Seconds)).ToArray(), KernelsProfile.Time(r.Row.Bound.Seconds)))], stacked: false);
            Chart(page, "warp instructions", [.. rows.Select(r => (
                r.Label, Mix(r.Row.Counters).Select(m => (m.Name, (double)m.Count)).ToArray(), r.Row.Counters.WarpInstructions.ToString("N0", CultureInfo.InvariantCulture)))], stacked: true);
        }

        return page.Append("</html>\n").ToString();
    }

    /// <summary>Plain and earlier versions beside ours, for all cases that have them.</summary>
    private static void Summary(StringBuilder page, ProfiledCase[] cases)
    {
        page.Append("<h2>Earlier versions and ours</h2><table><tr><th>case<th>version<th>launches<th>bytes<th>sectors<th>instructions<th>at least<th>uncached<th>measured</tr>\n");
        foreach (ProfiledCase c in cases)
        {
            foreach (ProfiledVersion v in c.Versions)
            {
                page.Append(
                    CultureInfo.InvariantCulture,
                    $"<tr><td>{Escape(v == c.Versions[0] ? c.Case.Name : "")}<td>{Escape(v.Name)}<td>{v.Rows.Count}<td>{v.Bytes:N0}<td>{v.Sectors:N0}<td>{v.Instructions:N0}<td>{KernelsProfile.Time(v.Seconds)}<td>{KernelsProfile.Time(v.UncachedSeconds)}<td>{(v.Measured is { } m ? KernelsProfile.Time(m) : "-")}</tr>\n");
            }
        }

        page.Append("</table>\n");
        foreach (ProfiledCase c in cases)
        {
            Chart(page, $"{c.Case.Name}: time of all sectors at full memory bandwidth", [.. c.Versions.Select(v => (
                v.Name, v.Rows.Select(r => (r.Run.Planned.Entry, r.UncachedSeconds)).ToArray(), KernelsProfile.Time(v.UncachedSeconds)))], stacked: true, legend: false);
        }
    }

    private static void Table(StringBuilder page, ProfiledVersion version)
    {
        page.Append("<table><tr><th>entry<th>blocks<th>SMs<th>registers<th>spills<th>blocks/SM<th>bytes<th>/ formula<th>sectors / fewest<th>conflicts<th>mma<th>at least<th>bound by<th>uncached</tr>\n");
        foreach (ProfileRow r in version.Rows)
        {
            string entry = r.Run.Planned.Entry, blocks = string.Join('/', DeviceProfile.All.Select(p => r.BlocksPerSm(p.Target)));
            string Class(string gate) => version.Result.Gates.Any(g => !g.Passed && g.Name == gate && g.Subject == entry) ? " class=bad" : "";
            page.Append(
                CultureInfo.InvariantCulture,
                $"<tr><td>{Escape(entry)}<td>{r.Run.Planned.Shape.GridX}<td>{100 * r.Busy:0} %<td{Class($"registers {r.Target}")}>{r.Resources.Registers}<td{Class($"spilled bytes {r.Target}")}>{KernelsList.Spills(r.Resources)}<td>{blocks}<td>{r.Run.Bytes:N0}<td{Class("bytes")}>{r.BytesRatio:0.000}<td{Class("sectors")}>{r.SectorRatio:0.000}<td{Class("bank conflicts")}>{r.Counters.SharedConflicts:N0}<td{Class("mma instructions off")}>{r.Counters.MmaInstructions:N0}<td>{KernelsProfile.Time(r.Bound.Seconds)}<td>{r.Bound.Binding}<td>{KernelsProfile.Time(r.UncachedSeconds)}{KernelsProfile.Measured(r)}</tr>\n");
        }

        page.Append("</table>\n");
    }

    /// <summary>One bar per row: parts side by side when stacked, else thin bars under each other over a common scale.</summary>
    private static void Chart(StringBuilder page, string title, (string Label, (string Name, double Value)[] Parts, string Text)[] rows, bool stacked, bool legend = true)
    {
        const int Left = 300, Width = 560, Row = 26;
        string[] names = [.. rows.SelectMany(r => r.Parts.Where(p => p.Value > 0).Select(p => p.Name)).Distinct(StringComparer.Ordinal)];
        double most = Math.Max(double.Epsilon, rows.Max(r => stacked ? r.Parts.Sum(p => p.Value) : r.Parts.Max(p => p.Value)));
        page.Append(CultureInfo.InvariantCulture, $"<p><small>{title}</small></p><svg width=\"1000\" height=\"{(Row * rows.Length) + 24}\" role=\"img\" aria-label=\"{title}\">\n");
        for (int i = 0; i < rows.Length; i++)
        {
            double x = Left, thin = (Row - 6.0) / Math.Max(1, names.Length);
            page.Append(CultureInfo.InvariantCulture, $"<text x=\"0\" y=\"{(i * Row) + 15}\">{Escape(rows[i].Label)}</text>");
            foreach ((string name, double value) in rows[i].Parts.Where(p => p.Value > 0))
            {
                int n = Array.IndexOf(names, name);
                double length = value / most * Width, y = (i * Row) + 2 + (stacked ? 0 : n * thin);
                page.Append(CultureInfo.InvariantCulture, $"<rect x=\"{x:0.##}\" y=\"{y:0.##}\" width=\"{length:0.##}\" height=\"{(stacked ? Row - 6 : thin):0.##}\" fill=\"{s_colours[n % s_colours.Length]}\"><title>{name}: {value:G4}</title></rect>");
                x += stacked ? length : 0;
            }

            page.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left + Width + 8}\" y=\"{(i * Row) + 15}\">{Escape(rows[i].Text)}</text>\n");
        }

        double at = Left;
        for (int n = 0; legend && n < names.Length; n++, at += 70)
        {
            page.Append(CultureInfo.InvariantCulture, $"<rect x=\"{at}\" y=\"{(Row * rows.Length) + 8}\" width=\"10\" height=\"10\" fill=\"{s_colours[n % s_colours.Length]}\"/><text x=\"{at + 13}\" y=\"{(Row * rows.Length) + 18}\">{names[n]}</text>");
        }

        page.Append("</svg>\n");
    }

    private static string Escape(string text) => WebUtility.HtmlEncode(text);
}
