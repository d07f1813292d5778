#include "manager/api/image_resolver.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "common/check.h"
#include "common/log.h"
#include "common/strings.h"
#include "manager/api/manifest_platforms.h"

namespace swarm::manager {
namespace {

Backoff::Options RetryDelays() {
  return {.floor = absl::Seconds(1), .base = absl::Seconds(2), .cap = absl::Minutes(1)};
}

absl::Status NobodyHasIt(const oci::Reference& reference, std::string_view why) {
  return absl::NotFoundError(
      StrCat("image ", reference.Familiar(), ": ", why, " and no node has it loaded"));
}

bool SameDigestOfName(const v1::NodeDescription& description, const std::string& name,
                      const std::string& digest) {
  return std::any_of(
      description.images().begin(), description.images().end(),
      [&](const auto& image) { return image.reference() == name && image.digest() == digest; });
}

}  // namespace

ImageResolver::ImageResolver(const Env& env, Store& store, std::shared_ptr<oci::Registry> registry)
    : env_(env),
      store_(store),
      registry_(std::move(registry)),
      self_(std::make_shared<ImageResolver*>(this)) {}

ImageResolver::~ImageResolver() {
  *self_ = nullptr;
  for (auto& [id, pending] : pending_) env_.loop.Cancel(pending.timer);
}

void ImageResolver::Start() {
  DCHECK(env_.loop.InLoop());
  watch_ =
      store_.Watch(WatchSpeed::kApplied, [this](const ChangeSet& changes) { OnChanges(changes); });
  store_.view().EachService([&](const Ref<Service>& service) {
    const Id id = Id::ParseOrZero(service->revision_id());
    if (Ref<Revision> revision = store_.view().GetRevision(id)) Track(*revision);
    return true;
  });
}

void ImageResolver::Resolve(const oci::Reference& reference, bool skip_registry, Done done) {
  DCHECK(env_.loop.InLoop());
  if (!reference.digest.empty()) {
    done(ResolvedImage{.digest = reference.digest});
    return;
  }
  if (skip_registry) {
    if (std::string digest = NewestLoaded(reference.Name()); !digest.empty()) {
      done(ResolvedImage{.digest = std::move(digest)});
      return;
    }
  }
  ResolveWithPatience(reference, std::move(done));
}

// The registry's answer, but not for ever when a node has the image.
void ImageResolver::ResolveWithPatience(const oci::Reference& reference, Done done) {
  struct State {
    Done done;
    TimerId timer = 0;
  };
  auto state = std::make_shared<State>(State{.done = std::move(done)});
  const uint64_t waiter = AskRegistry(
      reference, [this, state, reference](const absl::StatusOr<RegistryAnswer>& answer) {
        env_.loop.Cancel(state->timer);
        std::exchange(state->done, nullptr)(Decide(reference, answer));
      });
  if (waiter == 0 || NewestLoaded(reference.Name()).empty()) return;
  const absl::Duration waited = env_.loop.Now() - questions_.at(reference.Name()).asked_at;
  state->timer = env_.loop.RunAfter(kPatienceWithLoadedImage - waited, [this, state, reference,
                                                                        waiter] {
    if (!Abandon(reference.Name(), waiter)) return;
    std::exchange(state->done, nullptr)(Decide(
        reference, absl::UnavailableError(StrCat("registry ", reference.host, ": no answer within ",
                                                 absl::FormatDuration(kPatienceWithLoadedImage)))));
  });
}

absl::StatusOr<ResolvedImage> ImageResolver::Decide(
    const oci::Reference& reference, const absl::StatusOr<RegistryAnswer>& answer) const {
  if (answer.ok()) return ResolvedImage{.digest = answer->digest, .platforms = answer->platforms};
  const absl::Status& failure = answer.status();
  const bool no_answer = absl::IsUnavailable(failure) || absl::IsDeadlineExceeded(failure) ||
                         absl::IsResourceExhausted(failure);
  if (std::string digest = NewestLoaded(reference.Name()); !digest.empty()) {
    ResolvedImage image{.digest = digest};
    if (no_answer) image.no_answer = std::string(failure.message());
    // That a registry has no image of a name that was loaded by hand is nothing to warn about.
    if (!absl::IsNotFound(failure)) {
      image.warnings.push_back(StrCat("image ", reference.Familiar(), ": ", failure.message(),
                                      "; using the one that is loaded"));
    }
    return image;
  }
  if (no_answer) {
    ResolvedImage image{.pending_reason = std::string(failure.message()),
                        .no_answer = std::string(failure.message())};
    image.warnings.push_back(StrCat("image ", reference.Familiar(), ": ", failure.message(),
                                    "; the service waits until the registry answers or a node "
                                    "has the image loaded"));
    return image;
  }
  if (absl::IsNotFound(failure)) return NobodyHasIt(reference, "the registry has no such image");
  if (absl::IsPermissionDenied(failure) || absl::IsUnauthenticated(failure)) {
    return NobodyHasIt(reference, StrCat("the registry refuses (", failure.message(), ")"));
  }
  return NobodyHasIt(reference, ToStd(failure.message()));
}

std::string ImageResolver::NewestLoaded(const std::string& name) const {
  const v1::NodeImage* newest = nullptr;
  Ref<Node> holder;  // keeps `newest` alive
  auto later = [](const v1::NodeImage& a, const v1::NodeImage& b) {
    return std::pair(a.loaded_at().seconds(), a.loaded_at().nanos()) >
           std::pair(b.loaded_at().seconds(), b.loaded_at().nanos());
  };
  store_.view().EachNode([&](const Ref<Node>& node) {
    for (const v1::NodeImage& image : node->description().images()) {
      if (image.reference() != name || !oci::CheckDigest(image.digest()).ok()) continue;
      if (newest != nullptr && !later(image, *newest)) continue;
      newest = &image;
      holder = node;
    }
    return true;
  });
  return newest == nullptr ? "" : newest->digest();
}

// ------------------------------------------------------------------------------------- the
// registry

uint64_t ImageResolver::AskRegistry(const oci::Reference& reference, AnswerDone done) {
  if (auto it = unreachable_.find(reference.host);
      it != unreachable_.end() && env_.loop.Now() < it->second.until) {
    done(absl::UnavailableError(it->second.reason));
    return 0;
  }
  const std::string name = reference.Name();
  const uint64_t waiter = ++last_waiter_;
  if (auto it = questions_.find(name); it != questions_.end()) {
    it->second.waiters.push_back({waiter, std::move(done)});
    return waiter;
  }
  if (questions_.size() >= kMaxQuestions) {
    done(absl::ResourceExhaustedError("too many images are being looked up"));
    return 0;
  }
  Question& question = questions_[name];
  question.asked_at = env_.loop.Now();
  question.waiters.push_back({waiter, std::move(done)});
  absl::Status submitted =
      env_.pool.Submit([registry = registry_, reference, self = self_, &loop = env_.loop] {
        auto answer = AskBlocking(*registry, reference);
        loop.Post([self, reference, answer = std::move(answer)]() mutable {
          if (*self != nullptr) (*self)->OnAnswer(reference, std::move(answer));
        });
      });
  if (submitted.ok()) return waiter;
  AnswerDone back = std::move(question.waiters.front().done);
  questions_.erase(name);
  back(submitted);
  return 0;
}

absl::StatusOr<ImageResolver::RegistryAnswer> ImageResolver::AskBlocking(
    oci::Registry& registry, const oci::Reference& reference) {
  absl::StatusOr<oci::Document> document = registry.GetManifest(reference);
  if (!document.ok()) return document.status();
  RegistryAnswer answer{.digest = document->digest};
  // Only the scheduler's platform filter suffers when this is not known, so its errors are not the
  // user's.
  answer.platforms = PlatformsOf(registry, reference, *document);
  return answer;
}

void ImageResolver::OnAnswer(const oci::Reference& reference,
                             absl::StatusOr<RegistryAnswer> answer) {
  auto question = questions_.extract(reference.Name());
  if (absl::IsUnavailable(answer.status())) {
    RememberUnreachable(reference.host, ToStd(answer.status().message()));
  } else {
    unreachable_.erase(reference.host);
  }
  if (question.empty()) return;
  for (Waiter& waiter : question.mapped().waiters) waiter.done(answer);
}

void ImageResolver::RememberUnreachable(const std::string& host, std::string_view reason) {
  const absl::Duration now = env_.loop.Now();
  auto [it, first] = unreachable_.try_emplace(host);
  Unreachable& down = it->second;
  // Several names of one host, asked about together, fail together: that is one failure.
  if (!first && now < down.until) return;
  down.memory =
      first ? kShortestUnreachableMemory : std::min(2 * down.memory, kLongestUnreachableMemory);
  down.until = now + down.memory;
  down.reason = std::string(reason);
  // Hosts that nobody has asked for in a long time.
  std::erase_if(unreachable_,
                [&](const auto& entry) { return entry.second.until + absl::Minutes(5) < now; });
}

bool ImageResolver::Abandon(const std::string& name, uint64_t waiter) {
  auto question = questions_.find(name);
  if (question == questions_.end()) return false;
  auto& waiters = question->second.waiters;
  auto it =
      std::find_if(waiters.begin(), waiters.end(), [&](const Waiter& w) { return w.id == waiter; });
  if (it == waiters.end()) return false;
  waiters.erase(it);
  return true;
}

// ------------------------------------------------------------------------------ in the background

void ImageResolver::OnChanges(const ChangeSet& changes) {
  for (const Change& change : changes.changes) {
    if (change.Is<Revision>()) {
      if (Ref<Revision> after = change.After<Revision>()) {
        Track(*after);
      } else {
        auto gone = pending_.extract(Id::ParseOrZero(change.Before<Revision>()->revision().id()));
        if (!gone.empty()) env_.loop.Cancel(gone.mapped().timer);
      }
    } else if (change.Is<Node>() && !pending_.empty()) {
      OnNodeChanged(change.Before<Node>(), change.After<Node>());
    }
  }
}

void ImageResolver::OnNodeChanged(const Ref<Node>& before, const Ref<Node>& after) {
  if (after == nullptr) return;
  std::vector<Id> now_loaded;
  for (const auto& [id, pending] : pending_) {
    const std::string name = pending.reference.Name();
    for (const v1::NodeImage& image : after->description().images()) {
      if (image.reference() != name) continue;
      if (before != nullptr && SameDigestOfName(before->description(), name, image.digest()))
        continue;
      now_loaded.push_back(id);
      break;
    }
  }
  for (Id id : now_loaded) {
    const std::string digest = NewestLoaded(pending_.at(id).reference.Name());
    if (!digest.empty()) OnRetried(id, ResolvedImage{.digest = digest});
  }
}

void ImageResolver::Track(const Revision& revision) {
  const Id id = Id::ParseOrZero(revision.revision().id());
  if (!revision.revision().image_digest().empty() || pending_.contains(id)) return;
  auto reference = oci::Reference::Parse(revision.revision().image_reference());
  if (!reference.ok()) {
    LogWarning("api", StrCat("revision ", id.ToString(), ": ", reference.status().message()));
    return;
  }
  auto [it, inserted] =
      pending_.try_emplace(id, Pending{*reference, Backoff(RetryDelays(), env_.random)});
  it->second.timer = env_.loop.RunAfter(it->second.backoff.Next(), [this, id] { Retry(id); });
}

void ImageResolver::Retry(Id id) {
  auto it = pending_.find(id);
  if (it == pending_.end()) return;
  it->second.timer = 0;
  Resolve(it->second.reference, /*skip_registry=*/false,
          [this, id](absl::StatusOr<ResolvedImage> image) { OnRetried(id, std::move(image)); });
}

void ImageResolver::OnRetried(Id id, absl::StatusOr<ResolvedImage> image) {
  auto it = pending_.find(id);
  if (it == pending_.end()) return;
  env_.loop.Cancel(std::exchange(it->second.timer, 0));
  const Ref<Revision> now = store_.view().GetRevision(id);
  if (now == nullptr || !now->revision().image_digest().empty()) {
    pending_.erase(it);
    return;
  }
  if (!image.ok()) image = ResolvedImage{.pending_reason = std::string(image.status().message())};
  const absl::Status written = WriteBack(*now, *image);
  if (!written.ok()) LogWarning("api", StrCat("revision ", id.ToString(), ": ", written.message()));
  if (written.ok() && !image->digest.empty()) {
    pending_.erase(it);
    return;
  }
  it->second.timer = env_.loop.RunAfter(it->second.backoff.Next(), [this, id] { Retry(id); });
}

absl::Status ImageResolver::WriteBack(const Revision& now, const ResolvedImage& image) {
  if (image.digest.empty() && now.pending_reason() == image.pending_reason) return absl::OkStatus();
  return store_.Update([&](WriteTx& tx) {
    Revision revision = now;
    revision.mutable_revision()->set_image_digest(image.digest);
    revision.set_pending_reason(image.digest.empty() ? image.pending_reason : "");
    for (const v1::Platform& platform : image.platforms) {
      *revision.mutable_revision()->mutable_task()->mutable_placement()->add_platforms() = platform;
    }
    return tx.Put(std::move(revision));
  });
}

}  // namespace swarm::manager
