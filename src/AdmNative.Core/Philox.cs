namespace AdmNative.Core;

/// <summary>
/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a keyed bijection of
/// 128-bit counters. Dropout masks and sampling noise come from it, so they depend on keys and positions only, never on
/// batch size, thread count or device.
/// </summary>
public static class Philox
{
    /// <summary>Four 32-bit words for one key and counter.</summary>
    public static void Block(
        uint key0, uint key1, uint c0, uint c1, uint c2, uint c3, out uint r0, out uint r1, out uint r2, out uint r3)
    {
        unchecked
        {
            for (int round = 0; round < 10; round++)
            {
                ulong a = 0xD2511F53UL * c0;
                ulong b = 0xCD9E8D57UL * c2;
                (c0, c1, c2, c3) = ((uint)(b >> 32) ^ c1 ^ key0, (uint)b, (uint)(a >> 32) ^ c3 ^ key1, (uint)a);
                key0 += 0x9E3779B9;
                key1 += 0xBB67AE85;
            }
        }

        (r0, r1, r2, r3) = (c0, c1, c2, c3);
    }
}
