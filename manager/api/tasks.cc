#include "manager/api/tasks.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "manager/api/lookup.h"
#include "manager/api/network_filter.h"
#include "manager/network_rules.h"

namespace swarm::manager {
namespace {

// Which tasks a list is about; ids of zero mean any.
struct TaskFilter {
  Id service;
  Id node;
  NetworkFilter network;
  bool desired_running_only = false;

  bool Fits(const Task& task) const {
    if (!service.IsZero() && task.service_id != service) return false;
    if (!node.IsZero() && task.node_id != node) return false;
    if (desired_running_only && !IsWantedToRun(task)) return false;
    const v1::Revision& revision = task.revision->revision();
    return network.Fits(revision.task(), JoinsIngress(revision));
  }
};

// The walks by index have orders of their own: keep the page's worth with the smallest ids.
class SmallestIds {
 public:
  SmallestIds(Id first, size_t count) : first_(first), count_(count) {}
  void Add(const Ref<Task>& task) {
    if (task->id < first_) return;
    tasks_.push_back(task);
    if (tasks_.size() >= 2 * count_ + 64) Shrink();
  }
  std::vector<Ref<Task>> Take() {
    Shrink();
    std::sort(tasks_.begin(), tasks_.end(), ById);
    return std::move(tasks_);
  }

 private:
  static bool ById(const Ref<Task>& a, const Ref<Task>& b) { return a->id < b->id; }
  void Shrink() {
    if (tasks_.size() <= count_) return;
    std::nth_element(tasks_.begin(), tasks_.begin() + static_cast<std::ptrdiff_t>(count_),
                     tasks_.end(), ById);
    tasks_.resize(count_);
  }

  const Id first_;
  const size_t count_;
  std::vector<Ref<Task>> tasks_;
};

void Add(const Task& task, PageFill& fill, v1::ListTasksResponse& response) {
  *response.add_tasks() = ToApi(task);
  fill.Add(response.tasks().rbegin()->ByteSizeLong());
}

void Render(const std::vector<Ref<Task>>& tasks, const Page& page,
            v1::ListTasksResponse& response) {
  PageFill fill(page);
  for (const Ref<Task>& task : tasks) {
    if (fill.Full()) return response.set_next_page_token(task->id.ToString());
    Add(*task, fill, response);
  }
}

}  // namespace

void Tasks::Get(const v1::GetTaskRequest& request, Reply<v1::Task> reply) {
  absl::StatusOr<Ref<Task>> task = FindTask(store_.view(), request.ref());
  if (!task.ok()) return ReplyRead<v1::Task>(store_, task.status(), std::move(reply));
  ReplyRead<v1::Task>(store_, ToApi(**task), std::move(reply));
}

void Tasks::List(const v1::ListTasksRequest& request, Reply<v1::ListTasksResponse> reply) {
  ReplyRead<v1::ListTasksResponse>(store_, ListNow(request), std::move(reply));
}

absl::StatusOr<v1::ListTasksResponse> Tasks::ListNow(const v1::ListTasksRequest& request) const {
  ASSIGN_OR_RETURN(const Page page, Page::Parse(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(NetworkFilter network,
                   NetworkFilter::Parse(store_.view(), request.network_ref()));
  TaskFilter filter{.network = std::move(network),
                    .desired_running_only = request.desired_running_only()};
  if (!request.service_ref().empty()) {
    ASSIGN_OR_RETURN(Ref<Service> service, FindService(store_.view(), request.service_ref()));
    filter.service = Id::ParseOrZero(service->id());
  }
  if (!request.node_ref().empty()) {
    ASSIGN_OR_RETURN(Ref<Node> node, FindNode(store_.view(), request.node_ref()));
    filter.node = Id::ParseOrZero(node->id());
  }
  v1::ListTasksResponse response;
  if (!filter.service.IsZero() || !filter.node.IsZero()) {
    SmallestIds smallest(page.first, page.size + 1);
    auto visit = [&](const Ref<Task>& task) {
      if (filter.Fits(*task)) smallest.Add(task);
      return true;
    };
    if (!filter.service.IsZero()) {
      store_.view().EachTaskOfService(filter.service, visit);
    } else {
      store_.view().EachTaskOfNode(filter.node, visit);
    }
    Render(smallest.Take(), page, response);
    return response;
  }
  PageFill fill(page);
  size_t visited = 0;
  store_.view().EachTask(
      [&](const Ref<Task>& task) {
        if (fill.Full() || ++visited > Page::kMostVisited) {
          response.set_next_page_token(task->id.ToString());
          return false;
        }
        if (filter.Fits(*task)) Add(*task, fill, response);
        return true;
      },
      page.first);
  return response;
}

}  // namespace swarm::manager
