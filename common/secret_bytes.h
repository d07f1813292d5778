// SecretBytes: text that nobody may see by accident. It cannot be printed, compared or copied
// without saying so, lies outside core dumps and, when the kernel lets us, outside swap, and is
// overwritten when it ends.
//
//   SecretBytes key = SecretBytes::Copy(text);
//   Seal(key.Reveal(), …);
//
// Moved, not copied; a moved-from one is empty. Any thread; one at a time.
//
// What passes through protobuf and gRPC lies in their memory for a while; WipeString overwrites a
// field that is ours to give back. Daemons that hold secrets say NeverDumpCore besides.
#ifndef SWARM_COMMON_SECRET_BYTES_H_
#define SWARM_COMMON_SECRET_BYTES_H_

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>

namespace swarm {

class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t size);  // zeros
  static SecretBytes Copy(std::string_view text);
  ~SecretBytes() { Wipe(); }
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  // Valid while this is not moved or destroyed. Who asks answers for where it goes.
  std::string_view Reveal() const { return {data_, size_}; }
  char* data() { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Overwritten, and empty.
  void Wipe();
  // The first `size` bytes stay; the rest is overwritten.
  void Shrink(size_t size);

  friend std::ostream& operator<<(std::ostream&, const SecretBytes&) = delete;

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;  // bytes of whole pages
};

// Overwrites what the string holds, and its spare room, and empties it.
void WipeString(std::string& text);

// Whatever becomes of this process, no file gets its memory, and no other process of its user may
// look into it. Programs that it starts are as they were.
void NeverDumpCore();

}  // namespace swarm

#endif  // SWARM_COMMON_SECRET_BYTES_H_
