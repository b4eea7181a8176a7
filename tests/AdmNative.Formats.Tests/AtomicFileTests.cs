namespace AdmNative.Formats.Tests;

public class AtomicFileTests
{
    [Fact]
    public void A_file_appears_at_the_commit_and_replaces_the_one_before()
    {
        using var folder = new TempFolder();
        folder.Write("a", [1]);
        using (var file = AtomicFile.Create(folder["a"]))
        {
            file.Stream.Write([2, 3]);
            Assert.Equal([1], File.ReadAllBytes(folder["a"]));
            Assert.Equal(2, folder.Names.Length);
            file.Commit();
            Assert.Equal([2, 3], File.ReadAllBytes(folder["a"]));
            Assert.Throws<ObjectDisposedException>(file.Commit);
        }

        Assert.Equal(["a"], folder.Names);
    }

    [Fact]
    public void An_abandoned_file_leaves_nothing()
    {
        using var folder = new TempFolder();
        folder.Write("a", [1]);
        void Failing()
        {
            using var file = AtomicFile.Create(folder["a"]);
            file.Stream.Write([2, 3]);
            throw new InvalidOperationException("on the way");
        }

        Assert.Throws<InvalidOperationException>(Failing);
        Assert.Equal(["a"], folder.Names);
        Assert.Equal([1], File.ReadAllBytes(folder["a"]));
    }

    [Fact]
    public void A_commit_that_fails_leaves_nothing_either()
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["a"]);
        using (var file = AtomicFile.Create(folder["a"]))
        {
            Assert.ThrowsAny<SystemException>(file.Commit);
        }

        Assert.Equal(["a"], folder.Names);
        Assert.Throws<DirectoryNotFoundException>(() => AtomicFile.Create(folder["none/a"]));
    }
}
