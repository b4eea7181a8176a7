// catalogue: describes the PTX files of the kernel bundle, precisely enough to launch every entry from the description alone.
//
//   catalogue --root DIR --ptxas FILE -o kernels/ptx/catalogue.json kernels/ptx/A.sm80.ptx ...      (run from anywhere; names are under DIR)
//
// A.sm80.ptx was made from kernels/A.cu. From the PTX come entries, parameter sizes, limits and shared memory; from the source the
// parameter structs (FIELD and SIZE lines, which the compiler has proved) and the launch rules (`// launch NAMES(STRUCT): rule` in the
// header comment; NAMES may hold {a,b} lists); from ptxas registers, spills, stack, shared and constant bytes for each architecture.
// What the two disagree about is an error.
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "sha256.hpp"
#include "text.hpp"

namespace {

const std::vector<std::string> kArchitectures = {"sm_80", "sm_86", "sm_89", "sm_90"};

struct Field { std::string name, type, comment; int offset = -1, bytes = 0; };
struct Struct { std::vector<Field> fields; int bytes = 0; };
struct Rule { std::string structName, text; };
struct Parameter { std::string name; int offset, bytes, align; };
struct Resources { int registers = 0, spillStores = 0, spillLoads = 0, stack = 0, shared = 0, constant = 0; };

struct Entry {
    std::string name;
    std::vector<Parameter> parameters;
    std::vector<int> maxThreads, requiredThreads;
    int minBlocks = 0, maxRegisters = 0, shared = 0;
    bool dynamicShared = false;
    std::map<std::string, Resources> resources;
};

// ---- sources

// The file and everything it includes with quotes, in order of name.
void collect(const std::string& path, std::set<std::string>& files) {
    if (!files.insert(path).second) return;
    static const std::regex include("^\\s*#\\s*include\\s*\"([^\"]+)\"");
    for (const std::string& line : split(readFile(path), '\n')) {
        std::smatch m;
        if (!std::regex_search(line, m, include)) continue;
        const std::string beside = path.substr(0, path.rfind('/') + 1) + m[1].str();
        collect(access(beside.c_str(), R_OK) == 0 ? beside : "kernels/" + m[1].str(), files);
    }
}

std::vector<std::string> expand(const std::string& names) {
    const size_t open = names.find('{');
    if (open == std::string::npos) return {names};
    const size_t close = names.find('}', open);
    if (close == std::string::npos) fail("no } in " + names);
    std::vector<std::string> all;
    for (const std::string& choice : split(names.substr(open + 1, close - open - 1), ','))
        for (const std::string& rest : expand(names.substr(close + 1))) all.push_back(names.substr(0, open) + choice + rest);
    return all;
}

void readSource(const std::string& path, std::map<std::string, Struct>& structs, std::map<std::string, Rule>& rules) {
    static const std::regex launch("^// launch ([a-z0-9_{},]+)\\((\\w+)\\): (.*)"), more("^//        (.*)");
    static const std::regex field("^FIELD\\((\\w+), (\\w+), (\\d+), (\\d+)\\);"), size("^SIZE\\((\\w+), (\\d+)\\);");
    static const std::regex open("^struct (\\w+) \\{"), member("^    ([\\w ]+?[ *]+)(\\w+(?:, \\w+)*);(?:\\s*// (.*))?$");
    std::string inside;
    std::vector<std::string> latest;
    std::smatch m;
    for (const std::string& line : split(readFile(path), '\n')) {
        if (std::regex_search(line, m, launch)) {
            latest = expand(m[1]);
            for (const std::string& name : latest)
                if (!rules.emplace(name, Rule{m[2], m[3]}).second) fail(path + ": two launch rules for " + name);
        } else if (!latest.empty() && std::regex_search(line, m, more)) {
            for (const std::string& name : latest) rules[name].text += " " + trim(m[1]);
        } else if (std::regex_search(line, m, open)) {
            inside = m[1], latest.clear();
        } else if (!inside.empty() && startsWith(line, "};")) {
            inside.clear();
        } else if (!inside.empty() && std::regex_search(line, m, member)) {
            for (const std::string& name : split(m[2], ',')) structs[inside].fields.push_back({trim(name), trim(m[1]), trim(m[3]), -1, 0});
        } else if (std::regex_search(line, m, field)) {
            bool found = false;
            for (Field& f : structs[m[1]].fields)
                if (f.name == m[2]) f.offset = std::stoi(m[3]), f.bytes = std::stoi(m[4]), found = true;
            if (!found) fail(path + ": FIELD names " + m[1].str() + "." + m[2].str() + ", which was not read as a member");
        } else if (std::regex_search(line, m, size)) {
            structs[m[1]].bytes = std::stoi(m[2]);
        } else {
            latest.clear();
        }
    }
}

// ---- PTX

std::vector<int> numbers(const std::string& text) {
    static const std::regex number("\\d+");
    std::vector<int> all;
    for (std::sregex_iterator i(text.begin(), text.end(), number), end; i != end; ++i) all.push_back(std::stoi(i->str()));
    return all;
}

std::vector<Entry> readEntries(const std::string& ptx) {
    static const std::regex entry("\\.entry (\\w+)\\("), scalar("\\.param \\.[usbf](\\d+) (\\w+)"), block("\\.param \\.align (\\d+) \\.b8 (\\w+)\\[(\\d+)\\]");
    static const std::regex shared("^\\s*\\.shared \\.align (\\d+) \\.[usbf](\\d+) \\w+(?:\\[(\\d+)\\])?;"), dynamic("\\.extern \\.shared [^;]* (\\w+)\\[\\];");
    std::vector<Entry> entries;
    std::set<std::string> dynamicNames;
    Entry* now = nullptr;
    std::smatch m;
    int offset = 0;
    for (const std::string& line : split(ptx, '\n')) {
        if (std::regex_search(line, m, dynamic)) dynamicNames.insert(m[1]);
        if (std::regex_search(line, m, entry)) {
            entries.push_back({});
            now = &entries.back();
            now->name = m[1], offset = 0;
        } else if (now == nullptr) {
            continue;
        } else if (std::regex_search(line, m, block) || std::regex_search(line, m, scalar)) {
            const bool whole = m.size() == 4;
            const int bytes = whole ? std::stoi(m[3]) : std::stoi(m[1]) / 8, align = whole ? std::stoi(m[1]) : bytes;
            offset = (offset + align - 1) / align * align;
            now->parameters.push_back({m[2], offset, bytes, align});
            offset += bytes;
        } else if (startsWith(line, ".maxntid")) now->maxThreads = numbers(line);
        else if (startsWith(line, ".reqntid")) now->requiredThreads = numbers(line);
        else if (startsWith(line, ".minnctapersm")) now->minBlocks = numbers(line)[0];
        else if (startsWith(line, ".maxnreg")) now->maxRegisters = numbers(line)[0];
        else if (std::regex_search(line, m, shared)) {
            const int align = std::stoi(m[1]), count = m[3].matched ? std::stoi(m[3]) : 1;
            now->shared = (now->shared + align - 1) / align * align + std::stoi(m[2]) / 8 * count;
        }
        for (const std::string& name : dynamicNames)
            if (line.find(name) != std::string::npos) now->dynamicShared = true;
        if (startsWith(line, "}")) now = nullptr;
    }
    return entries;
}

void assemble(const std::string& path, const std::string& ptxas, std::vector<Entry>& entries) {
    static const std::regex compiling("Compiling entry function '(\\w+)'"), registers("Used (\\d+) registers"), spills("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads");
    static const std::regex shared("(\\d+) bytes smem"), constant("(\\d+) bytes cmem\\[\\d+\\]");
    for (const std::string& arch : kArchitectures) {
        std::string output;
        if (run({ptxas, "-v", "-arch", arch, "-o", "/dev/null", path}, output) != 0) fail("catalogue: " + path + " for " + arch + ":\n" + output);
        Resources* now = nullptr;
        std::smatch m;
        for (const std::string& line : split(output, '\n')) {
            if (std::regex_search(line, m, compiling)) {
                const auto e = std::find_if(entries.begin(), entries.end(), [&](const Entry& x) { return x.name == m[1]; });
                if (e == entries.end()) fail("catalogue: ptxas names an unknown entry " + m[1].str());
                now = &e->resources[arch];
            } else if (now != nullptr && std::regex_search(line, m, spills)) {
                now->stack = std::stoi(m[1]), now->spillStores = std::stoi(m[2]), now->spillLoads = std::stoi(m[3]);
            } else if (now != nullptr && std::regex_search(line, m, registers)) {
                now->registers = std::stoi(m[1]);
                if (std::regex_search(line, m, shared)) now->shared = std::stoi(m[1]);
                for (std::sregex_iterator i(line.begin(), line.end(), constant), end; i != end; ++i) now->constant += std::stoi((*i)[1]);
            }
        }
    }
    for (const Entry& e : entries)
        if (e.resources.size() != kArchitectures.size()) fail("catalogue: ptxas reported nothing on " + e.name);
}

// ---- JSON

std::string text(const std::string& s) {
    std::string q = "\"";
    for (char c : s) q += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    return q + "\"";
}

std::string list(const std::vector<int>& v) {
    std::string s = "[";
    for (size_t i = 0; i < v.size(); i++) s += (i ? ", " : "") + std::to_string(v[i]);
    return s + "]";
}

std::string hashes(const std::set<std::string>& files, const std::string& indent) {
    std::string s = "{";
    for (const std::string& f : files) s += (s.size() > 1 ? ",\n" : "\n") + indent + "  " + text(f) + ": " + text(sha256(readFile(f)));
    return s + "\n" + indent + "}";
}

std::string describe(const Entry& e, const Rule& rule, const Struct& layout) {
    const std::string in = "          ";
    std::string s = "        {\n" + in + "\"name\": " + text(e.name) + ",\n" + in + "\"launch\": " + text(rule.text) + ",\n";
    s += in + "\"parameters\": [\n";
    for (const Parameter& p : e.parameters) {
        s += in + "  {\"name\": " + text(p.name) + ", \"type\": " + text(rule.structName) + ", \"offset\": " + std::to_string(p.offset) + ", \"bytes\": " +
             std::to_string(p.bytes) + ", \"align\": " + std::to_string(p.align) + ", \"fields\": [";
        for (size_t i = 0; i < layout.fields.size(); i++) {
            const Field& f = layout.fields[i];
            s += std::string(i ? "," : "") + "\n" + in + "    {\"name\": " + text(f.name) + ", \"type\": " + text(f.type) + ", \"offset\": " +
                 std::to_string(f.offset) + ", \"bytes\": " + std::to_string(f.bytes) + ", \"what\": " + text(f.comment) + "}";
        }
        s += "\n" + in + "  ]}\n";
    }
    s += in + "],\n" + in + "\"maxThreads\": " + list(e.maxThreads) + ",\n" + in + "\"requiredThreads\": " + list(e.requiredThreads) + ",\n";
    s += in + "\"minBlocksPerSm\": " + std::to_string(e.minBlocks) + ",\n" + in + "\"maxRegisters\": " + std::to_string(e.maxRegisters) + ",\n";
    s += in + "\"staticSharedBytes\": " + std::to_string(e.shared) + ",\n" + in + "\"dynamicShared\": " + (e.dynamicShared ? "true" : "false") + ",\n";
    s += in + "\"resources\": {";
    for (const auto& [arch, r] : e.resources)
        s += std::string(arch == kArchitectures[0] ? "" : ",") + "\n" + in + "  " + text(arch) + ": {\"registers\": " + std::to_string(r.registers) +
             ", \"spillStoreBytes\": " + std::to_string(r.spillStores) + ", \"spillLoadBytes\": " + std::to_string(r.spillLoads) + ", \"stackBytes\": " +
             std::to_string(r.stack) + ", \"sharedBytes\": " + std::to_string(r.shared) + ", \"constantBytes\": " + std::to_string(r.constant) + "}";
    return s + "\n" + in + "}\n        }";
}

std::string find(const std::string& ptx, const char* pattern) {
    std::smatch m;
    if (!std::regex_search(ptx, m, std::regex(pattern))) fail(std::string("catalogue: no ") + pattern + " in the PTX");
    return m[1];
}

std::string describeImage(const std::string& path, const std::string& ptxas) {
    const std::string ptx = readFile(path), head = ptx.substr(0, 2000), file = path.substr(path.rfind('/') + 1);
    const std::string source = "kernels/" + file.substr(0, file.find('.')) + ".cu";
    std::set<std::string> files;
    collect(source, files);
    std::map<std::string, Struct> structs;
    std::map<std::string, Rule> rules;
    for (const std::string& f : files) readSource(f, structs, rules);

    std::vector<Entry> entries = readEntries(ptx);
    if (entries.size() != rules.size()) fail(source + ": " + std::to_string(rules.size()) + " launch rules for " + std::to_string(entries.size()) + " entries");
    assemble(path, ptxas, entries);
    std::string s = "    {\n      \"file\": " + text(file) + ",\n      \"sha256\": " + text(sha256(ptx)) + ",\n";
    s += "      \"version\": " + text(find(head, "\\.version (\\S+)")) + ",\n      \"target\": " + text(find(head, "\\.target (\\S+)")) + ",\n";
    s += "      \"compiler\": " + text(find(head, "// (Cuda compilation tools[^\n]*)")) + ",\n";
    s += "      \"source\": " + text(source) + ",\n      \"inputs\": " + hashes(files, "      ") + ",\n      \"entries\": [\n";
    for (size_t i = 0; i < entries.size(); i++) {
        const Entry& e = entries[i];
        if (rules.count(e.name) == 0) fail(source + ": no launch rule for " + e.name);
        const Rule& rule = rules[e.name];
        const Struct& layout = structs[rule.structName];
        if (e.parameters.size() != 1 || e.parameters[0].bytes != layout.bytes) fail(source + ": " + e.name + " does not take one " + rule.structName);
        for (const Field& f : layout.fields)
            if (f.offset < 0) fail(source + ": no FIELD line for " + rule.structName + "." + f.name);
        s += describe(e, rule, layout) + (i + 1 < entries.size() ? ",\n" : "\n");
    }
    return s + "      ]\n    }";
}

}  // namespace

int main(int argc, char** argv) {
    std::string out, root = ".", ptxas;
    std::vector<std::string> images;
    for (int i = 1; i < argc; i++) {
        const std::string a = argv[i];
        std::string* value = a == "-o" ? &out : a == "--root" ? &root : a == "--ptxas" ? &ptxas : nullptr;
        if (value == nullptr) images.push_back(a);
        else if (++i < argc) *value = argv[i];
        else fail("catalogue: " + a + " needs a value", 2);
    }
    if (out.empty() || ptxas.empty() || images.empty()) fail("usage: catalogue --root DIR --ptxas FILE -o OUT.json IMAGE.ptx ...", 2);
    if (chdir(root.c_str()) != 0) fail("catalogue: cannot enter " + root);
    std::sort(images.begin(), images.end());

    std::string version;
    if (run({ptxas, "--version"}, version) != 0) fail("catalogue: cannot run " + ptxas + "\n" + version);
    std::string s = "{\n  \"abi\": 1,\n  \"assembler\": " + text(find(version, "(Cuda compilation tools[^\n]*)")) + ",\n  \"images\": [\n";
    for (size_t i = 0; i < images.size(); i++) s += describeImage(images[i], ptxas) + (i + 1 < images.size() ? ",\n" : "\n");
    writeFile(out, s + "  ]\n}\n");
    return 0;
}
