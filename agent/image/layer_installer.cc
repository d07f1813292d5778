#include "agent/image/layer_installer.h"

#include <algorithm>
#include <functional>
#include <system_error>
#include <thread>
#include <utility>

#include "agent/image/layer_unpacker.h"
#include "common/file_system.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "common/strings.h"

namespace swarm::agent {
namespace {

constexpr size_t kThreads = 4;
constexpr absl::Duration kProgressPeriod = absl::Milliseconds(100);

// How the layers of one call are doing; the bottom one is number 0.
class Board {
 public:
  explicit Board(size_t count) : done_(count, false), results_(count) {}

  void Finish(size_t i, const absl::Status& status) {
    MutexLock lock(mu_);
    done_[i] = true;
    results_[i] = OwnCopy(status);
    ++finished_;
    failed_ = failed_ || !status.ok();
    changed_.NotifyAll();
  }

  absl::Status WaitForAllBelow(size_t i) {
    MutexLock lock(mu_);
    for (size_t below = 0; below < i; ++below) {
      while (!done_[below]) changed_.Wait(mu_);
      if (!results_[below].ok()) return absl::CancelledError("a layer below failed");
    }
    return absl::OkStatus();
  }

  // True when all have finished.
  bool WaitAWhile(bool* failed) {
    MutexLock lock(mu_);
    if (finished_ < done_.size()) changed_.WaitFor(mu_, kProgressPeriod);
    *failed = failed_;
    return finished_ == done_.size();
  }

  // The first real failure: that one was cancelled is mostly a consequence.
  absl::Status Result() {
    MutexLock lock(mu_);
    absl::Status cancelled;
    for (const absl::Status& status : results_) {
      if (status.ok()) continue;
      if (!absl::IsCancelled(status)) return OwnCopy(status);
      cancelled = OwnCopy(status);
    }
    return cancelled;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<bool> done_ ABSL_GUARDED_BY(mu_);
  std::vector<absl::Status> results_ ABSL_GUARDED_BY(mu_);
  size_t finished_ ABSL_GUARDED_BY(mu_) = 0;
  bool failed_ ABSL_GUARDED_BY(mu_) = false;
};

// False when the machine has no thread left to give.
bool StartThread(const std::function<void()>& work, std::vector<std::thread>* threads) {
  try {
    threads->emplace_back(work);
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

}  // namespace

struct LayerInstaller::Work {
  const std::vector<oci::Descriptor>& layers;
  const std::vector<std::string>& diff_ids;
  std::vector<std::string> names;  // of the layers' folders
  ImageSource& source;
  Board board;
  std::atomic<int64_t> received = 0;
  std::atomic<bool> stop = false;
};

LayerInstaller::LayerInstaller(BlobStore& store, TarLimits limits)
    : store_(store), limits_(limits) {}

absl::Status LayerInstaller::Install(const std::vector<oci::Descriptor>& layers,
                                     const std::vector<std::string>& diff_ids, ImageSource& source,
                                     const std::function<void(const ImageProgress&)>& progress,
                                     const std::atomic<bool>& cancelled) {
  Work work{layers, diff_ids, {}, source, Board(layers.size())};
  int64_t total = 0;
  int64_t missing = 0;
  for (const std::string& chain : oci::ChainIds(diff_ids)) work.names.push_back(LayerName(chain));
  for (size_t i = 0; i < layers.size(); ++i) {
    total += layers[i].size;
    if (!store_.HasLayer(work.names[i])) missing += layers[i].size;
  }
  if (std::all_of(work.names.begin(), work.names.end(),
                  [&](const std::string& name) { return store_.HasLayer(name); })) {
    if (progress) progress({total, total});
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(store_.CheckRoom(missing));

  // Taken bottom first: what a layer waits for has always begun.
  std::atomic<size_t> next = 0;
  const auto run = [&] {
    for (size_t i = next++; i < layers.size(); i = next++) {
      if (cancelled.load(std::memory_order_relaxed)) work.stop = true;
      work.board.Finish(i, InstallOne(work, i));
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  while (threads.size() < std::min(kThreads, layers.size()) && StartThread(run, &threads)) {
  }
  if (threads.empty()) run();
  bool failed = false;
  while (!work.board.WaitAWhile(&failed)) {
    if (failed || cancelled.load(std::memory_order_relaxed)) work.stop = true;
    if (progress) progress({work.received, total});
  }
  for (std::thread& thread : threads) thread.join();
  if (cancelled.load(std::memory_order_relaxed)) {
    const absl::Status result = work.board.Result();
    return result.ok() ? result : absl::CancelledError("cancelled");
  }
  RETURN_IF_ERROR(work.board.Result());
  if (progress) progress({total, total});
  return absl::OkStatus();
}

absl::Status LayerInstaller::InstallOne(Work& work, size_t i) {
  return flights_.Do("layer " + work.names[i], work.stop, [&]() -> absl::Status {
    if (store_.HasLayer(work.names[i])) {
      work.received += work.layers[i].size;
      return absl::OkStatus();
    }
    return FetchAndUnpack(work, i);
  });
}

absl::Status LayerInstaller::FetchAndUnpack(Work& work, size_t i) {
  const oci::Descriptor& layer = work.layers[i];
  const auto fetch = [&] {
    return flights_.Do("blob " + layer.digest, work.stop, [&]() -> absl::Status {
      if (store_.HasBlob(layer.digest)) {
        work.received += layer.size;
        return absl::OkStatus();
      }
      return work.source.FetchBlob(layer, store_, work.received, work.stop);
    });
  };
  RETURN_IF_ERROR(fetch());
  absl::Status status = UnpackOne(work, i);
  // A blob that was good when it came and is not now: the disk's fault, worth one more fetch.
  if (absl::IsDataLoss(status) && store_.DropIfDamaged(layer.digest)) {
    RETURN_IF_ERROR(fetch());
    status = UnpackOne(work, i);
  }
  return status;
}

absl::Status LayerInstaller::UnpackOne(Work& work, size_t i) {
  ASSIGN_OR_RETURN(UniqueFd blob, store_.OpenBlob(work.layers[i].digest));
  ASSIGN_OR_RETURN(const std::string folder, store_.NewFolder());
  const auto unpack = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<std::string> implied,
                     UnpackLayer(std::move(blob), work.diff_ids[i], limits_, folder, work.stop));
    if (!implied.empty()) {
      RETURN_IF_ERROR(work.board.WaitForAllBelow(i));
      std::vector<std::string> below;
      for (size_t j = i; j > 0; --j) below.push_back(store_.LayerPath(work.names[j - 1]));
      RETURN_IF_ERROR(DescribeFromBelow(folder, implied, below));
    }
    return store_.CommitLayer(folder, work.names[i]);
  };
  absl::Status status = unpack();
  if (status.ok()) return status;
  // The first error is the one to tell; what cannot be removed now goes at the next Open.
  RemoveTree(folder).IgnoreError();
  if (absl::IsCancelled(status) || status.message().find("layer ") == 0) return status;
  return Annotate(status, StrCat("layer ", work.layers[i].digest));
}

}  // namespace swarm::agent
