#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

/// One reader under test. Whatever the bytes are, it returns a value or an error: no crash, no
/// undefined behaviour, no hang, no memory beyond the fuzzer's limit. What it read must also keep
/// the promises that the target names; a broken one aborts.
struct FuzzTarget {
  const char* name;
  void (*run)(std::span<const std::uint8_t> bytes);
};

void fuzz_config(std::span<const std::uint8_t> bytes);
void fuzz_gguf(std::span<const std::uint8_t> bytes);
void fuzz_safetensors(std::span<const std::uint8_t> bytes);
void fuzz_npy(std::span<const std::uint8_t> bytes);
void fuzz_npz(std::span<const std::uint8_t> bytes);
void fuzz_torch(std::span<const std::uint8_t> bytes);
void fuzz_pickle(std::span<const std::uint8_t> bytes);
void fuzz_capture(std::span<const std::uint8_t> bytes);
void fuzz_weights(std::span<const std::uint8_t> bytes);
void fuzz_baseline(std::span<const std::uint8_t> bytes);
void fuzz_snapshot(std::span<const std::uint8_t> bytes);

inline constexpr FuzzTarget k_fuzz_targets[] = {
    {"config", fuzz_config},           // config.json of HuggingFace and DeepSeek
    {"params", fuzz_config},           // Mistral's params.json: the same reader, other seeds
    {"gguf", fuzz_gguf},               //
    {"safetensors", fuzz_safetensors}, //
    {"npy", fuzz_npy},                 //
    {"npz", fuzz_npz},                 //
    {"torch", fuzz_torch},             // the zip of a .pt
    {"pickle", fuzz_pickle},           // the data.pkl inside, which no CRC guards
    {"capture", fuzz_capture},         // tensors of any name and shape, put together
    {"weights", fuzz_weights},         // index and headers that `audit` looks at
    {"baseline", fuzz_baseline},       //
    {"snapshot", fuzz_snapshot},       //
};
