#include "common/secret_bytes.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace swarm {

SecretBytes::SecretBytes(size_t size) : size_(size) {
  if (size == 0) return;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  mapped_ = (size + page - 1) / page * page;
  void* pages =
      ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED) << "no memory for " << size << " bytes";
  // Both as far as the kernel lets us: locked memory is limited for who is not root.
  (void)::madvise(pages, mapped_, MADV_DONTDUMP);
  (void)::mlock(pages, mapped_);
  data_ = static_cast<char*>(pages);
}

SecretBytes SecretBytes::Copy(std::string_view text) {
  SecretBytes bytes(text.size());
  std::copy(text.begin(), text.end(), bytes.data_);
  return bytes;
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this == &other) return *this;
  Wipe();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  mapped_ = std::exchange(other.mapped_, 0);
  return *this;
}

void SecretBytes::Wipe() {
  if (data_ == nullptr) return;
  ::explicit_bzero(data_, mapped_);
  ::munmap(data_, mapped_);
  data_ = nullptr;
  size_ = mapped_ = 0;
}

void SecretBytes::Shrink(size_t size) {
  CHECK(size <= size_) << size << " of " << size_;
  if (data_ != nullptr) ::explicit_bzero(data_ + size, size_ - size);
  size_ = size;
}

void WipeString(std::string& text) {
  text.resize(text.capacity());
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

void NeverDumpCore() { (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

}  // namespace swarm
