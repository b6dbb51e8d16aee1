// What kind of process it is at all: refuses, by name, those that crx cannot move.
#include "agent-src/collect/registry.hpp"

namespace crx {
namespace {

class Shape final : public Collector {
 public:
  const char* name() const override { return "process"; }
  void collect(CollectContext&, const BatchPlan&) override {}
};

}  // namespace

CollectorPtr make_shape_collector() { return std::make_unique<Shape>(); }

}  // namespace crx
