#include "agent/runtime/device_filter.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

// Of struct bpf_insn.
uint64_t Instruction(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t immediate) {
  bpf_insn instruction = {};
  instruction.code = code;
  instruction.dst_reg = to;
  instruction.src_reg = from;
  instruction.off = offset;
  instruction.imm = immediate;
  uint64_t bits;
  std::memcpy(&bits, &instruction, sizeof bits);
  return bits;
}

// Registers of the program.
constexpr uint8_t kResult = 0, kContext = 1, kType = 2, kAccess = 3, kMajor = 4, kMinor = 5,
                  kScratch = 6;

uint64_t Load(uint8_t to, size_t offset) {
  return Instruction(BPF_LDX | BPF_MEM | BPF_W, to, kContext, static_cast<int16_t>(offset), 0);
}

int32_t AccessBits(const std::string& access) {
  int32_t bits = 0;
  for (const char c : access) {
    bits |= c == 'r' ? BPF_DEVCG_ACC_READ : c == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
  }
  return bits;
}

// One rule: falls through to the next unless all matches, then ends the program.
void AppendRule(const OciDeviceRule& rule, std::vector<uint64_t>* out) {
  std::vector<uint64_t> tests;
  std::vector<size_t> jumps;  // tests that leave the rule when they hold
  const auto leave_if_not_equal = [&](uint8_t reg, int64_t value) {
    jumps.push_back(tests.size());
    tests.push_back(Instruction(BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, static_cast<int32_t>(value)));
  };
  if (rule.type != 'a') {
    leave_if_not_equal(kType, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  }
  if (rule.major >= 0) leave_if_not_equal(kMajor, rule.major);
  if (rule.minor >= 0) leave_if_not_equal(kMinor, rule.minor);
  const int32_t access = AccessBits(rule.access);
  if (access != (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD)) {
    tests.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_X, kScratch, kAccess, 0, 0));
    // An allowing rule must cover all that is asked for, a denying one any of it.
    tests.push_back(
        Instruction(BPF_ALU64 | BPF_AND | BPF_K, kScratch, 0, 0, rule.allow ? ~access : access));
    jumps.push_back(tests.size());
    tests.push_back(
        Instruction(BPF_JMP | (rule.allow ? BPF_JNE : BPF_JEQ) | BPF_K, kScratch, 0, 0, 0));
  }
  tests.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, kResult, 0, 0, rule.allow ? 1 : 0));
  tests.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  for (const size_t jump : jumps) {
    bpf_insn instruction;
    std::memcpy(&instruction, &tests[jump], sizeof instruction);
    instruction.off = static_cast<int16_t>(tests.size() - jump - 1);
    std::memcpy(&tests[jump], &instruction, sizeof instruction);
  }
  out->insert(out->end(), tests.begin(), tests.end());
}

long Bpf(int command, bpf_attr* attributes) {
  return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

std::mutex program_mutex;

// Every container with the same rules has the same program. Holding program_mutex, which also keeps
// the descriptor open while it is used.
absl::StatusOr<int> LoadProgram(const std::vector<uint64_t>& instructions) {
  static auto& loaded = *new std::map<std::vector<uint64_t>, int>();
  if (const auto it = loaded.find(instructions); it != loaded.end()) return it->second;
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<uint64_t>(instructions.data());
  attributes.insn_cnt = static_cast<uint32_t>(instructions.size());
  attributes.license = reinterpret_cast<uint64_t>("Dual BSD/GPL");
  const long fd = Bpf(BPF_PROG_LOAD, &attributes);
  if (fd < 0) return ErrnoStatus(errno, "load the device filter");
  constexpr size_t kMaxLoaded = 64;
  if (loaded.size() >= kMaxLoaded) {
    for (const auto& [key, old] : loaded) close(old);
    loaded.clear();
  }
  return loaded[instructions] = static_cast<int>(fd);
}

}  // namespace

std::string DeviceRuleLine(const OciDeviceRule& rule) {
  if (rule.type == 'a') return "a";
  const auto number = [](int64_t value) {
    return value < 0 ? std::string("*") : absl::StrCat(value);
  };
  return absl::StrCat(std::string(1, rule.type), " ", number(rule.major), ":", number(rule.minor),
                      " ", rule.access);
}

std::vector<OciDeviceRule> WithDefaultDevices(const std::vector<OciDeviceRule>& rules) {
  std::vector<OciDeviceRule> out = {{false, 'a', -1, -1, "rwm"}};
  for (const OciDeviceRule& rule : rules) {
    if (out.size() == 1 && rule.type == 'a' && !rule.allow) continue;  // said already
    out.push_back(rule);
  }
  constexpr int64_t kAlways[][2] = {{1, 3}, {1, 5}, {1, 7}, {1, 8},
                                    {1, 9}, {5, 0}, {5, 2}, {136, -1}};
  out.push_back({true, 'c', -1, -1, "m"});
  out.push_back({true, 'b', -1, -1, "m"});
  for (const auto& [major, minor] : kAlways) out.push_back({true, 'c', major, minor, "rwm"});
  return out;
}

std::vector<uint64_t> AssembleDeviceProgram(const std::vector<OciDeviceRule>& rules) {
  std::vector<uint64_t> out;
  // access_type holds the kind of device in its low half and the access in its high half.
  out.push_back(Load(kType, offsetof(bpf_cgroup_dev_ctx, access_type)));
  out.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_X, kAccess, kType, 0, 0));
  out.push_back(Instruction(BPF_ALU64 | BPF_AND | BPF_K, kType, 0, 0, 0xffff));
  out.push_back(Instruction(BPF_ALU64 | BPF_RSH | BPF_K, kAccess, 0, 0, 16));
  out.push_back(Load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)));
  out.push_back(Load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)));
  // The last rule that matches counts, so the program asks the last one first; a rule for
  // everything hides all before it.
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    AppendRule(*rule, &out);
    if (rule->type == 'a' && rule->access.size() == 3) return out;
  }
  out.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, kResult, 0, 0, 0));
  out.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return out;
}

absl::Status AttachDeviceProgram(int cgroup_fd, const std::vector<OciDeviceRule>& rules) {
  const std::lock_guard<std::mutex> lock(program_mutex);
  ASSIGN_OR_RETURN(const int program, LoadProgram(AssembleDeviceProgram(rules)));
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof attributes);
  attributes.target_fd = static_cast<uint32_t>(cgroup_fd);
  attributes.attach_bpf_fd = static_cast<uint32_t>(program);
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (Bpf(BPF_PROG_ATTACH, &attributes) != 0) return ErrnoStatus(errno, "attach the device filter");
  return absl::OkStatus();
}

}  // namespace swarm::agent
