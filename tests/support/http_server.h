// HttpServer: HTTP/1.1 on a free loopback port, for tests of clients. It can misbehave: cut a body
// short, break the connection, stand still.
//
//   HttpServer server([](const HttpRequest& request) { return HttpResponse{.body = "hello"}; });
//   Fetch(StrCat("http://", server.host(), "/x"));
//
// The handler runs on the server's threads, several at a time. The destructor ends all connections.
#ifndef SWARM_TESTS_SUPPORT_HTTP_SERVER_H_
#define SWARM_TESTS_SUPPORT_HTTP_SERVER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace swarm::testing {

struct HttpRequest {
  std::string method;
  std::string path;
  std::map<std::string, std::string> headers;  // names in lower case
};

struct HttpResponse {
  int status = 200;
  std::map<std::string, std::string> headers;  // Content-Length is added unless given
  std::string body;
  // Sends only so many bytes of the body, then breaks the connection (or, when `stall`, keeps it
  // open and silent until the server ends).
  long send_only = -1;
  bool stall = false;
};

class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;
  explicit HttpServer(Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // "127.0.0.1:40123"
  const std::string& host() const;
  // So far, in the order they came.
  std::vector<HttpRequest> requests() const;
  int connections() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A loopback port on which nobody listens.
std::string UnusedLoopbackHost();

}  // namespace swarm::testing

#endif  // SWARM_TESTS_SUPPORT_HTTP_SERVER_H_
