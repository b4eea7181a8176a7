using AdmNative.Core;

namespace AdmNative.Formats.Tests;

/// <summary>Seeded damage to good files. Only the documented exception may escape, and memory stays in proportion.</summary>
internal static class Fuzz
{
    private static readonly byte[] s_extremes = [0, 1, 0x7f, 0x80, 0xff];

    // ADMNATIVE_FUZZ=50 runs fifty times as many, for a search by hand.
    private static readonly int s_factor = int.Parse(Environment.GetEnvironmentVariable("ADMNATIVE_FUZZ") ?? "1");

    /// <summary>Every length of a file, shortest first.</summary>
    public static void Truncate(byte[] file, Action<byte[]> read, long mostAllocated)
    {
        for (int length = 0; length < file.Length; length++)
        {
            Try(file[..length], read, mostAllocated, $"the first {length} bytes");
        }
    }

    /// <summary>Random changes: flipped bits, extreme bytes and words, runs removed, doubled, swapped with another file's.</summary>
    public static void Mutate(byte[][] files, int iterations, Action<byte[]> read, long mostAllocated, Action<byte[]>? repair = null)
    {
        for (int i = 0; i < iterations * s_factor; i++)
        {
            var random = new Random(i);
            byte[] file = files[i % files.Length];
            byte[] bytes = [.. file];
            for (int changes = random.Next(1, 4); changes > 0 && bytes.Length > 8; changes--)
            {
                bytes = Change(bytes, files[random.Next(files.Length)], random);
            }

            repair?.Invoke(bytes);
            Try(bytes, read, mostAllocated, $"file {i % files.Length} with seed {i}");
        }
    }

    private static byte[] Change(byte[] bytes, byte[] other, Random random)
    {
        int at = random.Next(bytes.Length);
        int run = Math.Min(random.Next(1, 40), bytes.Length - at);
        switch (random.Next(6))
        {
            case 0: bytes[at] ^= (byte)(1 << random.Next(8)); return bytes;
            case 1: bytes[at] = s_extremes[random.Next(s_extremes.Length)]; return bytes;
            case 2: bytes.AsSpan(at, Math.Min(4 << random.Next(2), bytes.Length - at)).Fill(s_extremes[random.Next(s_extremes.Length)]); return bytes;
            case 3: return [.. bytes[..at], .. bytes[(at + run)..]];
            case 4: return [.. bytes[..(at + run)], .. bytes[at..]];
            default:
                int from = random.Next(other.Length);
                return [.. bytes[..at], .. other[from..Math.Min(from + run, other.Length)], .. bytes[(at + run)..]];
        }
    }

    private static void Try(byte[] bytes, Action<byte[]> read, long mostAllocated, string what)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        Exception? escaped = Record.Exception(() => read(bytes));
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(escaped is null or CheckpointException, $"{what}: {escaped}");
        Assert.True(allocated <= mostAllocated, $"{what}: {allocated} bytes were allocated for a file of {bytes.Length}");
    }
}
