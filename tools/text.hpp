// Small helpers of the kernel tools: files, processes, text.
#pragma once
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

[[noreturn]] inline void fail(const std::string& message, int code = 1) {
    std::cerr << message << "\n";
    std::exit(code);
}

inline std::string readFile(const std::string& path) {
    std::ifstream f(path, std::ios::binary);
    if (!f) fail("cannot read " + path);
    std::ostringstream s;
    s << f.rdbuf();
    return s.str();
}

// Written beside its place and renamed, so that a file is whole or not there.
inline void writeFile(const std::string& path, const std::string& text) {
    const std::string temporary = path + ".tmp";
    std::ofstream f(temporary, std::ios::binary);
    f << text;
    f.close();
    if (!f || std::rename(temporary.c_str(), path.c_str()) != 0) {
        std::remove(temporary.c_str());
        fail("cannot write " + path);
    }
}

inline std::string quoted(const std::string& argument) {   // for sh
    std::string q = "'";
    for (char c : argument) q += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return q + "'";
}

// Runs a program and collects what it prints on both streams; returns its exit code.
inline int run(const std::vector<std::string>& command, std::string& output) {
    std::string line;
    for (const std::string& a : command) line += quoted(a) + " ";
    output.clear();
    std::fflush(nullptr);
    FILE* pipe = popen((line + "2>&1").c_str(), "r");
    if (pipe == nullptr) fail("cannot start " + command[0]);
    std::array<char, 4096> buffer;
    for (size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) output.append(buffer.data(), n);
    const int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

inline bool startsWith(const std::string& s, const std::string& prefix) { return s.compare(0, prefix.size(), prefix) == 0; }

inline std::string trim(const std::string& s) {
    const size_t a = s.find_first_not_of(" \t\r\n"), b = s.find_last_not_of(" \t\r\n");
    return a == std::string::npos ? "" : s.substr(a, b - a + 1);
}

inline std::vector<std::string> split(const std::string& s, char separator) {
    std::vector<std::string> parts;
    std::istringstream in(s);
    for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
    return parts;
}
