#include "tables.hpp"

#include <array>

namespace mla_scale::audit {
namespace {

constexpr std::array k_input_rules = {
    Rule{"MLA901", "input-unreadable", Severity::error, "a file cannot be read",
         "What cannot be read cannot be judged. The exit code is 3.",
         "a config.json without read permission, or a device in its place",
         "make the file readable", "the operating system says why", nullptr},
    Rule{"MLA902", "input-syntax", Severity::error, "a file is not what its format requires",
         "JSON is read as strictly as Python's json reads it, and GGUF as its layout says: a "
         "lenient reader would see another model than the engine. The exit code is 3.",
         "a trailing comma; a duplicate key; NaN; a truncated GGUF", "repair the file",
         "RFC 8259; ggml docs/gguf.md@01f0d4da", nullptr},
    Rule{"MLA903", "input-schema", Severity::error, "a value has an impossible type or size",
         "A width given as text, as 0 or beyond 2^31, or missing where nothing stands in for it. "
         "The exit code is 3.",
         "\"kv_lora_rank\": \"512\"", "correct the value", "the reader names the key", nullptr},
    Rule{"MLA904", "input-unsupported", Severity::error, "a file of a kind that is not judged",
         "Named on the command line or found as config.json, but neither a model config nor a "
         "GGUF of version 2 or 3. The exit code is 3.",
         "a config.json with neither model_type, architectures nor n_heads",
         "name another file or directory; --ignore MLA904 where such files are expected",
         "see PATH in `mla-scale audit --help`", nullptr},
    Rule{"MLA905", "weights-unreadable", Severity::error, "a safetensors header cannot be read",
         "The shapes of the weights cannot be compared with the config. The exit code is 3.",
         "a header length beyond the file; an index that is not JSON", "fetch the file again",
         "huggingface/safetensors README, format", nullptr},
    Rule{"MLA906", "sibling-unreadable", Severity::error, "a file beside the config cannot be read",
         "generation_config.json or hf_quant_config.json is malformed. The exit code is 3.",
         "hf_quant_config.json with a trailing comma", "repair the file", "RFC 8259", nullptr},
};

} // namespace

std::span<const Rule> input_rules() {
  return k_input_rules;
}

} // namespace mla_scale::audit
