// ImageResolver: turns the image a user wrote into the digest that a revision pins, so that every
// node runs the same bytes. In this order: a digest that was given; the registry's answer; the
// newest image of that name that a node reports as loaded. None of these: NotFound. A registry that
// gives no answer while no node has the image: accepted without a digest; the resolver then tries
// again in the background (backoff from 1 s to 1 min, and at once when a node reports the image),
// and writes the digest into the revision.
//
//   ImageResolver resolver(env, store, registry);
//   resolver.Start();
//   resolver.Resolve(reference, /*skip_registry=*/false, [](absl::StatusOr<ResolvedImage> image) {
//   … });
//
// `skip_registry` (--no-resolve-image): the newest loaded image decides; only when no node has one
// is the registry asked after all, because a tag without a digest is never run.
//
// Loop thread only. The registry is asked on the pool, one question per name at a time. A host that
// gave no answer is not asked again for 1 s, then for twice as long each time, up to 30 s; one
// answer of any kind, and it starts over. When a node has the image loaded, the registry gets 2 s
// to answer.
#ifndef SWARM_MANAGER_API_IMAGE_RESOLVER_H_
#define SWARM_MANAGER_API_IMAGE_RESOLVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/backoff.h"
#include "common/oci/reference.h"
#include "common/oci/registry.h"
#include "manager/env.h"
#include "manager/store/store.h"

namespace swarm::manager {

struct ResolvedImage {
  std::string digest;                   // empty: not known yet
  std::string pending_reason;           // why, when `digest` is empty
  std::string no_answer;                // why the registry did not answer, when it was asked
  std::vector<v1::Platform> platforms;  // empty: any
  std::vector<std::string> warnings;    // for the user who asked
};

class ImageResolver {
 public:
  static constexpr absl::Duration kShortestUnreachableMemory = absl::Seconds(1);
  static constexpr absl::Duration kLongestUnreachableMemory = absl::Seconds(30);
  static constexpr absl::Duration kPatienceWithLoadedImage = absl::Seconds(2);
  static constexpr size_t kMaxQuestions =
      256;  // names asked about at once; above: ResourceExhausted

  using Done = absl::AnyInvocable<void(absl::StatusOr<ResolvedImage>)>;

  // `registry` is used on the pool's threads; shared because an answer may outlast the resolver.
  ImageResolver(const Env& env, Store& store, std::shared_ptr<oci::Registry> registry);
  ~ImageResolver();

  // Takes up what earlier lives of the manager left unresolved, and watches the store.
  void Start();

  // `done` runs once, on the loop, possibly inside this call.
  void Resolve(const oci::Reference& reference, bool skip_registry, Done done);

 private:
  struct RegistryAnswer {
    std::string digest;
    std::vector<v1::Platform> platforms;
  };
  using AnswerDone = absl::AnyInvocable<void(const absl::StatusOr<RegistryAnswer>&)>;
  struct Waiter {
    uint64_t id = 0;
    AnswerDone done;
  };
  // One name that the registry is being asked about.
  struct Question {
    std::vector<Waiter> waiters;
    absl::Duration asked_at;
  };
  struct Unreachable {
    absl::Duration until;
    absl::Duration memory;  // how long it lasts this time
    std::string reason;
  };
  // A revision without a digest.
  struct Pending {
    oci::Reference reference;
    Backoff backoff;
    TimerId timer = 0;
  };

  static absl::StatusOr<RegistryAnswer> AskBlocking(oci::Registry& registry,
                                                    const oci::Reference& reference);
  // Returns the waiter's id; 0 when it was answered at once.
  uint64_t AskRegistry(const oci::Reference& reference, AnswerDone done);
  void OnAnswer(const oci::Reference& reference, absl::StatusOr<RegistryAnswer> answer);
  void RememberUnreachable(const std::string& host, std::string_view reason);
  // Takes the waiter out of the question; false when it was answered already.
  bool Abandon(const std::string& name, uint64_t waiter);

  // The digest of the newest image of that name on any node; "" when no node has one.
  std::string NewestLoaded(const std::string& name) const;
  absl::StatusOr<ResolvedImage> Decide(const oci::Reference& reference,
                                       const absl::StatusOr<RegistryAnswer>& answer) const;
  void ResolveWithPatience(const oci::Reference& reference, Done done);

  void OnChanges(const ChangeSet& changes);
  void OnNodeChanged(const Ref<Node>& before, const Ref<Node>& after);
  void Track(const Revision& revision);
  void Retry(Id revision);
  void OnRetried(Id revision, absl::StatusOr<ResolvedImage> image);
  // Writes what was found, also that nothing was. The store's refusal: tried again later.
  absl::Status WriteBack(const Revision& now, const ResolvedImage& image);

  const Env env_;
  Store& store_;
  const std::shared_ptr<oci::Registry> registry_;
  // Answers that come after the resolver is gone find this empty.
  const std::shared_ptr<ImageResolver*> self_;
  std::unique_ptr<WatchHandle> watch_;
  std::map<std::string, Question> questions_;       // by Reference::Name()
  std::map<std::string, Unreachable> unreachable_;  // by host
  std::map<Id, Pending> pending_;
  uint64_t last_waiter_ = 0;
};

}  // namespace swarm::manager

#endif  // SWARM_MANAGER_API_IMAGE_RESOLVER_H_
