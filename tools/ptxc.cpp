// ptxc: compiles one CUDA C++ file to PTX with NVRTC, loaded at run time, so that building kernels needs no CUDA toolkit; or with nvcc.
//
//   ptxc [--compiler nvrtc|nvcc] [--root DIR] [--ptxas FILE] [-arch compute_80] [-D NAME[=VALUE]] -o OUT.ptx IN.cu
//
// NVRTC is looked for in $ADMNATIVE_CUDA_TOOLCHAIN/lib, then where the system's loader looks; nvcc in $ADMNATIVE_CUDA_TOOLCHAIN/bin, then
// in PATH. Includes are found beside IN.cu. Line information is always written.
//
// The output depends on the sources and the compiler only: run from anywhere, files are named relative to --root (default: the current
// directory), with no times. With --ptxas, `.version` becomes the lowest that assembles for sm_80, sm_86, sm_89 and sm_90, so that the
// oldest drivers which can run the code accept it.
#include <dlfcn.h>
#include <limits.h>
#include <unistd.h>

#include "text.hpp"

namespace {

using Program = struct _nvrtcProgram*;

template <class F>
F symbol(void* library, const char* name) {
    void* p = dlsym(library, name);
    if (p == nullptr) fail(std::string("ptxc: NVRTC has no ") + name);
    return reinterpret_cast<F>(p);
}

void* openNvrtc() {
    std::vector<std::string> names;
    if (const char* root = std::getenv("ADMNATIVE_CUDA_TOOLCHAIN")) {
        // NVRTC opens its builtins by name: load them first from the same place.
        for (const char* b : {"/lib/libnvrtc-builtins.so.12.4", "/lib/libnvrtc-builtins.so"})
            if (dlopen((root + std::string(b)).c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) break;
        names.push_back(root + std::string("/lib/libnvrtc.so.12"));
        names.push_back(root + std::string("/lib/libnvrtc.so"));
    }
    names.insert(names.end(), {"libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so.11.2", "libnvrtc.so"});
    std::string trace;
    for (const std::string& n : names) {
        if (void* h = dlopen(n.c_str(), RTLD_NOW)) return h;
        trace += std::string("  ") + dlerror() + "\n";
    }
    fail("ptxc: NVRTC not found; run tools/fetch-cuda-toolchain DIR and set ADMNATIVE_CUDA_TOOLCHAIN=DIR\n" + trace);
}

std::string compileWithNvrtc(const std::string& in, const std::vector<std::string>& options) {
    void* nvrtc = openNvrtc();
    auto create = symbol<int (*)(Program*, const char*, const char*, int, const char* const*, const char* const*)>(nvrtc, "nvrtcCreateProgram");
    auto compile = symbol<int (*)(Program, int, const char* const*)>(nvrtc, "nvrtcCompileProgram");
    auto logSize = symbol<int (*)(Program, size_t*)>(nvrtc, "nvrtcGetProgramLogSize");
    auto log = symbol<int (*)(Program, char*)>(nvrtc, "nvrtcGetProgramLog");
    auto ptxSize = symbol<int (*)(Program, size_t*)>(nvrtc, "nvrtcGetPTXSize");
    auto ptx = symbol<int (*)(Program, char*)>(nvrtc, "nvrtcGetPTX");
    auto error = symbol<const char* (*)(int)>(nvrtc, "nvrtcGetErrorString");

    const std::string source = readFile(in);
    std::vector<const char*> raw;
    for (const std::string& o : options) raw.push_back(o.c_str());
    Program program = nullptr;
    int status = create(&program, source.c_str(), in.c_str(), 0, nullptr, nullptr);
    if (status == 0) status = compile(program, static_cast<int>(raw.size()), raw.data());
    size_t n = 0;
    if (program != nullptr && logSize(program, &n) == 0 && n > 1) {
        std::string text(n, '\0');
        log(program, text.data());
        std::cerr << text.c_str();
    }
    if (status != 0 || ptxSize(program, &n) != 0) fail("ptxc: " + in + ": " + error(status));
    std::string text(n, '\0');
    ptx(program, text.data());
    text.resize(text.find('\0'));
    return text;
}

std::string compileWithNvcc(const std::string& in, const std::string& out, const std::vector<std::string>& options) {
    std::string nvcc = "nvcc", output;
    if (const char* root = std::getenv("ADMNATIVE_CUDA_TOOLCHAIN")) {
        const std::string own = root + std::string("/bin/nvcc");
        if (access(own.c_str(), X_OK) == 0) nvcc = own;
    }
    const std::string temporary = out + ".nvcc.ptx";
    std::vector<std::string> command = {nvcc, "-ptx"};
    command.insert(command.end(), options.begin(), options.end());
    command.insert(command.end(), {"-o", temporary, in});
    if (run(command, output) != 0) fail("ptxc: nvcc failed (is it in PATH or in $ADMNATIVE_CUDA_TOOLCHAIN/bin?)\n" + output);
    const std::string text = readFile(temporary);
    std::remove(temporary.c_str());
    return text;
}

// .file 1 "ROOT/kernels/a.cu", 1700000000, 123  ->  .file 1 "kernels/a.cu"; what lies outside the root keeps its last name only.
// A hint of some versions of the compiler, which bytes of a wide load are used, is left out: it alone would need PTX 8.3 (CUDA 12.3), and makes no
// difference to what ptxas makes of the file.
std::string tidy(const std::string& ptx, const std::string& root) {
    std::string result;
    for (const std::string& line : split(ptx, '\n')) {
        if (startsWith(trim(line), ".pragma \"used_bytes_mask")) continue;
        const size_t open = line.find('"'), close = line.rfind('"');
        if (!startsWith(trim(line), ".file") || open == std::string::npos || close == open) {
            result += line + "\n";
            continue;
        }
        std::string path = line.substr(open + 1, close - open - 1);
        for (size_t at; (at = path.find("/./")) != std::string::npos;) path.erase(at, 2);
        if (startsWith(path, root + "/")) path = path.substr(root.size() + 1);
        if (startsWith(path, "/")) path = path.substr(path.rfind('/') + 1);
        result += line.substr(0, open + 1) + path + "\"\n";
    }
    return result;
}

std::string lowerVersion(const std::string& ptx, const std::string& out, const std::string& ptxas) {
    const std::string word = "\n.version ";
    const size_t at = ptx.find(word) + word.size(), end = ptx.find('\n', at);
    const std::string current = ptx.substr(at, end - at);
    const std::string temporary = out + ".version.ptx";
    // ptxas lets this one pass, the manual does not: .loc with inlined_at needs 7.2.
    const std::string floor = ptx.find("inlined_at") == std::string::npos ? "7.0" : "7.2";
    std::string output;
    for (const char* candidate : {"7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "7.7", "7.8", "8.0", "8.1", "8.2", "8.3", "8.4", "8.5", "8.6", "8.7"}) {
        if (candidate < floor) continue;
        const std::string lowered = ptx.substr(0, at) + candidate + ptx.substr(end);
        writeFile(temporary, lowered);
        bool assembles = true;
        for (const char* arch : {"sm_80", "sm_86", "sm_89", "sm_90"})
            assembles = assembles && run({ptxas, "-arch", arch, "-o", "/dev/null", temporary}, output) == 0;
        std::remove(temporary.c_str());
        if (assembles) return lowered;
        if (candidate == current) break;
    }
    fail("ptxc: " + ptxas + " does not assemble .version " + current + ":\n" + output);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string usage = "usage: ptxc [--compiler nvrtc|nvcc] [--root DIR] [--ptxas FILE] [-arch compute_80] [-D N=V] -o OUT.ptx IN.cu";
    std::string in, out, root = ".", ptxas, compiler = "nvrtc", arch = "compute_80";
    std::vector<std::string> defines;
    for (int i = 1; i < argc; i++) {
        const std::string a = argv[i];
        auto next = [&]() -> std::string {
            if (i + 1 >= argc) fail("ptxc: " + a + " needs a value\n" + usage, 2);
            return argv[++i];
        };
        if (a == "-o") out = next();
        else if (a == "--compiler") compiler = next();
        else if (a == "--root") root = next();
        else if (a == "--ptxas") ptxas = next();
        else if (a == "-arch") arch = next();
        else if (a == "-D") defines.push_back("-D" + next());
        else if (!a.empty() && a[0] != '-' && in.empty()) in = a;
        else fail("ptxc: unknown argument " + a + "\n" + usage, 2);
    }
    if (in.empty() || out.empty() || (compiler != "nvrtc" && compiler != "nvcc")) fail(usage, 2);

    // Everything is named from the root: the compiler sees no other directory.
    char absoluteRoot[PATH_MAX], absoluteIn[PATH_MAX];
    if (realpath(root.c_str(), absoluteRoot) == nullptr) fail("ptxc: no directory " + root);
    if (realpath(in.c_str(), absoluteIn) == nullptr) fail("ptxc: no file " + in);
    if (out[0] != '/') {
        char here[PATH_MAX];
        if (getcwd(here, sizeof here) == nullptr) fail("ptxc: no current directory");
        out = std::string(here) + "/" + out;
    }
    if (chdir(absoluteRoot) != 0) fail("ptxc: cannot enter " + root);
    in = absoluteIn;
    if (startsWith(in, absoluteRoot + std::string("/"))) in = in.substr(std::string(absoluteRoot).size() + 1);
    const size_t slash = in.rfind('/');

    std::vector<std::string> options = {"-std=c++17", "-lineinfo", "-I" + (slash == std::string::npos ? "." : in.substr(0, slash))};
    options.push_back((compiler == "nvrtc" ? "--gpu-architecture=" : "-arch=") + arch);
    options.insert(options.end(), defines.begin(), defines.end());
    std::string ptx = compiler == "nvrtc" ? compileWithNvrtc(in, options) : compileWithNvcc(in, out, options);
    ptx = tidy(ptx, absoluteRoot);
    writeFile(out, ptxas.empty() ? ptx : lowerVersion(ptx, out, ptxas));
    return 0;
}
