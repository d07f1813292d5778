// The secrets or configs of the fake cluster. One thread.
#ifndef SWARM_CLI_FAKE_CONTENTS_H_
#define SWARM_CLI_FAKE_CONTENTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "common/strings.h"

namespace swarm::cli {

template <typename Object>
struct FakeContents {
  std::string word;                          // "secret"
  std::map<std::string, Object> objects;     // by id, with what they hold
  std::map<std::string, std::string> users;  // by name: the services that use it
  std::string refuses;                       // what none may hold

  const Object* Find(const std::string& ref) const {
    for (const auto& [id, object] : objects) {
      if (id == ref || object.spec().name() == ref) return &object;
    }
    return nullptr;
  }

  // Digits that stand for the content, eight as the manager's.
  static std::string NameFor(const std::string& name, const std::string& data) {
    return absl::StrFormat("%s-%08x", name, static_cast<uint32_t>(std::hash<std::string>()(data)));
  }

  template <typename Request>
  absl::StatusOr<Object> Create(const Request& request, uint64_t version) {
    Object object;
    *object.mutable_spec() = request.spec();
    if (!refuses.empty() && request.spec().data() == refuses) {
      return absl::InvalidArgumentError("data: is refused");
    }
    if (request.content_addressed()) {
      object.mutable_spec()->set_name(NameFor(request.spec().name(), request.spec().data()));
    }
    const std::string& name = object.spec().name();
    if (const Object* there = Find(name)) {
      if (request.content_addressed()) return Shown(*there);
      return absl::AlreadyExistsError(StrCat(word, " name \"", name, "\" is already in use"));
    }
    if (request.dry_run()) return Shown(object);
    object.set_id(StrCat(name, "-id"));
    object.mutable_meta()->set_version(version);
    object.mutable_meta()->mutable_created_at()->set_seconds(1'700'000'000 +
                                                             static_cast<int64_t>(version));
    *object.mutable_meta()->mutable_updated_at() = object.meta().created_at();
    objects[object.id()] = object;
    return Shown(object);
  }
  absl::StatusOr<Object> Get(const std::string& ref) const {
    const Object* object = Find(ref);
    if (object == nullptr) return Missing(ref);
    return *object;
  }
  // One a page, so that every caller must turn pages.
  template <typename Request, typename Add>
  void List(const Request& request, const Add& add, std::string* next) const {
    bool skipping = !request.page_token().empty();
    bool full = false;
    for (const auto& [id, object] : objects) {
      if (skipping && id != request.page_token()) continue;
      skipping = false;
      bool fits = object.spec().name().starts_with(request.name_prefix());
      for (const auto& [key, value] : request.labels()) {
        const auto it = object.spec().labels().find(key);
        fits = fits && it != object.spec().labels().end() && (value.empty() || it->second == value);
      }
      if (!fits) continue;
      if (std::exchange(full, true)) {
        *next = id;
        return;
      }
      add(Shown(object));
    }
  }
  template <typename Request>
  absl::StatusOr<Object> Update(const Request& request, uint64_t version) {
    const Object* found = Find(request.ref());
    if (found == nullptr) return Missing(request.ref());
    Object& object = objects[found->id()];
    if (request.version() != object.meta().version()) return absl::AbortedError("stale");
    *object.mutable_spec()->mutable_labels() = request.labels();
    object.mutable_meta()->set_version(version);
    return Shown(object);
  }
  absl::Status InUse(const std::string& name, const std::string& service) const {
    return absl::FailedPreconditionError(
        StrCat(word, " \"", name, "\" is in use by service \"", service, "\""));
  }
  absl::Status Delete(const std::string& ref) {
    const Object* object = Find(ref);
    if (object == nullptr) return Missing(ref);
    if (const auto user = users.find(object->spec().name()); user != users.end()) {
      return InUse(object->spec().name(), user->second);
    }
    objects.erase(std::string(object->id()));
    return absl::OkStatus();
  }

 private:
  static Object Shown(Object object) {
    object.mutable_spec()->clear_data();
    return object;
  }
  absl::Status Missing(const std::string& ref) const {
    return absl::NotFoundError(StrCat(word, " \"", ref, "\" not found"));
  }
};

}  // namespace swarm::cli

#endif  // SWARM_CLI_FAKE_CONTENTS_H_
