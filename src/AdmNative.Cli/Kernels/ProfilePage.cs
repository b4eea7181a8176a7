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
    public static string Write(IReadOnlyList<ProfileRow> rows, DeviceProfile profile)
    {
        var page = new StringBuilder();
        page.Append(CultureInfo.InvariantCulture, $$"""
            <!doctype html><html lang="en"><meta charset="utf-8"><title>Kernels on {{profile.Target}}</title>
            <style>body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;color:#222}table{border-collapse:collapse;width:100%}
            td,th{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #e4e4e4}td:first-child,th:first-child{text-align:left;font-family:ui-monospace,monospace}
            h2{margin-top:2rem;font-size:1.1rem}.bad{color:#b00020;font-weight:600}svg text{font:12px ui-monospace,monospace}small{color:#666}</style>
            <h1>Kernels on {{Escape(profile.Name)}} ({{profile.Target}})</h1>
            <p>Counted by the virtual device from the PTX that ships. <b>Bound</b> is the time no device of this kind can beat, from those counts and its
            peak rates; it is not a measurement. Registers come from the assembler, blocks per multiprocessor from registers, threads and shared memory.</p>

            """);
        foreach (IGrouping<string, ProfileRow> group in rows.GroupBy(r => r.Case.Name))
        {
            page.Append(CultureInfo.InvariantCulture, $"<h2>{Escape(group.Key)}</h2>\n");
            Table(page, [.. group], profile);
            Chart(page, "lower bound", [.. group.Select(r => (r.Run.Planned.Entry, r.Bound.Terms.Select(t => (t.Name, t.Seconds)).ToArray(), KernelsProfile.Time(r.Bound.Seconds)))], stacked: false);
            Chart(page, "warp instructions", [.. group.Select(r => (
                r.Run.Planned.Entry, Mix(r.Run.Report.Counters).Select(m => (m.Name, (double)m.Count)).ToArray(),
                r.Run.Report.Counters.WarpInstructions.ToString("N0", CultureInfo.InvariantCulture)))], stacked: true);
        }

        return page.Append("</html>\n").ToString();
    }

    private static void Table(StringBuilder page, ProfileRow[] rows, DeviceProfile profile)
    {
        page.Append("<table><tr><th>entry<th>blocks<th>registers<th>blocks/SM<th>bytes<th>/ formula<th>sectors / fewest<th>conflicts<th>mma<th>bound<th>bound by</tr>\n");
        foreach (ProfileRow r in rows)
        {
            Counters c = r.Run.Report.Counters;
            string over = r.BytesRatio > 1.05 ? " class=bad" : "", scattered = r.SectorRatio > 1.05 ? " class=bad" : "";
            page.Append(
                CultureInfo.InvariantCulture,
                $"<tr><td>{Escape(r.Run.Planned.Entry)}<td>{r.Run.Planned.Shape.GridX}<td>{r.Resources.Registers}<td>{r.BlocksPerSm}<td>{r.Run.Bytes:N0}<td{over}>{r.BytesRatio:0.000}<td{scattered}>{r.SectorRatio:0.000}<td>{c.SharedConflicts:N0}<td>{c.MmaInstructions:N0}<td>{KernelsProfile.Time(r.Bound.Seconds)}<td>{r.Bound.Binding}</tr>\n");
        }

        page.Append("</table>\n");
    }

    /// <summary>One bar per row: parts side by side when stacked, else thin bars under each other over a common scale.</summary>
    private static void Chart(StringBuilder page, string title, (string Label, (string Name, double Value)[] Parts, string Text)[] rows, bool stacked)
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
        for (int n = 0; n < names.Length; n++, at += 70)
        {
            page.Append(CultureInfo.InvariantCulture, $"<rect x=\"{at}\" y=\"{(Row * rows.Length) + 8}\" width=\"10\" height=\"10\" fill=\"{s_colours[n % s_colours.Length]}\"/><text x=\"{at + 13}\" y=\"{(Row * rows.Length) + 18}\">{names[n]}</text>");
        }

        page.Append("</svg>\n");
    }

    private static string Escape(string text) => WebUtility.HtmlEncode(text);
}
