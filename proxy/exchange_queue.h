// ExchangeQueue: requests that wait for a worker, by arrival. Links are members of Exchange, so
// that queuing allocates nothing and a client that goes away is removed in constant time.
#pragma once

#include <cstddef>

#include "proxy/exchange.h"

namespace saola::proxy {

class ExchangeQueue {
 public:
  bool empty() const { return first_ == nullptr; }
  std::size_t size() const { return size_; }
  Exchange* front() const { return first_; }

  // Keeps the order of arrival: what was taken back from a worker goes before what came later.
  void insert(Exchange& exchange) {
    Exchange* after = last_;
    while (after != nullptr && after->arrival() > exchange.arrival()) after = after->queue_prev;
    exchange.queue_prev = after;
    exchange.queue_next = after != nullptr ? after->queue_next : first_;
    (exchange.queue_next != nullptr ? exchange.queue_next->queue_prev : last_) = &exchange;
    (after != nullptr ? after->queue_next : first_) = &exchange;
    ++size_;
  }

  void remove(Exchange& exchange) {
    (exchange.queue_prev != nullptr ? exchange.queue_prev->queue_next : first_) =
        exchange.queue_next;
    (exchange.queue_next != nullptr ? exchange.queue_next->queue_prev : last_) =
        exchange.queue_prev;
    exchange.queue_prev = exchange.queue_next = nullptr;
    --size_;
  }

 private:
  Exchange* first_ = nullptr;
  Exchange* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace saola::proxy
