#include <mla_scale/report/begin_report.hpp>
#include <mla_scale/report/check_report.hpp>
#include <mla_scale/report/inspect_json.hpp>

#include <variant>

namespace mla_scale::report {
namespace {

using compare::GroupError;
using compare::TensorComparison;

void write_strings(json::Writer& writer, std::string_view name,
                   const std::vector<std::string>& texts) {
  writer.key(name).begin_array();
  for (const std::string& text : texts) {
    writer.value(text);
  }
  writer.end_array();
}

template <typename Container>
void write_integers(json::Writer& writer, std::string_view name, const Container& numbers) {
  writer.key(name).begin_array();
  for (const std::int64_t number : numbers) {
    writer.value(number);
  }
  writer.end_array();
}

void write_capture(json::Writer& writer, const check::Check& check) {
  const tensor::Capture& capture = check.capture;
  writer.key("capture").begin_object();
  write_strings(writer, "files", capture.files);
  writer.key("tensors").begin_array();
  for (const tensor::CaptureTensor& tensor : capture.tensors) {
    writer.begin_object();
    writer.member("name", tensor.name);
    writer.key("canonical");
    tensor.canonical.empty() ? writer.null() : writer.value(tensor.canonical);
    writer.member("file", tensor.file);
    writer.member("dtype", tensor.dtype);
    write_integers(writer, "shape", tensor.shape);
    writer.end_object();
  }
  writer.end_array();
  writer.member("layout", capture.layout);
  writer.member("dtype", tensor::to_string(check.judgement.dtypes.input));
  writer.member("heads", capture.heads);
  writer.member("query_rows", capture.query_rows);
  writer.member("key_rows", capture.key_rows);
  writer.member("level", capture.level);
  write_strings(writer, "missing", capture.missing);
  writer.member("declared_softmax_scale", capture.declared_softmax_scale);
  writer.end_object();
}

void write_reference(json::Writer& writer, const CheckReport& report) {
  const check::Check& check = report.check;
  const reference::Work& work = check.judgement.work;
  writer.key("reference").begin_object();
  writer.member("softmax_scale", check.softmax_scale);
  writer.member("precision", check.options.precision == reference::Precision::f64 ? "f64" : "f32");
  writer.key("seconds");
  report.timings ? writer.value(work.seconds) : writer.null();
  writer.key("gflops");
  report.timings&& work.seconds > 0.0 ? writer.value(work.flops / work.seconds / 1e9)
                                      : writer.null();
  writer.member("phase", check::to_string(check.options.phase));
  writer.member("form", reference::to_string(check.form));
  writer.member("floor", compare::to_string(check.judgement.level));
  writer.end_object();
}

void write_group(json::Writer& writer, const GroupError& group) {
  writer.member("relative_rms", group.relative_rms);
  writer.member("floor", group.floor);
  writer.member("floor_ratio", group.floor_ratio);
  writer.member("not_finite", group.not_finite);
  writer.member("bad", group.bad);
  writer.end_object();
}

void write_worst(json::Writer& writer, const compare::ElementDifference& element) {
  writer.begin_object();
  write_integers(writer, "index", element.index);
  writer.member("got", element.got);
  writer.member("expected", element.expected);
  writer.end_object();
}

void write_tensor(json::Writer& writer, const TensorComparison& tensor) {
  const bool compared = tensor.sums.count > 0;
  writer.begin_object();
  writer.member("name", tensor.name);
  writer.member("status", compare::to_string(tensor.status));
  const auto number_if = [&](bool known, std::string_view name, double value) {
    writer.key(name);
    known ? writer.value(value) : writer.null();
  };
  const auto number = [&](std::string_view name, double value) {
    number_if(compared, name, value);
  };
  number("calc_diff", tensor.sums.calc_diff());
  number("relative_rms", tensor.sums.relative_rms());
  number("max_abs", tensor.sums.max_abs);
  number("max_rel", tensor.sums.max_rel);
  writer.key("worst");
  if (tensor.worst.empty()) {
    writer.null();
  } else {
    write_worst(writer, tensor.worst.front());
  }
  writer.member("nan", tensor.sums.nan);
  writer.member("inf", tensor.sums.inf);
  number_if(compared && tensor.status != compare::Status::not_judged, "floor_ratio",
            tensor.floor_ratio);
  writer.key("by_position").begin_array();
  for (const GroupError& group : tensor.by_position) {
    writer.begin_object();
    writer.member("first", group.first).member("last", group.last);
    write_group(writer, group);
  }
  writer.end_array();
  writer.key("by_head").begin_array();
  for (const GroupError& group : tensor.by_head) {
    writer.begin_object();
    writer.member("head", group.first);
    write_group(writer, group);
  }
  writer.end_array();
  write_strings(writer, "reasons", tensor.reasons);
  writer.key("worst_elements").begin_array();
  for (const compare::ElementDifference& element : tensor.worst) {
    write_worst(writer, element);
  }
  writer.end_array();
  writer.end_object();
}

void write_fit(json::Writer& writer, const std::optional<compare::ScaleFit>& fit) {
  writer.key("fit");
  if (!fit) {
    writer.null();
    return;
  }
  writer.begin_object();
  writer.member("softmax_scale", fit->softmax_scale);
  writer.member("standard_error", fit->standard_error);
  writer.member("ratio", fit->ratio);
  writer.member("from", fit->from);
  writer.member("converged", fit->converged);
  writer.member("residual", fit->residual);
  writer.key("by_head").begin_array();
  for (const compare::HeadScale& head : fit->by_head) {
    writer.begin_object();
    writer.member("head", head.head);
    writer.member("softmax_scale", head.softmax_scale);
    writer.member("standard_error", head.standard_error);
    writer.member("converged", head.converged);
    writer.end_object();
  }
  writer.end_array();
  writer.end_object();
}

void write_findings(json::Writer& writer, const std::vector<diagnose::Finding>& findings) {
  for (const diagnose::Finding& finding : findings) {
    writer.begin_object();
    writer.member("id", finding.id);
    writer.member("title", finding.title);
    writer.key("parameters").begin_object();
    for (const diagnose::Parameter& parameter : finding.parameters) {
      writer.key(parameter.name);
      std::visit([&](const auto& value) { writer.value(value); }, parameter.value);
    }
    writer.end_object();
    writer.member("residual_ratio", finding.residual_ratio);
    writer.member("evidence", finding.evidence);
    writer.member("see", finding.see);
    writer.end_object();
  }
}

/// Where the error of a capture sits that no known bug explains.
void write_unexplained(json::Writer& writer, const diagnose::Report& diagnosis) {
  writer.key("unexplained").begin_object();
  writer.member("text", diagnosis.unexplained);
  writer.key("map").begin_array();
  for (const diagnose::Place& place : diagnosis.map) {
    writer.begin_object();
    writer.member("head", place.head).member("first_row", place.first_row);
    writer.member("last_row", place.last_row).member("ratio", place.ratio);
    writer.end_object();
  }
  writer.end_array();
  writer.end_object();
}

void write_diagnosis(json::Writer& writer, const check::Check& check) {
  writer.key("diagnosis").begin_array();
  write_findings(writer, check.diagnosis.findings);
  if (check.judgement.verdict == compare::Verdict::match) {
    write_findings(writer, check.diagnosis.notes);
  }
  writer.end_array();
  writer.key("not_identifiable").begin_array();
  for (const diagnose::NotIdentifiable& one : check.diagnosis.not_identifiable) {
    writer.begin_object();
    writer.member("id", one.id).member("reason", one.reason).member("needs", one.needs);
    writer.end_object();
  }
  writer.end_array();
  if (check.judgement.verdict == compare::Verdict::mismatch
      && !check.diagnosis.unexplained.empty()) {
    write_unexplained(writer, check.diagnosis);
  }
}

} // namespace

void write_check(json::Writer& writer, const CheckReport& report) {
  const compare::Judgement& judgement = report.check.judgement;
  write_capture(writer, report.check);
  writer.member("verdict", compare::to_string(judgement.verdict));
  write_reference(writer, report);
  writer.key("tensors").begin_array();
  for (const TensorComparison& tensor : judgement.tensors) {
    write_tensor(writer, tensor);
  }
  writer.end_array();
  write_fit(writer, judgement.fit);
  write_diagnosis(writer, report.check);
  writer.key("considered").begin_array();
  for (const diagnose::Considered& one : report.check.diagnosis.considered) {
    writer.begin_object();
    write_strings(writer, "ids", one.ids);
    writer.member("evidence", one.evidence);
    writer.member("residual_ratio", one.residual_ratio);
    writer.member("lse_ratio", one.lse_ratio);
    writer.member("holds", one.holds);
    writer.end_object();
  }
  writer.end_array();
  writer.key("rivals").begin_array();
  for (const compare::RivalOutcome& outcome : judgement.rivals) {
    writer.begin_object();
    writer.member("id", outcome.rival.name);
    writer.member("softmax_scale", outcome.rival.softmax_scale);
    writer.member("told_apart", outcome.told_apart);
    writer.end_object();
  }
  writer.end_array();
  write_strings(writer, "reasons", judgement.reasons);
  write_strings(writer, "advice", judgement.advice);
  write_strings(writer, "notes", judgement.notes);
  writer.member("repro", report.repro);
}

std::string check_json(const CheckReport& report) {
  json::Writer writer;
  begin_report(writer);
  writer.key("model").begin_object();
  write_model(writer, report.model);
  writer.end_object();
  write_check(writer, report);
  writer.end_object();
  return writer.finish();
}

std::string inspect_check_json(const CheckReport& report) {
  json::Writer writer;
  begin_report(writer);
  writer.key("models").begin_array().begin_object();
  write_model(writer, report.model);
  writer.end_object().end_array();
  write_check(writer, report);
  writer.end_object();
  return writer.finish();
}

} // namespace mla_scale::report
