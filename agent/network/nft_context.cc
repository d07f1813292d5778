#include "agent/network/nft_context.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <nftables/libnftables.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/mutex.h"
#include "common/status_macros.h"

namespace swarm::agent {
namespace {

constexpr unsigned kUsualOutput = NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_NUMERIC_ALL;

Mutex& LibraryMutex() {
  static auto* const mutex = new Mutex;
  return *mutex;
}

// The line that says what is wrong; the rest shows where in a text that nobody has seen.
std::string FirstComplaint(absl::string_view output) {
  for (const absl::string_view line : absl::StrSplit(output, '\n')) {
    const size_t error = line.find("Error: ");
    if (error != absl::string_view::npos) return std::string(line.substr(error + 7));
  }
  return output.empty() ? "no reason given" : std::string(output.substr(0, 200));
}

}  // namespace

void NftContext::Close::operator()(nft_ctx* context) const {
  MutexLock lock(LibraryMutex());
  nft_ctx_free(context);
}

absl::StatusOr<NftContext> NftContext::Open(const NetworkNamespace& space) {
  ASSIGN_OR_RETURN(NetworkNamespace copy, space.Duplicate());
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open(space, NETLINK_NETFILTER));
  NftContext opened(std::move(copy), std::move(socket));
  RETURN_IF_ERROR(space.Run([&] {
    MutexLock lock(LibraryMutex());
    opened.context_.reset(nft_ctx_new(NFT_CTX_DEFAULT));
    return absl::OkStatus();
  }));
  nft_ctx* context = opened.context_.get();
  if (context == nullptr) return absl::InternalError("nftables: no context");
  nft_ctx_buffer_output(context);
  nft_ctx_buffer_error(context);
  nft_ctx_output_set_flags(context, kUsualOutput);
  return opened;
}

absl::Status NftContext::Run(const std::string& commands) {
  if (commands.empty()) return absl::OkStatus();
  return space_.Run([&]() -> absl::Status {
    MutexLock lock(LibraryMutex());
    nft_ctx_get_output_buffer(context_.get());  // empties it
    if (nft_run_cmd_from_buffer(context_.get(), commands.c_str()) == 0) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("nftables: ", FirstComplaint(nft_ctx_get_error_buffer(context_.get()))));
  });
}

absl::StatusOr<std::string> NftContext::Print(const std::string& command, unsigned flags) {
  std::string printed;
  RETURN_IF_ERROR(space_.Run([&]() -> absl::Status {
    MutexLock lock(LibraryMutex());
    nft_ctx_get_output_buffer(context_.get());
    nft_ctx_output_set_flags(context_.get(), flags);
    const bool good = nft_run_cmd_from_buffer(context_.get(), command.c_str()) == 0;
    nft_ctx_output_set_flags(context_.get(), kUsualOutput);
    if (!good) {
      return absl::NotFoundError(
          absl::StrCat("nftables: ", FirstComplaint(nft_ctx_get_error_buffer(context_.get()))));
    }
    printed = nft_ctx_get_output_buffer(context_.get());
    return absl::OkStatus();
  }));
  return printed;
}

absl::StatusOr<std::string> NftContext::List(const std::string& table) {
  return Print(absl::StrCat("list table ", table), kUsualOutput);
}

absl::StatusOr<std::string> NftContext::Show(const std::string& what) {
  return Print(absl::StrCat("list ", what),
               NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_HANDLE | NFT_CTX_OUTPUT_NUMERIC_PRIO);
}

absl::StatusOr<uint32_t> NftContext::Generation() {
  NetlinkMessage message((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN, 0);
  message.Header(nfgenmsg{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0});
  uint32_t generation = 0;
  RETURN_IF_ERROR(Annotate(socket_.Ask(message,
                                       [&](const nlmsghdr* header) {
                                         const nlattr* id =
                                             nlmsg_find_attr(const_cast<nlmsghdr*>(header),
                                                             sizeof(nfgenmsg), NFTA_GEN_ID);
                                         if (id != nullptr) {
                                           generation = ntohl(nla_get_u32(const_cast<nlattr*>(id)));
                                         }
                                       }),
                           "nftables: generation"));
  return generation;
}

}  // namespace swarm::agent
