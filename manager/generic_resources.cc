#include "manager/generic_resources.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/strings.h"

namespace swarm::manager {
namespace {

using Ids = std::vector<std::string>;

const GenericAmount kNothing;

// Sorted, each once.
Ids SortedOnce(Ids ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// Of two sorted lists. An id that is twice in `b` is taken away from `a` as often.
Ids Without(const Ids& a, const Ids& b) {
  Ids rest;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(rest));
  return rest;
}

int64_t CountWithout(const Ids& a, const Ids& b) {
  auto other = b.begin();
  return std::count_if(a.begin(), a.end(), [&](const std::string& id) {
    while (other != b.end() && *other < id) ++other;
    return other == b.end() || *other != id;
  });
}

// Names that are taken and not offered any more take nothing from those that are.
int64_t Free(const GenericAmount& taken, const GenericAmount& offered) {
  if (offered.ids.empty()) return offered.count - taken.count;
  return CountWithout(offered.ids, taken.ids) - taken.unnamed();
}

bool AmountFits(const GenericAmount& asked, const GenericAmounts& taken,
                const GenericAmounts& offered) {
  const GenericAmount* has = offered.Find(asked.kind);
  if (has == nullptr) return false;
  const GenericAmount* used = taken.Find(asked.kind);
  if (used == nullptr) used = &kNothing;
  if (asked.count > Free(*used, *has)) return false;
  return asked.ids.empty() ||
         (std::includes(has->ids.begin(), has->ids.end(), asked.ids.begin(), asked.ids.end()) &&
          CountWithout(asked.ids, used->ids) == static_cast<int64_t>(asked.ids.size()));
}

}  // namespace

GenericAmount& GenericAmounts::At(std::string_view kind) {
  auto at = std::lower_bound(amounts_.begin(), amounts_.end(), kind,
                             [](const GenericAmount& a, std::string_view b) { return a.kind < b; });
  if (at == amounts_.end() || at->kind != kind) {
    at = amounts_.insert(at, {std::string(kind), 0, {}});
  }
  return *at;
}

const GenericAmount* GenericAmounts::Find(std::string_view kind) const {
  for (const GenericAmount& amount : amounts_) {
    if (amount.kind == kind) return &amount;
  }
  return nullptr;
}

GenericAmounts GenericAmounts::Counts(const Messages& messages) {
  GenericAmounts amounts;
  for (const v1::GenericResource& message : messages) {
    if (message.count() > 0) amounts.At(message.kind()).count += message.count();
  }
  return amounts;
}

GenericAmounts GenericAmounts::Offered(const Messages& messages) {
  GenericAmounts amounts;
  for (const v1::GenericResource& message : messages) {
    if (message.ids().empty() && message.count() <= 0) continue;
    GenericAmount& amount = amounts.At(message.kind());
    amount.ids.insert(amount.ids.end(), message.ids().begin(), message.ids().end());
    if (message.ids().empty()) amount.count += message.count();
  }
  for (GenericAmount& amount : amounts.amounts_) {
    amount.ids = SortedOnce(std::move(amount.ids));
    if (!amount.ids.empty()) amount.count = static_cast<int64_t>(amount.ids.size());
  }
  return amounts;
}

GenericAmounts GenericAmounts::Held(const GenericAmounts& asked,
                                    const std::vector<v1::GenericResource>& given) {
  GenericAmounts held;
  for (const v1::GenericResource& message : given) {
    if (message.ids().empty() && message.count() <= 0) continue;
    GenericAmount& amount = held.At(message.kind());
    const Ids ids = SortedOnce({message.ids().begin(), message.ids().end()});
    amount.count += ids.empty() ? message.count() : static_cast<int64_t>(ids.size());
    amount.ids.insert(amount.ids.end(), ids.begin(), ids.end());
    std::sort(amount.ids.begin(), amount.ids.end());
  }
  for (const GenericAmount& amount : asked.amounts_) {
    int64_t& count = held.At(amount.kind).count;
    count = std::max(count, amount.count);
  }
  return held;
}

GenericAmounts& GenericAmounts::operator+=(const GenericAmounts& other) {
  for (const GenericAmount& more : other.amounts_) {
    GenericAmount& amount = At(more.kind);
    amount.count += more.count;
    for (const std::string& id : more.ids) {
      amount.ids.insert(std::upper_bound(amount.ids.begin(), amount.ids.end(), id), id);
    }
  }
  return *this;
}

GenericAmounts& GenericAmounts::operator-=(const GenericAmounts& other) {
  for (const GenericAmount& less : other.amounts_) {
    if (Find(less.kind) == nullptr) continue;
    GenericAmount& amount = At(less.kind);
    const int64_t unnamed = std::max<int64_t>(0, amount.unnamed() - less.unnamed());
    amount.ids = Without(amount.ids, less.ids);
    amount.count = unnamed + static_cast<int64_t>(amount.ids.size());
  }
  std::erase_if(amounts_, [](const GenericAmount& amount) { return amount.count <= 0; });
  return *this;
}

bool GenericAmounts::Fits(const GenericAmounts& taken, const GenericAmounts& offered) const {
  return std::all_of(amounts_.begin(), amounts_.end(),
                     [&](const GenericAmount& asked) { return AmountFits(asked, taken, offered); });
}

std::vector<std::string_view> GenericAmounts::Short(const GenericAmounts& taken,
                                                    const GenericAmounts& offered) const {
  std::vector<std::string_view> kinds;
  for (const GenericAmount& asked : amounts_) {
    if (!AmountFits(asked, taken, offered)) kinds.push_back(asked.kind);
  }
  return kinds;
}

std::vector<v1::GenericResource> GenericAmounts::Choose(const GenericAmounts& taken,
                                                        const GenericAmounts& offered) const {
  std::vector<v1::GenericResource> given;
  for (const GenericAmount& asked : amounts_) {
    v1::GenericResource& one = given.emplace_back();
    one.set_kind(asked.kind);
    one.set_count(asked.count);
    const GenericAmount* has = offered.Find(asked.kind);
    if (has == nullptr || has->ids.empty()) continue;
    const GenericAmount* used = taken.Find(asked.kind);
    const Ids free = used == nullptr ? has->ids : Without(has->ids, used->ids);
    for (const std::string& id : free) {
      if (one.ids_size() == asked.count) break;
      one.add_ids(id);
    }
  }
  return given;
}

std::string GenericAmounts::Vanished(const GenericAmounts& offered) const {
  for (const GenericAmount& amount : amounts_) {
    const GenericAmount* has = offered.Find(amount.kind);
    const Ids vanished = Without(amount.ids, has == nullptr ? Ids() : has->ids);
    if (!vanished.empty()) return StrCat(amount.kind, " ", vanished.front());
  }
  return "";
}

}  // namespace swarm::manager
