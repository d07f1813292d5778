// Input: a template of a secret or config.
#include <string>
#include <vector>

#include "common/check.h"
#include "common/task_template.h"
#include "tests/fuzz/fuzz.h"

namespace swarm {

std::vector<std::string> fuzz::MoreSeeds() { return {}; }

}  // namespace swarm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace swarm;  // NOLINT(google-build-using-namespace)
  const std::string_view text = fuzz::Text(data, size);
  TemplateValues values;
  values.fields = {{".Task.Slot", "3"}, {".Service.Name", "{{.Task.Slot}}"}};
  values.service_labels = {{"a", "1"}};
  values.secret = values.config = values.env = [](std::string_view name) { return name; };
  const auto expanded = ExpandTemplate(text, values);
  const absl::Status checked = CheckTemplate(text, TemplatePlace::kContent);
  // What the edge lets in expands on every node, and the reverse.
  CHECK(expanded.ok() == checked.ok()) << expanded.status() << " and " << checked;
  if (!expanded.ok()) return fuzz::CheckRefusal(expanded.status());
  CHECK(expanded->size() <= kMostExpandedBytes) << expanded->size();
  if (text.find("{{") == text.npos) CHECK(*expanded == text) << *expanded;
  // A spec may say no more than a content.
  if (CheckTemplate(text, TemplatePlace::kSpec).ok()) CHECK(checked.ok()) << checked;
  return 0;
}
