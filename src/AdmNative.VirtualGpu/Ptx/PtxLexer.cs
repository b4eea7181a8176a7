using System.Globalization;

namespace AdmNative.VirtualGpu.Ptx;

internal enum TokenKind : byte
{
    /// <summary>Identifier, possibly with leading % or $.</summary>
    Word,

    /// <summary>A dot and a word: directive, modifier or type; text without the dot.</summary>
    Dotted,

    /// <summary>Integer literal, value in Bits.</summary>
    Integer,

    /// <summary>0f... literal, bits in Bits.</summary>
    Float32,

    /// <summary>0d... or decimal fraction, bits in Bits.</summary>
    Float64,

    /// <summary>Quoted text.</summary>
    Text,

    /// <summary>One of { } ( ) [ ] , ; : @ ! | + - = &lt; &gt; *.</summary>
    Mark,

    /// <summary>End of input.</summary>
    End,
}

internal readonly record struct Token(TokenKind Kind, string Text, ulong Bits, int Line)
{
    public bool Is(char mark) => Kind == TokenKind.Mark && Text[0] == mark;

    public override string ToString() => Kind == TokenKind.End ? "end of file" : $"'{(Kind == TokenKind.Dotted ? "." : "")}{Text}'";
}

/// <summary>Splits PTX text into tokens. Whitespace and comments only separate; statements end at semicolons, not at lines.</summary>
internal sealed class PtxLexer(string text)
{
    /// <summary>Brackets of all kinds open at once; deeper text is hostile, and is refused before it fills the memory with tokens.</summary>
    public const int MaxNesting = 512;

    /// <summary>Characters of one name or number.</summary>
    public const int MaxWord = 1 << 14;

    private const string Marks = "{}()[],;:@!|+-=<>*";
    private static readonly string[] s_marks = [.. Marks.Select(c => c.ToString())];
    private readonly int _end = text.AsSpan().TrimEnd('\0').Length;
    private int _position;
    private int _line = 1;

    public static List<Token> Tokenize(string text)
    {
        var lexer = new PtxLexer(text);
        var tokens = new List<Token>(Math.Min(text.Length / 4, 1 << 16));
        Token token;
        int depth = 0;
        do
        {
            token = lexer.Next();
            tokens.Add(token);
            if (token.Kind == TokenKind.Mark)
            {
                depth += token.Text[0] is '{' or '(' or '[' ? 1 : token.Text[0] is '}' or ')' or ']' ? -1 : 0;
                if (depth > MaxNesting)
                {
                    throw new PtxException(token.Line, $"more than {MaxNesting} brackets are open");
                }
            }
            else if (token.Text.Length > MaxWord && token.Kind != TokenKind.Text)
            {
                throw new PtxException(token.Line, $"a name or number of {token.Text.Length} characters");
            }
        }
        while (token.Kind != TokenKind.End);
        return tokens;
    }

    private Token Next()
    {
        SkipBlanks();
        if (_position >= text.Length)
        {
            return new Token(TokenKind.End, "", 0, _line);
        }

        char c = text[_position];
        int start = _position;
        if (IsWordStart(c))
        {
            _position++;
            SkipWhile(IsWordPart);
            return new Token(TokenKind.Word, text[start.._position], 0, _line);
        }

        if (c == '.' && IsWordPart(Peek(1)))
        {
            _position++;
            SkipWhile(IsWordPart);
            while (Peek(0) == ':' && Peek(1) == ':' && IsWordPart(Peek(2)))
            {
                _position += 2;
                SkipWhile(IsWordPart);
            }

            return new Token(TokenKind.Dotted, text[(start + 1).._position], 0, _line);
        }

        if (char.IsAsciiDigit(c))
        {
            return Number();
        }

        if (c == '"')
        {
            int close = text.IndexOf('"', start + 1);
            if (close < 0 || text.AsSpan(start, close - start).Contains('\n'))
            {
                throw new PtxException(_line, "text without closing quote");
            }

            _position = close + 1;
            return new Token(TokenKind.Text, text[(start + 1)..close], 0, _line);
        }

        int mark = Marks.IndexOf(c, StringComparison.Ordinal);
        if (mark >= 0)
        {
            _position++;
            return new Token(TokenKind.Mark, s_marks[mark], 0, _line);
        }

        string shown = char.IsControl(c) ? $"character {(int)c}" : $"'{c}'";
        throw new PtxException(_line, $"{shown} does not belong in PTX");
    }

    private Token Number()
    {
        int start = _position;
        if (text[start] == '0' && (Peek(1) | 0x20) is 'f' or 'd')
        {
            bool single = (Peek(1) | 0x20) == 'f';
            int digits = single ? 8 : 16;
            _position += 2;
            int hexStart = _position;
            SkipWhile(char.IsAsciiHexDigit);
            if (_position - hexStart != digits || IsWordPart(Peek(0)))
            {
                throw new PtxException(_line, $"a {(single ? "0f" : "0d")} literal takes {digits} hexadecimal digits");
            }

            ulong bits = ulong.Parse(text.AsSpan(hexStart, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            return new Token(single ? TokenKind.Float32 : TokenKind.Float64, text[start.._position], bits, _line);
        }

        SkipWhile(IsWordPart);
        if (Peek(0) == '.' && char.IsAsciiDigit(Peek(1)))
        {
            _position++;
            SkipWhile(char.IsAsciiDigit);
            if ((Peek(0) | 0x20) == 'e')
            {
                _position++;
                if (Peek(0) is '+' or '-')
                {
                    _position++;
                }

                SkipWhile(char.IsAsciiDigit);
            }

            string fraction = text[start.._position];
            return double.TryParse(fraction, NumberStyles.Float, CultureInfo.InvariantCulture, out double d)
                ? new Token(TokenKind.Float64, fraction, BitConverter.DoubleToUInt64Bits(d), _line)
                : throw new PtxException(_line, $"'{fraction}' is not a number");
        }

        string literal = text[start.._position];
        string digitsOnly = literal.TrimEnd('U', 'u');
        return TryInteger(digitsOnly, out ulong value)
            ? new Token(TokenKind.Integer, literal, value, _line)
            : throw new PtxException(_line, $"'{(literal.Length > 64 ? literal[..64] + "..." : literal)}' is not a number");
    }

    private static bool TryInteger(string s, out ulong value)
    {
        value = 0;
        int radix = 10, i = 0;
        if (s.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            (radix, i) = (16, 2);
        }
        else if (s.StartsWith("0b", StringComparison.OrdinalIgnoreCase))
        {
            (radix, i) = (2, 2);
        }
        else if (s.Length > 1 && s[0] == '0')
        {
            (radix, i) = (8, 1);
        }

        if (i >= s.Length)
        {
            return false;
        }

        for (; i < s.Length; i++)
        {
            int digit = char.IsAsciiHexDigit(s[i]) ? Convert.ToInt32(s[i].ToString(), 16) : 99;
            if (digit >= radix || value > (ulong.MaxValue - (ulong)digit) / (ulong)radix)
            {
                return false;
            }

            value = (value * (ulong)radix) + (ulong)digit;
        }

        return true;
    }

    private void SkipBlanks()
    {
        while (_position < text.Length)
        {
            char c = text[_position];
            if (c == '\n')
            {
                _line++;
                _position++;
            }
            else if (c is ' ' or '\t' or '\r' or '\f' or '\v' || _position >= _end)
            {
                _position++;
            }
            else if (c == '/' && Peek(1) == '/')
            {
                int end = text.IndexOf('\n', _position);
                _position = end < 0 ? text.Length : end;
            }
            else if (c == '/' && Peek(1) == '*')
            {
                int end = text.IndexOf("*/", _position + 2, StringComparison.Ordinal);
                if (end < 0)
                {
                    throw new PtxException(_line, "comment without end");
                }

                _line += text.AsSpan(_position, end - _position).Count('\n');
                _position = end + 2;
            }
            else
            {
                return;
            }
        }
    }

    private void SkipWhile(Func<char, bool> test)
    {
        while (_position < text.Length && test(text[_position]))
        {
            _position++;
        }
    }

    private char Peek(int ahead) => _position + ahead < text.Length ? text[_position + ahead] : '\0';

    private static bool IsWordStart(char c) => char.IsAsciiLetter(c) || c is '_' or '$' or '%';

    private static bool IsWordPart(char c) => char.IsAsciiLetterOrDigit(c) || c is '_' or '$';
}
