#include <mla_scale/diagnose/suspects.hpp>

#include <algorithm>

namespace mla_scale::diagnose {

std::vector<std::pair<std::int64_t, std::int64_t>>
suspects_of(const compare::Judgement& judgement) {
  std::vector<std::pair<std::int64_t, std::int64_t>> suspects;
  std::vector<std::pair<double, std::int64_t>> heads;
  for (const compare::TensorComparison& tensor : judgement.tensors) {
    for (const compare::GroupError& group : tensor.by_head) {
      if (group.bad) {
        heads.emplace_back(-group.floor_ratio, group.first);
      }
    }
  }
  std::sort(heads.begin(), heads.end());
  for (const auto& [ratio, head] : heads) {
    for (const compare::TensorComparison& tensor : judgement.tensors) {
      if (!tensor.worst.empty()) {
        suspects.emplace_back(head, tensor.worst.front().index[0]);
        break;
      }
    }
  }
  for (const compare::TensorComparison& tensor : judgement.tensors) {
    for (const compare::ElementDifference& worst : tensor.worst) {
      suspects.emplace_back(worst.index[1], worst.index[0]);
    }
  }
  return suspects;
}

} // namespace mla_scale::diagnose
