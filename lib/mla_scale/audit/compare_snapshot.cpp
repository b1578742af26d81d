#include <mla_scale/audit/snapshot.hpp>
#include <mla_scale/engines/engine_rule.hpp>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace mla_scale::audit {
namespace {

constexpr std::string_view k_engine = "engines.";
constexpr std::string_view k_agreeing = "engines.agree";
constexpr std::string_view k_agrees = "the model's own law";
constexpr std::string_view k_missing = "missing";

using Names = std::set<std::string, std::less<>>;

/// The words of the field that lists the engines which follow the law.
std::vector<std::string_view> words(const Scalar& value) {
  std::vector<std::string_view> result;
  const auto* text = std::get_if<std::string>(&value);
  std::string_view rest = text == nullptr ? std::string_view() : *text;
  while (!rest.empty()) {
    const std::size_t space = std::min(rest.find(' '), rest.size());
    result.push_back(rest.substr(0, space));
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  return result;
}

/// The record with a field of its own for each engine, but for those in `unknown`.
Record with_each_engine(const Record& record, const Names& unknown) {
  Record result;
  for (const Field& field : record) {
    if (field.name == k_agreeing) {
      for (const std::string_view engine : words(field.value)) {
        if (!unknown.contains(engine)) {
          result.push_back({std::string(k_engine).append(engine), std::string(k_agrees)});
        }
      }
    } else if (!field.name.starts_with(k_engine)
               || !unknown.contains(std::string_view(field.name).substr(k_engine.size()))) {
      result.push_back(field);
    }
  }
  return result;
}

void add_engines_named(const Record& record, Names& engines) {
  for (const Field& field : with_each_engine(record, {})) {
    if (field.name.starts_with(k_engine)) {
      engines.insert(field.name.substr(k_engine.size()));
    }
  }
}

std::vector<std::string> only_in(const Names& some, const Names& others) {
  std::vector<std::string> result;
  std::set_difference(some.begin(), some.end(), others.begin(), others.end(),
                      std::back_inserter(result));
  return result;
}

EngineChanges engine_changes(const Snapshot& expected, const Audit& actual) {
  Names known;
  for (const engines::EngineRule& rule : engines::engine_rules()) {
    known.emplace(rule.id);
  }
  if (!expected.engines.empty()) {
    const Names listed(expected.engines.begin(), expected.engines.end());
    return {only_in(known, listed), only_in(listed, known)};
  }
  // A snapshot without the list knows the engines that its models name.
  Names before;
  Names now;
  for (const Snapshot::Model& model : expected.models) {
    add_engines_named(model.record, before);
  }
  for (const AuditedModel& model : actual.models) {
    add_engines_named(model.record.value_or(Record()), now);
  }
  return {before.empty() ? std::vector<std::string>() : only_in(now, before),
          only_in(before, known)};
}

/// A model that cannot be read has no derived fields, and no keys when its file is not even JSON.
/// That is said once, by its attention, and not for each of them.
void leave_out_unreadable(Record& before, const Record& after) {
  const auto is_key = [](const Field& field) { return field.name.starts_with("/"); };
  const bool has_keys = std::any_of(after.begin(), after.end(), is_key);
  std::erase_if(before, [&](const Field& field) {
    return field.name != "attention" && !(has_keys && is_key(field));
  });
}

/// Compares the fields of the models that both sides have.
class Comparer {
public:
  Comparer(const Audit& actual, const EngineChanges& changes) : m_actual(actual) {
    m_unknown.insert(changes.added.begin(), changes.added.end());
    m_unknown.insert(changes.gone.begin(), changes.gone.end());
  }

  void model(const AuditedModel& model, const Record& expected) {
    const auto first = static_cast<std::ptrdiff_t>(m_drift.size());
    Record before = with_each_engine(expected, m_unknown);
    const Record after = with_each_engine(model.record.value_or(Record()), m_unknown);
    if (model.outcome == AuditedModel::Outcome::failed) {
      leave_out_unreadable(before, after);
    }
    std::map<std::string_view, const Field*> now;
    for (const Field& field : after) {
      now.emplace(field.name, &field);
    }
    for (const Field& field : before) {
      const auto found = now.find(field.name);
      if (found == now.end()) {
        add(model, field.name, field.value, std::string(k_missing), {});
      } else if (!same(field.value, found->second->value)) {
        add(model, field.name, field.value, found->second->value, found->second->position);
      }
      if (found != now.end()) {
        now.erase(found);
      }
    }
    for (const Field& field : after) {
      if (now.contains(field.name)) {
        add(model, field.name, std::string(k_missing), field.value, field.position);
      }
    }
    // The key that was edited before what follows from it: GitHub shows ten annotations a step.
    std::stable_sort(
        m_drift.begin() + first, m_drift.end(),
        [](const Drift& left, const Drift& right) { return order(left) < order(right); });
  }

  void new_model(const AuditedModel& model) {
    add(model, "model", std::string(k_missing), std::string("present"), {});
  }

  /// It has no file any more, so its path is made as that of a file would be.
  void lost_model(const std::string& relative_path) {
    m_drift.push_back({(m_actual.root / relative_path).generic_string(), relative_path, "model",
                       std::string("present"), std::string(k_missing)});
  }

  [[nodiscard]] std::vector<Drift> take() { return std::move(m_drift); }

private:
  static int order(const Drift& drift) {
    return drift.field.starts_with(k_engine) ? 2 : drift.position.line == 0 ? 1 : 0;
  }

  void add(const AuditedModel& model, std::string field, Scalar expected, Scalar actual,
           Position position) {
    m_drift.push_back({model.source, model.relative_path, std::move(field), std::move(expected),
                       std::move(actual), position});
  }

  const Audit& m_actual;
  Names m_unknown;
  std::vector<Drift> m_drift;
};

} // namespace

Comparison compare_with_snapshot(const Snapshot& expected, const Audit& actual) {
  Comparison result;
  result.engine_changes = engine_changes(expected, actual);
  std::map<std::string_view, const Record*> before;
  for (const Snapshot::Model& model : expected.models) {
    before.emplace(model.path, &model.record);
  }
  std::map<std::string_view, const AuditedModel*> now; // by path, as the snapshot is
  for (const AuditedModel& model : actual.models) {
    now.emplace(model.relative_path, &model);
  }
  Comparer comparer(actual, result.engine_changes);
  for (const auto& [path, model] : now) {
    const auto found = before.find(path);
    found == before.end() ? comparer.new_model(*model) : comparer.model(*model, *found->second);
  }
  for (const Snapshot::Model& model : expected.models) {
    if (!now.contains(model.path)) {
      comparer.lost_model(model.path);
    }
  }
  result.drift = comparer.take();
  return result;
}

} // namespace mla_scale::audit
