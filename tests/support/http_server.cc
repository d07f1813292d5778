#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/check.h"
#include "common/mutex.h"
#include "common/strings.h"
#include "common/unique_fd.h"

namespace swarm::testing {
namespace {

UniqueFd ListenOnLoopback(int* port) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(listener.valid());
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  CHECK(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(::listen(listener.get(), 64) == 0);
  CHECK(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  *port = ntohs(address.sin_port);
  return listener;
}

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// False at the end of the connection.
bool ReadHead(int fd, std::string* head) {
  while (head->find("\r\n\r\n") == std::string::npos) {
    char buffer[4096];
    const ssize_t got = ::recv(fd, buffer, sizeof(buffer), 0);
    if (got <= 0 || head->size() > 65536) return false;
    head->append(buffer, static_cast<size_t>(got));
    if (head->front() < 'A' || head->front() > 'Z') {  // TLS, for example
      SendAll(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
      return false;
    }
  }
  return true;
}

HttpRequest ParseHead(const std::string& head) {
  HttpRequest request;
  const size_t line_end = head.find("\r\n");
  const size_t first = head.find(' ');
  const size_t second = head.find(' ', first + 1);
  request.method = head.substr(0, first);
  request.path = head.substr(first + 1, second - first - 1);
  for (size_t at = line_end + 2; at < head.size();) {
    const size_t end = head.find("\r\n", at);
    const size_t colon = head.find(':', at);
    if (end == at || end == std::string::npos) break;
    request.headers[absl::AsciiStrToLower(head.substr(at, colon - at))] =
        std::string(absl::StripAsciiWhitespace(head.substr(colon + 1, end - colon - 1)));
    at = end + 2;
  }
  return request;
}

}  // namespace

struct HttpServer::State {
  Handler handler;
  std::string host;
  UniqueFd listener;
  std::thread acceptor;
  mutable Mutex mu;
  std::vector<HttpRequest> requests ABSL_GUARDED_BY(mu);
  std::vector<UniqueFd> connections ABSL_GUARDED_BY(mu);
  std::vector<std::thread> threads ABSL_GUARDED_BY(mu);

  void Accept() {
    while (true) {
      UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection.valid()) return;
      const int fd = connection.get();
      MutexLock lock(mu);
      connections.push_back(std::move(connection));
      threads.emplace_back([this, fd] {
        while (ServeOne(fd)) {
        }
      });
    }
  }

  // The connection is broken for the peer; its descriptor stays ours until the server ends.
  static bool Break(int fd) {
    ::shutdown(fd, SHUT_RDWR);
    return false;
  }

  bool ServeOne(int fd) {
    std::string head;
    if (!ReadHead(fd, &head)) return Break(fd);
    const HttpRequest request = ParseHead(head);
    {
      MutexLock lock(mu);
      requests.push_back(request);
    }
    const HttpResponse response = handler(request);
    std::string text = StrCat("HTTP/1.1 ", response.status, " Whatever\r\n");
    for (const auto& [name, value] : response.headers) StrAppend(&text, name, ": ", value, "\r\n");
    if (response.headers.count("Content-Length") == 0) {
      StrAppend(&text, "Content-Length: ", response.body.size(), "\r\n");
    }
    StrAppend(&text, "\r\n");
    std::string_view body = response.body;
    if (response.send_only >= 0) body = body.substr(0, static_cast<size_t>(response.send_only));
    if (!SendAll(fd, text) || !SendAll(fd, body)) return Break(fd);
    if (response.stall) return false;
    return response.send_only < 0 || Break(fd);
  }
};

HttpServer::HttpServer(Handler handler) : state_(std::make_unique<State>()) {
  int port = 0;
  state_->handler = std::move(handler);
  state_->listener = ListenOnLoopback(&port);
  state_->host = StrCat("127.0.0.1:", port);
  state_->acceptor = std::thread([state = state_.get()] { state->Accept(); });
}

HttpServer::~HttpServer() {
  ::shutdown(state_->listener.get(), SHUT_RDWR);
  state_->acceptor.join();
  std::vector<std::thread> threads;
  {
    MutexLock lock(state_->mu);
    for (const UniqueFd& connection : state_->connections) {
      ::shutdown(connection.get(), SHUT_RDWR);
    }
    threads = std::move(state_->threads);
  }
  for (std::thread& thread : threads) thread.join();
}

const std::string& HttpServer::host() const { return state_->host; }

std::vector<HttpRequest> HttpServer::requests() const {
  MutexLock lock(state_->mu);
  return state_->requests;
}

int HttpServer::connections() const {
  MutexLock lock(state_->mu);
  return static_cast<int>(state_->connections.size());
}

std::string UnusedLoopbackHost() {
  int port = 0;
  ListenOnLoopback(&port);  // closed again at once
  return StrCat("127.0.0.1:", port);
}

}  // namespace swarm::testing
