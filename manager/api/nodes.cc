#include "manager/api/nodes.h"

#include <utility>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "common/strings.h"
#include "manager/api/container_validation.h"
#include "manager/api/lookup.h"
#include "manager/api/paging.h"
#include "manager/api/render.h"
#include "manager/api/validation.h"

namespace swarm::manager {

void Nodes::Get(const v1::GetNodeRequest& request, Reply<v1::Node> reply) {
  DCHECK(env_.loop.InLoop());
  auto find = [&]() -> absl::StatusOr<v1::Node> {
    ASSIGN_OR_RETURN(Ref<Node> node, FindNode(store_.view(), request.ref()));
    return RenderNode(store_.view(), *node);
  };
  ReplyRead<v1::Node>(store_, find(), std::move(reply));
}

void Nodes::List(const v1::ListNodesRequest& request, Reply<v1::ListNodesResponse> reply) {
  DCHECK(env_.loop.InLoop());
  absl::StatusOr<Page> page = Page::Parse(request.page_size(), request.page_token());
  if (!page.ok()) return reply(page.status());
  v1::ListNodesResponse response;
  PageFill fill(*page);
  store_.view().EachNode(
      [&](const Ref<Node>& node) {
        if (fill.Full()) {
          response.set_next_page_token(node->id());
          return false;
        }
        *response.add_nodes() = RenderNode(store_.view(), *node);
        fill.Add(response.nodes().rbegin()->ByteSizeLong());
        return true;
      },
      page->first);
  ReplyRead<v1::ListNodesResponse>(store_, std::move(response), std::move(reply));
}

void Nodes::Update(const v1::UpdateNodeRequest& request, Reply<v1::Node> reply) {
  DCHECK(env_.loop.InLoop());
  absl::StatusOr<Id> written = WriteUpdate(request);
  if (!written.ok()) return ReplyWhenDurable<v1::Node>(store_, written.status(), std::move(reply));
  ReplyWhenDurable<v1::Node>(store_, RenderNode(store_.view(), *store_.view().GetNode(*written)),
                             std::move(reply));
}

absl::StatusOr<Id> Nodes::WriteUpdate(const v1::UpdateNodeRequest& request) {
  RETURN_IF_ERROR(ValidateNodeSpec(request.spec()));
  ASSIGN_OR_RETURN(Ref<Node> node, FindNode(store_.view(), request.ref()));
  if (request.version() == 0) {
    return FieldError("version", "is required: read the node and send its version");
  }
  if (request.version() != node->meta().version()) {
    return absl::AbortedError(StrCat("node \"", NodeName(*node),
                                     "\" was changed meanwhile: version ", node->meta().version(),
                                     ", you read ", request.version(), "; read it again"));
  }
  if (request.spec().role() != v1::NodeSpec::ROLE_UNSPECIFIED &&
      request.spec().role() != node->spec().role()) {
    return absl::FailedPreconditionError("role: promotion and demotion are not built yet");
  }
  RETURN_IF_ERROR(store_.Update([&](WriteTx& tx) {
    Node changed = *node;
    *changed.mutable_spec() = request.spec();
    changed.mutable_spec()->set_role(node->spec().role());
    if (request.spec().availability() == v1::NodeSpec::AVAILABILITY_UNSPECIFIED) {
      changed.mutable_spec()->set_availability(node->spec().availability());
    }
    return tx.Put(std::move(changed));
  }));
  return Id::ParseOrZero(node->id());
}

void Nodes::Delete(const v1::DeleteNodeRequest& request, Reply<v1::DeleteNodeResponse> reply) {
  DCHECK(env_.loop.InLoop());
  absl::StatusOr<v1::DeleteNodeResponse> answer = v1::DeleteNodeResponse();
  if (absl::Status s = WriteDelete(request); !s.ok()) answer = s;
  ReplyWhenDurable<v1::DeleteNodeResponse>(store_, std::move(answer), std::move(reply));
}

absl::Status Nodes::WriteDelete(const v1::DeleteNodeRequest& request) {
  ASSIGN_OR_RETURN(Ref<Node> node, FindNode(store_.view(), request.ref()));
  if (node->is_this_manager() || node->spec().role() == v1::NodeSpec::ROLE_MANAGER) {
    return absl::FailedPreconditionError(
        StrCat("node \"", NodeName(*node),
               "\" is a manager: it would have to be demoted first, which is not built yet"));
  }
  if (!request.force() && node->status().state() != v1::NodeStatus::STATE_DOWN) {
    return absl::FailedPreconditionError(
        StrCat("node \"", NodeName(*node),
               "\" is not down: let it leave the cluster first, or use --force"));
  }
  const Id id = Id::ParseOrZero(node->id());
  return store_.Update([&](WriteTx& tx) {
    std::vector<Ref<Task>> tasks;
    tx.view().EachTaskOfNode(id, [&](const Ref<Task>& task) {
      tasks.push_back(task);
      return true;
    });
    for (const Ref<Task>& task : tasks) {
      Task orphan = *task;
      orphan.gone = true;  // nobody will report about it any more
      if (!IsTerminal(orphan.state)) {
        orphan.state = TaskState::kOrphaned;
        orphan.status_unix_ms = absl::ToUnixMillis(env_.clock.WallNow());
        auto detail = std::make_shared<TaskDetail>();
        detail->error = StrCat("node ", NodeName(*node), " was removed");
        orphan.detail = std::move(detail);
      }
      tx.Put(std::move(orphan));
    }
    tx.RemoveNode(id);
    return absl::OkStatus();
  });
}

}  // namespace swarm::manager
