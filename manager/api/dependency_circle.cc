#include "manager/api/dependency_circle.h"

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "common/strings.h"
#include "google/protobuf/util/message_differencer.h"
#include "manager/api/container_validation.h"

namespace swarm::manager {
namespace {

// Of a longer circle the beginning and the number are told.
constexpr size_t kMostTold = 10;

// Nearest first: the way that is found is the shortest.
class Search {
 public:
  Search(const View& view, const std::string& name) : view_(view), name_(name) {}

  // The services from `first` to the last before `name`; empty when it is never reached. What an
  // earlier call has seen does not reach it and is not looked at again.
  std::vector<std::string> WayFrom(const std::string& first) {
    if (!waiter_of_.try_emplace(first).second) return {};
    std::deque<std::string> open = {first};
    for (; !open.empty(); open.pop_front()) {
      const Ref<Service> service = view_.GetServiceByName(open.front());
      if (service == nullptr || service->removing()) continue;
      for (const v1::Dependency& dependency : service->spec().depends_on()) {
        if (dependency.service() == name_) return WayTo(open.front());
        if (waiter_of_.try_emplace(dependency.service(), open.front()).second) {
          open.push_back(dependency.service());
        }
      }
    }
    return {};
  }

 private:
  std::vector<std::string> WayTo(const std::string& last) const {
    std::vector<std::string> way;
    for (std::string at = last; !at.empty(); at = waiter_of_.at(at)) way.push_back(at);
    std::reverse(way.begin(), way.end());
    return way;
  }

  const View& view_;
  const std::string& name_;
  std::map<std::string, std::string> waiter_of_;  // who led to it; "" for the first
};

std::string Show(const std::string& name, const std::vector<std::string>& way) {
  std::string text = name;
  for (size_t i = 0; i < way.size() && i < kMostTold; ++i) StrAppend(&text, " -> ", way[i]);
  if (way.size() > kMostTold) StrAppend(&text, " -> (", way.size() - kMostTold, " more)");
  return StrCat(text, " -> ", name);
}

}  // namespace

absl::Status CheckNoDependencyCircle(const View& view, const v1::ServiceSpec& spec) {
  Search search(view, spec.name());
  for (int i = 0; i < spec.depends_on_size(); ++i) {
    const std::vector<std::string> way = search.WayFrom(spec.depends_on(i).service());
    if (way.empty()) continue;
    return FieldError(
        StrCat("depends_on[", i, "].service"),
        StrCat("created anew, none of them would ever start: ", Show(spec.name(), way)));
  }
  return absl::OkStatus();
}

bool SameDependencies(const v1::ServiceSpec& a, const v1::ServiceSpec& b) {
  return std::equal(a.depends_on().begin(), a.depends_on().end(), b.depends_on().begin(),
                    b.depends_on().end(), [](const auto& x, const auto& y) {
                      return google::protobuf::util::MessageDifferencer::Equals(x, y);
                    });
}

}  // namespace swarm::manager
