#include "capture_files.hpp"

using namespace mla_scale;
using namespace mla_scale::tensor;
using namespace capture_files;

namespace {

// Width of q and k 6, of v 3. 5 query and 7 key rows divide no head count.
constexpr Geometry k_small = {4, 8, 4, 2, 3};
using Shape = std::vector<std::int64_t>;

std::int64_t count_of(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    count *= extent;
  }
  return count;
}

/// A float32 tensor whose element i, in C order, is i.
Entry counted(const std::string& name, const Shape& shape) {
  return {name, "F32", shape, counting(count_of(shape))};
}

Capture read_all(const std::vector<Entry>& entries, const std::string& layout = {},
                 const std::string& metadata = {}, const Geometry& geometry = k_small) {
  const TempDir directory;
  auto capture = read(directory, "a.safetensors", safetensors(entries, metadata), geometry, layout);
  INFO((capture ? std::string() : to_string(capture.error())));
  REQUIRE(capture.has_value());
  return std::move(*capture);
}

Error refuse(const std::vector<Entry>& entries, const std::string& layout = {},
             const std::string& metadata = {}, const Geometry& geometry = k_small) {
  const TempDir directory;
  const auto capture =
      read(directory, "a.safetensors", safetensors(entries, metadata), geometry, layout);
  REQUIRE_FALSE(capture.has_value());
  CHECK(capture.error().kind == ErrorKind::schema);
  return capture.error();
}

bool has_note(const Capture& capture, const std::string& text) {
  for (const std::string& note : capture.notes) {
    if (note.find(text) != std::string::npos) {
      return true;
    }
  }
  return false;
}

} // namespace

TEST_CASE("Aliases of engines mean the canonical tensors") {
  const Capture capture = read_all({counted("query_states", {5, 2, 6}), counted("key", {7, 2, 6}),
                                    counted("value_states", {7, 2, 3}),
                                    counted("compressed_kv", {7, 8}), counted("k_rot", {7, 1, 2}),
                                    counted("model.layers.3.self_attn.kv_b_proj.weight", {14, 8}),
                                    counted("attn_output", {5, 2, 3}),
                                    counted("softmax_lse", {2, 5}), counted("Something", {3})});
  CHECK(capture.level == "expanded+latent");
  CHECK(capture.heads == 2);
  CHECK(capture.tensors[5].canonical == "kv_b_proj");
  CHECK(capture.tensors[8].canonical.empty());
  CHECK(capture.k_pe->tokens == 7);
  CHECK(capture.notes.empty());
}

TEST_CASE("Two tensors of one meaning are an error that names both") {
  const Error error = refuse({counted("q", {5, 2, 6}), counted("query", {5, 2, 6})});
  CHECK(error.pointer == "query");
  CHECK_THAT(error.message, Contains("\"q\""));
}

TEST_CASE("Each layout of q addresses the same elements") {
  // Element [t, h, d] of a C-ordered tensor, by hand.
  struct Case {
    Shape q, k, v;
    std::string layout;
    std::int64_t at_3_1_2; // of q
  };
  const Case cases[] = {
      {{5, 2, 6}, {7, 2, 6}, {7, 2, 3}, "[T,H,D]", 3 * 12 + 6 + 2},
      {{2, 5, 6}, {2, 7, 6}, {2, 7, 3}, "[H,T,D]", 30 + 3 * 6 + 2},
      {{1, 5, 2, 6}, {1, 7, 2, 6}, {1, 7, 2, 3}, "[B,T,H,D]", 3 * 12 + 6 + 2},
      {{1, 2, 5, 6}, {1, 2, 7, 6}, {1, 2, 7, 3}, "[B,H,T,D]", 30 + 3 * 6 + 2},
      {{5, 12}, {7, 12}, {7, 6}, "[T,H*D]", 3 * 12 + 6 + 2},
      {{1, 5, 12}, {1, 7, 12}, {1, 7, 6}, "[B,T,H*D]", 3 * 12 + 6 + 2},
  };
  for (const Case& c : cases) {
    INFO(c.layout);
    const Capture capture = read_all({counted("q", c.q), counted("k", c.k), counted("v", c.v)});
    CHECK(capture.layout == c.layout);
    CHECK(capture.heads == 2);
    CHECK(capture.query_rows == 5);
    CHECK(capture.key_rows == 7);
    CHECK(capture.q->at(3, 1, 2) == static_cast<double>(c.at_3_1_2));
    CHECK(capture.sequences.size() == 1);
    CHECK(capture.missing == std::vector<std::string>{"out"});
  }
}

TEST_CASE("Batch entries become sequences, also when heads stand between batch and tokens") {
  const Capture capture =
      read_all({counted("q", {3, 2, 5, 6}), counted("k", {3, 2, 7, 6}), counted("v", {3, 2, 7, 3}),
                counted("out", {3, 5, 2, 3}), counted("lse", {3, 2, 5})});
  CHECK(capture.layout == "[B,H,T,D]");
  CHECK(capture.query_rows == 15);
  REQUIRE(capture.sequences.size() == 3);
  CHECK(capture.sequences[2].query_begin == 10);
  CHECK(capture.sequences[2].key_begin == 14);
  CHECK(capture.sequences[2].key_end == 21);
  // Row 13 is entry 2, token 3: [2][1][3][4] of q, [2][3][1][0] of out, [2][1][3] of lse.
  CHECK(capture.q->at(13, 1, 4) == 2 * 60 + 30 + 18 + 4);
  CHECK(capture.out->at(13, 1, 0) == 2 * 30 + 3 * 6 + 3);
  CHECK(capture.lse->at(13, 1, 0) == 2 * 10 + 5 + 3);
}

TEST_CASE("What two layouts fit equally well asks for --layout") {
  // 4 x 2 can be 4 tokens of 2 heads or 2 tokens of 4.
  const std::vector<Entry> entries = {counted("q", {1, 4, 2, 6}), counted("k", {1, 4, 2, 6}),
                                      counted("v", {1, 4, 2, 3})};
  const Error error = refuse(entries);
  CHECK(error.pointer == "q");
  CHECK_THAT(error.message, Contains("--layout"));
  CHECK(read_all(entries, "bthd").heads == 2);
  CHECK(read_all(entries, "bhtd").heads == 4);
  // A latent of 2 rows settles it.
  std::vector<Entry> with_latent = entries;
  with_latent.push_back(counted("kv_c", {2, 8}));
  CHECK(read_all(with_latent).heads == 4);
  // So do weights of 2 heads.
  std::vector<Entry> with_weights = entries;
  with_weights.push_back(counted("kv_b_proj", {14, 8}));
  CHECK(read_all(with_weights).heads == 2);
}

TEST_CASE("Three axes are read as documented, tokens first, with a note when heads first fit too") {
  const Capture capture = read_all({counted("q", {4, 2, 6})});
  CHECK(capture.layout == "[T,H,D]");
  CHECK(has_note(capture, "--layout"));
}

TEST_CASE("A flat output of one head is read beside batched inputs") {
  const Capture capture = read_all({counted("q", {2, 5, 1, 6}), counted("k", {2, 5, 1, 6}),
                                    counted("v", {2, 5, 1, 3}), counted("out", {2, 5, 3})});
  CHECK(capture.heads == 1);
  CHECK(capture.sequences.size() == 2);
  CHECK(capture.out->at(7, 0, 2) == 7 * 3 + 2);
}

TEST_CASE("Padded values and outputs are cut, and the padding of out is kept to be looked at") {
  for (const Shape& out : {Shape{5, 2, 6}, Shape{5, 12}, Shape{1, 5, 12}}) {
    const Capture capture = read_all({counted("q", {5, 2, 6}), counted("k", {7, 2, 6}),
                                      counted("v", {7, 2, 6}), counted("out", out)});
    CHECK(capture.v->width == 3);
    CHECK(capture.out->width == 3);
    CHECK(capture.out->at(2, 1, 1) == 2 * 12 + 6 + 1);
    REQUIRE(capture.out_padding.has_value());
    CHECK(capture.out_padding->width == 3);
    CHECK(capture.out_padding->at(2, 1, 0) == 2 * 12 + 6 + 3);
  }
  const Capture plain = read_all({counted("q", {5, 2, 6}), counted("out", {5, 6})});
  CHECK(plain.out->at(2, 1, 1) == 2 * 6 + 3 + 1);
  CHECK_FALSE(plain.out_padding.has_value());
}

TEST_CASE("Log-sum-exps are oriented by their shape") {
  struct Case {
    Shape shape;
    std::int64_t at_3_1;
    bool padded;
  };
  for (const Case& c :
       {Case{{2, 5}, 8, false}, Case{{5, 2}, 7, false}, Case{{1, 2, 5}, 8, false},
        Case{{1, 5, 2}, 7, false}, Case{{5, 2, 1}, 7, false}, Case{{2, 5, 1}, 8, false},
        Case{{1, 2, 5, 1}, 8, false}, Case{{1, 2, 32}, 35, true}, Case{{2, 32}, 35, true}}) {
    INFO(shape_text(c.shape));
    const Capture capture = read_all({counted("q", {5, 2, 6}), counted("lse", c.shape)});
    CHECK(capture.lse->tokens == 5);
    CHECK(capture.lse->at(3, 1, 0) == static_cast<double>(c.at_3_1));
    CHECK(has_note(capture, "padded") == c.padded);
  }
  const Capture square = read_all({counted("q", {2, 2, 6}), counted("lse", {2, 2})});
  CHECK(square.lse->at(0, 1, 0) == 2.0);
  CHECK(has_note(square, "read as [H,T]"));
  CHECK(refuse({counted("q", {5, 2, 6}), counted("lse", {3, 5})}).pointer == "lse");
}

TEST_CASE("The base of lse comes from the metadata of its file") {
  const std::vector<Entry> entries = {counted("q", {5, 2, 6}), counted("lse", {2, 5})};
  CHECK(read_all(entries).lse_base == LseBase::natural);
  CHECK(read_all(entries, {}, R"({"lse_base":"2"})").lse_base == LseBase::two);
  CHECK(read_all(entries, {}, R"({"lse_base":"log2"})").lse_base == LseBase::two);
  CHECK(read_all(entries, {}, R"({"lse_base":"e"})").lse_base == LseBase::natural);
  CHECK_THAT(refuse(entries, {}, R"({"lse_base":"10"})").message, Contains("\"10\""));
  for (const char* two :
       {R"({"lse":"base 2"})", R"({"softmax_lse_base":"2"})", R"({"lse.base":"2"})",
        R"({"LSE":"log2"})", R"({"lse_base":"Base2"})", R"({"logsumexp_base":"2.0"})"}) {
    INFO(two);
    CHECK(read_all(entries, {}, two).lse_base == LseBase::two);
  }
  const Capture natural = read_all(entries, {}, R"({"lse":"natural","false":"2"})");
  CHECK(natural.lse_base == LseBase::natural);
  CHECK(!has_note(natural, "not understood"));
  const Capture unknown = read_all(entries, {}, R"({"lse":"fp32"})");
  CHECK(unknown.lse_base == LseBase::natural);
  CHECK(has_note(unknown, "\"fp32\" is not understood"));
}

TEST_CASE("Weights come fused, transposed, or absorbed in three orders") {
  const std::vector<Entry> inputs = {counted("q", {5, 2, 6}), counted("kv_c", {7, 8}),
                                     counted("k_pe", {7, 2})};
  const auto with = [&](std::vector<Entry> more) {
    more.insert(more.begin(), inputs.begin(), inputs.end());
    return read_all(more);
  };
  // Head 1, nope row 3, rank column 5; head 1, v row 2, rank column 5.
  const Capture fused = with({counted("kv_b_proj", {14, 8})});
  CHECK(fused.level == "latent");
  CHECK(fused.w_uk->at(3, 1, 5) == (7 + 3) * 8 + 5);
  CHECK(fused.w_uv->at(2, 1, 5) == (7 + 4 + 2) * 8 + 5);
  const Capture transposed = with({counted("kv_b_proj", {8, 14})});
  CHECK(transposed.w_uk->at(3, 1, 5) == 5 * 14 + 7 + 3);
  CHECK(has_note(transposed, "transposed"));
  const Capture documented = with({counted("w_uk", {8, 2, 4}), counted("w_uv", {8, 2, 3})});
  CHECK(documented.level == "latent");
  CHECK(documented.w_uk->at(3, 1, 5) == 5 * 8 + 4 + 3);
  CHECK(documented.w_uv->at(2, 1, 5) == 5 * 6 + 3 + 2);
  const Capture vllm = with({counted("w_uk", {2, 4, 8}), counted("w_uv", {2, 8, 3})});
  CHECK(vllm.w_uk->at(3, 1, 5) == 32 + 3 * 8 + 5);
  CHECK(vllm.w_uv->at(2, 1, 5) == 24 + 5 * 3 + 2);
}

TEST_CASE("A latent as wide as the cache holds kv_c and then k_pe") {
  const Capture capture = read_all(
      {counted("q", {5, 2, 6}), counted("latent", {7, 10}), counted("kv_b_proj", {14, 8})});
  CHECK(capture.level == "latent");
  CHECK(capture.kv_c->at(3, 0, 7) == 37);
  CHECK(capture.k_pe->at(3, 0, 1) == 39);
}

TEST_CASE("Empty tensors are read as captures of no rows") {
  const Capture capture = read_all({counted("q", {0, 2, 5, 6}), counted("k", {0, 2, 7, 6}),
                                    counted("v", {0, 2, 7, 3}), counted("kv_c", {0, 7, 8})});
  CHECK(capture.query_rows == 0);
  CHECK(capture.key_rows == 0);
  CHECK(read_all({counted("q", {0, 2, 6})}).query_rows == 0);
}

TEST_CASE("A q in two parts is put together") {
  const Capture capture = read_all({counted("q_nope", {2, 5, 4}), counted("q_pe", {2, 5, 2}),
                                    counted("k", {2, 7, 6}), counted("v", {2, 7, 3})});
  CHECK(capture.level == "expanded");
  CHECK(capture.q->width == 6);
  CHECK(capture.q->at(3, 1, 3) == 20 + 3 * 4 + 3);
  CHECK(capture.q->at(3, 1, 5) == 10 + 3 * 2 + 1);
  CHECK(capture.q->tensor->dtype == Dtype::f32);
  CHECK_THAT(refuse({counted("q_nope", {5, 2, 4}), {"q_pe", "BF16", {5, 2, 2}, {}}}).message,
             Contains("bf16"));
}

TEST_CASE("Weights of all heads beside one rank's queries are refused, or unused with k and v") {
  const std::vector<Entry> latent = {counted("q", {5, 2, 6}), counted("kv_c", {7, 8}),
                                     counted("k_pe", {7, 2}), counted("kv_b_proj", {28, 8})};
  CHECK_THAT(refuse(latent).message, Contains("holds 4 heads") && Contains("2"));
  std::vector<Entry> both = latent;
  both.push_back(counted("k", {7, 2, 6}));
  both.push_back(counted("v", {7, 2, 3}));
  const Capture capture = read_all(both);
  CHECK(capture.level == "expanded");
  CHECK(has_note(capture, "not used"));
}

TEST_CASE("Shapes that contradict each other are named with both shapes") {
  const Error rows = refuse({counted("q", {5, 2, 6}), counted("k", {7, 2, 6}),
                             counted("v", {7, 2, 3}), counted("kv_c", {8, 8})});
  CHECK(rows.pointer == "k");
  CHECK_THAT(rows.message, Contains("[7, 2, 6]") && Contains("kv_c is [8, 8]"));
  const Error heads = refuse({counted("q", {5, 2, 6}), counted("k", {7, 4, 6})});
  CHECK_THAT(heads.message, Contains("[7, 4, 6]") && Contains("2 heads") && Contains("[5, 2, 6]"));
  const Error width = refuse({counted("q", {5, 2, 7})});
  CHECK_THAT(width.message, Contains("[5, 2, 7]") && Contains("[T, H, 6]"));
  const Error divisor = refuse({counted("q", {5, 3, 6})});
  CHECK_THAT(divisor.message, Contains("dividing 4 heads"));
  CHECK(refuse({counted("q", {5, 2, 6}), counted("kv_b_proj", {7, 8})}).pointer == "q");
  CHECK(refuse({{"q", "I64", {5, 2, 6}, {}}}).pointer == "q");
  CHECK(refuse({counted("q", {})}).pointer == "q");
  CHECK(refuse({counted("k_pe", {7, 3})}).kind == ErrorKind::schema);
}

TEST_CASE("Varlen batches come from cu_seqlens and its aliases") {
  const std::vector<Entry> inputs = {counted("q", {5, 2, 6}), counted("k", {7, 2, 6}),
                                     counted("v", {7, 2, 3})};
  const auto with = [&](std::vector<Entry> more) {
    more.insert(more.begin(), inputs.begin(), inputs.end());
    return more;
  };
  const Capture capture = read_all(
      with({{"qo_indptr", "I64", {3}, i64({0, 2, 5})}, {"kv_indptr", "I64", {3}, i64({0, 4, 7})}}));
  REQUIRE(capture.sequences.size() == 2);
  CHECK(capture.sequences[1].query_begin == 2);
  CHECK(capture.sequences[1].query_end == 5);
  CHECK(capture.sequences[1].key_begin == 4);
  CHECK(capture.sequences[1].key_end == 7);
  const auto offsets = [&](std::vector<std::int64_t> q, std::vector<std::int64_t> k) {
    return with({{"cu_seqlens_q", "I64", {static_cast<std::int64_t>(q.size())}, i64(q)},
                 {"cu_seqlens_k", "I64", {static_cast<std::int64_t>(k.size())}, i64(k)}});
  };
  CHECK_THAT(refuse(offsets({0, 3, 2}, {0, 4, 7})).message, Contains("falls"));
  CHECK_THAT(refuse(offsets({1, 3, 5}, {0, 4, 7})).message, Contains("starts at 1"));
  CHECK_THAT(refuse(offsets({0, 3, 6}, {0, 4, 7})).message, Contains("ends at row 6"));
  CHECK_THAT(refuse(offsets({0, 3, 5}, {0, 7})).message, Contains("2 requests"));
  CHECK(has_note(read_all(offsets({0, 3, 4}, {0, 4, 7})), "not judged"));
  CHECK_THAT(refuse(with({{"query_start_loc", "I64", {2}, i64({0, 5})}})).message,
             Contains("alone"));
}

TEST_CASE("Positions are for queries, keys or both") {
  const std::vector<Entry> inputs = {counted("q", {2, 2, 6}), counted("k", {3, 2, 6}),
                                     counted("v", {3, 2, 3})};
  const auto with = [&](std::vector<Entry> more) {
    more.insert(more.begin(), inputs.begin(), inputs.end());
    return more;
  };
  const Capture apart = read_all(with(
      {{"positions_q", "I64", {1, 2}, i64({7, 8})}, {"positions_k", "I64", {3}, i64({6, 7, 8})}}));
  CHECK(apart.positions_q == std::vector<std::int64_t>{7, 8});
  CHECK(apart.positions_k == std::vector<std::int64_t>{6, 7, 8});
  const Capture one = read_all(with({{"position_ids", "I64", {2}, i64({7, 8})}}));
  CHECK(one.positions_q.size() == 2);
  CHECK(one.positions_k.empty());
  CHECK(refuse(with({{"positions", "I64", {9}, {}}})).pointer == "positions");
  CHECK(refuse(with({{"positions_q", "F32", {2}, {}}})).pointer == "positions_q");
}

TEST_CASE("Float8 is scaled by one number or one for each head; other types are not") {
  // e4m3fn 0x38 is 1, 0x40 is 2.
  const std::string ones(30, '\x38');
  const Capture one =
      read_all({{"q", "F8_E4M3", {5, 2, 3}, ones}, {"q_scale", "F32", {}, f32({0.5F})}}, {}, {},
               {4, 8, 2, 1, 3});
  CHECK(one.q->at(4, 1, 0) == 0.5);
  const Capture two =
      read_all({{"q", "F8_E4M3", {5, 2, 3}, ones}, {"q_scale", "F32", {2}, f32({0.5F, 0.25F})}}, {},
               {}, {4, 8, 2, 1, 3});
  CHECK(two.q->at(4, 0, 0) == 0.5);
  CHECK(two.q->at(4, 1, 0) == 0.25);
  double row[3] = {};
  two.q->read(4, 1, 0, 3, row);
  CHECK(row[2] == 0.25);
  const Capture weights =
      read_all({{"kv_b_proj.weight", "F8_E4M3", {10, 8}, std::string(80, '\x40')},
                {"kv_b_proj.weight_scale", "F32", {}, f32({0.25F})}},
               {}, {}, {4, 8, 2, 1, 3});
  CHECK(weights.w_uk->at(1, 1, 7) == 0.5);
  CHECK(weights.w_uv->at(2, 0, 0) == 0.5);
  CHECK(has_note(read_all({{"q", "F8_E4M3", {5, 2, 3}, ones}}, {}, {}, {4, 8, 2, 1, 3}),
                 "without a scale"));
  const Capture not_applied =
      read_all({counted("q", {5, 2, 6}), {"q_scale", "F32", {1}, f32({0.5F})}});
  CHECK(not_applied.q->at(0, 0, 1) == 1.0);
  CHECK(has_note(not_applied, "not applied"));
  CHECK(refuse({{"q", "F8_E4M3", {5, 2, 3}, ones}, {"q_scale", "F32", {3}, {}}}, {}, {},
               {4, 8, 2, 1, 3})
            .pointer
        == "q_scale");
}

TEST_CASE("Float8 is scaled by token, channel, head of a batch entry, or block") {
  const auto ones = [](std::size_t count) { return std::string(count, '\x38'); }; // 1 in e4m3
  const auto numbered = [](const std::string& name, const Shape& shape) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < count_of(shape); ++i) {
      values.push_back(static_cast<float>(i + 1)); // element i, in C order, is i + 1
    }
    return Entry{name, "F32", shape, f32(values)};
  };
  const Geometry geometry = {4, 40, 2, 1, 3};
  const auto read_q = [&](const Shape& q, const Shape& scale) {
    return *read_all({{"q", "F8_E4M3", q, ones(static_cast<std::size_t>(count_of(q)))},
                      numbered("q_scale", scale)},
                     {}, {}, geometry)
                .q;
  };
  CHECK(read_q({5, 2, 3}, {5}).at(3, 1, 2) == 4);               // [T]
  CHECK(read_q({5, 2, 3}, {5, 2}).at(3, 1, 2) == 8);            // [T, H]
  CHECK(read_q({5, 2, 3}, {5, 2, 1}).at(3, 1, 2) == 8);         // the same
  CHECK(read_q({5, 2, 3}, {1, 1, 3}).at(3, 1, 2) == 3);         // a channel
  CHECK(read_q({5, 2, 3}, {1, 2, 1}).at(3, 1, 2) == 2);         // a head
  CHECK(read_q({5, 2, 3}, {2}).at(3, 1, 2) == 2);               // a head
  CHECK(read_q({3, 5, 2, 3}, {3, 2}).at(13, 1, 2) == 6);        // [B, H]: entry 2, head 1
  CHECK(read_q({3, 2, 5, 3}, {3, 2, 5, 1}).at(13, 1, 2) == 29); // entry 2, head 1, token 3
  // 40 columns in blocks of 16: 0-15, 16-31, 32-39. 14 rows of the weights are one block.
  const Capture latent = read_all({{"kv_c", "F8_E4M3", {3, 40}, ones(120)},
                                   numbered("kv_c_scale", {3, 3}),
                                   {"kv_b_proj.weight", "F8_E4M3", {10, 40}, ones(400)},
                                   numbered("kv_b_proj.weight_scale_inv", {1, 3})},
                                  {}, {}, geometry);
  CHECK(latent.kv_c->at(0, 0, 15) == 1);
  CHECK(latent.kv_c->at(2, 0, 39) == 9);
  double row[40] = {};
  latent.kv_c->read(1, 0, 10, 30, row);
  CHECK(row[5] == 4);
  CHECK(row[6] == 5);
  CHECK(row[29] == 6);
  CHECK(latent.w_uv->at(2, 1, 31) == 2);
  CHECK(refuse({{"kv_c", "F8_E4M3", {3, 40}, ones(120)}, numbered("kv_c_scale", {3, 4})}, {}, {},
               geometry)
            .pointer
        == "kv_c_scale");
}

TEST_CASE("Engines call the scales of float8 tensors by several names") {
  const std::string ones(30, '\x38'); // 1.0 in e4m3
  for (const char* name : {"q_descale", "q.scale", "q_scale_inv", "layers.0.q.scale_inv",
                           "query_descale", "query_states_scale", "Q_Scale"}) {
    INFO(name);
    const Capture capture =
        read_all({{"q", "F8_E4M3", {5, 2, 3}, ones}, {name, "F32", {}, f32({0.5F})}}, {}, {},
                 {4, 8, 2, 1, 3});
    CHECK(capture.q->at(1, 1, 1) == 0.5);
    CHECK(!capture.declared_softmax_scale);
    CHECK(!has_note(capture, "without a scale"));
  }
  CHECK(read_all({counted("q", {5, 2, 6}), {"attn.scale", "F32", {}, f32({0.25F})}})
            .declared_softmax_scale
        == 0.25);
}

TEST_CASE("A declared softmax scale is reported") {
  CHECK(read_all({counted("q", {5, 2, 6}), {"sm_scale", "F32", {}, f32({0.25F})}})
            .declared_softmax_scale
        == 0.25);
  CHECK(
      read_all({counted("q", {5, 2, 6})}, {}, R"({"softmax_scale":"0.125"})").declared_softmax_scale
      == 0.125);
  CHECK(refuse({counted("q", {5, 2, 6}), counted("scale", {2})}).pointer == "scale");
}

TEST_CASE("NumPy's unsigned integers are the bits of bf16") {
  // bf16 0x3FC0 is 1.5.
  std::string bits;
  for (int i = 0; i < 60; ++i) {
    bits += "\xC0\x3F";
  }
  const Capture capture = read_all({{"q", "U16", {5, 2, 6}, bits}});
  CHECK(capture.q->at(4, 1, 5) == 1.5);
  CHECK(has_note(capture, "bits of bf16"));
}

TEST_CASE("What a float32 file was computed in is told from its values") {
  const auto dtype_of = [](const std::vector<float>& values) {
    std::vector<float> all(60, 0.0F);
    std::copy(values.begin(), values.end(), all.begin());
    return effective_dtype(*read_all({{"q", "F32", {5, 2, 6}, f32(all)}}).q);
  };
  CHECK(dtype_of({1.5F, -0.0078125F, 1e38F * 0}) == Dtype::bf16);
  CHECK(dtype_of({1.0009765625F}) == Dtype::f16);                          // 1 + 2^-10
  CHECK(dtype_of({5.9604644775390625e-08F, 1.0009765625F}) == Dtype::f16); // 2^-24, its smallest
  CHECK(dtype_of({65536.0F, 1.0009765625F}) == Dtype::f32);
  CHECK(dtype_of({0.1F}) == Dtype::f32);
  CHECK(dtype_of({0.0F}) == Dtype::f32);
}
