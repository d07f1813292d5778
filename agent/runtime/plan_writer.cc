#include "agent/runtime/plan_writer.h"

#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace swarm::agent {

PlanWriter::PlanWriter() : out_(sizeof(plan::Header), '\0') {}

void PlanWriter::Pad(size_t multiple) {
  out_.resize((out_.size() + multiple - 1) / multiple * multiple);
}

void PlanWriter::EndRecord() {
  if (record_ == 0) return;
  const auto bytes = static_cast<uint32_t>(out_.size() - record_ - sizeof(plan::RecordHeader));
  std::memcpy(out_.data() + record_ + offsetof(plan::RecordHeader, bytes), &bytes, sizeof bytes);
  Pad(8);
  record_ = 0;
}

PlanWriter& PlanWriter::Begin(plan::Tag tag) {
  EndRecord();
  record_ = out_.size();
  ++records_;
  const plan::RecordHeader header = {static_cast<uint16_t>(tag), 0, 0};
  out_.append(reinterpret_cast<const char*>(&header), sizeof header);
  return *this;
}

PlanWriter& PlanWriter::U32(uint32_t value) {
  out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  return *this;
}

PlanWriter& PlanWriter::U64(uint64_t value) {
  out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  return *this;
}

PlanWriter& PlanWriter::String(absl::string_view text) {
  U32(static_cast<uint32_t>(text.size() + 1));
  out_.append(text.data(), text.size()).push_back('\0');
  Pad(4);
  return *this;
}

PlanWriter& PlanWriter::Bytes(absl::string_view bytes) {
  U32(static_cast<uint32_t>(bytes.size()));
  out_.append(bytes.data(), bytes.size());
  Pad(4);
  return *this;
}

absl::StatusOr<std::string> PlanWriter::Finish() {
  EndRecord();
  if (out_.size() > plan::kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the container needs a plan of ", out_.size(),
                                                   " bytes, more than ", plan::kMaxBytes));
  }
  const plan::Header header = {plan::kMagic, plan::kVersion, static_cast<uint32_t>(out_.size()),
                               records_, 0};
  std::memcpy(out_.data(), &header, sizeof header);
  plan::Plan plan;
  if (!plan.Open(out_.data(), out_.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a plan: a NUL inside of a text, more than ", plan::kMaxBindMounts,
                     " mounts, ", plan::kMaxLowerDirs, " layers, ", plan::kMaxGroups, " groups or ",
                     plan::kMaxRecords, " records"));
  }
  return std::move(out_);
}

}  // namespace swarm::agent
