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
// A copy of an open file, such as a backup's, opens all secrets also after the file was locked.
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
  // Makes an open one with a new key when there is none. DataLoss when the file is not one. Takes
  // away what a write that was cut short has left beside it, which may be an open key.
  static absl::StatusOr<KeyFile> ReadOrMake(const std::string& path, Random& random);

  bool locked() const { return !sealed_.empty(); }
  bool is_new() const { return is_new_; }  // nothing can be sealed with it yet
  // Of an open one; once.
  ManagerKeys Take() { return {std::move(data_), SecretBytes()}; }
  // PermissionDenied: it is another key; InvalidArgument: it is no key at all.
  absl::StatusOr<ManagerKeys> Unlock(std::string_view text) const;

  // The text of a file: locked when there is an unlock key.
  static std::string Render(const ManagerKeys& keys, Random& random);
  // Durably, over a file that is overwritten in its place besides, as far as the file system lets
  // us. After an error the old file is there, or, when only the last sync failed, the new one.
  static absl::Status Write(const std::string& path, std::string_view text);

 private:
  KeyFile() = default;
  static absl::StatusOr<KeyFile> Parse(std::string_view text);

  bool is_new_ = false;
  SecretBytes data_;
  std::string sealed_;  // the data key; empty: open
};

// "SWMKEY-1-…" of a key. Whoever gets the text may read everything.
std::string UnlockKeyText(const SecretBytes& key);
// InvalidArgument: it is no key. White space around it does not count.
absl::StatusOr<SecretBytes> ParseUnlockKey(std::string_view text);

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_KEY_FILE_H_
