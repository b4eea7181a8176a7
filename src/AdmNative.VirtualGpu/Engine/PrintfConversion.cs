using System.Globalization;
using System.Numerics;
using System.Text;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>One conversion of a printf text, such as %-8.3hd: what stands between % and the letter, and the letter.</summary>
/// <param name="Flags">Any of "-+ #0".</param>
/// <param name="Width">Least number of characters; -1 = an argument says it.</param>
/// <param name="Precision">Digits or most characters; -1 = an argument says it; null = none given.</param>
/// <param name="Length">hh, h, l, ll, j, z, t or "".</param>
/// <param name="Letter">The conversion.</param>
internal readonly record struct PrintfConversion(string Flags, int Width, int? Precision, string Length, char Letter)
{
    /// <summary>A width is padding and a precision digits: neither may make the text of one argument long.</summary>
    public const int MaxWidth = 4096, MaxPrecision = 128;

    /// <summary>The width or precision of this conversion is an argument.</summary>
    public const int Star = -1;

    /// <summary>Bytes its argument takes in the buffer, at that alignment: floats are doubles, short integers are ints.</summary>
    public int Bytes => IsFloat || Letter is 's' or 'p' || Length is "l" or "ll" or "j" or "z" or "t" ? 8 : 4;

    private bool IsFloat => Letter is 'f' or 'F' or 'e' or 'E' or 'g' or 'G' or 'a' or 'A';

    private bool Has(char flag) => Flags.Contains(flag, StringComparison.Ordinal);

    /// <summary>Reads the conversion that begins behind the % at position i, and moves i behind it. Null when C has none such.</summary>
    public static PrintfConversion? Read(string text, ref int i)
    {
        int start = i;
        while (i < text.Length && "-+ #0".Contains(text[i], StringComparison.Ordinal))
        {
            i++;
        }

        string flags = text[start..i];
        int width = Number(text, ref i);
        int? precision = null;
        if (i < text.Length && text[i] == '.')
        {
            i++;
            precision = Number(text, ref i);
        }

        start = i;
        while (i < text.Length && "hljzt".Contains(text[i], StringComparison.Ordinal))
        {
            i++;
        }

        string length = text[start..i];
        if (i == text.Length)
        {
            return null;
        }

        char letter = text[i++];
        bool known = length is "" or "hh" or "h" or "l" or "ll" or "j" or "z" or "t" && letter switch
        {
            'd' or 'i' or 'u' or 'x' or 'X' or 'o' => true,
            'f' or 'F' or 'e' or 'E' or 'g' or 'G' or 'a' or 'A' => length is "" or "l",
            'c' or 's' or 'p' => length.Length == 0,
            _ => false,
        };
        return known ? new PrintfConversion(flags, width, precision, length, letter) : null;
    }

    /// <summary>Digits, none of them meaning 0, or the star.</summary>
    private static int Number(string text, ref int i)
    {
        if (i < text.Length && text[i] == '*')
        {
            i++;
            return Star;
        }

        int start = i;
        while (i < text.Length && char.IsAsciiDigit(text[i]))
        {
            i++;
        }

        ReadOnlySpan<char> digits = text.AsSpan(start, i - start);
        return digits.IsEmpty ? 0 : int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : int.MaxValue;
    }

    /// <summary>The argument's text; for %s it is given.</summary>
    /// <param name="raw">The argument's bits.</param>
    /// <param name="width">The width, the argument's when it is one: negative means to the left.</param>
    /// <param name="precision">The precision; null or negative means none.</param>
    /// <param name="text">The string of %s.</param>
    public string Format(ulong raw, int width, int? precision, string text = "")
    {
        bool left = Has('-') || width < 0;
        int room = (int)Math.Min(Math.Abs((long)width), MaxWidth);
        if (Letter == 's')
        {
            string part = precision is >= 0 && precision < text.Length ? text[..precision.Value] : text;
            return left ? part.PadRight(room) : part.PadLeft(room);
        }

        int? digits = precision is null or < 0 ? null : Math.Min(precision.Value, MaxPrecision);
        double value = BitConverter.UInt64BitsToDouble(raw);
        bool zeros = Has('0');
        (string head, string body) = Letter switch
        {
            'c' => ("", ((char)(byte)raw).ToString()),
            'p' => ("0x", raw.ToString("x", CultureInfo.InvariantCulture)),
            'd' or 'i' => Signed(raw, digits),
            'u' or 'x' or 'X' or 'o' => Unsigned(raw, digits),
            _ => (Sign(double.IsNegative(value)), double.IsFinite(value) ? Float(Math.Abs(value), digits) : double.IsNaN(value) ? "nan" : "inf"),
        };
        zeros &= Letter switch
        {
            'c' or 'p' => false,
            _ when IsFloat => double.IsFinite(value),
            _ => digits is null,
        };
        if (IsFloat && Letter is 'a' or 'A' && double.IsFinite(value))
        {
            head += "0x";
        }

        if (Letter is 'X' or 'F' or 'E' or 'G' or 'A')
        {
            (head, body) = (head.ToUpperInvariant(), body.ToUpperInvariant());
        }

        return left ? (head + body).PadRight(room) : zeros ? head + body.PadLeft(Math.Max(0, room - head.Length), '0') : (head + body).PadLeft(room);
    }

    private string Sign(bool negative) => negative ? "-" : Has('+') ? "+" : Has(' ') ? " " : "";

    private (string Sign, string Digits) Signed(ulong raw, int? digits)
    {
        long value = Length switch { "hh" => (sbyte)raw, "h" => (short)raw, "" => (int)raw, _ => (long)raw };
        string text = value == 0 && digits == 0 ? "" : ((Int128)value < 0 ? -(Int128)value : value).ToString(CultureInfo.InvariantCulture);
        return (Sign(value < 0), text.PadLeft(digits ?? 0, '0'));
    }

    private (string Prefix, string Digits) Unsigned(ulong raw, int? digits)
    {
        ulong value = Length switch { "hh" => (byte)raw, "h" => (ushort)raw, "" => (uint)raw, _ => raw };
        string text = value == 0 && digits == 0 ? "" : Letter switch
        {
            'u' => value.ToString(CultureInfo.InvariantCulture),
            'o' => System.Convert.ToString(unchecked((long)value), 8),
            _ => value.ToString("x", CultureInfo.InvariantCulture),
        };
        text = text.PadLeft(digits ?? 0, '0');
        if (Letter == 'o' && Has('#') && !text.StartsWith('0'))
        {
            text = "0" + text;
        }

        return (Letter is 'x' or 'X' && Has('#') && value != 0 ? "0x" : "", text);
    }

    private string Float(double value, int? digits) => Letter switch
    {
        'f' or 'F' => Fixed(value, digits ?? 6),
        'e' or 'E' => Exponent(value, digits ?? 6),
        'g' or 'G' => General(value, digits is null ? 6 : Math.Max(1, digits.Value)),
        _ => Hexadecimal(value, digits),
    };

    private string Point(string whole, string fraction) => fraction.Length > 0 || Has('#') ? $"{whole}.{fraction}" : whole;

    private string Fixed(double value, int digits)
    {
        string text = Scaled(value, digits).ToString(CultureInfo.InvariantCulture).PadLeft(digits + 1, '0');
        return Point(text[..^digits], text[^digits..]);
    }

    private string Exponent(double value, int digits)
    {
        (string text, int exponent) = Digits(value, digits + 1);
        return Point(text[..1], text[1..]) + Power('e', exponent);
    }

    private static string Power(char letter, int exponent) =>
        $"{letter}{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent).ToString(letter == 'p' ? "0" : "00", CultureInfo.InvariantCulture)}";

    private string General(double value, int digits)
    {
        (string text, int exponent) = Digits(value, digits);
        if (exponent >= -4 && exponent < digits)
        {
            text = text.PadLeft(digits - Math.Min(exponent, 0), '0');
            int whole = Math.Max(exponent, 0) + 1;
            return Point(text[..whole], Fraction(text[whole..]));
        }

        return Point(text[..1], Fraction(text[1..])) + Power('e', exponent);
    }

    /// <summary>%g drops the zeros at the end, unless told not to.</summary>
    private string Fraction(string digits) => Has('#') ? digits : digits.TrimEnd('0');

    private string Hexadecimal(double value, int? digits)
    {
        ulong bits = BitConverter.DoubleToUInt64Bits(value), fraction = bits & ((1UL << 52) - 1);
        int exponent = (int)(bits >> 52);
        ulong leading = exponent == 0 ? 0u : 1u;
        exponent = bits == 0 ? 0 : Math.Max(exponent, 1) - 1023;
        if (digits is < 13)
        {
            int drop = 52 - (4 * digits.Value);
            UInt128 whole = ((UInt128)leading << 52) | fraction, unit = (UInt128)1 << drop, half = unit >> 1, rest = whole & (unit - 1);
            whole >>= drop;
            whole += rest > half || (rest == half && (whole & 1) != 0) ? 1u : 0u;
            whole <<= drop;
            leading = (ulong)(whole >> 52);
            fraction = (ulong)whole & ((1UL << 52) - 1);
        }

        string text = fraction.ToString("x13", CultureInfo.InvariantCulture);
        text = digits is null ? text.TrimEnd('0') : text.PadRight(digits.Value, '0')[..digits.Value];
        return Point(leading.ToString(CultureInfo.InvariantCulture), text) + Power('p', exponent);
    }

    /// <summary>value * 10^digits rounded to an integer, half to even: exact, as C libraries do.</summary>
    private static BigInteger Scaled(double value, int digits)
    {
        ulong bits = BitConverter.DoubleToUInt64Bits(value);
        int exponent = (int)((bits >> 52) & 0x7FF);
        BigInteger top = (bits & ((1UL << 52) - 1)) | (exponent == 0 ? 0 : 1UL << 52), bottom = BigInteger.One;
        int power = Math.Max(exponent, 1) - 1075;
        (top, bottom) = power >= 0 ? (top << power, bottom) : (top, bottom << -power);
        (top, bottom) = digits >= 0 ? (top * BigInteger.Pow(10, digits), bottom) : (top, bottom * BigInteger.Pow(10, -digits));
        var whole = BigInteger.DivRem(top, bottom, out BigInteger rest);
        int side = (rest * 2).CompareTo(bottom);
        return side > 0 || (side == 0 && !whole.IsEven) ? whole + 1 : whole;
    }

    /// <summary>The first digits of a number, and the power of ten of the first of them.</summary>
    private static (string Digits, int Exponent) Digits(double value, int count)
    {
        if (value == 0)
        {
            return (new string('0', count), 0);
        }

        // The logarithm may be off by one, and rounding may carry into a new digit.
        for (int exponent = (int)Math.Floor(Math.Log10(value)) - 1; ; exponent++)
        {
            string text = Scaled(value, count - 1 - exponent).ToString(CultureInfo.InvariantCulture);
            if (text.Length <= count)
            {
                return (text, exponent);
            }
        }
    }
}
