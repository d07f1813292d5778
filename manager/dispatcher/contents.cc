// How much of secrets and configs lies open at once, in messages that streams have not written yet:
// one message of a session, and kMaxContentsOut of all sessions.
#include "manager/dispatcher/fencing_dispatcher.h"

namespace swarm::manager {

bool FencingDispatcher::MayOpen(Session& session, size_t bytes) {
  if (session.contents_out > 0 || session.awaits_contents) return false;
  if (contents_out_ == 0 || contents_out_ + bytes <= kMaxContentsOut) return true;
  session.awaits_contents = true;
  awaiting_contents_.emplace_back(session.id, bytes);
  return false;
}

void FencingDispatcher::HoldContents(Session& session, size_t bytes) {
  session.contents_out = bytes;
  contents_out_ += bytes;
}

void FencingDispatcher::OnContentsWritten(SessionId id) {
  Session* session = Find(id);
  if (session == nullptr) return;
  ReleaseContents(*session);
  WantFlush(*session);
}

void FencingDispatcher::ReleaseContents(Session& session) {
  contents_out_ -= std::exchange(session.contents_out, 0);
  WakeForContents();
}

// Those whose turn it is look again, and wait again when others were faster.
void FencingDispatcher::WakeForContents() {
  size_t promised = contents_out_;
  while (!awaiting_contents_.empty()) {
    const auto [id, bytes] = awaiting_contents_.front();
    if (promised > 0 && promised + bytes > kMaxContentsOut) return;
    awaiting_contents_.pop_front();
    Session* session = Find(id);
    if (session == nullptr) continue;
    promised += bytes;
    session->awaits_contents = false;
    WantFlush(*session);
  }
}

}  // namespace swarm::manager
