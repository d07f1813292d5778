#include "agent/health/http_get.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/version.h"

namespace swarm::agent {
namespace {

absl::Status NotHttp(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the answer is not HTTP: ", what));
}

}  // namespace

absl::Status HttpParser::Feed(absl::string_view bytes) {
  if (done()) return absl::OkStatus();
  buffer_.append(bytes.data(), bytes.size());
  while (!done() && !buffer_.empty()) {
    const size_t before = buffer_.size();
    const State state = state_;
    switch (state_) {
      case State::kHead:
        RETURN_IF_ERROR(ReadHead());
        break;
      case State::kChunkSize:
      case State::kChunkEnd:
        RETURN_IF_ERROR(ReadChunkSize());
        break;
      case State::kBody:
      case State::kChunk:
        ReadBody();
        break;
      case State::kDone:
        break;
    }
    if (buffer_.size() == before && state_ == state) break;  // needs more
  }
  return absl::OkStatus();
}

// A whole line, taken out of the buffer. False: not there yet.
bool HttpParser::TakeLine(absl::string_view* line, absl::Status* status) {
  const size_t end = buffer_.find('\n');
  if (end == std::string::npos) {
    if (buffer_.size() > kMaxHead) *status = NotHttp("a line without an end");
    return false;
  }
  *line = absl::StripSuffix(absl::string_view(buffer_).substr(0, end), "\r");
  return true;
}

absl::Status HttpParser::ReadHead() {
  absl::string_view line;
  absl::Status status;
  if (!TakeLine(&line, &status)) return status;
  const size_t size = buffer_.find('\n') + 1;
  seen_head_ += size;
  if (seen_head_ > kMaxHead) return NotHttp("its head is longer than 64 KiB");
  if (!has_status_line_) {
    has_status_line_ = true;
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    if (words.size() < 2 || !absl::StartsWith(words[0], "HTTP/1.") || words[1].size() != 3 ||
        !absl::SimpleAtoi(words[1], &answer_.status) || answer_.status < 100) {
      return NotHttp(absl::CHexEscape(line.substr(0, 80)));
    }
  } else if (!line.empty()) {
    RETURN_IF_ERROR(ReadHeader(line));
  } else if (answer_.status < 200) {
    has_status_line_ = false;  // "100 Continue": the answer comes yet
  } else if (answer_.status == 204 || answer_.status == 304 ||
             (has_length_ && !chunked_ && left_ == 0)) {
    state_ = State::kDone;
  } else {
    state_ = chunked_ ? State::kChunkSize : State::kBody;
  }
  buffer_.erase(0, size);
  return absl::OkStatus();
}

absl::Status HttpParser::ReadHeader(absl::string_view line) {
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return NotHttp("a header without a colon");
  const absl::string_view name = line.substr(0, colon);
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (absl::EqualsIgnoreCase(name, "content-length")) {
    if (!absl::SimpleAtoi(value, &left_)) return NotHttp("a bad Content-Length");
    has_length_ = true;
  }
  if (absl::EqualsIgnoreCase(name, "transfer-encoding")) {
    chunked_ = absl::EndsWithIgnoreCase(value, "chunked");
  }
  return absl::OkStatus();
}

absl::Status HttpParser::ReadChunkSize() {
  absl::string_view line;
  absl::Status status;
  if (!TakeLine(&line, &status)) return status;
  const size_t size = buffer_.find('\n') + 1;
  if (state_ == State::kChunkEnd) {
    if (!line.empty()) return NotHttp("a chunk without an end");
    state_ = State::kChunkSize;
  } else {
    const absl::string_view number =
        absl::StripAsciiWhitespace(line.substr(0, std::min(line.find(';'), line.size())));
    if (number.empty() || number.size() > 15 || !absl::SimpleHexAtoi(number, &left_) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(number[0]))) {
      return NotHttp("a bad chunk size");
    }
    state_ = left_ == 0 ? State::kDone : State::kChunk;
  }
  buffer_.erase(0, size);
  return absl::OkStatus();
}

void HttpParser::Keep(absl::string_view bytes) {
  const size_t room = max_body_ - std::min(max_body_, answer_.body.size());
  answer_.body.append(bytes.data(), std::min(room, bytes.size()));
  if (bytes.size() <= room) return;
  answer_.truncated = true;
  state_ = State::kDone;
}

void HttpParser::ReadBody() {
  const bool counted = state_ == State::kChunk || has_length_;
  const size_t size =
      counted ? static_cast<size_t>(std::min<uint64_t>(left_, buffer_.size())) : buffer_.size();
  const bool chunk = state_ == State::kChunk;
  Keep(absl::string_view(buffer_).substr(0, size));
  buffer_.erase(0, size);
  if (counted) left_ -= size;
  if (done() || !counted || left_ > 0) return;
  state_ = chunk ? State::kChunkEnd : State::kDone;
}

absl::Status HttpParser::Finish() {
  if (done()) return absl::OkStatus();
  const bool until_the_end = state_ == State::kBody && !has_length_;
  if (!until_the_end) return NotHttp("it ended early");
  state_ = State::kDone;
  return absl::OkStatus();
}

absl::StatusOr<HttpAnswer> HttpGet(Connection& connection, absl::string_view host,
                                   absl::string_view path, size_t max_body) {
  RETURN_IF_ERROR(connection.Write(absl::StrCat(
      "GET ", path.empty() ? "/" : path, " HTTP/1.1\r\nHost: ", host, "\r\nUser-Agent: swarm/",
      std::string(kVersion), "\r\nAccept: */*\r\nConnection: close\r\n\r\n")));
  HttpParser parser(max_body);
  char buffer[16384];
  while (!parser.done()) {
    ASSIGN_OR_RETURN(const size_t size, connection.Read(buffer, sizeof buffer));
    RETURN_IF_ERROR(size == 0 ? parser.Finish() : parser.Feed({buffer, size}));
  }
  return parser.Take();
}

}  // namespace swarm::agent
