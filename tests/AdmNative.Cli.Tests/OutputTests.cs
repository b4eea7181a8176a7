using AdmNative.Cli;
using AdmNative.Core;
using AdmNative.Formats;

namespace AdmNative.Tests;

public sealed class OutputTests
{
    [Fact]
    public void A_grid_without_classes_is_near_square()
    {
        GridLayout layout = GridPicture.Layout(7, null, null);
        Assert.Equal((3, 3), (layout.Rows, layout.Columns));
        Assert.Equal((2, 0), layout.Cells[6]);
    }

    [Fact]
    public void A_grid_with_classes_has_a_row_for_each_in_the_order_given()
    {
        GridLayout layout = GridPicture.Layout(5, [7, 3, 7, 3, 7], [7, 3]);
        Assert.Equal((2, 3), (layout.Rows, layout.Columns));
        Assert.Equal([(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)], layout.Cells);
    }

    [Fact]
    public void Images_land_in_their_cells_enlarged()
    {
        GridCanvas canvas = GridPicture.Layout(3, null, null).Canvas(1, 2, 1, 2);
        Assert.Equal((4, 8), (canvas.Height, canvas.Width));
        canvas.Put(1, [5, 6]);
        canvas.Put(2, [8, 9]);
        byte[] expected =
        [
            0, 0, 0, 0, 5, 5, 6, 6,
            0, 0, 0, 0, 5, 5, 6, 6,
            8, 8, 9, 9, 0, 0, 0, 0,
            8, 8, 9, 9, 0, 0, 0, 0,
        ];
        Assert.Equal(expected, canvas.Pixels);
    }

    [Fact]
    public void A_grid_that_helps_nobody_is_refused() =>
        Assert.Throws<UsageException>(() => GridPicture.Layout(100_000, null, null).Canvas(256, 256, 3, 1));

    [Fact]
    public void Finished_batches_survive_and_are_read_in_order()
    {
        using var temp = new TempFolder();
        string path = temp["run.parts"];
        var settings = new Dictionary<string, string> { ["seed"] = "1" };
        using (PartsFolder parts = PartsFolder.Open(path, settings, resume: false))
        {
            parts.Write([("a", Tensor.From<byte>([2, 1], [1, 2]))]);
            parts.Write([("a", Tensor.From<byte>([3, 1], [3, 4, 5]))]);
            Assert.Throws<IOException>(() => PartsFolder.Open(path, settings, resume: true)); // locked
        }

        Assert.Contains("5 samples", Assert.Throws<IOException>(() => PartsFolder.Open(path, settings, resume: false)).Message);
        using (PartsFolder parts = PartsFolder.Open(path, settings, resume: true))
        {
            Assert.Equal(5, parts.Done);
            parts.Write([("a", Tensor.From<byte>([1, 1], [6]))]);
            Assert.Equal([1, 2, 3, 4, 5, 6], parts.Read("a").SelectMany(t => t.Bytes.ToArray()));
            parts.Delete();
        }

        Assert.Empty(temp.Names);
    }

    [Fact]
    public void Other_settings_are_listed_when_resuming()
    {
        using var temp = new TempFolder();
        using (PartsFolder parts = PartsFolder.Open(temp["p"], new Dictionary<string, string> { ["seed"] = "1", ["eta"] = "0" }, false))
        {
            parts.Write([("a", Tensor.From<byte>([1, 1], [6]))]);
        }

        string message = Assert.Throws<UsageException>(
            () => PartsFolder.Open(temp["p"], new Dictionary<string, string> { ["seed"] = "2", ["eta"] = "0", ["new"] = "x" }, true)).Message;
        Assert.Contains("seed: was 1, now 2", message);
        Assert.Contains("new: was (not there), now x", message);
        Assert.DoesNotContain("eta", message);
    }

    [Fact]
    public void A_run_that_finished_nothing_leaves_nothing()
    {
        using var temp = new TempFolder();
        PartsFolder.Open(temp["p"], new Dictionary<string, string>(), false).Dispose();
        Assert.Empty(temp.Names);
    }

    [Fact]
    public void A_batch_of_another_length_than_its_name_says_is_refused()
    {
        using var temp = new TempFolder();
        using PartsFolder parts = PartsFolder.Open(temp["p"], new Dictionary<string, string>(), false);
        parts.Write([("a", Tensor.From<byte>([2, 1], [6, 7]))]);
        using (NpzWriter npz = NpzWriter.Create(Path.Combine(temp["p"], "part-000000000-2.npz")))
        {
            npz.Add("a", Tensor.From<byte>([1, 1], [6]));
            npz.Commit();
        }

        CheckpointException e = Assert.Throws<CheckpointException>(() => parts.Read("a").Count());
        Assert.Contains("part-000000000-2.npz", e.Message);
    }

    [Fact]
    public void A_damaged_manifest_and_a_foreign_folder_are_refused()
    {
        using var temp = new TempFolder();
        using (PartsFolder parts = PartsFolder.Open(temp["p"], new Dictionary<string, string>(), false))
        {
            parts.Write([("a", Tensor.From<byte>([1, 1], [6]))]);
        }

        foreach (string manifest in new[] { "{", "[]", "{}", "{\"format\": {}}", "{\"format\": 1e99}", "{\"format\": 1}", "{\"format\": 1, \"flags\": 3}" })
        {
            File.WriteAllText(Path.Combine(temp["p"], "manifest.json"), manifest);
            Assert.Throws<CheckpointException>(() => PartsFolder.Open(temp["p"], new Dictionary<string, string>(), true));
        }

        File.WriteAllText(Path.Combine(temp["p"], "manifest.json"), "{\"format\": 1, \"flags\": {\"seed\": [1], \"eta\": 0}}");
        UsageException settings = Assert.Throws<UsageException>(() => PartsFolder.Open(temp["p"], new Dictionary<string, string> { ["seed"] = "1" }, true));
        Assert.Contains("seed: was [1], now 1", settings.Message);

        Directory.CreateDirectory(temp["q"]);
        File.WriteAllText(Path.Combine(temp["q"], "precious"), "");
        Assert.Throws<IOException>(() => PartsFolder.Open(temp["q"], new Dictionary<string, string>(), false));
        Assert.True(File.Exists(Path.Combine(temp["q"], "precious")));
    }
}
