// GenericAmounts: what only the operator can count (GPUs, licences), by kind: what a node offers,
// what a task asks for, what a task was given, what is taken on a node. Kinds are told apart as
// they are written.
//
//   const GenericAmounts asked = GenericAmounts::Counts(reservations.generic());   // gpu: 2
//   if (asked.Fits(taken, offered)) given = asked.Choose(taken, offered);          // GPU-1, GPU-3
//   taken += given;
//
// A node offers a number of a kind or named ones. Who asks for a number of named ones is given the
// first free names. Amounts are small (a node has a handful): sorted vectors. Pure; any thread.
#ifndef SWARM_MANAGER_GENERIC_RESOURCES_H_
#define SWARM_MANAGER_GENERIC_RESOURCES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/repeated_ptr_field.h"
#include "swarm/v1/types.pb.h"

namespace swarm::manager {

struct GenericAmount {
  std::string kind;
  int64_t count = 0;             // the named ones included
  std::vector<std::string> ids;  // sorted

  int64_t unnamed() const { return count - static_cast<int64_t>(ids.size()); }
  friend bool operator==(const GenericAmount&, const GenericAmount&) = default;
};

class GenericAmounts {
 public:
  using Messages = google::protobuf::RepeatedPtrField<v1::GenericResource>;

  GenericAmounts() = default;
  // Numbers only, as reservations are; what is not positive is left out, one kind is one entry.
  static GenericAmounts Counts(const Messages& messages);
  // What a node offers: with names, their number counts and each name once.
  static GenericAmounts Offered(const Messages& messages);
  // What a task that asked for `asked` holds: what it was given, and a number of what it was not.
  static GenericAmounts Held(const GenericAmounts& asked,
                             const std::vector<v1::GenericResource>& given);

  bool empty() const { return amounts_.empty(); }
  const std::vector<GenericAmount>& amounts() const { return amounts_; }
  const GenericAmount* Find(std::string_view kind) const;

  GenericAmounts& operator+=(const GenericAmounts& other);
  // What is not there is not taken away.
  GenericAmounts& operator-=(const GenericAmounts& other);

  // `offered` has this much beside `taken`; names asked for must be offered and free.
  bool Fits(const GenericAmounts& taken, const GenericAmounts& offered) const;
  // The kinds for which it has not; they point into this.
  std::vector<std::string_view> Short(const GenericAmounts& taken,
                                      const GenericAmounts& offered) const;
  // What to give to who asks for this, which fits.
  std::vector<v1::GenericResource> Choose(const GenericAmounts& taken,
                                          const GenericAmounts& offered) const;
  // The first name here, as "gpu GPU-3", that `offered` does not have; empty when it has all.
  std::string Vanished(const GenericAmounts& offered) const;

  friend bool operator==(const GenericAmounts&, const GenericAmounts&) = default;

 private:
  GenericAmount& At(std::string_view kind);

  std::vector<GenericAmount> amounts_;  // by kind; none is empty
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_GENERIC_RESOURCES_H_
