// ptxc: compiles one CUDA C++ file to PTX with NVRTC, loaded at run time, so that building kernels needs no CUDA toolkit.
//
//   ptxc [-I DIR] [-arch compute_80] [-D NAME[=VALUE]] [-lineinfo] -o OUT.ptx IN.cu
//
// NVRTC is looked for in $ADMNATIVE_CUDA_TOOLCHAIN/lib, then where the system's loader looks. The output is deterministic: the
// compiler's own path and time never enter it, and the file is written to a temporary name and renamed.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

using Program = struct _nvrtcProgram*;

template <class F>
F symbol(void* library, const char* name) {
    void* p = dlsym(library, name);
    if (p == nullptr) {
        std::cerr << "ptxc: NVRTC has no " << name << "\n";
        std::exit(1);
    }
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
    std::cerr << "ptxc: NVRTC not found; run tools/fetch-cuda-toolchain DIR and set ADMNATIVE_CUDA_TOOLCHAIN=DIR\n" << trace;
    std::exit(1);
}

std::string read(const std::string& path) {
    std::ifstream f(path, std::ios::binary);
    if (!f) {
        std::cerr << "ptxc: cannot read " << path << "\n";
        std::exit(1);
    }
    std::ostringstream s;
    s << f.rdbuf();
    return s.str();
}

}  // namespace

int main(int argc, char** argv) {
    std::string in, out, arch = "compute_80";
    std::vector<std::string> options;
    for (int i = 1; i < argc; i++) {
        std::string a = argv[i];
        auto next = [&]() -> std::string {
            if (i + 1 >= argc) {
                std::cerr << "ptxc: " << a << " needs a value\n";
                std::exit(2);
            }
            return argv[++i];
        };
        if (a == "-o") out = next();
        else if (a == "-arch") arch = next();
        else if (a == "-I") options.push_back("-I" + next());
        else if (a == "-D") options.push_back("-D" + next());
        else if (a == "-lineinfo") options.push_back("-lineinfo");
        else if (!a.empty() && a[0] != '-' && in.empty()) in = a;
        else {
            std::cerr << "ptxc: unknown argument " << a << "\nusage: ptxc [-I DIR] [-arch compute_80] [-D N=V] [-lineinfo] -o OUT.ptx IN.cu\n";
            return 2;
        }
    }
    if (in.empty() || out.empty()) {
        std::cerr << "usage: ptxc [-I DIR] [-arch compute_80] [-D N=V] [-lineinfo] -o OUT.ptx IN.cu\n";
        return 2;
    }

    void* nvrtc = openNvrtc();
    auto create = symbol<int (*)(Program*, const char*, const char*, int, const char* const*, const char* const*)>(nvrtc, "nvrtcCreateProgram");
    auto compile = symbol<int (*)(Program, int, const char* const*)>(nvrtc, "nvrtcCompileProgram");
    auto logSize = symbol<int (*)(Program, size_t*)>(nvrtc, "nvrtcGetProgramLogSize");
    auto log = symbol<int (*)(Program, char*)>(nvrtc, "nvrtcGetProgramLog");
    auto ptxSize = symbol<int (*)(Program, size_t*)>(nvrtc, "nvrtcGetPTXSize");
    auto ptx = symbol<int (*)(Program, char*)>(nvrtc, "nvrtcGetPTX");
    auto error = symbol<const char* (*)(int)>(nvrtc, "nvrtcGetErrorString");

    std::string source = read(in), name = in.substr(in.find_last_of('/') + 1);
    options.insert(options.begin(), {"--gpu-architecture=" + arch, "-std=c++17", "-default-device"});
    std::vector<const char*> raw;
    for (const std::string& o : options) raw.push_back(o.c_str());

    Program program = nullptr;
    int status = create(&program, source.c_str(), name.c_str(), 0, nullptr, nullptr);
    if (status == 0) status = compile(program, static_cast<int>(raw.size()), raw.data());
    size_t n = 0;
    if (program != nullptr && logSize(program, &n) == 0 && n > 1) {
        std::string text(n, '\0');
        log(program, text.data());
        std::cerr << text.c_str();
    }
    if (status != 0 || ptxSize(program, &n) != 0) {
        std::cerr << "ptxc: " << in << ": " << error(status) << "\n";
        return 1;
    }
    std::string text(n, '\0');
    ptx(program, text.data());
    text.resize(text.find('\0'));

    const std::string temporary = out + ".tmp";
    {
        std::ofstream f(temporary, std::ios::binary);
        f << text;
        if (!text.empty() && text.back() != '\n') f << '\n';
        f.flush();
        if (!f) {
            std::cerr << "ptxc: cannot write " << temporary << "\n";
            std::remove(temporary.c_str());
            return 1;
        }
    }
    if (std::rename(temporary.c_str(), out.c_str()) != 0) {
        std::cerr << "ptxc: cannot rename to " << out << "\n";
        return 1;
    }
    return 0;
}
