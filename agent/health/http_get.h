// A minimal HTTP/1.1 GET: what a probe and a scrape of metrics need, and no more. No redirects, no
// TLS, no compression.
#ifndef SWARM_AGENT_HEALTH_HTTP_GET_H_
#define SWARM_AGENT_HEALTH_HTTP_GET_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/health/connection.h"

namespace swarm::agent {

struct HttpAnswer {
  int status = 0;
  std::string body;
  bool truncated = false;  // the body is longer than was read
};

// Takes an answer in pieces. Pure; what it reads is hostile.
//
//   HttpParser parser(max_body);
//   while (!parser.done()) RETURN_IF_ERROR(parser.Feed(piece));   // Finish() at the end of file
class HttpParser {
 public:
  static constexpr size_t kMaxHead = 64 << 10;

  explicit HttpParser(size_t max_body) : max_body_(max_body) {}

  // InvalidArgument says what is wrong with the bytes. After done() nothing more is looked at.
  absl::Status Feed(absl::string_view bytes);
  // The other side has ended. InvalidArgument when the answer is not whole by then.
  absl::Status Finish();
  // Whole, or as much of it as is wanted.
  bool done() const { return state_ == State::kDone; }
  HttpAnswer&& Take() { return std::move(answer_); }

 private:
  enum class State { kHead, kBody, kChunkSize, kChunk, kChunkEnd, kDone };

  absl::Status ReadHead();
  absl::Status ReadHeader(absl::string_view line);
  absl::Status ReadChunkSize();
  void ReadBody();
  bool TakeLine(absl::string_view* line, absl::Status* status);
  void Keep(absl::string_view bytes);

  const size_t max_body_;
  State state_ = State::kHead;
  std::string buffer_;  // not looked at yet
  size_t seen_head_ = 0;
  bool has_status_line_ = false;
  bool chunked_ = false;
  bool has_length_ = false;
  uint64_t left_ = 0;  // of the body or the chunk
  HttpAnswer answer_;
};

// `path` begins with '/'; `host` goes into the header of that name.
absl::StatusOr<HttpAnswer> HttpGet(Connection& connection, absl::string_view host,
                                   absl::string_view path, size_t max_body);

}  // namespace swarm::agent

#endif  // SWARM_AGENT_HEALTH_HTTP_GET_H_
