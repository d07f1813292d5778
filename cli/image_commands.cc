// `image …`: images that this node holds.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cli/app.h"
#include "cli/errors.h"
#include "cli/output/views.h"
#include "cli/output/words.h"
#include "cli/ps.h"
#include "common/quantity.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::cli {
namespace {

constexpr size_t kPiece = 1 << 20;

absl::StatusOr<std::string> ReadPiece(int fd, const std::string& name) {
  std::string piece(kPiece, '\0');
  while (true) {
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, name);
    piece.resize(static_cast<size_t>(n));
    return piece;
  }
}

absl::Status Load(Invocation& in) {
  // `image load FILE` and Docker's `image load -i FILE`.
  std::string path = in.flags.Text("input", in.arguments().empty() ? "-" : in.arguments()[0]);
  if (in.flags.Has("input") && !in.arguments().empty()) {
    return UsageError("image load: give one file, as -i FILE or as an argument");
  }
  UniqueFd file;
  int fd = in.env.stdin_fd;
  if (path != "-") {
    file.Reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) return ErrnoStatus(errno, path);
    fd = file.get();
  } else if (::isatty(fd) != 0) {
    return UsageError("image load: standard input is a terminal; give a file with -i FILE");
  }
  ASSIGN_OR_RETURN(NodeClient * node, in.Node());
  const absl::StatusOr<v1::LoadImageResponse> answer =
      node->LoadImage(in.flags.Text("name"), [fd, &path] { return ReadPiece(fd, path); });
  if (!answer.ok() && !absl::IsUnavailable(answer.status()) &&
      ExitCodeOf(answer.status()) != kExitInterrupted) {
    return Annotate(answer.status(), path == "-" ? "standard input" : path);
  }
  RETURN_IF_ERROR(answer.status());
  for (const v1::Image& image : answer->images()) {
    for (const std::string& reference : image.references()) {
      in.Out(StrCat("Loaded image: ", reference, "\n"));
    }
    if (image.references().empty()) in.Out(StrCat("Loaded image ID: ", image.id(), "\n"));
  }
  return absl::OkStatus();
}

absl::Status Pull(Invocation& in) {
  v1::PullImageRequest request;
  request.set_reference(in.arguments()[0]);
  ASSIGN_OR_RETURN(NodeClient * node, in.Node());
  const auto stream = node->PullImage(request);
  const bool quiet = in.flags.On("quiet");
  const bool redraws = in.env.console.interactive();
  std::string shown;
  v1::Image image;
  while (true) {
    absl::StatusOr<std::optional<v1::PullImageProgress>> message =
        stream->Next(absl::InfiniteDuration());
    if (absl::IsOutOfRange(message.status())) break;
    if (!message.ok()) {
      if (redraws && !shown.empty()) in.Out("\n");
      return message.status();
    }
    if (!message->has_value()) continue;
    const v1::PullImageProgress& progress = **message;
    if (progress.has_image()) image = progress.image();
    std::string line = progress.status();
    if (redraws && progress.total_bytes() > 0) {
      StrAppend(&line, " ", FormatBytes(progress.done_bytes()), "/",
                FormatBytes(progress.total_bytes()));
    }
    if (quiet || line.empty() || line == shown) continue;
    in.Out(redraws ? StrCat("\r\x1b[2K", line) : StrCat(line, "\n"));
    shown = line;
  }
  if (redraws && !shown.empty()) in.Out("\n");
  if (!quiet && !image.digest().empty()) in.Out(StrCat("Digest: ", image.digest(), "\n"));
  in.Out(StrCat(image.references().empty() ? in.arguments()[0] : image.references(0), "\n"));
  return absl::OkStatus();
}

bool FitsFilter(const v1::Image& image, const std::string& key, const std::string& value) {
  if (key == "dangling") return image.references().empty() == (value == "true" || value == "1");
  // "nginx" is any of that name, "nginx:1.25" that tag.
  const auto is = [&value](const std::string& reference) {
    const std::string name = FamiliarName(reference);
    return name == value ||
           (name.starts_with(value) && (name[value.size()] == ':' || name[value.size()] == '@'));
  };
  return std::any_of(image.references().begin(), image.references().end(), is);
}

absl::Status List(Invocation& in) {
  RETURN_IF_ERROR(in.OutputFormat().status());
  ASSIGN_OR_RETURN(const Filters filters, ParseFilters(in.flags, {"dangling", "reference"}));
  ASSIGN_OR_RETURN(NodeClient * node, in.Node());
  ASSIGN_OR_RETURN(const v1::ListImagesResponse answer, node->ListImages({}));
  std::vector<v1::Image> images(answer.images().begin(), answer.images().end());
  KeepFitting(images, filters, FitsFilter);
  const bool whole = in.flags.On("no-trunc");
  std::vector<std::string> ids;
  for (const v1::Image& image : images) {
    std::string_view id = image.id();
    if (!whole && id.starts_with("sha256:")) id.remove_prefix(7);
    ids.push_back(ShortId(id, whole));
  }
  return PrintListing(in, ids, ImageListing(images, in.env.clock.WallNow(), whole));
}

absl::Status Remove(Invocation& in) {
  ASSIGN_OR_RETURN(NodeClient * node, in.Node());
  return ForEachArgument(in, [&](const std::string& ref) -> absl::Status {
    v1::RemoveImageRequest request;
    request.set_ref(ref);
    request.set_force(in.flags.On("force"));
    ASSIGN_OR_RETURN(const v1::RemoveImageResponse answer, node->RemoveImage(request));
    for (const std::string& name : answer.untagged()) in.Out(StrCat("Untagged: ", name, "\n"));
    for (const std::string& name : answer.deleted()) in.Out(StrCat("Deleted: ", name, "\n"));
    return absl::OkStatus();
  });
}

}  // namespace

std::vector<Command> ImageCommands() {
  return {
      {"image load",
       "[FILE]",
       "load an image from an archive (OCI layout or docker save)",
       0,
       1,
       false,
       {{"input", 'i', FlagKind::kText, "FILE", "instead of standard input"},
        {"name", 0, FlagKind::kText, "IMAGE", "for an archive that names none"},
        {"quiet", 'q', FlagKind::kSwitch, "", "no progress"},
        {"all-nodes", 0, FlagKind::kSwitch, "", "", FlagState::kNotBuilt},
        {"platform", 0, FlagKind::kText, "", "", FlagState::kNotBuilt}},
       Load},
      {"image pull",
       "IMAGE",
       "pull an image from its registry",
       1,
       1,
       false,
       {{"quiet", 'q', FlagKind::kSwitch, "", "the name alone"},
        {"all-tags", 'a', FlagKind::kSwitch, "", "", FlagState::kNotBuilt},
        {"platform", 0, FlagKind::kText, "", "", FlagState::kNotBuilt}},
       Pull},
      {"image ls", "", "list the images of this node", 0, 0, false,
       CuttingListFlags("reference or dangling"), List},
      {"image rm",
       "IMAGE [IMAGE...]",
       "remove images from this node",
       1,
       1000,
       false,
       {{"force", 'f', FlagKind::kSwitch, "", "also when a container uses it"}},
       Remove},
      {"image inspect", "", ""},
      {"image prune", "", ""},
  };
}

}  // namespace swarm::cli
