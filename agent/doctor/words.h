// How findings name things. Pure.
#ifndef SWARM_AGENT_DOCTOR_WORDS_H_
#define SWARM_AGENT_DOCTOR_WORDS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/network/network_state.h"

namespace swarm::agent {

// "a, b, c and 4 more".
std::string Some(const std::vector<std::string>& all);

// As much as Some would say of a list, of which only what is said is put into words: finding words
// may take long.
class Named {
 public:
  // `word` gives the words.
  template <typename Word>
  void Add(Word word) {
    if (words_.size() < kMostNamed) words_.push_back(word());
    ++size_;
  }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string Text() const;  // "a, b, c and 4 more"

  static constexpr size_t kMostNamed = 3;

 private:
  std::vector<std::string> words_;
  size_t size_ = 0;
};

// "1 task", "2 tasks".
std::string Count(size_t n, const char* one, const char* many);

// "web.2": a task's name as people say it; its id when nothing is known of it.
std::string ShortName(const NetworkState& state, const std::string& task_id);
// A service's or network's name, or its id.
std::string ServiceName(const NetworkState& state, const std::string& service_id);
std::string NetworkName(const NetworkState& state, const std::string& network_id);
// Where a node's VXLAN listens; "" when it is no peer.
std::string UnderlayAddress(const NetworkState& state, const std::string& node_id);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_DOCTOR_WORDS_H_
