#include "cli/compose/dependencies.h"

#include <algorithm>
#include <map>
#include <utility>

#include "cli/compose/spec_words.h"
#include "common/strings.h"

namespace swarm::cli::compose {
namespace {

// Depth first, in the order of the file.
class Sorter {
 public:
  Sorter(const Value& file, std::vector<StackService>& services, Problems& problems)
      : file_(file), services_(services), problems_(problems) {
    for (size_t i = 0; i < services.size(); ++i) by_name_[services[i].spec.name()] = i;
    marks_.resize(services.size(), Mark::kNew);
  }

  void Run() {
    for (size_t i = 0; i < services_.size(); ++i) {
      if (marks_[i] == Mark::kNew) Visit(i);
    }
    std::vector<StackService> sorted;
    for (const size_t i : order_) sorted.push_back(std::move(services_[i]));
    services_ = std::move(sorted);
  }

 private:
  enum class Mark { kNew, kOpen, kDone };

  void Visit(size_t index) {
    marks_[index] = Mark::kOpen;
    path_.push_back(index);
    for (const v1::Dependency& dependency : services_[index].spec.depends_on()) {
      const auto it = by_name_.find(dependency.service());
      if (it == by_name_.end()) continue;  // told where it was read
      CheckEnds(index, dependency, services_[it->second]);
      if (marks_[it->second] == Mark::kOpen) Circle(index, it->second);
      if (marks_[it->second] == Mark::kNew) Visit(it->second);
    }
    path_.pop_back();
    marks_[index] = Mark::kDone;
    order_.push_back(index);
  }

  void Circle(size_t at, size_t begin) {
    std::string names;
    for (auto it = std::find(path_.begin(), path_.end(), begin); it != path_.end(); ++it) {
      StrAppend(&names, services_[*it].name, " waits for ");
    }
    Invalid(at, StrCat("none of them would ever start: ", names, services_[begin].name));
  }

  void CheckEnds(size_t at, const v1::Dependency& dependency, const StackService& other) {
    const bool is_job = other.spec.has_replicated_job() || other.spec.has_global_job();
    if (dependency.condition() != v1::Dependency::CONDITION_COMPLETED || is_job) return;
    Invalid(at, StrCat(other.name, " never completes, since it is no job: give it deploy.mode: ",
                       "replicated-job"));
  }

  void Invalid(size_t at, std::string_view why) {
    const std::string& name = services_[at].name;
    const Value* service = file_.Find(name);
    const Value* depends = service == nullptr ? nullptr : service->Find("depends_on");
    problems_.Invalid(depends == nullptr ? "" : depends->Where(),
                      StrCat("services.", name, ".depends_on"), why);
  }

  const Value& file_;
  std::vector<StackService>& services_;
  Problems& problems_;
  std::map<std::string, size_t> by_name_;
  std::vector<Mark> marks_;
  std::vector<size_t> path_;
  std::vector<size_t> order_;
};

}  // namespace

void ReadDependencies(const Fields& service, const Value& services, const std::string& stack,
                      v1::ServiceSpec& spec) {
  const Value* depends = service.Get("depends_on");
  if (depends == nullptr || !depends->IsMap()) return;
  const Fields all = service.Section("depends_on");
  for (const Entry& entry : depends->entries) {
    const Value* other = services.Find(entry.key);
    if (other == nullptr) {
      all.RefuseAt(entry, "there is no such service in the file");
      continue;
    }
    v1::Dependency& dependency = *spec.add_depends_on();
    dependency.set_service(StrCat(stack, "_", entry.key));
    dependency.set_condition(all.Section(entry.key)
                                 .With("condition", ParseCondition)
                                 .value_or(v1::Dependency::CONDITION_STARTED));
  }
}

void SortByDependencies(const Value& file, std::vector<StackService>& services,
                        Problems& problems) {
  Sorter(file, services, problems).Run();
}

}  // namespace swarm::cli::compose
