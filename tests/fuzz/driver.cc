// Runs a fuzzer without libFuzzer: every seed, then inputs that a generator makes of the seeds.
//
//   stack_fuzz --seconds 1 tests/fuzz/corpus/stack      as ctest does
//   stack_fuzz --only 4711 tests/fuzz/corpus/stack      one of the made inputs again
//   stack_fuzz FILE                                     that input alone
//
// Input N depends on the seeds, --seed and N alone. At most --runs inputs are made, fewer when
// --seconds are over; one that takes longer than kPatience is a failure. A failure prints how to
// repeat it and leaves the input in ./NAME_fuzz.failure (libFuzzer's binaries take it too).
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/random.h"
#include "tests/fuzz/fuzz.h"

namespace swarm::fuzz {
namespace {

constexpr unsigned kPatienceSeconds = 20;
constexpr size_t kLongestInput = 64 << 10;
constexpr int kMostChanges = 8;

struct Options {
  uint64_t seed = 1;
  uint64_t runs = 1'000'000;
  double seconds = 1;
  bool only = false;
  uint64_t only_run = 0;
  std::vector<std::string> paths;
};

// What the handler of a crash says; it may not allocate.
struct Current {
  const std::string* input = nullptr;
  std::array<char, 512> how = {};
  std::array<char, 256> file = {};  // where a failure is kept
};
Current current;

void OnCrash(int signal) {
  // What write() cannot write, nobody can help with.
  const auto say = [](const char* text) { (void)!write(STDERR_FILENO, text, strlen(text)); };
  say(signal == SIGALRM ? "\nThis input took too long" : "\nThis input fails");
  say("; it is kept in ");
  say(current.file.data());
  say(". Again: ");
  say(current.how.data());
  say("\n");
  const int file = open(current.file.data(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file >= 0 && current.input != nullptr) {
    (void)!write(file, current.input->data(), current.input->size());
  }
  _exit(1);
}

// On a stack of its own: a recursion without end is a finding too.
void CatchCrashes() {
  static std::array<char, 64 << 10> stack;
  stack_t alternative = {};
  alternative.ss_sp = stack.data();
  alternative.ss_size = stack.size();
  sigaltstack(&alternative, nullptr);
  struct sigaction action = {};
  action.sa_handler = OnCrash;
  action.sa_flags = SA_ONSTACK;
  for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM}) {
    sigaction(signal, &action, nullptr);
  }
}

void RunOne(const std::string& input, const std::string& how) {
  current.input = &input;
  snprintf(current.how.data(), current.how.size(), "%s", how.c_str());
  alarm(kPatienceSeconds);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  alarm(0);
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The files of a folder in the order of their names, or the file.
std::vector<std::filesystem::path> FilesAt(const std::string& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// --------------------------------------------------------------------------------------- making

size_t Place(Random& random, const std::string& text) { return random.Below(text.size() + 1); }

std::string Piece(Random& random, const std::string& text) {
  if (text.empty()) return text;
  const size_t from = random.Below(text.size());
  return text.substr(from, 1 + random.Below(std::min<size_t>(text.size() - from, 64)));
}

char Special(Random& random) {
  using std::literals::operator""sv;  // counts the zero too
  static constexpr std::string_view kSpecials =
      "\0\n\r\t \"'\\/*-+,.:;=!#$%&@{}[]()<>|?~09azAZ\x7f\xff"sv;
  return kSpecials[random.Below(kSpecials.size())];
}

void Change(Random& random, const std::vector<std::string>& seeds, std::string& input) {
  static constexpr std::array<const char*, 8> kNumbers = {
      "0", "-1", "59", "255", "65536", "2147483648", "9223372036854775807", "1e999"};
  const size_t at = Place(random, input);
  switch (random.Below(9)) {
    case 0:  // a bit
      if (!input.empty())
        input[random.Below(input.size())] ^= static_cast<char>(1 << random.Below(8));
      break;
    case 1:
      if (!input.empty()) input[random.Below(input.size())] = Special(random);
      break;
    case 2:
      input.insert(at, 1, Special(random));
      break;
    case 3:
      input.erase(at, 1 + random.Below(16));
      break;
    case 4:
      input.insert(at, Piece(random, input));
      break;
    case 5:
      input.insert(at, Piece(random, seeds[random.Below(seeds.size())]));
      break;
    case 6: {  // the beginning of one, the end of another
      const std::string& other = seeds[random.Below(seeds.size())];
      input = input.substr(0, at) + other.substr(Place(random, other));
      break;
    }
    case 7:
      input.insert(at, kNumbers[random.Below(kNumbers.size())]);
      break;
    case 8: {  // over and over: depth and length
      const std::string piece = Piece(random, input);
      for (uint64_t n = random.Below(64); n > 0; --n) input.insert(at, piece);
      break;
    }
  }
  input.resize(std::min(input.size(), kLongestInput));
}

std::string Make(uint64_t seed, uint64_t run, const std::vector<std::string>& seeds) {
  const std::unique_ptr<Random> random = MakeSeededRandom(seed * 0x9E3779B97F4A7C15 + run);
  std::string input = seeds[random->Below(seeds.size())];
  for (uint64_t n = 1 + random->Below(kMostChanges); n > 0; --n) Change(*random, seeds, input);
  return input;
}

// -------------------------------------------------------------------------------------- running

int Usage(const char* program) {
  fprintf(stderr, "usage: %s [--seed N] [--runs N] [--seconds N] [--only N] FOLDER|FILE…\n",
          program);
  return 2;
}

bool ReadOptions(int count, char** arguments, Options& options) {
  for (int i = 1; i < count; ++i) {
    const std::string_view word = arguments[i];
    if (!word.starts_with("--")) {
      options.paths.emplace_back(word);
      continue;
    }
    if (++i == count) return false;
    const char* value = arguments[i];
    if (word == "--seed") {
      options.seed = strtoull(value, nullptr, 10);
    } else if (word == "--runs") {
      options.runs = strtoull(value, nullptr, 10);
    } else if (word == "--seconds") {
      options.seconds = strtod(value, nullptr);
    } else if (word == "--only") {
      options.only = true;
      options.only_run = strtoull(value, nullptr, 10);
    } else {
      return false;
    }
  }
  return true;
}

int Run(const Options& options, const std::string& program) {
  using Clock = std::chrono::steady_clock;
  const auto started = Clock::now();
  std::vector<std::string> seeds = MoreSeeds();
  for (const std::string& seed : seeds) RunOne(seed, program + " (one of its own seeds)");
  std::string paths;
  for (const std::string& path : options.paths) {
    paths += " " + path;
    for (const auto& file : FilesAt(path)) {
      seeds.push_back(ReadFile(file));
      if (!options.only) RunOne(seeds.back(), program + " " + file.string());
    }
  }
  if (seeds.empty()) seeds.emplace_back();
  const bool folder = options.paths.size() != 1 || std::filesystem::is_directory(options.paths[0]);
  const std::string again = program + " --seed " + std::to_string(options.seed) + " --only ";
  uint64_t run = 0;
  if (options.only) {
    RunOne(Make(options.seed, options.only_run, seeds),
           again + std::to_string(options.only_run) + paths);
    run = 1;
  } else if (folder) {
    for (; run < options.runs; ++run) {
      if (Clock::now() - started > std::chrono::duration<double>(options.seconds)) break;
      RunOne(Make(options.seed, run, seeds), again + std::to_string(run) + paths);
    }
  }
  const std::chrono::duration<double> took = Clock::now() - started;
  printf("%zu seeds, %llu inputs made of them, %.1f s\n", seeds.size(),
         static_cast<unsigned long long>(run), took.count());
  return 0;
}

}  // namespace
}  // namespace swarm::fuzz

int main(int count, char** arguments) {
  swarm::fuzz::Options options;
  if (!swarm::fuzz::ReadOptions(count, arguments, options)) return swarm::fuzz::Usage(arguments[0]);
  for (const std::string& path : options.paths) {
    if (std::filesystem::exists(path)) continue;
    fprintf(stderr, "%s: no such file or folder\n", path.c_str());
    return 2;
  }
  const std::string name = std::filesystem::path(arguments[0]).filename().string();
  snprintf(swarm::fuzz::current.file.data(), swarm::fuzz::current.file.size(), "%s.failure",
           name.c_str());
  LLVMFuzzerInitialize(&count, &arguments);
  swarm::fuzz::CatchCrashes();
  return swarm::fuzz::Run(options, arguments[0]);
}
