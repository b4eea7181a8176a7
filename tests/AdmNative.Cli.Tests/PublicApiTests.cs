using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;
using AdmNative.Tests;

namespace AdmNative.Cli.Tests;

/// <summary>
/// The approved public surface of each library, one line per member, in tests/api; what the compiler adds to records is left out. A change of surface is meant, or it
/// is a mistake: run these tests with ADMNATIVE_UPDATE_API=1 to write what is there now, and look at the difference before committing it.
/// </summary>
public sealed class PublicApiTests
{
    private const BindingFlags Declared =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    [Theory]
    [InlineData("AdmNative.Core")]
    [InlineData("AdmNative.Formats")]
    [InlineData("AdmNative.Cpu")]
    [InlineData("AdmNative.Cuda")]
    [InlineData("AdmNative.VirtualGpu")]
    [InlineData("AdmNative.Diffusion")]
    public void The_public_surface_is_the_approved_one(string assembly)
    {
        string[] now = [.. Lines(Assembly.Load(assembly))];
        Assert.NotEmpty(now);
        string path = Repo.Path("tests", "api", assembly + ".txt");
        if (Environment.GetEnvironmentVariable("ADMNATIVE_UPDATE_API") == "1")
        {
            File.WriteAllLines(path, now);
        }

        Assert.True(File.Exists(path), $"{path} is missing: run this test with ADMNATIVE_UPDATE_API=1 to write it");
        string[] approved = File.ReadAllLines(path);
        string difference = string.Join(
            '\n', approved.Except(now).Select(l => "- " + l).Concat(now.Except(approved).Select(l => "+ " + l)));
        Assert.True(difference.Length == 0, $"the public surface of {assembly} changed (ADMNATIVE_UPDATE_API=1 accepts it):\n{difference}");
        Assert.Equal(approved, now);
    }

    private static IEnumerable<string> Lines(Assembly assembly) =>
        assembly.GetExportedTypes().SelectMany(Members).Order(StringComparer.Ordinal);

    private static IEnumerable<string> Members(Type type)
    {
        string name = Name(type);
        bool record = type.GetMethod("PrintMembers", Declared) is not null;
        string kind = type.IsEnum ? "enum" : type.IsInterface ? "interface" : type.IsValueType ? "struct"
            : type.IsAbstract && type.IsSealed ? "static class" : type.IsAbstract ? "abstract class" : type.IsSealed ? "sealed class" : "class";
        kind = record ? kind.Replace("class", "record", StringComparison.Ordinal).Replace("struct", "record struct", StringComparison.Ordinal) : kind;
        string bases = string.Join(
            ", ", (type.BaseType is { } b && b != typeof(object) && b != typeof(ValueType) && b != typeof(Enum) ? [Name(b)] : Array.Empty<string>())
                .Concat(type.GetInterfaces().Where(i => (i.IsPublic || i.IsNestedPublic) && !(record && i.Name == "IEquatable`1")).Select(i => Name(i)).Order(StringComparer.Ordinal)));
        yield return $"{name} : {kind} {bases}".TrimEnd();
        foreach (MemberInfo member in type.GetMembers(Declared))
        {
            if (Describe(type, member) is { } text)
            {
                yield return $"{name}.{text}";
            }
        }
    }

    private static string? Describe(Type owner, MemberInfo member) => member switch
    {
        FieldInfo { Name: "value__" } => null,
        MethodBase or PropertyInfo when member.IsDefined(typeof(CompilerGeneratedAttribute)) || member.Name == "EqualityContract" => null,
        FieldInfo f when Visible(f) && owner.IsEnum =>
            $"{f.Name} = {Convert.ToString(Convert.ChangeType(f.GetRawConstantValue(), Enum.GetUnderlyingType(owner), CultureInfo.InvariantCulture), CultureInfo.InvariantCulture)}",
        FieldInfo f when Visible(f) =>
            $"{f.Name} : {(f.IsLiteral ? "const " : f.IsStatic ? "static " : "")}{(f.IsInitOnly ? "readonly " : "")}{Name(f.FieldType)}",
        ConstructorInfo c when Visible(c) && !c.IsStatic => $"new({Parameters(c)})",
        MethodInfo m when Visible(m) && (!m.IsSpecialName || m.Name.StartsWith("op_", StringComparison.Ordinal)) && !m.Name.Contains('<', StringComparison.Ordinal) =>
            $"{Modifiers(m)}{m.Name}{Generics(m)}({Parameters(m)}) : {Name(m.ReturnType)}",
        PropertyInfo p when Accessors(p) is { Length: > 0 } accessors => $"{p.Name} : {(p.IsDefined(typeof(RequiredMemberAttribute)) ? "required " : "")}{Name(p.PropertyType)} {{ {accessors}}}",
        EventInfo e when e.AddMethod is { } add && Visible(add) => $"{e.Name} : event {Name(e.EventHandlerType!)}",
        _ => null,
    };

    private static string Accessors(PropertyInfo p)
    {
        var text = new StringBuilder();
        if (p.GetMethod is { } get && Visible(get))
        {
            text.Append(get.IsStatic ? "static get; " : "get; ");
        }

        if (p.SetMethod is { } set && Visible(set))
        {
            bool init = set.ReturnParameter.GetRequiredCustomModifiers().Any(m => m.Name == "IsExternalInit");
            text.Append(init ? "init; " : "set; ");
        }

        return text.ToString();
    }

    private static string Modifiers(MethodInfo m) =>
        m.IsStatic ? m.IsAbstract ? "static abstract " : "static " : m.DeclaringType!.IsInterface ? "" : m.IsAbstract ? "abstract " : "";

    private static string Generics(MethodInfo m) =>
        m.IsGenericMethod ? $"<{string.Join(", ", m.GetGenericArguments().Select(a => a.Name))}>" : "";

    private static string Parameters(MethodBase m) => string.Join(", ", m.GetParameters().Select(p =>
    {
        string prefix = p.IsOut ? "out " : p.ParameterType.IsByRef ? p.IsIn ? "in " : "ref " : "";
        Type type = p.ParameterType.IsByRef ? p.ParameterType.GetElementType()! : p.ParameterType;
        return $"{prefix}{Name(type)} {p.Name}{(p.HasDefaultValue ? " = " + (p.RawDefaultValue is null ? "default" : Convert.ToString(p.RawDefaultValue, CultureInfo.InvariantCulture)) : "")}";
    }));

    private static bool Visible(FieldInfo f) => f.IsPublic || f.IsFamily || f.IsFamilyOrAssembly;

    private static bool Visible(MethodBase m) => m.IsPublic || m.IsFamily || m.IsFamilyOrAssembly;

    private static string Name(Type type)
    {
        if (type.IsGenericParameter)
        {
            return type.Name;
        }

        if (type.IsArray)
        {
            return Name(type.GetElementType()!) + "[]";
        }

        if (type.IsPointer)
        {
            return Name(type.GetElementType()!) + "*";
        }

        if (type.IsByRef)
        {
            return "ref " + Name(type.GetElementType()!);
        }

        string simple = type.Name.Split('`')[0];
        string prefix = type.IsNested ? Name(type.DeclaringType!) + "." : "";
        string generics = type.IsGenericType ? $"<{string.Join(", ", type.GetGenericArguments().Select(a => Name(a)))}>" : "";
        return prefix + simple + generics;
    }
}
