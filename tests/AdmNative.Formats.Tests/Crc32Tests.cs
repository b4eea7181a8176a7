namespace AdmNative.Formats.Tests;

public class Crc32Tests
{
    [Fact]
    public void The_check_value_of_the_standard() => Assert.Equal(0xCBF43926u, Crc32.Append(0, "123456789"u8));

    [Fact]
    public void Folding_equals_the_tables_at_every_length_and_start()
    {
        var bytes = new byte[1200];
        new Random(3).NextBytes(bytes);
        for (int length = 0; length <= 1100; length++)
        {
            ReadOnlySpan<byte> part = bytes.AsSpan(length % 17, length);
            uint expected = Bitwise(0x12345678, part);
            Assert.Equal(expected, Crc32.AppendByTable(0x12345678, part));
            Assert.Equal(expected, Crc32.Append(0x12345678, part));
        }

        Assert.Equal(Crc32.Append(0, bytes), Crc32.Append(Crc32.Append(0, bytes.AsSpan(0, 333)), bytes.AsSpan(333)));
    }

    /// <summary>The definition.</summary>
    private static uint Bitwise(uint crc, ReadOnlySpan<byte> bytes)
    {
        crc = ~crc;
        foreach (byte x in bytes)
        {
            crc ^= x;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xEDB88320u : crc >> 1;
            }
        }

        return ~crc;
    }
}
