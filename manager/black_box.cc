#include "manager/black_box.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include "common/check.h"
#include "common/status_macros.h"
#include "common/unique_fd.h"

namespace swarm::manager {

// On disk, in the machine's own byte order: only the next process on this machine reads it.
struct BlackBox::Note {
  static constexpr uint64_t kMagic = 0x32746f6e67756c62;  // reads "blugnot2"
  uint64_t magic;
  volatile int32_t crashed_by;  // a signal; 0: none
  volatile uint32_t deciding;   // 1 while `about` says about what
  struct About {
    uint64_t high, low;  // of the service's id
    char room[32];
  };
  About about;
  // Crashes that nobody has written down yet (Forget).
  About blamed;
  uint32_t crashes;
  int32_t signal;
};

namespace {

constexpr size_t kBytes = 4096;
constexpr size_t kHandlerStack = 64 * 1024;
constexpr int kCrashSignals[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};

// All that the handler knows: the note of the box that catches crashes, and the thread whose
// crashes it is about. Another thread's say nothing of what is being decided.
std::atomic<volatile int32_t*> caught_into = nullptr;
std::atomic<pid_t> caught_thread = 0;

}  // namespace

absl::StatusOr<std::unique_ptr<BlackBox>> BlackBox::Open(const std::string& path, Options options) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  if (::ftruncate(fd.get(), kBytes) != 0) return ErrnoStatus(errno, path);
  // A hole has no page of its own until it is written: on a full disk that would be a signal.
  if (const int error = ::posix_fallocate(fd.get(), 0, kBytes); error != 0) {
    return ErrnoStatus(error, path);
  }
  void* page = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (page == MAP_FAILED) return ErrnoStatus(errno, path);
  Note* note = static_cast<Note*>(page);
  if (note->magic != Note::kMagic) std::memset(page, 0, kBytes);
  note->magic = Note::kMagic;
  if (note->crashed_by != 0 && note->deciding == 1) {
    const bool again = note->crashes > 0 && note->blamed.high == note->about.high &&
                       note->blamed.low == note->about.low;
    note->blamed = note->about;
    note->crashes = again ? note->crashes + 1 : 1;
    note->signal = note->crashed_by;
  }
  note->deciding = 0;
  note->crashed_by = 0;
  std::optional<Crash> crash;
  if (note->crashes > 0) {
    const char* room = note->blamed.room;
    crash = Crash{{room, ::strnlen(room, sizeof note->blamed.room)},
                  {note->blamed.high, note->blamed.low},
                  note->signal,
                  note->crashes};
  }
  return std::unique_ptr<BlackBox>(new BlackBox(note, options, std::move(crash)));
}

BlackBox::BlackBox(Note* note, Options options, std::optional<Crash> crash)
    : note_(note), options_(options), crash_(std::move(crash)) {}

BlackBox::~BlackBox() {
  if (stack_ != nullptr) {
    for (const int signal : kCrashSignals) ::signal(signal, SIG_DFL);
    caught_into = nullptr;
    caught_thread = 0;
  }
  ::munmap(note_, kBytes);
}

void BlackBox::CatchCrashes() {
  CHECK(caught_into == nullptr);
  caught_into = &note_->crashed_by;
  caught_thread = ::gettid();
  stack_ = std::make_unique<std::byte[]>(kHandlerStack);
  const stack_t stack = {.ss_sp = stack_.get(), .ss_flags = 0, .ss_size = kHandlerStack};
  CHECK(::sigaltstack(&stack, nullptr) == 0);
  struct sigaction action = {};
  action.sa_handler = OnCrash;
  action.sa_flags = SA_ONSTACK | SA_RESETHAND | SA_NODEFER;
  for (const int signal : kCrashSignals) CHECK(::sigaction(signal, &action, nullptr) == 0);
}

// The signal comes again when the handler returns, or is sent again, and then ends the process.
void BlackBox::OnCrash(int signal) {
  volatile int32_t* into = caught_into;
  if (into != nullptr && ::gettid() == caught_thread) *into = signal;
  ::raise(signal);
}

void BlackBox::Forget() { note_->crashes = 0; }

void BlackBox::EndLoop() {
  const pid_t loop = caught_thread;
  if (loop == 0) ::abort();
  ::syscall(SYS_tgkill, ::getpid(), loop, SIGABRT);
}

void BlackBox::Begin(std::string_view room, Id service) {
  note_->deciding = 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  note_->about = {.high = service.high, .low = service.low, .room = {}};
  std::memcpy(note_->about.room, room.data(), std::min(room.size(), sizeof note_->about.room));
  std::atomic_signal_fence(std::memory_order_seq_cst);
  note_->deciding = 1;
  CHECK(options_.crash_over.IsZero() || options_.crash_over != service)
      << "a rehearsal: " << room << " decides about " << service.ToString();
}

void BlackBox::End() {
  note_->deciding = 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace swarm::manager
