#include "common/oci/reference.h"

#include "common/status_macros.h"
#include "common/strings.h"

// The grammar of the distribution project:
//   reference = name [":" tag] ["@" digest]
//   name      = [host "/"] component *("/" component)
//   component = alnum *(separator alnum), lower case; separator = "." | "_" | "__" | 1*"-"
//   tag       = word character, then at most 127 of [A-Za-z0-9_.-]
namespace swarm::oci {
namespace {

constexpr std::string_view kDefaultHost = "docker.io";
constexpr std::string_view kOfficial = "library/";
constexpr size_t kMaxNameLength = 255;
constexpr size_t kMaxTagLength = 128;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsLowerAlnum(char c) { return IsDigit(c) || (c >= 'a' && c <= 'z'); }
bool IsAlnum(char c) { return IsLowerAlnum(c) || IsUpper(c); }

bool IsPort(std::string_view text) {
  if (text.empty() || text.size() > 5) return false;
  int port = 0;
  for (char c : text) {
    if (!IsDigit(c)) return false;
    port = port * 10 + (c - '0');
  }
  return port >= 1 && port <= 65535;
}

// "a", "my-host": letters and digits at both ends.
bool IsHostLabel(std::string_view text) {
  if (text.empty() || !IsAlnum(text.front()) || !IsAlnum(text.back())) return false;
  for (char c : text) {
    if (!IsAlnum(c) && c != '-') return false;
  }
  return true;
}

bool IsHostName(std::string_view text) {
  while (true) {
    const size_t dot = text.find('.');
    if (!IsHostLabel(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool IsBracketedIpv6(std::string_view text) {
  if (text.size() < 4 || text.front() != '[' || text.back() != ']') return false;
  return text.substr(1, text.size() - 2).find_first_not_of("0123456789abcdefABCDEF:") ==
         std::string_view::npos;
}

bool IsHost(std::string_view text) {
  const size_t bracket = text.rfind(']');
  const size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos && !IsPort(text.substr(colon + 1))) return false;
  const std::string_view name = text.substr(0, colon);
  return IsHostName(name) || IsBracketedIpv6(name);
}

// The separator at the front of `text`: 0 when there is none that the grammar knows.
size_t SeparatorLength(std::string_view text) {
  if (text.front() == '.') return 1;
  if (text.front() == '_') return text.substr(0, 2) == "__" ? 2 : 1;
  const size_t end = text.find_first_not_of('-');
  return end == std::string_view::npos ? text.size() : end;
}

bool IsPathComponent(std::string_view text) {
  if (text.empty() || !IsLowerAlnum(text.front())) return false;
  while (!text.empty()) {
    while (!text.empty() && IsLowerAlnum(text.front())) text.remove_prefix(1);
    if (text.empty()) return true;
    text.remove_prefix(SeparatorLength(text));
    if (text.empty() || !IsLowerAlnum(text.front())) return false;
  }
  return true;
}

absl::Status CheckRepository(std::string_view repository) {
  for (char c : repository) {
    if (IsUpper(c)) return absl::InvalidArgumentError("a repository name must be lower case");
  }
  while (true) {
    const size_t slash = repository.find('/');
    const std::string_view component = repository.substr(0, slash);
    if (component.empty()) return absl::InvalidArgumentError("a part of the name is empty");
    if (!IsPathComponent(component)) {
      return absl::InvalidArgumentError(
          "a repository name has lower-case letters, digits and single separators (. _ __ -)");
    }
    if (slash == std::string_view::npos) return absl::OkStatus();
    repository.remove_prefix(slash + 1);
  }
}

absl::Status CheckTag(std::string_view tag) {
  if (tag.empty()) return absl::InvalidArgumentError("the tag is empty");
  if (tag.size() > kMaxTagLength)
    return absl::InvalidArgumentError("the tag is over 128 characters");
  for (size_t i = 0; i < tag.size(); ++i) {
    const char c = tag[i];
    if (IsAlnum(c) || c == '_' || (i > 0 && (c == '.' || c == '-'))) continue;
    return absl::InvalidArgumentError("a tag has letters, digits, _ . and - only");
  }
  return absl::OkStatus();
}

// Of "first/rest": a user's name has no dot and no port.
bool ReadsAsHost(std::string_view first) {
  return first == "localhost" || first.find_first_of(".:") != std::string_view::npos;
}

bool ReadsAsId(std::string_view name) {
  return name.size() == 64 && CheckDigest(StrCat("sha256:", name)).ok();
}

// Splits "host/repository"; a first component is a host only when it cannot be a user's name.
void SplitName(std::string_view name, Reference* out) {
  const size_t slash = name.find('/');
  const std::string_view first = name.substr(0, slash);
  if (slash != std::string_view::npos && ReadsAsHost(first)) {
    out->host = std::string(first == "index.docker.io" ? kDefaultHost : first);
    out->repository = std::string(name.substr(slash + 1));
  } else {
    out->host = std::string(kDefaultHost);
    out->repository = std::string(name);
  }
  if (out->host == kDefaultHost && out->repository.find('/') == std::string::npos) {
    out->repository = StrCat(kOfficial, out->repository);
  }
}

absl::Status ParseInto(std::string_view text, Reference* out) {
  if (text.empty()) return absl::InvalidArgumentError("it is empty");
  const size_t at = text.find('@');
  if (at != std::string_view::npos) {
    out->digest = std::string(text.substr(at + 1));
    RETURN_IF_ERROR(CheckDigest(out->digest));
    text = text.substr(0, at);
  }
  const size_t slash = text.rfind('/');
  const size_t colon = text.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    out->tag = std::string(text.substr(colon + 1));
    RETURN_IF_ERROR(CheckTag(out->tag));
    text = text.substr(0, colon);
  } else if (out->digest.empty()) {
    out->tag = "latest";
  }
  if (text.empty()) return absl::InvalidArgumentError("the name is empty");
  if (ReadsAsId(text)) {
    return absl::InvalidArgumentError("64 hex digits are an id, not a name");
  }
  SplitName(text, out);
  if (out->host.size() + 1 + out->repository.size() > kMaxNameLength) {
    return absl::InvalidArgumentError("the name is over 255 characters");
  }
  if (!IsHost(out->host)) {
    return absl::InvalidArgumentError("the part before the first / is not a host name");
  }
  return CheckRepository(out->repository);
}

}  // namespace

absl::StatusOr<Reference> Reference::Parse(std::string_view text) {
  Reference reference;
  absl::Status status = ParseInto(text, &reference);
  if (status.ok()) return reference;
  // What people typed goes into the line as it is, unless it would break the line.
  std::string shown;
  for (char c : text.substr(0, 100)) shown += (c >= 0x20 && c != 0x7f) ? c : '?';
  return Annotate(status, StrCat("invalid image reference \"", shown, "\""));
}

std::string Reference::Name() const {
  std::string name = StrCat(host, "/", repository);
  if (!tag.empty()) StrAppend(&name, ":", tag);
  return name;
}

std::string Reference::ToString() const {
  return digest.empty() ? Name() : StrCat(Name(), "@", digest);
}

std::string Reference::Familiar() const {
  std::string name = repository;
  if (host != kDefaultHost) {
    name = StrCat(host, "/", repository);
  } else if (name.compare(0, kOfficial.size(), kOfficial) == 0 &&
             name.find('/', kOfficial.size()) == std::string::npos) {
    name = name.substr(kOfficial.size());
  }
  // Shorter, these would be read as another image, or as none.
  const size_t slash = name.find('/');
  const bool other_host = host == kDefaultHost && slash != std::string::npos &&
                          ReadsAsHost(std::string_view(name).substr(0, slash));
  if (other_host || ReadsAsId(name)) name = StrCat(host, "/", repository);
  if (!tag.empty()) return StrCat(name, ":", tag);
  return StrCat(name, "@", digest);
}

}  // namespace swarm::oci
