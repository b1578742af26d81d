#include <mla_scale/core/text.hpp>
#include <mla_scale/tensor/pickle.hpp>
#include <mla_scale/tensor/torch_zip.hpp>
#include <mla_scale/tensor/zip_archive.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>

namespace mla_scale::tensor {
namespace {

struct TorchType {
  std::string_view storage; ///< class of a typed storage; empty when torch has none
  std::string_view dtype;
  std::optional<Dtype> element; ///< nothing for types that are not read
};

constexpr std::array<TorchType, 19> k_types = {{
    {"torch.DoubleStorage", "torch.float64", Dtype::f64},
    {"torch.FloatStorage", "torch.float32", Dtype::f32},
    {"torch.HalfStorage", "torch.float16", Dtype::f16},
    {"torch.BFloat16Storage", "torch.bfloat16", Dtype::bf16},
    {"torch.LongStorage", "torch.int64", Dtype::i64},
    {"torch.IntStorage", "torch.int32", Dtype::i32},
    {"torch.ShortStorage", "torch.int16", Dtype::i16},
    {"torch.CharStorage", "torch.int8", Dtype::i8},
    {"torch.ByteStorage", "torch.uint8", Dtype::u8},
    {"torch.BoolStorage", "torch.bool", Dtype::boolean},
    {"", "torch.float8_e4m3fn", Dtype::f8_e4m3fn},
    {"", "torch.float8_e5m2", Dtype::f8_e5m2},
    {"", "torch.uint16", Dtype::u16},
    {"", "torch.uint32", Dtype::u32},
    {"", "torch.uint64", Dtype::u64},
    {"torch.ComplexFloatStorage", "torch.complex64", std::nullopt},
    {"torch.ComplexDoubleStorage", "torch.complex128", std::nullopt},
    {"", "torch.float8_e4m3fnuz", std::nullopt},
    {"", "torch.float8_e5m2fnuz", std::nullopt},
}};

constexpr std::string_view k_untyped = "torch.storage.UntypedStorage";
constexpr std::string_view k_rebuild = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view k_rebuild_with_dtype = "torch._utils._rebuild_tensor_v3";
constexpr std::string_view k_parameter = "torch._utils._rebuild_parameter";

constexpr std::array<std::string_view, 9> k_other_globals = {{
    k_untyped,
    k_rebuild,
    k_rebuild_with_dtype,
    k_parameter,
    "torch._utils._rebuild_tensor",
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
    "torch.UntypedStorage",
}};

bool is_allowed(std::string_view global) {
  return std::ranges::find(k_other_globals, global) != k_other_globals.end()
         || std::ranges::any_of(k_types, [&](const TorchType& type) {
              return global == type.storage || global == type.dtype;
            });
}

/// Containers inside containers beyond this are no capture.
constexpr int k_max_depth = 4;
constexpr std::size_t k_max_names = 65536;
/// Strides of 0 make large tensors of small storages, as torch's expand does over heads; beyond
/// this the size of the file would not bound the work.
constexpr std::int64_t k_max_repeats = 1024;

/// Turns the objects of data.pkl into tensors over the archive's storages.
class Builder {
public:
  Builder(ZipArchive& archive, const Pickle& pickle, std::string prefix, TensorFile& file)
      : m_archive(archive), m_pickle(pickle), m_prefix(std::move(prefix)), m_file(file) {}

  void set_big_endian(bool big_endian) { m_big_endian = big_endian; }

  Result<void> add(std::uint32_t index, const std::string& name, int depth) {
    const PickleObject& object = m_pickle[index];
    if (m_file.tensors.size() + m_file.metadata.size() > k_max_names) {
      return error(name, "stands among too many tensors", ErrorKind::unsupported);
    }
    switch (object.kind) {
    case PickleKind::call:
      return add_call(object, name);
    case PickleKind::dict:
    case PickleKind::list:
    case PickleKind::tuple:
      return add_container(object, name, depth);
    case PickleKind::integer:
      m_file.metadata.emplace(name, std::to_string(object.integer));
      return {};
    case PickleKind::real:
      m_file.metadata.emplace(name, format_number(object.real));
      return {};
    case PickleKind::text:
      m_file.metadata.emplace(name, object.text);
      return {};
    case PickleKind::none:
    case PickleKind::boolean:
    case PickleKind::global:
    case PickleKind::persistent:
      break;
    }
    return {};
  }

private:
  struct Storage {
    ZipBytes bytes;
    std::optional<TorchType> type; ///< nothing for an untyped storage
  };

  Error error(std::string_view name, std::string message,
              ErrorKind kind = ErrorKind::syntax) const {
    return Error{kind, std::move(message), m_file.path.string(), std::string(name), {}};
  }

  Result<void> add_container(const PickleObject& object, const std::string& name, int depth) {
    if (depth >= k_max_depth) {
      return error(name, fmt::format("lies more than {} dicts or lists deep", k_max_depth),
                   ErrorKind::unsupported);
    }
    const bool dict = object.kind == PickleKind::dict;
    const std::size_t step = dict ? 2 : 1;
    for (std::size_t i = 0; i + step <= object.children.size(); i += step) {
      std::string key = std::to_string(i);
      if (dict) {
        const PickleObject& key_object = m_pickle[object.children[i]];
        if (key_object.kind != PickleKind::text && key_object.kind != PickleKind::integer) {
          continue;
        }
        key = key_object.kind == PickleKind::text ? key_object.text
                                                  : std::to_string(key_object.integer);
      }
      const std::string whole = depth == 0 ? key : name + "." + key;
      if (const Result<void> added = add(object.children[i + step - 1], whole, depth + 1); !added) {
        return added;
      }
    }
    return {};
  }

  Result<void> add_call(const PickleObject& call, const std::string& name) {
    const std::vector<std::uint32_t>& arguments = call.children;
    if (call.text == k_parameter && !arguments.empty()) {
      const PickleObject& inner = m_pickle[arguments.front()];
      if (inner.kind != PickleKind::call || inner.text == k_parameter) {
        return error(name, "is a parameter without a tensor");
      }
      return add_call(inner, name);
    }
    const bool with_dtype = call.text == k_rebuild_with_dtype;
    if (call.text != k_rebuild && call.text != "torch._utils._rebuild_tensor" && !with_dtype) {
      return {}; // torch.Size, torch.device, an empty OrderedDict
    }
    if (arguments.size() < (with_dtype ? 7U : 4U)) {
      return error(name, "lacks arguments that rebuild a tensor");
    }
    const Result<Storage> storage = find_storage(arguments[0], name);
    if (!storage) {
      return storage.error();
    }
    const TorchType* type = storage->type ? &*storage->type : nullptr;
    if (with_dtype) {
      const PickleObject& dtype = m_pickle[arguments[6]];
      type = dtype.kind == PickleKind::global ? find_type(&TorchType::dtype, dtype.text) : nullptr;
    }
    if (type == nullptr) {
      return error(name, "has no known element type");
    }
    const std::size_t metadata = with_dtype ? 7 : 6;
    if (arguments.size() > metadata && !m_pickle[arguments[metadata]].children.empty()) {
      return error(name, "is a conjugated or negated view", ErrorKind::unsupported);
    }
    const PickleObject& offset = m_pickle[arguments[1]];
    const auto shape = integers(arguments[2]);
    const auto strides = integers(arguments[3]);
    if (offset.kind != PickleKind::integer || offset.integer < 0 || !shape || !strides
        || shape->size() != strides->size() || shape->size() > 32) {
      return error(name, "has a storage offset, size or stride that no tensor has");
    }
    if (!type->element) {
      m_file.unread.push_back({name, std::string(type->dtype), *shape});
      return {};
    }
    return add_tensor(*storage, *type->element, offset.integer, *shape, *strides, name);
  }

  Result<void> add_tensor(const Storage& storage, Dtype dtype, std::int64_t offset,
                          const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides, const std::string& name) {
    const std::optional<std::int64_t> count = element_count_of(shape);
    const auto available = static_cast<std::int64_t>(storage.bytes.bytes.size() / size_of(dtype));
    std::int64_t last = offset;
    bool fits = count.has_value();
    for (std::size_t i = 0; fits && *count > 0 && i < shape.size(); ++i) {
      std::int64_t reach = 0;
      fits = !__builtin_mul_overflow(shape[i] - 1, strides[i], &reach)
             && !__builtin_add_overflow(last, reach, &last);
    }
    if (fits && *count / k_max_repeats > available) {
      return error(name, fmt::format("its shape {} repeats its storage more than {} times",
                                     shape_text(shape), k_max_repeats));
    }
    if (!fits || (*count > 0 && last >= available)) {
      return error(name,
                   fmt::format("its shape {} with strides {} from element {} reaches outside its "
                               "storage of {} elements",
                               shape_text(shape), shape_text(strides), offset, available));
    }
    auto tensor = std::make_shared<Tensor>();
    tensor->name = name;
    tensor->file = m_file.path.string();
    tensor->dtype = dtype;
    tensor->big_endian = m_big_endian;
    tensor->shape = shape;
    tensor->strides = strides;
    tensor->data = storage.bytes.bytes.data();
    if (*count > 0) {
      tensor->data += offset * static_cast<std::int64_t>(size_of(dtype));
    }
    tensor->owner = storage.bytes.owner;
    m_file.tensors.push_back(std::move(tensor));
    return {};
  }

  static const TorchType* find_type(std::string_view TorchType::*column, std::string_view name) {
    const auto* type = std::ranges::find(k_types, name, column);
    return type == k_types.end() || name.empty() ? nullptr : &*type;
  }

  std::optional<std::vector<std::int64_t>> integers(std::uint32_t index) const {
    // torch.Size([2, 3]) is a call with one tuple.
    const PickleObject* list = &m_pickle[index];
    if (list->kind == PickleKind::call && list->text == "torch.Size"
        && list->children.size() == 1) {
      list = &m_pickle[list->children.front()];
    }
    if (list->kind != PickleKind::tuple && list->kind != PickleKind::list) {
      return std::nullopt;
    }
    std::vector<std::int64_t> values;
    for (const std::uint32_t child : list->children) {
      const PickleObject& value = m_pickle[child];
      if (value.kind != PickleKind::integer || value.integer < 0) {
        return std::nullopt;
      }
      values.push_back(value.integer);
    }
    return values;
  }

  /// The persistent id ("storage", class, key, location, element count).
  Result<Storage> find_storage(std::uint32_t index, const std::string& name) {
    const PickleObject& reference = m_pickle[index];
    const PickleObject* id =
        reference.kind == PickleKind::persistent ? &m_pickle[reference.children.front()] : nullptr;
    if (id == nullptr || id->kind != PickleKind::tuple || id->children.size() < 5
        || m_pickle[id->children[0]].text != "storage"
        || m_pickle[id->children[1]].kind != PickleKind::global
        || m_pickle[id->children[2]].kind != PickleKind::text
        || m_pickle[id->children[4]].kind != PickleKind::integer) {
      return error(name, "has no storage");
    }
    const std::string& class_name = m_pickle[id->children[1]].text;
    const std::string& key = m_pickle[id->children[2]].text;
    const std::int64_t declared = m_pickle[id->children[4]].integer;
    Storage storage;
    const bool untyped = class_name == k_untyped || class_name == "torch.UntypedStorage";
    if (!untyped) {
      const TorchType* type = find_type(&TorchType::storage, class_name);
      if (type == nullptr) {
        return error(name, fmt::format("its storage is a {}", class_name));
      }
      storage.type = *type;
    }
    auto known = m_storages.find(key);
    if (known == m_storages.end()) {
      const ZipEntry* entry = m_archive.find(m_prefix + "data/" + key);
      if (entry == nullptr) {
        return error(name, fmt::format("its storage data/{} is not in the archive", key));
      }
      Result<ZipBytes> bytes = m_archive.read(*entry);
      if (!bytes) {
        return error(name, bytes.error().message, bytes.error().kind);
      }
      known = m_storages.emplace(key, std::move(*bytes)).first;
    }
    storage.bytes = known->second;
    const std::size_t size =
        storage.type && storage.type->element ? size_of(*storage.type->element) : 1;
    const std::size_t held = storage.bytes.bytes.size() / size;
    if (declared < 0 || static_cast<std::uint64_t>(declared) > held) {
      return error(name, fmt::format("its storage declares {} elements but data/{} holds {}",
                                     declared, key, held));
    }
    return storage;
  }

  ZipArchive& m_archive;
  const Pickle& m_pickle;
  std::string m_prefix; ///< of all entries, with a slash at its end
  TensorFile& m_file;
  bool m_big_endian = false;
  std::map<std::string, ZipBytes> m_storages; // by key
};

} // namespace

Result<TensorFile> read_torch_zip(const std::shared_ptr<const MappedFile>& file) {
  const auto error = [&](ErrorKind kind, std::string message) {
    return Error{kind, std::move(message), file->path().string(), {}, {}};
  };
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  if (!text.starts_with("PK")) {
    // Pickles of protocol 2 and up start with 0x80; before 1.6 torch.save wrote several in a row.
    return text.starts_with("\x80")
               ? error(ErrorKind::unsupported,
                       "is a bare pickle, as torch.save wrote before PyTorch 1.6: save it again "
                       "with a newer one; nothing was executed")
               : error(ErrorKind::syntax, "is no zip archive, as torch.save writes");
  }
  Result<ZipArchive> archive = ZipArchive::open(file);
  if (!archive) {
    return archive.error();
  }
  const auto& entries = archive->entries();
  const auto main = std::ranges::find_if(entries, [](const ZipEntry& entry) {
    return entry.name == "data.pkl" || entry.name.ends_with("/data.pkl");
  });
  if (main == entries.end()) {
    return error(ErrorKind::syntax, "holds no data.pkl: not written by torch.save");
  }
  if (main->size > k_max_pickle_bytes) {
    return error(ErrorKind::unsupported,
                 fmt::format("its data.pkl has {} bytes; at most {} are read", main->size,
                             k_max_pickle_bytes));
  }
  const std::string prefix = main->name.substr(0, main->name.size() - 8);
  const Result<ZipBytes> code = archive->read(*main);
  if (!code) {
    return code.error();
  }
  const Result<Pickle> pickle = parse_pickle(code->bytes, file->path().string(), is_allowed);
  if (!pickle) {
    return pickle.error();
  }
  TensorFile result;
  result.path = file->path();
  Builder builder(*archive, *pickle, prefix, result);
  if (const ZipEntry* order = archive->find(prefix + "byteorder")) {
    const Result<ZipBytes> bytes = archive->read(*order);
    if (!bytes) {
      return bytes.error();
    }
    builder.set_big_endian(
        std::string_view(reinterpret_cast<const char*>(bytes->bytes.data()), bytes->bytes.size())
        == "big");
  }
  if (const Result<void> added = builder.add(pickle->root, file->path().stem().string(), 0);
      !added) {
    return added.error();
  }
  return result;
}

} // namespace mla_scale::tensor
