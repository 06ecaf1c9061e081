// What every connection and exchange of the edge uses; one set per process, owned by Edge, which
// outlives them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "common/core/log.h"
#include "common/event/event_loop.h"
#include "proxy/access_log.h"
#include "proxy/access_sample.h"
#include "proxy/date_cache.h"
#include "proxy/edge_metrics.h"
#include "proxy/file_pool.h"
#include "proxy/request_id.h"
#include "proxy/router.h"
#include "proxy/spool_file.h"

namespace saola::proxy {

class Upstream;
class ClientConnection;

struct EdgeServices {
  EventLoop& loop;
  config::Config config;  // replaced by a reload: keep no reference into it
  Logger log;
  std::unique_ptr<EdgeMetrics> metrics;  // never null
  LogSink* access_writer;                // null: access log off
  std::unique_ptr<AccessLogFormat> access_format;
  AccessSample access_sample;
  Router router;  // of `config`
  FilePool file_pool;
  SpoolSpace spool_space;
  DateCache date;
  RequestIdSource request_ids;
  std::vector<char> read_buffer;         // shared by all reads of clients: nobody keeps data in it
  std::vector<ipc::Field> fields;        // scratch for encoding a request
  std::string access_lines;              // of this turn, written at its end
  std::vector<ClientConnection*> dirty;  // at the end of this turn; null: closed since
  bool draining = false;                 // answers say Connection: close
  bool releasing = false;                // so do they, if nothing else of the client is here yet
  Clock::time_point idle_close_from{};   // draining: idle connections are closed from then on

  // The upstream of an app; never null for names in the configuration.
  Upstream* (*find_upstream)(void* edge, std::string_view app);
  void* edge;
};

}  // namespace saola::proxy
