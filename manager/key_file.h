// The key file: the cluster's data key, which seals secrets in the journal, as the manager keeps it
// in its state folder (0600, synced). Open, it is there for who may read the file. Locked, it is
// sealed with the unlock key, which people keep: "SWMKEY-1-" and 43 digits of base 64.
//
//   ASSIGN_OR_RETURN(KeyFile file, KeyFile::ReadOrMake(path, random));
//   if (file.locked()) ASSIGN_OR_RETURN(keys, file.Unlock(key)); else keys = file.Take();
//
// One line of text:
//   swarm-data-key-1 open DATA
//   swarm-data-key-1 locked SEALED      the data key, sealed with the unlock key
//
// Blocking; any thread.
#ifndef SWARM_MANAGER_KEY_FILE_H_
#define SWARM_MANAGER_KEY_FILE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/random.h"
#include "common/secret_bytes.h"

namespace swarm::manager {

struct ManagerKeys {
  SecretBytes data;
  SecretBytes unlock;  // empty: the file is open
};

class KeyFile {
 public:
  // Makes an open one with a new key when there is none. DataLoss when the file is not one.
  static absl::StatusOr<KeyFile> ReadOrMake(const std::string& path, Random& random);

  bool locked() const { return !sealed_.empty(); }
  bool is_new() const { return is_new_; }  // nothing can be sealed with it yet
  // Of an open one; once.
  ManagerKeys Take() { return {std::move(data_), SecretBytes()}; }
  // PermissionDenied: it is another key; InvalidArgument: it is no key at all.
  absl::StatusOr<ManagerKeys> Unlock(std::string_view text) const;

  // Locked when there is an unlock key. After an error the old file is there.
  static absl::Status Write(const std::string& path, const ManagerKeys& keys, Random& random);

 private:
  KeyFile() = default;
  static absl::StatusOr<KeyFile> Parse(std::string_view text);

  bool is_new_ = false;
  SecretBytes data_;
  std::string sealed_;  // the data key; empty: open
};

// "SWMKEY-1-…" of a key. Whoever gets the text may read everything.
std::string UnlockKeyText(const SecretBytes& key);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_KEY_FILE_H_
