#include "agent/runtime/seccomp_profile.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agent/runtime/json_reader.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"

namespace swarm::agent {
namespace {

// Calls that the kernel has and libseccomp 2.5.4 does not know. From 424 on, numbers are the same
// on all architectures.
struct LateCall {
  absl::string_view name;
  uint32_t number;
};
constexpr LateCall kLateCalls[] = {
    {"cachestat", 451},         {"fchmodat2", 452},        {"map_shadow_stack", 453},
    {"futex_wake", 454},        {"futex_wait", 455},       {"futex_requeue", 456},
    {"statmount", 457},         {"listmount", 458},        {"lsm_get_self_attr", 459},
    {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},       {"listxattrat", 465},
    {"removexattrat", 466},
#if defined(__x86_64__)
    {"uretprobe", 335},
#endif
};
// Calls above this were not thought of when the profile was written.
constexpr uint32_t kLastKnownCall = 466;

#if defined(__x86_64__)
constexpr uint32_t kNativeArchitecture = AUDIT_ARCH_X86_64;
// 32-bit programs, but not x32: its calls are ENOSYS in most kernels anyway, and a third of the
// filter.
constexpr std::pair<absl::string_view, uint32_t> kExtraArchitectures[] = {
    {"SCMP_ARCH_X86", SCMP_ARCH_X86}};
constexpr uint32_t kOtherArchitecture = AUDIT_ARCH_I386;
#elif defined(__aarch64__)
constexpr uint32_t kNativeArchitecture = AUDIT_ARCH_AARCH64;
constexpr std::pair<absl::string_view, uint32_t> kExtraArchitectures[] = {
    {"SCMP_ARCH_ARM", SCMP_ARCH_ARM}};
constexpr uint32_t kOtherArchitecture = AUDIT_ARCH_ARM;
#endif
#if defined(__x86_64__)
constexpr bool kHasSocketcall = true;
#else
constexpr bool kHasSocketcall = false;  // 32-bit ARM programs
#endif
constexpr uint32_t kSocketcall = 102;
constexpr uint32_t kFirstCommonCall = 424;
// What socketcall does as well.
constexpr absl::string_view kSocketCalls[] = {
    "socket",     "bind",    "connect", "listen",  "accept",   "getsockname", "getpeername",
    "socketpair", "send",    "recv",    "sendto",  "recvfrom", "shutdown",    "setsockopt",
    "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg"};

sock_filter Statement(uint16_t code, uint32_t k) { return {code, 0, 0, k}; }
sock_filter Jump(uint16_t code, uint32_t k, uint8_t yes, uint8_t no) { return {code, yes, no, k}; }

using LateActions = std::map<uint32_t, uint32_t>;  // call number to action

// What stands in front of libseccomp's program, which cannot express it.
struct Additions {
  LateActions late;               // for calls that it does not know
  std::optional<uint32_t> newer;  // for calls that nobody had thought of; unset: the default action
  // libseccomp allows it by itself wherever a profile allows socket or bind, without a look at the
  // family, which lies behind a pointer; a profile that wants this has to name it.
  std::optional<uint32_t> socketcall;
  bool other_architecture = false;
};

void AddReturn(uint32_t number, uint32_t action, std::vector<sock_filter>* out) {
  out->push_back(Jump(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
  out->push_back(Statement(BPF_RET | BPF_K, action));
}

std::vector<sock_filter> NativePart(const Additions& additions) {
  std::vector<sock_filter> out;
  for (const auto& [number, action] : additions.late) AddReturn(number, action, &out);
  if (additions.newer.has_value()) {
    // Not-yet-invented calls, and those of x32, which begin at 2^30.
    out.push_back(Jump(BPF_JMP | BPF_JGT | BPF_K, kLastKnownCall, 0, 1));
    out.push_back(Statement(BPF_RET | BPF_K, *additions.newer));
  }
  return out;
}

std::vector<sock_filter> OtherPart(const Additions& additions) {
  std::vector<sock_filter> out;
  if (!additions.other_architecture) return out;
  for (const auto& [number, action] : additions.late) {
    if (number >= kFirstCommonCall) AddReturn(number, action, &out);
  }
  if (additions.socketcall.has_value()) AddReturn(kSocketcall, *additions.socketcall, &out);
  return out;
}

std::vector<sock_filter> Prologue(const Additions& additions) {
  const auto load = [](size_t field) {
    return Statement(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(field));
  };
  std::vector<sock_filter> out = {load(offsetof(seccomp_data, arch))};
  const auto append = [&](uint32_t architecture, const std::vector<sock_filter>& part) {
    if (part.empty()) return;
    // The part loads the number over the architecture: it ends with that again.
    const auto size = static_cast<uint8_t>(part.size() + 2);
    out.push_back(Jump(BPF_JMP | BPF_JEQ | BPF_K, architecture, 0, size));
    out.push_back(load(offsetof(seccomp_data, nr)));
    out.insert(out.end(), part.begin(), part.end());
    out.push_back(load(offsetof(seccomp_data, arch)));
  };
  append(kNativeArchitecture, NativePart(additions));
  append(kOtherArchitecture, OtherPart(additions));
  if (out.size() == 1) out.clear();
  return out;
}

bool Permits(uint32_t action) { return action == SCMP_ACT_ALLOW || action == SCMP_ACT_LOG; }

absl::Status AddRule(scmp_filter_ctx context, const OciSyscallRule& rule, int number,
                     absl::string_view name) {
  std::vector<scmp_arg_cmp> arguments;
  bool repeated = false;
  for (const auto& argument : rule.args) {
    for (const scmp_arg_cmp& other : arguments) repeated |= other.arg == argument.index;
    scmp_arg_cmp compare = {argument.index, static_cast<scmp_compare>(argument.op), argument.value,
                            argument.value_two};
    arguments.push_back(compare);
  }
  int error = 0;
  if (repeated) {  // alternatives, as runc reads them
    for (const scmp_arg_cmp& argument : arguments) {
      if (error == 0) error = seccomp_rule_add_array(context, rule.action, number, 1, &argument);
    }
  } else {
    error = seccomp_rule_add_array(context, rule.action, number,
                                   static_cast<unsigned>(arguments.size()), arguments.data());
  }
  if (error == 0 || error == -EEXIST) return absl::OkStatus();
  return ErrnoStatus(-error, absl::StrCat("seccomp rule for ", name));
}

absl::Status AddRules(scmp_filter_ctx context, const OciSeccomp& profile, LateActions* late) {
  for (const OciSyscallRule& rule : profile.rules) {
    if (rule.action == profile.default_action) continue;
    for (const std::string& name : rule.names) {
      const int number = seccomp_syscall_resolve_name(name.c_str());
      if (number != __NR_SCMP_ERROR) {
        RETURN_IF_ERROR(AddRule(context, rule, number, name));
        continue;
      }
      for (const LateCall& call : kLateCalls) {
        if (call.name != name) continue;
        if (rule.args.empty()) {
          (*late)[call.number] = rule.action;
        } else if (!Permits(rule.action)) {
          return absl::InvalidArgumentError(
              absl::StrCat("seccomp: ", name,
                           " cannot be denied by its arguments on this node, "
                           "which does not know it: deny it without args"));
        }
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Export(scmp_filter_ctx context) {
  const UniqueFd fd(memfd_create("swarm-seccomp", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd");
  if (const int error = seccomp_export_bpf(context, fd.get()); error != 0) {
    return ErrnoStatus(-error, "seccomp export");
  }
  const off_t size = lseek(fd.get(), 0, SEEK_END);
  std::string bytes(static_cast<size_t>(size), '\0');
  if (pread(fd.get(), bytes.data(), bytes.size(), 0) != size) return ErrnoStatus(EIO, "seccomp");
  return bytes;
}

// For a call that could go round rules about sockets; unset: what libseccomp makes of it.
std::optional<uint32_t> SocketcallAction(const OciSeccomp& profile) {
  if (!kHasSocketcall) return std::nullopt;
  std::optional<uint32_t> action;
  if (!Permits(profile.default_action)) action = profile.default_action;
  for (const OciSyscallRule& rule : profile.rules) {
    for (const std::string& name : rule.names) {
      if (name == "socketcall") return std::nullopt;
      const bool of_sockets = std::find(std::begin(kSocketCalls), std::end(kSocketCalls), name) !=
                              std::end(kSocketCalls);
      const bool denies = of_sockets && !rule.args.empty() && !Permits(rule.action);
      if (denies && !action.has_value()) action = rule.action;
    }
  }
  return action;
}

absl::StatusOr<std::string> Compile(const OciSeccomp& profile) {
  scmp_filter_ctx context = seccomp_init(profile.default_action);
  if (context == nullptr) return absl::InvalidArgumentError("seccomp: unknown default action");
  const absl::Cleanup release = [context] { seccomp_release(context); };
  // A binary tree instead of a list: each call is decided in about ten steps, and the kernel's own
  // precomputation at load time is shorter by the same factor.
  seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  seccomp_attr_set(context, SCMP_FLTATR_CTL_NNP, 0);
  Additions additions;
  for (const auto& [name, architecture] : kExtraArchitectures) {
    const auto& named = profile.architectures;
    if (std::find(named.begin(), named.end(), name) == named.end()) continue;
    seccomp_arch_add(context, architecture);
    additions.other_architecture = true;
  }
  RETURN_IF_ERROR(AddRules(context, profile, &additions.late));
  ASSIGN_OR_RETURN(const std::string body, Export(context));
  if ((profile.default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO) {
    additions.newer = SECCOMP_RET_ERRNO | ENOSYS;
  }
  additions.socketcall = SocketcallAction(profile);
  const std::vector<sock_filter> prologue = Prologue(additions);
  std::string bytes(reinterpret_cast<const char*>(prologue.data()),
                    prologue.size() * sizeof(sock_filter));
  bytes += body;
  if (bytes.size() / sizeof(sock_filter) > BPF_MAXINSNS) {
    return absl::InvalidArgumentError("seccomp: the profile is longer than the kernel takes");
  }
  return bytes;
}

// Lengths stand in front, so that no name can look like two.
void AppendTexts(const std::vector<std::string>& texts, std::string* key) {
  absl::StrAppend(key, texts.size(), "[");
  for (const std::string& text : texts) absl::StrAppend(key, text.size(), ":", text);
}

std::string CacheKey(const OciSeccomp& profile) {
  std::string key = absl::StrCat(profile.default_action, " ", profile.flags, " ");
  AppendTexts(profile.architectures, &key);
  for (const OciSyscallRule& rule : profile.rules) {
    absl::StrAppend(&key, rule.action, " ");
    AppendTexts(rule.names, &key);
    absl::StrAppend(&key, rule.args.size(), "[");
    for (const auto& a : rule.args) {
      absl::StrAppend(&key, a.index, " ", a.op, " ", a.value, " ", a.value_two, " ");
    }
  }
  return key;
}

uint32_t ReadAction(const JsonReader& object, absl::string_view field,
                    absl::string_view errno_field) {
  const std::string action = object.String(field);
  const auto error = object.Number<uint16_t>(errno_field, EPERM);
  if (action == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (action == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(error);
  if (action == "SCMP_ACT_KILL" || action == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (action == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (action == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (action == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  object.Fail(field, absl::StrCat("action \"", action, "\" is not built"));
  return SCMP_ACT_ALLOW;
}

int ReadComparison(const JsonReader& object) {
  const std::string op = object.String("op");
  constexpr std::pair<absl::string_view, scmp_compare> kOps[] = {
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  for (const auto& [name, value] : kOps) {
    if (op == name) return value;
  }
  object.Fail("op", absl::StrCat("unknown comparison \"", op, "\""));
  return SCMP_CMP_EQ;
}

}  // namespace

OciSeccomp ReadSeccomp(const JsonReader& object) {
  OciSeccomp out;
  out.default_action = ReadAction(object, "defaultAction", "defaultErrnoRet");
  out.architectures = object.Strings("architectures");
  for (const std::string& flag : object.Strings("flags")) {
    if (flag == "SECCOMP_FILTER_FLAG_LOG") {
      out.flags |= SECCOMP_FILTER_FLAG_LOG;
    } else if (flag == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
      out.flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    } else {
      object.Fail("flags", absl::StrCat("\"", flag, "\" is not built"));
    }
  }
  if (object.Has("listenerPath")) object.Fail("listenerPath", "is not built");
  object.Objects("syscalls", [&](const JsonReader& item) {
    OciSyscallRule rule;
    rule.names = item.Strings("names");
    rule.action = ReadAction(item, "action", "errnoRet");
    item.Objects("args", [&](const JsonReader& argument) {
      OciSyscallRule::Argument out_argument;
      out_argument.index = argument.Number<uint32_t>("index");
      if (out_argument.index > 5) argument.Fail("index", "must be at most 5");
      out_argument.value = argument.Number<uint64_t>("value");
      out_argument.value_two = argument.Number<uint64_t>("valueTwo");
      out_argument.op = ReadComparison(argument);
      rule.args.push_back(out_argument);
    });
    out.rules.push_back(std::move(rule));
  });
  return out;
}

absl::StatusOr<std::string> CompileSeccomp(const OciSeccomp& profile) {
  static std::mutex mutex;
  static auto& cache = *new std::map<std::string, std::string>();
  constexpr size_t kMaxCached = 64;
  const std::string key = CacheKey(profile);
  {
    const std::lock_guard<std::mutex> lock(mutex);
    if (const auto it = cache.find(key); it != cache.end()) return it->second;
  }
  ASSIGN_OR_RETURN(std::string bytes, Compile(profile));
  const std::lock_guard<std::mutex> lock(mutex);
  if (cache.size() >= kMaxCached) cache.clear();
  cache[key] = bytes;
  return bytes;
}

}  // namespace swarm::agent
