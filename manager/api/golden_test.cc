// A field's number and type are a promise to every client, agent and disk out there: this compares
// them with proto/golden/fields.txt.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/file_system.h"
#include "common/strings.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "swarm/storage/v1/records.pb.h"
#include "swarm/v1/ca.pb.h"
#include "swarm/v1/containers.pb.h"
#include "swarm/v1/control.pb.h"
#include "swarm/v1/logs.pb.h"
#include "swarm/v1/node_local.pb.h"
#include "swarm/v1/unlock.pb.h"
#include "tests/support/status_matchers.h"

namespace swarm {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

std::string TypeOf(const FieldDescriptor& field) {
  std::string type = field.type_name();
  if (field.message_type() != nullptr) type = field.message_type()->full_name();
  if (field.enum_type() != nullptr) type = field.enum_type()->full_name();
  return field.is_repeated() ? StrCat("repeated ", type) : type;
}

void Describe(const EnumDescriptor& type, std::set<std::string>& out) {
  for (int i = 0; i < type.value_count(); ++i) {
    out.insert(
        StrCat(type.full_name(), ".", type.value(i)->name(), " = ", type.value(i)->number()));
  }
}

void Describe(const Descriptor& message, std::set<std::string>& out) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    out.insert(
        StrCat(message.full_name(), ".", field.name(), " = ", field.number(), " ", TypeOf(field)));
  }
  for (int i = 0; i < message.nested_type_count(); ++i) Describe(*message.nested_type(i), out);
  for (int i = 0; i < message.enum_type_count(); ++i) Describe(*message.enum_type(i), out);
}

std::set<std::string> Today() {
  std::set<std::string> out;
  for (const FileDescriptor* file :
       {v1::Meta::descriptor()->file(), v1::GetClusterRequest::descriptor()->file(),
        v1::AgentMessage::descriptor()->file(), v1::LogMessage::descriptor()->file(),
        v1::ContainerInput::descriptor()->file(), v1::RootCertificate::descriptor()->file(),
        v1::NodeInfo::descriptor()->file(), v1::UnlockManagerRequest::descriptor()->file(),
        storage::v1::ClusterRecord::descriptor()->file()}) {
    for (int i = 0; i < file->message_type_count(); ++i) Describe(*file->message_type(i), out);
    for (int i = 0; i < file->enum_type_count(); ++i) Describe(*file->enum_type(i), out);
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto& method = *file->service(s)->method(m);
        out.insert(StrCat(
            "rpc ", method.full_name(), "(", method.client_streaming() ? "stream " : "",
            method.input_type()->full_name(), ") returns (",
            method.server_streaming() ? "stream " : "", method.output_type()->full_name(), ")"));
      }
    }
  }
  return out;
}

TEST(GoldenTest, KeepsEveryFieldsNumberAndType) {
  const std::string path = SWARM_GOLDEN_FILE;
  auto content = ReadFile(path);
  ASSERT_THAT(content, testing::IsOk());
  const std::vector<std::string> lines = absl::StrSplit(*content, '\n', absl::SkipEmpty());
  const std::set<std::string> golden(lines.begin(), lines.end());
  const std::set<std::string> today = Today();

  std::vector<std::string> lost;
  std::vector<std::string> added;
  std::set_difference(golden.begin(), golden.end(), today.begin(), today.end(),
                      std::back_inserter(lost));
  std::set_difference(today.begin(), today.end(), golden.begin(), golden.end(),
                      std::back_inserter(added));
  EXPECT_TRUE(lost.empty())
      << "these were promised and are gone or differ; put them back (a field that is no "
         "longer wanted stays, reserved words and a comment beside it):\n"
      << absl::StrJoin(lost, "\n");
  EXPECT_TRUE(added.empty()) << "these are new; to promise them, add the lines to " << path
                             << " (kept sorted, LC_ALL=C sort):\n"
                             << absl::StrJoin(added, "\n");
}

}  // namespace
}  // namespace swarm
